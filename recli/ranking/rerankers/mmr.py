"""Maximal marginal relevance (MMR): trades relevance for diversity within a list."""

from collections.abc import Callable
from functools import partial

import numpy as np

from recli.data.arrays import unit_rows
from recli.ranking.ranked import Ranked, nothing
from recli.ranking.rerankers.base import Rerank, RerankerInputs, reranker
from recli.schema import CSR, Float32, Int32, Int64

_SIMILARITIES_HELD = 1 << 24  # similarities held at a time: 64 MiB of float32


@reranker("mmr", help="maximal marginal relevance: relevant items that differ from those listed before")
def make_mmr(balance: float, inputs: RerankerInputs) -> Rerank:
    """Diversifies lists by the similarity of their items: cosines of the model's item vectors, else of the items'
    users."""
    similarity: Callable[[Int32], Float32]
    if inputs.item_vectors is None:
        by_item = unit_item_rows(inputs.interactions())
        similarity = partial(common_users_similarity, by_item)
    else:
        vectors = unit_rows(inputs.item_vectors)
        similarity = partial(factor_similarity, vectors)

    def rerank(pool: Ranked, k: int) -> Ranked:
        n, p = pool.items.shape
        lists = nothing(n, k)
        size = max(1, _SIMILARITIES_HELD // max(1, p**2))
        for start in range(0, n, size):
            rows = slice(start, start + size)
            items, scores = pool.items[rows], pool.scores[rows]
            chosen = mmr(scores, similarity(items), k, balance)
            listed, at = chosen >= 0, np.maximum(chosen, 0)
            lists.items[rows] = np.where(listed, np.take_along_axis(items, at, axis=1), -1)
            lists.scores[rows] = np.where(listed, np.take_along_axis(scores, at, axis=1), -np.inf)
        return lists

    return rerank


def mmr(scores: Float32, similarity: Float32, k: int, balance: float) -> Int64:
    """Positions of `k` of the p candidates of each list, int64 (n, k), best first; -1 beyond a list's end.

    `scores`: float32 (n, p), -inf where there is no candidate. `similarity`: float32 (n, p, p). Each step takes
    the candidate with the largest balance * relevance - (1 - balance) * similarity to the nearest item taken
    before; relevance is the score, scaled to [0, 1] within the list. `balance` 1 keeps the order of scores.
    Maximal marginal relevance: Carbonell and Goldstein 1998.
    """
    n, p = scores.shape
    there = np.isfinite(scores)
    low = np.where(there, scores, np.inf).min(axis=1, keepdims=True, initial=np.inf)
    high = np.where(there, scores, -np.inf).max(axis=1, keepdims=True, initial=-np.inf)
    span = np.where(high > low, high - low, 1.0)
    relevance = np.where(there, (np.where(there, scores, 0.0) - low) / span, -np.inf)
    nearest = np.zeros((n, p), dtype=np.float64)
    chosen = np.full((n, k), -1, dtype=np.int64)
    lists = np.arange(n)
    for step in range(min(k, p)):
        gain = np.where(there, balance * relevance - (1 - balance) * nearest, -np.inf)
        best = gain.argmax(axis=1)  # the first of equals: candidates come in the order of scores and ties
        valid = there[lists, best]
        chosen[valid, step] = best[valid]
        there[lists[valid], best[valid]] = False
        nearest = np.maximum(nearest, similarity[lists, best]) if step else similarity[lists, best]
    return chosen


def factor_similarity(factors: Float32, items: Int32) -> Float32:
    """Cosines between the items of each list, float32 (n, p, p).

    `factors`: float32 (n_items, d), rows of length 1. `items`: int32 (n, p), -1 where there is none.
    """
    vectors = factors[items]  # float32 (n, p, d)
    vectors[items < 0] = 0
    similarity: Float32 = np.matmul(vectors, vectors.transpose(0, 2, 1))
    return similarity


def unit_item_rows(matrix: CSR) -> CSR:
    """Items by their users, csr float32 (n_items, n_users), rows of length 1 (or empty), from (n_users, n_items)."""
    by_item = matrix.T.tocsr().astype(np.float32)
    lengths = np.sqrt(np.asarray(by_item.multiply(by_item).sum(axis=1)).ravel())
    by_item.data /= np.repeat(np.where(lengths > 0, lengths, 1), np.diff(by_item.indptr)).astype(np.float32)
    return by_item


def common_users_similarity(by_item: CSR, items: Int32) -> Float32:
    """Cosines between the users of the items of each list, float32 (n, p, p).

    `by_item`: float32 (n_items, n_users), rows of length 1. `items`: int32 (n, p), -1 where there is none.
    """
    n, p = items.shape
    cosines = np.zeros((n, p, p), dtype=np.float32)
    for row in range(n):
        at = np.flatnonzero(items[row] >= 0)
        users = by_item[items[row, at]]
        cosines[row, at[:, None], at[None, :]] = (users @ users.T).toarray()
    return cosines
