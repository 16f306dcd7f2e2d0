"""iALS with an explicit weight of what was not observed, and a regularisation that grows with the data of a row.

Rendle, Krichene, Zhang, Koren, "Revisiting the Performance of iALS on Item Recommendation Benchmarks", 2022:

    loss = sum over observed (u, i) of c (1 - x.y)^2 + a0 sum over all (u, i) of (x.y)^2
           + lambda sum_u (C_u + a0 n_items)^nu |x|^2 + lambda sum_i (C_i + a0 n_users)^nu |y|^2

with confidences c, the values of the interactions, and their sums C by row.
"""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from recli.config import Tune, option
from recli.models.base import Training, algorithm, train_epochs
from recli.models.factors import Factors, FoldIn, normal_equations
from recli.models.ials_cpu import Side, cpu_engine, side
from recli.schema import CSR, Float32, Float64, State

STEPS = 3  # of conjugate gradients in a half-step: more do not lower the loss of a whole training
EXACT = 200  # at most, in the last half-step: it ends by its tolerance


@dataclass(frozen=True)
class IalsConfig:
    factors: int = option(
        128, "Length of the factors.", min=1, max=2048, tune=Tune(choices=(32, 64, 128, 256))
    )
    iterations: int = option(12, "Passes over the data.", min=1, max=10_000)
    regularization: float = option(
        0.003, "Pull of the factors towards zero.", min=1e-9, max=1e6, tune=Tune(3e-4, 0.1, log=True)
    )
    unobserved_weight: float = option(
        0.1,
        "Confidence of every cell, observed or not, beside the weights of the interactions.",
        min=0.0,
        max=1e6,
        tune=Tune(0.01, 1.0, log=True),
    )
    nu: float = option(
        1.0,
        "How the regularisation grows with a row's data: 1 in proportion, 0 not at all.",
        min=0.0,
        max=2.0,
    )
    stddev: float = option(
        0.1,
        "Length of the factors at the start: their standard deviation is this / sqrt(factors).",
        min=1e-9,
        max=1e3,
    )


class Engine(Protocol):
    """Where half-steps are computed; `Any` is its own kind of array."""

    def prepare(self, side: Side) -> Any: ...
    def array(self, factors: Float32) -> Any: ...
    def numpy(self, factors: Any) -> Float32: ...
    def penalty(self, side: Any, factors: Any) -> float: ...
    def half_step(
        self, side: Any, solved: Any, others: Any, unobserved_weight: float, steps: int
    ) -> tuple[Any, Any, float]: ...


def pull(config: IalsConfig, weights: Float64, n_others: int) -> Float64:
    """Regularisation of rows whose cells' weights add up to `weights`: lambda (C + a0 n)^nu."""
    made: Float64 = config.regularization * (weights + config.unobserved_weight * n_others) ** config.nu
    return made


def loss(config: IalsConfig, matrix: CSR, users: Float32, items: Float32) -> float:
    """The loss of factors (n_users, d) and (n_items, d), in float64: what training lowers."""
    x, y = users.astype(np.float64), items.astype(np.float64)
    cells = matrix.tocoo()
    fit = np.einsum("nd,nd->n", x[cells.row], y[cells.col])  # float64 (nnz,)
    unobserved = np.sum((x.T @ x) * (y.T @ y))  # the sum of (x.y)^2 over all cells
    ridge = _pull(config, matrix) @ (x**2).sum(axis=1) + _pull(config, matrix.T) @ (y**2).sum(axis=1)
    return float(cells.data @ (1.0 - fit) ** 2 + config.unobserved_weight * unobserved + ridge)


def _pull(config: IalsConfig, matrix: CSR) -> Float64:
    return pull(config, np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel(), matrix.shape[1])


def fold_in(config: IalsConfig, item_factors: Float32) -> FoldIn:
    """Solve users exactly for fixed items: x = (a0 Y'Y + Y'CY + pull I)^-1 Y'c, in float64."""
    return normal_equations(
        item_factors,
        confidence=lambda values: values,
        unobserved=config.unobserved_weight,
        beside=lambda c: c,
        pull=lambda c: float(pull(config, c.sum(), len(item_factors))),
    )


def load(config: IalsConfig, state: State) -> Factors:
    items = state["item_factors"]
    return Factors(state["user_factors"], items, fold_in(config, items))


@algorithm(
    "ials",
    help="alternating least squares with a weight of the unobserved and regularisation by frequency",
    config=IalsConfig,
    load=load,
    gpu="torch",
)
def fit(config: IalsConfig, training: Training) -> Factors:
    with _engine(training) as engine:
        return _fit(config, training, engine)


def _engine(training: Training) -> AbstractContextManager[Engine]:
    if training.device.startswith("cuda"):
        from recli.models.ials_torch import torch_engine

        return torch_engine(training.device)
    return cpu_engine(training.threads)


def _fit(config: IalsConfig, training: Training, engine: Engine) -> Factors:
    matrix = training.matrix
    by_user, by_item = (engine.prepare(side(m, _pull(config, m))) for m in (matrix, matrix.T.tocsr()))
    total, weight = float(matrix.sum(dtype=np.float64)), config.unobserved_weight
    spread = config.stddev / np.sqrt(config.factors)
    start = np.random.default_rng(training.seed).standard_normal((matrix.shape[1], config.factors))
    items = engine.array((spread * start).astype(np.float32))
    # Users start from the items, not from numbers of their own: their order then changes nothing.
    users = engine.array(np.zeros((matrix.shape[0], config.factors), dtype=np.float32))
    users, items, _ = engine.half_step(by_user, users, items, weight, STEPS)

    def step(epoch: int) -> str:
        nonlocal users, items
        items, users, _ = engine.half_step(by_item, items, users, weight, STEPS)
        users, items, of_users = engine.half_step(by_user, users, items, weight, STEPS)
        return f"loss {(of_users + engine.penalty(by_item, items)) / total:.4f}"  # 1: that of all zeros

    def snapshot() -> Factors:
        fixed = engine.numpy(items)
        return Factors(engine.numpy(users), fixed, fold_in(config, fixed))

    best = train_epochs(training, config.iterations, step, snapshot)
    # At last the users exactly, as new ones will be: the same history, the same scores.
    users, items = engine.array(best.user_factors), engine.array(best.item_factors)
    users, items, _ = engine.half_step(by_user, users, items, weight, EXACT)
    return snapshot()
