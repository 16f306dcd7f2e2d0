"""Rules from one item to the next, and popularity that fades, by hand."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import write_board
from scipy.sparse import csr_matrix

from recli.data.history import History
from recli.data.interactions import Interactions
from recli.errors import RecliError
from recli.models.base import Model, Training, algorithms
from recli.models.sequential_rules import SequentialRules, SequentialRulesConfig, pair_counts
from recli.steps.train_hybrid.config import default_sources
from recli.storage import runs

Recli = Callable[..., tuple[int, str, str]]
DAY = 86_400 * 1_000_000


def training_of(*users: list[int], times: list[list[int]] | None = None, n_items: int = 4) -> Training:
    """Users as lists of items in order; the k-th event happens at time k, or as `times` say."""
    rows = [
        (u, i, k if times is None else times[u][k])
        for u, items in enumerate(users)
        for k, i in enumerate(items)
    ]
    frame = pl.DataFrame(
        rows, schema={"user": pl.Int32, "item": pl.Int32, "timestamp": pl.Int64}, orient="row"
    )
    frame = frame.with_columns(value=pl.lit(1.0, dtype=pl.Float32))
    ones = np.ones(len(rows), dtype=np.float32)
    cells = ([r[0] for r in rows], [r[1] for r in rows])
    return Training(csr_matrix((ones, cells), shape=(len(users), n_items)), rows=frame)


def fit(training: Training, **options: float) -> SequentialRules:
    made = algorithms["sequential-rules"].fit(SequentialRulesConfig(**options), training)
    assert isinstance(made, SequentialRules)
    return made


def counts(users: list[int], items: list[int], times: list[int], window: int, backward: float) -> list:  # type: ignore[type-arg]
    arrays = (np.asarray(column) for column in (users, items, times))
    return pair_counts(*arrays, n_items=3, window=window, backward=backward).toarray().tolist()


def test_pairs_count_by_their_steps_and_their_direction() -> None:
    # one user, a then b then c: 3 items, damping 3^-1/4; neighbors count 1, a and c 2^-1/2; backward a quarter
    damped, far = 3**-0.25, 2**-0.5
    found = counts([0, 0, 0], [0, 1, 2], [5, 6, 7], window=2, backward=0.25)
    np.testing.assert_allclose(np.asarray(found) / damped, [[0, 1, far], [0.25, 0, 1], [0.25 * far, 0.25, 0]])
    found = counts([0, 0, 0], [0, 1, 2], [5, 6, 7], window=1, backward=0)
    np.testing.assert_allclose(np.asarray(found) / damped, [[0, 1, 0], [0, 0, 1], [0, 0, 0]])


def test_events_at_the_same_time_count_both_ways() -> None:
    found = counts([0, 0], [1, 0], [5, 5], window=3, backward=0)  # two items: damping 2^-1/4
    np.testing.assert_allclose(np.asarray(found) * 2**0.25, [[0, 0.5, 0], [0.5, 0, 0], [0, 0, 0]])
    found = counts([0, 0], [1, 0], [5, 5], window=3, backward=0.5)  # (1 + 0.5) / 2
    np.testing.assert_allclose(np.asarray(found) * 2**0.25, [[0, 0.75, 0], [0.75, 0, 0], [0, 0, 0]])


def test_users_do_not_mix_and_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    given = (np.repeat(np.arange(6), 5), rng.integers(0, 3, 30), np.arange(30))
    whole = pair_counts(*given, n_items=3, window=4, backward=0.3).toarray()
    alone = sum(
        pair_counts(*(c[given[0] == u] for c in given), n_items=3, window=4, backward=0.3).toarray()
        for u in range(6)
    )
    np.testing.assert_allclose(whole, alone)
    monkeypatch.setattr("recli.models.sequential_rules._PAIRS_PER_BLOCK", 4)
    np.testing.assert_allclose(whole, pair_counts(*given, n_items=3, window=4, backward=0.3).toarray())


def test_rules_are_divided_by_popularity_and_shrinkage() -> None:
    # users 0 and 1: a, b; user 2: c. a -> b: 2 users * 2^-1/4; both items have 2 users
    model = fit(
        training_of([0, 1], [0, 1], [2]), backward=0, shrinkage=3, popularity_power=1, neighbors=9, window=1
    )
    expected = 2 * 2**-0.25 / (2**0.5 * 2 + 3)
    np.testing.assert_allclose(
        model.rules.toarray(), [[0, expected, 0, 0], [0] * 4, [0] * 4, [0] * 4], rtol=1e-6
    )
    flat = fit(training_of([0, 1], [0, 1], [2]), backward=0, shrinkage=0, popularity_power=0, window=1)
    np.testing.assert_allclose(flat.rules[0, 1], 2 * 2**-0.25 / 2**0.5, rtol=1e-6)


def test_only_the_best_rules_are_kept() -> None:
    training = training_of([0, 1, 2], [0, 1])
    assert np.diff(fit(training).rules.indptr).tolist() == [2, 2, 2, 0]
    kept = fit(training, neighbors=1).rules
    assert np.diff(kept.indptr).tolist() == [1, 1, 1, 0] and kept[0].indices.tolist() == [1]


def test_the_last_items_count_most() -> None:
    rules = csr_matrix(np.eye(4, dtype=np.float32))
    history = History(
        csr_matrix(np.array([[1, 2, 0, 1]], dtype=np.float32)), np.array([2, 0, 1], dtype=np.int32)
    )
    # values 1, 2, 1, of which 2, 0 and 1 items came later: 1/3, 2, 1/2; squared: 1/9, 2, 1/4
    np.testing.assert_allclose(SequentialRules(rules, 1.0).score(history), [[1 / 3, 2, 0, 1 / 2]])
    np.testing.assert_allclose(SequentialRules(rules, 2.0).score(history), [[1 / 9, 2, 0, 1 / 4]])
    for alike in (
        SequentialRules(rules, 0.0).score(history),
        SequentialRules(rules, 1.0).score(History(history.values)),
    ):
        assert alike.tolist() == [[1, 2, 0, 1]]


def test_order_matters() -> None:
    model = fit(training_of(*[[0, 2]] * 5, *[[1, 3]] * 5))
    values = csr_matrix(np.array([[1, 1, 0, 0]], dtype=np.float32))
    ab = model.score(History(values, np.array([1, 0], dtype=np.int32)))
    ba = model.score(History(values, np.array([0, 1], dtype=np.int32)))
    assert ab[0, 3] > ab[0, 2] and ba[0, 2] > ba[0, 3]


def test_an_item_that_came_twice_counts_at_its_latest_time() -> None:
    found = counts([0, 0, 0], [0, 1, 0], [1, 2, 3], window=5, backward=0)  # b, then a
    np.testing.assert_allclose(np.asarray(found) * 2**0.25, [[0, 0, 0], [1, 0, 0], [0, 0, 0]])


def test_one_event_or_none_makes_no_rule() -> None:
    for users in ([[2]], [[]]):
        assert fit(training_of(*users)).rules.nnz == 0


@pytest.mark.parametrize("name", ["sequential-rules", "popularity"])
def test_without_timestamps_it_says_what_to_do(
    name: str, tmp_path: Path, board: Interactions, recli: Recli
) -> None:
    bare = replace(board, splits={split: rows.drop("timestamp") for split, rows in board.splits.items()})
    more = ("--popularity-half-life", 30) if name == "popularity" else ()
    missing = (
        "have no timestamps" if more else "needs the order of events, which these interactions do not have"
    )
    _, _, err = recli("train-cf", write_board(tmp_path / "bare", bare), "--algorithm", name, *more, code=1)
    assert missing in err and "--time-column" in err
    config = algorithms[name].config(**({"popularity_half_life": 1.0} if more else {}))
    with pytest.raises(RecliError, match=missing):
        algorithms[name].fit(config, Training(board.matrix("train")))


def test_positions_tell_the_order_as_times_do(board: Interactions) -> None:
    placed = {s: rows.rename({"timestamp": "position"}) for s, rows in board.splits.items()}
    matrix = board.matrix("train")
    rules = [fit(Training(matrix, rows=splits["train"])).rules for splits in (board.splits, placed)]
    assert rules[0].nnz and (rules[0] != rules[1]).nnz == 0
    assert "sequential-rules" in default_sources(replace(board, splits=placed), [], with_texts=False)
    assert "recent-popularity" not in default_sources(replace(board, splits=placed), [], with_texts=False)
    assert "recent-popularity" in default_sources(board, [], with_texts=False)


# --- popularity that fades


def popular(training: Training, **options: object) -> list[float]:
    made: Model = algorithms["popularity"].fit(algorithms["popularity"].config(**options), training)
    return made.score(History(training.matrix[:1]))[0].tolist()  # type: ignore[no-any-return]


def test_old_events_fade_by_days_before_the_latest() -> None:
    # item 0: 10 days before the latest event, and 20 days; item 1: at the latest; item 2: at it; item 3: never
    training = training_of([0, 1], [0, 2], times=[[10 * DAY, 20 * DAY], [0, 20 * DAY]])
    assert popular(training) == [2, 1, 1, 0]
    np.testing.assert_allclose(popular(training, popularity_half_life=10.0), [0.5 + 0.25, 1, 1, 0])
    np.testing.assert_allclose(
        popular(training, popularity_half_life=20.0), [2**-0.5 + 0.5, 1, 1, 0], rtol=1e-6
    )


def test_a_user_counts_once_at_the_latest_event_or_by_all_weights() -> None:
    training = training_of([0, 0, 1], times=[[0, 10 * DAY, 20 * DAY]])
    np.testing.assert_allclose(popular(training, popularity_half_life=10.0), [0.5, 1, 0, 0])
    assert training.rows is not None
    heavy = replace(training, rows=training.rows.with_columns(value=pl.lit(3.0, dtype=pl.Float32)))
    # 3 * (0.25 + 0.5) and 3 * 1
    np.testing.assert_allclose(popular(heavy, popularity_half_life=10.0, count="weights"), [2.25, 3, 0, 0])


def test_the_command_line_knows_it(board_run: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch) -> None:
    common = ("train-cf", board_run, "--algorithm", "popularity")
    counts = []
    for more in ((), ("--popularity-half-life", 1e-4)):  # days; the board's events are seconds apart
        recli(*common, *more)
        counts.append(runs.read_model(board_run / "models" / "popularity").model.state()["counts"])
    assert (counts[0] > counts[1])[counts[0] > 0].any() and (counts[1] <= counts[0]).all()
    _, _, err = recli("train-cf", board_run, "--algorithm", "ease", "--popularity-half-life", 3, code=2)
    assert "--popularity-half-life is not an option of ease" in err
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = recli("train-cf", "--help")
    assert (
        "Days in which an event loses half its count" in out and "Half-life of the events in a history" in out
    )
