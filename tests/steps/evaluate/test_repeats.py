"""Means of repeated evaluations, their t intervals and t tests."""

import numpy as np
import pytest
from scipy import stats

from recli.metrics.base import parse_metrics
from recli.steps.evaluate.repeats import combined, repeats_frame, t_interval, t_test
from recli.steps.evaluate.results import EvaluatedSystem, MetricRow, Scorecard
from recli.steps.evaluate.slices import ALL, MetricValue


def card_of(values: dict[str, float | None], slices: dict[str, float] | None = None) -> Scorecard:
    """A scorecard with ndcg@10 of systems, and of the first on slices."""
    (spec,) = parse_metrics(("ndcg@10",))
    systems = [EvaluatedSystem(name, "model", [MetricValue(spec, ALL, v, 10)]) for name, v in values.items()]
    rows = [MetricRow(name, "ndcg", 10, "all", "all", v, None, None, 10) for name, v in values.items()]
    first = next(iter(values))
    rows += [MetricRow(first, "ndcg", 10, "history", s, v, None, None, 4) for s, v in (slices or {}).items()]
    return Scorecard(systems, (spec,), "ndcg@10", first, rows, [])


def test_the_interval_and_the_test_are_scipys() -> None:
    values = np.random.default_rng(0).normal(0.3, 0.02, 5).tolist()
    expected = stats.t.interval(0.9, 4, loc=np.mean(values), scale=stats.sem(values))
    assert t_interval(values, 0.9) == pytest.approx(expected, rel=1e-9)
    others = np.add(values, [0.01, 0.02, 0.0, 0.03, -0.01]).tolist()
    differences = [a - b for a, b in zip(values, others, strict=True)]
    assert t_test(differences) == pytest.approx(stats.ttest_rel(values, others).pvalue, rel=1e-9)


def test_equal_differences_have_no_p() -> None:
    assert t_test([0.1, 0.1 + 1e-16, 0.1]) is None and t_test([0.0, 0.0]) is None


def test_the_best_mean_is_the_baseline_and_p_is_corrected() -> None:
    figures = {"a": [0.1, 0.2, 0.3], "b": [0.3, 0.41, 0.52], "c": [0.28, 0.4, 0.49]}
    cards = [card_of({name: values[i] for name, values in figures.items()}) for i in range(3)]
    card = combined(cards, 0.95)
    assert card.baseline == "b"
    assert [card.overall[name]["ndcg@10"].value for name in figures] == pytest.approx([0.2, 0.41, 0.39])
    raw = {c.model: stats.ttest_rel(figures[c.model], figures["b"]).pvalue for c in card.comparisons}
    assert {c.model: c.p for c in card.comparisons} == pytest.approx(raw)
    smaller, larger = sorted(raw, key=lambda name: raw[name])
    holm = {c.model: c.p_holm for c in card.comparisons}
    assert holm[smaller] == pytest.approx(2 * raw[smaller])
    assert holm[larger] == pytest.approx(max(2 * raw[smaller], raw[larger]))
    assert combined(cards, 0.95, "a").baseline == "a"


def test_what_a_repeat_lacks_has_no_mean() -> None:
    cards = [
        card_of({"a": 0.1, "b": None}, {"1-4": 0.2, "5-9": 0.4}),
        card_of({"a": 0.3, "b": 0.2}, {"1-4": 0.4}),
    ]
    card = combined(cards, 0.95)
    assert card.overall["b"]["ndcg@10"].value is None and card.comparisons == []
    assert [(row.slice, row.value) for row in card.slices] == [("1-4", pytest.approx(0.3))]
    assert repeats_frame(cards)["repeat"].to_list() == [1, 1, 1, 1, 2, 2, 2]
