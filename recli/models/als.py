"""Alternating least squares on weighted interactions (Hu, Koren, Volinsky 2008), by implicit on CPU or GPU.

implicit's confidence is c = alpha * value for what a user did and 1 for all else (not 1 + alpha * value), so
alpha = 1 on binary data means no weighting at all.

256 factors instead of 128 are 3 to 6% better on Amazon Beauty, MovieLens (610 users) and yelp2018, where they give
Recall@20 / NDCG@20 of .0676/.0554 on the test part, and 2.5% worse on MovieTweetings; they cost more.
The best regularization and alpha differ much from log to log (`recli.models.ials` has relative ones, and is ahead on
all four with its defaults).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from recli.compute.devices import gpu_als
from recli.compute.threads import load_openmp
from recli.config import Config, Tune, option
from recli.models.base import Training, algorithm
from recli.models.kernels.factors import Factors, confidence_fold_in, fit_watched
from recli.models.kernels.ials_cpu import EXACT, CpuEngine, cpu_engine, side
from recli.schema import CSR, Float32, State


@dataclass(frozen=True)
class AlsConfig(Config):
    factors: int = option(
        128, "Number of latent factors.", min=1, max=2048, tune=Tune(choices=(32, 64, 128, 256))
    )
    iterations: int = option(15, "Number of epochs.", min=1, max=10_000)
    regularization: float = option(
        50.0, "L2 regularization strength.", min=1e-6, max=1e6, tune=Tune(0.5, 500, log=True)
    )
    alpha: float = option(
        20.0,
        "Confidence per unit of an interaction's weight; unobserved pairs have confidence 1.",
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
    help="alternating least squares (matrix factorization)",
    config=AlsConfig,
    load=load,
    gpu="implicit",
    uses_negatives=True,
)
def fit(config: AlsConfig, training: Training) -> Factors:
    with cpu_engine(training.threads) as engine:
        on_gpu = training.device.startswith("cuda")
        return _fit(*(_gpu if on_gpu else _cpu)(config, training), config, training, engine)


def _cpu(config: AlsConfig, training: Training) -> tuple[Any, CSR]:
    load_openmp()
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(
        factors=config.factors,
        regularization=config.regularization,
        alpha=config.alpha,
        iterations=config.iterations,
        num_threads=training.threads,
        random_state=training.seed,
    )
    return model, training.signed  # implicit takes a negative number as confidence that a pair is nothing


def _gpu(config: AlsConfig, training: Training) -> tuple[Any, CSR]:
    model = gpu_als(
        training.device,
        factors=config.factors,
        regularization=config.regularization,
        iterations=config.iterations,
        random_state=training.seed + 1,  # 0 would mean the clock
    )
    weighted = training.signed.copy()
    weighted.data *= np.float32(config.alpha)  # its fit ignores alpha
    return model, weighted


def _fit(model: Any, matrix: CSR, config: AlsConfig, training: Training, engine: CpuEngine) -> Factors:
    confidences = training.signed * np.float32(config.alpha)
    penalties = np.full(confidences.shape[0], config.regularization)
    users = side(
        confidences, penalties, weights=np.abs(confidences.data) - np.float32(1)
    )  # beside 1 in every cell

    def snapshot() -> Factors:
        # A solver stops after three steps, and its users lag half an iteration behind the items: solve them
        # exactly, so that a known user and the same history of a new one get the same scores.
        solved, items, _ = engine.half_step(
            users, on_cpu(model.user_factors), on_cpu(model.item_factors), 1.0, EXACT
        )
        return Factors(solved, items, confidence_fold_in(items, config.alpha, config.regularization))

    return fit_watched(
        training,
        lambda callback: model.fit(matrix, show_progress=False, callback=callback),
        snapshot,
        "use a larger --regularization",
    )


def on_cpu(factors: Any) -> Float32:
    """implicit's factors, float32 (n, d): an array, or what has one on a GPU."""
    array: Float32 = factors if isinstance(factors, np.ndarray) else factors.to_numpy()
    return array
