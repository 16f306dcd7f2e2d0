"""RP3beta: probabilities of the items at which a random walk of three steps from a user ends, less by popularity.

Paudel et al. 2017, "Updatable, Accurate, Diverse, and Scalable Recommendations for Interactive Applications".
With both powers 0.5 this is the damped cosine of `recli.models.item_knn` without its shrinkage.
"""

from dataclasses import dataclass

import numpy as np

from recli.config import Config, Tune, option
from recli.models.base import Training, algorithm, unpack_csr
from recli.models.item_knn import ItemKnn
from recli.models.kernels.neighbors import mean_history, nearest, neighbors_option, scaled
from recli.schema import CSR, Float64, State


@dataclass(frozen=True)
class Rp3betaConfig(Config):
    alpha: float | None = option(
        None,
        "Exponent of the transition probabilities.",
        min=0,
        max=10,
        default_text="0.2 to 0.5, by mean events per user",
        tune=Tune(0.1, 1.5),
    )
    beta: float | None = option(
        None, "Exponent of the popularity penalty.", min=0, max=10, default_text="as alpha", tune=Tune(0, 0.8)
    )
    neighbors: int = neighbors_option(
        500, "the most similar items that are kept for each.", Tune(50, 1000, log=True)
    )


def load(config: Rp3betaConfig, state: State) -> ItemKnn:
    return ItemKnn(unpack_csr("similar", state))


@algorithm("rp3beta", help="random walks with a popularity penalty", config=Rp3betaConfig, load=load)
def fit(config: Rp3betaConfig, training: Training) -> ItemKnn:
    matrix, power = training.matrix, default_power(training.matrix)
    alpha = power if config.alpha is None else config.alpha
    beta = power if config.beta is None else config.beta
    popular = np.asarray(matrix.sum(axis=0), dtype=np.float64).ravel()  # (n_items,)
    penalty = np.maximum(popular, 1e-12) ** -beta
    to_users = transitions(matrix.T.tocsr(), alpha)
    to_items = scaled(transitions(matrix, alpha), columns=penalty)
    # No item is its own neighbor: `nearest` leaves the diagonal out.
    walks = nearest(to_users, to_items, config.neighbors, training.threads)
    training.advance(1, "")
    return ItemKnn(walks)


def default_power(matrix: CSR) -> float:
    """Both powers where none is given: 0.15 + mean events per user / 100, but 0.2 at least and 0.5 at most.

    The best common powers on validation parts: 0.5 for MovieLens (610 users, 133 events each) and yelp2018 (36), 0.25
    and 0.2 for MovieTweetings and Amazon Beauty (6 and 7). One choice for all loses 10% somewhere.
    """
    return min(max(0.2, 0.15 + mean_history(matrix) / 100.0), 0.5)


def transitions(matrix: CSR, alpha: float) -> CSR:
    """Probabilities of a step from each row, in proportion to its values, to the power `alpha`; float32."""
    sums: Float64 = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
    steps = scaled(matrix, rows=1.0 / np.maximum(sums, 1e-12))
    steps.data **= np.float32(alpha)
    return steps
