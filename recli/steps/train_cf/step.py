"""`recli train-cf`: train a collaborative-filtering algorithm on the interactions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from recli.compute.devices import choose_device
from recli.config import Tune, to_dict
from recli.data.interactions import Interactions
from recli.errors import UsageError
from recli.models.base import Algorithm, Model, algorithms
from recli.models.wrappers import with_recency, with_scale
from recli.reporting import SILENT, Reporter, StepResult
from recli.steps.train_cf.config import CommonConfig, given_options
from recli.storage import quantization, runs
from recli.storage.names import checked_name
from recli.storage.writable import check_writable
from recli.training import fit, tuning
from recli.training.fit import FitResult
from recli.training.served_users import served_user_factors
from recli.training.validation import ValidationFigures, Validator, has_validation, validator_of
from recli.training.value_choices import BestFit, ValueChoices, fit_best, value_choices


@dataclass(frozen=True)
class TrainedModel(StepResult):
    """A model that `train_cf` has written."""

    run: Path
    name: str
    algorithm: str
    path: Path
    trained_on: tuple[str, ...]  # splits
    summary: dict[str, Any]  # as `--json` prints it
    validation: ValidationFigures | None  # None: there are no validation rows
    ndcg_float32: float | None = None  # on validation, before the values were stored with fewer bits
    trials: pl.DataFrame | None = None  # of `--tune`: a column for each option, `ndcg@20`, `best`


def train_cf(config: CommonConfig, reporter: Reporter = SILENT) -> TrainedModel:
    """Train a collaborative-filtering model on a run's interactions, and write it to RUN/models/NAME.

    `config`: a `TrainCfConfig`. Raises `UsageError` for options that do not go together, `RecliError` for data that
    the algorithm cannot learn from, `DeviceError` for a device that is missing.
    """
    algorithm = algorithms[config.algorithm]
    fixed = given_options(config, algorithm)
    options = algorithm.config(**fixed)
    name = checked_name(algorithm.name if config.name is None else config.name, algorithm.name)
    _check_options(config, algorithm, options)
    device, note = choose_device(config.device, algorithm.name, algorithm.gpu)
    interactions = runs.read_interactions(Path(config.run))
    check_writable(config.run)
    chooses = bool(config.patience or config.tune or config.refit)
    validator = validator_of(interactions, config.seed) if chooses or has_validation(interactions) else None
    if note:
        reporter.say(note)
    if algorithm.name == "bpr" and config.threads > 1:
        reporter.warn("bpr with more than one thread: the same seed will not give the same model again")

    train = partial(
        fit.train,
        algorithm,
        interactions=interactions,
        seed=config.seed,
        device=device,
        threads=config.threads,
        validate=validator,
        history_half_life=config.history_half_life,
    )
    choices = value_choices(
        algorithm,
        interactions,
        strength=config.weight_strength,
        negative_weight=config.negative_weight,
        validated=validator is not None,
    )
    tried: list[tuning.Tried] = []
    if config.tune:
        assert validator is not None
        trained, tried = _search(config, fixed, train, validator, choices, reporter)
        chosen: dict[str, Any] = {}
    else:
        best = _train(config, options, train, validator, choices, reporter)
        trained, chosen = best.trained, best.summary()
    figures, ndcg_float32 = None, None
    if validator is not None:
        figures = validator.figures(_as_stored(config, trained, interactions))
        if config.storage_dtype != quantization.FLOAT32:
            ndcg_float32 = validator(trained.model)
    if config.refit:
        what, total = f"training {algorithm.name} on train + validation", fit.total_steps(trained.config)
        with reporter.progress(what, total, "iterations") as advance:
            trained = train(
                trained.config,
                splits=("train", "validation"),
                weight_strength=trained.scale.strength,
                negative_weight=trained.scale.negatives,
                reporter=reporter,
                advance=advance,
            )
    return _write(config, name, trained, interactions, figures, ndcg_float32, tried, chosen)


def _check_options(config: CommonConfig, algorithm: Algorithm, options: Any) -> None:
    """Raises `UsageError` for options of the training that do not go with the algorithm."""
    if config.patience:
        fit.check_patience(algorithm, options)
    if config.weight_strength is not None and not algorithm.uses_values:
        raise UsageError(
            f"--weight-strength: {algorithm.name} does not learn from the weights of events", "leave it out"
        )
    if config.negative_weight and not algorithm.uses_negatives:
        able = ", ".join(algorithms.names(lambda a: a.uses_negatives and a.family == "cf"))
        raise UsageError(
            f"--negative-weight: {algorithm.name} does not learn from dislikes; it masks them", f"use {able}"
        )
    if config.storage_dtype != quantization.FLOAT32 and not algorithm.personal:
        raise UsageError(
            f"--storage-dtype {config.storage_dtype}: {algorithm.name} has one number for each item, "
            "and stays as it is",
            "leave it out",
        )


def _train(
    config: CommonConfig,
    options: Any,
    train: Callable[..., FitResult],
    validator: Validator | None,
    choices: ValueChoices,
    reporter: Reporter,
) -> BestFit:
    """The model with these options, and the strength of weights and of dislikes that are best on validation."""
    steps = fit.total_steps(options) * choices.fits
    with reporter.progress(f"training {config.algorithm}", steps, "iterations") as advance:
        with_options = partial(train, options, patience=config.patience, reporter=reporter, advance=advance)
        best = fit_best(with_options, choices, validator)
    for sentence in best.sentences():
        reporter.say(sentence)
    return best


def _search(
    config: CommonConfig,
    fixed: dict[str, Any],
    train: Callable[..., FitResult],
    validator: Validator,
    choices: ValueChoices,
    reporter: Reporter,
) -> tuple[FitResult, list[tuning.Tried]]:
    """The best model of `--tune`, and all trials. Only the best model so far is held, and not trained again."""
    best: FitResult | None = None
    best_score = -1.0
    of_values = {"weight_strength": choices.strengths, "negative_weight": choices.negative_weights}
    given = {name: tried[0] for name, tried in of_values.items()}
    common = {name: (Tune(choices=tried), tried[0]) for name, tried in of_values.items() if len(tried) > 1}

    def measure(options: Any, **of_values: float) -> float:
        nonlocal best, best_score
        trained = train(options, patience=config.patience, **(given | of_values))
        score = round(validator(trained.model), 6)
        if score > best_score:
            best, best_score = trained, score
        return score

    searched = algorithms[config.algorithm].config
    with reporter.progress(f"searching {config.algorithm}", config.tune, "trials") as advance:
        tried = tuning.search(
            searched,
            fixed,
            measure,
            trials=config.tune,
            seed=config.seed,
            common=common,
            advance=advance,
        )
    assert best is not None
    return best, tried


def _as_stored(config: CommonConfig, trained: FitResult, interactions: Interactions) -> Model:
    """The model as it will be read from disk."""
    if config.storage_dtype == quantization.FLOAT32:
        return trained.model
    heights = (interactions.n_users, interactions.n_items)
    state = quantization.compact_state(trained.model.state(), heights, config.storage_dtype)
    model = algorithms[config.algorithm].load(trained.config, quantization.expand_state(state))
    return with_scale(with_recency(model, config.history_half_life), trained.scale)


def _write(
    config: CommonConfig,
    name: str,
    trained: FitResult,
    interactions: Interactions,
    figures: ValidationFigures | None,
    ndcg_float32: float | None,
    tried: list[tuning.Tried],
    chosen: dict[str, Any],
) -> TrainedModel:
    """Write the model, and describe it."""
    measured: dict[str, Any] = dict(chosen)
    if tried:
        measured["trials"] = [{"options": trial.options, "ndcg@20": trial.score} for trial in tried]
    if figures is not None:
        measured["validation"] = figures.summary()
    if hasattr(trained.config, "iterations"):
        measured["iterations"] = trained.config.iterations
    splits = ("train", "validation") if config.refit else ("train",)
    options = to_dict(trained.config)
    path = runs.write_model(
        Path(config.run),
        name,
        config.algorithm,
        options,
        trained.model,
        seed=config.seed,
        trained_on=splits,
        summary=measured,
        history_half_life=config.history_half_life,
        storage_dtype=config.storage_dtype,
        scale=trained.scale,
        user_factors=served_user_factors(trained.model, interactions, splits),
    )
    summary: dict[str, Any] = {
        "model": name,
        "algorithm": config.algorithm,
        "options": options,
        "trained_on": list(splits),
    }
    if config.history_half_life:
        summary["history_half_life"] = config.history_half_life
    if trained.scale.mean != 1 or trained.scale.strength != 1:
        summary["weight_strength"] = trained.scale.strength
    if trained.scale.negatives:
        summary["negative_weight"] = trained.scale.negatives
    if config.storage_dtype != quantization.FLOAT32:
        summary["storage_dtype"] = config.storage_dtype
    return TrainedModel(
        run=Path(config.run),
        name=name,
        algorithm=config.algorithm,
        path=path,
        trained_on=splits,
        summary=summary | measured,
        validation=figures,
        ndcg_float32=ndcg_float32,
        trials=_table(tried),
    )


def _table(tried: list[tuning.Tried]) -> pl.DataFrame | None:
    """The trials, one a row, in the order in which they were tried."""
    if not tried:
        return None
    best = tuning.best_of(tried)
    rows = [{**trial.options, "ndcg@20": trial.score, "best": trial is best} for trial in tried]
    return pl.DataFrame(rows, infer_schema_length=None)
