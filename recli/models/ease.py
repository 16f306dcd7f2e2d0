"""EASE^R: a linear item-item model in closed form (Steck 2019, "Embarrassingly Shallow Autoencoders").

Dense up to `max_items` items, then (or with `neighbors`) from few predictors for each item: `ease_sparse`.
What it costs: NDCG@20, CPU seconds of the whole command on one core, peak memory, size on disk.

                           dense                             200 neighbors
    MovieLens 610 x 9.7k   .2310   11 s    .5 GiB  .4 GiB    .2284   5 s  .3 GiB  .01 GiB  validation
    Amazon    22k x 12k    .0694   19 s    .8 GiB  .5 GiB    .0696   4 s  .3 GiB  .01 GiB  validation
    yelp2018  32k x 38k    .0552  525 s   5.7 GiB 5.4 GiB    .0554  17 s  .5 GiB  .06 GiB  test, dense with l2 300

One l2 does for all: on each of four logs (these and MovieTweetings) 200 was within 3% of the best that was tried,
25 to 1600 (of 50 to 300 on yelp2018, sparse). The best do not follow the mean number of events of an item.
"""

from dataclasses import dataclass

import numpy as np

from recli.compute.memory import available_memory
from recli.compute.threads import blas_threads
from recli.config import Config, Tune, option
from recli.data.history import History
from recli.errors import RecliError
from recli.models.base import Model, Training, algorithm, unpack_csr
from recli.models.item_knn import ItemKnn
from recli.models.kernels.ease_sparse import fit_sparse
from recli.schema import CSR, Float32, Int64, State

SPARSE = 200  # neighbors where there are too many items for all pairs
_ROWS_PER_BLOCK = 1024  # rows of the Gram matrix made at a time
_LARGE_ITEMS = 15_000  # items: the dense form takes more than half a minute, and says so before it starts
_FLOPS = 1e11  # n^3 / _FLOPS seconds: 100 GFLOPS, what one core with AVX2 or AVX-512 does in float32


@dataclass(frozen=True)
class EaseConfig(Config):
    l2: float = option(200.0, "L2 regularization strength.", min=1e-3, max=1e9, tune=Tune(10, 3000, log=True))
    neighbors: int = option(
        0,
        f"Items that each item is predicted from; 0: all, or {SPARSE} in catalogues larger than --max-items.",
        min=0,
        max=10_000,
        formerly=("neighbours",),
    )
    max_items: int = option(
        20_000,
        "Larger catalogues get --neighbors. All pairs of items need 4 bytes each, in memory and on disk: 1.5 GiB "
        "for 20,000, 6 GiB for 40,000.",
        min=1,
        max=1_000_000,
    )


@dataclass(frozen=True)
class Ease(Model):
    """score = history @ weights; an item does not predict itself (zero diagonal)."""

    weights: Float32  # (n_items, n_items), C-contiguous: Fortran order was 40 times slower to score

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        scores = history.values.astype(np.float32, copy=False) @ self.weights  # float32 (batch, n_items)
        return np.asarray(scores, dtype=np.float32)

    def state(self) -> State:
        return {"weights": self.weights}


def load(config: EaseConfig, state: State) -> Ease | ItemKnn:
    return Ease(state["weights"]) if "weights" in state else ItemKnn(unpack_csr("similar", state))


def gram(matrix: CSR) -> Float32:
    """X'X as a dense float32 (n_items, n_items), made block by block."""
    transposed, n = matrix.T.tocsr(), matrix.shape[1]
    products = np.empty((n, n), dtype=np.float32)
    for start in range(0, n, _ROWS_PER_BLOCK):
        products[start : start + _ROWS_PER_BLOCK] = (
            transposed[start : start + _ROWS_PER_BLOCK] @ matrix
        ).toarray()
    return products


def inverse_in_place(matrix: Float32) -> Float32:
    """The inverse of a symmetric positive definite matrix, written over it. Raises `RecliError` if it is not."""
    from scipy.linalg.lapack import spotrf, spotri

    # LAPACK reads C order as the transpose, which is the same matrix: no copy.
    factor, failed = spotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
    if failed:
        raise RecliError("the item-item matrix cannot be inverted", "raise --l2")
    inverse, failed = spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise RecliError("the item-item matrix cannot be inverted", "raise --l2")
    upper: Float32 = inverse.T  # C order again; only its upper triangle is filled
    for start in range(0, upper.shape[0], _ROWS_PER_BLOCK):  # mirror it, block of rows by block of rows
        end = min(start + _ROWS_PER_BLOCK, upper.shape[0])
        square = upper[start:end, start:end]
        square[:] = np.triu(square) + np.triu(square, 1).T
        upper[end:, start:end] = upper[start:end, end:].T
    return upper


def check_memory(n_items: int, instead: str) -> None:
    """Refuse a matrix of all pairs of items that the memory cannot hold; `instead`: what else to do."""
    beside = (
        min(_ROWS_PER_BLOCK, n_items) * n_items * 12
    )  # a block of the Gram matrix: sparse, at worst full, and dense
    needed, available = n_items * n_items * 4 + beside, available_memory()
    if available is not None and needed > available:
        raise RecliError(
            f"{n_items:,} items need {needed / 2**30:,.1f} GiB of memory; {available / 2**30:,.1f} GiB are free",
            instead,
        )


def cost(n_items: int, threads: int) -> str:
    """What all pairs of so many items cost, in words: memory, and time on a usual core."""
    seconds = n_items**3 / _FLOPS / threads
    time = f"{seconds / 60:,.0f} minutes" if seconds >= 90 else f"{seconds:,.0f} seconds"
    return f"{n_items:,} items: a matrix of {n_items * n_items * 4 / 2**30:,.1f} GiB, in roughly {time}"


@algorithm(
    "ease",
    help="EASE: linear item-item weights in closed form",
    config=EaseConfig,
    load=load,
    uses_negatives=True,
)
def fit(config: EaseConfig, training: Training) -> Ease | ItemKnn:
    n = training.matrix.shape[1]
    if config.neighbors or n > config.max_items:
        if not config.neighbors:
            training.say(
                f"{n:,} items are more than --max-items {config.max_items:,}: each is predicted from the "
                f"{SPARSE} nearest (--neighbors), not from all"
            )
        model = fit_sparse(config.l2, config.neighbors or SPARSE, training)
        training.advance(1, "")
        return model
    check_memory(n, f"use --neighbors {SPARSE}: a sparse model, without a matrix of all pairs of items")
    threads = training.threads or 1
    if n > _LARGE_ITEMS:
        training.say(cost(n, threads))
    with blas_threads(threads):
        weights = gram(training.signed)
        weights[np.arange(n), np.arange(n)] += np.float32(config.l2)
        weights = inverse_in_place(weights)
    to_weights(weights)
    training.advance(1, "")
    return Ease(weights)


def to_weights(inverse: Float32) -> None:
    """B = I - P / diag(P), column by column, with a zero diagonal: written over P (n_items, n_items)."""
    inverse /= -np.diag(inverse).copy()
    np.fill_diagonal(inverse, 0.0)
