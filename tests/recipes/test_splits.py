"""Splits of a run that are drawn again: every event is in the test of one fold, and seeds draw as prepare does."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

import recli
from recli.data.interactions import Interactions
from recli.recipes import splits
from recli.storage import parts, runs


def write_log(folder: Path) -> Path:
    """40 users with 1 to 15 events; ratings 1 to 5."""
    rng, lines = np.random.default_rng(3), ["user_id,item_id,rating,timestamp"]
    for user in range(40):
        for step, item in enumerate(rng.permutation(30)[: 1 + user % 15]):
            rating = 1 + (user * step) % 5
            lines.append(f"u{user:02d},i{item:02d},{rating},{1_600_000_000 + user * 50 + step * 1000}")
    path = folder / "events.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def prepared(folder: Path, log: Path, **options: Any) -> tuple[Interactions, dict[str, Any]]:
    run = Path(recli.prepare(log, out=folder, min_rating=2.0, negatives="below:3", **options))
    return runs.read_interactions(run), parts.open_part(run / "interactions", "interactions").config


def all_rows(interactions: Interactions) -> pl.DataFrame:
    return pl.concat(interactions.splits.values()).sort("user", "item")


@pytest.mark.parametrize("n", [2, 5])
def test_every_event_is_in_the_test_of_one_fold(tmp_path: Path, n: int) -> None:
    run, options = prepared(tmp_path / "run", write_log(tmp_path))
    folds = [splits.fold(run, options, number, n) for number in range(n)]
    tested = pl.concat(fold.splits["test"] for fold in folds).sort("user", "item")
    assert tested.equals(all_rows(run))
    for fold in folds:
        assert all_rows(fold).equals(all_rows(run))
        assert fold.splits["validation"].height and not fold.splits["history"].height
        assert fold.items["cold"].sum() == run.n_items - fold.splits["train"]["item"].n_unique()
    sizes = [fold.splits["test"].height for fold in folds]
    assert max(sizes) - min(sizes) < all_rows(run).height / n / 2


def test_what_was_only_seen_is_in_the_test_where_its_place_is(tmp_path: Path) -> None:
    run, options = prepared(tmp_path / "run", write_log(tmp_path))
    assert run.seen_events.height
    pairs = ["user", "item", "negative"]
    for number in range(3):
        fold = splits.fold(run, options, number, 3)
        assert fold.seen_events.select(pairs).sort(pairs).equals(run.seen_events.select(pairs).sort(pairs))
    tested = [
        splits.fold(run, options, f, 3).seen_events.filter(pl.col("split") == "test").height for f in range(3)
    ]
    assert sum(tested) == run.seen_events.height


@pytest.mark.parametrize(
    "options", [{}, {"cold_items": 0.2, "cold_users": 0.1}, {"validation_size": 0.0, "test_size": 0.3}]
)
def test_a_seed_draws_the_split_as_prepare_does(tmp_path: Path, options: dict[str, Any]) -> None:
    log = write_log(tmp_path)
    run, stored = prepared(tmp_path / "run", log, **options)
    for seed in (0, 7):
        expected, _ = prepared(tmp_path / f"run{seed}", log, seed=seed, **options)
        drawn = splits.redrawn(run, stored, seed)
        assert drawn.users.equals(expected.users) and drawn.items.equals(expected.items)
        assert all(drawn.splits[name].equals(expected.splits[name]) for name in expected.splits)
        assert drawn.seen_events.equals(expected.seen_events)
