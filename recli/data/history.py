"""Histories in order: what each user did, and how long ago in events of the user's own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from recli import schema
from recli.data.arrays import ranges
from recli.schema import CSR, Bool, Int32, Int64

_LEAST = 1e-30  # smallest weight: zeros would be dropped entries, and models divide by weights


@dataclass(frozen=True)
class History:
    """What users did, one row per user, and in which order where that is known.

    `values`: csr float32 (n, n_items). `steps`: int32 (nnz,), beside `values.data`: how many of the user's items came
    later, 0 for the last one; None: the order is unknown. A pair that occurs several times counts at its latest time.
    `negatives`: csr float32 (n, n_items), how strongly the users disliked items, > 0; None: nothing is known of that.
    `also_seen`: csr float32 (n, n_items), 1 for other items that users had, disliked ones among them; None: no others.
    """

    values: CSR
    steps: Int32 | None = None
    negatives: CSR | None = None
    also_seen: CSR | None = None

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.values.shape[0]), int(self.values.shape[1])

    @property
    def nnz(self) -> int:
        return int(self.values.nnz)

    @property
    def sizes(self) -> Int64:
        """Items of each user, int64 (n,)."""
        sizes: Int64 = np.diff(self.values.indptr).astype(np.int64)
        return sizes

    @property
    def seen(self) -> CSR:
        """What is not to be listed for these users, float32 (n, n_items)."""
        return self.values if self.also_seen is None else self.values + self.also_seen

    def __getitem__(self, rows: slice | Int64) -> History:
        """The histories of the selected rows, in that order."""
        steps = None
        if self.steps is not None:
            chosen = np.arange(self.shape[0])[rows]
            steps = self.steps[ranges(self.values.indptr[chosen].astype(np.int64), self.sizes[chosen])]
        others = (None if m is None else m[rows] for m in (self.negatives, self.also_seen))
        return History(self.values[rows], steps, *others)

    def keep(self, entries: Bool) -> History:
        """Without the entries that are False in `entries`, bool (nnz,). The others keep their steps: the gap stays."""
        from scipy.sparse import csr_matrix

        before = np.concatenate([[0], np.cumsum(entries)])
        kept = (self.values.data[entries], self.values.indices[entries], before[self.values.indptr])
        values = csr_matrix(kept, shape=self.shape)
        return replace(self, values=values, steps=None if self.steps is None else self.steps[entries])

    def decayed(self, half_life: float) -> CSR:
        """Values that are halved for each `half_life` steps, float32 (n, n_items); as they are if it is 0, or the
        order unknown. A weight that underflows float32 becomes a value just above 0."""
        if self.steps is None or half_life == 0:
            return self.values
        decayed_values = self.values.astype(np.float32, copy=True)
        weights = np.exp2(self.steps * (-1.0 / half_life)).astype(np.float32)
        decayed_values.data *= np.maximum(weights, np.float32(_LEAST))
        return decayed_values


def order_of(rows: pl.DataFrame) -> Int64 | None:
    """The order of a split's events, int64 (rows,): positions in the log, or times; None: unknown."""
    for name in (schema.POSITION, schema.TIMESTAMP):
        if name in rows.columns:
            positions: Int64 = rows[name].to_numpy()
            return positions
    return None


def ordered_pairs(users: Int64, items: Int64, times: Int64) -> tuple[Int64, Int32]:
    """Distinct pairs of user and item, each at its latest time, sorted by user and item.

    `users`, `items`, `times`: (events,), in any order. Returns the rows of the events that were kept, int64 (pairs,),
    and how many pairs of the same user come later, int32 (pairs,). Events at the same time come by item, as in the
    splits.
    """
    n = users.size
    in_order = (users[1:] > users[:-1]) | (
        (users[1:] == users[:-1])
        & ((times[1:] > times[:-1]) | ((times[1:] == times[:-1]) & (items[1:] >= items[:-1])))
    )
    by_time = (
        np.arange(n) if in_order.all() else np.lexsort((items, times, users))
    )  # one split is sorted already
    pairs = users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    order = np.argsort(pairs[by_time], kind="stable")  # ranks in time, by pair: the latest of a pair is last
    last = np.ones(n, dtype=bool)
    last[:-1] = np.diff(pairs[by_time[order]]) != 0
    positions = order[last]
    kept = by_time[positions]
    at = np.full(n, -1, dtype=np.int64)
    at[positions] = np.arange(kept.size)
    at = at[at >= 0]  # the kept ones in the order of time
    owners = users[kept]
    steps = np.empty(kept.size, dtype=np.int32)
    steps[at] = np.searchsorted(owners, owners, side="right") - 1 - np.arange(kept.size)
    return kept, steps
