"""Contributions, shares and diversification, by hand."""

from dataclasses import dataclass

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recli.data.arrays import unit_rows
from recli.data.history import History
from recli.models.base import Model
from recli.ranking.rerankers.mmr import (
    common_users_similarity,
    factor_similarity,
    mmr,
    unit_item_rows,
)
from recli.schema import Bool, Float32, Int64, State
from recli.steps.recommend.explain import (
    MAX_LEFT_OUT,
    Reason,
    contributions,
    history_reasons,
    most_important,
    sentence,
    shares,
    source_shares,
)

WEIGHTS = np.asarray(
    [
        # to item 0  1    2    3
        [0.0, 0.0, 0.6, 0.1],  # of item 0
        [0.0, 0.0, 0.2, -0.3],  # of item 1
        [0.0, 0.0, 0.0, 0.0],
        [0.5, 0.0, 0.1, 0.0],  # of item 3
    ],
    dtype=np.float32,
)


@dataclass(frozen=True)
class Linear(Model):
    """score(H) = H W: item j contributes H_j W_ji, exactly."""

    weights: Float32

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        assert users is None or (users == -1).all(), (
            "explained by the history, not by what is stored of a user"
        )
        return np.asarray(history.values @ self.weights, dtype=np.float32)

    def state(self) -> State:
        return {"weights": self.weights}


@dataclass(frozen=True)
class Factored(Model):
    """The same scores as dot products."""

    item_factors: Float32  # (n_items, d)
    weights: Float32  # (n_items, d)

    def item_embeddings(self) -> Float32:
        return self.item_factors

    def user_embeddings(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        vectors = np.asarray(history.values @ self.weights, dtype=np.float32)
        return vectors, np.zeros(history.shape[0], dtype=bool)

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        raise AssertionError("a model with factors is not asked for all items")

    def state(self) -> State:
        return {}


HISTORY = History(csr_matrix(np.asarray([[1.0, 2.0, 0.0, 0.0], [1.0, 0.0, 0.0, 3.0]], dtype=np.float32)))
ITEMS = np.asarray([[2, 3], [2, -1]], dtype=np.int32)
PLACES = [np.asarray([0, 1]), np.asarray([0, 1])]


@pytest.mark.parametrize("model", [Linear(WEIGHTS), Factored(np.eye(4, dtype=np.float32), WEIGHTS)])
def test_contributions_of_a_linear_model_are_weight_times_value(model: Linear | Factored) -> None:
    first, second = contributions(model, HISTORY, ITEMS, PLACES)
    # items 2 and 3: 1 * 0.6 and 1 * 0.1 from item 0; 2 * 0.2 and 2 * -0.3 from item 1
    np.testing.assert_allclose(first, [[0.6, 0.1], [0.4, -0.6]], atol=1e-6)
    np.testing.assert_allclose(second[:, 0], [0.6, 3 * 0.1], atol=1e-6)


def test_contributions_do_not_depend_on_the_size_of_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = contributions(Linear(WEIGHTS), HISTORY, ITEMS, PLACES)
    monkeypatch.setattr("recli.steps.recommend.explain._SCORES", 1)  # one left-out item at a time
    for one, other in zip(whole, contributions(Linear(WEIGHTS), HISTORY, ITEMS, PLACES), strict=True):
        np.testing.assert_array_equal(one, other)


def test_no_users_and_no_history() -> None:
    none = np.empty((0, 2), dtype=np.int32)
    assert contributions(Linear(WEIGHTS), HISTORY[:0], none, []) == []
    empty = History(csr_matrix((1, 4), dtype=np.float32))
    found = history_reasons(Linear(WEIGHTS), empty, ITEMS[:1], [np.empty(0, dtype=np.int64)], 3)
    assert found == [[[], []]]


def test_shares_leave_negative_parts_out_and_add_up_to_one() -> None:
    found = shares(np.asarray([[0.6, 0.1, -1.0], [0.4, -0.6, 0.0]]))
    # 0.6 / (0.6 + 0.4); 0.1 / 0.1; nothing positive
    np.testing.assert_allclose(found, [[0.6, 1.0, 0.0], [0.4, 0.0, 0.0]])


def test_reasons_are_the_largest_shares_first() -> None:
    first, second = history_reasons(Linear(WEIGHTS), HISTORY, ITEMS, PLACES, 2)
    assert [[r.item for r in why] for why in first] == [[0, 1], [0]]
    assert [r.share for r in first[0]] == pytest.approx([0.6, 0.4])
    assert [r.share for r in second[0]] == pytest.approx([2 / 3, 1 / 3])
    assert len(second) == 1  # the padding has no reasons
    (only,) = history_reasons(Linear(WEIGHTS), HISTORY[:1], ITEMS[:1], PLACES[:1], 1)
    assert [len(why) for why in only] == [1, 1]
    assert isinstance(only[0][0], Reason)


def test_long_histories_are_explained_by_their_heaviest_and_latest_items() -> None:
    assert most_important(np.ones(3, dtype=np.float32)).tolist() == [0, 1, 2]
    values = np.ones(MAX_LEFT_OUT + 5, dtype=np.float32)
    values[7] = 2.0
    recency = np.arange(MAX_LEFT_OUT + 5)[::-1]  # the first is the latest
    kept = most_important(values, recency)
    assert kept.size == MAX_LEFT_OUT
    assert kept.tolist() == list(range(MAX_LEFT_OUT))
    values[MAX_LEFT_OUT + 4] = 3.0  # old, but the heaviest
    assert MAX_LEFT_OUT + 4 in most_important(values, recency)
    assert MAX_LEFT_OUT - 1 not in most_important(values, recency)


def test_shares_of_sources() -> None:
    parts = {
        "als": np.asarray([[9.0, 0.2, -1.0]], dtype=np.float32),
        "text": np.asarray([[9.0, 0.6, 2.0]], dtype=np.float32),
    }
    found = source_shares(parts, 0, np.asarray([1, 2]))
    assert list(found[0]) == ["text", "als"]
    assert found[0] == pytest.approx({"text": 0.75, "als": 0.25})
    assert found[1] == {"text": 1.0}


def test_shares_that_round_to_nothing_are_left_out_unless_all_do() -> None:
    parts = {
        "als": np.asarray([[995.0, 996.0]], dtype=np.float32),
        "text": np.asarray([[6.0, 4.0]], dtype=np.float32),  # 6 of 1001 is .6%, 4 of 1000 is .4%
    }
    found = source_shares(parts, 0, np.asarray([0, 1]))
    assert [list(one) for one in found] == [["als", "text"], ["als"]]
    weights = np.asarray([[995.0], [3.0], [2.0]])  # .3% and .2%
    everything = History(csr_matrix(np.ones((1, 3), dtype=np.float32)))
    one = np.asarray([[0]], dtype=np.int32)
    ((why,),) = history_reasons(Linear(weights), everything, one, [np.arange(3)], 3)
    assert [r.item for r in why] == [0]
    many = History(csr_matrix(np.ones((1, 300), dtype=np.float32)))
    ((why,),) = history_reasons(Linear(np.ones((300, 1))), many, one, [np.arange(300)], 3)
    assert [r.share for r in why] == pytest.approx([1 / 300])
    assert sentence([("A", why[0].share)], {}, "popular") == "because of: A (<1%)"


def test_sentences() -> None:
    why, sources = [("A", 0.424), ("B", 0.3)], {"als": 0.55, "text": 0.45}
    assert sentence(why, {}, "popular") == "because of: A (42%), B (30%)"
    assert sentence(why, sources, "popular") == "because of: A (42%), B (30%); sources: als 55%, text 45%"
    assert sentence([], sources, "popular") == "sources: als 55%, text 45%"
    assert sentence([], {}, "popular: 3 users") == "popular: 3 users"


def test_mmr_by_hand() -> None:
    scores = np.asarray([[3.0, 2.0, 1.0]], dtype=np.float32)  # relevance 1, .5, 0
    similarity = np.asarray([[[1.0, 0.9, 0.1], [0.9, 1.0, 0.2], [0.1, 0.2, 1.0]]], dtype=np.float32)
    # after item 0: .5 * .5 - .5 * .9 = -.2 for item 1, .5 * 0 - .5 * .1 = -.05 for item 2
    assert mmr(scores, similarity, 3, 0.5).tolist() == [[0, 2, 1]]
    # .8 * .5 - .2 * .9 = .22 for item 1, .8 * 0 - .2 * .1 = -.02 for item 2
    assert mmr(scores, similarity, 2, 0.8).tolist() == [[0, 1]]
    assert mmr(scores, similarity, 3, 1.0).tolist() == [[0, 1, 2]]


def test_mmr_ends_where_candidates_end() -> None:
    scores = np.asarray([[3.0, -np.inf, -np.inf], [-np.inf] * 3], dtype=np.float32)
    similarity = np.zeros((2, 3, 3), dtype=np.float32)
    assert mmr(scores, similarity, 2, 0.5).tolist() == [[0, -1], [-1, -1]]
    assert mmr(scores[:, :1], similarity[:, :1, :1], 2, 0.5).tolist() == [[0, -1], [-1, -1]]


def test_similarities_of_lists() -> None:
    vectors = unit_rows(np.asarray([[3.0, 4.0], [0.0, 0.0], [4.0, 3.0]], dtype=np.float32))
    items = np.asarray([[0, 2, -1], [1, 2, 0]], dtype=np.int32)
    found = factor_similarity(vectors, items)
    # (3 * 4 + 4 * 3) / 25 = .96
    np.testing.assert_allclose(found[0], [[1, 0.96, 0], [0.96, 1, 0], [0, 0, 0]], atol=1e-6)
    np.testing.assert_allclose(found[1, 0], [0, 0, 0])
    matrix = csr_matrix(np.asarray([[1, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=np.float32))  # users x items
    by_users = common_users_similarity(unit_item_rows(matrix), items)
    # items 0 and 1 share one user: 1 / (sqrt(2) * sqrt(1)); item 2 has none
    np.testing.assert_allclose(by_users[1], [[1, 0, 2**-0.5], [0, 0, 0], [2**-0.5, 0, 1]], atol=1e-6)
    np.testing.assert_allclose(by_users[0], np.diag([1, 0, 0]), atol=1e-6)
