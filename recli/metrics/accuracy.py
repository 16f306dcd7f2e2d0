"""Accuracy of ranked lists: does what the user did next stand at the top?"""

import numpy as np

from recli.metrics.base import EvaluatedLists, metric, ratio
from recli.metrics.positions import Count, by_numpy
from recli.schema import CSR, Bool, Float32, Float64, Int32, Int64

_CELLS = 1 << 24  # of a table of users and items, 16 MiB


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
    found = np.empty(items.size, dtype=bool)
    size = max(1, min(n, _CELLS // max(n_items, 1)))
    table = np.zeros(size * n_items, dtype=bool)
    cells = np.arange(size, dtype=np.int64) * n_items
    for first in range(0, n if n_items else 0, size):
        rows = slice(first, min(first + size, n) + 1)
        ends, asked = matrix.indptr[rows], starts[rows]
        mine = cells[: ends.size - 1]
        true = np.repeat(mine, np.diff(ends)) + matrix.indices[ends[0] : ends[-1]]
        these = slice(asked[0], asked[-1])
        table[true] = True
        wanted = np.repeat(mine, np.diff(asked)) + items[these]
        np.take(table, wanted, out=found[these], mode="wrap")  # -1 is another's cell: see below
        table[true] = False
    return np.asarray(np.logical_and(found, items >= 0, out=found))


def ndcg_at(ranked: Int32, relevant: CSR) -> Float64:
    """NDCG of each list with binary gains, float64 (n,); 0 for a row without relevant items.

    Arguments as in `hits_of`; the cut is the lists' length k. The ideal list holds min(k, relevant items).
    Järvelin and Kekäläinen (2002).
    """
    rows, places = np.nonzero(hits_of(ranked, relevant))
    return _ndcg(rows, places, np.diff(relevant.indptr), ranked.shape[1])


def _ndcg(rows: Int64, places: Int64, n_relevant: Int64, k: int) -> Float64:
    gains = 1 / np.log2(np.arange(2, k + 2))  # float64 (k,)
    ideal = np.concatenate([[0.0], np.cumsum(gains)])[np.minimum(n_relevant, k)]
    return ratio(np.bincount(rows, gains[places], minlength=n_relevant.size), ideal, 0.0)


@metric("ndcg", help="discounted gain over that of the best list possible with min(k, test items) items")
def ndcg(judged: EvaluatedLists) -> Float64:
    return _ndcg(*judged.found, judged.relevant, judged.k)


@metric("precision", help="share of the k places that hold a test item; a short list's empty places count")
def precision(judged: EvaluatedLists) -> Float64:
    return judged.n_found / judged.k


@metric("recall", help="share of the user's test items that the k places hold")
def recall(judged: EvaluatedLists) -> Float64:
    return ratio(judged.n_found, judged.relevant, 0.0)


@metric("hit-rate", help="1 if the k places hold any test item")
def hit_rate(judged: EvaluatedLists) -> Float64:
    return (judged.n_found > 0).astype(np.float64)


@metric("mrr", help="1 / place of the first test item, 0 if it is not among the k")
def mrr(judged: EvaluatedLists) -> Float64:
    rows, places = judged.found
    first = judged.nth_found == 0
    values = np.zeros(judged.relevant.size)
    values[rows[first]] = 1 / (places[first] + 1)
    return values


@metric("map", help="mean of the precisions at the test items' places, over min(k, test items)")
def mean_average_precision(judged: EvaluatedLists) -> Float64:
    rows, places = judged.found
    precisions = (judged.nth_found + 1) / (places + 1)  # at the places of the test items
    total = np.bincount(rows, precisions, minlength=judged.relevant.size)
    return ratio(total, np.minimum(judged.relevant, judged.k), 0.0)


@metric(
    "auc",
    help="probability that a test item scores above an item neither seen nor tested; ties half; needs all scores",
    at=False,
)
def auc(judged: EvaluatedLists) -> Float64 | None:
    return judged.auc


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
    found = np.bincount(rows, minlength=n)
    above = np.bincount(rows, ranks, minlength=n) - found * (found + 1) / 2
    return ratio(above, sizes * np.maximum(n_items - masked - found, 0))
