"""Errors of predicted ratings."""

import numpy as np

from recli.metrics.base import EvaluatedLists, RatingErrors, metric, ratio
from recli.schema import Float64, Int64


def errors_of(n: int, users: Int64, predicted: Float64, rated: Float64) -> RatingErrors:
    """Errors of pairs, summed by user. `users`: int64 (pairs,), rows 0..n-1 of the evaluated users."""
    off = predicted.astype(np.float64) - rated.astype(np.float64)
    return RatingErrors(
        np.bincount(users, off**2, minlength=n).astype(np.float64),
        np.bincount(users, np.abs(off), minlength=n).astype(np.float64),
        np.bincount(users, minlength=n),
    )


def _pairs(lists: EvaluatedLists) -> Float64:
    return np.zeros(lists.test_set.n_users) if lists.errors is None else lists.errors.pairs.astype(np.float64)


@metric(
    "rmse",
    help="root of the mean squared error of predicted ratings, over test pairs",
    family="ratings",
    at=False,
    better=-1,
    weight=_pairs,
    root=True,
)
def rmse(lists: EvaluatedLists) -> Float64 | None:
    return None if lists.errors is None else ratio(lists.errors.squared, lists.errors.pairs)


@metric(
    "mae",
    help="mean absolute error of predicted ratings, over test pairs",
    family="ratings",
    at=False,
    better=-1,
    weight=_pairs,
)
def mae(lists: EvaluatedLists) -> Float64 | None:
    return None if lists.errors is None else ratio(lists.errors.absolute, lists.errors.pairs)
