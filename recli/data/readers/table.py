"""The parsers' common output: batches of text columns, and rejected rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

RAW_LIMIT = 2_000  # characters of a bad row that are kept


_FREE = "column "


def free_name(number: int) -> str:
    """The name under which a column without a role is requested: of any type, unchanged or as text."""
    return f"{_FREE}{number}"


def is_free(name: str) -> bool:
    return name.startswith(_FREE)


class Reject(NamedTuple):
    """A row that could not be used: where it is, why, its text, and the bad number or time."""

    line: int
    column: str | None
    reason: str
    raw: str
    value: str | None = None


@dataclass(frozen=True)
class Batch:
    """Some rows of one file, in order.

    `frame`: `line` (Int64) and the requested columns, String (or native types, from Parquet); null is missing.
    `rejects`: rows of wrong shape. `raw(lines)`: the text of rows of this batch by line number.
    """

    frame: pl.DataFrame
    raw: Callable[[Sequence[int]], list[str]]
    rejects: list[Reject] = field(default_factory=list)


@dataclass(frozen=True)
class Table:
    """An opened file: its columns' names, and its batches with the columns selected by `{new name: number}`."""

    names: list[str]
    batches: Callable[[Mapping[str, int]], Iterator[Batch]]
