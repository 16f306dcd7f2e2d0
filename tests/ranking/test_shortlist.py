"""Rough products find all items that exact ones list: the same lists, whichever way they are made."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recli.compute.threads import in_threads
from recli.data.history import History
from recli.errors import RecliError
from recli.models.base import Model
from recli.models.kernels.factors import Factors, confidence_fold_in
from recli.models.wrappers import WithFallback, with_recency
from recli.ranking import shortlist, topk
from recli.ranking.topk import rank, ranked_batches
from recli.schema import CSR, Bool, Float32, Int64
from recli.steps.recommend.recommender import UserScorer


@pytest.fixture(autouse=True)
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shortlists for few users too, also where bfloat16 is emulated."""
    monkeypatch.setattr(shortlist, "_MIN_SCORES", 0)
    monkeypatch.setattr(shortlist, "native_bfloat16", lambda: True)


def whole(factors: Float32, n_users: int, k: int, allowed_rows: Int64 | None) -> None:
    """Stands in for `shortlist`: all items are scored."""


def both_ways(
    monkeypatch: pytest.MonkeyPatch,
    model: Model,
    history: History,
    users: Int64,
    k: int,
    seen: CSR | None = None,
    allowed: Bool | None = None,
) -> tuple[topk.Ranked, topk.Ranked]:
    ties = np.random.default_rng(5).permutation(history.shape[1]).astype(np.int32)
    made = rank(model, history, users, k=k, ties=ties, seen=seen, allowed=allowed)
    with monkeypatch.context() as patch:
        patch.setattr(topk, "shortlist", whole)
        patch.setattr(topk, "_FEW_ITEMS", 0)
        return made, rank(model, history, users, k=k, ties=ties, seen=seen, allowed=allowed)


def integers(seed: int, n: int, n_items: int, high: int, negative: float = 0.5) -> tuple[Factors, History]:
    """Factors whose products are whole numbers, exact in float32 in any order; many of them are equal."""
    rng = np.random.default_rng(seed)
    users, items = (
        (rng.integers(0, high, (m, 4)) * np.where(rng.random((m, 4)) < negative, -1, 1)).astype(np.float32)
        for m in (n, n_items)
    )
    history = csr_matrix((rng.random((n, n_items)) < 0.05).astype(np.float32))
    return Factors(users, items, confidence_fold_in(items, 2.0, 1.0)), History(history)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    n=st.integers(1, 70),
    n_items=st.integers(64, 3000),
    k=st.integers(1, 40),
    high=st.sampled_from([2, 5, 300, 1000]),
    negative=st.sampled_from([0.0, 0.5, 1.0]),
    few=st.booleans(),
)
def test_lists_are_those_of_exact_scores(
    seed: int, n: int, n_items: int, k: int, high: int, negative: float, few: bool
) -> None:
    """1,000 has more than bfloat16's 8 bits: rough products are off by several per cent, lists are not."""
    model, history = integers(seed, n, n_items, high, negative)
    allowed = np.random.default_rng(seed).random(n_items) < 0.7 if few else None
    with pytest.MonkeyPatch.context() as patch:
        found, expected = both_ways(
            patch, model, history, np.arange(n), k, seen=history.values, allowed=allowed
        )
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)


def test_few_allowed_items_are_scored_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    model, history = integers(7, 90, 800, 300)
    around = WithFallback(model, np.arange(800, dtype=np.float32))
    model.user_factors[5] = 0  # popularity stands in
    allowed = np.zeros(800, dtype=bool)
    allowed[np.random.default_rng(1).choice(800, 60, replace=False)] = True
    monkeypatch.setattr(topk, "shortlist", whole)
    monkeypatch.setattr(topk, "_SCORES_HELD", 20 * 60)
    monkeypatch.setattr(topk, "_MAX_SCORES_HELD", 0)
    found, expected = both_ways(
        monkeypatch, around, history, np.arange(90), 9, seen=history.values, allowed=allowed
    )
    np.testing.assert_array_equal(found.items, expected.items)
    np.testing.assert_array_equal(found.scores, expected.scores)
    monkeypatch.delattr(Factors, "score")
    rank(model, history, np.arange(90), k=9, ties=np.arange(800, dtype=np.int32), allowed=allowed)


@pytest.mark.slow
def test_candidates_are_few_and_none_is_missed() -> None:
    rng = np.random.default_rng(0)
    users, items = (rng.normal(size=(m, 64)).astype(np.float32) for m in (40, 6000))
    short = shortlist.shortlist(items, 40, 20)
    assert short is not None
    masked = csr_matrix(([1.0], ([0], [7])), shape=(40, 6000))
    found = short.candidates(users, masked, 20)
    assert not found.needs_exact.any() and found.sizes.min() >= 20 and found.sizes.max() < 80
    exact = users @ items.T
    np.testing.assert_allclose(
        found.scores, exact[np.repeat(np.arange(40), found.sizes), found.items], atol=1e-4
    )
    ends = np.cumsum(found.sizes)
    exact[0, 7] = -np.inf
    for row, (start, end) in enumerate(zip(ends - found.sizes, ends, strict=True)):
        assert set(np.argsort(-exact[row])[:20]) <= set(found.items[start:end])
    assert 7 not in found.items[: ends[0]]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(12))
def test_none_is_missed_whatever_the_factors_lengths(seed: int) -> None:
    """The bound holds for items of very different lengths, and is close: few more than k are looked at."""
    rng = np.random.default_rng(seed)
    d, k = int(rng.choice([1, 3, 40, 300])), 10
    users, items = (rng.normal(size=(m, d)) * rng.lognormal(0, 1, (m, 1)) for m in (30, 2000))
    short = shortlist.shortlist(items.astype(np.float32), 30, k)
    assert short is not None
    found = short.candidates(users.astype(np.float32), None, k)
    exact = users.astype(np.float32).astype(np.float64) @ items.astype(np.float32).astype(np.float64).T
    ends = np.cumsum(found.sizes)
    for row in np.flatnonzero(~found.needs_exact):
        best = np.argsort(-exact[row])[:k]
        assert set(best) <= set(found.items[ends[row] - found.sizes[row] : ends[row]])
    assert (~found.needs_exact).sum() > 0 and found.sizes[~found.needs_exact].mean() < 4 * k


def test_rows_that_rough_products_cannot_tell_are_left_to_exact_ones() -> None:
    items = np.vstack([np.eye(2), np.full((4000, 2), 0.5)]).astype(np.float32)
    short = shortlist.shortlist(items, 3, 5)
    assert short is not None
    users = np.array([[1, 1], [-1, -1], [0, 0]], dtype=np.float32)
    found = short.candidates(users, None, 5)
    # User 0 finds 4,002 items equal, more than 8 * 5 + 64; all that user 1 finds is below 0, and user 2 finds nothing.
    assert found.needs_exact.tolist() == [True, True, True] and found.sizes.tolist() == [0, 0, 0]
    assert found.items.size == found.scores.size == 0


def test_not_for_few_users_long_lists_or_factors_that_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    items = np.random.default_rng(0).normal(size=(640, 3)).astype(np.float32)
    assert shortlist.shortlist(items, 1, 10) is not None
    assert shortlist.shortlist(items, 1, 11) is None  # the k-th best of 20 blocks of 32 would be a bad floor
    assert shortlist.shortlist(np.ones((640, 3), dtype=np.float32), 1, 10) is None
    assert shortlist.shortlist(np.full((640, 3), np.nan, dtype=np.float32), 1, 10) is None
    monkeypatch.setattr(shortlist, "_MIN_SCORES", 641)
    assert shortlist.shortlist(items, 1, 10) is None and shortlist.shortlist(items, 2, 10) is not None
    monkeypatch.setattr(shortlist, "native_bfloat16", lambda: False)
    assert shortlist.shortlist(items, 2, 10) is None


def test_factors_that_are_not_numbers_are_refused() -> None:
    model, history = integers(0, 3, 640, 9)
    model.user_factors[1] = np.nan
    with pytest.raises(RecliError, match="not numbers"):
        rank(model, history, np.arange(3), k=5, ties=np.arange(640, dtype=np.int32))


def test_models_around_models_are_ranked_as_they_score(monkeypatch: pytest.MonkeyPatch) -> None:
    """Recent folds in anew, a fallback stands in for users 3 and 4, user 5 has a text: all as by whole scores."""
    rng = np.random.default_rng(3)
    users, items = (rng.normal(size=(m, 8)).astype(np.float32) for m in (300, 700))
    done = rng.random((300, 700)) < 0.02
    done[3] = False
    values = csr_matrix(done.astype(np.float32))
    users[4] = 0
    steps = np.concatenate([np.arange(n)[::-1] for n in np.diff(values.indptr)]).astype(np.int32)
    history = History(values, steps)
    model = Factors(users, items, confidence_fold_in(items, 2.0, 1.0))
    counts = np.arange(700, dtype=np.float32)

    known = np.where(np.arange(300) % 7 == 0, -1, np.arange(300))  # -1: unknown
    places = np.arange(300)
    scorer = UserScorer(WithFallback(with_recency(model, 2.0), counts), known)
    for around, asked in (
        (model, known),
        (with_recency(model, 2.0), known),
        (WithFallback(model, counts), known),
        (WithFallback(model, counts, "none"), known),
        (scorer, places),
    ):
        shared = around.item_embeddings()
        assert shared is not None and shared is items
        found, expected = both_ways(monkeypatch, around, history, asked, 10, seen=values)
        assert float((found.items == expected.items).mean()) > 0.999
        np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-4, atol=1e-4)
    assert scorer.by_popularity == {3}
    popular = 699 - np.arange(10)
    ties = np.arange(700, dtype=np.int32)
    listed = rank(WithFallback(model, counts), history, known, k=10, ties=ties).items
    assert listed[3].tolist() == listed[4].tolist() == popular.tolist()


def test_batches_in_threads_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shortlist, "_PRODUCTS_HELD", 0)  # 64 users at a time
    model, history = integers(1, 200, 640, 50)
    ties = np.arange(640, dtype=np.int32)
    made = list(ranked_batches(model, history, np.arange(200), k=4, ties=ties))
    assert [(rows.start, rows.stop) for rows, _ in made] == [(0, 64), (64, 128), (128, 192), (192, 200)]
    assert [(one, square) for one, square in in_threads(range(50), lambda n: n * n, threads=3)] == [
        (n, n * n) for n in range(50)
    ]


def test_users_with_a_text_are_scored_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    real = topk.shortlist

    def spied(items: Float32, n_users: int, k: int, allowed_rows: Int64 | None) -> shortlist.Shortlist | None:
        asked.append(n_users)
        return real(items, n_users, k, allowed_rows)

    monkeypatch.setattr(topk, "shortlist", spied)
    model, history = integers(2, 30, 640, 50)
    scorer = UserScorer(WithFallback(model, np.ones(640, dtype=np.float32)), np.arange(30))
    list(ranked_batches(scorer, history, np.arange(30), k=3, ties=np.arange(640, dtype=np.int32)))
    assert asked == [30]
    nothing = (history.sizes == 0) | ~model.user_factors.any(axis=1)
    scorer = replace(scorer, vectors={4: np.ones(2, dtype=np.float32)})
    _, whole_rows = scorer.user_embeddings(history, np.arange(30))
    assert not nothing[4] and np.flatnonzero(whole_rows & ~nothing).tolist() == [4]
