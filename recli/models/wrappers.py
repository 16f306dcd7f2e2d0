"""Wrappers of models: recency weighting of histories, and a fallback for users that a model cannot score."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from recli.data.arrays import binary
from recli.data.history import History
from recli.models.base import Model, signed
from recli.schema import CSR, Bool, Float32, Int64, State

POPULARITY = "popularity"
_PROBES = (4, 64)  # leading scores compared first, since few rows are constant


@dataclass(frozen=True)
class ModelWrapper(Model):
    """Delegates every method to `model`; subclasses override what they change."""

    model: Model

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        return self.model.score(history, users)

    def state(self) -> State:
        return self.model.state()

    @property
    def uses_order(self) -> bool:
        return self.model.uses_order

    @property
    def handles_empty_history(self) -> bool:
        return self.model.handles_empty_history

    @property
    def ignores_values(self) -> bool:
        return self.model.ignores_values

    def with_values(self) -> Self:
        return replace(self, model=self.model.with_values())

    def item_embeddings(self) -> Float32 | None:
        return self.model.item_embeddings()

    def user_embeddings(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        return self.model.user_embeddings(history, users)

    def item_vectors(self) -> Float32 | None:
        return self.model.item_vectors()

    def source_scores(self, history: History, users: Int64 | None = None) -> dict[str, Float32] | None:
        return self.model.source_scores(history, users)

    def predict_ratings(self, users: Int64, items: Int64) -> Float32 | None:
        return self.model.predict_ratings(users, items)

    @property
    def text_dim(self) -> int:
        return self.model.text_dim

    @property
    def text_space(self) -> State:
        return self.model.text_space

    def score_text(self, vectors: Float32) -> Float32:
        return self.model.score_text(vectors)


@dataclass(frozen=True)
class ValueScale:
    """Values as a model takes them: 1 + strength * (value / mean - 1).

    `mean`: of the values it was trained on, so that theirs is 1, which the algorithms' options are meant for.
    `strength`: 1 keeps the ratios of values, 0 ignores them: all count the same. `negatives`: the weight of
    a mean dislike, which is `dislike`; 0: what is disliked is not used.
    """

    mean: float = 1.0
    strength: float = 1.0
    negatives: float = 0.0
    dislike: float = 1.0

    def __bool__(self) -> bool:
        """Whether it changes anything."""
        return (self.mean, self.strength, self.negatives) != (1.0, 1.0, 0.0)

    def numbers(self) -> tuple[float, ...]:
        """As manifests store it: its fields, or nothing if it changes nothing."""
        return (self.mean, self.strength, self.negatives, self.dislike) if self else ()

    def weighed(self, negatives: CSR) -> CSR:
        """The weights of dislikes, float32."""
        return negatives * np.float32(self.negatives / self.dislike)

    def __call__(self, values: CSR) -> CSR:
        """The matrix with its values scaled, float32; all of them stay above 0."""
        scaled = values.astype(np.float32, copy=True)
        scaled.data *= np.float32(self.strength / self.mean)
        scaled.data += np.float32(1.0 - self.strength)
        return scaled


UNSCALED = ValueScale()


@dataclass(frozen=True)
class Rescaled(ModelWrapper):
    """A model that was trained on scaled values, and whose histories are scaled as they were."""

    scale: ValueScale

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        return self.model.score(self._scaled(history), users)

    def user_embeddings(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        return self.model.user_embeddings(self._scaled(history), users)

    def source_scores(self, history: History, users: Int64 | None = None) -> dict[str, Float32] | None:
        return self.model.source_scores(self._scaled(history), users)

    def _scaled(self, history: History) -> History:
        scaled = replace(history, values=self.scale(history.values), negatives=None)
        if not self.scale.negatives or history.negatives is None:
            return scaled
        return with_negatives(scaled, self.scale.weighed(history.negatives))


def with_negatives(history: History, negatives: CSR) -> History:
    """The history with negative values for what was disliked, csr (n, n_items); it is as recent as the last event."""
    values = signed(history.values, negatives)
    if history.steps is None:
        return replace(history, values=values)
    places = history.values.copy()
    places.data = history.steps + np.float64(1)  # exact, and no entry is 0
    disliked = negatives.astype(np.float64)
    disliked.data[:] = 1
    steps = (places + disliked).tocsr()
    steps.sort_indices()
    return replace(history, values=values, steps=(steps.data - 1).astype(np.int32))


@dataclass(frozen=True)
class RecencyWeighted(ModelWrapper):
    """A model whose histories have weights: value * 0.5 ** (steps / half_life), steps being the later items.

    The trained model is unchanged. Ding and Li 2005, "Time Weight Collaborative Filtering", halve the weight
    of events in so many days; here it is in so many events of the same user, so that it means the same for frequent and
    rare users. Every user is scored as an unknown one, from the weighted history: stored factors ignore order. Where
    the order of a history is unknown, all its events count the same.
    """

    half_life: float  # events, > 0

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        model, weighted = self._weighted(history)
        return model.score(weighted)

    @property
    def uses_order(self) -> bool:
        return True

    @property
    def ignores_values(self) -> bool:
        return False

    def user_embeddings(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        model, weighted = self._weighted(history)
        return model.user_embeddings(weighted)

    def source_scores(self, history: History, users: Int64 | None = None) -> dict[str, Float32] | None:
        model, weighted = self._weighted(history)
        return model.source_scores(weighted)

    def _weighted(self, history: History) -> tuple[Model, History]:
        """The model that uses values, and the history in which older events have smaller ones."""
        model = self.model
        if model.ignores_values:
            model, history = model.with_values(), replace(history, values=binary(history.values))
        return model, replace(history, values=history.decayed(self.half_life))


def with_recency(model: Model, half_life: float) -> Model:
    """The model with histories that lose half their weight in so many events; itself if that is 0."""
    if half_life and isinstance(model, Rescaled):  # values are scaled first, then fall with age
        return replace(model, model=RecencyWeighted(model.model, half_life))
    return RecencyWeighted(model, half_life) if half_life else model


def with_scale(model: Model, scale: ValueScale) -> Model:
    """The model with histories whose values are scaled; itself if the scale changes nothing."""
    return Rescaled(model, scale) if scale else model


def scale_of(model: Model) -> ValueScale:
    """How the model's histories are scaled."""
    return model.scale if isinstance(model, Rescaled) else UNSCALED


def unwrap(model: Model) -> Model:
    """The model that was trained, without the weights of histories around it."""
    while isinstance(model, RecencyWeighted | Rescaled):
        model = model.model
    return model


def item_counts(matrix: CSR) -> Float32:
    """Users of each item in what a model was trained on, csr (n_users, n_items); float32 (n_items,)."""
    return np.asarray(matrix.getnnz(axis=0), dtype=np.float32)


@dataclass(frozen=True)
class WithFallback(ModelWrapper):
    """A model with a fallback for users for whom it cannot rank items, applied in recommend and evaluate alike.

    These are users without a history, and users for whom all items score the same (a personal model gives zeros to a
    user without a history: the list would be random). A model that ranks items for them itself
    (`handles_empty_history`) is left alone. Fallback "popularity": the counts become the scores. "none": -inf, no list.
    `record` gets, for each batch, the number of rows where the fallback was used.
    """

    popularity: Float32  # (n_items,), by `item_counts`
    fallback: str = POPULARITY
    record: Callable[[int], None] = lambda n_rows: None

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        return self.filled(history, users)[0]

    def filled(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        """Scores of all items, float32 (batch, n_items), and the rows where the fallback was used, bool (batch,)."""
        scores = self.model.score(history, users)
        unscored = self._unscored(history, scores)
        scores[unscored] = self.popularity if self.fallback == POPULARITY else -np.inf
        self.record(int(unscored.sum()))
        return scores, unscored

    def user_embeddings(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        """As `Model.user_embeddings`; rows that may need the fallback must be scored as a whole."""
        vectors, whole_rows = self.model.user_embeddings(history, users)
        if self.model.handles_empty_history:
            return vectors, whole_rows
        return vectors, whole_rows | (history.sizes == 0) | ~vectors.any(axis=1)

    def _unscored(self, history: History, scores: Float32) -> Bool:
        """The rows that have no history, or the same score for all items, bool (batch,)."""
        if self.model.handles_empty_history:
            return np.zeros(scores.shape[0], dtype=bool)
        unscored: Bool = history.sizes == 0
        rows = np.flatnonzero(~unscored)
        for probes in _PROBES:
            columns = np.linspace(0, scores.shape[1] - 1, probes, dtype=np.int64)
            rows = rows[np.ptp(scores[rows[:, None], columns], axis=1) == 0]
        for row in rows:
            unscored[row] = np.ptp(scores[row]) == 0
        return unscored
