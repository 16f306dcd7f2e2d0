"""BPR steps on pairs of an item that a user liked and one that the user disliked, compiled by numba."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from recli.compute.compiled import compiled
from recli.schema import CSR, Float32, Int32


def step(
    users: Int32,  # (n,), of each pair
    liked: Int32,  # (n,), items
    disliked: Int32,  # (n,), items
    rates: Float32,  # (n,), learning rates
    regularization: float,
    user_factors: Float32,  # (n_users, d + 1), changed; the last column is 1 and stays
    item_factors: Float32,  # (n_items, d + 1), changed; the last column is the item's bias
) -> None:
    """One step of gradient descent for each pair on -log sigmoid(score of the liked - score of the disliked)."""
    d = user_factors.shape[1] - 1
    shrink = np.float32(regularization)
    for n in range(users.size):
        user, good, bad = users[n], liked[n], disliked[n]
        score = np.float32(0)
        for k in range(d + 1):
            score += user_factors[user, k] * (item_factors[good, k] - item_factors[bad, k])
        z, rate = np.float32(1.0 / (1.0 + np.exp(score))), rates[n]
        for k in range(d + 1):
            of_user, of_good, of_bad = user_factors[user, k], item_factors[good, k], item_factors[bad, k]
            if k < d:
                user_factors[user, k] += rate * (z * (of_good - of_bad) - shrink * of_user)
            item_factors[good, k] += rate * (z * of_user - shrink * of_good)
            item_factors[bad, k] += rate * (-z * of_user - shrink * of_bad)


@lru_cache(1)
def compiled_step() -> Callable[..., None]:
    """`step`, compiled (numba)."""
    ints, floats, matrix = "int32[::1]", "float32[::1]", "float32[:, ::1]"
    return compiled(step, f"void({ints}, {ints}, {ints}, {floats}, float64, {matrix}, {matrix})")


def pairs(matrix: CSR, negatives: CSR, random: np.random.Generator) -> tuple[Int32, Int32, Int32, Float32]:
    """For each dislike of a user who likes something: user, a random liked item, the disliked one, its weight.

    In a random order. `matrix`, `negatives`: (n_users, n_items).
    """
    users = np.repeat(np.arange(negatives.shape[0]), np.diff(negatives.indptr))
    sizes = np.diff(matrix.indptr)
    kept = random.permutation(np.flatnonzero(sizes[users] > 0))
    users = users[kept]
    drawn = matrix.indptr[users] + (random.random(users.size) * sizes[users]).astype(np.int64)
    columns = (users, matrix.indices[drawn], negatives.indices[kept])
    user, liked, disliked = (np.ascontiguousarray(column, dtype=np.int32) for column in columns)
    return user, liked, disliked, negatives.data[kept].astype(np.float32)
