"""Selecting the best items: exact, ties by the tie order, masks never come back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recli.data.arrays import tie_order
from recli.data.history import History
from recli.data.interactions import Interactions
from recli.errors import RecliError
from recli.models.base import Model
from recli.ranking.topk import rank, score_batches, top_k
from recli.schema import Float32, Int32, Int64, State


class Fixed(Model):
    """Scores that are given: row i of `rows` for the user with row number i."""

    def __init__(self, rows: Float32) -> None:
        self.rows = rows

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        assert users is not None
        return self.rows[users].copy()

    def state(self) -> State:
        return {}


def by_sorting(scores: Float32, k: int, ties: Int32) -> Int32:
    """The definition, slowly: sort every row whole."""
    items = np.full((scores.shape[0], k), -1, dtype=np.int32)
    for row, values in enumerate(scores):
        order = np.lexsort((ties, -values))[:k]
        order = order[values[order] > -np.inf]
        items[row, : order.size] = order
    return items


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(0, 4),
    n_items=st.integers(1, 4000),
    k=st.integers(1, 60),
    levels=st.sampled_from([1, 2, 5, 100, 0]),
    masked=st.sampled_from([0.0, 0.5, 0.99, 1.0]),
)
def test_top_k_is_what_sorting_gives(
    seed: int, n: int, n_items: int, k: int, levels: int, masked: float
) -> None:
    rng = np.random.default_rng(seed)
    scores = rng.standard_normal((n, n_items)) if levels == 0 else rng.integers(0, levels, (n, n_items))
    scores = scores.astype(np.float32) * rng.choice([-1, 1], (n, n_items)).astype(
        np.float32
    )  # -0 and 0 are equal
    scores[rng.random((n, n_items)) < masked] = -np.inf
    ties = rng.permutation(3 * n_items)[:n_items].astype(np.int32)  # of a part of the catalogue
    found = top_k(scores, k, ties)
    assert found.items.dtype == np.int32 and found.scores.dtype == np.float32
    np.testing.assert_array_equal(found.items, by_sorting(scores, k, ties))
    expected = np.where(
        found.items < 0, -np.inf, np.take_along_axis(scores, np.maximum(found.items, 0), axis=1)
    )
    np.testing.assert_array_equal(found.scores, expected)


def test_few_positive_scores_in_a_large_catalogue_are_filled_up_in_tie_order() -> None:
    """The usual case of a neighborhood model: three items score, 4,997 are 0."""
    scores = np.zeros((2, 5000), dtype=np.float32)
    scores[0, [10, 4000, 20]] = (3, 1, 2)
    ties = np.arange(5000, dtype=np.int32)[::-1].copy()
    found = top_k(scores, 6, ties)
    assert found.items.tolist() == [[10, 20, 4000, 4999, 4998, 4997], [4999, 4998, 4997, 4996, 4995, 4994]]


def test_top_k_takes_views_and_leaves_the_scores_alone() -> None:
    scores = np.asfortranarray(np.arange(400, dtype=np.float32).reshape(4, 100) % 37)
    before = scores.copy()
    ties = np.arange(100, dtype=np.int32)
    np.testing.assert_array_equal(
        top_k(scores[:, ::2], 5, ties[:50]).items, by_sorting(scores[:, ::2], 5, ties[:50])
    )
    np.testing.assert_array_equal(scores, before)


def test_k_beyond_the_catalogue_pads() -> None:
    found = top_k(np.array([[1, 2]], dtype=np.float32), 4, np.array([0, 1], dtype=np.int32))
    assert found.items.tolist() == [[1, 0, -1, -1]]
    assert found.scores.tolist() == [[2.0, 1.0, -np.inf, -np.inf]]


def test_tie_order_depends_on_the_id_alone() -> None:
    ids = [f"item {i}" for i in range(50)]
    ranks = tie_order(ids)
    assert sorted(ranks.tolist()) == list(range(50))
    backwards = tie_order(ids[::-1])
    np.testing.assert_array_equal(ranks, backwards[::-1])
    few = tie_order(ids[:10])  # the same relative order among fewer items
    np.testing.assert_array_equal(np.argsort(few), np.argsort(ranks[:10]))
    assert ranks.tolist() != list(range(50))


def test_seen_and_forbidden_items_never_come_back(board: Interactions) -> None:
    n, n_items = board.n_users, board.n_items
    rng = np.random.default_rng(0)
    model = Fixed(rng.standard_normal((n, n_items)).astype(np.float32))
    seen, allowed = board.seen(), np.arange(n_items) % 2 == 0
    users = np.arange(n, dtype=np.int64)
    found = rank(model, board.history(), users, k=8, ties=board.ties, seen=seen, allowed=allowed)
    dense = seen.toarray() > 0
    for user, items in enumerate(found.items):
        listed = items[items >= 0]
        assert listed.size == min(8, (~dense[user] & allowed).sum())
        assert not dense[user, listed].any() and allowed[listed].all()


def test_batches_cover_all_users_once_and_nobody_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recli.ranking.topk._SCORES_HELD", 12)  # three users of four items at a time
    monkeypatch.setattr("recli.ranking.topk._MAX_SCORES_HELD", 0)
    model = Fixed(np.arange(28, dtype=np.float32).reshape(7, 4))
    empty = History(csr_matrix((7, 4), dtype=np.float32))
    users = np.arange(7, dtype=np.int64)
    batches = list(score_batches(model, empty, users))
    assert [(rows.start, rows.stop) for rows, _ in batches] == [(0, 3), (3, 6), (6, 7)]
    np.testing.assert_array_equal(np.concatenate([s for _, s in batches]), model.rows)
    nobody = rank(model, empty[:0], users[:0], k=3, ties=np.arange(4, dtype=np.int32))
    assert nobody.items.shape == (0, 3)


def test_scores_that_are_not_numbers_are_refused() -> None:
    model = Fixed(np.array([[1, np.nan, 2]], dtype=np.float32))
    with pytest.raises(RecliError, match="not numbers"):
        list(score_batches(model, History(csr_matrix((1, 3), dtype=np.float32)), np.zeros(1, dtype=np.int64)))
