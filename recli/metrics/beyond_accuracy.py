"""Beyond-accuracy metrics: coverage, popularity and variety of the lists, whether or not their items are test items."""

from __future__ import annotations

import numpy as np

from recli.metrics.base import EvaluatedLists, TestSet, metric, ratio
from recli.schema import CSR, Bool, Float32, Float64, Int32, Int64

_MAX_ITEMS = 4096  # whose similarities fit in one matrix (64 MiB)
_USERS_PER_BLOCK = 256


def _mean_of(values: Float64, ranked: Int32) -> Float64:
    """The mean of `values` (n_items,) over each list, float64 (n,); NaN for an empty list."""
    there = ranked >= 0
    total = np.where(there, values[np.maximum(ranked, 0)], 0.0).sum(axis=1)
    length = there.sum(axis=1)
    return ratio(total, length)


def _times_listed(lists: EvaluatedLists) -> Int64:
    """How many lists hold each item that may be recommended."""
    ranked = lists.ranked
    times = np.bincount(ranked[ranked >= 0], minlength=lists.test_set.n_items)
    return times if lists.test_set.allowed is None else times[lists.test_set.allowed]


@metric(
    "coverage", help="share of the catalogue that appears in any list", family="beyond accuracy", whole=True
)
def coverage(lists: EvaluatedLists) -> float | None:
    times = _times_listed(lists)
    return float((times > 0).mean()) if times.size else None


@metric(
    "gini",
    help="inequality of how often items are listed: 0 all alike, 1 one item takes all",
    family="beyond accuracy",
    whole=True,
    better=-1,
)
def gini(lists: EvaluatedLists) -> float | None:
    times = np.sort(_times_listed(lists)).astype(np.float64)
    n = times.size
    if not times.sum():
        return None
    return float(((2 * np.arange(1, n + 1) - n - 1) * times).sum() / (n * times.sum()))


@metric(
    "novelty",
    help="mean of -log2(share of the training users who know the item), in bits",
    family="beyond accuracy",
    better=0,
)
def novelty(lists: EvaluatedLists) -> Float64:
    """Self-information, Vargas and Castells (2011). An item without training users counts as known to one."""
    test_set = lists.test_set
    share = np.maximum(test_set.counts, 1) / max(test_set.n_training_users, 1)
    return _mean_of(-np.log2(share), lists.ranked)


@metric(
    "serendipity",
    help="share of the k ranks that hold a test item outside the user's k most popular unseen items",
    family="beyond accuracy",
)
def serendipity(lists: EvaluatedLists) -> Float64:
    """Relevant items that popularity would not have listed: Ge, Delgado-Battenfeld and Jannach (2010)."""
    return np.asarray((lists.hits & ~_popular_unseen(lists.test_set, lists.ranked)).mean(axis=1))


def _popular_unseen(test_set: TestSet, ranked: Int32) -> Bool:
    """Where a list holds one of the k items that popularity would list for that user, bool (n, k)."""
    order = np.lexsort((test_set.ties, -test_set.counts))
    rank_of_item = np.empty(order.size, dtype=np.int64)
    if test_set.allowed is not None:
        order = np.concatenate([order[test_set.allowed[order]], order[~test_set.allowed[order]]])
    rank_of_item[order] = np.arange(order.size)  # from the most popular; of all items
    n_items = order.size
    rows = np.repeat(np.arange(test_set.n_users, dtype=np.int64), np.diff(test_set.masked.indptr))
    keys = np.sort(rows * n_items + rank_of_item[test_set.masked.indices])
    popularity_rank = rank_of_item[np.maximum(ranked, 0)]
    listed = np.arange(test_set.n_users, dtype=np.int64)[:, None] * n_items + popularity_rank
    seen_before = (
        np.searchsorted(keys, listed) - test_set.masked.indptr[:-1, None]
    )  # seen items more popular than it
    return np.asarray((popularity_rank - seen_before < ranked.shape[1]) & (ranked >= 0))


def _popularity_of_history(lists: EvaluatedLists) -> Float64:
    seen, counts = lists.test_set.seen, lists.test_set.counts
    total = seen.astype(bool).astype(np.float64) @ counts.astype(np.float64)
    length = np.diff(seen.indptr)
    return ratio(total, length)


@metric(
    "popularity-bias",
    help="mean popularity of the listed items over that of the users' own histories; 1: as popular",
    family="beyond accuracy",
    better=0,
    weight=_popularity_of_history,
)
def popularity_bias(lists: EvaluatedLists) -> Float64:
    """Ratio of group average popularities: Abdollahpouri et al. (2019). Weighted, it is a ratio of means."""
    own = _popularity_of_history(lists)
    listed = _mean_of(lists.test_set.counts.astype(np.float64), lists.ranked)
    return ratio(listed, own)


@metric(
    "diversity",
    help="mean of 1 - cosine over the pairs of a list, of the items' vectors",
    family="beyond accuracy",
    better=0,
)
def diversity(lists: EvaluatedLists) -> Float64 | None:
    """Intra-list diversity, Ziegler et al. (2005). Items without a vector are left out of their list."""
    if lists.test_set.vectors is None:
        return None
    vectors, ranked = lists.test_set.vectors, lists.ranked
    has_vector = _squares(vectors) > 0
    there = (ranked >= 0) & has_vector[np.maximum(ranked, 0)]
    items, columns = np.unique(np.where(there, ranked, -1), return_inverse=True)
    columns = columns.reshape(ranked.shape)
    similar = (
        _sums_by_pairs(vectors, items, columns) if items.size <= _MAX_ITEMS else _sums(vectors, ranked, there)
    )
    length = there.sum(axis=1)
    pairs = length * (length - 1) / 2
    return 1 - ratio(similar, pairs)


def _squares(vectors: Float32 | CSR) -> Float64:
    squared = vectors.multiply(vectors) if not isinstance(vectors, np.ndarray) else vectors**2
    return np.asarray(squared.sum(axis=1), dtype=np.float64).ravel()


def _sums_by_pairs(vectors: Float32 | CSR, items: Int64, columns: Int64) -> Float64:
    """Sum of the cosines of each list's pairs, by a matrix of all listed items; `items[0]` may be -1."""
    picked = vectors[np.maximum(items, 0)]
    product = picked @ picked.T
    cosines = np.asarray(product.toarray() if not isinstance(product, np.ndarray) else product)
    none = items < 0
    cosines[none, :] = 0
    cosines[:, none] = 0
    np.fill_diagonal(cosines, 0)
    sums = np.empty(len(columns))
    for start in range(0, len(columns), _USERS_PER_BLOCK):
        block = columns[start : start + _USERS_PER_BLOCK]
        sums[start : start + _USERS_PER_BLOCK] = cosines[block[:, :, None], block[:, None, :]].sum(
            axis=(1, 2), dtype=np.float64
        )
    return sums / 2


def _sums(vectors: Float32 | CSR, ranked: Int32, there: Bool) -> Float64:
    """The same where too many items are listed: |sum of the list's vectors|^2 has each pair twice."""
    from scipy.sparse import csr_matrix

    n, n_items = ranked.shape[0], vectors.shape[0]
    sums = np.empty(n)
    for start in range(0, n, _USERS_PER_BLOCK):
        mask = there[start : start + _USERS_PER_BLOCK]
        indptr = np.concatenate([[0], np.cumsum(mask.sum(axis=1))])
        chosen = ranked[start : start + _USERS_PER_BLOCK][mask]
        member = csr_matrix(
            (np.ones(chosen.size, dtype=np.float32), chosen, indptr), shape=(len(mask), n_items)
        )
        sums[start : start + _USERS_PER_BLOCK] = _squares(member @ vectors) - mask.sum(axis=1)
    return sums / 2
