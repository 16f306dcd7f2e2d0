"""Collective EASE: one linear item-item model that learns from interactions and texts in closed form.

After Jeunen, Van Balen, Goethals, "Closed-Form Models for Collaborative Filtering with Side-Information"
(2020): the items' similarities by text are added to their co-occurrences, G = X'X + w K + lambda I.
"""

from dataclasses import dataclass

import numpy as np

from recli.compute.threads import one_blas_thread
from recli.config import Config, Tune, option
from recli.errors import RecliError
from recli.models.base import Training, algorithm
from recli.models.content_knn import content_features
from recli.models.ease import Ease, check_memory, cost, gram, inverse_in_place, to_weights
from recli.schema import Float32, State

_ROWS_PER_BLOCK = 1024


@dataclass(frozen=True)
class CeaseConfig(Config):
    l2: float = option(
        200.0, "L2 regularization strength (cease).", min=1e-3, max=1e9, tune=Tune(20, 2000, log=True)
    )
    text_weight: float = option(
        20.0,
        "Weight of the texts beside the interactions (cease).",
        min=0,
        max=1e6,
        tune=Tune(1, 200, log=True),
    )
    max_items: int = option(
        40_000,
        "Refuse larger catalogues: each pair of items needs 4 bytes, in memory and on disk, 6 GiB for 40,000.",
        min=1,
        max=1_000_000,
    )


def load(config: CeaseConfig, state: State) -> Ease:
    return Ease(state["weights"])


@algorithm(
    "cease",
    help="collective EASE: item-item weights learned from interactions and texts",
    config=CeaseConfig,
    load=load,
    family="content",
)
def fit(config: CeaseConfig, training: Training) -> Ease:
    features, n = content_features(training), training.matrix.shape[1]
    if n > config.max_items:
        raise RecliError(
            f"{cost(n, 1)}; --max-items is {config.max_items:,}",
            f"raise it with --max-items {n}, or use content-knn, which needs no such matrix",
        )
    check_memory(n, "use content-knn, which needs no such matrix")
    with one_blas_thread():
        weights = gram(training.matrix)
        add_text(weights, features, config.text_weight)
        weights[np.arange(n), np.arange(n)] += np.float32(config.l2)
        weights = inverse_in_place(weights)
    to_weights(weights)
    training.advance(1, "")
    return Ease(weights)


def add_text(matrix: Float32, features: Float32, weight: float) -> None:
    """Add weight * cosines of the features (n_items, d) to a matrix (n_items, n_items), in place."""
    scaled = np.ascontiguousarray(features.T) * np.float32(weight)
    for start in range(0, matrix.shape[0], _ROWS_PER_BLOCK):
        matrix[start : start + _ROWS_PER_BLOCK] += features[start : start + _ROWS_PER_BLOCK] @ scaled
