"""The options of `recli embed`, and what the manifest stores of them."""

import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from recli.config import Config, argument, option, option_name, spec_of, to_dict
from recli.encoders.source import DEFAULT
from recli.errors import ConfigError, UsageError

_MODEL = "Model"
_OWN = "Own vectors"
_SPEED = "Speed"


@dataclass(frozen=True)
class EmbedConfig(Config):
    run: str = argument(
        ..., "The run; `-` reads its path from stdin.", metavar="RUN", paths="always", stored=False
    )
    name: str = option(
        "", "Name of the embeddings.", default_text="from the model or file: minilm, tfidf, ...", stored=False
    )
    model: str = option(
        DEFAULT,
        "HuggingFace model, by id or folder, or `tfidf` (TF-IDF and truncated SVD, needs no model).",
        metavar="ID|PATH|tfidf",
        paths="maybe",
        panel=_MODEL,
    )
    revision: str | None = option(None, "Revision of the model on the hub.", panel=_MODEL)
    pooling: str = option(
        "auto",
        "One vector from the tokens' vectors: as the model's files say, or mean, cls (first) or last token.",
        choices=("auto", "mean", "cls", "last"),
        panel=_MODEL,
    )
    max_tokens: int | None = option(
        None, "Tokens of a text that are read.", min=4, default_text="the model's", panel=_MODEL
    )
    prompt: str | None = option(
        None, "Put before every text.", default_text="the model's, if it wants one", panel=_MODEL
    )
    vectors: str | None = option(
        None,
        "File of your own vectors of the items: .npy or .safetensors with --ids, .parquet with a column of ids and one "
        "of lists, or several of numbers.",
        metavar="FILE",
        paths="always",
        panel=_OWN,
    )
    ids: str | None = option(
        None,
        "Ids of the rows of --vectors, in their order: one in each line, or a table with a column of item ids.",
        metavar="FILE",
        paths="always",
        panel=_OWN,
    )
    dim: int | None = option(
        None,
        "Dimensions to keep: the first ones of Matryoshka models, else the principal ones of the items.",
        min=1,
        default_text="all; tfidf: 200",
    )
    center: bool = option(True, "Subtract the mean vector of the items with training events.")
    storage_dtype: str = option(
        "float32",
        "Number format on disk: float16 halves the file, int8 (a scale per vector) makes it a quarter.",
        choices=("float32", "float16", "int8"),
    )
    seed: int = option(0, "Seed of tfidf's truncated SVD.", min=0, max=2**32 - 1)
    dtype: str = option(
        "auto",
        "Number format of the model; auto: bfloat16 where the device multiplies it natively, else float32.",
        choices=("auto", "float32", "bfloat16", "float16"),
        panel=_SPEED,
    )
    device: str = option("auto", "auto, cpu, cuda or cuda:N.", panel=_SPEED, stored=False)
    batch_tokens: int | None = option(
        None, "Tokens per batch.", min=1, default_text="2048 on a CPU, 32768 on a GPU", panel=_SPEED
    )
    resume: bool = option(
        True,
        "Reuse vectors of texts that were encoded before; --no-resume encodes all of them again.",
        panel=_SPEED,
        stored=False,
    )
    trust_remote_code: bool = option(
        False, "Run Python code that comes with the model. It can do anything you can.", panel=_MODEL
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.name and not re.fullmatch(r"\w[\w.-]*", self.name):
            raise ConfigError(f"--name {self.name!r}: letters, digits, dots, dashes and underscores only")
        if self.vectors is None:
            if self.ids is not None:
                raise UsageError("--ids is for --vectors", "name the vectors' file: --vectors FILE")
            self._check_encoder_options()
        else:
            self._check_own_vectors(self.vectors)

    def _check_own_vectors(self, file: str) -> None:
        """Raises `UsageError` for a file of another kind, missing --ids, and options of encoders."""
        for field in fields(self):
            if field.name in ENCODING and getattr(self, field.name) != field.default:
                raise UsageError(
                    f"{option_name(field)} does not apply to --vectors: nothing is encoded", "leave it out"
                )
        suffix = Path(file).suffix.lower()
        if suffix not in (".npy", ".safetensors", ".parquet"):
            raise UsageError(f"--vectors {file} must end in .npy, .safetensors or .parquet")
        if self.ids is None and suffix != ".parquet":
            raise UsageError(
                f"--vectors {file}: whose vectors these are, a {suffix} file does not say",
                "name a file with the item ids of its rows: --ids FILE",
            )

    def _check_encoder_options(self) -> None:
        """Raises `ConfigError` for an option that is not the default and that the encoder does not read."""
        names = {field.name for field in fields(self) if field.metadata["spec"].panel in (_MODEL, _SPEED)}
        changed = [
            field
            for field in fields(self)
            if field.name in names - {"model"} and getattr(self, field.name) != field.default
        ]
        if not changed:
            return  # nothing to look up: the registry imports all encoders
        from recli.encoders.base import family_of

        options = family_of(self.model).options
        for field in changed:
            if field.name not in options:
                raise ConfigError(
                    f"{option_name(field)} does not apply to --model {self.model}", "leave it out"
                )

    @property
    def part_name(self) -> str:
        """The name of the embeddings: as given, or from the model or the file of vectors."""
        if self.name:
            return self.name
        if self.vectors is not None:
            return re.sub(r"[^\w.-]", "-", Path(self.vectors).stem).lstrip(".-") or "vectors"
        if self.model in (DEFAULT, DEFAULT.rpartition("/")[2]):
            return "minilm"
        path = Path(self.model)
        last = path.expanduser().resolve().name if path.is_dir() else path.name
        return re.sub(r"[^\w.-]", "-", last).lstrip(".-") or "embeddings"

    @property
    def manifest(self) -> dict[str, Any]:
        """The config as the manifest has it: of files their names, and only what applies."""
        left_out = ("vectors", "ids") if self.vectors is None else ENCODING
        stored = {name: value for name, value in to_dict(self).items() if name not in left_out}
        if self.vectors is None:
            return {**stored, "model": self.portable_model}
        ids = None if self.ids is None else Path(self.ids).name
        return {**stored, "vectors": Path(self.vectors).name, "ids": ids}

    @property
    def portable_model(self) -> str:
        """The model as the manifest names it: of an absolute path, which exists on one machine only, the last part."""
        path = Path(self.model).expanduser()
        return f"./{path.name}" if path.is_absolute() else self.model


# What does not apply to vectors that are there already.
ENCODING = ("seed", *(f.name for f in fields(EmbedConfig) if spec_of(f).panel in (_MODEL, _SPEED)))
