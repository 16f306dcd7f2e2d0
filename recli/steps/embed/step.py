"""`recli embed`: the items' texts as vectors."""

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recli.cli.console import Console, run_path
from recli.config import Config, argument, option, option_name, to_dict
from recli.errors import RecliError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from recli.data.interactions import Interactions
    from recli.encoders.base import Encoded
    from recli.encoders.texts import DistinctTexts
    from recli.schema import Bool, Float32

_DEFAULT = "sentence-transformers/all-MiniLM-L6-v2"
_MODEL = "Model"
_SPEED = "Speed"
_ITEMS = 1 << 14  # whose vectors are held at a time


@dataclass(frozen=True)
class EmbedConfig(Config):
    run: str = argument(..., "The run; `-` reads its path from stdin.", metavar="RUN", stored=False)
    name: str = option(
        "", "Name of the embeddings.", default_text="from the model: minilm, tfidf, ...", stored=False
    )
    model: str = option(
        _DEFAULT,
        "HuggingFace model, by id or folder, or `tfidf` (TF-IDF and truncated SVD, needs no model).",
        metavar="ID|PATH|tfidf",
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


def embed(config: EmbedConfig, console: Console) -> None:
    """Turn the items' texts into vectors with a language model: RUN/embeddings/NAME.

    Identical texts are encoded once; items without text get a zero vector. Raw vectors are kept in RUN/cache, so
    that an interrupted run resumes and later only new or changed texts are encoded. What is stored is centered, with
    length 1.

    Example: recli embed sample_data/run --model tfidf
    """
    import numpy as np

    from recli.encoders.base import Encoded, fitted
    from recli.encoders.space import fit_space
    from recli.encoders.texts import unique
    from recli.storage import runs
    from recli.storage.safetensors_file import Blocks

    name, own = _name(config), config.model in fitted.names()
    if own:
        _refuse_model_options(config)
    run = run_path(config.run)
    interactions = runs.read_interactions(run)
    texts = unique(interactions.items["text"].to_list())
    _say_texts(texts, console)
    dim = config.dim
    if own:
        dim = dim or fitted[config.model].dim
        made = fitted[config.model].encode(texts.texts, texts.texts, dim, config.seed)
        encoded = Encoded(made.__getitem__, made.shape[1], {"reduction": "svd"}, 0, False)
    else:
        encoded = _pretrained(config, run, texts, interactions, console)

    def raw() -> "Iterator[Float32]":
        for start in range(0, interactions.n_items, _ITEMS):
            rows = texts.row[start : start + _ITEMS]
            block = np.zeros((rows.size, encoded.dim), dtype=np.float32)
            block[rows >= 0] = encoded.take(rows[rows >= 0])
            yield block

    trained = _trained(interactions)
    space, known = fit_space(raw, trained, center=config.center, dim=dim, matryoshka=encoded.matryoshka)
    shape = interactions.n_items, space.center.size
    vectors = Blocks(shape, "float32", lambda: map(space.transform, raw()))
    summary = {
        "items": interactions.n_items,
        "texts": len(texts.texts),
        "without_text": texts.n_empty,
        "zero_vectors": int((~known).sum()),
        "raw_dimensions": encoded.dim,
        "dimensions": space.center.size,
        **encoded.facts,
    }
    stored = {**to_dict(config), "model": _portable(config.model)}
    path = runs.write_embeddings(
        run,
        name,
        vectors,
        space.center,
        stored,
        summary,
        projection=space.projection,
        dtype=config.storage_dtype,
    )
    _say_result(path, summary, config.center, console)
    counts = {"encoded": len(texts.texts) - encoded.n_reused, "reused": encoded.n_reused}
    console.result(run, {"embeddings": name, **summary, **counts})


def _pretrained(
    config: EmbedConfig, run: Path, texts: "DistinctTexts", interactions: "Interactions", console: Console
) -> "Encoded":
    """The texts' raw vectors, with how they are reduced among the facts."""
    from recli.steps.embed.encode import EncodeOptions, encode_texts

    wanted = EncodeOptions(**{f.name: getattr(config, f.name) for f in fields(EncodeOptions)})
    item_ids = interactions.items["item_id"].to_list()
    made = encode_texts(wanted, run / "cache" / "embeddings", texts, item_ids, console)
    n_raw = made.dim
    if config.dim is not None and config.dim > n_raw:
        raise UsageError(f"--dim {config.dim}: {config.model} has {n_raw} dimensions")
    how = "none"
    if config.dim is not None and config.dim < n_raw:
        how = "matryoshka" if made.matryoshka else "pca"
        way = (
            "the first ones of a Matryoshka model" if made.matryoshka else "principal components of the items"
        )
        console.say(f"{config.dim} of {n_raw} dimensions: {way}")
    return replace(made, facts={**made.facts, "reduction": how})


def _name(config: EmbedConfig) -> str:
    """The part's name: as asked, or from the model."""
    if config.name:
        if not re.fullmatch(r"\w[\w.-]*", config.name):
            raise UsageError(f"--name {config.name!r}: letters, digits, dots, dashes and underscores only")
        return config.name
    if config.model in (_DEFAULT, _DEFAULT.rpartition("/")[2]):
        return "minilm"
    last = (
        Path(config.model).expanduser().resolve().name
        if Path(config.model).is_dir()
        else Path(config.model).name
    )
    return re.sub(r"[^\w.-]", "-", last).lstrip(".-") or "embeddings"


def _portable(model: str) -> str:
    """The model as the manifest names it: of an absolute path, which means nothing elsewhere, the last part."""
    path = Path(model).expanduser()
    return f"./{path.name}" if path.is_absolute() else model


def _refuse_model_options(config: EmbedConfig) -> None:
    from recli.steps.embed.encode import EncodeOptions

    names = {f.name for f in fields(EncodeOptions)} - {"model"}
    for field in fields(config):
        if field.name in names and getattr(config, field.name) != field.default:
            raise UsageError(f"{option_name(field)} means nothing to --model {config.model}", "leave it out")


def _say_texts(texts: "DistinctTexts", console: Console) -> None:
    n = len(texts.row)
    if not texts.texts:
        raise RecliError(
            "no item has a text",
            "give prepare a catalogue: recli prepare LOG --items FILE --text '{title}' --out RUN",
        )
    empty = f", {texts.n_empty:,} without text get a zero vector" if texts.n_empty else ""
    console.say(f"{n:,} items, {len(texts.texts):,} different texts{empty}")


def _trained(interactions: "Interactions") -> "Bool":
    """Items with a training event, bool (n_items,)."""
    import numpy as np

    trained = np.zeros(interactions.n_items, dtype=np.bool_)
    trained[interactions.splits["train"]["item"].unique().to_numpy()] = True
    return trained


def _say_result(path: Path, summary: dict[str, Any], center: bool, console: Console) -> None:
    unknown = summary["zero_vectors"] - summary["without_text"]
    if unknown:
        console.say(
            f"{unknown:,} texts have no word that the encoder knows: their items get a zero vector too"
        )
    how = [f"{summary['dimensions']} dimensions", *(summary[k] for k in ("pooling", "dtype") if k in summary)]
    how.append("centered on the training items" if center else "not centered")
    console.say(f"{path}: {summary['items']:,} vectors, {', '.join(how)}")
