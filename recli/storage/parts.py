"""Parts of a run: directories with `manifest.json`, Parquet tables and safetensors files.

A part is written into a hidden sibling and renamed into place, the manifest last. A manifest has no clock, no host
and no path in it: the same input, config and seed give the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from recli import schema
from recli.errors import ConfigError, RecliError, UsageError
from recli.schema import VERSION, State
from recli.storage import safetensors_file
from recli.storage.atomic import (
    MANIFEST,
    defer_sigint,
    disk_errors,
    recover,
    remove_abandoned,
    sha256_file,
    swap_into_place,
    sync,
    temporary_folder,
    write_file,
)
from recli.storage.safetensors_file import Array, Blocks

TABLES = {".csv": "write_csv", ".jsonl": "write_ndjson", ".parquet": "write_parquet"}


@dataclass
class PartWriter:
    """A part being written. `summary` goes into the manifest: figures that follow from the input alone."""

    path: Path
    summary: dict[str, Any] = field(default_factory=dict)
    format: int = schema.PLAIN

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
            (self.path / name).write_text(text, encoding="utf-8")


@contextmanager
def write_part(
    path: Path, kind: str, config: dict[str, Any], inputs: dict[str, str] | None = None
) -> Iterator[PartWriter]:
    """Write the part at `path`: yields a `PartWriter`, and puts it in place only if the block ends well.

    `inputs`: sha256 of the manifests this part was made from, by part name.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    recover(path)
    remove_abandoned(path)
    with temporary_folder(path.with_name(f".{path.name}.{os.getpid()}.tmp")) as temporary:
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
        writer.text(
            MANIFEST,
            json.dumps(manifest, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n",
        )
        sync(temporary)
        with defer_sigint():
            swap_into_place(temporary, path)


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
        path, expected = self.path / name, self.manifest["files"].get(name)
        if expected is None or not path.is_file():
            raise damaged(self.path, f"{name} is missing")
        if sha256_file(path) != expected:
            raise damaged(
                self.path, f"{name} is not what was written (its sha256 differs from the manifest's)"
            )
        return path

    def table(self, name: str) -> pl.DataFrame:
        path = self.file(f"{name}.parquet")
        try:
            return pl.read_parquet(path)
        except (pl.exceptions.PolarsError, OSError) as error:
            raise damaged(self.path, f"{name}.parquet cannot be read: {_first_line(error)}") from None

    def tensors(self, name: str) -> State:
        """The arrays of `NAME.safetensors`."""
        from safetensors import SafetensorError

        path = self.file(f"{name}.safetensors")
        try:
            return safetensors_file.read(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise damaged(self.path, f"{name}.safetensors cannot be read: {_first_line(error)}") from None


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


_TYPES = {"kind": str, "format": int, "files": dict, "config": dict, "inputs": dict, "summary": dict}


def open_part(path: Path, kind: str) -> Part:
    """The part at `path`. Raises `RecliError` where there is none, it is of another kind or damaged."""
    path = Path(path)
    recover(path)
    try:
        data = (path / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        remedy = None
        if known := schema.PART_KINDS.get(kind):
            remedy = known.remedy.format(run=path.parent.parent if known.several else path.parent)
        raise RecliError(f"there is no {kind} part at {path}", remedy) from None
    try:
        manifest = json.loads(data)
    except ValueError:
        manifest = None
    if not isinstance(manifest, dict):
        raise damaged(path, f"{MANIFEST} is not a manifest")
    for key, expected in _TYPES.items():
        if not isinstance(manifest.get(key), expected):
            raise damaged(path, f"{MANIFEST} is not a manifest: {key!r} is missing or of another type")
    if not all(isinstance(sha256, str) for key in ("files", "inputs") for sha256 in manifest[key].values()):
        raise damaged(path, f"{MANIFEST} is not a manifest: a sha256 is no text")
    if manifest["kind"] != kind:
        raise RecliError(f"{path} is a part of kind {manifest['kind']!r}, not {kind!r}", "name another part")
    if manifest["format"] > schema.FORMAT:
        raise RecliError(
            f"{path} has format {manifest['format']}, newer than this recli ({VERSION}) reads",
            "upgrade recli",
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
