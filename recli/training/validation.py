"""NDCG@20 of a model on the validation split."""

from dataclasses import dataclass

import numpy as np

from recli.data.history import History
from recli.data.interactions import Interactions
from recli.errors import RecliError
from recli.metrics import ndcg_at
from recli.models.base import Model
from recli.models.wrappers import WithFallback, item_counts
from recli.ranking import topk
from recli.schema import CSR, Float32, Float64, Int32, Int64

TOP = 20  # NDCG@20, as all published figures on these data sets
MAX_USERS = 10_000  # more are judged by a sample: the mean's standard error is then below .003


@dataclass(frozen=True)
class Validator:
    """NDCG@20 of a model on the validation split: full ranking, what was seen in training masked.

    Users without training rows are judged by what they would be served: see `recli.models.wrappers.WithFallback`.
    """

    users: Int64  # (n,), those with validation rows
    history: History  # (n, n_items), their training rows
    relevant: CSR  # (n, n_items), their validation rows
    ties: Int32  # (n_items,)
    popularity: Float32  # (n_items,), training users

    def __call__(self, model: Model) -> float:
        """The mean over the users."""
        return float(self.per_user(model).mean())

    def per_user(self, model: Model) -> Float64:
        """NDCG@20 of each user, float64 (n,)."""
        history = self.history
        known = np.where(history.sizes > 0, self.users, -1)
        served = WithFallback(model, self.popularity)
        ranked = topk.rank(served, history, known, k=TOP, ties=self.ties, seen=history.values)
        return ndcg_at(ranked.items, self.relevant)


def validator_of(interactions: Interactions, seed: int = 0, max_users: int = MAX_USERS) -> Validator:
    """What judges models on the validation split, by at most `max_users` users (a sample drawn by `seed`).

    Raises `RecliError` where there is no validation split.
    """
    relevant = interactions.matrix("validation")
    users: Int64 = np.flatnonzero(relevant.getnnz(axis=1)).astype(np.int64)
    if users.size == 0:
        raise RecliError(
            "there are no validation rows to choose by",
            "prepare the run with a validation split: recli prepare LOG --out RUN --validation-size 0.1",
        )
    if users.size > max_users:
        users = np.sort(np.random.default_rng(seed).choice(users, max_users, replace=False))
    train = interactions.ordered("train")
    ties = topk.tie_order(interactions.items["item_id"])
    return Validator(users, train[users], relevant[users], ties, item_counts(train.values))


def has_validation(interactions: Interactions) -> bool:
    return interactions.splits["validation"].height > 0
