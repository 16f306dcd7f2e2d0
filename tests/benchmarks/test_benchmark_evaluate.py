"""The benchmarks of `evaluate` measure what their tables say. Nothing is timed, no peer is asked."""

import importlib
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from benchmarks import evaluate_model_speed, evaluate_speed

from recli.metrics.base import parse_metrics
from recli.steps.evaluate.config import DEFAULT


def test_lists_hold_distinct_items_and_users_one_to_ten_test_items() -> None:
    lists, users, items = evaluate_speed.synthetic(300, 1000)
    assert lists.shape == (300, 20) and (np.diff(np.sort(lists, axis=1)) > 0).all()
    sizes = np.bincount(users, minlength=300)
    assert (sizes.min(), sizes.max()) == (1, 10) and items.min() >= 0 and items.max() < 1000
    assert np.unique(users * 1000 + items).size == users.size
    assert 0.1 < np.mean([item in lists[user] for user, item in zip(users, items, strict=True)]) < 0.4


def test_ten_metrics_by_hand() -> None:
    lists = np.tile(
        np.arange(20, dtype=np.int32), (2, 1)
    )  # user 0 tests items 0 and 11, user 1 none of the 20
    users, items = np.array([0, 0, 1]), np.array([0, 11, 25], dtype=np.int32)
    found = evaluate_speed.by_recli(lists, users, items, 30)
    assert list(found) == list(evaluate_speed.METRICS) and len(found) == 10
    # means of user 0's figure and 0: the first test item at place 1, the second at place 12
    assert found["precision@10"] == pytest.approx(1 / 10 / 2) and found["hit-rate@10"] == 1 / 2
    assert (found["recall@10"], found["recall@20"]) == (1 / 2 / 2, 1 / 2)
    assert (found["mrr@10"], found["mrr@20"]) == (1 / 2, 1 / 2)
    assert found["map@10"] == pytest.approx(1 / 2 / 2)
    assert found["map@20"] == pytest.approx((1 + 2 / 12) / 2 / 2)
    ideal = 1 + 1 / np.log2(3)
    assert found["ndcg@20"] == pytest.approx((1 + 1 / np.log2(13)) / ideal / 2)


def test_peers_get_the_same_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    lists, users, items = evaluate_speed.synthetic(5, 100)
    tests, run = evaluate_speed.ranx_inputs(lists, users, items)
    assert list(tests) == list(run) == [f"u{user}" for user in range(5)]
    assert sorted(run["u3"], key=run["u3"].__getitem__, reverse=True) == [f"i{item}" for item in lists[3]]
    assert set(tests["u3"]) == {f"i{item}" for item in items[users == 3]}
    compile(evaluate_speed.RECTOOLS, "rectools", "exec")


def test_the_table_has_a_row_for_each_side(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def off(given: Any, rounds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
        values = evaluate_speed.by_recli(*given, 1000)
        spent = {"evaluate": [2.0, 1.0, 3.0], "arrays": [0.5], "made": [4.0]}
        return spent, values | {"mrr@20": values["mrr@20"] + 1e-3}

    monkeypatch.setattr(evaluate_speed, "ranx_seconds", off)
    monkeypatch.setattr(evaluate_speed, "command_seconds", lambda *given: [9.0])
    monkeypatch.setattr(
        sys, "argv", ["x", "--users", "200", "--ranx-users", "100", "--items", "1000", "--rounds", "1"]
    )
    evaluate_speed.main()
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [row[:2] for row in rows[2:]] == [
        ["recli", "200"],
        ["pass", "200"],
        ["recli", "100"],
        ["pass", "100"],
        ["recli evaluate", "200"],
        ["ranx", "100"],
        ["ranx, arrays", "100"],
        ["ranx, made", "100"],
    ]
    assert rows[7][2] == "2" and rows[7][3] == "2e+04" and rows[7][5] == "1e-03"  # median of 3; 2 s for 100


def test_the_log_has_distinct_pairs_in_topics(tmp_path: Path) -> None:
    evaluate_model_speed.write_log(tmp_path / "log.parquet", 300, 500, 1500)
    log = pl.read_parquet(tmp_path / "log.parquet")
    assert log.height == 1500 and log.select("user_id", "item_id").is_unique().all()
    own = (log["user_id"] % 50 == log["item_id"] % 50).mean()
    assert isinstance(own, float) and 0.5 < own < 0.8  # 7 in 10, less those that were drawn twice


def test_every_part_that_is_timed_is_there() -> None:
    for module, name, _ in evaluate_model_speed.PARTS:
        thing: Any = importlib.import_module(module)
        for attribute in name.split("."):
            thing = getattr(thing, attribute)
        assert callable(thing)
    assert "auc" not in {one.label for one in parse_metrics([DEFAULT])}


def test_parts_and_what_is_left_add_up_to_the_command() -> None:
    alone = {"ranking": 1.0, "users": 1000.0}
    names = {part for *_, part in evaluate_model_speed.PARTS}
    whole = dict.fromkeys(names, 0.1) | {"ranking, measuring": 1.5, "auc": 0.3, "compiling": 0.2, "all": 3.0}
    lines = evaluate_model_speed.table(alone, {"all": 2.5}, whole, whole)
    shown = {line.split("|")[1].strip(): float(line.split("|")[2]) for line in lines[2:]}
    # 1.5 s of ranking and measuring, less 0.3 of auc and 1.0 of ranking: 0.2 s, 200 us for each of 1,000 users
    assert shown.pop("ranking and measuring, on top") == 200
    assert shown.pop("auc, machine code made before") == 100 and shown.pop("making it") == 200
    assert shown.pop("ranking alone") == 1000 and shown.pop("**the command, on top**") == 2000
    assert shown.pop("`recli recommend`, on top") == 1500
    assert shown.pop("start, imports") == pytest.approx(3000 - 1500 - 100 * len(shown))
