"""Several evaluations of the same models as one: means, t intervals, and paired t tests of the differences.

The repeats have most of their training events in common, so their figures are less spread than those of independent
ones: the intervals are somewhat too narrow. Nadeau and Bengio (2003), "Inference for the generalization error".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from recli.steps.evaluate.results import (
    ComparisonRow,
    EvaluatedSystem,
    MetricRow,
    Scorecard,
    best_system,
    corrected,
    metrics_frame,
)
from recli.steps.evaluate.slices import ALL, MetricValue

_EQUAL = 1e-12  # figures that differ by less are the same: sums may be in another order


def combined(cards: Sequence[Scorecard], confidence: float, baseline: str | None = None) -> Scorecard:
    """The means of the repeats. A metric that one of them cannot measure, or a slice that it lacks, has no mean.

    `baseline`: a system's name; None: the one with the best mean.
    """
    first = cards[0]
    values = _values(cards)
    rows = [_mean(row, values[_key(row)], confidence) for row in first.rows if _key(row) in values]
    means = {(row.model, row.label): row for row in rows if row.slice_kind == ALL.kind}
    systems = [
        replace(s, values=[_mean_of(s, v, means) for v in s.values if v.part is ALL]) for s in first.systems
    ]
    baseline = baseline or best_system(systems, first.primary)
    comparisons = [] if baseline is None else _comparisons(rows, values, baseline, confidence)
    return Scorecard(systems, first.specs, first.primary, baseline, rows, corrected(comparisons))


def without_users(card: Scorecard) -> Scorecard:
    """The figures without each user's own, which take far more memory."""
    systems = [
        replace(s, values=[MetricValue(v.spec, v.part, v.value, v.users) for v in s.values])
        for s in card.systems
    ]
    return replace(card, systems=systems)


def repeats_frame(cards: Sequence[Scorecard]) -> pl.DataFrame:
    """The figures of each repeat: repeat (1, 2, ...), model, metric, k, slice_kind, slice, value, users."""
    return pl.concat(
        metrics_frame(card)
        .drop("low", "high")
        .select(pl.lit(number).cast(pl.Int64).alias("repeat"), pl.all())
        for number, card in enumerate(cards, 1)
    )


def t_interval(values: Sequence[float], confidence: float) -> tuple[float, float]:
    """The interval of the mean by Student's t distribution with n - 1 degrees of freedom; n > 1."""
    from scipy.special import stdtrit

    half = float(stdtrit(len(values) - 1, (1 + confidence) / 2)) * _standard_error(values)
    mean = math.fsum(values) / len(values)
    return mean - half, mean + half


def t_test(differences: Sequence[float]) -> float | None:
    """Two-sided p of the mean of paired differences; None: they are all the same, and say nothing about chance."""
    from scipy.special import stdtr

    error = _standard_error(differences)
    if error < _EQUAL:
        return None
    mean = math.fsum(differences) / len(differences)
    return 2 * float(stdtr(len(differences) - 1, -abs(mean) / error))


def _standard_error(values: Sequence[float]) -> float:
    return float(np.std(values, ddof=1)) / math.sqrt(len(values))


_Key = tuple[str, str, str, str]  # model, metric with its cut, kind and name of the slice


def _key(row: MetricRow) -> _Key:
    return row.model, row.label, row.slice_kind, row.slice


def _values(cards: Sequence[Scorecard]) -> dict[_Key, list[MetricRow]]:
    """The rows of all repeats, where all of them have one."""
    found: dict[_Key, list[MetricRow]] = {}
    for card in cards:
        for row in card.rows:
            found.setdefault(_key(row), []).append(row)
    return {key: rows for key, rows in found.items() if len(rows) == len(cards)}


def _numbers(rows: Sequence[MetricRow]) -> list[float] | None:
    """The values of a metric in all repeats; None: one of them could not measure it."""
    values = [row.value for row in rows if row.value is not None]
    return values if len(values) == len(rows) else None


def _mean(row: MetricRow, repeats: Sequence[MetricRow], confidence: float) -> MetricRow:
    users = round(sum(r.users for r in repeats) / len(repeats))
    values = _numbers(repeats)
    if values is None:
        return replace(row, value=None, low=None, high=None, users=users)
    low, high = t_interval(values, confidence)
    return replace(row, value=math.fsum(values) / len(values), low=low, high=high, users=users)


def _mean_of(
    system: EvaluatedSystem, value: MetricValue, means: dict[tuple[str, str], MetricRow]
) -> MetricValue:
    mean = means.get((system.name, value.spec.label))
    return MetricValue(value.spec, ALL, *((None, 0) if mean is None else (mean.value, mean.users)))


def _comparisons(
    rows: Sequence[MetricRow], values: dict[_Key, list[MetricRow]], baseline: str, confidence: float
) -> list[ComparisonRow]:
    """The mean difference of each system to the baseline, in the metrics that all repeats of both have."""
    comparisons = []
    for row in rows:
        others = values.get((baseline, row.label, row.slice_kind, row.slice))
        if row.slice_kind != ALL.kind or row.model == baseline or others is None:
            continue
        own, base = _numbers(values[_key(row)]), _numbers(others)
        if own is None or base is None:
            continue
        differences = [a - b for a, b in zip(own, base, strict=True)]
        mean = math.fsum(differences) / len(differences)
        ends = t_interval(differences, confidence)
        p = t_test(differences)
        comparisons.append(
            ComparisonRow(row.model, baseline, row.metric, row.k, mean, *ends, p, None, row.users)
        )
    return comparisons
