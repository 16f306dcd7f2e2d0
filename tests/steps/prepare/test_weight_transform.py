"""`--weight-transform`: what auto takes weights for, and what is written and said."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recli.data.event_columns import Rows
from recli.errors import UsageError
from recli.schema import Float64, Int64
from recli.steps.prepare.cleaning.weight_transform import choose, parse_transform, transform_weights
from recli.storage import runs

Recli = Callable[..., tuple[int, str, str]]
N_USERS, EACH = 60, 30


def users() -> Int64:
    return np.repeat(np.arange(N_USERS), EACH)


def counts(kind: str) -> Float64:
    """Weights of 60 users with 30 items each."""
    random, n = np.random.default_rng(3), N_USERS * EACH
    made = {
        "zipf": lambda: np.floor(random.pareto(1.0, n) + 1),
        "log-normal": lambda: np.exp(1.8 * random.normal(size=n) + 3),
        "seconds": lambda: np.ceil(3600 * random.pareto(1.2, n)),
        "shares": lambda: 1e-4 * (random.pareto(1.0, n) + 1),
        "listeners": lambda: np.ceil(20 * np.exp(2 * random.normal(size=N_USERS)[users()] + random.normal(size=n))),
        "1 to 10": lambda: random.integers(1, 11, n).astype(float),
        "ratings": lambda: random.choice([0.5, 1, 2, 3, 3.5, 4, 5], n),
        "view cart purchase": lambda: random.choice([1.0, 3.0, 5.0], n, p=[0.9, 0.07, 0.03]),
        "a few repeats": lambda: random.choice([1.0, 2.0, 3.0, 4.0], n, p=[0.8, 0.14, 0.04, 0.02]),
        "one large": lambda: np.append(np.full(n - 1, 2.0), 30.0),
        "all the same": lambda: np.full(n, 7.0),
    }  # fmt: skip
    weights: Float64 = made[kind]()
    return weights


@pytest.mark.parametrize(
    ("kind", "taken_for"),
    [
        ("zipf", "log"),
        ("log-normal", "log"),
        ("seconds", "log"),
        ("shares", "log"),
        ("listeners", "per-user"),
        ("1 to 10", "none"),
        ("ratings", "none"),
        ("view cart purchase", "none"),
        ("a few repeats", "none"),
        ("one large", "none"),
        ("all the same", "none"),
    ],
)
def test_auto_tames_heavy_tails_and_leaves_others(kind: str, taken_for: str) -> None:
    weights = counts(kind)
    assert choose(weights, users(), min(1.0, float(np.median(weights)))) == taken_for


def test_weights_that_were_typed_are_meant() -> None:
    weights = np.array([1.0] * 99 + [100.0])
    owners = np.zeros(100, dtype=np.int64)
    assert choose(weights, owners, 1.0) == "log"
    assert choose(weights, owners, 1.0, largest_given=100.0) == "none"


def rows_with(weights: Float64) -> Rows:
    columns = {"user": users().astype(np.int32), "item": np.tile(np.arange(EACH), N_USERS).astype(np.int32)}
    return Rows(columns | {"value": weights.astype(np.float32)})


@pytest.mark.parametrize("how", ["auto", "log", "sqrt", "cap:5", "percentile", "per-user", "binary"])
@pytest.mark.parametrize("kind", ["zipf", "listeners", "shares"])
def test_values_have_mean_1_and_keep_their_order(kind: str, how: str) -> None:
    weights, rows = counts(kind), rows_with(counts(kind))
    weighed = transform_weights(rows, np.ones(len(rows), dtype=bool), how)
    values = rows.columns["value"]
    assert weighed is not None and weighed.largest == pytest.approx(weights.max())
    assert values.mean() == pytest.approx(1, abs=1e-4)
    of_user = users() == 5
    assert (np.diff(values[of_user][np.argsort(weights[of_user])]) >= 0).all()


def test_the_test_split_decides_nothing() -> None:
    weights, train = counts("zipf"), np.arange(N_USERS * EACH) % 2 == 0
    changed = np.where(train, weights, weights[::-1] * 1000)
    values = []
    for log in (weights, changed):
        rows = rows_with(log)
        transform_weights(rows, train, "auto")
        values.append(rows.columns["value"][train])
    np.testing.assert_array_equal(*values)
    assert values[0].mean() == pytest.approx(1, abs=1e-4)


def test_no_weights_nothing_to_do() -> None:
    rows = rows_with(np.ones(N_USERS * EACH))
    assert transform_weights(rows, np.ones(len(rows), dtype=bool), "auto") is None


def test_old_events_are_no_heavy_tail() -> None:
    decayed = 0.5 ** np.linspace(0, 60, N_USERS * EACH)
    rows = rows_with(decayed)
    weighed = transform_weights(rows, np.ones(len(rows), dtype=bool), "auto", decayed=True)
    assert weighed is not None and weighed.transform.kind == "none"
    np.testing.assert_array_equal(rows.columns["value"], decayed.astype(np.float32))


@pytest.mark.parametrize("text", ["cap", "cap:", "cap:x", "cap:-1", "cap:inf", "cube", "log:3", ""])
def test_what_is_no_transform(text: str) -> None:
    with pytest.raises(UsageError, match="--weight-transform"):
        parse_transform(text)


# --- from the shell


def log_of(path: Path, weights: Float64, header: str = "user_id,item_id,plays") -> Path:
    lines = (f"u{u},i{n % EACH},{w:g}" for n, (u, w) in enumerate(zip(users(), weights, strict=True)))
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def values_of(run: Path) -> Float64:
    data = runs.read_interactions(run)
    return data.matrix("train", "validation", "test").data.astype(np.float64)


def summary_of(run: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((run / "interactions" / "manifest.json").read_text())
    return manifest


def test_play_counts_are_tamed_and_it_is_said(tmp_path: Path, recli: Recli) -> None:
    log, run = log_of(tmp_path / "log.csv", counts("zipf")), tmp_path / "run"
    _, _, err = recli("prepare", log, "--weight-column", "plays", "--out", run)
    largest = f"{counts('zipf').max():,.0f}"
    said = f"weights 1 to {largest}, median 1: taken as log(1+w), scaled to mean 1; see --weight-transform"
    assert said in " ".join(err.split())
    manifest = summary_of(run)
    stored = manifest["summary"]["weight_transform"]
    assert stored["kind"] == "log" and stored["automatic"] and stored["max"] == counts("zipf").max()
    assert manifest["config"]["weight_transform"] == "auto"
    assert values_of(run).max() < 20
    assert runs.read_interactions(run).weights.kind == "log"


def test_none_keeps_weights_and_binary_ignores_them(tmp_path: Path, recli: Recli) -> None:
    log, run = log_of(tmp_path / "log.csv", counts("zipf")), tmp_path / "run"
    recli("prepare", log, "--weight-column", "plays", "--out", run, "--weight-transform", "none")
    assert values_of(run).max() == counts("zipf").max()
    recli("prepare", log, "--weight-column", "plays", "--out", run, "--weight-transform", "binary")
    assert set(values_of(run)) == {1.0}


def test_a_huge_weight_is_no_longer_than_it_need_be(tmp_path: Path, recli: Recli) -> None:
    log, run = log_of(tmp_path / "log.csv", np.where(counts("zipf") > 50, 1e30, 1.0)), tmp_path / "run"
    _, _, err = recli("prepare", log, "--weight-column", "plays", "--out", run)
    assert "weights 1 to 1e+30, median 1: taken as log(1+w)" in " ".join(err.split())
    assert np.isfinite(values_of(run)).all()


def test_small_weights_of_events_stay(tmp_path: Path, recli: Recli) -> None:
    events = np.random.default_rng(1).choice(
        ["view", "cart", "purchase"], N_USERS * EACH, p=[0.9, 0.07, 0.03]
    )
    lines = [f"u{u},i{n % EACH},{event}" for n, (u, event) in enumerate(zip(users(), events, strict=True))]
    log, run = tmp_path / "log.csv", tmp_path / "run"
    log.write_text("\n".join(["user_id,item_id,event", *lines]) + "\n")
    _, _, err = recli("prepare", log, "--event-weights", "view=1,cart=3,purchase=5", "--out", run)
    assert set(values_of(run)) == {1.0, 3.0, 5.0}
    assert "weights 1 to 5, median 1: taken as they are" in " ".join(err.split())


def test_repeated_events_are_weights_too(tmp_path: Path, recli: Recli) -> None:
    """300 events of one song and a play count of 300 are the same."""
    plays = np.minimum(counts("zipf"), 300)
    weighted, repeated = log_of(tmp_path / "weighted.csv", plays), tmp_path / "repeated.csv"
    header, *lines = (
        log_of(tmp_path / "once.csv", np.ones(plays.size), "user_id,item_id,other").read_text().split()
    )
    repeated.write_text("\n".join([header, *np.repeat(lines, plays.astype(int))]) + "\n")
    recli("prepare", weighted, "--weight-column", "plays", "--out", tmp_path / "a")
    _, _, err = recli("prepare", repeated, "--out", tmp_path / "b")
    assert "taken as log(1+w)" in " ".join(err.split())
    np.testing.assert_array_equal(values_of(tmp_path / "a"), values_of(tmp_path / "b"))


def test_a_log_without_weights_says_nothing_of_them(tmp_path: Path, recli: Recli) -> None:
    log, run = log_of(tmp_path / "log.csv", counts("zipf"), "user_id,item_id,other"), tmp_path / "run"
    _, _, err = recli("prepare", log, "--out", run)
    assert "weights" not in err and set(values_of(run)) == {1.0}
    assert "weight_transform" not in summary_of(run)["summary"]


def test_an_unknown_transform_is_a_usage_error(tmp_path: Path, recli: Recli) -> None:
    log = log_of(tmp_path / "log.csv", counts("zipf"))
    _, _, err = recli("prepare", log, "--out", tmp_path / "run", "--weight-transform", "cap:x", code=2)
    assert "cap:x" in err and "such as cap:10" in err
