"""Slices of the test: users by the length of their history, items by temperature and popularity."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from recli.metrics.base import EvaluatedLists, MetricSpec, TestSet
from recli.schema import Bool, Float64

HISTORY = ((0, 0), (1, 4), (5, 9), (10, 19), (20, 49), (50, None))  # items seen before the test
COLD_AMONG_COLD = "cold among cold"

POLICY = {
    "history": "users by the number of items they had before the test",
    "items": "warm in all / cold in all: only warm (cold) items count as relevant, all candidates compete; "
    "cold among cold: cold items ranked among themselves; cold = no training event",
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
    found = [ALL]
    for low, high in HISTORY:
        inside = (length >= low) & (length <= high if high is not None else True)
        name = f"{low}+" if high is None else str(low) if low == high else f"{low}-{high}"
        found.append(Slice("history", name, users=inside))
    found.append(Slice("items", "warm in all", items=~test_set.cold))
    found.append(Slice("items", "cold in all", items=test_set.cold))
    if test_set.allowed is None:
        found.append(Slice("items", COLD_AMONG_COLD, items=test_set.cold))
    found += [Slice("popularity", name, items=mask) for name, mask in thirds(test_set).items()]
    tested = np.zeros(test_set.n_items, dtype=bool)
    tested[test_set.relevant.indices] = True
    return [s for s in found if not _empty(s, tested)]


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
    undefined or outside the slice. Both are None for a figure of all lists together; `value` is None where
    nothing is defined.
    """

    asked: MetricSpec
    part: Slice
    value: float | None
    users: int
    values: Float64 | None = None
    weights: "Bool | Float64 | None" = None


def measure(judged: EvaluatedLists, asked: Sequence[MetricSpec], parts: Sequence[Slice]) -> list[MetricValue]:
    """All figures of one system, slice by slice in the order of `asked`; what cannot be measured is left out."""
    overall = list(_measure(judged, asked, ALL))
    figures = []
    for part in parts:
        if part is ALL:
            figures += overall
        elif part.users is not None:
            figures += [_mean(f.asked, part, f.values, f.weights, part.users) for f in overall]
        else:
            figures += _measure_items(judged, asked, part)
    return [f for f in figures if f.values is not None or f.part is ALL]


def _measure_items(judged: EvaluatedLists, asked: Sequence[MetricSpec], part: Slice) -> Iterator[MetricValue]:
    view = judged.cold_only if part.name == COLD_AMONG_COLD else judged.only(_all_if_none(part.items, judged))
    if view is not None:
        yield from _measure(view, [a for a in asked if a.metric.family == "accuracy" and a.metric.at], part)


def _all_if_none(items: Bool | None, judged: EvaluatedLists) -> Bool:
    return np.ones(judged.test_set.n_items, dtype=bool) if items is None else items


def _measure(view: EvaluatedLists, asked: Sequence[MetricSpec], part: Slice) -> Iterator[MetricValue]:
    judgeable = view.relevant > 0  # bool (n,)
    cuts = {k: view if k is None else view.cut(k) for k in {one.k for one in asked}}
    for one in asked:
        found = one.metric.function(cuts[one.k])
        if one.metric.whole:
            yield MetricValue(one, part, None if found is None else float(found), view.test_set.n_users)
        elif isinstance(found, np.ndarray):
            defined = ~np.isnan(found)
            if one.metric.family == "accuracy":
                defined &= judgeable
            weights = None if one.metric.weight is None else one.metric.weight(view)
            yield _mean(one, part, found, weights, defined)


def _mean(
    one: MetricSpec, part: Slice, values: Float64 | None, weights: "Bool | Float64 | None", inside: Bool
) -> MetricValue:
    if values is None:
        return MetricValue(one, part, None, 0)
    if weights is None:
        weights = inside
    elif weights.dtype == bool:
        weights = np.logical_and(weights, inside)
    else:
        weights = np.where(inside, weights, 0.0)
    used = weights > 0
    if not used.any():
        return MetricValue(one, part, None, 0, values, weights)
    mean = float(np.average(values[used], weights=weights[used]))
    return MetricValue(
        one, part, float(np.sqrt(mean)) if one.metric.root else mean, int(used.sum()), values, weights
    )
