"""Bayesian personalized ranking (Rendle et al. 2009): matrix factorization on pairs of items, by implicit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from recli.compute.threads import load_openmp, one_blas_thread
from recli.config import Config, Tune, option
from recli.models.base import Training, algorithm
from recli.models.kernels.dislikes import compiled_step, pairs
from recli.models.kernels.factors import Factors, fit_watched, load_mapped, mapped
from recli.schema import State


@dataclass(frozen=True)
class BprConfig(Config):
    # No setting fits all. Validation NDCG@20 of these defaults, the best of 14 pairs of learning rate and
    # regularization at 50 to 200 iterations, and popularity: MovieLens small .141, .167, .122; Amazon Beauty .039,
    # .040, .011; the sample .180, .249, .091. On average of their share of the best (.85) these lead. But on a
    # log drawn mostly by popularity (5,000 users): .028, .151 (.01, .05, 100 iterations), .142.
    factors: int = option(
        64, "Number of latent factors.", min=1, max=2048, tune=Tune(choices=(32, 64, 128, 256))
    )
    iterations: int = option(150, "Number of epochs.", min=1, max=10_000)
    regularization: float = option(
        0.03, "L2 regularization strength.", min=0, max=1e6, tune=Tune(1e-4, 0.1, log=True)
    )
    learning_rate: float = option(0.08, "Learning rate.", min=1e-6, max=100, tune=Tune(0.005, 0.2, log=True))


def load(config: BprConfig, state: State) -> Factors:
    return load_mapped(state, binary=True)


@algorithm(
    "bpr",
    help="Bayesian personalized ranking (matrix factorization)",
    config=BprConfig,
    load=load,
    uses_negatives=True,
    uses_values=False,
)
def fit(config: BprConfig, training: Training) -> Factors:
    load_openmp()
    from implicit.cpu.bpr import BayesianPersonalizedRanking

    with one_blas_thread():
        model = BayesianPersonalizedRanking(
            factors=config.factors,
            learning_rate=config.learning_rate,
            regularization=config.regularization,
            iterations=config.iterations,
            num_threads=training.threads or 1,
            random_state=training.seed,
        )
        repel = _repulsion(config, training, model)
        return fit_watched(
            training,
            lambda callback: model.fit(training.matrix, show_progress=False, callback=repel(callback)),
            lambda: mapped(training.matrix, model.user_factors, model.item_factors, binary=True),
            "use a lower --learning-rate",
        )


def _repulsion(
    config: BprConfig, training: Training, model: Any
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Adds to each epoch a step away from everything that was disliked; without dislikes, nothing."""
    negatives = training.negatives
    if negatives is None:
        return lambda callback: callback

    def wrapped(callback: Callable[..., None]) -> Callable[..., None]:
        def after_epoch(epoch: int, *others: Any) -> None:
            random = np.random.default_rng((training.seed, epoch))
            user, liked, disliked, weights = pairs(training.matrix, negatives, random)
            rates = np.minimum(weights, 1) * np.float32(config.learning_rate)
            compiled_step()(
                user, liked, disliked, rates, config.regularization, model.user_factors, model.item_factors
            )
            callback(epoch, *others)

        return after_epoch

    return wrapped
