"""Training one algorithm on the interactions."""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import polars as pl

from recli.data.interactions import Interactions
from recli.errors import RecliError, UsageError
from recli.models.base import Algorithm, Model, Training
from recli.models.wrappers import UNSCALED, ValueScale, with_recency, with_scale
from recli.reporting import SILENT, Advance, Reporter, no_progress
from recli.schema import Float32
from recli.training.value_choices import value_scale


@dataclass(frozen=True)
class FitResult:
    """A trained model, the options it was trained with, and its validation scores."""

    model: Model
    config: Any  # the algorithm's config; `iterations` is the best one's number where patience stopped it
    scores: tuple[float, ...] = ()  # validation NDCG@20 after each iteration, where there is patience
    scale: ValueScale = UNSCALED  # how the model takes values


def train(
    algorithm: Algorithm,
    config: Any,
    interactions: Interactions,
    *,
    splits: tuple[str, ...] = ("train",),
    seed: int = 0,
    device: str = "cpu",
    threads: int = 0,
    reporter: Reporter = SILENT,
    advance: Advance = no_progress,
    validate: Callable[[Model], float] | None = None,
    patience: int = 0,
    features: Float32 | None = None,
    history_half_life: float = 0.0,
    weight_strength: float | None = None,
    negative_weight: float = 0.0,
) -> FitResult:
    """Train `algorithm` with its options `config` on the named splits of the interactions.

    `advance` is called for each of the `total_steps`; the reporter gets what the algorithm says before it starts. With
    `patience`, training stops when `validate` (a `Validator`) has not improved for so many iterations, and the best
    iteration's model is returned. With `history_half_life` (events), the model is wrapped in `RecencyWeighted`.
    `weight_strength`: how strongly values count (`ValueScale`), where they are not all 1; None: as far as is safe.
    `negative_weight`: the weight of a mean dislike beside a mean value of 1, where the algorithm can use it.
    Raises `RecliError` where there are no rows, or no order for the half-life to go by.
    """
    if patience:
        check_patience(algorithm, config)
    if history_half_life:
        check_half_life(algorithm, interactions)
    scores: list[float] = []

    def record(model: Model) -> float:
        assert validate is not None
        scores.append(validate(wrapped(model)))
        return scores[-1]

    def wrapped(model: Model) -> Model:
        return with_scale(with_recency(model, history_half_life), scale)

    matrix = interactions.matrix(*splits)
    if matrix.nnz == 0:
        raise RecliError(
            f"there are no {' or '.join(splits)} rows to learn from", "prepare the run from a larger log"
        )
    negatives = interactions.negatives(*splits)
    scale = value_scale(algorithm, matrix, weight_strength, negatives, negative_weight)
    training = Training(
        scale(matrix) if scale else matrix,
        negatives=scale.weighed(negatives) if scale.negatives else None,
        rows=pl.concat([interactions.splits[s] for s in splits]),
        features=features,
        cold=interactions.items["cold"].to_numpy(),
        seed=seed,
        device=device,
        threads=threads,
        advance=advance,
        say=reporter.say,
        validate=record if patience else None,
        patience=patience,
    )
    model = algorithm.fit(config, training)
    if scores:
        config = replace(config, iterations=int(np.argmax(scores)) + 1)
    return FitResult(wrapped(model), config, tuple(scores), scale)


def check_patience(algorithm: Algorithm, config: Any) -> None:
    """Raises `UsageError` for an algorithm without iterations."""
    if not hasattr(config, "iterations"):
        raise UsageError(f"--patience: {algorithm.name} has no iterations to stop")


def check_half_life(algorithm: Algorithm, interactions: Interactions) -> None:
    """Raises `UsageError` for an algorithm that does not look at histories, `RecliError` where they have no order."""
    if not algorithm.personal:
        raise UsageError(f"--history-half-life: {algorithm.name} does not look at the history")
    check_order(interactions)


def check_order(interactions: Interactions) -> None:
    """Raises `RecliError` where the order of events, which half-lives of histories need, is unknown."""
    if not interactions.has_order:
        raise RecliError(
            "--history-half-life needs the order of events, which these interactions do not have",
            "prepare the run from a log with times (recli prepare --time-column) or with rows in order (--in-order), "
            "or leave it out",
        )


def total_steps(config: Any) -> int:
    """How many steps a training with these options reports."""
    return int(config.iterations) if any(f.name == "iterations" for f in fields(config)) else 1
