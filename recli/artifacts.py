"""Parts of a run on disk: the one module that writes and reads them.

A part is a directory with `manifest.json`, Parquet tables and safetensors files. It is written into a hidden
sibling and renamed into place, the manifest last, so a killed command leaves the previous part whole. A
manifest has no clock, no host and no path in it: the same input, config and seed give the same bytes.
"""

import errno
import hashlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from recli import __version__, compact, schema, tensors
from recli.config import from_dict
from recli.errors import RecliError, UsageError
from recli.interactions import Interactions
from recli.models.base import Model, algorithms
from recli.models.fallback import item_counts
from recli.models.recency import recent
from recli.schema import Float32, State
from recli.tensors import Array, Blocks

if TYPE_CHECKING:
    import polars as pl

MANIFEST = "manifest.json"
TABLES = {".csv": "write_csv", ".jsonl": "write_ndjson", ".parquet": "write_parquet"}
_CHUNK = 1 << 22


@dataclass
class Draft:
    """A part being written. `summary` goes into the manifest: figures that follow from the input alone."""

    path: Path
    summary: dict[str, Any] = field(default_factory=dict)
    format: int = schema.PLAIN

    def table(self, name: str, frame: "pl.DataFrame | pl.LazyFrame") -> None:
        """Write `NAME.parquet`; a lazy frame is streamed."""
        import polars as pl

        with _disk_errors(self.path):
            target = self.path / f"{name}.parquet"
            if isinstance(frame, pl.LazyFrame):
                frame.sink_parquet(target, compression="zstd")
            else:
                frame.write_parquet(target, compression="zstd")

    def tensors(self, name: str, arrays: Mapping[str, Array | Blocks]) -> None:
        """Write `NAME.safetensors`."""
        with _disk_errors(self.path):
            tensors.write(self.path / f"{name}.safetensors", arrays)

    def text(self, name: str, text: str) -> None:
        with _disk_errors(self.path):
            (self.path / name).write_text(text, encoding="utf-8")


@contextmanager
def writing(
    path: Path, kind: str, config: dict[str, Any], inputs: dict[str, str] | None = None
) -> Iterator[Draft]:
    """Write the part at `path`: yields a `Draft`, and puts it in place only if the block ends well.

    `inputs`: sha256 of the manifests this part was made from, by part name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    _recover(path)
    _remove_abandoned(path)
    with _folder(path.with_name(f".{path.name}.{os.getpid()}.tmp")) as temporary:
        draft = Draft(temporary)
        yield draft
        names = sorted(p.relative_to(temporary).as_posix() for p in temporary.rglob("*") if p.is_file())
        manifest = {
            "kind": kind,
            "format": draft.format,
            "recli": __version__,
            "config": config,
            "inputs": inputs or {},
            "files": {name: sha256_file(temporary / name) for name in names},
            "summary": draft.summary,
        }
        draft.text(
            MANIFEST,
            json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n",
        )
        _sync(temporary)
        with _unbroken():
            _exchange(temporary, path)


@contextmanager
def _folder(path: Path) -> Iterator[Path]:
    """A new folder for the block, that goes with it, also where Ctrl-C comes just then."""
    try:
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir()
        yield path
    finally:
        with _unbroken():
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def scratch(run: Path) -> Iterator[Path]:
    """A folder for intermediate files, inside the run: `/tmp` is often small, or held in memory. Removed after it."""
    # named as `_remove_abandoned` knows them
    path = Path(run) / f".{schema.INTERACTIONS}.scratch.{os.getpid()}.tmp"
    was_there = path.parent.exists()
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent / schema.INTERACTIONS)
    try:
        with _folder(path):
            yield path
    finally:
        if not was_there and not any(path.parent.iterdir()):
            path.parent.rmdir()


@contextmanager
def writing_file(path: Path) -> Iterator[Path]:
    """Write a single file whole or not at all: yields a path in an empty hidden folder beside it.

    What is written there is renamed to `path` if the block ends well; the folder goes with all else in it.
    A link stays a link. A device or a pipe is never replaced: it is written to.
    """
    path = Path(path)
    if path.exists() and not path.is_file() and not path.is_dir():
        with TemporaryDirectory(prefix="recli-") as made:
            yield Path(made) / path.name
            with (Path(made) / path.name).open("rb") as source, path.open("wb") as target:
                shutil.copyfileobj(source, target, _CHUNK)
        return
    if path.is_symlink():
        path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path)
    with _folder(path.with_name(f".{path.name}.{os.getpid()}.tmp")) as folder:
        with _disk_errors(path):
            yield folder / path.name
        _sync(folder)
        (folder / path.name).replace(path)


def _exchange(temporary: Path, path: Path) -> None:
    old = path.with_name(f".{path.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if path.exists():
        path.rename(old)
    temporary.rename(path)
    shutil.rmtree(old, ignore_errors=True)


def _recover(path: Path) -> None:
    """Undo the first of the two renames where a kill came between them."""
    old = path.with_name(f".{path.name}.old")
    if not path.exists() and (old / MANIFEST).exists():
        old.rename(path)


def _remove_abandoned(path: Path) -> None:
    """Remove what killed writers of this part left behind."""
    for left in path.parent.glob(f".{path.name}.*.tmp"):
        pid = left.name.removesuffix(".tmp").rpartition(".")[2]
        if pid.isdigit() and int(pid) != os.getpid() and not _alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(directory: Path) -> None:
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


@contextmanager
def _unbroken() -> Iterator[None]:
    """Hold Ctrl-C back for the block, and let it through after it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if held:
        raise KeyboardInterrupt


@contextmanager
def _disk_errors(path: Path) -> Iterator[None]:
    """A full disk as an OSError that names the place: polars raises its own, an open file leaves its name out."""
    import polars as pl

    try:
        yield
    except OSError as error:
        if error.filename is None and error.errno is not None:
            error.filename = str(path.parent)
        raise
    except pl.exceptions.PolarsError as error:
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            if f"os error {number}" in str(error) or os.strerror(number).lower() in str(error).lower():
                raise OSError(number, os.strerror(number), str(path.parent)) from None
        raise


def sha256_file(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@dataclass(frozen=True)
class Part:
    """A part that is there, with its manifest. Files are checked against their sha256 when they are read."""

    path: Path
    manifest: dict[str, Any]
    sha256: str

    @property
    def config(self) -> dict[str, Any]:
        found: dict[str, Any] = self.manifest["config"]
        return found

    @property
    def summary(self) -> dict[str, Any]:
        found: dict[str, Any] = self.manifest["summary"]
        return found

    def has(self, file: str) -> bool:
        return file in self.manifest["files"]

    def file(self, name: str) -> Path:
        """The path of a file of this part, after checking that it is what was written."""
        path, expected = self.path / name, self.manifest["files"].get(name)
        if expected is None or not path.is_file():
            raise _damaged(self.path, f"{name} is missing")
        if sha256_file(path) != expected:
            raise _damaged(
                self.path, f"{name} is not what was written (its sha256 differs from the manifest's)"
            )
        return path

    def table(self, name: str) -> "pl.DataFrame":
        import polars as pl

        path = self.file(f"{name}.parquet")
        try:
            return pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise _damaged(self.path, f"{name}.parquet cannot be read: {_first_line(error)}") from None

    def tensors(self, name: str) -> State:
        """The arrays of `NAME.safetensors`."""
        from safetensors import SafetensorError

        path = self.file(f"{name}.safetensors")
        try:
            loaded = tensors.read(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise _damaged(self.path, f"{name}.safetensors cannot be read: {_first_line(error)}") from None
        return loaded


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _damaged(path: Path, why: str) -> RecliError:
    return RecliError(f"{path} is damaged: {why}", "make it again with the command that wrote it")


_REMEDY = {
    schema.INTERACTIONS: "make it with: recli prepare LOG --out {run}",
    schema.EMBEDDINGS: "make it with: recli embed {run}",
    schema.MODELS: "make it with: recli train-cf {run} --algorithm ...",
    schema.METRICS: "make it with: recli evaluate {run}",
}


def open_part(path: Path, kind: str) -> Part:
    """The part at `path`. Raises `RecliError` where there is none, it is of another kind or damaged."""
    path = Path(path)
    _recover(path)
    try:
        data = (path / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        run = path.parent if kind in (schema.INTERACTIONS, schema.METRICS) else path.parent.parent
        raise RecliError(
            f"there is no {kind} part at {path}", _REMEDY.get(kind, "").format(run=run) or None
        ) from None
    try:
        manifest = json.loads(data)
        found = (
            manifest["kind"],
            manifest["format"],
            manifest["files"],
            manifest["config"],
            manifest["inputs"],
        )
    except (ValueError, KeyError, TypeError):
        raise _damaged(path, f"{MANIFEST} is not a manifest") from None
    if found[0] != kind:
        raise RecliError(f"{path} is a part of kind {found[0]!r}, not {kind!r}", "name another part")
    if not isinstance(found[1], int) or found[1] > schema.FORMAT:
        raise RecliError(
            f"{path} has format {found[1]}, newer than this recli ({__version__}) reads", "upgrade recli"
        )
    return Part(path, manifest, hashlib.sha256(data).hexdigest())


def part_names(run: Path, kind: str) -> list[str]:
    """Names of the parts of one kind (`models`, `embeddings`) in a run."""
    folder = Path(run) / kind
    if not folder.is_dir():
        return []
    return sorted(p.name for p in folder.iterdir() if not p.name.startswith(".") and (p / MANIFEST).exists())


def check_same_input(part: Part, name: str, expected: str, command: str) -> None:
    """Refuse a part that was made from another version of the part `name` than the run has now."""
    if part.manifest["inputs"].get(name) != expected:
        raise RecliError(
            f"{part.path} was made from other {name} than the run has now", f"make it again: {command}"
        )


def write_table(path: Path, frame: "pl.DataFrame") -> None:
    """Write a table outside of any run, as CSV, JSON lines or Parquet by the name's extension; whole or not at all."""
    if path.suffix not in TABLES:
        raise UsageError(f"{path} must end in {', '.join(TABLES)}")
    with writing_file(path) as made:
        getattr(frame, TABLES[path.suffix])(made)


def write_interactions(
    run: Path,
    made: Interactions,
    config: dict[str, Any],
    summary: dict[str, Any],
    catalogue: "pl.DataFrame | None" = None,
    rejects: "pl.DataFrame | None" = None,
) -> None:
    """Write the part `interactions` of a run. Row i of `catalogue` describes item i."""
    with writing(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS, config) as draft:
        draft.table("users", made.users)
        draft.table("items", made.items)
        for name, rows in made.splits.items():
            draft.table(name, rows)
        if catalogue is not None:
            draft.table("catalogue", catalogue)
        if rejects is not None:
            draft.table("rejects", rejects)
        draft.summary.update(summary)


def read_interactions(run: Path) -> Interactions:
    """The part `interactions` of a run."""
    part = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    splits = {name: part.table(name) for name in schema.SPLITS}
    return Interactions(part.table("users"), part.table("items"), splits, part.sha256)


def read_catalogue(run: Path) -> "pl.DataFrame | None":
    """The catalogue's columns, row i for item i; None where `prepare` had no catalogue."""
    part = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    return part.table("catalogue") if part.has("catalogue.parquet") else None


@dataclass(frozen=True)
class StoredModel:
    """A model with all it needs to recommend: the interactions it was trained on, ids and catalogue."""

    name: str
    algorithm: str
    model: Model
    part: Part
    interactions: Interactions
    trained_on: tuple[str, ...]  # splits, ("train",) or ("train", "validation")

    @cached_property
    def item_counts(self) -> Float32:
        """Users of each item in what the model was trained on, float32 (n_items,)."""
        return item_counts(self.interactions.matrix(*self.trained_on))

    @property
    def catalogue(self) -> "pl.DataFrame | None":
        return self.part.table("catalogue") if self.part.has("catalogue.parquet") else None


def write_model(
    run: Path,
    name: str,
    algorithm: str,
    options: dict[str, Any],
    model: Model,
    *,
    seed: int,
    trained_on: tuple[str, ...] = ("train",),
    inputs: dict[str, str] | None = None,
    summary: dict[str, Any] | None = None,
    history_half_life: float = 0.0,
    storage_dtype: str = compact.FLOAT32,
) -> Path:
    """Write `run/models/NAME`, self-contained: it also holds the interactions' tables (hard links on disk).

    `inputs`: sha256 of the other parts it was made from; that of the interactions is added. With
    `history_half_life`, `read_model` gives the model histories that are weighted so (`recli.models.recency`).
    `storage_dtype`: what its matrices are stored as (`recli.compact`); `read_model` gives float32.
    """
    source = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    path = Path(run) / schema.MODELS / name
    config = {"algorithm": algorithm, "options": options, "seed": seed, "trained_on": list(trained_on)}
    if history_half_life:
        config["history_half_life"] = history_half_life
    with writing(
        path, schema.MODELS, config, {schema.INTERACTIONS: source.sha256, **(inputs or {})}
    ) as draft:
        state = model.state()
        if storage_dtype != compact.FLOAT32:
            config["storage_dtype"], draft.format = storage_dtype, schema.FORMAT
            state = compact.compact_state(state, _heights(source), storage_dtype)
        draft.tensors("model", state)
        for file in source.manifest["files"]:
            if file != "rejects.parquet":
                _link(source.file(file), draft.path / file)
        draft.summary.update(summary or {})
    return path


def _heights(interactions: Part) -> tuple[int, int]:
    """Numbers of users and of items."""
    import polars as pl

    users, items = (
        pl.scan_parquet(interactions.file(f"{name}.parquet")).select(pl.len()).collect().item()
        for name in ("users", "items")
    )
    return users, items


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def read_model(path: Path, interactions: Interactions | None = None) -> StoredModel:
    """The model at `path` (`run/models/NAME`, or a copy of it anywhere).

    `interactions`: those it was made from (see `check_same_input`), where they are in memory already.
    """
    path = Path(path)
    part = open_part(path, schema.MODELS)
    stored = part.config
    algorithm = algorithms[stored["algorithm"]]
    options = from_dict(algorithm.config, stored["options"])
    state = compact.expand_state(part.tensors("model"))
    model = recent(algorithm.load(options, state), stored.get("history_half_life", 0.0))
    if interactions is None:
        splits = {name: part.table(name) for name in schema.SPLITS}
        sha256 = part.manifest["inputs"][schema.INTERACTIONS]
        interactions = Interactions(part.table("users"), part.table("items"), splits, sha256)
    return StoredModel(path.name, algorithm.name, model, part, interactions, tuple(stored["trained_on"]))


def write_embeddings(
    run: Path,
    name: str,
    vectors: Float32 | Blocks,
    center: Float32,
    config: dict[str, Any],
    summary: dict[str, Any],
    *,
    projection: Float32 | None = None,
    dtype: str = "float32",
) -> Path:
    """Write `run/embeddings/NAME`: `vectors` float32 (n_items, d), `center` float32 (d,) taken off them.

    `vectors`: of length 1 at most where they come in blocks. `projection`: float32 (raw dimensions, d), applied
    before the centring, where there was one. `dtype`: what vectors are stored as, float32, float16 or int8.
    """
    source = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    path = Path(run) / schema.EMBEDDINGS / name
    with writing(path, schema.EMBEDDINGS, config, {schema.INTERACTIONS: source.sha256}) as draft:
        extra = {} if projection is None else {"projection": projection}
        if dtype != compact.FLOAT32:
            draft.format = schema.FORMAT
        stored: Mapping[str, Array | Blocks]
        if isinstance(vectors, Blocks):
            stored = compact.compact_blocks("vectors", vectors, dtype)
        else:
            stored = compact.compact("vectors", vectors, dtype)
        draft.tensors("vectors", {**stored, "center": center, **extra})
        draft.summary.update(summary)
    return path


def read_embeddings(run: Path, name: str) -> tuple[Float32, Part]:
    """The vectors of `run/embeddings/NAME`, float32 (n_items, d), zero rows for items without text."""
    part = open_part(Path(run) / schema.EMBEDDINGS / name, schema.EMBEDDINGS)
    source = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    check_same_input(part, schema.INTERACTIONS, source.sha256, f"recli embed {run} --name {name}")
    return compact.expand("vectors", part.tensors("vectors")), part
