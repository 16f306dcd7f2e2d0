"""The parsers' common output: batches of text columns, and rejected rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from recli.data.readers.nested import Nested

RAW_LIMIT = 2_000  # characters of a bad row that are kept


_FREE = "column "


def free_name(number: int) -> str:
    """The name under which a column without a role is requested: of any type, unchanged or as text."""
    return f"{_FREE}{number}"


def is_free(name: str) -> bool:
    return name.startswith(_FREE)


_LIST = "list "


def list_name(name: str) -> str:
    """The name under which a column of lists is requested: lists of text, or the text (JSON, `a|b`) of lists."""
    return f"{_LIST}{name}"


def is_list(name: str) -> bool:
    return name.startswith(_LIST)


class Reject(NamedTuple):
    """A row that could not be used: where it is, why, its text, and the bad number or time."""

    line: int
    column: str | None
    reason: str
    raw: str
    value: str | None = None


class Exploded(NamedTuple):
    """Rows with lists in them that became events: `rows` of the file, of which `empty` hold no element."""

    rows: int = 0
    events: int = 0
    empty: int = 0


@dataclass(frozen=True)
class LineCounts:
    """Physical lines of a text file: `taken` = rows + rejects + `blank` + `continued` (lines of a record after its
    first; `longest`: the lines of the longest record and where it begins) + `comments`."""

    taken: int
    blank: int = 0
    continued: int = 0
    longest: tuple[int, int] | None = None
    comments: int = 0


@dataclass(frozen=True)
class Batch:
    """Some rows of one file, in order.

    `frame`: `line` (Int64) and the requested columns, String (or native types, from Parquet); null is missing.
    `rejects`: rows of wrong shape. `raw(lines)`: the text of rows of this batch by line number.
    `lines`: of a text file. `exploded`: where a row of the file may have become several.
    """

    frame: pl.DataFrame
    raw: Callable[[Sequence[int]], list[str]]
    rejects: list[Reject] = field(default_factory=list)
    lines: LineCounts | None = None
    exploded: Exploded | None = None


@dataclass(frozen=True)
class Table:
    """An opened file: its columns' names, and its batches with the columns selected by `{new name: number}`.

    `notes`: what was assumed about the file, complete when all batches are read. `before`: lines before the data.
    `nested`: the columns that hold lists or objects.
    """

    names: list[str]
    batches: Callable[[Mapping[str, int]], Iterator[Batch]]
    notes: list[str] = field(default_factory=list)
    before: LineCounts | None = None
    nested: Mapping[str, Nested] = field(default_factory=dict)
