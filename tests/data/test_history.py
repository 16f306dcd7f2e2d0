"""The order of histories: kept from the splits to the scores, and what older events weigh."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import checkerboard, write_board
from scipy.sparse import csr_matrix

from recli.data.history import History, ordered_pairs
from recli.data.interactions import Interactions
from recli.errors import RecliError, UsageError
from recli.models.base import Model, Training, algorithms
from recli.models.content_knn import ContentKnn
from recli.models.fusion import FusedSource, Fusion, FusionConfig
from recli.models.wrappers import RecencyWeighted, unwrap, with_recency
from recli.ranking import topk
from recli.schema import Float32, Int64, State
from recli.steps.recommend import explain
from recli.steps.recommend.users import parse
from recli.steps.train_hybrid import sources as hybrid
from recli.storage import runs
from recli.training import fit as training
from recli.training import validation

Recli = Callable[..., tuple[int, str, str]]


def history_of(*rows: list[int], n_items: int = 5) -> History:
    """Histories given as items in order, each with the value 1."""
    dense = np.zeros((len(rows), n_items), dtype=np.float32)
    for user, items in enumerate(rows):
        dense[user, items] = 1
    values = csr_matrix(dense)
    steps = [len(items) - 1 - items.index(i) for items in rows for i in sorted(items)]
    return History(values, np.asarray(steps, dtype=np.int32))


def interactions(*events: tuple[int, int, int], later: tuple[tuple[int, int, int], ...] = ()) -> Interactions:
    """Interactions with train (and validation) events given as (user, item, second)."""

    def frame(rows: tuple[tuple[int, int, int], ...]) -> pl.DataFrame:
        kinds = {"user": pl.Int32, "item": pl.Int32, "timestamp": pl.Int64}
        made = pl.DataFrame(rows, schema=kinds, orient="row").with_columns(
            value=pl.lit(1.0, dtype=pl.Float32)
        )
        return made.sort("user", "timestamp", "item")

    n_users, n_items = 3, 5
    users = pl.DataFrame({"user_id": [f"u{u}" for u in range(n_users)], "cold": [False] * n_users})
    items = pl.DataFrame(
        {"item_id": list("abcde"), "text": [None] * n_items, "cold": [False] * n_items},
        schema={"item_id": pl.String, "text": pl.String, "cold": pl.Boolean},
    )
    splits = {"train": frame(events), "validation": frame(later), "test": frame(()), "history": frame(())}
    return Interactions(users, items, splits)


@dataclass(frozen=True)
class Linear(Model):
    """score(H) = H W."""

    weights: Float32

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        assert users is None, "a history with weights is that of an unknown user"
        return np.asarray(history.values @ self.weights, dtype=np.float32)

    def state(self) -> State:
        return {"weights": self.weights}


EYE = Linear(np.eye(5, dtype=np.float32))

# --- histories


def test_steps_count_the_later_items_of_a_user() -> None:
    made = interactions((0, 3, 10), (0, 1, 20), (0, 4, 30), (1, 2, 5)).history()
    assert made.shape == (3, 5) and made.nnz == 4 and made.sizes.tolist() == [3, 1, 0]
    assert made.values.indices.tolist() == [1, 3, 4, 2]
    assert made.steps is not None and made.steps.tolist() == [1, 2, 0, 0]


def test_an_item_counts_at_its_latest_time_and_ties_come_by_item() -> None:
    # user 0: a, b, a again in a later split -> b, a; user 1: c and a at the same time -> a, c
    data = interactions((0, 0, 1), (0, 1, 2), (1, 2, 7), (1, 0, 7), later=((0, 0, 3),))
    made = data.history(("train", "validation"))
    assert made.values.toarray()[0].tolist() == [2, 1, 0, 0, 0]
    assert made.steps is not None and made.steps.tolist() == [0, 1, 1, 0]
    before = data.history().steps
    assert before is not None and before.tolist() == [1, 0, 1, 0]


def test_pairs_may_come_in_any_order() -> None:
    rng = np.random.default_rng(3)
    users, items, times = rng.integers(0, 4, 60), rng.integers(0, 9, 60), rng.integers(0, 20, 60)
    kept, steps = ordered_pairs(users, items, times)
    latest: dict[tuple[int, int], int] = {}
    for u, i, t in zip(users.tolist(), items.tolist(), times.tolist(), strict=True):
        latest[u, i] = max(t, latest.get((u, i), -1))
    assert [(users[k], items[k]) for k in kept] == sorted(latest)
    assert [times[k] for k in kept] == [latest[pair] for pair in sorted(latest)]
    for (user, item), step in zip(sorted(latest), steps.tolist(), strict=True):
        mine = sorted((t, i) for (u, i), t in latest.items() if u == user)
        assert step == len(mine) - 1 - mine.index((latest[user, item], item))


def test_without_timestamps_there_is_no_order() -> None:
    data = interactions((0, 1, 5), (0, 0, 9))
    bare = replace(data, splits={name: rows.drop("timestamp") for name, rows in data.splits.items()})
    assert bare.history().steps is None and not bare.has_times and data.has_times
    assert bare.history().nnz == 2
    # one split without them is enough, but not one without rows
    mixed = data.splits | {"history": data.splits["history"].drop("timestamp")}
    assert replace(data, splits=mixed).history().steps is not None


@pytest.mark.parametrize("rows", [slice(1, 3), np.array([2, 0, 2]), np.array([], dtype=np.int64)])
def test_steps_survive_slicing(rows: slice | np.ndarray) -> None:  # type: ignore[type-arg]
    whole = history_of([3, 0, 4], [1], [2, 4, 1, 0])
    assert whole.steps is not None and whole.steps.tolist() == [1, 2, 0, 0, 0, 1, 3, 2]
    part, spread = whole[rows], whole.values.copy()
    spread.data = whole.steps.astype(np.float32) + 1
    assert part.steps is not None and part.steps.dtype == np.int32
    assert (part.values != whole.values[rows]).nnz == 0
    assert (part.steps + 1).tolist() == spread[rows].data.tolist()
    assert History(whole.values)[rows].steps is None


def test_an_entry_that_is_left_out_leaves_a_gap() -> None:
    whole = history_of([3, 0, 4], [1])
    part = whole.keep(np.array([True, True, False, True]))  # without item 4, the last of user 0
    assert part.values.toarray().tolist() == [[1, 0, 0, 1, 0], [0, 1, 0, 0, 0]]
    assert part.steps is not None and part.steps.tolist() == [1, 2, 0]
    assert whole.nnz == 4


# --- weights


def test_weights_halve() -> None:
    # steps 1, 2, 0 with half-life 2: 0.5^(1/2), 0.5^(2/2), 1
    found = history_of([3, 0, 4]).decayed(2).toarray()[0]
    np.testing.assert_allclose(found, [2**-0.5, 0, 0, 0.5, 1], rtol=1e-6)
    whole = history_of([3, 0, 4])
    assert whole.decayed(0) is whole.values
    assert History(whole.values).decayed(2) is whole.values
    assert (whole.decayed(1e-3).data > 0).all(), "an item of the history stays one"


def test_recent_weighs_the_history_and_forgets_the_user() -> None:
    whole = history_of([3, 0, 4])
    found = RecencyWeighted(EYE, 1.0).score(whole, np.array([7]))
    np.testing.assert_allclose(found, [[0.5, 0, 0, 0.25, 1]])
    doubled = replace(whole, values=whole.values * 2)
    np.testing.assert_allclose(RecencyWeighted(EYE, 1.0).score(doubled), 2 * found)
    assert RecencyWeighted(EYE, 1.0).score(History(whole.values)).tolist() == [[1, 0, 0, 1, 1]], (
        "no order: all alike"
    )
    assert with_recency(EYE, 0) is EYE and unwrap(with_recency(EYE, 3)) is EYE and unwrap(EYE) is EYE


def test_a_model_that_ignores_values_minds_these_weights() -> None:
    model = ContentKnn(csr_matrix(np.eye(5, dtype=np.float32)))
    whole = history_of([3, 0, 4])
    doubled = replace(whole, values=whole.values * 2)
    assert model.score(doubled).tolist() == [[1, 0, 0, 1, 1]]
    np.testing.assert_allclose(RecencyWeighted(model, 1.0).score(doubled), [[0.5, 0, 0, 0.25, 1]])


@pytest.mark.parametrize("name", algorithms.names(lambda a: a.family == "cf" and a.personal))
def test_a_huge_half_life_is_the_plain_model_folded_in(name: str, board: Interactions) -> None:
    algorithm, history = algorithms[name], board.history()
    data = Training(board.matrix("train"), rows=board.splits["train"], threads=1)
    model = algorithm.fit(algorithm.config(), data)
    expected = model.score(history)
    np.testing.assert_allclose(RecencyWeighted(model, 1e6).score(history), expected, rtol=1e-3, atol=1e-4)
    assert np.abs(RecencyWeighted(model, 1.0).score(history) - expected).max() > 1e-3 * np.abs(expected).max()


# --- from splits, files and stored models to scores


def test_a_fusion_hands_the_order_to_its_sources(board: Interactions) -> None:
    fit = algorithms["item-knn"]
    model = fit.fit(fit.config(), Training(board.matrix("train")))
    sources = tuple(vars(FusedSource(n, "item-knn", {}, None, h)) for n, h in (("old", 0.0), ("new", 1.0)))
    popularity, cold = np.ones(30, dtype=np.float32), np.zeros(30, dtype=bool)
    config = FusionConfig(sources=sources, weights={"new": 1.0})
    fused = Fusion(config, {"old": model, "new": RecencyWeighted(model, 1.0)}, popularity, cold)
    history = board.history()
    alone = replace(fused, config=replace(config, weights={"old": 1.0}))
    ranks = [np.argsort(-m.score(history), axis=1, kind="stable")[:, :3] for m in (fused, alone)]
    best = np.argsort(-RecencyWeighted(model, 1.0).score(history), axis=1, kind="stable")[:, :3]
    assert np.array_equal(ranks[0], best) and not np.array_equal(ranks[1], best)
    again = algorithms["fusion"].load(config, fused.state())
    np.testing.assert_array_equal(again.score(history), fused.score(history))
    assert sum(fused.source_scores(history).values()).argmax(axis=1).tolist() == ranks[0][:, 0].tolist()


def test_a_source_is_trained_and_described_with_its_half_life(board: Interactions) -> None:
    inputs = hybrid.TrainingInputs(board, None, 0)
    config = algorithms["item-knn"].config()
    source = hybrid.SourceSpec("k", "item-knn", config, history_half_life=2.0)
    trained = hybrid.train_sources(inputs, [source], ("train",))
    model = trained.models["k"]
    assert isinstance(model, RecencyWeighted) and model.half_life == 2.0
    assert trained.described()[0]["history_half_life"] == 2.0


def test_explanations_leave_the_rest_of_a_history_as_it_was() -> None:
    whole = history_of([3, 0, 4])
    items = np.array([[0, 3, 4]], dtype=np.int32)
    (parts,) = explain.contributions(RecencyWeighted(EYE, 1.0), whole, items, [np.arange(3)])
    # by entry (0, 3, 4): each is alone in its item's score, with 0.5, 0.25 and 1
    np.testing.assert_allclose(parts, np.diag([0.5, 0.25, 1.0]))


def test_histories_in_files_are_in_order() -> None:
    lines = [("f", '{"history": ["d", "a", "zzz", "e", "a"]}'), ("f", "u0"), ("f", '{"profile": "x"}')]
    found = parse(lines, {"u0": 0}, {i: n for n, i in enumerate("abcde")})
    known = history_of([2, 1])
    made = found.histories_of(known)
    # d, e, a: the first a is an older time of the same item
    assert made.values.toarray().tolist() == [[2, 0, 0, 1, 1], [0, 1, 1, 0, 0], [0] * 5]
    assert made.steps is not None and made.steps.tolist() == [0, 2, 1, 0, 1]
    assert found.histories_of(History(known.values)).steps is None
    assert (found.rows_of(known.values) != made.values).nnz == 0


def test_a_history_in_a_file_gets_what_the_same_events_got(board_run: Path, recli: Recli) -> None:
    recli("train-cf", board_run, "--algorithm", "sequential-rules")
    data = runs.read_interactions(board_run)
    mine = data.splits["train"].filter(pl.col("user") == 0)
    ids = data.items["item_id"].gather(mine["item"]).to_list()
    lists = []
    for asked in (ids, ids[::-1]):
        line = json.dumps({"user_id": "n", "history": asked})
        common = ("recommend", board_run, "-k", 5, "--mask", "none", "--format", "csv")
        lists.append([row.split(",")[2:] for row in recli(*common, "--users", line)[1].splitlines()[1:]])
    known = [row.split(",")[2:] for row in recli(*common, "--users", "u000")[1].splitlines()[1:]]
    assert len(known) == 5 and lists[0] == known and lists[1] != known


@pytest.mark.parametrize("options", [("item-knn", "--history-half-life", 2), ("sequential-rules",)])
def test_lists_and_models_are_judged_alike(
    options: tuple[str | int, ...], board_run: Path, tmp_path: Path, recli: Recli
) -> None:
    recli("train-cf", board_run, "--algorithm", *options, "--name", "m")
    out = recli("recommend", board_run, "-k", 20, "--format", "csv")[1]
    (tmp_path / "lists.csv").write_text(out)
    asked = ("--metrics", "ndcg@20", "--recommendations", tmp_path / "lists.csv", "--json")
    told = json.loads(recli("evaluate", board_run, *asked)[1])["models"]
    assert told["m"]["ndcg@20"]["value"] == pytest.approx(told["lists"]["ndcg@20"]["value"])
    assert told["m"]["ndcg@20"]["value"] > 0


# --- recli train-cf --history-half-life


def test_the_half_life_is_judged_stored_and_read(board_run: Path, recli: Recli) -> None:
    options = ("train-cf", board_run, "--algorithm", "item-knn", "--json")
    without = json.loads(recli(*options)[1])
    told = json.loads(recli(*options, "--history-half-life", 1.5, "--name", "recent", "--tune", 2)[1])
    assert "history_half_life" not in without and told["history_half_life"] == 1.5
    stored = runs.read_model(board_run / "models" / "recent")
    assert stored.part.config["history_half_life"] == 1.5
    assert "history_half_life" not in runs.read_model(board_run / "models" / "item-knn").part.config
    assert isinstance(stored.model, RecencyWeighted) and stored.model.half_life == 1.5
    validator = validation.validator_of(stored.interactions)
    assert told["validation"]["ndcg@20"] == round(validator(stored.model), 6)
    assert told["trials"][0]["ndcg@20"] == round(validator(trained(board_run, 1.5)), 6)
    assert told["trials"][0]["ndcg@20"] != without["validation"]["ndcg@20"]


def trained(run: Path, half_life: float) -> object:
    data = runs.read_interactions(run)
    algorithm = algorithms["item-knn"]
    return training.train(algorithm, algorithm.config(), data, history_half_life=half_life).model


def test_refit_and_patience_see_the_half_life(board_run: Path, recli: Recli) -> None:
    short = (
        "--algorithm",
        "als",
        "--factors",
        4,
        "--regularization",
        1,
        "--iterations",
        6,
        "--patience",
        2,
        "--refit",
    )
    _, _, err = recli("train-cf", board_run, *short, "--history-half-life", 1)
    stored = runs.read_model(board_run / "models" / "als")
    assert isinstance(stored.model, RecencyWeighted) and stored.trained_on == ("train", "validation")
    assert f"best validation ndcg@20 {stored.part.summary['validation']['ndcg@20']:.4f}" in err


def test_a_hybrid_takes_a_model_with_its_half_life(board_run: Path, recli: Recli) -> None:
    recli("train-cf", board_run, "--algorithm", "item-knn", "--history-half-life", 2)
    hybrid_of = ("train-hybrid", board_run, "--sources", "item-knn,user-knn", "--fusion", "rrf")
    recli(*hybrid_of, "--history-half-life", 0, "--refit")
    model = runs.read_model(board_run / "models" / "hybrid").model
    assert isinstance(model, Fusion)
    kinds = {name: isinstance(source, RecencyWeighted) for name, source in model.sources.items()}
    assert kinds == {"item-knn": True, "user-knn": False}
    recli(*hybrid_of, "--save-sources", "--name", "h")


def test_similar_items_of_a_model_with_a_half_life(board_run: Path, recli: Recli) -> None:
    for name, more in (("plain", ()), ("recent", ("--history-half-life", 2))):
        recli("train-cf", board_run, "--factors", 4, *more, "--name", name)
    asked = ("recommend", board_run, "--similar-to", "i003", "--format", "csv", "-k", 4)
    plainly, recently = (recli(*asked, "--model", name)[1] for name in ("plain", "recent"))
    assert [r.split(",")[2] for r in plainly.splitlines()] == [r.split(",")[2] for r in recently.splitlines()]


def test_a_half_life_needs_an_order_and_a_history(
    tmp_path: Path, board_run: Path, board: Interactions, recli: Recli
) -> None:
    bare = replace(board, splits={name: rows.drop("timestamp") for name, rows in board.splits.items()})
    run = write_board(tmp_path / "bare", bare)
    _, _, err = recli("train-cf", run, "--history-half-life", 2, code=1)
    assert "needs the order of events" in err and "--time-column" in err
    for name in ("popularity", "bias"):
        _, _, err = recli("train-cf", board_run, "--algorithm", name, "--history-half-life", 2, code=2)
        assert f"--history-half-life: {name} does not look at the history" in err
    recli("train-cf", board_run, "--history-half-life", -1, code=2)
    algorithm = algorithms["item-knn"]
    with pytest.raises(RecliError, match="order of events"):
        training.train(algorithm, algorithm.config(), bare, history_half_life=1.0)
    with pytest.raises(UsageError):
        training.check_half_life(algorithms["popularity"], board)


def test_the_judge_ranks_with_the_order(board: Interactions) -> None:
    validator = validation.validator_of(board)
    assert validator.history.steps is not None
    fit = algorithms["sequential-rules"]
    model = fit.fit(fit.config(), Training(board.matrix("train"), rows=board.splits["train"]))
    seen = board.matrix("train")[validator.users]
    ranked = [
        topk.rank(model, h, validator.users, k=20, ties=validator.ties, seen=seen).items
        for h in (board.ordered("train")[validator.users], History(seen))
    ]
    assert not np.array_equal(*ranked)


def test_only_some_users_events_keep_rows_and_order() -> None:
    data = checkerboard(n_blocks=10)
    whole = data.history()
    few = data.only(np.array([3, -1, 40]))
    assert few.n_users == data.n_users and sorted(few.splits["train"]["user"].unique()) == [3, 40]
    part = few.history()
    assert (part.values[3] != whole.values[3]).nnz == 0 and part.nnz == whole.sizes[[3, 40]].sum()
    assert part[np.array([3, 40])].steps is not None
    np.testing.assert_array_equal(part[np.array([3, 40])].steps, whole[np.array([3, 40])].steps)
    alone = data.only(np.array([-1, 40])).history(), data.only(np.array([40])).history()
    for of_one in alone:
        assert (of_one.values[40] != whole.values[40]).nnz == 0 and of_one.nnz == whole.sizes[40] > 0
    nobody = data.only(np.array([-1])).history()
    assert (
        nobody.nnz == 0 and nobody.steps is not None
    )  # order is known of nothing, too: new users come with theirs
    many = np.arange(data.n_users)
    assert data.only(many) is data
