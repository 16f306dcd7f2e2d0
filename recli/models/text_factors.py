"""Text factors: item vectors in the space of a factor model, predicted from the items' texts.

A ridge regression learns from the items with events how their content features map to their collaborative
factors; every item with a text, new ones too, then has a vector to be matched with a user's.
After Gantner et al., "Learning Attribute-to-Feature Mappings for Cold-Start Recommendations" (2010).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recli.compute.threads import one_blas_thread
from recli.config import Config, Tune, from_dict, option
from recli.data.history import History
from recli.errors import RecliError
from recli.models.base import Model, Training, algorithm, algorithms, nest, nested
from recli.models.content_knn import content_features
from recli.schema import Bool, Float32, Int64, State


@dataclass(frozen=True)
class TextFactorsConfig(Config):
    ridge: float = option(
        0.3,
        "L2 regularization strength of the map from texts to factors (text-factors).",
        min=1e-6,
        max=1e6,
        tune=Tune(0.1, 100, log=True),
    )
    base: str = "ials"  # the algorithm whose factors are predicted
    base_options: dict[str, Any] = field(default_factory=dict)  # of the base, to load it again


@dataclass(frozen=True)
class TextFactors(Model):
    """score = user_embeddings . item_factors, the user embeddings being those of the base model."""

    item_factors: Float32  # (n_items, f), predicted from the texts
    base: Model

    def item_embeddings(self) -> Float32:
        return self.item_factors

    def user_embeddings(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        return self.base.user_embeddings(history, users)

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        scores: Float32 = self.user_embeddings(history, users)[0] @ self.item_factors.T
        return scores

    def state(self) -> State:
        return {"item_factors": self.item_factors, **nest("base", self.base.state())}


def load(config: TextFactorsConfig, state: State) -> TextFactors:
    base = algorithms[config.base]
    model = base.load(from_dict(base.config, config.base_options), nested("base", state))
    return TextFactors(state["item_factors"], model)


@algorithm(
    "text-factors",
    help="item factors predicted from the texts (ridge)",
    config=TextFactorsConfig,
    load=load,
    family="content",
    uses_values=False,
)
def fit(config: TextFactorsConfig, training: Training) -> TextFactors:
    features = content_features(training)
    base = training.models.get(config.base)
    base_factors = None if base is None else base.item_embeddings()
    if base is None or base_factors is None:
        raise RecliError(
            f"text-factors needs the factors of a trained model, and {config.base!r} is none",
            "use ials or als as a source beside it",
        )
    warm = training.matrix.getnnz(axis=0) > 0
    if training.cold is not None:
        warm &= ~training.cold
    factors = predict_factors(features, base_factors, warm & features.any(axis=1), config.ridge)
    training.advance(1, "")
    return TextFactors(factors, base)


def predict_factors(features: Float32, factors: Float32, known: Bool, ridge: float) -> Float32:
    """Factors predicted for all items by a ridge regression fitted on the `known` ones, float32 (n_items, f).

    `features`: (n_items, d); `factors`: (n_items, f). An item without text gets the mean factors.
    """
    weights, mean_x, mean_y = fit_ridge(features[known], factors[known], ridge)
    centered = np.where(features.any(axis=1, keepdims=True), features - mean_x, 0)
    with one_blas_thread():
        return np.ascontiguousarray(centered @ weights + mean_y, dtype=np.float32)


def fit_ridge(x: Float32, y: Float32, ridge: float) -> tuple[Float32, Float32, Float32]:
    """Ridge regression y ~ (x - mean_x) W + mean_y with a free intercept: W (d, f), mean_x (d,), mean_y (f,).

    Sums in float64.
    """
    from scipy.linalg import cho_factor, cho_solve

    mean_x, mean_y = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    centered = x - mean_x
    with one_blas_thread():  # with more, the last bits would depend on how many
        gram = centered.T @ centered
        gram[np.diag_indices_from(gram)] += ridge
        weights = cho_solve(cho_factor(gram), centered.T @ (y - mean_y))
    return weights.astype(np.float32), mean_x.astype(np.float32), mean_y.astype(np.float32)
