"""Recency: older events of a history count less, whatever the model.

What a model has learned stays as it is; only the histories it is asked with are weighted. Ding and Li 2005, "Time
Weight Collaborative Filtering", let events lose half their weight in so many days; here it is in so many events of the
user's own, so that it means the same for those who come daily and yearly.
"""

from dataclasses import dataclass, replace

import numpy as np

from recli.data.history import History
from recli.models.base import (
    BinaryModel,
    FactorModel,
    ItemSpace,
    Model,
    item_factors_of,
    scores_of,
    user_vectors_of,
)
from recli.schema import CSR, Bool, Float32, Int64, State


@dataclass(frozen=True)
class RecencyWeighted:
    """A model whose histories have weights: value * 0.5 ** (steps / half_life), steps being the later items.

    Everybody is scored as an unknown user, from the weighted history: stored factors know no order. Where the order of
    a history is unknown, all its events are alike.
    """

    model: Model
    half_life: float  # events, > 0

    def score(self, history: CSR, users: Int64 | None = None) -> Float32:
        return self.score_ordered(History(history))

    def score_ordered(self, history: History, users: Int64 | None = None) -> Float32:
        return scores_of(*self._asked(history))

    def item_side(self) -> Float32 | None:
        return item_factors_of(self.model)

    def user_side(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        return user_vectors_of(*self._asked(history))

    def _asked(self, history: History) -> tuple[Model, History]:
        """The model that counts values, and the history in which older events have smaller ones."""
        model = self.model
        if isinstance(model, BinaryModel) and model.binary:
            ones = history.values.astype(np.float32, copy=True)
            ones.data = np.ones_like(ones.data)
            model, history = model.weighted(), replace(history, values=ones)
        return model, replace(history, values=history.decayed(self.half_life))

    def item_vectors(self) -> Float32 | None:
        """Those of the model, if it has any; see `ItemSpace`."""
        if isinstance(self.model, FactorModel):
            return self.model.item_factors
        return self.model.item_vectors() if isinstance(self.model, ItemSpace) else None

    def state(self) -> State:
        return self.model.state()


def with_recency(model: Model, half_life: float) -> Model:
    """The model with histories that lose half their weight in so many events; itself if that is 0."""
    return RecencyWeighted(model, half_life) if half_life else model


def unwrap(model: Model) -> Model:
    """The model that learned, without the weights of histories around it."""
    return model.model if isinstance(model, RecencyWeighted) else model
