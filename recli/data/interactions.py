"""Interactions in memory: indexed events of users with items, by split."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
import polars as pl

from recli import schema
from recli.data.arrays import ranges, tie_order
from recli.data.history import History, order_of, ordered_pairs
from recli.data.weights import AS_THEY_ARE, WeightTransform
from recli.schema import CSR, Bool, Int32, Int64


def no_seen_events() -> pl.DataFrame:
    """The table `seen` of a run without such events."""
    columns = {
        schema.USER: pl.Int32,
        schema.ITEM: pl.Int32,
        schema.NEGATIVE: pl.Float32,
        schema.SPLIT: pl.String,
    }
    return pl.DataFrame(schema=columns)


@dataclass(frozen=True)
class Interactions:
    """The part `interactions` of a run.

    `users`: columns user_id, cold. `items`: item_id, text (null where there is none), cold.
    `splits`: for each of train, validation, test and history, rows of user, item, value [, rating]
    [, timestamp], sorted by user, time, item. `history` holds what cold users did before their test
    events: input for scoring them, never for training. `cold`: no event in `train`, whether by
    design (`--cold-items`, `--cold-users`), by time, or because only the catalogue has the item.
    `seen_events`: what users did but no model is to like it for: rows of user, item, negative, split, one for each pair
    that is in none of the splits, sorted by user. `negative`: float32, how strongly the user disliked the item; 0: the
    item was merely seen. `split`: the one of `splits` in whose time (or share, of a random split) the event lies.
    """

    users: pl.DataFrame
    items: pl.DataFrame
    splits: dict[str, pl.DataFrame]
    sha256: str = ""  # of the part's manifest
    seen_events: pl.DataFrame = field(default_factory=no_seen_events)
    weights: WeightTransform = AS_THEY_ARE  # how the log's weights became the values

    @property
    def n_users(self) -> int:
        return self.users.height

    @property
    def n_items(self) -> int:
        return self.items.height

    @cached_property
    def ties(self) -> Int32:
        """Tie-breaking ranks of the items: see `tie_order`."""
        return tie_order(self.items[schema.ITEM_ID])

    def only(self, users: Int64) -> Interactions:
        """Without the events of others; users keep their row numbers. `users`: int64 (n,)."""
        selected = np.unique(users)
        if selected.size > self.n_users // 4:  # building all matrices is as fast as selecting users
            return self
        splits = {name: _of_users(rows, selected) for name, rows in self.splits.items()}
        return replace(self, splits=splits, seen_events=_of_users(self.seen_events, selected))

    def matrix(self, *splits: str, column: str = schema.VALUE) -> CSR:
        """The named splits as one sparse matrix, float32 (n_users, n_items); a pair in two splits is summed."""
        return self._matrix([self.splits[s] for s in splits], column)

    def known(self, *splits: str) -> CSR:
        """Items that users did anything with in the named splits, also what was filtered out of them, float32
        (n_users, n_items), > 0."""
        liked, others = self.matrix(*splits), self._also_seen(splits)
        return liked if others is None else liked + others

    def negatives(self, *splits: str) -> CSR:
        """How strongly users disliked items in the named splits, float32 (n_users, n_items), > 0 where they did."""
        disliked = self._seen_in(splits).filter(pl.col(schema.NEGATIVE) > 0)
        return self._matrix([disliked], schema.NEGATIVE)

    def _also_seen(self, splits: tuple[str, ...]) -> CSR | None:
        """1 for items that users had in these splits, but that are not in them; None: there are none."""
        seen = self._seen_in(splits).with_columns(pl.lit(1.0, pl.Float32).alias(schema.VALUE))
        return self._matrix([seen], schema.VALUE) if seen.height else None

    def _seen_in(self, splits: tuple[str, ...]) -> pl.DataFrame:
        return self.seen_events.filter(pl.col(schema.SPLIT).is_in(splits))

    def _matrix(self, rows: list[pl.DataFrame], column: str) -> CSR:
        from scipy.sparse import csr_matrix

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
        rows = [self.splits[s] for s in splits if self.splits[s].height] or [self.splits[s] for s in splits]
        orders = [order for order in map(order_of, rows) if order is not None]
        history = self.history_of(*splits)
        if len(orders) < len(rows):
            return history
        users, items = (np.concatenate([r[c].to_numpy() for r in rows]) for c in (schema.USER, schema.ITEM))
        return replace(history, steps=ordered_pairs(users, items, np.concatenate(orders))[1])

    def history_of(self, *splits: str) -> History:
        """The named splits as histories (n_users, n_items), without their order."""
        negatives = self.negatives(*splits)
        return History(
            self.matrix(*splits),
            negatives=negatives if negatives.nnz else None,
            also_seen=self._also_seen(splits),
        )

    def history(self, trained_on: tuple[str, ...] = ("train",), in_order: bool = True) -> History:
        """What scores are computed from: the splits a model was trained on, and what cold users did.

        Without `in_order`, the steps are left out: they take time, and few models ask for them.
        """
        splits = (*trained_on, "history")
        return self.ordered(*splits) if in_order else self.history_of(*splits)

    @property
    def has_order(self) -> bool:
        """Whether it is known which of a user's events came first."""
        return all(order_of(rows) is not None for rows in self.splits.values() if rows.height)

    @property
    def has_times(self) -> bool:
        """Whether it is known when events were."""
        return all(schema.TIMESTAMP in rows.columns for rows in self.splits.values() if rows.height)

    def seen(self) -> CSR:
        """Items that are masked in evaluation on the test split: all that a user did before it, `known` events."""
        return self.known("train", "validation", "history")


def _of_users(rows: pl.DataFrame, users: Int64) -> pl.DataFrame:
    """The rows of these users, int64 (n,) and ascending. `rows`: sorted by user."""
    by_user = rows[schema.USER].to_numpy()
    keys = users.astype(by_user.dtype)
    starts, ends = (np.searchsorted(by_user, keys, side) for side in ("left", "right"))
    together = users.size == 1  # a slice needs no copy
    return rows[starts[0] : ends[0]] if together else rows[ranges(starts, ends - starts)]
