"""How strongly the values of interactions count, and dislikes against them: chosen on validation for each algorithm.

Where values are not all 1, they are scaled to mean 1, which the algorithms' options are meant for, and may be drawn
toward it (`ValueScale`). What is best differs: where weights say little, ease and the graph filters lose up to a fifth
of their NDCG@20 to weights as they are, and hardly any to weights whose spread is limited; where they say much, als and
item-knn gain twice as much from the whole of them.

Dislikes count only where they are better than nothing: on films, where a low rating still tells what somebody watches,
they raised NDCG@20 of bpr by 5 to 10% and lowered that of als, ials and ease (`tests/benchmarks/negatives.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from recli.data.interactions import Interactions
from recli.models.base import Algorithm
from recli.models.wrappers import UNSCALED, ValueScale
from recli.schema import CSR, Float64

if TYPE_CHECKING:
    from recli.training.fit import FitResult
    from recli.training.validation import Validator

# Spread of values, standard deviation over mean, up to which all algorithms were as good as without weights, or nearly.
_SAFE_SPREAD = 0.3
_NEGATIVE_WEIGHTS = (0.2, 1.0)  # of a mean dislike beside a mean value of 1, worth a try
_SURE = 1.0  # standard errors by which dislikes must be better than none, as for half-lives


@dataclass(frozen=True)
class ValueChoices:
    """What there is to choose from; the first is the default."""

    strengths: tuple[float | None, ...] = (None,)  # None: the safe one
    negative_weights: tuple[float, ...] = (0.0,)

    @property
    def fits(self) -> int:
        """How many trainings the choice takes."""
        return len(self.strengths) + len(self.negative_weights) - 1


@dataclass(frozen=True)
class BestFit:
    """The best model, and NDCG@20 on validation by what was tried; empty where there was one choice."""

    trained: FitResult
    by_strength: dict[float, float]
    by_negative_weight: dict[float, float]

    def sentences(self) -> tuple[str, ...]:
        """What is said of the choices."""
        scale = self.trained.scale
        return tuple(
            f"{what} {chosen:g}, of validation ndcg@20 by it: "
            + ", ".join(f"{tried:g} ({ndcg:.4f})" for tried, ndcg in figures.items())
            + f"; see {option}"
            for what, chosen, figures, option in (
                ("strength of weights", scale.strength, self.by_strength, "--weight-strength"),
                ("weight of dislikes", scale.negatives, self.by_negative_weight, "--negative-weight"),
            )
            if figures
        )

    def summary(self) -> dict[str, dict[str, float]]:
        """For the manifest."""
        named = {"weight_strengths": self.by_strength, "negative_weights": self.by_negative_weight}
        return {
            name: {f"{tried:g}": ndcg for tried, ndcg in figures.items()}
            for name, figures in named.items()
            if figures
        }


def value_choices(
    algorithm: Algorithm,
    interactions: Interactions,
    *,
    strength: float | None = None,
    negative_weight: float | None = None,
    validated: bool = True,
) -> ValueChoices:
    """The choices for training on `train`: what is given is fixed, and without validation there is none."""
    matrix = interactions.matrix("train")
    strengths: tuple[float | None, ...] = (strength,)
    if strength is None and validated and has_weights(algorithm, matrix):
        strengths = tuple(dict.fromkeys((safe_strength(matrix), 1.0, 0.0)))
    weights: tuple[float, ...] = (negative_weight or 0.0,)
    may_use = negative_weight is None and validated and algorithm.uses_negatives
    if may_use and interactions.negatives("train").nnz:
        weights = (0.0, *_NEGATIVE_WEIGHTS)
    return ValueChoices(strengths, weights)


def fit_best(train: Callable[..., FitResult], choices: ValueChoices, validator: Validator | None) -> BestFit:
    """The best of the models that `train(weight_strength=, negative_weight=)` makes.

    The strength with the highest NDCG@20, the first of equals; then the weight of dislikes, if it is better than none
    by more than a standard error of the difference over the users. Only the best so far is held.
    """
    best = train(weight_strength=choices.strengths[0], negative_weight=choices.negative_weights[0])
    if validator is None or choices.fits == 1:
        return BestFit(best, {}, {})
    of_best = validator.per_user(best.model)
    by_strength = {best.scale.strength: _mean(of_best)} if len(choices.strengths) > 1 else {}
    for strength in choices.strengths[1:]:
        trained = train(weight_strength=strength, negative_weight=choices.negative_weights[0])
        of_users = validator.per_user(trained.model)
        by_strength[trained.scale.strength] = _mean(of_users)
        if _mean(of_users) > _mean(of_best):
            best, of_best = trained, of_users
    by_weight = {0.0: _mean(of_best)} if len(choices.negative_weights) > 1 else {}
    without = of_best
    for weight in choices.negative_weights[1:]:
        trained = train(weight_strength=best.scale.strength, negative_weight=weight)
        of_users = validator.per_user(trained.model)
        by_weight[weight] = _mean(of_users)
        if _mean(of_users) > _mean(of_best) and _surely_better(of_users - without):
            best, of_best = trained, of_users
    return BestFit(best, by_strength, by_weight)


def _mean(of_users: Float64) -> float:
    return round(float(of_users.mean()), 6)


def _surely_better(gains: Float64) -> bool:
    error = float(gains.std(ddof=1)) / np.sqrt(gains.size) if gains.size > 1 else np.inf
    return bool(gains.mean() > _SURE * error)


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
        scale = replace(scale, negatives=negative_weight, dislike=unit)
    return scale


def has_weights(algorithm: Algorithm, matrix: CSR) -> bool:
    """Whether the algorithm learns from values, and they are not all 1."""
    return algorithm.uses_values and bool((matrix.data != 1).any())


def safe_strength(matrix: CSR) -> float:
    """The strength that limits the spread of the values to what all algorithms can take, at most 1."""
    values = matrix.data.astype(np.float64)
    spread = float(values.std()) / float(values.mean()) if values.size else 0.0
    return round(min(1.0, _SAFE_SPREAD / spread), 3) if spread else 1.0
