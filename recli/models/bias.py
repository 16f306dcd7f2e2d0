"""Damped means of ratings: deviations of users and items from the mean (Koren 2009, the baseline)."""

from dataclasses import dataclass

import numpy as np

from recli import schema
from recli.config import Config, Tune, option
from recli.data.history import History
from recli.errors import RecliError
from recli.models.base import Model, Training, algorithm
from recli.schema import Float32, Float64, Int64, State


@dataclass(frozen=True)
class BiasConfig(Config):
    item_damping: float = option(
        5.0,
        "Damping of item means: so many average ratings are added to each item's.",
        min=0,
        max=1e6,
        tune=Tune(0, 50),
    )
    user_damping: float = option(
        5.0, "Damping of user means: so many average ratings are added to each user's.", min=0, max=1e6
    )


@dataclass(frozen=True)
class Bias(Model):
    """rating(u, i) = mean + b_u + b_i. All users get the same order of items: by b_i."""

    mean: float
    user_bias: Float32  # (n_users,)
    item_bias: Float32  # (n_items,)

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        known = np.full(history.shape[0], -1) if users is None else users
        of_users = np.float32(self.mean) + self._user(known)
        scores: Float32 = of_users[:, None] + self.item_bias[None, :]
        return scores

    @property
    def handles_empty_history(self) -> bool:
        return True

    def predict_ratings(self, users: Int64, items: Int64) -> Float32:
        predicted: Float32 = np.float32(self.mean) + self._user(users) + self.item_bias[items]
        return predicted

    def _user(self, users: Int64) -> Float32:
        return np.where(users >= 0, self.user_bias[users], np.float32(0.0))

    def state(self) -> State:
        return {
            "mean": np.array([self.mean], dtype=np.float64),
            "user_bias": self.user_bias,
            "item_bias": self.item_bias,
        }


def load(config: BiasConfig, state: State) -> Bias:
    return Bias(float(state["mean"][0]), state["user_bias"], state["item_bias"])


@algorithm(
    "bias",
    help="ratings from damped means of users and items",
    config=BiasConfig,
    load=load,
    personal=False,
    uses_values=False,
)
def fit(config: BiasConfig, training: Training) -> Bias:
    rows = training.rows
    if rows is None or schema.RATING not in rows.columns:
        raise RecliError(
            "the algorithm bias needs ratings, and these interactions have none",
            "prepare the run from a log with a rating column, or use another --algorithm",
        )
    rows = rows.drop_nulls(schema.RATING)
    n_users, n_items = training.matrix.shape
    users, items = rows[schema.USER].to_numpy(), rows[schema.ITEM].to_numpy()
    ratings = rows[schema.RATING].to_numpy().astype(np.float64)
    mean = float(ratings.mean()) if ratings.size else 0.0
    item_bias = _damped_mean(items, ratings - mean, n_items, config.item_damping)
    user_bias = _damped_mean(users, ratings - mean - item_bias[items], n_users, config.user_damping)
    training.advance(1, "")
    return Bias(mean, user_bias.astype(np.float32), item_bias.astype(np.float32))


def _damped_mean(groups: Int64, values: Float64, n_groups: int, damping: float) -> Float64:
    """sum / (damping + count) of the values in each group, float64 (n_groups,); 0 for empty ones."""
    counts = np.bincount(groups, minlength=n_groups)
    sums = np.bincount(groups, weights=values, minlength=n_groups)
    means: Float64 = sums / np.maximum(counts + damping, 1e-12)
    return means
