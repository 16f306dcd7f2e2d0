"""The report: whole without anything else, honest about gaps, safe with any name."""

import re
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pytest

from recli.metrics.base import MetricSpec, metrics
from recli.steps.evaluate.config import EvaluateConfig
from recli.steps.evaluate.numbers import number
from recli.steps.evaluate.report.html import _ticks, html
from recli.steps.evaluate.report.plots import figures
from recli.steps.evaluate.results import (
    ComparisonRow,
    EvaluatedSystem,
    EvaluationSummary,
    GateResult,
    MetricRow,
    Scorecard,
)

VOID = {"meta"}


def row(
    model: str,
    value: float | None,
    low: float | None = None,
    high: float | None = None,
    metric: str = "ndcg",
    kind: str = "all",
    name: str = "all",
) -> MetricRow:
    return MetricRow(model, metric, 10, kind, name, value, low, high, users=9)


def piece(model: str, kind: str, name: str, value: float | None, metric: str = "ndcg") -> MetricRow:
    return row(model, value, 0.1, 0.9, metric, kind, name)


def difference(
    model: str, value: float, low: float | None, high: float | None, metric: str = "ndcg"
) -> ComparisonRow:
    return ComparisonRow(model, "als", metric, 10, value, low, high, p=0.002, p_holm=0.002, users=9)


def spec(name: str) -> MetricSpec:
    return MetricSpec(replace(metrics[name], help="gain <over> gain"), 10)


@pytest.fixture
def summary() -> EvaluationSummary:
    rows = [
        row("als", 0.25, 0.2, 0.3),
        row("als", 0.9, metric="gini"),
        row("als", 12.5, 12, 13, metric="novelty"),
        row("lists", 0.2, 0.15, 0.24),
        row("lists", 0.8, metric="gini"),
        row("lists", None, metric="novelty"),
        piece("als", "history", "1-4", 0.4),
        piece("lists", "history", "1-4", 0.2),
        piece("als", "items", "cold in all", None),
        piece("als", "history", "1-4", 0.5, metric="recall"),
    ]
    comparisons = [
        difference("lists", -0.05, -0.08, -0.02),
        difference("lists", 0.0, -0.1, 0.1, metric="recall"),
    ]
    systems = [
        EvaluatedSystem("als", "als model", []),
        EvaluatedSystem("lists", "lists, by score", [], {"unknown items": 3, "listed twice": 0}),
    ]
    specs = spec("ndcg"), spec("gini"), spec("novelty")
    return EvaluationSummary(
        EvaluateConfig("run", confidence=0.9, seed=7),
        Scorecard(systems, specs, "ndcg@10", "als", rows, comparisons),
        ["als"],
        {"users": 1234, "items": 30},
        ["Full ranking of the 30 items", "a < b & c"],
        [GateResult("als", "ndcg@10", 0.3, 0.25, met=False)],
    )


def renamed(summary: EvaluationSummary, before: str, after: str) -> EvaluationSummary:
    """The summary with another name for one system."""

    def name(text: str) -> str:
        return after if text == before else text

    card = summary.card
    return replace(
        summary,
        card=replace(
            card,
            systems=[replace(s, name=name(s.name)) for s in card.systems],
            rows=[replace(r, model=name(r.model)) for r in card.rows],
            comparisons=[
                replace(c, model=name(c.model), baseline=name(c.baseline)) for c in card.comparisons
            ],
            baseline=name(str(card.baseline)),
        ),
        gates=[replace(g, model=name(g.model)) for g in summary.gates],
    )


class Checker(HTMLParser):
    """Every tag is closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None: ...

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def words(page: str) -> str:
    checker = Checker()
    checker.feed(page)
    assert checker.open == []
    return " ".join(" ".join(checker.text).split())


def test_it_tells_what_was_measured(summary: EvaluationSummary) -> None:
    page = html(summary, "Evaluation of run")
    found = words(page)
    assert "2 models evaluated on the test split. Best: als, ndcg@10 0.2500." in found
    for text in (
        "0.2000 … 0.3000",
        "-0.0500",
        "-0.0800 … -0.0200",
        "0.002",
        "90% interval",
        "1,234",
        "12.50",
    ):
        assert text in found
    for text in (
        "not met",
        "unknown items 3",
        "a < b & c",
        "ndcg: gain <over> gain",
        "Users, by items before the test",
        "cold in all",
    ):
        assert text in found
    assert "listed twice" not in found  # nothing was
    assert '<td class="best">0.2500' in page and '<td class="best">0.8000' in page  # of gini, less is better
    assert '<td class="best">12.50' not in page  # of novelty, neither
    assert '<td class="bad">-0.0500' in page  # surely worse


def test_it_loads_nothing(summary: EvaluationSummary) -> None:
    page = html(summary, "x")
    assert not re.search(r"https?:|<script|<link|<img|@import|url\(", page)
    assert "default-src 'none'" in page and "prefers-color-scheme: dark" in page


def test_names_are_text_and_never_markup(summary: EvaluationSummary) -> None:
    evil = '<img src=x onerror="alert(1)">&'
    page = html(renamed(renamed(summary, "als", evil), "lists", evil + "2"), evil)
    assert "<img" not in page and 'onerror="' not in page
    words(page)


def test_it_does_without_what_is_not_there(summary: EvaluationSummary) -> None:
    systems = summary.card.systems[:1]
    card = Scorecard(systems, (spec("gini"),), None, None, [row("als", 0.5, metric="gini")], [])
    found = words(html(replace(summary, card=card, gates=[]), "x"))
    assert "uncertainty" not in found and "gates" not in found and "by slice" not in found
    assert "0.5000" in found


def test_one_model_and_no_interval(summary: EvaluationSummary) -> None:
    card = summary.card
    card = replace(card, systems=card.systems[:1], rows=[row("als", 0.0)], comparisons=[])
    page = html(replace(summary, card=card), "x")
    assert 'class="best"' not in page and "<circle" in page and 'class="whisker"' not in page
    assert "nan" not in page.lower().replace("dominant", "")


@pytest.mark.parametrize(
    ("low", "high"), [(0.0095, 0.3189), (0.2, 0.2), (0, 0), (-0.01, 0.02), (3, 900), (0, 1e-9)]
)
def test_ticks_are_round_and_enclose(low: float, high: float) -> None:
    ticks = _ticks(low, high)
    assert ticks[0] <= low and ticks[-1] >= high and 2 <= len(ticks) <= 9
    steps = {round((b - a) / (ticks[1] - ticks[0]), 6) for a, b in pairwise(ticks)}
    assert steps == {1.0}
    first = f"{ticks[1] - ticks[0]:.3e}"
    assert first[0] in "125" and first[2:5] == "000"


def test_numbers() -> None:
    assert [number(v) for v in (None, 0.00005, 99.99, 1234.5)] == ["–", "0.0001", "99.99", "1234.5"]
    assert number(0.5, sign=True) == "+0.5000"


@pytest.mark.slow
def test_figures_are_repeatable_and_carry_the_names(summary: EvaluationSummary) -> None:
    card = renamed(summary, "lists", "$x$").card
    drawn = figures(card)
    assert set(drawn) == {"metrics", "slices", "differences"}
    assert drawn == figures(card)
    assert "als" in drawn["metrics"] and "$x$" in drawn["metrics"] and "ndcg@10" in drawn["metrics"]
    assert "cold in all" not in drawn["slices"] and "1-4" in drawn["slices"]  # a gap is no bar
    assert set(figures(replace(card, comparisons=[], primary=None))) == {"metrics"}
