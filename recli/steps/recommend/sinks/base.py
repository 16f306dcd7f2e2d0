"""The registry of output formats, and the interface of sinks, which write batches of rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, TypeVar

import polars as pl

from recli.errors import UsageError
from recli.registry import Registry


class Sink(Protocol):
    """Takes batches of rows, whole lists each (columns: see `frames.frame_of`); `finish` ends the output."""

    def add(self, rows: pl.DataFrame) -> None: ...

    def finish(self) -> None: ...


OpenSink = Callable[[IO[bytes], Path], Sink]
"""Called with the stream to write to and a folder for intermediate files."""
Opener = TypeVar("Opener", bound=OpenSink)


@dataclass(frozen=True)
class OutputFormat:
    """A registered format. `suffixes`: of files that are written so unless --format says otherwise."""

    name: str
    suffixes: tuple[str, ...]
    binary: bool  # not for a terminal
    open: OpenSink


formats: Registry[OutputFormat] = Registry("output format", "recli.steps.recommend.sinks", "recli.sinks")


def sink(name: str, suffixes: tuple[str, ...] = (), binary: bool = False) -> Callable[[Opener], Opener]:
    """Register the decorated class or function as the format `name`; see `OutputFormat`."""

    def register(opener: Opener) -> Opener:
        formats.add(name, OutputFormat(name, suffixes, binary, opener))
        return opener

    return register


def format_of(file: str) -> str:
    """The format that a file's name ends with. Raises `UsageError`."""
    suffix = Path(file).suffix.lower()
    for known in formats:
        if suffix in known.suffixes:
            return known.name
    raise UsageError(f"--out {file}: the format is not clear from the name", "say it with --format")
