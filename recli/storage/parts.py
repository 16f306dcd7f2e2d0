"""Parts of a run: directories with `manifest.json`, Parquet tables and safetensors files.

A part is written into a hidden sibling and renamed into place, the manifest last. A manifest has no clock, no host
and no path in it: the same input, config and seed give the same bytes. A part that would not change is left as it is.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

import polars as pl

from recli import schema
from recli.errors import ConfigError, RecliError, UsageError
from recli.schema import VERSION, State
from recli.storage import locks, safetensors_file
from recli.storage.atomic import (
    disk_errors,
    remove_abandoned,
    sha256_file,
    sync,
    temporary_folder,
    write_file,
)
from recli.storage.exchange import MANIFEST, is_between_renames, recover, recover_own, swap_into_place
from recli.storage.manifests import digested, parse
from recli.storage.safetensors_file import Array, Blocks
from recli.storage.signals import defer_signals

P = ParamSpec("P")
T = TypeVar("T")

_LOOKS = 5  # at a part that seems to be gone
TABLES = {".csv": "write_csv", ".jsonl": "write_ndjson", ".parquet": "write_parquet"}


@dataclass
class PartWriter:
    """A part being written. `summary` goes into the manifest: figures that follow from the input alone.

    `unchanged`: after the block, whether the part was there already with the same bytes, and was left as it was.
    """

    path: Path
    summary: dict[str, Any] = field(default_factory=dict)
    format: int = schema.PLAIN
    unchanged: bool = False

    def table(self, name: str, frame: pl.DataFrame | pl.LazyFrame) -> None:
        """Write `NAME.parquet`; a lazy frame is streamed."""
        with disk_errors(self.path):
            target = self.path / f"{name}.parquet"
            if isinstance(frame, pl.LazyFrame):
                frame.sink_parquet(target, compression="zstd")
            else:
                frame.write_parquet(target, compression="zstd")

    def tensors(self, name: str, arrays: Mapping[str, Array | Blocks]) -> None:
        """Write `NAME.safetensors`."""
        with disk_errors(self.path):
            safetensors_file.write(self.path / f"{name}.safetensors", arrays)

    def text(self, name: str, text: str) -> None:
        with disk_errors(self.path):
            (self.path / name).write_bytes(text.encode())  # bytes: newlines are the same on every system


@contextmanager
def write_part(
    path: Path, kind: str, config: dict[str, Any], inputs: dict[str, str] | None = None
) -> Iterator[PartWriter]:
    """Write the part at `path`: yields a `PartWriter`, and puts it in place only if the block ends well.

    `inputs`: sha256 of what this part was made from: of the manifests of parts, by part name, and of files. Raises
    `RecliError` where another process writes the same part for long, or something else than a part is in the way.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.writing(path):
        recover_own(path)
        _check_replaceable(path)
        remove_abandoned(path)
        with temporary_folder(path) as temporary:
            writer = PartWriter(temporary)
            yield writer
            names = sorted(p.relative_to(temporary).as_posix() for p in temporary.rglob("*") if p.is_file())
            manifest = {
                "kind": kind,
                "format": writer.format,
                "recli": VERSION,
                "config": config,
                "inputs": inputs or {},
                "files": {name: sha256_file(temporary / name) for name in names},
                "summary": writer.summary,
            }
            text = digested(manifest)
            writer.unchanged = _is_same(path, text, manifest)
            if not writer.unchanged:
                writer.text(MANIFEST, text)
                with disk_errors(temporary):
                    sync(temporary)
                with defer_signals():
                    swap_into_place(temporary, path)


def _check_replaceable(path: Path) -> None:
    """Raises `RecliError` where a file, or a folder that is no part but has something in it, is at `path`."""
    if path.is_file():
        raise RecliError(f"{path} is a file, and in the way of a part of the run", "move it away")
    if path.is_dir() and not os.path.lexists(path / MANIFEST) and any(path.iterdir()):
        raise RecliError(
            f"{path} is not a part of a run (it has no {MANIFEST}), and would be replaced",
            "move it away, or name another run",
        )


def _is_same(path: Path, text: str, manifest: dict[str, Any]) -> bool:
    """Whether the part at `path` has this manifest, and the files that it says."""
    try:
        return (path / MANIFEST).read_bytes() == text.encode() and all(
            sha256_file(path / name) == sha256 for name, sha256 in manifest["files"].items()
        )
    except OSError:
        return False


def unchanged(path: Path, kind: str, config: dict[str, Any], inputs: dict[str, str] | None = None) -> bool:
    """Whether the part at `path` was made by this version from just this config and these inputs, and is whole.

    Then making it again would give the same bytes. `config`, `inputs`: as for `write_part`.
    """
    try:
        part = open_part(path, kind)
        whole = all(part.file(name) for name in part.manifest["files"])
    except RecliError:
        return False
    return (
        whole
        and part.made_by == VERSION
        and part.config == json.loads(json.dumps(config))
        and part.inputs == (inputs or {})
    )


@dataclass(frozen=True)
class Part:
    """A part that is there, with its manifest. Files are checked against their sha256 when they are read."""

    path: Path
    manifest: dict[str, Any]
    sha256: str

    @property
    def config(self) -> dict[str, Any]:
        config: dict[str, Any] = self.manifest["config"]
        return config

    @property
    def summary(self) -> dict[str, Any]:
        summary: dict[str, Any] = self.manifest["summary"]
        return summary

    @property
    def inputs(self) -> dict[str, str]:
        """sha256 of the manifests that the part was made from, by part name."""
        inputs: dict[str, str] = self.manifest["inputs"]
        return inputs

    @property
    def made_by(self) -> str:
        """The version of recli that wrote the part."""
        version = self.manifest.get("recli")
        return version if isinstance(version, str) else "of an unknown version"

    def has(self, file: str) -> bool:
        return file in self.manifest["files"]

    def file(self, name: str) -> Path:
        """The path of a file of this part, after checking that it is what was written."""
        with self.opened(name) as path:
            return path

    @contextmanager
    def opened(self, name: str) -> Iterator[Path]:
        """As `file`, for a block that reads it: what was read is what was written, whoever writes meanwhile."""
        path, expected = self.path / name, self.manifest["files"].get(name)
        if expected is None or not path.is_file():
            raise self._wrong(f"{name} is missing{_dangling(path)}")
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                raise self._wrong(f"{name} is not what was written (its sha256 differs from the manifest's)")
            yield path
            try:
                same = os.path.samestat(os.fstat(file.fileno()), path.stat())
            except FileNotFoundError:
                same = False
            if not same:
                raise self._wrong(f"{name} was replaced while it was read")

    def table(self, name: str, columns: Sequence[str] | None = None) -> pl.DataFrame:
        """The table `NAME.parquet`, or some columns of it."""
        try:
            with self.opened(f"{name}.parquet") as path:
                return pl.read_parquet(path, columns=None if columns is None else list(columns))
        except (pl.exceptions.PolarsError, OSError) as error:
            raise self._wrong(f"{name}.parquet cannot be read: {_first_line(error)}") from None

    def tensors(self, name: str) -> State:
        """The arrays of `NAME.safetensors`."""
        from safetensors import SafetensorError

        try:
            with self.opened(f"{name}.safetensors") as path:
                return safetensors_file.read(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise self._wrong(f"{name}.safetensors cannot be read: {_first_line(error)}") from None

    def _wrong(self, why: str) -> RecliError:
        """The error for a file that is not what the manifest says: another part may be there by now."""
        try:
            is_there = hashlib.sha256((self.path / MANIFEST).read_bytes()).hexdigest() == self.sha256
        except OSError:
            is_there = False
        return damaged(self.path, why) if is_there else PartReplaced(self.path)


class PartReplaced(RecliError):
    """A part was replaced or removed by another process while it was read."""

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} was replaced or removed while it was read", "run the command again")


def again_if_replaced(read: Callable[P, T]) -> Callable[P, T]:
    """Decorate a function that opens a part and reads it: it reads again where another process replaced the part."""

    @wraps(read)
    def call(*arguments: P.args, **options: P.kwargs) -> T:
        for _ in range(_READS - 1):
            try:
                return read(*arguments, **options)
            except PartReplaced:
                continue
        return read(*arguments, **options)

    return call


_READS = 5


def _dangling(path: Path) -> str:
    """What to add to a message about a missing file where a link to it is there."""
    return f": it is a link to {path.readlink()}, which is not there" if path.is_symlink() else ""


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def damaged(path: Path, why: str) -> RecliError:
    """The error for a part whose files or manifest are not what recli writes."""
    return RecliError(f"{path} is damaged: {why}", "make it again with the command that wrote it")


@contextmanager
def readable(part: Part, remedy: str) -> Iterator[None]:
    """Convert errors in reading a part of another version into a `RecliError` that names that version."""
    try:
        yield
    except ConfigError as error:
        reason = error.what
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, AssertionError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else _first_line(error)
        reason = f"other arrays than this version ({VERSION}) reads: {what}"
    else:
        return
    raise RecliError(f"{part.path} was made by recli {part.made_by} with {reason}", remedy)


def open_part(path: Path, kind: str) -> Part:
    """The part at `path`. Raises `RecliError` where there is none, it is of another kind or damaged."""
    path = Path(path)
    data = _manifest_of(path, kind)
    try:
        manifest = parse(data)
    except ValueError as error:
        raise damaged(path, f"{MANIFEST} is not {error}") from None
    if manifest["kind"] != kind:
        raise RecliError(f"{path} is a part of kind {manifest['kind']!r}, not {kind!r}", "name another part")
    if manifest["format"] > schema.FORMAT:
        raise RecliError(
            f"{path} has format {manifest['format']}, newer than this recli ({VERSION}) reads",
            "upgrade recli",
        )
    return Part(path, manifest, hashlib.sha256(data).hexdigest())


def _manifest_of(path: Path, kind: str) -> bytes:
    """The bytes of a part's manifest. Looks again where a writer has just put another part there."""
    for looked in range(_LOOKS):
        recover(path)
        try:
            if (path / MANIFEST).exists() and not (path / MANIFEST).is_file():
                raise damaged(path, f"{MANIFEST} is not a file")
            return (path / MANIFEST).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            if looked and not is_between_renames(path):
                break
            time.sleep(_PAUSE if looked else 0)
    if (path / MANIFEST).is_symlink() or path.is_symlink():
        link = path / MANIFEST if (path / MANIFEST).is_symlink() else path
        raise RecliError(
            f"{link} is a link to {link.readlink()}, which is not there", "fetch or make it again"
        )
    remedy = None
    if known := schema.PART_KINDS.get(kind):
        remedy = known.remedy.format(run=path.parent.parent if known.several else path.parent)
    raise RecliError(f"there is no {kind} part at {path}", remedy)


_LOOKS = 40
_PAUSE = 0.05


def part_names(run: Path, kind: str) -> list[str]:
    """Names of the parts of one kind (`models`, `embeddings`) in a run.

    One that a killed writer left between two renames comes back; where that cannot be, its name is among them.
    """
    folder = Path(run) / kind
    if not folder.is_dir():
        return []
    names = set()
    for _ in range(2):  # a listing may miss a name that is being changed
        for path in folder.iterdir():
            if waiting := re.fullmatch(r"\.(.+)\.old", path.name):
                recover(path.with_name(waiting[1]))
                names.add(waiting[1])
            elif not path.name.startswith("."):
                names.add(path.name)
    return sorted(name for name in names if _is_part(folder / name))


def _is_part(path: Path) -> bool:
    """Whether a manifest is at `path`, or waits beside it; looks again, as a writer may be putting a part there."""
    dangling = path.is_symlink() and not path.exists()  # listed, so that it is not left out in silence
    return dangling or any(
        os.path.lexists(path / MANIFEST) or is_between_renames(path) for _ in range(_LOOKS)
    )


def check_same_input(part: Part, name: str, expected: str, command: str) -> None:
    """Refuse a part that was made from another version of the part `name` than the run has now."""
    if part.inputs.get(name) != expected:
        raise RecliError(
            f"{part.path} was made from other {name} than the run has now", f"make it again: {command}"
        )


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a table outside of any run, as CSV, JSON lines or Parquet by the name's extension; whole or not at all."""
    if path.suffix not in TABLES:
        raise UsageError(f"{path} must end in {', '.join(TABLES)}")
    with write_file(path) as temporary:
        getattr(frame, TABLES[path.suffix])(temporary)
