"""Alternating least squares on weighted interactions (Hu, Koren, Volinsky 2008), by implicit on CPU or GPU.

implicit's confidence is c = alpha * value for what a user did and 1 for all else (not 1 + alpha * value), so
alpha = 1 on binary data means no weighting at all.

256 factors instead of 128 are 3 to 6% better on Amazon Beauty, MovieLens (610 users) and yelp2018, where they give
Recall@20 / NDCG@20 of .0676/.0554 on the test part, and 2.5% worse on MovieTweetings; they cost more.
The best regularisation and alpha differ much from log to log (`recli.models.ials` has relative ones, and is ahead on
all four with its defaults).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recli.config import Tune, option
from recli.models.base import Training, algorithm
from recli.models.factors import Factors, confidence_fold_in, fit_watched
from recli.models.gpu import gpu_als
from recli.models.threads import load_openmp, one_blas_thread
from recli.schema import CSR, Float32, Int64, State


@dataclass(frozen=True)
class AlsConfig:
    factors: int = option(
        128, "Length of the factors.", min=1, max=2048, tune=Tune(choices=(32, 64, 128, 256))
    )
    iterations: int = option(15, "Passes over the data.", min=1, max=10_000)
    regularization: float = option(
        50.0, "Pull of the factors towards zero.", min=1e-6, max=1e6, tune=Tune(0.5, 500, log=True)
    )
    alpha: float = option(
        20.0,
        "Confidence per unit of an interaction's weight; what is not there has confidence 1.",
        min=1e-6,
        max=1e6,
        tune=Tune(1, 100, log=True),
    )


def load(config: AlsConfig, state: State) -> Factors:
    items = state["item_factors"]
    fold_in = confidence_fold_in(items, config.alpha, config.regularization)
    return Factors(state["user_factors"], items, fold_in)


@algorithm(
    "als",
    help="alternating least squares (matrix factorisation)",
    config=AlsConfig,
    load=load,
    gpu="implicit",
)
def fit(config: AlsConfig, training: Training) -> Factors:
    made = _gpu(config, training) if training.device.startswith("cuda") else _cpu(config, training)
    # A solver stops after three steps, and its users lag half an iteration behind the items: solve them
    # exactly, so that a known user and the same history of a new one get the same scores.
    return Factors(made.fold_in(training.matrix), made.item_factors, made.fold_in)


@dataclass(frozen=True)
class _Folding(Factors):
    """The model in training: each user is solved exactly when scored, as all are at the end."""

    def user_vectors(self, history: CSR, users: Int64 | None = None) -> Float32:
        return self.fold_in(history)


def _cpu(config: AlsConfig, training: Training) -> Factors:
    load_openmp()
    from implicit.cpu.als import AlternatingLeastSquares

    with one_blas_thread():
        model = AlternatingLeastSquares(
            factors=config.factors,
            regularization=config.regularization,
            alpha=config.alpha,
            iterations=config.iterations,
            num_threads=training.threads,
            random_state=training.seed,
        )
        return _fit(model, training.matrix, config, training, np.array)


def _gpu(config: AlsConfig, training: Training) -> Factors:
    model = gpu_als(
        training.device,
        factors=config.factors,
        regularization=config.regularization,
        iterations=config.iterations,
        random_state=training.seed + 1,  # 0 would mean the clock
    )
    weighted = training.matrix.copy()
    weighted.data *= np.float32(config.alpha)  # its fit ignores alpha
    return _fit(model, weighted, config, training, lambda factors: factors.to_numpy())


def _fit(model: Any, matrix: CSR, config: AlsConfig, training: Training, copied: Any) -> Factors:
    def snapshot() -> Factors:
        items: Float32 = copied(model.item_factors).astype(np.float32)
        fold_in = confidence_fold_in(items, config.alpha, config.regularization)
        return _Folding(np.empty((0, items.shape[1]), dtype=np.float32), items, fold_in)

    return fit_watched(
        training, lambda callback: model.fit(matrix, show_progress=False, callback=callback), snapshot
    )
