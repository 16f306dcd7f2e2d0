"""The search for a fusion's weights: panels and coordinate ascent, on numbers that can be checked by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest

from recli.metrics import ndcg_at
from recli.ranking.topk import top_k
from recli.steps.train_hybrid import weight_search
from recli.steps.train_hybrid.weight_search import (
    CandidatePool,
    ScoreBatch,
    pool_ndcg,
    pool_of,
    search_weights,
    user_ndcg,
)


def one_user(
    source_scores: list[list[float]], relevant: list[int], masked: tuple[int, ...] = ()
) -> ScoreBatch:
    rows = np.zeros(len(relevant), dtype=np.int64)
    out = (np.zeros(len(masked), dtype=np.int64), np.asarray(masked, dtype=np.int64))
    arrays = [np.asarray([v], dtype=np.float32) for v in source_scores]
    return ScoreBatch(arrays, out, (rows, np.asarray(relevant, dtype=np.int64)))


TIES = np.arange(6, dtype=np.int32)


def test_ndcg_of_a_panel_counts_what_is_above_each_relevant_item() -> None:
    # Scores 6 5 4 3 2 1: the relevant items 1 and 3 are in places 2 and 4.
    candidate_pool = pool_of([one_user([[6, 5, 4, 3, 2, 1]], [1, 3])], TIES)
    expected = (1 / math.log2(3) + 1 / math.log2(5)) / (1 / math.log2(2) + 1 / math.log2(3))
    assert pool_ndcg(candidate_pool, candidate_pool.source_scores[0]) == pytest.approx(expected)


def test_items_of_the_history_are_no_candidates() -> None:
    candidate_pool = pool_of([one_user([[6, 5, 4, 3, 2, 1]], [1], masked=(0,))], TIES)
    assert pool_ndcg(candidate_pool, candidate_pool.source_scores[0]) == pytest.approx(1.0)


def test_equal_scores_are_ordered_by_the_tie_rank() -> None:
    level = [[1, 1, 1, 1, 1, 1]]
    first = pool_of([one_user(level, [5])], TIES[::-1].copy())
    last = pool_of([one_user(level, [5])], TIES)
    assert pool_ndcg(first, first.source_scores[0]) == pytest.approx(1.0)
    assert pool_ndcg(last, last.source_scores[0]) == pytest.approx(1 / math.log2(7))  # place 6


def test_only_candidates_that_a_source_ranks_high_are_kept_and_relevant_ones_always() -> None:
    candidate_pool = pool_of([one_user([[6, 5, 4, 3, 2, 1]], [5])], TIES, depth=2)
    assert candidate_pool.there.sum() == 3  # items 0 and 1 by depth, item 5 because it is relevant


def test_users_without_a_relevant_item_are_left_out_of_the_mean() -> None:
    both = pool_of([one_user([[2, 1, 0, 0, 0, 0]], [0]), one_user([[2, 1, 0, 0, 0, 0]], [])], TIES)
    assert both.n_users == 2
    assert pool_ndcg(both, both.source_scores[0]) == pytest.approx(1.0)


def planted(seed: int, strength: tuple[float, ...], n: int = 200, m: int = 300) -> CandidatePool:
    """Sources whose votes are `strength` * (1 for the one relevant item) + noise of variance 1."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, m, n)
    signal = np.zeros((n, m), dtype=np.float32)
    signal[np.arange(n), target] = 1
    source_scores = [(s * signal + rng.normal(size=(n, m))).astype(np.float32) for s in strength]
    nothing = np.empty(0, dtype=np.int64)
    batch = ScoreBatch(source_scores, (nothing, nothing), (np.arange(n), target))
    return pool_of([batch], np.arange(m, dtype=np.int32))


def test_search_finds_the_planted_source_and_drops_the_noise() -> None:
    found = search_weights(planted(0, (0.0, 4.0, 0.0)))
    assert np.argmax(found.weights) == 1
    assert found.weights[1] > 0.85
    assert np.abs(found.weights).sum() == pytest.approx(1.0)
    assert found.alone[1] == max(found.alone)
    assert found.ndcg >= found.alone[1]


def test_search_weighs_equal_sources_about_equally_and_beats_each() -> None:
    found = search_weights(planted(1, (3.0, 3.0)))
    # Two equal independent signals: the best ratio is 1, and noise shrinks by sqrt(2).
    assert 0.25 < found.weights[0] < 0.75
    assert found.ndcg > max(found.alone) + 0.05


def test_search_of_one_source_gives_it_all() -> None:
    assert search_weights(planted(2, (2.0,))).weights.tolist() == [1.0]


def alike(*shares: float) -> CandidatePool:
    """Two independent sources, and for each share a copy of the first with so much noise."""
    pool = planted(5, (3.0, 2.5))
    noise = (
        np.random.default_rng(6).normal(size=(len(shares), *pool.source_scores.shape[1:])).astype(np.float32)
    )
    copies = [
        pool.source_scores[0] + np.float32(share) * own for share, own in zip(shares, noise, strict=True)
    ]
    return replace(pool, source_scores=np.stack([*pool.source_scores, *copies]) * pool.there)


def test_identical_sources_get_equal_weights_wherever_they_stand() -> None:
    pool = alike(0.0, 0.0)
    first, other, second, third = search_weights(pool).weights
    assert first == second == third > 0 and other > 0
    turned = search_weights(replace(pool, source_scores=pool.source_scores[::-1].copy())).weights
    assert turned[0] == turned[1] == turned[3] > 0 and turned[2] > 0


def test_nearly_equal_sources_are_kept_with_equal_weights() -> None:
    first, other, second = search_weights(alike(0.01)).weights
    assert first == second > 0 and other > 0


def test_what_hurts_is_dropped_beside_sources_that_share() -> None:
    pool = planted(7, (4.0, 0.0))
    weights = search_weights(replace(pool, source_scores=pool.source_scores[[0, 1, 0]])).weights
    assert weights[0] == weights[2] > 0.4


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("pool", [alike(0.0, 0.01), planted(3, (2.0, 1.0, 0.5, 0.0))], ids=["flat", "steep"])
def test_noise_of_a_millionth_changes_no_weight(
    pool: CandidatePool, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = search_weights(pool).weights.tolist()
    rng = np.random.default_rng(seed)
    source_scores = pool.source_scores + rng.normal(scale=1e-6, size=pool.source_scores.shape).astype(
        np.float32
    )
    assert search_weights(replace(pool, source_scores=source_scores)).weights.tolist() == expected
    monkeypatch.setattr(weight_search, "user_ndcg", lambda *a: user_ndcg(*a) + rng.normal(scale=1e-6))
    assert search_weights(pool).weights.tolist() == expected


def test_search_is_reproducible_and_reports_progress() -> None:
    steps: list[str] = []
    candidate_pool = planted(3, (2.0, 1.0, 0.5))
    first = search_weights(candidate_pool, lambda n, text: steps.append(text))
    assert search_weights(candidate_pool).weights.tolist() == first.weights.tolist()
    assert steps and all(text.startswith("ndcg@20 ") for text in steps)


def test_a_panels_ndcg_is_that_of_the_metric_when_nothing_is_cut() -> None:
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(4)
    scores = rng.normal(size=(30, 80)).astype(np.float32)
    relevant = csr_matrix((rng.random((30, 80)) < 0.05).astype(np.float32))
    rows, columns = relevant.nonzero()
    nothing = np.empty(0, dtype=np.int64)
    candidate_pool = pool_of(
        [ScoreBatch([scores], (nothing, nothing), (rows, columns))], np.arange(80, dtype=np.int32)
    )
    ranked = top_k(scores, 20, np.arange(80, dtype=np.int32))
    counted = np.diff(relevant.indptr) > 0
    assert pool_ndcg(candidate_pool, candidate_pool.source_scores[0]) == pytest.approx(
        ndcg_at(ranked.items, relevant)[counted].mean()
    )


def test_slices_of_different_width_are_joined() -> None:
    wide = one_user([[6, 5, 4, 3, 2, 1], [1, 2, 3, 4, 5, 6]], [0])
    narrow = one_user([[6, 5, 4, 3, 2, 1], [6, 5, 4, 3, 2, 1]], [0])
    candidate_pool = pool_of([wide, narrow], TIES, depth=2)
    assert candidate_pool.source_scores.shape == (2, 2, 4)  # 2 + 2 candidates, and 2
    assert candidate_pool.there.sum(axis=1).tolist() == [4, 2]
    assert pool_ndcg(candidate_pool, candidate_pool.source_scores[0]) == pytest.approx(1.0)
