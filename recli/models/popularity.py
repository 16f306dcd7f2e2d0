"""Popularity: every user gets the items with the most interactions; the baseline that every model must beat."""

from dataclasses import dataclass

import numpy as np

from recli.config import option
from recli.models.base import Training, algorithm
from recli.schema import CSR, Float32, Int64, State


@dataclass(frozen=True)
class PopularityConfig:
    count: str = option(
        "users",
        "What is counted: users of an item, or the sum of their weights.",
        choices=("users", "weights"),
    )


@dataclass(frozen=True)
class Popularity:
    """Scores are counts, the same for everybody."""

    counts: Float32  # (n_items,)

    def score(self, history: CSR, users: Int64 | None = None) -> Float32:
        return np.repeat(self.counts[None, :], history.shape[0], axis=0)

    def state(self) -> State:
        return {"counts": self.counts}


def load(config: PopularityConfig, state: State) -> Popularity:
    return Popularity(state["counts"])


@algorithm("popularity", help="the same most popular items for everybody", config=PopularityConfig, load=load)
def fit(config: PopularityConfig, training: Training) -> Popularity:
    matrix = training.matrix
    counts = matrix.getnnz(axis=0) if config.count == "users" else np.asarray(matrix.sum(axis=0)).ravel()
    training.advance(1, "")
    return Popularity(counts.astype(np.float32))
