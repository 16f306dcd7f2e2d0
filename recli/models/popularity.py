"""Popularity: every user gets the items with the most interactions; a baseline."""

from dataclasses import dataclass

import numpy as np

from recli import schema
from recli.config import Config, Tune, option
from recli.data.history import History, ordered_pairs
from recli.errors import RecliError
from recli.models.base import Model, Training, algorithm
from recli.schema import Float32, Float64, Int64, State

_DAY = 86_400 * 1_000_000  # microseconds

RECENT_POPULARITY = (
    "recent-popularity"  # as a source of a fusion: with a half-life that is fitted on validation
)
HALF_LIFE_DAYS = (1.0, 2.0, 3.0, 5.0, 7.0, 14.0, 30.0, 60.0, 90.0, 180.0, 365.0)  # half-lives to choose from


@dataclass(frozen=True)
class PopularityConfig(Config):
    count: str = option(
        "users",
        "What is counted: users of an item, or the sum of their weights.",
        choices=("users", "weights"),
    )
    popularity_half_life: float = option(
        0.0,
        "Days in which an event loses half its count, back from the latest one; 0: it never does. (prepare "
        "--event-half-life changes the weights that all algorithms learn from.)",
        min=0,
        max=1e6,
        tune=Tune(choices=(0.0, *HALF_LIFE_DAYS)),
        formerly=("half_life",),
    )


@dataclass(frozen=True)
class Popularity(Model):
    """Scores are counts, the same for all users."""

    counts: Float32  # (n_items,)

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        return np.repeat(self.counts[None, :], history.shape[0], axis=0)

    @property
    def handles_empty_history(self) -> bool:
        return True

    def state(self) -> State:
        return {"counts": self.counts}


def load(config: PopularityConfig, state: State) -> Popularity:
    return Popularity(state["counts"])


@algorithm(
    "popularity",
    help="the most popular items, the same for all users",
    config=PopularityConfig,
    load=load,
    personal=False,
    uses_values=False,
)
def fit(config: PopularityConfig, training: Training) -> Popularity:
    matrix = training.matrix
    if config.popularity_half_life:
        counts = recent_counts(config, training)
    else:
        counts = matrix.getnnz(axis=0) if config.count == "users" else np.asarray(matrix.sum(axis=0)).ravel()
    training.advance(1, "")
    return Popularity(counts.astype(np.float32))


def recent_counts(config: PopularityConfig, training: Training) -> Float64:
    """Counts of events that lose half their weight in so many days, float64 (n_items,); a user of an item counts
    once, at the latest event. Raises `RecliError` without timestamps."""
    rows = training.rows
    if rows is None or schema.TIMESTAMP not in rows.columns:
        raise RecliError(
            "--popularity-half-life needs the time of events, and these interactions have no timestamps",
            "prepare the run from a log with a time column (recli prepare --time-column), or do without it "
            "(and --tune, which searches it)",
        )
    users, items, times = (rows[c].to_numpy() for c in (schema.USER, schema.ITEM, schema.TIMESTAMP))
    weights: Float64 = np.exp2((times - times.max()) / (_DAY * config.popularity_half_life))
    if config.count == "weights":
        weights = weights * rows[schema.VALUE].to_numpy()
    else:
        latest, _ = ordered_pairs(users, items, times)
        items, weights = items[latest], weights[latest]
    return np.asarray(np.bincount(items, weights, minlength=training.matrix.shape[1]), dtype=np.float64)
