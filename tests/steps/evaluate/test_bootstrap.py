"""Intervals and p-values: what they cover, what they say of equal systems, what makes them repeatable."""

import itertools

import numpy as np
import pytest
from rich.console import Console as RichConsole

from recli.cli.console import Console
from recli.cli.evaluate import tables
from recli.errors import UsageError
from recli.metrics.base import parse_metric
from recli.schema import Bool, Float64
from recli.steps.evaluate.bootstrap import interval, p_values, resample
from recli.steps.evaluate.gates import check_gates, parse_gates
from recli.steps.evaluate.numbers import label_of, number
from recli.steps.evaluate.results import (
    EvaluatedSystem,
    Scorecard,
    scorecard,
)
from recli.steps.evaluate.slices import ALL, MetricValue, Slice


def figure(
    values: Float64, label: str = "ndcg@10", weights: "Bool | Float64 | None" = None, part: Slice = ALL
) -> MetricValue:
    weights = ~np.isnan(values) if weights is None else weights
    used = weights > 0
    mean = float(np.average(values[used], weights=weights[used])) if used.any() else None
    asked = parse_metric(label)
    if mean is not None and asked.metric.root:
        mean = float(np.sqrt(mean))
    return MetricValue(asked, part, mean, int(used.sum()), values, weights)


def test_the_interval_of_a_mean_is_that_of_the_normal_approximation() -> None:
    values = np.random.default_rng(0).exponential(1.0, 2000)
    (drawn,) = resample([[figure(values)]], 2000, seed=1)
    low, high = drawn.interval(0.95)
    error = values.std() / np.sqrt(values.size)
    assert low[0] == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high[0] == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)
    wider = drawn.interval(0.99)
    assert wider[0][0] < low[0] and wider[1][0] > high[0]


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(200):
        (drawn,) = resample([[figure(rng.random(80))]], 300, seed=seed)
        low, high = drawn.interval(0.9)
        covered += bool(low[0] <= 0.5 <= high[0])
    assert 0.83 <= covered / 200 <= 0.96  # 90%, give or take three standard errors of 200 trials


def test_weights_roots_and_undefined_users() -> None:
    values, weights = np.array([4.0, 9.0, np.nan]), np.array([1.0, 3.0, 0.0])
    (drawn,) = resample(
        [[figure(values, "rmse", weights), figure(values * np.nan, "novelty@10")]], 500, seed=0
    )
    possible = {2.0, 3.0} | {
        round(float(np.sqrt((4 * a + 27 * b) / (a + 3 * b))), 9)
        for a in range(3)
        for b in range(3)
        if 0 < a + b <= 3
    }
    assert {round(float(m), 9) for m in drawn.means[:, 0] if not np.isnan(m)} <= possible
    assert np.isnan(drawn.means[:, 1]).all()
    low, high = drawn.interval(0.95)
    assert (low[0], high[0]) == (2.0, 3.0) and np.isnan([low[1], high[1]]).all()


def test_the_seed_decides_and_nothing_else() -> None:
    values = np.random.default_rng(0).random(50)
    one, two, other = (resample([[figure(values)]], 100, seed=s)[0].means for s in (1, 1, 2))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_blocks_of_draws_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random(50)
    (whole,) = resample([[figure(values)]], 100, seed=1)
    done: list[int] = []
    monkeypatch.setattr("recli.steps.evaluate.bootstrap._WEIGHTS", 50 * 7)
    (blocks,) = resample([[figure(values)]], 100, 1, lambda steps, _: done.append(steps))
    np.testing.assert_allclose(whole.means, blocks.means, rtol=1e-12)
    assert sum(done) == 100 and len(done) == 15  # 14 blocks of 7 and one of 2


def test_many_users_are_drawn_in_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    values, few = rng.exponential(1.0, 6000), np.arange(6000) < 40
    figures = [figure(values), figure(values, weights=few), figure(values, "rmse", rng.random(6000))]
    (alone,) = resample([figures], 2000, seed=1)
    monkeypatch.setattr("recli.steps.evaluate.bootstrap.GROUPS", 1000)
    (grouped,) = resample([figures], 2000, seed=1)
    wide, narrow = (np.subtract(*drawn.interval(0.95)) for drawn in (alone, grouped))
    # over 1,000 groups a variance is known to sqrt(2 / 1000) = 4.5%, a width to half of that
    np.testing.assert_allclose(narrow[[0, 2]], wide[[0, 2]], rtol=0.09)
    assert narrow[1] == pytest.approx(wide[1], rel=0.2)  # 40 users, nearly all in groups of their own
    np.testing.assert_allclose(grouped.means.mean(axis=0), alone.means.mean(axis=0), rtol=0.02)
    (again,) = resample([figures], 2000, seed=1)
    np.testing.assert_array_equal(grouped.means, again.means)
    # 4 groups of 1 or 2 users: the sums of what was drawn, not the users
    monkeypatch.setattr("recli.steps.evaluate.bootstrap.GROUPS", 4)
    (tiny,) = resample([[figure(np.arange(6.0))]], 200, seed=0)
    members = [set(np.flatnonzero(np.random.default_rng(0).permutation(6) % 4 == g)) for g in range(4)]
    assert {round(float(m), 9) for m in tiny.means[:, 0]} <= {
        round(sum(sum(members[g]) for g in drawn) / sum(len(members[g]) for g in drawn), 9)
        for drawn in itertools.product(range(4), repeat=4)
    }


def test_p_values_by_hand() -> None:
    # 9 draws, 1 at or below 0: 2 * (1 + 1) / (9 + 1); all above: 2 * (0 + 1) / 10; all equal: 1
    differences = np.array([[-1, 1, 0, 1e-17]] + [[1, 1, 0, -1e-17]] * 8, dtype=np.float64)
    assert p_values(differences).tolist() == [0.4, 0.2, 1.0, 1.0]
    assert np.isnan(p_values(np.full((4, 1), np.nan))).all()
    assert [np.isnan(e).all() for e in interval(np.empty((0, 2)), 0.95)] == [True, True]


def card(samples: int = 400, compare: str | None = None, metric: str = "ndcg@10") -> Scorecard:
    rng = np.random.default_rng(0)
    base = rng.random(300)
    users = {
        "base": base,
        "same": base.copy(),
        "better": base + rng.normal(0.05, 0.1, 300),
        "noise": rng.random(300),
    }
    systems = [EvaluatedSystem(name, "model", [figure(values, metric)]) for name, values in users.items()]
    asked = (parse_metric(metric),)
    return scorecard(systems, asked, resample([s.values for s in systems], samples, 0), 0.95, compare)


def test_equal_systems_differ_by_nothing_and_a_better_one_by_something() -> None:
    rows = {r.model: r for r in card(compare="base").comparisons}
    same, better, noise = rows["same"], rows["better"], rows["noise"]
    assert (same.difference, same.p) == (0.0, 1.0) and same.low <= 0 <= same.high
    assert better.difference > 0 and better.low > 0 and better.p < 0.05
    assert noise.low < 0 < noise.high and noise.p > 0.05
    # paired: the interval of the difference is narrower than the figure's own
    own = next(r for r in card(compare="base").rows if r.model == "better")
    assert better.high - better.low < own.high - own.low


def test_the_baseline_is_the_best_or_the_named_one() -> None:
    assert card().baseline == "better" and {r.model for r in card().comparisons} == {
        "base",
        "same",
        "noise",
    }
    assert card(compare="noise").baseline == "noise"
    assert card(metric="rmse").baseline != "better"  # of an error, less is better


def test_no_draws_no_intervals() -> None:
    made = card(samples=0)
    assert all(r.low is None and r.high is None and r.value is not None for r in made.rows)
    assert all(r.p is None and r.difference is not None for r in made.comparisons)
    assert any("–" in line for table in tables(made, 0.95) for line in table.rows)


def test_tables_name_every_model_and_the_baseline() -> None:
    made = tables(card(compare="base"), 0.9)
    assert [t.title for t in made] == ["Accuracy", "ndcg@10: uncertainty", "ndcg@10 by slice"]
    assert all(len(row) == len(t.columns) for t in made for row in t.rows)
    assert made[1].columns[2:4] == ["90% interval", "against base"]
    assert [row[0] for row in made[0].rows] == ["base", "same", "better", "noise"]


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_no_cell_wraps(width: int, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"model-name-{i}" for i in range(10)]
    labels = [f"{name}@{k}" for name in ("ndcg", "recall", "precision", "hit-rate", "map") for k in (10, 20)]
    systems = [
        EvaluatedSystem(n, "model", [figure(np.random.default_rng(i).random(9), label) for label in labels])
        for i, n in enumerate(names)
    ]
    made = scorecard(
        systems, tuple(map(parse_metric, labels)), resample([s.values for s in systems], 9, 0), 0.95
    )
    shown = tables(made, 0.95, width)
    slices = [t.columns for t in shown if t.title == "ndcg@10 by slice"]
    assert [name for columns in slices for name in columns[2:]] == names
    assert (len(slices) > 1) == (width < 200)
    for table in shown:
        console = Console()
        console._rich = RichConsole(stderr=True, highlight=False, soft_wrap=True, width=width)
        console.table(table.title, table.columns, table.rows)
        printed = [line for line in capsys.readouterr().err.split("\n") if line.strip()]
        heads = max(column.count("\n") + 1 for column in table.columns)
        assert len(printed) == 1 + heads + 1 + len(table.rows)  # title, heads, rule, a line for each row
        assert max(map(len, printed)) <= width


def test_a_system_without_any_figure_is_no_obstacle() -> None:
    drawn = resample([[], [figure(np.ones(4))]], 10, seed=0)
    assert drawn[0].means.shape == (10, 0) and (drawn[1].means == 1).all()


def test_figures_for_people() -> None:
    assert [number(v) for v in (None, 0.12345, 3.0, 12.345, 123.45, -0.5)] == [
        "–",
        "0.1235",
        "3.0000",
        "12.35",
        "123.5",
        "-0.5000",
    ]
    assert number(0.01, sign=True) == "+0.0100"


def test_gates_for_all_and_for_one() -> None:
    made = card()
    value = {r.model: r.value for r in made.rows}
    least = value["better"]
    rows = check_gates(parse_gates([f"ndcg@10={least}", "noise:ndcg@10=0.01,better:auc=0.5"]), made)
    met = [(r.model, r.metric, r.met) for r in rows]
    assert met == [
        ("base", "ndcg@10", False),
        ("same", "ndcg@10", False),
        ("better", "ndcg@10", True),  # at least, not more than
        ("noise", "ndcg@10", False),
        ("noise", "ndcg@10", True),
        ("better", "auc", False),  # not measured is not met
    ]
    assert rows[-1].value is None


@pytest.mark.parametrize(
    "wrong", ["ndcg@10", "ndcg@10=", "ndcg@10=high", "nothing@10=1", "rmse=1", "gini@10=.5", "a:=1"]
)
def test_gates_that_make_no_sense(wrong: str) -> None:
    with pytest.raises(UsageError):
        parse_gates([wrong])


def test_labels() -> None:
    assert label_of("ndcg", 10) == "ndcg@10" and label_of("auc", None) == "auc"
