"""iALS with an explicit weight of what was not observed, and a regularization that grows with a row's data.

Rendle, Krichene, Zhang, Koren, "Revisiting the Performance of iALS on Item Recommendation Benchmarks", 2022:

    loss = sum over observed (u, i) of c (1 - x.y)^2 + a0 sum over all (u, i) of (x.y)^2
           + lambda sum_u (C_u + a0 n_items)^nu |x|^2 + lambda sum_i (C_i + a0 n_users)^nu |y|^2

with confidences c, the values of the interactions, and their sums C by row. What a user disliked adds c (x.y)^2 to
the loss, c being the weight of the dislike. The best a0 and lambda differ from data to data by a factor of 25 (measured
on three sets); relative to what the data weigh, and to the lambda at which all factors vanish, they do not. So the
options are relative; `Weights` has the paper's own numbers.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from recli.config import Config, Tune, option
from recli.models.base import Training, algorithm, train_epochs
from recli.models.kernels.factors import Factors, normal_equations
from recli.models.kernels.ials_cpu import EXACT, Side, cpu_engine, side
from recli.schema import CSR, Float32, Float64, State

# Steps of conjugate gradients in a half-step: 1 ends .2% above the loss, 2 and 3 within .01% of each other.
STEPS = 3


# The regularization is a compromise: the best are .045, .07, .06 and .15 by validation NDCG@20 on MovieLens (610
# users), Amazon Beauty, yelp2018 and MovieTweetings (temporal), where this one reaches 98, 100, 99 and 97% of them.
# Synthetic logs without a long tail want more, .15 to .2: --tune.


@dataclass(frozen=True)
class IalsConfig(Config):
    factors: int = option(
        256, "Number of latent factors.", min=1, max=2048, tune=Tune(choices=(64, 128, 256, 512))
    )
    iterations: int = option(16, "Number of epochs.", min=1, max=10_000)
    regularization: float = option(
        0.07,
        "L2 regularization strength, as a share of the one at which all factors become zero.",
        min=1e-9,
        max=1.0,
        tune=Tune(0.01, 0.2, log=True),
    )
    unobserved_weight: float = option(
        30.0,
        "Total weight of all user-item pairs, observed or not, relative to that of all interactions.",
        min=0.0,
        max=1e9,
        tune=Tune(3.0, 300.0, log=True),
    )
    nu: float = option(
        1.0,
        "Exponent by which the regularization grows with the data of a user or item: 1 in proportion, 0 not at all.",
        min=0.0,
        max=2.0,
    )
    init_std: float = option(
        0.1,
        "Initial factors: their standard deviation is this / sqrt(factors).",
        min=1e-9,
        max=1e3,
        formerly=("stddev",),
    )


@dataclass(frozen=True)
class Weights:
    """The numbers of the loss."""

    unobserved: float  # a0, confidence of every cell
    regularization: float  # lambda
    nu: float

    def penalty(self, sums: Float64, n_others: int) -> Float64:
        """L2 penalty of rows whose confidences add up to `sums`: lambda (C + a0 n)^nu."""
        penalty: Float64 = self.regularization * (sums + self.unobserved * n_others) ** self.nu
        return penalty

    def penalties(self, matrix: CSR) -> Float64:
        """L2 penalties of the rows of `matrix`, float64 (n_rows,)."""
        return self.penalty(_sums(matrix), matrix.shape[1])


def weights_for(config: IalsConfig, matrix: CSR) -> Weights:
    """The loss's numbers for the data: a0 = unobserved_weight C / n_cells, lambda = regularization lambda_max.

    Above lambda_max all zeros are the minimum: it is the largest singular value of the interactions, divided by
    the roots of the penalties of their rows and columns.
    """
    n_users, n_items = matrix.shape
    a0 = config.unobserved_weight * float(matrix.sum(dtype=np.float64)) / (n_users * n_items)
    unit = Weights(a0, 1.0, config.nu)
    roots = [np.sqrt(unit.penalties(m)) for m in (matrix, matrix.T)]
    by_user, by_item = (np.divide(1.0, r, out=np.zeros_like(r), where=r > 0) for r in roots)
    largest, y = 0.0, roots[1] / np.linalg.norm(roots[1])
    for _ in range(100):  # the power method; the values are positive, so no start is orthogonal to the answer
        x = by_user * (matrix @ (by_item * y))
        y = by_item * (matrix.T @ (by_user * x))
        before, largest = largest, float(np.linalg.norm(y))
        y /= largest
        if largest - before < 1e-4 * largest:
            break
    return Weights(a0, config.regularization * float(np.sqrt(largest)), config.nu)


def loss(weights: Weights, matrix: CSR, users: Float32, items: Float32) -> float:
    """The loss of factors (n_users, d) and (n_items, d), in float64: what training lowers."""
    x, y = users.astype(np.float64), items.astype(np.float64)
    cells = matrix.tocoo()
    fit = np.einsum("nd,nd->n", x[cells.row], y[cells.col])  # float64 (nnz,)
    everything = np.sum((x.T @ x) * (y.T @ y))  # the sum of (x.y)^2 over all cells
    ridge = weights.penalties(matrix) @ (x**2).sum(axis=1) + weights.penalties(matrix.T) @ (y**2).sum(axis=1)
    return float(cells.data @ (1.0 - fit) ** 2 + weights.unobserved * everything + ridge)


def _sums(matrix: CSR) -> Float64:
    return np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()


class FoldIn:
    """Folds users in from their histories, exactly, in float64: x = (a0 Y'Y + Y'CY + penalty I)^-1 Y'c."""

    def __init__(self, weights: Weights, item_factors: Float32) -> None:
        self.weights = weights
        self._solve = normal_equations(
            item_factors,
            confidence=lambda values: values,
            unobserved=weights.unobserved,
            beside=np.abs,
            penalty=lambda c: float(weights.penalty(c[c > 0].sum(), len(item_factors))),
        )

    def __call__(self, history: CSR) -> Float32:
        return self._solve(history)

    def state(self) -> State:
        w = self.weights
        return {"weights": np.array([w.unobserved, w.regularization, w.nu])}


def load(config: IalsConfig, state: State) -> Factors:
    items = state["item_factors"]
    weights = Weights(*(float(number) for number in state["weights"]))
    return Factors(state["user_factors"], items, FoldIn(weights, items))


class Engine(Protocol):
    """Where half-steps are computed; `Any` is its own kind of array."""

    def prepare(self, side: Side) -> Any: ...
    def array(self, factors: Float32) -> Any: ...
    def numpy(self, factors: Any) -> Float32: ...
    def penalty(self, side: Any, factors: Any) -> float: ...
    def half_step(
        self, side: Any, solved: Any, others: Any, unobserved: float, steps: int
    ) -> tuple[Any, Any, float]: ...


@algorithm(
    "ials",
    help="alternating least squares with a weight of the unobserved and regularization by frequency",
    config=IalsConfig,
    load=load,
    gpu="torch",
    uses_negatives=True,
)
def fit(config: IalsConfig, training: Training) -> Factors:
    weights = weights_for(config, training.matrix)
    with _engine(training) as engine:
        return train(config, weights, training, engine)


def _engine(training: Training) -> AbstractContextManager[Engine]:
    if training.device.startswith("cuda"):
        from recli.models.kernels.ials_torch import torch_engine

        return torch_engine(training.device)
    return cpu_engine(training.threads)


def train(config: IalsConfig, weights: Weights, training: Training, engine: Engine) -> Factors:
    """Lower the loss of these weights, which the config's own relative ones need not be."""
    matrix, a0 = training.matrix, weights.unobserved
    by_user, by_item = (
        engine.prepare(side(cells, weights.penalties(m), weights=np.abs(cells.data)))
        for cells, m in ((training.signed, matrix), (training.signed.T.tocsr(), matrix.T.tocsr()))
    )
    start = np.random.default_rng(training.seed).standard_normal((matrix.shape[1], config.factors))
    items = engine.array((config.init_std / np.sqrt(config.factors) * start).astype(np.float32))
    # Users start from the items, not from numbers of their own: their order then changes nothing.
    users = engine.array(np.zeros((matrix.shape[0], config.factors), dtype=np.float32))
    users, items, _ = engine.half_step(by_user, users, items, a0, STEPS)
    empty = float(matrix.sum(dtype=np.float64))  # the loss of all zeros

    def step(epoch: int) -> str:
        nonlocal users, items
        items, users, _ = engine.half_step(by_item, items, users, a0, STEPS)
        users, items, of_users = engine.half_step(by_user, users, items, a0, STEPS)
        return f"loss {(of_users + engine.penalty(by_item, items)) / empty:.4f}"

    def snapshot() -> Factors:
        # Solve users exactly, as new ones are: the same history, the same scores, in validation too.
        solved, turned, _ = engine.half_step(by_user, users, items, a0, EXACT)
        fixed = engine.numpy(turned)
        return Factors(engine.numpy(solved), fixed, FoldIn(weights, fixed))

    return train_epochs(training, config.iterations, step, snapshot)
