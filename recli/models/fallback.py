"""What users get of whom a model knows nothing: one definition, for lists that are served and lists that are measured.

A personal model scores a user without a history with zeros: a list of them is random (measured on films split by time,
where 23% of the test users are new). Popularity over what the model was trained on stands in.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from recli.data.history import History
from recli.models.base import ColdStart, Model, item_factors_of, scores_of, user_vectors_of
from recli.models.recency import unwrap
from recli.schema import CSR, Bool, Float32, Int64, State

POPULARITY = "popularity"
_PROBES = (4, 64)  # scores looked at before a whole row is: few rows are constant


def item_counts(matrix: CSR) -> Float32:
    """Users of each item in what a model was trained on, csr (n_users, n_items); float32 (n_items,)."""
    return np.asarray(matrix.getnnz(axis=0), dtype=np.float32)


@dataclass(frozen=True)
class WithFallback:
    """A model, and what stands in where it has nothing to say.

    It has nothing to say where there is no history, or where it finds all items equal; a model that ranks items for
    such users itself (`ColdStart`) is left alone. "popularity": the counts become the scores. "none": -inf, no list.
    `noted` is told of each batch in how many rows something stood in.
    """

    model: Model
    popularity: Float32  # (n_items,), by `item_counts`
    fallback: str = POPULARITY
    noted: Callable[[int], None] = lambda users: None

    def score(self, history: CSR, users: Int64 | None = None) -> Float32:
        return self.score_ordered(History(history), users)

    def score_ordered(self, history: History, users: Int64 | None = None) -> Float32:
        return self.filled(history, users)[0]

    def filled(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        """Scores of all items, float32 (batch, n_items), and the rows where something stands in, bool (batch,)."""
        scores = scores_of(self.model, history, users)
        silent = _silent(self.model, history, scores)
        scores[silent] = self.popularity if self.fallback == POPULARITY else -np.inf
        self.noted(int(silent.sum()))
        return scores, silent

    def item_side(self) -> Float32 | None:
        return item_factors_of(self.model)

    def user_side(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        """See `ByProducts`; apart are those for whom something may have to stand in."""
        vectors, apart = user_vectors_of(self.model, history, users)
        if _handles_cold_users(self.model):
            return vectors, apart
        return vectors, apart | (history.sizes == 0) | ~vectors.any(axis=1)

    def state(self) -> State:
        return self.model.state()


def _handles_cold_users(model: Model) -> bool:
    model = unwrap(model)
    return isinstance(model, ColdStart) and model.cold_start


def _silent(model: Model, history: History, scores: Float32) -> Bool:
    """The rows where the model has nothing to say, bool (batch,)."""
    if _handles_cold_users(model):
        return np.zeros(scores.shape[0], dtype=bool)
    silent: Bool = history.sizes == 0
    rows = np.flatnonzero(~silent)
    for probes in _PROBES:
        columns = np.linspace(0, scores.shape[1] - 1, probes, dtype=np.int64)
        rows = rows[np.ptp(scores[rows[:, None], columns], axis=1) == 0]
    for row in rows:
        silent[row] = np.ptp(scores[row]) == 0
    return silent
