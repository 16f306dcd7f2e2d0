"""Rows that are the same in every column that is read: an export that overlaps with another, or events that were logged
twice."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from recli.data.event_columns import BLOCK, Column, Rows
from recli.data.lexsort import lexorder
from recli.schema import Bool
from recli.steps.prepare.cleaning.duplicates import gather_users

_SAME = ("rating", "value", "kind", "timestamp", "part", "item", "user")


@dataclass(frozen=True)
class Identical:
    """How many rows are the same as another one, the first of them not counted.

    `across`: those in another file than the first. `example`: of the latter, user, item, and the numbers of two files.
    """

    rows: int = 0
    across: int = 0
    example: tuple[int, int, int, int] | None = None


def find_identical(rows: Rows, n_users: int, drop: bool, block: int = BLOCK) -> Identical:
    """Count the rows that are the same as another one in user, item, part, time, event type, rating and value.

    With `drop`, only the first of each stays, in place. Brings the rows of neighboring users together, and takes the
    columns `file` and `kind` out of `rows`.
    """
    edges = gather_users(rows, n_users, block)
    repeated: Bool = np.zeros(len(rows), dtype=np.bool_)
    across, example = 0, None
    for start, end in pairwise(edges):
        columns = {name: rows.columns[name][start:end] for name in (*_SAME, "file") if name in rows}
        order, same = _repeats({name: columns[name] for name in _SAME if name in columns})
        repeated[start + order[same]] = True
        if "file" in columns and same.any():
            first = order[np.maximum.accumulate(np.where(same, 0, np.arange(order.size)))]
            other = same & (columns["file"][order] != columns["file"][first])
            across += int(other.sum())
            if example is None and other.any():
                at = int(np.flatnonzero(other)[0])
                user, item, file = (int(columns[name][order[at]]) for name in ("user", "item", "file"))
                example = user, item, int(columns["file"][first[at]]), file
    for name in ("file", "kind"):
        rows.columns.pop(name, None)
    total = int(repeated.sum())
    if drop:
        rows.keep(~repeated)
    return Identical(total, across, example)


def _repeats(columns: dict[str, Column]) -> tuple[Column, Bool]:
    """An order of rows, int64 (n,), that brings equal ones together, and which of them equal the one before."""
    order = lexorder(list(columns.values()))
    same: Bool = np.ones(order.size, dtype=np.bool_)
    same[:1] = False
    for column in columns.values():
        in_order = column[order]
        same[1:] &= in_order[1:] == in_order[:-1]
    return order, same
