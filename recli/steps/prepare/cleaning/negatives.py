"""Which events say that a user dislikes an item, and what becomes of a pair that was both liked and disliked."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from operator import or_

import numpy as np
import polars as pl

from recli.data.event_columns import Rows, blocks
from recli.schema import Bool, Float64, Int64
from recli.steps.prepare.cleaning.set_aside import SetAside, pairs_of

_MEAN = "mean rating"


@dataclass(frozen=True)
class NegativeRules:
    """An event is negative if one of these holds; its weight apart, it then counts as a dislike."""

    below: float | None = None  # its rating is lower
    below_mean: bool = False  # its rating is lower than the mean of its user's
    events: tuple[str, ...] = ()  # its type is one of these

    def condition(self) -> pl.Expr | None:
        """Whether an event is negative, for a frame that has the columns of the rules; None: no event is."""
        tests = []
        if self.events:
            tests.append(pl.col("event").is_in(self.events))
        if self.below is not None:
            tests.append(pl.col("rating") < self.below)
        if self.below_mean:
            tests.append(pl.col("rating") < pl.col(_MEAN))
        return reduce(or_, tests).fill_null(False) if tests else None


def with_means(events: pl.LazyFrame) -> pl.LazyFrame:
    """The events, in their order, each with the mean rating of its user."""
    means = events.group_by("user_id").agg(pl.col("rating").mean().alias(_MEAN))
    return events.join(means, on="user_id", how="left", maintain_order="left")


@dataclass(frozen=True)
class Contradictions:
    """Pairs of a user and an item that were both liked and disliked."""

    disliked: int  # pairs that the dislike counts of
    liked: int
    by_time: bool  # the later event decided; else the larger sum of weights


def settle(rows: Rows, aside: SetAside) -> Contradictions:
    """Decide for each pair that has kept and negative events, which of them count. In place.

    The later one does (of a given split, the one in the earlier part); at the same time, the dislike. Without times,
    the side with the larger sum of weights does, and both alike are a dislike. `rows`: merged, sorted by user. Pairs
    that are disliked leave `rows` and are set aside as seen; of the others, the dislikes become merely seen.
    """
    negatives = _negative_pairs(aside, rows.order)
    lost: Bool = np.zeros(len(rows), dtype=np.bool_)
    forgiven = np.zeros(negatives.pairs.size, dtype=np.bool_)
    for block in blocks(rows.user) if negatives.pairs.size else ():
        found = negatives.find(pairs_of(rows, block))
        both = np.flatnonzero(found >= 0)
        found, at = found[both], both + block.start
        wins = negatives.win(found, rows, at)
        lost[at[wins]] = True
        forgiven[found[~wins]] = True
    if forgiven.any():
        aside.forgive(negatives.pairs[forgiven])
    aside.take(rows, lost)
    rows.keep(~lost)
    return Contradictions(int(lost.sum()), int(forgiven.sum()), rows.order is not None)


@dataclass(frozen=True)
class _Negatives:
    """Disliked pairs, ascending: the first part that has such an event of them, and there the latest of these."""

    pairs: Int64
    part: Int64
    order: str | None
    latest: Int64 | Float64  # by `order`; without one, the sum of the weights

    def find(self, pairs: Int64) -> Int64:
        """Where each of `pairs` is among those disliked; -1: it is not."""
        at = np.minimum(np.searchsorted(self.pairs, pairs), self.pairs.size - 1)
        return np.where(self.pairs[at] == pairs, at, -1)

    def win(self, found: Int64, rows: Rows, at: Int64) -> Bool:
        """Whether the dislikes `found` outdo the rows `at`, bool (n,)."""
        rival = rows.columns[self.order or "value"][at]
        part = rows.columns["part"][at] if "part" in rows else 0
        earlier, same = self.part[found] < part, self.part[found] == part
        wins: Bool = earlier | (same & (self.latest[found] >= rival))
        return wins


def _negative_pairs(aside: SetAside, order: str | None) -> _Negatives:
    tables = [(table, np.flatnonzero(table.columns["value"] > 0)) for table in aside.tables]

    def column(name: str) -> Int64 | Float64:
        return np.concatenate([np.empty(0, np.int64), *(t.columns[name][chosen] for t, chosen in tables)])

    pairs = (column("user").astype(np.int64) << 32) | column("item").astype(np.int64)
    part = column("part") if any("part" in t for t, _ in tables) else np.zeros_like(pairs)
    weights = column(order or "value")
    by = np.lexsort((-weights, part, pairs))
    pairs, part, weights = pairs[by], part[by], weights[by]
    begins = np.flatnonzero(np.append(True, (np.diff(pairs) != 0) | (np.diff(part) != 0)))[: pairs.size]
    latest = np.add.reduceat(weights, begins) if order is None and begins.size else weights[begins]
    pairs, part = pairs[begins], part[begins]
    first = np.append(True, np.diff(pairs) != 0)[: pairs.size]
    return _Negatives(pairs[first], part[first], order, latest[first])
