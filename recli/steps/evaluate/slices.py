"""Slices of the test: users by the length of their history, items by popularity, warm and cold ones apart."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recli.metrics.base import EvaluatedLists, MetricSpec, TestSet
from recli.schema import Bool, Float64

HISTORY = ((0, 0), (1, 4), (5, 9), (10, 19), (20, 49), (50, None))  # items seen before the test
COLD_ONLY = "cold items only"

SLICE_RULES = {
    "history": "users by the number of items they had before the test",
    "items": "warm in all / cold in all: only warm (cold) items count as relevant, all candidates compete; "
    "cold items only: the cold items ranked among themselves; cold = no training event",
    "popularity": "head, mid, tail: the most popular items that hold a third of the training events, the next "
    "third, the rest (cold items excluded)",
}


@dataclass(frozen=True)
class Slice:
    """A part of the test: some users, bool (n,), or some items, bool (n_items,), as the only relevant ones."""

    kind: str
    name: str
    users: Bool | None = None
    items: Bool | None = None


ALL = Slice("all", "all")


def slices_of(test_set: TestSet) -> list[Slice]:
    """The slices that hold any user or any test item."""
    length = np.diff(test_set.seen.indptr)
    slices = [ALL]
    for low, high in HISTORY:
        inside = (length >= low) & (length <= high if high is not None else True)
        name = f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"
        slices.append(Slice("history", name, users=inside))
    slices.append(Slice("items", "warm in all", items=~test_set.cold))
    slices.append(Slice("items", "cold in all", items=test_set.cold))
    if test_set.allowed is None:
        slices.append(Slice("items", COLD_ONLY, items=test_set.cold))
    slices += [Slice("popularity", name, items=mask) for name, mask in thirds(test_set).items()]
    tested = np.zeros(test_set.n_items, dtype=bool)
    tested[test_set.relevant.indices] = True
    return [s for s in slices if not _empty(s, tested)]


def _empty(part: Slice, tested: Bool) -> bool:
    if part.users is not None:
        return not part.users.any()
    return part.items is not None and not (part.items & tested).any()


def thirds(test_set: TestSet) -> dict[str, Bool]:
    """Items by popularity: head, mid and tail hold a third of the training events each."""
    order = np.lexsort((test_set.ties, -test_set.counts))
    before = np.concatenate([[0], np.cumsum(test_set.counts[order])[:-1]])  # events of more popular items
    third = np.empty(test_set.n_items, dtype=np.int64)
    third[order] = np.minimum(3 * before // max(int(test_set.counts.sum()), 1), 2)
    return {name: (third == i) & ~test_set.cold for i, name in enumerate(("head", "mid", "tail"))}


@dataclass(frozen=True)
class MetricValue:
    """One metric of one system on one slice: `value` is a (root of a) weighted mean over users.

    `values`: float64 (n,), each user's own. `weights`: bool or float64 (n,), 0 where a user's value is
    undefined or outside the slice. Both are None for a metric of all lists together; `value` is None where
    nothing is defined.
    """

    spec: MetricSpec
    part: Slice
    value: float | None
    users: int
    values: Float64 | None = None
    weights: Bool | Float64 | None = None


def measure(lists: EvaluatedLists, specs: Sequence[MetricSpec], parts: Sequence[Slice]) -> list[MetricValue]:
    """All metrics of one system, slice by slice in the order of `specs`; what cannot be measured is left out."""
    overall = list(_measure(lists, specs, ALL))
    of_items = [s for s in specs if s.metric.family == "accuracy" and s.metric.at]
    values: list[MetricValue] = []
    for part in parts:
        if part is ALL:
            values += overall
        elif part.users is not None:
            values += [_mean(v.spec, part, v.values, v.weights, part.users) for v in overall]
        elif part.items is not None:
            view = lists.cold_only if part.name == COLD_ONLY else lists.only(part.items)
            values += [] if view is None else _measure(view, of_items, part)
    return [v for v in values if v.values is not None or v.part is ALL]


def _measure(view: EvaluatedLists, specs: Sequence[MetricSpec], part: Slice) -> Iterator[MetricValue]:
    has_target = view.relevant > 0  # bool (n,)
    cuts = {k: view if k is None else view.cut(k) for k in {spec.k for spec in specs}}
    for spec in specs:
        result = spec.metric.function(cuts[spec.k])
        if spec.metric.whole:
            yield MetricValue(spec, part, None if result is None else float(result), view.test_set.n_users)
        elif isinstance(result, np.ndarray):
            defined = ~np.isnan(result)
            if spec.metric.family == "accuracy":
                defined &= has_target
            weights = None if spec.metric.weight is None else spec.metric.weight(view)
            yield _mean(spec, part, result, weights, defined)


def _mean(
    spec: MetricSpec, part: Slice, values: Float64 | None, weights: Bool | Float64 | None, inside: Bool
) -> MetricValue:
    if values is None:
        return MetricValue(spec, part, None, 0)
    if weights is None:
        weights = inside
    elif weights.dtype == bool:
        weights = np.logical_and(weights, inside)
    else:
        weights = np.where(inside, weights, 0.0)
    used = weights > 0
    if not used.any():
        return MetricValue(spec, part, None, 0, values, weights)
    mean = float(np.average(values[used], weights=weights[used]))
    return MetricValue(
        spec, part, float(np.sqrt(mean)) if spec.metric.root else mean, int(used.sum()), values, weights
    )
