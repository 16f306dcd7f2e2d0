"""Event table as numeric columns, compact enough to clean 100 million events in memory."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from recli.schema import Bool, Int32, Int64

# Rows sorted at a time: bounds the extra memory of a sort, and fits a cache.
BLOCK = 1 << 19

Column = npt.NDArray[Any]


def order_name(columns: Mapping[str, Column]) -> str | None:
    return next((name for name in ("position", "timestamp") if name in columns), None)


class Rows:
    """Events as equally long arrays, replaced one column at a time so that a step needs little extra memory.

    `columns`: user int32, item int32, value float32 [, rating float32] [, timestamp int64, microseconds]
    [, position int64: rank in time] [, part uint8: the given split].
    """

    def __init__(self, columns: dict[str, Column]) -> None:
        self.columns = columns

    def __len__(self) -> int:
        return int(self.columns["user"].size)

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    @property
    def user(self) -> Int32:
        return self.columns["user"]

    @property
    def item(self) -> Int32:
        return self.columns["item"]

    @property
    def order(self) -> str | None:
        """The column that orders a user's events: position, or time; None: the order is unknown."""
        return order_name(self.columns)

    def apply(self, change: Callable[[Column], Column]) -> None:
        """Replace each column by `change` of it; the old one is freed before the next is made."""
        for name in self.columns:
            self.columns[name] = change(self.columns[name])

    def keep(self, mask: Bool) -> int:
        """Keep the rows where `mask`, bool (n,), is true. Returns how many were left out."""
        left_out = len(self) - int(np.count_nonzero(mask))
        if left_out:
            self.apply(lambda column: column[mask])
        return left_out


def blocks(user: Int32, size: int = BLOCK) -> Iterator[slice]:
    """Slices of about `size` rows of `user`, int32 (n,), sorted; no user's rows are in two of them."""
    start = 0
    while start < user.size:
        end = min(start + size, user.size)
        if end < user.size:  # back to where the user at the edge begins, or on to its end
            edge = int(np.searchsorted(user[start:end], user[end], side="left")) + start
            end = edge if edge > start else int(np.searchsorted(user, user[end], side="right"))
        yield slice(start, end)
        start = end


def starts(user: Int32) -> Int64:
    """Where each user's rows begin, and the end: int64 (number of different users + 1,)."""
    changes = np.flatnonzero(user[1:] != user[:-1]) + 1
    return np.concatenate([[0], changes, [user.size]] if user.size else [[0]]).astype(np.int64)
