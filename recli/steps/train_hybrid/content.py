"""Trains a single content model; the options of collective EASE are searched on validation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from recli.models.base import Model, Training, algorithms
from recli.models.cease import CeaseConfig
from recli.models.wrappers import with_scale
from recli.reporting import Advance
from recli.steps.train_hybrid.config import TrainHybridConfig
from recli.steps.train_hybrid.sources import SourceSpec, TrainingInputs, cold_items
from recli.training.validation import Validator
from recli.training.value_choices import value_scale

CEASE_TEXT = (10.0, 30.0, 100.0)  # tried first, at the default l2
CEASE_L2 = (100.0, 400.0)  # tried then, at the best text weight


def with_cease_options(
    config: TrainHybridConfig,
    inputs: TrainingInputs,
    specs: tuple[SourceSpec, ...],
    validator: Validator | None,
) -> tuple[tuple[SourceSpec, ...], pl.DataFrame | None]:
    """The sources, cease with the options that are best on validation where one of them is not given.

    And the trials, a row each: `l2`, `text_weight`, `ndcg@20`; None: there was nothing to search.
    """
    if config.algorithm != "cease" or validator is None or None not in (config.l2, config.text_weight):
        return specs, None
    (cease,) = specs
    n_trials = (len(CEASE_TEXT) if config.text_weight is None else 1) + (
        len(CEASE_L2) if config.l2 is None else 0
    )
    with inputs.reporter.progress("searching cease", n_trials) as advance:
        options, trials = tune_cease(inputs, cease.config, config.l2, config.text_weight, validator, advance)
    table = pl.DataFrame(trials, dict.fromkeys(("l2", "text_weight", "ndcg@20"), pl.Float64), orient="row")
    return (replace(cease, config=options),), table


def tune_cease(
    inputs: TrainingInputs,
    options: CeaseConfig,
    l2: float | None,
    text_weight: float | None,
    validate: Callable[[Model], float],
    advance: Advance,
) -> tuple[CeaseConfig, list[tuple[float, float, float]]]:
    """The best options for collective EASE by `validate`, and the trials: (l2, text weight, NDCG@20).

    An option that is given stays. The text weight is searched first, then l2 at the best of it.
    """
    matrix = inputs.interactions.matrix("train")
    scale = value_scale(algorithms["cease"], matrix, None)
    training = Training(
        scale(matrix) if scale else matrix,
        features=inputs.features,
        cold=cold_items(matrix),
        seed=inputs.seed,
    )
    trials: list[tuple[float, float, float]] = []

    def best() -> tuple[float, float, float]:
        return max(trials, key=lambda trial: trial[2])

    def measure(tried_l2: float, tried_weight: float) -> None:
        config = replace(options, l2=tried_l2, text_weight=tried_weight)
        model = with_scale(algorithms["cease"].fit(config, training), scale)
        trials.append((tried_l2, tried_weight, validate(model)))
        advance(1, f"ndcg@20 {best()[2]:.4f}")

    for weight in CEASE_TEXT if text_weight is None else (text_weight,):
        measure(options.l2, weight)
    weight = best()[1]
    for value in CEASE_L2 if l2 is None else ():
        measure(value, weight)
    return replace(options, l2=best()[0], text_weight=best()[1]), trials
