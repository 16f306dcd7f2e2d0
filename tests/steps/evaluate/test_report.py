"""The report: whole without anything else, honest about gaps, safe with any name."""

import re
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

import pytest

from recli.steps.evaluate.report.html import _ticks, html, number
from recli.steps.evaluate.report.plots import figures

VOID = {"meta"}


def figure(value: float | None, low: float | None = None, high: float | None = None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high, "users": 9}


def piece(model: str, kind: str, name: str, value: float | None, metric: str = "ndcg") -> dict[str, Any]:
    return {"model": model, "metric": metric, "k": 10, "slice_kind": kind, "slice": name} | figure(
        value, 0.1, 0.9
    )


def difference(
    model: str, value: float, low: float | None, high: float | None, metric: str = "ndcg"
) -> dict[str, Any]:
    base = {"model": model, "baseline": "als", "metric": metric, "k": 10, "difference": value}
    return base | {"low": low, "high": high, "p": 0.002, "users": 9}


@pytest.fixture
def summary() -> dict[str, Any]:
    return {
        "settings": {
            "split": "test",
            "compare": None,
            "confidence": 0.9,
            "metrics": [],
            "seed": 7,
            "models": None,
        },
        "data": {"users": 1234, "items": 30},
        "policy": ["Full ranking of the 30 items", "a < b & c"],
        "definitions": {"ndcg": "gain <over> gain"},
        "primary": "ndcg@10",
        "baseline": "als",
        "better": {"ndcg@10": 1, "gini@10": -1, "novelty@10": 0},
        "systems": [
            {"name": "als", "source": "als model", "notes": {}},
            {"name": "lists", "source": "lists, by score", "notes": {"unknown items": 3, "listed twice": 0}},
        ],
        "models": {
            "als": {
                "ndcg@10": figure(0.25, 0.2, 0.3),
                "gini@10": figure(0.9),
                "novelty@10": figure(12.5, 12, 13),
            },
            "lists": {"ndcg@10": figure(0.2, 0.15, 0.24), "gini@10": figure(0.8), "novelty@10": figure(None)},
        },
        "slices": [
            piece("als", "history", "1-4", 0.4),
            piece("lists", "history", "1-4", 0.2),
            piece("als", "items", "cold in all", None),
            piece("als", "history", "1-4", 0.5, metric="recall"),
        ],
        "comparisons": [
            difference("lists", -0.05, -0.08, -0.02),
            difference("lists", 0.0, -0.1, 0.1, metric="recall"),
        ],
        "gates": [{"model": "als", "metric": "ndcg@10", "least": 0.3, "value": 0.25, "met": False}],
    }


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


def test_it_tells_what_was_measured(summary: dict[str, Any]) -> None:
    page = html(summary, "Evaluation of run")
    found = words(page)
    assert "2 models judged on the test split. Best: als, ndcg@10 0.2500." in found
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


def test_it_loads_nothing(summary: dict[str, Any]) -> None:
    page = html(summary, "x")
    assert not re.search(r"https?:|<script|<link|<img|@import|url\(", page)
    assert "default-src 'none'" in page and "prefers-color-scheme: dark" in page


def test_names_are_text_and_never_markup(summary: dict[str, Any]) -> None:
    evil = '<img src=x onerror="alert(1)">&'
    for key in ("models",):
        summary[key] = {evil: summary[key]["als"], "lists": summary[key]["lists"]}
    for row in [*summary["slices"], *summary["systems"], *summary["gates"], *summary["comparisons"]]:
        row.update({k: evil for k, v in row.items() if v in ("als", "lists")})
    summary["baseline"] = evil
    page = html(summary, evil)
    assert "<img" not in page and 'onerror="' not in page
    words(page)


def test_it_does_without_what_is_not_there(summary: dict[str, Any]) -> None:
    summary |= {"comparisons": [], "gates": [], "slices": [], "primary": None, "baseline": None}
    summary["models"] = {"als": {"gini@10": figure(0.5)}}
    found = words(html(summary, "x"))
    assert "uncertainty" not in found and "gates" not in found and "by slice" not in found
    assert "0.5000" in found


def test_one_model_and_no_interval(summary: dict[str, Any]) -> None:
    summary["models"] = {"als": {"ndcg@10": figure(0.0)}}
    summary["comparisons"] = []
    page = html(summary, "x")
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


def test_figures_are_repeatable_and_carry_the_names(summary: dict[str, Any]) -> None:
    summary["systems"][1]["name"] = "$x$"
    summary["models"]["$x$"] = summary["models"].pop("lists")
    made = figures(summary)
    assert set(made) == {"metrics", "slices", "differences"}
    assert made == figures(summary)
    assert "als" in made["metrics"] and "$x$" in made["metrics"] and "ndcg@10" in made["metrics"]
    assert "cold in all" not in made["slices"] and "1-4" in made["slices"]  # a gap is no bar
    summary |= {"comparisons": [], "primary": None}
    assert set(figures(summary)) == {"metrics"}
