"""Nearest neighbors of sparse rows: weighting, and the k most similar of each."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from recli.compute.threads import cores
from recli.config import Tune, option
from recli.schema import CSR, Float32, Float64, Int64

_ROWS_PER_BLOCK = 1024  # rows whose products with all others are held at a time


def neighbors_option(default: int, what: str, tune: Tune) -> Any:
    """The option `--neighbors`. `what`: which ones they are; `tune`: what `--tune` searches."""
    return option(
        default, f"Number of neighbors: {what}", min=1, max=100_000, tune=tune, formerly=("neighbours",)
    )


def dense(products: CSR) -> Float32:
    """A sparse product as an array, float32."""
    return np.asarray(products.toarray(), dtype=np.float32)


def row_lengths(matrix: CSR) -> Float64:
    """Euclidean length of each row, float64 (n,); 1 for empty rows, so that one may divide by it."""
    squares = matrix.multiply(matrix).sum(axis=1)
    lengths = np.sqrt(np.asarray(squares, dtype=np.float64)).ravel()
    lengths[lengths == 0] = 1.0
    return lengths


def scaled(matrix: CSR, rows: Float64 | None = None, columns: Float64 | None = None) -> CSR:
    """A copy of `matrix`, float32, with its rows and columns multiplied by factors."""
    copy = matrix.astype(np.float32, copy=True)
    if rows is not None:
        copy.data *= np.repeat(rows, np.diff(copy.indptr)).astype(np.float32)
    if columns is not None:
        copy.data *= columns[copy.indices].astype(np.float32)
    return copy


def mean_history(matrix: CSR) -> float:
    """Mean number of events (distinct items) of the users who have any; 1 if none has.

    The best options of neighborhood models depend on it more than on any other figure of a log: short histories need
    strong smoothing, long ones little. Thinning yelp2018 from 36 events per user to 14 and to 6 moved the
    best powers of rp3beta from .5 to .2, user-knn's from 2 to 1.5 and .75, item-knn's shrinkage from 10 to 100 and 250.
    """
    users = int((np.diff(matrix.indptr) > 0).sum())
    return float(matrix.nnz) / users if users else 1.0


def idf(matrix: CSR) -> Float64:
    """log(rows / rows with the column), float64 (n_columns,); 0 for empty columns."""
    counts = matrix.getnnz(axis=0)
    return np.where(counts > 0, np.log(matrix.shape[0] / np.maximum(counts, 1)), 0.0)


def keep_largest(matrix: CSR, k: int) -> CSR:
    """`matrix` with only the k largest positive values of each row; of equal ones, the first columns stay."""
    from scipy.sparse import csr_matrix

    data, indices, starts = matrix.data, matrix.indices, matrix.indptr
    kept = data > 0  # bool (nnz,)
    for row in np.flatnonzero(np.diff(starts) > k):
        entries = slice(int(starts[row]), int(starts[row + 1]))
        if np.count_nonzero(kept[entries]) <= k:
            continue
        values = data[entries]
        edge = np.partition(values, values.size - k)[values.size - k]
        kept[entries] = values > edge
        at = np.flatnonzero(values == edge)
        room = k - np.count_nonzero(kept[entries])
        if at.size > room:  # ties at the edge: by column, whatever order the product left
            at = at[np.argsort(indices[entries][at], kind="stable")][:room]
        kept[entries.start + at] = True
    chosen = np.flatnonzero(kept)
    largest = csr_matrix((data[chosen], indices[chosen], np.searchsorted(chosen, starts)), shape=matrix.shape)
    largest.sort_indices()
    return largest


def nearest(
    left: CSR, right: CSR, k: int, threads: int, reweight: Callable[[Int64, CSR], None] | None = None
) -> CSR:
    """The k largest positive values of each row of left @ right, a square matrix, but for its diagonal's.

    Blocks of rows are computed in so many threads (0: as many as there are cores): scipy releases the GIL in products,
    hardly in the selection of the largest. `reweight(rows, products)` changes the products of a
    block, `rows` being the row number of each, int64 (nnz,). The same bytes for any number of threads.
    """
    from scipy.sparse import vstack

    def block(start: int) -> CSR:
        products = (left[start : start + _ROWS_PER_BLOCK] @ right).tocsr()
        rows = np.repeat(np.arange(start, start + products.shape[0]), np.diff(products.indptr))
        if reweight is not None:
            reweight(rows, products)
        products.data[rows == products.indices] = 0.0
        return keep_largest(products, k)

    with ThreadPoolExecutor(threads or cores()) as pool:
        return vstack(list(pool.map(block, range(0, left.shape[0], _ROWS_PER_BLOCK))), format="csr")
