"""The factors that users are served by, for the file that a model is exported from."""

from __future__ import annotations

import numpy as np

from recli.data.interactions import Interactions
from recli.models.base import Model
from recli.schema import Float32

_BATCH = 10_000  # users at a time


def served_user_factors(
    model: Model, interactions: Interactions, trained_on: tuple[str, ...]
) -> Float32 | None:
    """The factors by which `recommend` scores the users, float32 (n_users, d): those of users without training rows
    are folded in from their histories, and those of all users where older events count less.

    None for a model that does not store factors of users.
    """
    stored = model.state().get("user_factors")
    if stored is None or model.item_embeddings() is None:
        return None
    history = interactions.history(trained_on, in_order=model.uses_order)
    rows = np.where(interactions.having(*trained_on), np.arange(interactions.n_users), -1)
    served: Float32 = stored.copy()
    for start in range(0, rows.size, _BATCH):
        batch = slice(start, start + _BATCH)
        served[batch] = model.user_embeddings(history[batch], rows[batch])[0]
    return served
