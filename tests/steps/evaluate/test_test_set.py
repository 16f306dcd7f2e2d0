"""The test set of a split, models evaluated on it, and external recommendations."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from conftest import rows_of
from scipy.sparse import csr_matrix

from recli.data.history import History
from recli.data.interactions import Interactions
from recli.metrics.base import TestSet, parse_metrics
from recli.models.base import Model
from recli.models.kernels.factors import Factors, confidence_fold_in
from recli.models.wrappers import WithFallback
from recli.schema import Float32, Int64, State
from recli.steps.evaluate.config import EvaluateConfig
from recli.steps.evaluate.external_lists import first_of_each, in_order, numbered, read_lists
from recli.steps.evaluate.protocol import evaluation_protocol
from recli.steps.evaluate.slices import COLD_ONLY, measure, slices_of
from recli.steps.evaluate.test_set import (
    evaluate_model,
    make_test_set,
    rated_pairs,
    rating_errors,
)


class Fixed(Model):
    """Scores that are given for all users; it remembers what it was asked."""

    def __init__(self, rows: Float32) -> None:
        self.rows = rows
        self.users: list[int] = []

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        assert users is not None
        start = len(self.users)
        self.users += users.tolist()
        return self.rows[start : start + len(users)].copy()

    def state(self) -> State:
        return {}

    def predict_ratings(self, users: Int64, items: Int64) -> Float32:
        return (items % 5).astype(np.float32)


def small(test: list[tuple[int, int]], **splits: list[tuple[int, int]]) -> Interactions:
    """Four users and six items; item 5 has no training event."""
    train = [(0, 0), (0, 1), (1, 0), (1, 2), (2, 3), (2, 0), (2, 4)]
    given = {"train": train, "validation": [], "history": [], "test": test} | splits
    frames = {s: rows_of([u for u, _ in pairs], [i for _, i in pairs]) for s, pairs in given.items()}
    users = pl.DataFrame({"user_id": ["a", "b", "c", "d"], "cold": [False] * 4})
    items = pl.DataFrame({"item_id": list("uvwxyz"), "text": [None] * 6, "cold": [False] * 5 + [True]})
    return Interactions(users, items, frames)


TEST = [(0, 2), (0, 3), (1, 5), (3, 0)]


def test_the_test_set_of_a_split() -> None:
    test_set, facts = make_test_set(small(TEST), "test")
    assert test_set.users.tolist() == [0, 1, 3] and facts.users_without_test == 1
    assert test_set.relevant.toarray().tolist() == [
        [0, 0, 1, 1, 0, 0],
        [0, 0, 0, 0, 0, 1],
        [1, 0, 0, 0, 0, 0],
    ]
    assert test_set.counts.tolist() == [3, 1, 1, 1, 1, 0] and test_set.cold.tolist() == [False] * 5 + [True]
    assert test_set.n_training_users == 3 and test_set.allowed is None
    assert sorted(test_set.ties.tolist()) == [0, 1, 2, 3, 4, 5]


def test_seen_depends_on_the_split_that_is_evaluated() -> None:
    made = small(TEST, validation=[(0, 4), (1, 3)], history=[(3, 1)])
    test, _ = make_test_set(made, "test")
    assert [test.seen[row].indices.tolist() for row in range(3)] == [[0, 1, 4], [0, 2, 3], [1]]
    validation, _ = make_test_set(made, "validation")
    assert validation.users.tolist() == [0, 1]
    assert [validation.seen[row].indices.tolist() for row in range(2)] == [[0, 1], [0, 2]]
    assert [validation.relevant[row].indices.tolist() for row in range(2)] == [[4], [3]]


def test_what_a_user_already_had_is_no_target() -> None:
    test_set, facts = make_test_set(small([(0, 0), (0, 3), (1, 0)]), "test")
    assert test_set.users.tolist() == [0] and test_set.relevant.toarray().tolist() == [[0, 0, 0, 1, 0, 0]]
    assert facts.repeated == 2 and facts.users_without_test == 3


def test_only_warm_items_as_candidates() -> None:
    test_set, facts = make_test_set(small(TEST), "test", warm_only=True)
    assert test_set.users.tolist() == [0, 3] and facts.cold_left_out == 1
    assert test_set.allowed is not None and test_set.allowed.tolist() == [True] * 5 + [False]
    model = Fixed(np.array([[0, 1, 2, 3, 4, 9]] * 2, dtype=np.float32))
    lists = evaluate_model(model, test_set, History(test_set.seen), test_set.users, 6)
    assert lists.ranked.tolist() == [[4, 3, 2, -1, -1, -1], [4, 3, 2, 1, 0, -1]]
    assert lists.cold_only is None


def test_a_model_is_ranked_with_seen_items_masked() -> None:
    test_set, _ = make_test_set(small(TEST), "test")
    scores = np.array([[9, 8, 1, 5, 7, 6], [9, 1, 8, 7, 6, 5], [1, 2, 3, 4, 5, 6]], dtype=np.float32)
    model = Fixed(scores)
    known = np.array([0, 1, -1])
    lists = evaluate_model(model, test_set, History(test_set.seen), known, 3)
    assert model.users == [0, 1, -1]
    assert lists.ranked.tolist() == [[4, 5, 3], [3, 4, 5], [5, 4, 3]]
    assert lists.hits.tolist() == [[False, False, True], [False, False, True], [False] * 3]
    # user 0: candidates 4 5 3 2, positives 3 and 2 beat none of 2; user 1: candidates 3 4 5 1, positive 5 beats
    # 1 of 3; user 3: positive 0 beats none of 5
    assert lists.auc is not None and lists.auc.tolist() == [0, pytest.approx(1 / 3), 0]
    without = evaluate_model(Fixed(scores), test_set, History(test_set.seen), known, 3, with_auc=False)
    assert without.auc is None
    warm = replace(
        test_set, cold=np.zeros_like(test_set.cold)
    )  # nothing needs all scores then: lists alone are made
    lists_only = evaluate_model(Fixed(scores), warm, History(test_set.seen), known, 3, with_auc=False)
    np.testing.assert_array_equal(lists_only.ranked, without.ranked)
    np.testing.assert_array_equal(lists_only.hits, without.hits)


def test_cold_items_among_themselves() -> None:
    made = small([(0, 5), (1, 3)], train=[(0, 0), (1, 0), (2, 1), (2, 2)])  # 3, 4 and 5 are cold
    test_set, _ = make_test_set(made, "test")
    scores = np.array([[9, 8, 7, 3, 1, 2], [9, 8, 7, 1, 2, 3]], dtype=np.float32)
    lists = evaluate_model(Fixed(scores), test_set, History(test_set.seen), test_set.users, 2)
    figures = measure(lists, parse_metrics(["mrr@2"]), slices_of(test_set))
    found = {f.part.name: f.value for f in figures}
    # among 3, 4, 5: user 0 has 3 first and 5 second; user 1 has 5, 4, and misses 3
    assert found[COLD_ONLY] == (1 / 2 + 0) / 2
    assert found["cold in all"] == 0 and "warm in all" not in found


def test_batches_give_the_same(board: Interactions, monkeypatch: pytest.MonkeyPatch) -> None:
    test_set, _ = make_test_set(board, "test")
    scores = np.random.default_rng(0).random((test_set.n_users, test_set.n_items)).astype(np.float32)
    whole = evaluate_model(Fixed(scores), test_set, History(test_set.seen), test_set.users, 5)
    monkeypatch.setattr("recli.ranking.topk._SCORES_HELD", 7 * test_set.n_items)
    monkeypatch.setattr("recli.ranking.topk._MAX_SCORES_HELD", 0)
    steps: list[int] = []
    parts = evaluate_model(
        Fixed(scores),
        test_set,
        History(test_set.seen),
        test_set.users,
        5,
        advance=lambda n, _: steps.append(n),
    )
    assert len(steps) > 2 and sum(steps) == test_set.n_users
    np.testing.assert_array_equal(whole.ranked, parts.ranked)
    np.testing.assert_array_equal(whole.auc, parts.auc)
    assert whole.cold_only is not None and parts.cold_only is not None
    np.testing.assert_array_equal(whole.cold_only.ranked, parts.cold_only.ranked)


def test_factors_are_evaluated_by_lists_as_by_all_scores(board: Interactions) -> None:
    test_set, _ = make_test_set(board, "test")
    rng = np.random.default_rng(2)
    users, items = (rng.integers(-9, 9, (n, 3)).astype(np.float32) for n in (board.n_users, board.n_items))
    history = History(board.matrix("train"))[test_set.users]
    known = np.where(history.sizes > 0, test_set.users, -1)
    assert (known < 0).any() and test_set.relevant[:, test_set.cold].nnz
    silent: list[int] = []
    counts = np.arange(board.n_items, dtype=np.float32)
    model = WithFallback(Factors(users, items, confidence_fold_in(items, 2.0, 1.0)), counts)
    noted = replace(model, record=silent.append)
    by_scores = evaluate_model(noted, test_set, history, known, 5)
    told = sum(silent)
    silent.clear()
    by_lists = evaluate_model(noted, test_set, history, known, 5, with_auc=False, again=model)
    assert sum(silent) == told > 0 and by_lists.auc is None
    np.testing.assert_array_equal(by_lists.ranked, by_scores.ranked)
    assert by_lists.cold_only is not None and by_scores.cold_only is not None
    np.testing.assert_array_equal(by_lists.cold_only.ranked, by_scores.cold_only.ranked)


@pytest.fixture
def three() -> tuple[Interactions, TestSet]:
    made = small(TEST)
    return made, make_test_set(made, "test")[0]


def test_lists_by_rank_by_score_and_as_they_come(three: tuple[Interactions, TestSet]) -> None:
    made, test_set = three
    pairs = pl.DataFrame({"user_id": ["b", "a", "a", "a"], "item_id": ["z", "w", "x", "y"]})
    assert read_lists(pairs, made, test_set, 2).ranked.tolist() == [[2, 3], [5, -1], [-1, -1]]
    scored = pairs.with_columns(score=pl.Series([1.0, 1.0, 3.0, 2.0]))
    by_score = read_lists(scored, made, test_set, 3)
    assert by_score.order == "score" and by_score.ranked.tolist() == [[3, 4, 2], [5, -1, -1], [-1, -1, -1]]
    ranked = scored.with_columns(rank=pl.Series([1, 3, 2, 1]))
    by_rank = read_lists(ranked, made, test_set, 3)
    assert by_rank.order == "rank" and by_rank.ranked.tolist()[0] == [4, 3, 2]


def test_equal_scores_of_a_list_come_in_the_tie_order(three: tuple[Interactions, TestSet]) -> None:
    made, test_set = three
    test_set = replace(test_set, ties=np.array([5, 4, 1, 0, 3, 2], dtype=np.int32))
    pairs = pl.DataFrame({"user_id": ["a"] * 4, "item_id": list("wxyz"), "score": [1.0] * 4})
    assert read_lists(pairs, made, test_set, 4).ranked[0].tolist() == [3, 2, 5, 4]
    backwards = pairs[::-1]
    assert read_lists(backwards, made, test_set, 4).ranked[0].tolist() == [3, 2, 5, 4]


def test_what_is_wrong_with_lists_is_counted(three: tuple[Interactions, TestSet]) -> None:
    made, test_set = three
    pairs = pl.DataFrame(
        {
            "user_id": ["a", "a", "a", "a", "a", "ghost", "c", "b"],
            "item_id": ["nothing", "w", "w", "u", "x", "w", "w", "v"],
        }
    )
    lists = read_lists(pairs, made, test_set, 4)
    # the unknown item keeps the first place as a miss, the second w is dropped, u was seen and is kept
    assert lists.ranked.tolist() == [[-1, 2, 0, 3], [1, -1, -1, -1], [-1] * 4]
    assert lists.counts == {
        "rows": 8,
        "unknown users": 1,
        "unknown items": 1,
        "users without test items": 1,
        "listed twice": 1,
        "already seen": 1,
        "users without a list": 1,
    }


def test_of_an_item_listed_twice_the_better_place_counts(three: tuple[Interactions, TestSet]) -> None:
    made, test_set = three
    pairs = pl.DataFrame({"user_id": ["a"] * 3, "item_id": ["w", "x", "w"], "score": [1.0, 2.0, 3.0]})
    assert read_lists(pairs, made, test_set, 3).ranked[0].tolist() == [2, 3, -1]


def test_lists_close_up_where_only_warm_items_are_candidates() -> None:
    made = small(TEST)
    test_set, _ = make_test_set(made, "test", warm_only=True)
    pairs = pl.DataFrame({"user_id": ["a"] * 4, "item_id": ["z", "nothing", "w", "x"]})
    assert read_lists(pairs, made, test_set, 3).ranked[0].tolist() == [-1, 2, 3]


def test_lists_of_nobody_we_know(three: tuple[Interactions, TestSet]) -> None:
    made, test_set = three
    lists = read_lists(pl.DataFrame({"user_id": ["ghost"], "item_id": ["w"]}), made, test_set, 2)
    assert (lists.ranked == -1).all() and lists.counts["users without a list"] == 3


def test_ratings_of_the_test_pairs_are_what_errors_are_measured_on() -> None:
    made = small(TEST)
    test_set, _ = make_test_set(made, "test")
    rated = rated_pairs(made, "test", test_set)
    assert rated is not None
    # rating = 1 + (user + item) % 5: (0,2) 3, (0,3) 4, (1,5) 2, (3,0) 4; users 0, 1, 3 are the places 0, 1, 2
    assert rated.user_rows.tolist() == [0, 0, 1, 2] and rated.ratings.tolist() == [3, 4, 2, 4]
    errors = rating_errors(Fixed(np.zeros((1, 1), dtype=np.float32)), test_set, test_set.users, rated)
    assert errors is not None  # predictions are item % 5: 2, 3, 0, 0
    assert errors.squared.tolist() == [1 + 1, 4, 16] and errors.absolute.tolist() == [2, 2, 4]
    assert errors.pairs.tolist() == [2, 1, 1]
    bare = replace(made, splits={s: f.drop("rating") for s, f in made.splits.items()})
    assert rated_pairs(bare, "test", test_set) is None


def test_scores_of_lists_as_predicted_ratings() -> None:
    made = small(TEST)
    test_set, _ = make_test_set(made, "test")
    rated = rated_pairs(made, "test", test_set)
    pairs = pl.DataFrame({"user_id": ["a", "a", "d"], "item_id": ["w", "v", "u"], "score": [2.5, 5.0, 1.0]})
    errors = read_lists(pairs, made, test_set, 2, rated).errors
    assert errors is not None  # (a, w) is 3, predicted 2.5; (d, u) is 4, predicted 1; (a, v) is no test pair
    assert errors.squared.tolist() == [0.25, 0, 9] and errors.pairs.tolist() == [1, 0, 1]
    assert read_lists(pairs.drop("score"), made, test_set, 2, rated).errors is None
    assert read_lists(pairs[1:2], made, test_set, 2, rated).errors is None


def test_judging_holds_no_matrix_of_all_scores(board: Interactions) -> None:
    test_set, _ = make_test_set(board, "test")
    model = Fixed(np.ones((test_set.n_users, test_set.n_items), dtype=np.float32))
    lists = evaluate_model(
        model, test_set, History(csr_matrix(test_set.seen.shape, dtype=np.float32)), test_set.users, 3
    )
    kept = [a for a in vars(lists).values() if isinstance(a, np.ndarray)]
    assert max(a.size for a in kept) == test_set.n_users * 3


def test_training_users_are_counted_once_though_a_pair_is_there_twice() -> None:
    twice = small(TEST, train=[(0, 0), (0, 0), (1, 0), (1, 2)])
    assert make_test_set(twice, "test")[0].counts.tolist() == [2, 0, 1, 0, 0, 0]
    again = small(TEST, train=[(0, 0), (1, 0), (1, 2)], validation=[(0, 0)])  # in two splits: trained on once
    assert make_test_set(again, "test")[0].counts.tolist() == [2, 0, 1, 0, 0, 0]


def test_ids_have_numbers_and_unknown_ones_those_after() -> None:
    known = pl.Series([f"i{n:03}" for n in range(300)])  # more than a byte numbers
    ids = pl.Series(["i299", "x", "i000", "y", "x", "i256"])
    rows, others = numbered(ids, known)
    assert others == 2 and rows[[0, 2, 5]].tolist() == [299, 0, 256]
    assert sorted({rows[1], rows[3]}) == [300, 301] and rows[1] == rows[4]


def test_only_lists_that_are_out_of_order_are_sorted() -> None:
    # users 1, 0, none, 1: of user 1 place 2 is before place 1; of user 0 two are at one place: by their ties
    places, items = (
        np.array([1, 0, -1, 1, 0, 0], dtype=np.int32),
        np.array([0, 1, 2, 3, 4, 5], dtype=np.int32),
    )
    before, ties = np.array([2.0, 5.0, 0.0, 1.0, 5.0, np.nan]), np.array([0, 9, 0, 0, 8, 7], dtype=np.int32)
    assert in_order(places, items, before, ties).tolist() == [4, 1, 5, 3, 0]
    assert in_order(places, items, None, ties).tolist() == [1, 4, 5, 0, 3]
    assert first_of_each(np.array([0, 0, 0, 1], np.int32), np.array([7, 3, 7, 7], np.int32)).tolist() == [
        True,
        True,
        False,
        True,
    ]


def test_what_was_filtered_out_before_the_test_is_masked_but_is_no_history() -> None:
    made = small(TEST)
    seen = pl.DataFrame(
        {
            "user": [0, 0, 1],
            "item": [4, 5, 4],
            "negative": [0.0, 0.0, 1.0],
            "split": ["train", "test", "validation"],
        },
        schema_overrides={"user": pl.Int32, "item": pl.Int32, "negative": pl.Float32},
    )
    test_set, _ = make_test_set(replace(made, seen_events=seen), "test")
    assert [test_set.seen[row].indices.tolist() for row in range(2)] == [[0, 1], [0, 2]]
    assert [test_set.masked[row].indices.tolist() for row in range(2)] == [[0, 1, 4], [0, 2, 4]]
    validation, _ = make_test_set(replace(made, seen_events=seen), "validation")
    assert validation.filtered is not None and validation.filtered.nnz == 0
    assert make_test_set(made, "test")[0].filtered is None


def test_the_protocol_counts_what_was_filtered_out() -> None:
    config = EvaluateConfig(run="run")
    made, seen = small(TEST), pl.DataFrame({"user": [0], "item": [4], "negative": [0.0], "split": ["train"]})
    seen = seen.cast({"user": pl.Int32, "item": pl.Int32, "negative": pl.Float32})
    test_set, counts = make_test_set(replace(made, seen_events=seen), "test")
    first = evaluation_protocol(config, test_set, counts, (), "", {})[0]
    assert "train, validation, history, nor what prepare filtered out of these (1 event)." in first
    test_set, counts = make_test_set(made, "test")
    assert "filtered" not in evaluation_protocol(config, test_set, counts, (), "", {})[0]
