"""Logistic matrix factorization (Johnson 2014): the probability of an interaction, by implicit."""

from dataclasses import dataclass

from recli.compute.threads import load_openmp, one_blas_thread
from recli.config import Config, Tune, option
from recli.models.base import Training, algorithm
from recli.models.kernels.factors import Factors, fit_watched, load_mapped, mapped
from recli.schema import State


@dataclass(frozen=True)
class LmfConfig(Config):
    factors: int = option(
        32, "Number of latent factors.", min=1, max=2048, tune=Tune(choices=(16, 32, 64, 128))
    )
    iterations: int = option(30, "Number of epochs.", min=1, max=10_000)
    regularization: float = option(
        2.0, "L2 regularization strength.", min=0, max=1e6, tune=Tune(0.05, 10, log=True)
    )
    learning_rate: float = option(0.7, "Learning rate.", min=1e-6, max=100, tune=Tune(0.1, 3, log=True))
    negatives: int = option(30, "Negative samples for each interaction.", min=1, max=10_000, tune=Tune(5, 60))


def load(config: LmfConfig, state: State) -> Factors:
    return load_mapped(state, binary=False)


@algorithm("lmf", help="logistic matrix factorization", config=LmfConfig, load=load)
def fit(config: LmfConfig, training: Training) -> Factors:
    load_openmp()
    from implicit.cpu.lmf import LogisticMatrixFactorization

    with one_blas_thread():
        model = LogisticMatrixFactorization(
            factors=config.factors,
            learning_rate=config.learning_rate,
            regularization=config.regularization,
            iterations=config.iterations,
            neg_prop=config.negatives,
            num_threads=training.threads or 1,
            random_state=training.seed,
        )
        return fit_watched(
            training,
            lambda callback: model.fit(training.matrix, show_progress=False, callback=callback),
            lambda: mapped(training.matrix, model.user_factors, model.item_factors, binary=False),
            "use a lower --learning-rate",
        )
