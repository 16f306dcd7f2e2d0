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
from recli.schema import CSR, Bool, Float32, Float64, Int32, Int64

TOP = 20  # NDCG@20, as all published figures on these data sets
MAX_USERS = 10_000  # more are sampled: the mean's standard error is then below .003


@dataclass(frozen=True)
class ValidationFigures:
    """NDCG@20 on the validation split, and on how many users."""

    ndcg: float
    users: int

    def summary(self) -> dict[str, float | int]:
        """The figures for the manifest."""
        return {"ndcg@20": round(self.ndcg, 6), "users": self.users}


@dataclass(frozen=True)
class Validator:
    """NDCG@20 of a model on the validation split: full ranking, items masked that the users had before it.

    Users without training rows get the lists they would be served: see `recli.models.wrappers.WithFallback`.
    """

    users: Int64  # (n,), those with validation rows
    history: History  # (n, n_items), their training rows
    relevant: CSR  # (n, n_items), their validation rows
    ties: Int32  # (n_items,)
    popularity: Float32  # (n_items,), training users

    def __call__(self, model: Model) -> float:
        """The mean over the users."""
        return float(self.per_user(model).mean())

    def figures(self, model: Model) -> ValidationFigures:
        return ValidationFigures(round(self(model), 6), int(self.users.size))

    def per_user(self, model: Model) -> Float64:
        """NDCG@20 of each user, float64 (n,)."""
        history = self.history
        known = known_users(self.users, history)
        served = WithFallback(model, self.popularity)
        ranked = topk.rank(served, history, known, k=TOP, ties=self.ties, seen=history.seen)
        return ndcg_at(ranked.items, self.relevant)


def validator_of(interactions: Interactions, seed: int = 0, max_users: int = MAX_USERS) -> Validator:
    """The validator on at most `max_users` users with validation rows (a sample drawn by `seed`).

    Raises `RecliError` where there is no validation split.
    """
    relevant = interactions.matrix("validation")
    users = sample_users(relevant.getnnz(axis=1) > 0, max_users, seed)
    if users.size == 0:
        raise RecliError(
            "there are no validation rows to choose by",
            "prepare the run with a validation split: recli prepare LOG --out RUN --validation-size 0.1",
        )
    train = interactions.ordered("train")
    ties = interactions.ties
    return Validator(users, train[users], relevant[users], ties, item_counts(train.values))


def has_validation(interactions: Interactions) -> bool:
    return interactions.splits["validation"].height > 0


def sample_users(eligible: Bool, max_users: int, seed: int) -> Int64:
    """Row numbers of at most `max_users` of the eligible users, bool (n_users,), ascending; all, or a random sample."""
    users = np.flatnonzero(eligible).astype(np.int64)
    if users.size > max_users:
        users = np.sort(np.random.default_rng(seed).choice(users, max_users, replace=False))
    return users


def known_users(users: Int64, history: History) -> Int64:
    """Row numbers of users, (n,), with -1 for those whose history, (n, n_items), is empty: the model has no row."""
    return np.where(history.sizes > 0, users, -1)
