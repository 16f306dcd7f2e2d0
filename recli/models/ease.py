"""EASE^R: a linear item-item model in closed form (Steck 2019, "Embarrassingly shallow autoencoders")."""

from dataclasses import dataclass

import numpy as np

from recli.config import Tune, option
from recli.errors import RecliError
from recli.models.base import Training, algorithm
from recli.models.threads import blas_threads
from recli.schema import CSR, Float32, Int64, State

_BLOCK = 1024  # rows of the Gram matrix made at a time


@dataclass(frozen=True)
class EaseConfig:
    l2: float = option(
        200.0, "Regularisation: pull towards zero.", min=1e-3, max=1e9, tune=Tune(10, 3000, log=True)
    )
    max_items: int = option(
        30_000, "Refuse larger catalogues: memory grows with the square of items.", min=1, max=1_000_000
    )


@dataclass(frozen=True)
class Ease:
    """score = history @ weights; an item does not vouch for itself (zero diagonal)."""

    weights: Float32  # (n_items, n_items), C-contiguous: Fortran order was 40 times slower to score

    def score(self, history: CSR, users: Int64 | None = None) -> Float32:
        scores = history.astype(np.float32, copy=False) @ self.weights  # float32 (batch, n_items)
        return np.asarray(scores, dtype=np.float32)

    def state(self) -> State:
        return {"weights": self.weights}


def load(config: EaseConfig, state: State) -> Ease:
    return Ease(state["weights"])


def gram(matrix: CSR) -> Float32:
    """X'X as a dense float32 (n_items, n_items), made block by block."""
    transposed, n = matrix.T.tocsr(), matrix.shape[1]
    made = np.empty((n, n), dtype=np.float32)
    for start in range(0, n, _BLOCK):
        made[start : start + _BLOCK] = (transposed[start : start + _BLOCK] @ matrix).toarray()
    return made


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
    for start in range(0, upper.shape[0], _BLOCK):  # mirror it, block of rows by block of rows
        end = min(start + _BLOCK, upper.shape[0])
        square = upper[start:end, start:end]
        square[:] = np.triu(square) + np.triu(square, 1).T
        upper[end:, start:end] = upper[start:end, end:].T
    return upper


def check_size(n_items: int, max_items: int) -> None:
    """Refuse more than `max_items` items, saying what memory they would need."""
    if n_items > max_items:
        needed = n_items * n_items * 4 / 2**30
        raise RecliError(
            f"{n_items:,} items need a matrix of {needed:,.1f} GiB; --max-items is {max_items:,}",
            f"raise it with --max-items {n_items}, or use --algorithm item-knn",
        )


@algorithm("ease", help="EASE: linear item-item weights in closed form", config=EaseConfig, load=load)
def fit(config: EaseConfig, training: Training) -> Ease:
    n = training.matrix.shape[1]
    check_size(n, config.max_items)
    with blas_threads(training.threads or 1):
        weights = gram(training.matrix)
        weights[np.arange(n), np.arange(n)] += np.float32(config.l2)
        weights = inverse_in_place(weights)
    weights /= -np.diag(weights).copy()  # B = I - P / diag(P), column by column
    np.fill_diagonal(weights, 0.0)
    training.advance(1, "")
    return Ease(weights)
