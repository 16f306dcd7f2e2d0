"""Half-lives of histories and of popularity: found on validation, given, stored and read."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import WORDS, write_board

from recli.data.history import History
from recli.data.interactions import Interactions
from recli.models.base import Model, Training, algorithms
from recli.models.fusion import Fusion
from recli.models.popularity import HALF_LIFE_DAYS
from recli.models.wrappers import RecencyWeighted, unwrap, with_recency
from recli.reporting import no_progress
from recli.schema import Float32, Int64, State
from recli.steps.train_hybrid import half_lives as choosing
from recli.steps.train_hybrid.sources import SourceSpec, TrainingInputs, train_sources
from recli.storage import parts, runs
from recli.training import fit
from recli.training import validation as training

Recli = Callable[..., tuple[int, str, str]]
RRF = ("--fusion", "rrf")  # equal weights: no source is left out
DAY = 86_400  # seconds
Event = tuple[int, int, int]  # user, item, second


def log_of(train: list[Event], validation: list[Event], n_users: int, n_items: int) -> Interactions:
    """Users who are all known, items with texts, and no test rows."""

    def rows(events: list[Event]) -> pl.DataFrame:
        schema = {"user": pl.Int32, "item": pl.Int32, "timestamp": pl.Int64}
        made = pl.DataFrame([(u, i, t * 1_000_000) for u, i, t in events], schema=schema, orient="row")
        ones = [pl.lit(1, dtype=pl.Float32).alias(name) for name in ("value", "rating")]
        return made.select("user", "item", *ones, "timestamp").sort("user", "timestamp", "item")

    users = pl.DataFrame({"user_id": [f"u{u:03d}" for u in range(n_users)], "cold": [False] * n_users})
    items = pl.DataFrame(
        {
            "item_id": [f"i{i:03d}" for i in range(n_items)],
            "text": [WORDS[i % 3] for i in range(n_items)],
            "cold": [False] * n_items,
        }
    )
    splits = {"train": train, "validation": validation, "test": [], "history": []}
    return Interactions(users, items, {name: rows(events) for name, events in splits.items()})


def inputs_of(interactions: Interactions) -> TrainingInputs:
    return TrainingInputs(interactions, None, 0)


# recent popularity


def moving(liked: range) -> Interactions:
    """Items 0-4 by 30 users on day 0, 5-9 by 12 users on day 60, 10-14 by 3 users on day 90; `liked` next."""
    eras = ((range(5), 30, 0), (range(5, 10), 12, 60), (range(10, 15), 3, 90))
    train, user = [], 0
    for items, n_users, day in eras:
        train += [(user + k, item, day * DAY) for k in range(n_users) for item in items]
        user += n_users
    validation = [(u, item, 91 * DAY) for u in range(45, 50) for item in liked]  # users without a history
    return log_of(train, validation, n_users=50, n_items=15)


def test_popularity_ages_as_fast_as_tastes_move() -> None:
    # On day 90, with half-life h, an item of day 60 counts 12 * 2^(-30/h), one of day 90 counts 3, one of day 0
    # 30 * 2^(-90/h). The first is above the second where h > 30 / log2(12/3) = 15, and above the third where
    # h < 60 / log2(30/12) = 45: of 0, 1, 3, 7, 14, 30 and 90 days only 30 puts the items of day 60 on top.
    steps: list[str] = []
    inputs = inputs_of(moving(range(5, 10)))
    found = choosing.recent_popularity_config(inputs, lambda n, text: steps.extend([text] * n))
    assert found.popularity_half_life == 30.0
    assert len(steps) == len(HALF_LIFE_DAYS) + 1
    assert "30 days: ndcg@20 1.0000" in steps


def test_tuned_popularity_has_the_half_life_of_the_tastes(tmp_path: Path, recli: Recli) -> None:
    run = write_log(tmp_path / "run", moving(range(5, 10)))
    recli("train-cf", run, "--algorithm", "popularity", "--tune", 40)  # a draw of 12, again and again
    assert (
        runs.read_model(run / "models" / "popularity").part.config["options"]["popularity_half_life"] == 30.0
    )


def test_of_equally_good_half_lives_the_longest_is_taken() -> None:
    # The items of day 90 are on top with any half-life below 15 days: 1, 3, 7 and 14 are all the same here.
    assert (
        choosing.recent_popularity_config(inputs_of(moving(range(10, 15))), no_progress).popularity_half_life
        == 14.0
    )


def test_popularity_does_not_age_where_tastes_stay() -> None:
    # Items of day 0 are liked on day 91: 30 users against 12 and 3 put them on top without a half-life. With 90
    # days they are as much on top (15 against 9.5 and 3), which is no gain.
    assert (
        choosing.recent_popularity_config(inputs_of(moving(range(5))), no_progress).popularity_half_life
        == 0.0
    )


# histories


@dataclass(frozen=True)
class Chain(Model):
    """Item i speaks for item i + 1: loudly if i is even."""

    loudness: float

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        weights = np.where(np.arange(history.shape[1]) % 2 == 0, self.loudness, 1.0)
        scores = np.zeros(history.shape, dtype=np.float32)
        scores[:, 1:] = (history.values.toarray() * weights)[:, :-1]
        return scores

    def state(self) -> State:
        return {}


def chains(n_lately: int, n_always: int) -> Interactions:
    """Histories of items 0, then 5, of users who take 6 next (`n_lately` of them), or 1 (`n_always`)."""
    n = n_lately + n_always
    train = [(u, item, second) for u in range(n) for second, item in enumerate((0, 5))]
    validation = [(u, 6 if u < n_lately else 1, 9) for u in range(n)]
    return log_of(train, validation, n_users=n, n_items=8)


def test_histories_age_where_the_last_events_say_more() -> None:
    inputs = inputs_of(chains(n_lately=20, n_always=0))
    models: dict[str, Any] = {"loud": Chain(1.5), "even": Chain(0.5)}
    config = algorithms["item-knn"].config()
    asked = [SourceSpec(name, "item-knn", config) for name in models]
    steps: list[str] = []
    found = choosing.choose_half_lives(inputs, asked, models, lambda n, text: steps.extend([text] * n))
    # loud: item 1 has 1.5 * 0.5^(1/h), item 6 has 1. Half-life 1: .75, and 6 is first; 2: 1.06, and it is second,
    # 1/log2(3) = .6309. even: item 6 is first whatever the half-life.
    assert found == {"loud": 1.0, "even": 0.0}
    assert steps[:2] == ["loud, 1 events: ndcg@20 1.0000", "loud, 2 events: ndcg@20 0.6309"]
    assert len(steps) == 2 * len(choosing.HALF_LIVES)


@pytest.mark.parametrize(("n_lately", "half_life"), [(54, 0.0), (56, 1.0)])
def test_a_gain_within_its_standard_error_is_noise(n_lately: int, half_life: float) -> None:
    # Of 100 users, k have the item they take in the first place with half-life 1 and in the second without, the
    # others the other way round: k gain 1 - 1/log2(3), the others lose as much. In units of it the mean gain is
    # (2k - 100) / 100 = .08 for 54, .12 for 56, and its error sqrt((1 - mean^2) / 99) = .100, .0998.
    inputs = inputs_of(chains(n_lately=n_lately, n_always=100 - n_lately))
    asked = [SourceSpec("loud", "item-knn", algorithms["item-knn"].config())]
    assert choosing.choose_half_lives(inputs, asked, {"loud": Chain(1.5)}, no_progress) == {"loud": half_life}


def test_what_may_age(board: Interactions) -> None:
    def asked(name: str, **more: Any) -> bool:
        algorithm = algorithms[name]
        data = Training(board.matrix("train"), rows=board.splits["train"])
        model = with_recency(algorithm.fit(algorithm.config(), data), more.get("history_half_life", 0.0))
        return choosing.may_age(SourceSpec(name, name, algorithm.config(), **more), model)

    assert asked("item-knn")
    assert not asked("item-knn", history_half_life=2.0), "it was given"
    assert not asked("popularity"), "it does not look at histories"
    assert not asked("sequential-rules"), "it knows the order itself"


# recli train-hybrid


def fused(run: Path, name: str = "hybrid") -> Fusion:
    model = runs.read_model(run / "models" / name).model
    assert isinstance(model, Fusion)
    return model


def half_lives(model: Fusion) -> dict[str, float]:
    """By source, as the manifest has it and as the model scores."""
    described = {s["name"]: s["history_half_life"] for s in model.config.sources}
    assert described == {
        n: m.half_life if isinstance(m, RecencyWeighted) else 0.0 for n, m in model.sources.items()
    }
    return described


def write_log(path: Path, interactions: Interactions) -> Path:
    runs.write_interactions(path, interactions, {"split": "given", "seed": 0}, {"events": 0}, None)
    return path


def bare_run(path: Path, board: Interactions) -> Path:
    """Of interactions without timestamps."""
    splits = {name: rows.drop("timestamp") for name, rows in board.splits.items()}
    return write_board(path, replace(board, splits=splits))


def test_recent_popularity_is_trained_with_the_half_life_that_was_found(tmp_path: Path, recli: Recli) -> None:
    data = moving(range(5, 10))
    run = write_log(tmp_path / "run", data)
    _, _, err = recli("train-hybrid", run, "--sources", "recent-popularity,item-knn")
    assert "half-life of recent-popularity" in err
    model = fused(run)
    source = model.config.sources[0]
    assert (source["algorithm"], source["options"]) == (
        "popularity",
        {"count": "users", "popularity_half_life": 30.0},
    )
    # 30 * 2^-3, 12 * 2^-1 and 3
    expected = np.repeat([3.75, 6, 3], 5)
    np.testing.assert_allclose(model.sources["recent-popularity"].state()["counts"], expected, rtol=1e-6)
    figures = runs.read_model(run / "models" / "hybrid").part.summary["sources"]["recent-popularity"]
    assert figures["ndcg@20"] == 1.0 and figures["weight"] > 0
    shown = {line.split()[0]: line for line in err.splitlines() if line.strip()}
    assert "half-life" in shown["source"] and "30 days" in shown["recent-popularity"]


def test_refit_keeps_the_half_life_of_popularity(tmp_path: Path, recli: Recli) -> None:
    run = write_log(tmp_path / "run", moving(range(5, 10)))
    recli("train-hybrid", run, "--sources", "recent-popularity,item-knn", "--refit", *RRF)
    model = fused(run)
    assert model.config.sources[0]["options"]["popularity_half_life"] == 30.0
    # 31 days before the latest event, 12; and 5 on the last day. Of day 0: 30 * 2^(-91/30)
    counts = model.sources["recent-popularity"].state()["counts"]
    np.testing.assert_allclose(counts[5:10], 12 * 2 ** (-31 / 30) + 5, rtol=1e-6)
    np.testing.assert_allclose(counts[:5], 30 * 2 ** (-91 / 30), rtol=1e-6)


def test_each_source_gets_the_half_life_that_is_best_for_it(board_run: Path, recli: Recli) -> None:
    """The same figures as without the command."""
    names = ("item-knn", "user-knn", "sequential-rules")
    _, _, err = recli("train-hybrid", board_run, "--sources", ",".join(names), *RRF)
    assert "half-lives of histories" in err
    data = runs.read_interactions(board_run)
    validator, expected = training.validator_of(data), {"sequential-rules": 0.0}
    for name in names[:2]:
        model = fit.train(algorithms[name], algorithms[name].config(), data).model
        aged = {
            h: validator.per_user(with_recency(model, h)) for h in choosing.HALF_LIVES
        }  # from short to long
        scores = aged | {0.0: validator.per_user(model)}
        best = max(scores.values(), key=lambda score: score.mean())
        lost = {h: best - score for h, score in scores.items()}
        near = [h for h, worse in lost.items() if worse.mean() <= worse.std(ddof=1) / worse.size**0.5]
        expected[name] = near[-1]
    assert half_lives(fused(board_run)) == expected
    assert set(expected.values()) > {0.0}, "one of them ages, and one does not"


def test_histories_of_a_hybrid_age_where_order_matters(tmp_path: Path, recli: Recli) -> None:
    # Users take items round the ring 0 ... 11: what comes next lies beside the last item, not beside the first
    train = [(u, (u + step) % 12, step) for u in range(48) for step in range(5)]
    run = write_log(tmp_path / "run", log_of(train, [(u, (u + 5) % 12, 9) for u in range(48)], 48, 12))
    recli("train-hybrid", run, "--sources", "item-knn", "--seed", 1)
    found = half_lives(fused(run))
    assert found["item-knn"] in choosing.HALF_LIVES
    validator = training.validator_of(runs.read_interactions(run))
    model = fused(run).sources["item-knn"]
    assert validator(model) > 1.01 * validator(unwrap(model))


def test_a_half_life_that_is_given(board_run: Path, recli: Recli) -> None:
    command = ("train-hybrid", board_run, "--sources", "item-knn,user-knn,sequential-rules", *RRF)
    _, _, err = recli(*command, "--history-half-life", 3)
    assert "half-lives of histories" not in err, "nothing is looked for"
    assert half_lives(fused(board_run)) == {"item-knn": 3.0, "user-knn": 3.0, "sequential-rules": 0.0}
    assert err.count("3 events") == 2
    _, _, err = recli(*command, "--history-half-life", 0)
    assert "half-lives of histories" not in err
    assert set(half_lives(fused(board_run)).values()) == {0.0}
    recli("train-cf", board_run, "--algorithm", "item-knn", "--history-half-life", 1.5)
    recli(*command, "--history-half-life", 3)
    assert half_lives(fused(board_run)) == {"item-knn": 1.5, "user-knn": 3.0, "sequential-rules": 0.0}


@pytest.mark.parametrize("stored", [(), ("--refit",)])
def test_refit_keeps_half_lives_of_histories(board_run: Path, recli: Recli, stored: tuple[str, ...]) -> None:
    if stored:  # a model that has seen validation is taken as it is, but for its histories
        recli("train-cf", board_run, "--algorithm", "item-knn", *stored)
    command = ("--sources", "item-knn,user-knn", "--history-half-life", 2, *RRF)
    recli("train-hybrid", board_run, *command, "--refit")
    model, data = fused(board_run), runs.read_interactions(board_run)
    assert half_lives(model) == {"item-knn": 2.0, "user-knn": 2.0}
    algorithm, splits = algorithms["item-knn"], ("train", "validation")
    alone = fit.train(algorithm, algorithm.config(), data, splits=splits, history_half_life=2.0).model
    history = data.history(splits)
    expected = alone.score(history)
    np.testing.assert_allclose(model.sources["item-knn"].score(history), expected, rtol=1e-5)
    inputs = inputs_of(data)
    read = runs.read_model(board_run / "models" / "item-knn").model if stored else None
    asked = SourceSpec("item-knn", "item-knn", algorithm.config(), read, splits, 2.0)
    made = train_sources(inputs, [asked], splits).models["item-knn"]
    np.testing.assert_allclose(made.score(history), expected, rtol=1e-5)


def test_without_times_nothing_ages_and_what_needs_them_is_refused(
    tmp_path: Path, board: Interactions, recli: Recli
) -> None:
    run = bare_run(tmp_path / "bare", board)
    for asked, what in (
        (
            ("--history-half-life", 2),
            "--history-half-life needs the order of events, which these interactions do not have",
        ),
        (
            ("--sources", "item-knn,recent-popularity"),
            "the source recent-popularity needs the time of events, and these interactions have no timestamps",
        ),
    ):
        _, _, err = recli("train-hybrid", run, "--sources", "item-knn", *asked, code=1)
        said = " ".join(err.split())
        assert what in said
        assert "recli prepare --time-column" in said
        assert "training" not in err
    assert parts.part_names(run, "models") == []
    for more in ((), ("--history-half-life", 0)):
        _, _, err = recli("train-hybrid", run, "--sources", "item-knn,user-knn", *RRF, *more)
        assert "half-lives of histories" not in err
        assert set(half_lives(fused(run)).values()) == {0.0}


def test_without_validation_nothing_is_looked_for(tmp_path: Path, board: Interactions, recli: Recli) -> None:
    splits = {**board.splits, "validation": board.splits["validation"].clear()}
    run = write_board(tmp_path / "run", replace(board, splits=splits))
    _, _, err = recli("train-hybrid", run, "--sources", "item-knn,recent-popularity", *RRF)
    assert "half-li" not in err
    model = fused(run)
    assert set(half_lives(model).values()) == {0.0}
    assert model.config.sources[1]["options"]["popularity_half_life"] == 0.0


def test_saved_sources_have_their_half_lives(board_run: Path, recli: Recli) -> None:
    recli("train-hybrid", board_run, "--sources", "item-knn", "--history-half-life", 2, "--save-sources")
    saved = runs.read_model(board_run / "models" / "item-knn")
    assert isinstance(saved.model, RecencyWeighted) and saved.model.half_life == 2.0
    recli("train-hybrid", board_run, "--sources", "item-knn", "--name", "again", *RRF)
    assert half_lives(fused(board_run, "again")) == {"item-knn": 2.0}


@pytest.fixture
def aged(board_run: Path, recli: Recli) -> Path:
    """A run with a hybrid whose histories age quickly."""
    recli("embed", board_run, "--model", "tfidf")
    sources = ("--sources", "item-knn,ials,content-knn,text-factors", *RRF)
    recli("train-hybrid", board_run, *sources, "--history-half-life", 1)
    return board_run


def test_a_hybrid_with_half_lives_reads_back_and_minds_the_order(aged: Path, board: Interactions) -> None:
    model, history = fused(aged), board.history()
    scores = model.score(history)
    again = algorithms["fusion"].load(model.config, model.state())
    np.testing.assert_array_equal(again.score(history), scores)
    assert history.steps is not None
    longest = np.repeat(history.sizes, history.sizes)
    turned = History(history.values, (longest - 1 - history.steps).astype(np.int32))
    assert not np.allclose(again.score(turned), scores, atol=0.05), "the first events are the last now"
    users = np.where(board.users["cold"].to_numpy(), -1, np.arange(board.n_users))
    np.testing.assert_allclose(model.score(history, users), scores, atol=1e-5)  # fold-in, known or not


def test_a_history_in_a_file_is_in_its_order(aged: Path, recli: Recli, board: Interactions) -> None:
    ids = board.items["item_id"].gather(board.splits["train"].filter(pl.col("user") == 0)["item"]).to_list()
    common = ("recommend", aged, "-k", 5, "--mask", "none", "--format", "csv", "--users")

    def listed(user: str) -> list[list[str]]:
        return [row.split(",")[2:] for row in recli(*common, user)[1].splitlines()[1:]]

    in_order, backward = (
        listed(json.dumps({"user_id": "n", "history": asked})) for asked in (ids, ids[::-1])
    )
    assert len(in_order) == 5
    assert in_order == listed("u000")
    assert in_order != backward


def test_a_hybrid_with_half_lives_explains(aged: Path, recli: Recli, board: Interactions) -> None:
    out = recli("recommend", aged, "--users", "u001", "-k", 2, "--explain", "--format", "jsonl")[1]
    rows = [json.loads(line) for line in out.splitlines()]
    mine = board.splits["train"].filter(pl.col("user") == 1)["item"]
    ids = set(board.items["item_id"].gather(mine))
    assert rows
    for row in rows:
        text = json.dumps(row)
        assert "because of: " in text
        assert any(one in text for one in ids)
    model = fused(aged)
    history = board.history()
    shares = model.source_scores(history)
    assert {"item-knn", "ials", "content-knn", "text-factors"} <= set(shares)
    np.testing.assert_allclose(sum(shares.values()), model.score(history), atol=2e-4)
