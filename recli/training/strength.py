"""How strongly the values of interactions count, chosen on validation for each algorithm.

Where values are not all 1, they are scaled to mean 1, which the algorithms' options are meant for, and may be drawn
toward it (`ValueScale`). What is best differs: where weights say little, ease and the graph filters lose up to a fifth
of their NDCG@20 to weights as they are, and hardly any to weights whose spread is limited; where they say much, als and
item-knn gain twice as much from the whole of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from recli.models.base import Algorithm, Model
from recli.models.wrappers import UNSCALED, ValueScale
from recli.schema import CSR

if TYPE_CHECKING:
    from recli.training.fit import FitResult

# Spread of values, standard deviation over mean, up to which all algorithms were as good as without weights, or nearly.
_SAFE_SPREAD = 0.3


def value_scale(
    algorithm: Algorithm,
    matrix: CSR,
    strength: float | None,
    negatives: CSR | None = None,
    negative_weight: float = 0.0,
) -> ValueScale:
    """How the algorithm takes the values of `matrix`, (n_users, n_items); a strength of None is the `safe_strength`.

    `negative_weight`: of a mean value of `negatives`, of the same shape.
    """
    scale = UNSCALED
    if has_weights(algorithm, matrix):
        chosen = safe_strength(matrix) if strength is None else strength
        scale = ValueScale(float(matrix.data.mean(dtype=np.float64)), chosen)
    if negative_weight and algorithm.uses_negatives and negatives is not None and negatives.nnz:
        unit = float(negatives.data.mean(dtype=np.float64))
        scale = replace(scale, negatives=negative_weight / unit)
    return scale


def has_weights(algorithm: Algorithm, matrix: CSR) -> bool:
    """Whether the algorithm learns from values, and they are not all 1."""
    return algorithm.uses_values and bool((matrix.data != 1).any())


def safe_strength(matrix: CSR) -> float:
    """The strength that limits the spread of the values to what all algorithms can take, at most 1."""
    values = matrix.data.astype(np.float64)
    spread = float(values.std()) / float(values.mean()) if values.size else 0.0
    return round(min(1.0, _SAFE_SPREAD / spread), 3) if spread else 1.0


def strengths(algorithm: Algorithm, matrix: CSR) -> tuple[float, ...]:
    """The strengths that are worth a try: the safe one, all, and nothing; one where there is nothing to choose."""
    if not has_weights(algorithm, matrix):
        return (1.0,)
    safe = safe_strength(matrix)
    return (safe, 0.0) if safe == 1.0 else (safe, 1.0, 0.0)


def sentence(chosen: float, figures: Mapping[float, float]) -> str:
    """What is said of the choice."""
    of_each = ", ".join(f"{tried:g} ({ndcg:.4f})" for tried, ndcg in figures.items())
    return (
        f"strength of weights {chosen:g}, of validation ndcg@20 by strength: {of_each}; see --weight-strength"
    )


def choose_strength(
    train: Callable[[float], FitResult], tried: Sequence[float], validate: Callable[[Model], float]
) -> tuple[FitResult, dict[float, float]]:
    """The best model of those trained with the tried strengths, and the validation figure of each.

    Of equals, the first. Only the best so far is held.
    """
    best: tuple[float, FitResult] | None = None
    figures: dict[float, float] = {}
    for strength in tried:
        trained = train(strength)
        figures[strength] = round(validate(trained.model), 6)
        if best is None or figures[strength] > best[0]:
            best = figures[strength], trained
    assert best is not None
    return best[1], figures
