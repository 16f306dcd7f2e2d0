"""Users of whom a model knows nothing: lists that are served, and figures that are measured, are the same."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import checkerboard, write_board
from scipy.sparse import csr_matrix

from recli.config import to_dict
from recli.data.history import History
from recli.data.interactions import Interactions
from recli.metrics import ndcg_at
from recli.models.base import Model, Training, algorithms
from recli.models.fusion import LOG_POPULARITY, FusedSource, Fusion, FusionConfig
from recli.models.popularity import Popularity
from recli.models.wrappers import RecencyWeighted, WithFallback, item_counts
from recli.ranking.topk import top_k
from recli.schema import Float32, Int64, State
from recli.storage import parts, runs
from recli.training import validation

Recli = Callable[..., tuple[int, str, str]]
COLD_USERS = [11, 23, 35]  # of the board: no training events


@dataclass(frozen=True)
class Fixed(Model):
    """Row i of the scores for user i of a batch."""

    scores: Float32

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        return self.scores.copy()

    def state(self) -> State:
        return {"scores": self.scores}


def history(*items: list[int], n_items: int) -> History:
    """One user for each list of item numbers."""
    rows = [row for row, mine in enumerate(items) for _ in mine]
    columns = [item for mine in items for item in mine]
    ones = np.ones(len(rows), dtype=np.float32)
    return History(csr_matrix((ones, (rows, columns)), shape=(len(items), n_items)))


# --- what stands in, and where


def test_counts_are_users_not_weights() -> None:
    matrix = csr_matrix(np.array([[2, 0, 1], [5, 0, 0]], dtype=np.float32))
    assert item_counts(matrix).tolist() == [2, 0, 1] and item_counts(matrix).dtype == np.float32


def test_popularity_stands_in_without_history_and_for_equal_scores() -> None:
    given = np.array([[3, 1, 2], [0, 0, 0], [1, 2, 3], [7, 7, 7]], dtype=np.float32)
    counts = np.array([5, 9, 1], dtype=np.float32)
    batches: list[int] = []
    model = WithFallback(Fixed(given), counts, record=batches.append)
    scores, silent = model.filled(history([0], [1], [], [2], n_items=3))
    assert scores.tolist() == [[3, 1, 2], [5, 9, 1], [5, 9, 1], [5, 9, 1]]
    assert silent.tolist() == [False, True, True, True] and batches == [3]
    none = WithFallback(Fixed(given), counts, "none").score(history([0], [1], [], [2], n_items=3))
    assert none[0].tolist() == [3, 1, 2] and np.isneginf(none[1:]).all()
    assert model.state().keys() == {"scores"}


def test_one_item_that_differs_is_something_to_say() -> None:
    scores = np.zeros((1, 1000), dtype=np.float32)
    scores[0, 7] = 1  # not among the 64 that are looked at first: 0, 15, 31, ...
    made = WithFallback(Fixed(scores), np.ones(1000, dtype=np.float32) * 4).filled(history([3], n_items=1000))
    assert np.array_equal(made[0], scores) and not made[1].any()


def test_what_ranks_items_without_a_history_is_left_alone() -> None:
    with_recency = Popularity(np.array([1, 2, 3], dtype=np.float32))  # as with a half-life: not the counts
    counts = np.array([9, 5, 1], dtype=np.float32)
    for fallback in ("popularity", "none"):
        scores, silent = WithFallback(with_recency, counts, fallback).filled(history([], [0], n_items=3))
        assert scores.tolist() == [[1, 2, 3]] * 2 and not silent.any()
    level = Popularity(np.ones(3, dtype=np.float32))
    assert WithFallback(level, counts).score(history([], n_items=3)).tolist() == [[1, 1, 1]]
    assert WithFallback(RecencyWeighted(Fixed(np.zeros((1, 3), dtype=np.float32)), 1.0), counts).score(
        history([], n_items=3)
    ).tolist() == [[9, 5, 1]]


# --- the validator


def test_the_judge_measures_what_is_served(board: Interactions) -> None:
    rows = board.splits["train"].filter(~pl.col("user").is_in([0, 1]))
    data = Interactions(board.users, board.items, board.splits | {"train": rows})
    validator = validation.validator_of(data)
    relevant, n = data.matrix("validation")[validator.users], validator.users.size
    assert validator.users[:2].tolist() == [0, 1] and validator.history.sizes[:2].tolist() == [0, 0]

    class Oracle(Model):
        """Perfect for users with a history, zeros for the two without."""

        def score(self, history: History, users: Int64 | None = None) -> Float32:
            scores = relevant.toarray().astype(np.float32)
            scores[history.sizes == 0] = 0
            return scores

        def state(self) -> State:
            return {}

    counts = np.bincount(rows["item"].to_numpy(), minlength=data.n_items).astype(np.float32)
    popular = top_k(np.tile(counts, (2, 1)), 20, data.ties)
    two = ndcg_at(popular.items, relevant[:2])
    assert validator(Oracle()) == pytest.approx((n - 2 + two.sum()) / n) and 0 < two.sum() < 2


# --- evaluate and recommend


def train(run: Path, algorithm: str, **options: Any) -> Model:
    data = runs.read_interactions(run)
    config = algorithms[algorithm].config(**options)
    given = Training(data.matrix("train"), rows=data.splits["train"], threads=1)
    model = algorithms[algorithm].fit(config, given)
    runs.write_model(run, algorithm, algorithm, to_dict(config), model, seed=0)
    return model


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The board with nothing known of its three cold users."""
    board = checkerboard()
    board.splits["history"] = board.splits["history"].clear()
    return write_board(tmp_path / "run", board)


def figures(run: Path, recli: Recli, *options: object) -> tuple[dict[str, Any], pl.DataFrame]:
    """What `--json` prints, and metrics.per_user."""
    _, out, _ = recli(
        "evaluate", run, "--json", "--samples", 0, "--metrics", "ndcg@20,recall@20,auc", *options
    )
    return json.loads(out), parts.open_part(run / "metrics", "metrics").table("per_user")


def of(users: pl.DataFrame, model: str, metric: str) -> dict[str, float]:
    one = users.filter((pl.col("model") == model) & (pl.col("metric") == metric))
    return dict(zip(one["user_id"], one["value"], strict=True))


@pytest.mark.parametrize("fallback", ["popularity", "none"])
@pytest.mark.parametrize("name", ["item-knn", "popularity"])
def test_models_are_worth_what_their_lists_are(
    run: Path, recli: Recli, tmp_path: Path, name: str, fallback: str
) -> None:
    train(run, name)
    served = ("--fallback", fallback)
    recli(
        "recommend", run, "--model", name, "-k", 20, "--format", "csv", "--out", tmp_path / "a.csv", *served
    )
    found, users = figures(run, recli, "--recommendations", f"lists={tmp_path / 'a.csv'}", *served)
    for metric in ("ndcg", "recall"):
        assert of(users, name, metric) == pytest.approx(of(users, "lists", metric))
        assert len(of(users, name, metric)) == 36
    assert found["models"][name]["ndcg@20"]["value"] > 0
    assert found["settings"]["fallback"] == fallback


def test_without_a_history_users_count_as_popularity_does(run: Path, recli: Recli) -> None:
    train(run, "item-knn")
    train(run, "popularity")
    found, users = figures(run, recli)
    for metric in ("ndcg", "recall", "auc"):
        knn, popular = of(users, "item-knn", metric), of(users, "popularity", metric)
        assert [knn[f"u{u:03d}"] for u in COLD_USERS] == [popular[f"u{u:03d}"] for u in COLD_USERS]
        assert knn != popular
    (rule,) = [r for r in found["protocol"] if "--fallback" in r]
    assert "popularity, as `recommend` serves them (--fallback popularity): item-knn 3." in rule
    notes = {system["name"]: system["notes"] for system in found["systems"]}
    assert notes == {"item-knn": {"users served popularity": 3}, "popularity": {}}
    stored = parts.open_part(run / "metrics", "metrics").summary
    assert rule in stored["protocol"]


def test_no_fallback_means_no_list(run: Path, recli: Recli) -> None:
    train(run, "item-knn")
    train(run, "popularity")
    found, users = figures(run, recli, "--fallback", "none")
    unknown = [f"u{u:03d}" for u in COLD_USERS]
    for metric in ("ndcg", "recall"):
        assert [of(users, "item-knn", metric)[u] for u in unknown] == [0, 0, 0]
        assert sum(of(users, "popularity", metric)[u] for u in unknown) > 0  # it is not personal: unchanged
    assert found["models"]["item-knn"]["auc"]["users"] == 33  # no list has no auc
    (rule,) = [r for r in found["protocol"] if "--fallback" in r]
    assert "no list, count 0, and have no auc (--fallback none): item-knn 3." in rule
    notes = {system["name"]: system["notes"] for system in found["systems"]}
    assert notes == {"item-knn": {"users without a list": 3}, "popularity": {}}
    recli("evaluate", run, "--fallback", "random", code=2)


def test_a_fusion_serves_its_own_popularity(run: Path, recli: Recli) -> None:
    """Recent popularity among the sources is better than the counts of all time: nothing stands in for it."""
    knn, data = train(run, "item-knn"), runs.read_interactions(run)
    with_recency = Popularity(np.arange(data.n_items, dtype=np.float32))  # the last item is best
    described = (
        FusedSource("item-knn", "item-knn", to_dict(algorithms["item-knn"].config())),
        FusedSource("recent-popularity", "popularity", to_dict(algorithms["popularity"].config())),
    )
    weights = {"item-knn": 0.6, "recent-popularity": 0.3, LOG_POPULARITY: 0.1}
    config = FusionConfig(sources=tuple(map(to_dict, described)), weights=weights)
    counts = item_counts(data.matrix("train"))
    model = Fusion(config, {"item-knn": knn, "recent-popularity": with_recency}, counts, counts == 0)
    runs.write_model(run, "hybrid", "fusion", to_dict(config), model, seed=0)
    asked = ("--users", "u011", "-k", 1, "--explain", "--format", "jsonl")
    row = json.loads(recli("recommend", run, "--model", "hybrid", *asked)[1])
    (item,) = row["items"]
    assert row["source"] == "hybrid" and item["item_id"] == "i028"  # i029 is cold
    assert {one["source"] for one in item["sources"]} <= {"recent-popularity", LOG_POPULARITY}
    assert "sources: recent-popularity" in item["because"]
    assert json.loads(recli("recommend", run, "--model", "item-knn", *asked)[1])["source"] == "popularity"
    found, _ = figures(run, recli, "--models", "hybrid")
    assert not [r for r in found["protocol"] if "--fallback" in r]
