"""The boost of cold items that is found: `--cold-share`, `--max-warm-loss`, and what they are counted from."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import log2
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import checkerboard, write_board
from scipy.sparse import csr_matrix
from test_train_hybrid import embed, stored

from recli.data.arrays import tie_order
from recli.data.history import History
from recli.data.interactions import Interactions
from recli.metrics import ndcg_at
from recli.metrics.accuracy import hits_of
from recli.models.base import Model
from recli.models.fusion import Fusion, FusionConfig
from recli.ranking.topk import rank
from recli.reporting import no_progress
from recli.schema import CSR, Float32, Int64, State
from recli.steps.train_hybrid.cold_items import (
    BlockTopK,
    WarmColdRanking,
    boost_for_loss,
    boost_for_share,
    cold_figures,
    rank_blocks,
    share_of_cold,
    trade_off,
    warm_loss,
    warm_ndcg,
)
from recli.steps.train_hybrid.weights import Candidates
from recli.storage import parts

Recli = Callable[..., tuple[int, str, str]]
GRID = [float(b) for b in np.arange(-6, 6, 0.05)]
TWO = ("--sources", "user-knn,content-knn")


# arithmetic by hand


def side(scores: list[float], hits: tuple[int, ...] = (), relevant: int = 0, first: bool = True) -> BlockTopK:
    """One user's items; `first`: before the other side's where scores are equal."""
    padded = np.full((1, 20), -np.inf, dtype=np.float32)
    padded[0, : len(scores)] = scores
    found = np.zeros((1, 20), dtype=bool)
    found[0, list(hits)] = True
    ties = np.arange(20, dtype=np.int32)[None, :] + (0 if first else 20)
    return BlockTopK(padded, ties, found, np.array([relevant]))


def warm(hits: tuple[int, ...] = (), relevant: int = 0, n: int = 20) -> BlockTopK:
    """Scores 20, 19, 18 ..."""
    return side([20.0 - i for i in range(n)], hits, relevant)


def test_share_counts_places() -> None:
    one = WarmColdRanking(warm(), side([5.5, 0.0]))
    # 5.5 stands above the warm items 5 to 1 and takes the place of 1; 0 would be the 22nd
    assert share_of_cold(one, 0.0) == 1 / 20
    assert share_of_cold(one, 1.5) == 1 / 20  # 1.5 stands above 1, which is out already; it needs to pass 2
    assert share_of_cold(one, 2.5) == 2 / 20
    assert share_of_cold(one, -5.0) == 0
    # two users are counted by places, not averaged; ten warm items and two cold ones are a list of 12
    two = WarmColdRanking(
        *(
            BlockTopK(
                *(
                    np.concatenate([getattr(a, f), getattr(b, f)])
                    for f in ("scores", "ties", "hits", "relevant")
                )
            )
            for a, b in ((warm(), warm(n=10)), (side([5.5, 0.0]), side([5.5, 0.0])))
        )
    )
    assert share_of_cold(two, -100.0) == 2 / 32


def test_equal_scores_are_in_the_order_of_ties() -> None:
    assert share_of_cold(WarmColdRanking(warm(), side([0.0], first=False)), 1.0) == 0
    one = WarmColdRanking(side([20.0 - i for i in range(20)], first=False), side([0.0]))
    assert share_of_cold(one, 1.0) == 1 / 20


def test_warm_items_are_moved_down_by_cold_ones() -> None:
    # the hits are third (score 18) and last (1); 2 of 3 relevant items are in the list
    one = WarmColdRanking(warm(hits=(2, 19), relevant=3), side([18.5, 10.0]))
    ideal = 1 + 1 / log2(3) + 1 / log2(4)
    alone = (1 / log2(4) + 1 / log2(21)) / ideal
    assert warm_ndcg(one, None) == pytest.approx(alone)
    assert warm_ndcg(one, -50.0) == pytest.approx(alone)
    # fourth now, and the last one is out
    assert warm_ndcg(one, 0.0) == pytest.approx(1 / log2(5) / ideal)
    assert warm_ndcg(one, 9.0) == pytest.approx(1 / log2(6) / ideal)
    assert warm_loss(one, 0.0) == pytest.approx(1 - 1 / log2(5) / ideal / alone)
    nobody = WarmColdRanking(warm(), side([18.5]))
    assert warm_ndcg(nobody, 0.0) is None
    assert warm_loss(nobody, 0.0) == 0


def test_cold_figures_count_cold_items_among_all() -> None:
    one = WarmColdRanking(warm(), side([18.5, 0.0], hits=(0, 1), relevant=4))
    ideal = sum(1 / log2(place + 2) for place in range(4))
    # the first stands below 20 and 19; the second is the 22nd
    assert cold_figures(one, 0.0) == (pytest.approx(1 / log2(4) / ideal), 1 / 4)
    # at 20.5 the second is the second of all: the first is at 39
    assert cold_figures(one, 20.5) == (pytest.approx((1 + 1 / log2(3)) / ideal), 2 / 4)
    assert cold_figures(WarmColdRanking(warm(), side([1.0])), 0.0) == (None, None)


def test_the_found_boost_is_in_the_middle_of_its_step() -> None:
    one = WarmColdRanking(warm(hits=(2,), relevant=1), side([5.5, 0.0]))
    # the first cold item is in the list above 1 - 5.5 = -4.5, the second above 2 - 0 = 2
    assert boost_for_share(one, 0.05) == pytest.approx((-4.5 + 2) / 2)
    assert boost_for_share(one, 0.1) == 3  # all boosts from 2 do: 1 more than the last step
    assert boost_for_share(one, 0.0) == -5.5
    assert boost_for_share(one, 0.06) == pytest.approx(-1.25)  # the nearer one of .05 and .1
    # the hit, at 18, is passed from 12.5 and from 18: NDCG 1/log2(4) = .5, then 1/log2(5) and 1/log2(6)
    assert boost_for_loss(one, 0.0) == (11.5, True)
    assert boost_for_loss(one, 1 - 2 / log2(5) + 1e-9) == (15.25, True)
    assert boost_for_loss(one, 0.99) == (19, False)


def test_without_rivals_any_boost_will_do() -> None:
    one = WarmColdRanking(warm(n=3), side([5.5, 0.0]))  # all five are in every list
    assert boost_for_share(one, 0.1) == 0
    assert share_of_cold(one, 0.0) == 2 / 5


# against lists that are really made


@dataclass(frozen=True)
class Table(Model):
    """A model that has said all scores beforehand."""

    scores: Float32

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        assert users is not None
        return self.scores[users].copy()

    def state(self) -> State:
        return {"scores": self.scores}


@pytest.fixture(scope="module")
def given() -> tuple[Fusion, Candidates]:
    """60 users, 90 items of which 40 are cold; scores of few values, so that many are equal."""
    rng = np.random.default_rng(3)
    n, m = 60, 90
    scores = np.round(rng.normal(size=(n, m)), 1).astype(np.float32)
    cold = rng.permutation(m) < 40
    history = csr_matrix(((rng.random((n, m)) < 0.1) & ~cold).astype(np.float32))
    relevant = csr_matrix((rng.random((n, m)) < 0.08).astype(np.float32))
    config = FusionConfig(
        sources=({"name": "table", "algorithm": "als"},),
        weights={"table": 1.0},
        cold_weights={"table": 1.0},
        cold_boost=9.0,  # what it is before makes no difference
    )
    model = Fusion(config, {"table": Table(scores)}, np.ones(m, dtype=np.float32), cold)
    ties = tie_order(f"i{i}" for i in range(m))
    return model, Candidates(np.arange(n), History(history), relevant, np.flatnonzero(~cold), ties)


def listed(model: Fusion, given: Candidates, boost: float) -> Any:
    boosted = replace(model, config=replace(model.config, cold_boost=boost))
    return rank(boosted, given.history, given.users, k=20, ties=given.ties, seen=given.history.values).items


def to_find(given: Candidates, items: Int64) -> CSR:
    """What is relevant of the items and not in the history, item by item."""
    wanted = given.relevant.toarray() * (given.history.values.toarray() == 0)
    wanted[:, np.setdiff1d(np.arange(wanted.shape[1]), items)] = 0
    return csr_matrix(wanted)


def test_counted_is_what_lists_show(given: tuple[Fusion, Candidates]) -> None:
    model, of_warm = given
    of_cold = replace(of_warm, items=np.flatnonzero(model.cold))
    on_validation, on_hidden = (
        rank_blocks(model, candidates, no_progress) for candidates in (of_warm, of_cold)
    )
    asked = to_find(of_warm, of_warm.items), to_find(of_warm, of_cold.items)
    some = [np.diff(relevant.indptr) > 0 for relevant in asked]
    for boost in (-50.0, -1.0, -0.3, 0.0, 0.5, 2.0, 50.0):
        lists = listed(model, of_warm, boost)
        assert share_of_cold(on_validation, boost) == float(model.cold[lists].mean())
        assert warm_ndcg(on_validation, boost) == pytest.approx(
            float(ndcg_at(lists, asked[0])[some[0]].mean())
        )
        recall = hits_of(lists, asked[1]).sum(axis=1)[some[1]] / np.diff(asked[1].indptr)[some[1]]
        assert cold_figures(on_hidden, boost) == (
            pytest.approx(float(ndcg_at(lists, asked[1])[some[1]].mean())),
            pytest.approx(float(recall.mean())),
        )
    assert share_of_cold(on_validation, -50.0) == 0
    assert share_of_cold(on_validation, 50.0) == 1
    assert warm_ndcg(on_validation, -50.0) == warm_ndcg(on_validation, None)
    assert warm_ndcg(on_validation, 50.0) == 0


def test_more_boost_is_more_cold_items_and_more_loss(given: tuple[Fusion, Candidates]) -> None:
    on_validation = rank_blocks(*given, no_progress)
    for figure in (share_of_cold, warm_loss):
        values = [figure(on_validation, boost) for boost in GRID]
        assert values == sorted(values)
        assert values[0] < values[100] < values[-1]


@pytest.mark.parametrize("asked", [0.0, 0.01, 0.1, 0.333, 0.5, 0.9, 1.0])
def test_no_boost_comes_nearer_to_the_share(given: tuple[Fusion, Candidates], asked: float) -> None:
    on_validation = rank_blocks(*given, no_progress)
    found = abs(share_of_cold(on_validation, boost_for_share(on_validation, asked)) - asked)
    assert found <= min(abs(share_of_cold(on_validation, boost) - asked) for boost in GRID)
    assert found < 1.01 / (60 * 20)  # one place of all lists


@pytest.mark.parametrize("allowed", [0.0, 0.01, 0.05, 0.2, 0.5, 0.95])
def test_no_larger_boost_keeps_the_loss(given: tuple[Fusion, Candidates], allowed: float) -> None:
    on_validation = rank_blocks(*given, no_progress)
    boost, bounded = boost_for_loss(on_validation, allowed)
    assert bounded
    assert warm_loss(on_validation, boost) <= allowed
    kept = max(b for b in GRID if warm_loss(on_validation, b) <= allowed)
    assert warm_loss(on_validation, kept) <= warm_loss(on_validation, boost)


def test_the_trade_off_keeps_warm_and_cold_apart(given: tuple[Fusion, Candidates]) -> None:
    model, of_warm = given
    on_validation = rank_blocks(model, of_warm, no_progress)
    on_hidden = rank_blocks(model, replace(of_warm, items=np.flatnonzero(model.cold)), no_progress)
    low, high = trade_off(on_validation, on_hidden, (-0.5, 0.5))
    assert low["cold_boost"] == -0.5
    assert low["warm_ndcg@20"] == round(warm_ndcg(on_validation, -0.5) or 0, 6)
    for name in ("cold_share", "warm_loss", "hidden_ndcg@20", "hidden_recall@20"):
        assert (low[name] or 0) < (high[name] or 0)
    assert (low["warm_ndcg@20"] or 0) > (high["warm_ndcg@20"] or 0)
    assert trade_off(on_validation, None, (0.0,))[0]["hidden_ndcg@20"] is None


# the command


@pytest.fixture
def run(board_run: Path) -> Path:
    embed(board_run)
    return board_run


def measured_share(run: Path, board: Interactions, splits: tuple[str, ...] = ("train",)) -> float:
    """Of cold items (the last of each block) in the lists that the stored model gives validation users."""
    users = np.unique(board.splits["validation"]["user"].to_numpy()).astype(np.int64)
    history, ties = board.ordered(*splits)[users], board.ties
    top = rank(stored(run).model, history, users, k=20, ties=ties, seen=history.values).items
    return float((top[top >= 0] % 10 == 9).mean())


@pytest.mark.parametrize("asked", [0.03, 0.1])
@pytest.mark.parametrize("refit", [False, True])
def test_cold_share(run: Path, recli: Recli, board: Interactions, asked: float, refit: bool) -> None:
    _, _, err = recli("train-hybrid", run, *TWO, "--cold-share", asked, *(("--refit",) if refit else ()))
    made = stored(run)
    assert isinstance(made.model, Fusion)
    said = made.part.summary["cold_items"]
    boost = made.model.config.cold_boost
    assert boost == said["cold_boost"] == made.part.config["options"]["cold_boost"]
    found = measured_share(run, board, ("train", "validation") if refit else ("train",))
    assert said["cold_share"] == pytest.approx(found, abs=1e-6)
    assert abs(found - asked) <= 0.005
    assert said["users"] == 33
    assert f"--cold-share {asked:g}: --cold-boost {boost:g} is chosen; cold items are {found:.1%}" in err
    assert "What a boost of cold items costs and brings" in err
    assert ("All before --refit" in err) == refit
    boosts = [row["cold_boost"] for row in said["trade_off"]]
    assert boosts == sorted({-1, 0, 0.5, 1, 1.5, 2, boost})
    assert all(row["hidden_ndcg@20"] is not None for row in said["trade_off"])
    if not refit:  # typing the boost gives the same model
        recli("train-hybrid", run, *TWO, "--cold-boost", boost)
        assert measured_share(run, board) == found


def test_max_warm_loss(run: Path, recli: Recli) -> None:
    boosts = []
    for allowed in (0.0, 0.1):
        _, _, err = recli("train-hybrid", run, *TWO, "--max-warm-loss", allowed)
        assert f"--max-warm-loss {allowed:g}: --cold-boost" in err
        said = stored(run).part.summary["cold_items"]
        (row,) = [row for row in said["trade_off"] if row["cold_boost"] == said["cold_boost"]]
        assert 0 <= row["warm_loss"] <= allowed
        boosts.append(said["cold_boost"])
    assert boosts[0] < boosts[1]
    _, _, err = recli("train-hybrid", run, *TWO, "--max-warm-loss", 1, "--quiet")
    assert "warning: --max-warm-loss 1 has no effect" in err  # three cold items cannot fill a list


def test_the_boost_is_found_on_a_sample_of_users(run: Path, recli: Recli) -> None:
    recli("train-hybrid", run, *TWO, "--cold-share", 0.1, "--weight-users", 7)
    assert stored(run).part.summary["cold_items"]["users"] == 7


def test_a_boost_that_is_given_or_left_out(run: Path, recli: Recli) -> None:
    for arguments, boost in (((), 0.0), (("--cold-boost", 0.7), 0.7), (("--cold-boost", 0), 0.0)):
        _, _, err = recli("train-hybrid", run, *TWO, *arguments)
        model = stored(run).model
        assert isinstance(model, Fusion)
        assert model.config.cold_boost == boost
        assert "cold_items" not in stored(run).part.summary
        assert "What a boost" not in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cold-share", 0.1, "--cold-boost", 0), "--cold-share and --cold-boost both set"),
        (("--cold-boost", 1, "--max-warm-loss", 0.1), "--max-warm-loss and --cold-boost both set"),
        (("--cold-share", 0.1, "--max-warm-loss", 0.1), "--cold-share and --max-warm-loss both set"),
        (("--algorithm", "cease", "--cold-share", 0.1), "--cold-share is about a fusion"),
        (("--algorithm", "cease", "--max-warm-loss", 0.1), "--max-warm-loss is about a fusion"),
        (("--sources", "user-knn", "--cold-share", 0.1), "needs a source that knows items without events"),
        (("--cold-share", 1.1), "cold-share"),
        (("--max-warm-loss", -0.1), "max-warm-loss"),
    ],
)
def test_usage(run: Path, recli: Recli, arguments: tuple[object, ...], said: str) -> None:
    _, _, err = recli("train-hybrid", run, *arguments, code=2)
    assert said in err
    assert "training" not in err.replace("training events", "")
    assert parts.part_names(run, "models") == []


def test_a_share_that_no_boost_reaches(run: Path, recli: Recli) -> None:
    # 3 cold items in lists of 20
    _, _, err = recli("train-hybrid", run, *TWO, "--cold-share", 0.2, code=1)
    assert "--cold-share 0.2 cannot be reached: 3 cold items fill at most 15.0% of a top 20" in err
    assert "ask for less, such as --cold-share 0.075" in err
    assert "training user-knn" not in err
    recli("train-hybrid", run, *TWO, "--cold-share", 0.15)
    assert stored(run).part.summary["cold_items"]["cold_share"] == 0.15


def test_a_share_that_short_lists_exceed(tmp_path: Path, recli: Recli) -> None:
    board = checkerboard(n_blocks=2)  # 18 warm and 2 cold items: all that is not seen is listed, at any boost
    run = write_board(tmp_path / "run", board)
    embed(run)
    _, _, err = recli("train-hybrid", run, *TWO, "--cold-share", 0.05)
    # 11 users of each block have 5 training events, so 13 warm and 2 cold items are left
    assert f"warning: --cold-share 0.05: the nearest share that a boost can reach is {2 / 15:.1%}" in err


@pytest.mark.parametrize("option", ["--cold-share", "--max-warm-loss"])
def test_no_cold_items(tmp_path: Path, recli: Recli, board: Interactions, option: str) -> None:
    tests = board.splits["test"]
    train = pl.concat([board.splits["train"], tests.filter(pl.col("item") % 10 == 9)])
    splits = {**board.splits, "train": train.sort("user", "timestamp", "item")}
    splits["test"] = tests.filter(pl.col("item") % 10 != 9)
    items = board.items.with_columns(cold=pl.lit(False))
    run = write_board(tmp_path / "run", Interactions(board.users, items, splits))
    embed(run)
    _, _, err = recli("train-hybrid", run, *TWO, option, 0.1, code=1)
    assert f"{option} 0.1 has nothing to choose: each of the 30 items has events to train on" in err
    assert "leave it out" in err


def test_no_validation(tmp_path: Path, recli: Recli, board: Interactions) -> None:
    splits = {**board.splits, "validation": board.splits["validation"].clear()}
    run = write_board(tmp_path / "run", Interactions(board.users, board.items, splits))
    embed(run)
    weighted = (*TWO, "--fusion", "weighted", "--weights", "user-knn=0.5,content-knn=0.5")
    _, _, err = recli("train-hybrid", run, *weighted, "--max-warm-loss", 0.1, code=1)
    assert "--max-warm-loss 0.1 is measured on validation rows, and there are none" in err
    assert "--validation-size" in err
    recli("train-hybrid", run, *weighted, "--cold-share", 0.1)  # all 33 users with training events are asked
    said = stored(run).part.summary["cold_items"]
    assert said["users"] == 33
    assert abs(said["cold_share"] - 0.1) <= 0.005
    assert all(row["warm_ndcg@20"] is None and row["warm_loss"] is None for row in said["trade_off"])


def test_no_warm_hits(tmp_path: Path, recli: Recli) -> None:
    board = checkerboard(n_blocks=2, items_per_block=60)
    # in validation, users take items of the other block: the own one has 20 better ones for every list.
    # Of these items 14 have training events by others, and count
    validation = board.splits["validation"].with_columns((pl.col("item") + 60) % 120)
    run = write_board(
        tmp_path / "run", Interactions(board.users, board.items, {**board.splits, "validation": validation})
    )
    embed(run)
    weighted = (*TWO, "--fusion", "weighted", "--weights", "user-knn=0.5,content-knn=0.5")
    _, _, err = recli("train-hybrid", run, *weighted, "--max-warm-loss", 0.1, code=1)
    assert "--max-warm-loss 0.1 cannot be measured: no list of the 14 validation users has a warm item" in err
    assert "--cold-share 0.1" in err
