"""Interactions in memory: indexed events of users with items, by split."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl

from recli import schema
from recli.data.arrays import ranges, tie_order
from recli.data.history import History, order_of, ordered_pairs
from recli.schema import CSR, Bool, Int32, Int64


@dataclass(frozen=True)
class Interactions:
    """The part `interactions` of a run.

    `users`: columns user_id, cold. `items`: item_id, text (null where there is none), cold.
    `splits`: for each of train, validation, test and history, rows of user, item, value [, rating]
    [, timestamp], sorted by user, time, item. `history` holds what cold users did before their test
    events: input for scoring them, never for training. `cold`: no event in `train`, whether by
    design (`--cold-items`, `--cold-users`), by time, or because only the catalogue has the item.
    """

    users: pl.DataFrame
    items: pl.DataFrame
    splits: dict[str, pl.DataFrame]
    sha256: str = ""  # of the part's manifest

    @property
    def n_users(self) -> int:
        return self.users.height

    @property
    def n_items(self) -> int:
        return self.items.height

    @cached_property
    def ties(self) -> Int32:
        """What equal scores are ordered by: see `tie_order`."""
        return tie_order(self.items[schema.ITEM_ID])

    def only(self, users: Int64) -> Interactions:
        """Without the events of others; users keep their row numbers. `users`: int64 (n,)."""
        selected = np.unique(users)
        if selected.size > self.n_users // 4:  # building all matrices is as fast as selecting users
            return self
        splits = {}
        for name, rows in self.splits.items():
            by_user = rows[schema.USER].to_numpy()  # sorted
            wanted = selected.astype(by_user.dtype)
            starts, ends = (np.searchsorted(by_user, wanted, side) for side in ("left", "right"))
            together = selected.size == 1  # a slice needs no copy
            splits[name] = rows[starts[0] : ends[0]] if together else rows[ranges(starts, ends - starts)]
        return replace(self, splits=splits)

    def matrix(self, *splits: str, column: str = schema.VALUE) -> CSR:
        """The named splits as one sparse matrix, float32 (n_users, n_items); a pair in two splits is summed."""
        from scipy.sparse import csr_matrix

        rows = [self.splits[s] for s in splits]
        users, items = (np.concatenate([r[c].to_numpy() for r in rows]) for c in (schema.USER, schema.ITEM))
        values = np.concatenate([r[column].cast(pl.Float32).to_numpy() for r in rows])
        matrix = csr_matrix((values, (users, items)), shape=(self.n_users, self.n_items), dtype=np.float32)
        matrix.sum_duplicates()
        matrix.sort_indices()
        return matrix

    def having(self, *splits: str) -> Bool:
        """Which users have an event in the named splits, bool (n_users,)."""
        has_event = np.zeros(self.n_users, dtype=bool)
        for name in splits:
            has_event[self.splits[name][schema.USER].to_numpy()] = True
        return has_event

    def ordered(self, *splits: str) -> History:
        """The named splits as histories (n_users, n_items), in order where it is known for all of them."""
        values = self.matrix(*splits)
        rows = [self.splits[s] for s in splits if self.splits[s].height] or [self.splits[s] for s in splits]
        orders = [order for order in map(order_of, rows) if order is not None]
        if len(orders) < len(rows):
            return History(values)
        users, items = (np.concatenate([r[c].to_numpy() for r in rows]) for c in (schema.USER, schema.ITEM))
        return History(values, ordered_pairs(users, items, np.concatenate(orders))[1])

    def history(self, trained_on: tuple[str, ...] = ("train",)) -> History:
        """What scores are computed from: the splits a model was trained on, and what cold users did."""
        return self.ordered(*trained_on, "history")

    @property
    def has_order(self) -> bool:
        """Whether it is known which of a user's events came first."""
        return all(order_of(rows) is not None for rows in self.splits.values() if rows.height)

    @property
    def has_times(self) -> bool:
        """Whether it is known when events were."""
        return all(schema.TIMESTAMP in rows.columns for rows in self.splits.values() if rows.height)

    def seen(self) -> CSR:
        """Items that are masked in evaluation on the test split: all events before it."""
        return self.matrix("train", "validation", "history")
