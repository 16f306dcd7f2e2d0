"""Searches the weights of a fusion on a candidate pool.

The pool holds, for each validation user, the score of every source for the candidates that could reach the top 20.
NDCG of a weight vector then needs one weighted sum and the number of candidates above each relevant one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import numpy as np

from recli.compute.compiled import compiled
from recli.metrics.accuracy import ndcg_of_ranks
from recli.ranking.topk import top_k
from recli.reporting import Advance, no_progress
from recli.schema import Bool, Float32, Float64, Int32, Int64

K = 20
DEPTH = 200  # best items of each source that are candidates
STEPS = (0.0, 0.25, 0.5, 0.7, 0.85, 1.2, 1.4, 2.0, 4.0)  # factors tried on a weight that is not 0
STARTS = (0.05, 0.1, 0.2, 0.4)  # shares of the sum of weights tried on one that is 0
ROUNDS = 8
NOISE = 0.1  # standard errors of the mean difference; half of one cost a hybrid .001 of NDCG@20 on MovieLens
LEAST_GAIN = 1e-5  # of NDCG: larger than rounding errors


@dataclass(frozen=True)
class CandidatePool:
    """Scores of s sources for up to m candidates of each of n users."""

    source_scores: Float32  # (s, n, m)
    there: Bool  # (n, m), False: padding
    ties: Int32  # (n, m), tie-breaking rank: the lower one comes first
    rows: Int64  # (r,), user of each relevant candidate
    columns: Int64  # (r,), its column among the candidates
    n_relevant: Int64  # (n,)

    @property
    def n_users(self) -> int:
        return self.n_relevant.size


@dataclass(frozen=True)
class ScoreBatch:
    """Scores of the sources for a batch of b users and all m items of a block."""

    source_scores: Sequence[Float32]  # s arrays, float32 (b, m)
    masked: tuple[Int64, Int64]  # rows and columns of items in the histories, which are not candidates
    relevant: tuple[Int64, Int64]  # rows and columns of the relevant items, none of them masked


def pool_of(batches: Iterable[ScoreBatch], ties: Int32, depth: int = DEPTH) -> CandidatePool:
    """Select the candidates of each batch: the `depth` best of each source, and the relevant ones.

    `ties`: int32 (m,). An item that no source has among its `depth` best hardly ever reaches the top 20
    with weights >= 0: apart from that, the NDCG is exact.
    """
    pools = [_candidates(s, ties, depth) for s in batches]
    width = max((part.there.shape[1] for part in pools), default=0)
    offsets = np.cumsum([0, *(part.n_users for part in pools)])
    return CandidatePool(
        np.concatenate([_padded(p.source_scores, width) for p in pools], axis=1),
        np.concatenate([_padded(p.there, width) for p in pools]),
        np.concatenate([_padded(p.ties, width) for p in pools]),
        np.concatenate([p.rows + o for p, o in zip(pools, offsets[:-1], strict=True)]),
        np.concatenate([p.columns for p in pools]),
        np.concatenate([p.n_relevant for p in pools]),
    )


def _padded(array: np.ndarray[Any, Any], width: int) -> np.ndarray[Any, Any]:
    missing = width - array.shape[-1]
    return np.pad(array, [(0, 0)] * (array.ndim - 1) + [(0, missing)]) if missing else array


def _candidates(batch: ScoreBatch, ties: Int32, depth: int) -> CandidatePool:
    n, m = batch.source_scores[0].shape
    chosen = np.zeros((n, m), dtype=bool)
    for source_scores in batch.source_scores:
        open_scores = source_scores.copy()
        open_scores[batch.masked] = -np.inf
        best = top_k(open_scores, min(depth, m), ties).items
        rows, ranks = np.nonzero(best >= 0)  # -1: all others are masked
        chosen[rows, best[rows, ranks]] = True
    chosen[batch.relevant] = True
    counts = chosen.sum(axis=1)
    width = int(counts.max(initial=1))
    rows, items = np.nonzero(chosen)  # row by row, items ascending
    position = np.cumsum(chosen, axis=1)[rows, items] - 1
    there = np.zeros((n, width), dtype=bool)
    there[rows, position] = True
    kept = np.zeros((len(batch.source_scores), n, width), dtype=np.float32)
    for source, source_scores in enumerate(batch.source_scores):
        kept[source, rows, position] = source_scores[rows, items]
    order = np.zeros((n, width), dtype=np.int32)
    order[rows, position] = ties[items]
    relevant_rows, relevant_items = batch.relevant
    columns = (np.cumsum(chosen, axis=1) - 1)[relevant_rows, relevant_items]
    n_relevant = np.bincount(relevant_rows, minlength=n)
    return CandidatePool(kept, there, order, relevant_rows, columns, n_relevant)


def pool_ndcg(pool: CandidatePool, fused: Float32, k: int = K) -> float:
    """Mean NDCG@k over the pool's users with a relevant item, for fused scores (n, m)."""
    return float(user_ndcg(pool, fused, k).mean())


def user_ndcg(pool: CandidatePool, fused: Float32, k: int = K) -> Float64:
    """NDCG@k of each of the pool's users with a relevant item, for fused scores (n, m); a single 0 if there is none.

    The rank of a relevant item is 1 + the candidates above it (a tie is above if its tie-breaking rank is lower).
    """
    scores = np.where(pool.there, fused, np.float32(-np.inf))
    ranks = np.empty(pool.rows.size, dtype=np.int64)
    _compiled()(scores, pool.ties, pool.rows, pool.columns, ranks)
    listed, counted = ranks < k, pool.n_relevant > 0
    ndcg = ndcg_of_ranks(pool.rows[listed], ranks[listed], pool.n_relevant, k)
    return ndcg[counted] if counted.any() else np.zeros(1)


def _count(scores: Float32, ties: Int32, rows: Int64, columns: Int64, above: Int64) -> None:
    """Write how many candidates come before those at `rows` and `columns`, (r,), of scores and ties (n, m)."""
    for i in range(rows.size):
        line, order = scores[rows[i]], ties[rows[i]]
        score, tie = line[columns[i]], order[columns[i]]
        total = np.int32(0)
        for j in range(line.size):
            total += np.int32((line[j] > score) | ((line[j] == score) & (order[j] < tie)))
        above[i] = total


@lru_cache(1)
def _compiled() -> Callable[..., None]:
    """`_count`, compiled (numba)."""
    matrix, rows = "float32[:, ::1], int32[:, ::1]", "int64[::1]"
    return compiled(_count, f"void({matrix}, {rows}, {rows}, {rows})")


@dataclass(frozen=True)
class SearchResult:
    """Weights, one per source, whose absolute values sum to 1, and their NDCG."""

    weights: Float64  # (s,)
    ndcg: float
    alone: tuple[float, ...]  # NDCG of each source by itself
    tried: int


def search_weights(pool: CandidatePool, advance: Advance = no_progress) -> SearchResult:
    """Weights >= 0 by coordinate ascent on the pool's NDCG@20, from equal weights and from the best source.

    Tie rule: weights that are equal within noise stay equal, so that rounding errors do not matter. Noise is `NOISE`
    standard errors of the mean of users' differences, and at least `LEAST_GAIN`:
    1. a weight changes only for a gain above the noise;
    2. the ascent from the best source is used only if it is better by more than the noise;
    3. at last sources share their weight evenly, the most similar pairs first, while that costs no more than the noise.
    Nothing is drawn at random.
    """
    s = pool.source_scores.shape[0]
    by_source = [user_ndcg(pool, source_scores) for source_scores in pool.source_scores]
    alone = tuple(float(ndcg.mean()) for ndcg in by_source)
    if s == 1:
        return SearchResult(np.ones(1), alone[0], alone, 1)
    weights, ndcg, tried = _ascend(pool, np.full(s, 1 / s), advance)
    from_best, ndcg_from_best, more = _ascend(pool, np.eye(s)[int(np.argmax(alone))], advance)
    if _exceeds(ndcg_from_best, ndcg):
        weights, ndcg = from_best, ndcg_from_best
    weights, ndcg, shared = _share(pool, weights / weights.sum(), ndcg)
    advance(1, f"ndcg@{K} {ndcg.mean():.4f}")
    return SearchResult(weights, float(ndcg.mean()), alone, s + tried + more + shared)


def _exceeds(ndcg: Float64, other: Float64) -> bool:
    """Whether the mean of users' NDCG, (u,), is above the other's by more than the noise."""
    gains = ndcg - other
    return bool(gains.mean() > max(NOISE * gains.std() / np.sqrt(gains.size), LEAST_GAIN))


def _ascend(pool: CandidatePool, start: Float64, advance: Advance) -> tuple[Float64, Float64, int]:
    """Weights, their NDCG for each user, and how many weight vectors were tried."""
    weights, tried = start.copy(), 1
    ndcg = user_ndcg(pool, _sum(pool, weights))
    for _ in range(ROUNDS):
        before = ndcg
        for source in range(weights.size):
            others = weights.copy()
            others[source] = 0
            rest = _sum(pool, others)
            weight, total = weights[source], others.sum()
            values = [weight * step for step in STEPS] if weight else [total * share for share in STARTS]
            for value in values:
                if not (value or total):
                    continue
                trial = user_ndcg(pool, rest + np.float32(value) * pool.source_scores[source])
                tried += 1
                if _exceeds(trial, ndcg):
                    ndcg, weights[source] = trial, value
            advance(1, f"ndcg@{K} {ndcg.mean():.4f}")
        if ndcg is before:
            break
    return weights, ndcg, tried


def _share(pool: CandidatePool, weights: Float64, best: Float64) -> tuple[Float64, Float64, int]:
    """Weights shared evenly among sources where that costs no more than the noise, their NDCG, and how many were tried.

    `best`: NDCG of the weights for each user, (u,); all sharing together may cost the noise once.
    """
    source_scores = pool.source_scores.reshape(weights.size, -1)
    lengths = np.maximum(np.linalg.norm(source_scores, axis=1), 1e-12)
    cosines = source_scores @ source_scores.T / np.outer(lengths, lengths)
    groups, ndcg, tried = np.arange(weights.size), best, 0
    for first, second in sorted(combinations(range(weights.size), 2), key=lambda pair: -cosines[pair]):
        if groups[first] == groups[second]:
            continue
        joined = (groups == groups[first]) | (groups == groups[second])
        shared = np.where(joined, weights[joined].mean(), weights)
        trial = user_ndcg(pool, _sum(pool, shared)) if shared[first] else ndcg  # 0: neither has any weight
        tried += 1
        if not _exceeds(best, trial):
            weights, ndcg, groups = shared, trial, np.where(joined, groups[first], groups)
    return weights, ndcg, tried


def _sum(pool: CandidatePool, weights: Float64) -> Float32:
    fused: Float32 = np.einsum("s,snm->nm", weights.astype(np.float32), pool.source_scores)
    return fused
