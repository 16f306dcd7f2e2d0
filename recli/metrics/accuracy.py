"""Accuracy metrics of ranked lists: how high the test items rank."""

import numpy as np

from recli.metrics.base import EvaluatedLists, metric, ratio
from recli.metrics.positions import Count, by_numpy
from recli.schema import CSR, Bool, Float32, Float64, Int32, Int64

_TABLE = 1 << 24  # cells of a table of users and items, 16 MiB


def hits_of(ranked: Int32, relevant: CSR) -> Bool:
    """Where a list holds a relevant item, bool (n, k).

    `ranked`: int32 (n, k), item rows, best first, -1 where there is no item. `relevant`: csr (n, n_items), a
    stored entry is a relevant item.
    """
    n, k = ranked.shape
    return held(relevant, np.arange(n + 1) * k, ranked.ravel()).reshape(n, k)


def held(matrix: CSR, starts: Int64, items: Int32) -> Bool:
    """Whether the row i of `matrix`, csr (n, n_items), has an entry for each of items[starts[i] : starts[i + 1]].

    `starts`: (n + 1,); `items`: flat, -1: no item. Returns bool beside `items`. By a table of all items for some
    rows at a time: a quarter of a search's time.
    """
    n, n_items = matrix.shape
    is_held = np.empty(items.size, dtype=bool)
    size = max(1, min(n, _TABLE // max(n_items, 1)))
    table = np.zeros(size * n_items, dtype=bool)
    cells = np.arange(size, dtype=np.int64) * n_items
    for first in range(0, n if n_items else 0, size):
        rows = slice(first, min(first + size, n) + 1)
        ends, item_ends = matrix.indptr[rows], starts[rows]
        first_cells = cells[: ends.size - 1]
        true = np.repeat(first_cells, np.diff(ends)) + matrix.indices[ends[0] : ends[-1]]
        these = slice(item_ends[0], item_ends[-1])
        table[true] = True
        looked_up = np.repeat(first_cells, np.diff(item_ends)) + items[these]
        # -1 reads a wrong cell, and is masked below
        np.take(table, looked_up, out=is_held[these], mode="wrap")
        table[true] = False
    return np.asarray(np.logical_and(is_held, items >= 0, out=is_held))


def ndcg_at(ranked: Int32, relevant: CSR) -> Float64:
    """NDCG of each list with binary gains, float64 (n,); 0 for a row without relevant items.

    Arguments as in `hits_of`; the cut is the lists' length k. The ideal list holds min(k, relevant items).
    Järvelin and Kekäläinen (2002).
    """
    rows, ranks = np.nonzero(hits_of(ranked, relevant))
    return ndcg_of_ranks(rows, ranks, np.diff(relevant.indptr), ranked.shape[1])


def ndcg_of_ranks(rows: Int64, ranks: Int64, n_relevant: Int64, k: int) -> Float64:
    """NDCG@k of each list, float64 (n,), from the rows and the ranks below k of relevant items, (hits,)."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate(
        [[0.0], np.cumsum(discounts)]
    )  # gain of the best list with 0, 1, ... k relevant items
    gains = np.bincount(rows, discounts[ranks], minlength=n_relevant.size)
    return ratio(gains, ideal[np.minimum(n_relevant, k)], 0.0)


@metric("ndcg", help="discounted gain over that of the best list possible with min(k, test items) items")
def ndcg(lists: EvaluatedLists) -> Float64:
    return ndcg_of_ranks(*lists.hit_positions, lists.relevant, lists.k)


@metric(
    "precision",
    help="share of the k ranks that hold a test item; empty ranks of a short list count as misses",
)
def precision(lists: EvaluatedLists) -> Float64:
    return lists.n_hits / lists.k


@metric("recall", help="share of the user's test items among the top k")
def recall(lists: EvaluatedLists) -> Float64:
    return ratio(lists.n_hits, lists.relevant, 0.0)


@metric("hit-rate", help="1 if any test item is among the top k")
def hit_rate(lists: EvaluatedLists) -> Float64:
    return (lists.n_hits > 0).astype(np.float64)


@metric("mrr", help="1 / rank of the first test item, 0 if none is among the top k")
def mrr(lists: EvaluatedLists) -> Float64:
    rows, ranks = lists.hit_positions
    first = lists.nth_hit == 0
    values = np.zeros(lists.relevant.size)
    values[rows[first]] = 1 / (ranks[first] + 1)
    return values


@metric("map", help="mean of the precisions at the test items' ranks, over min(k, test items)")
def mean_average_precision(lists: EvaluatedLists) -> Float64:
    rows, ranks = lists.hit_positions
    precisions = (lists.nth_hit + 1) / (ranks + 1)  # at the ranks of the test items
    total = np.bincount(rows, precisions, minlength=lists.relevant.size)
    return ratio(total, np.minimum(lists.relevant, lists.k), 0.0)


@metric(
    "auc",
    help="probability that a test item scores above an item neither seen nor tested; ties half; needs all scores",
    at=False,
)
def auc(lists: EvaluatedLists) -> Float64 | None:
    return lists.auc


def auc_of(scores: Float32, relevant: CSR, count: Count = by_numpy) -> Float64:
    """Area under the ROC curve of each row, float64 (n,), NaN where it has no positive or no negative item.

    `scores`: float32 (n, n_items), -inf for items that are no candidates. `relevant`: csr (n, n_items), the
    positives; one with score -inf outranks nothing. By rank sums: Mann and Whitney (1947). `count`: see `counter`.
    """
    n, n_items = scores.shape
    sizes = np.diff(relevant.indptr)
    rows = np.repeat(np.arange(n), sizes)
    values = scores[rows, relevant.indices]
    twice, masked = count(scores, relevant.indptr.astype(np.int64), values)
    reached = values > -np.inf
    rows = rows[reached]
    ranks = (twice[reached] + 1) / 2 - masked[rows]  # mean rank of equal scores among the candidates, from 1
    n_reached = np.bincount(rows, minlength=n)
    above = np.bincount(rows, ranks, minlength=n) - n_reached * (n_reached + 1) / 2
    return ratio(above, sizes * np.maximum(n_items - masked - n_reached, 0))
