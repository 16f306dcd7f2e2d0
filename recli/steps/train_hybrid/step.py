"""`recli train-hybrid`: collaborative filtering and the items' texts in one model."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from recli import schema
from recli.config import to_dict
from recli.data.interactions import Interactions
from recli.errors import RecliError, UsageError
from recli.models.base import Model
from recli.models.wrappers import scale_of
from recli.reporting import SILENT, Reporter, StepResult
from recli.steps.train_hybrid.cold_items import (
    ColdBoost,
    ListedCold,
    check_boost,
    count_listed,
    fit_cold_boost,
    rank_for_boost,
)
from recli.steps.train_hybrid.config import (
    TrainHybridConfig,
    check_times,
    check_used,
    fixed_weights,
    given_options,
    needs_texts,
    source_names,
)
from recli.steps.train_hybrid.content import with_cease_options
from recli.steps.train_hybrid.half_lives import with_history_half_lives, with_popularity_half_life
from recli.steps.train_hybrid.sources import (
    TRAIN,
    SourceSpec,
    TrainedSources,
    TrainingInputs,
    build_fusion,
    check_known,
    choose_sources,
    run_models,
    train_sources,
)
from recli.steps.train_hybrid.texts import Texts, read_texts, with_profiles
from recli.steps.train_hybrid.weights import FittedWeights, fit_weights, without_weightless
from recli.storage import metadata, parts, runs
from recli.storage.names import checked_name
from recli.storage.writable import check_writable
from recli.training.fit import check_order
from recli.training.validation import ValidationFigures, has_validation, validator_of


@dataclass(frozen=True, kw_only=True)
class HybridFigures:
    """What was measured while a hybrid was trained; None: not measured, or does not apply to it."""

    validation: ValidationFigures | None = None  # of a fusion: among warm items
    pseudo_cold: ValidationFigures | None = None  # of a fusion: among pseudo-cold items
    sources: pl.DataFrame | None = None  # of a fusion, see `FusionWeights.table`
    trials: pl.DataFrame | None = None  # of cease: `l2`, `text_weight`, `ndcg@20`
    listed_cold: ListedCold | None = None
    cold_boost: ColdBoost | None = None


@dataclass(frozen=True, kw_only=True)
class TrainedHybrid(HybridFigures, StepResult):
    """A hybrid that `train_hybrid` has written."""

    run: Path
    name: str
    algorithm: str
    path: Path
    trained_on: tuple[str, ...]  # splits
    summary: dict[str, Any]  # as `--json` prints it
    saved_sources: tuple[Path, ...]  # by `--save-sources`


@dataclass(frozen=True)
class _Trained:
    """A model that is ready to be written."""

    options: Any
    model: Model
    made_from: TrainedSources
    summary: dict[str, Any]
    figures: HybridFigures


def train_hybrid(config: TrainHybridConfig, reporter: Reporter = SILENT) -> TrainedHybrid:
    """Train a fusion of several sources, or one content model, and write it to RUN/models/NAME.

    Raises `UsageError` for options that do not go together, `RecliError` for a run that lacks what they need.
    """
    run = Path(config.run)
    default_name = "hybrid" if config.algorithm == "fusion" else config.algorithm
    name = checked_name(default_name if config.name is None else config.name, config.algorithm)
    interactions = runs.read_interactions(run)
    check_writable(run)
    names = source_names(config, interactions, run_models(run, config))
    check_known(config, names, run)
    weights = fixed_weights(config, names)
    _check_options(config, names, interactions, weights)
    texts = read_texts(run, config, interactions, reporter) if needs_texts(config, names) else None
    specs = choose_sources(config, names, run, interactions, reporter)
    _check_overwriting(run, name, config, specs, reporter)
    check_boost(config, interactions, specs)
    inputs = TrainingInputs(interactions, texts.features if texts else None, config.seed, reporter)
    if config.algorithm == "fusion":
        trained = _train_fusion(config, inputs, specs, weights, texts)
    else:
        trained = _train_content_model(config, inputs, specs)
    sha256 = {f"{schema.MODELS}/{spec.name}": spec.sha256 for spec in specs if spec.sha256 is not None}
    return _write(config, name, trained, sha256 | (texts.sha256 if texts else {}))


def _train_fusion(
    config: TrainHybridConfig,
    inputs: TrainingInputs,
    specs: tuple[SourceSpec, ...],
    weights: dict[str, float] | None,
    texts: Texts | None,
) -> _Trained:
    """Train the sources, fit the weights and the boost of cold items, and put the fusion together."""
    trained = train_sources(inputs, with_popularity_half_life(inputs, specs), TRAIN)
    trained = with_history_half_lives(inputs, trained, config.history_half_life)
    options = config.fusion_options
    fitted, pseudo_cold = fit_weights(inputs, trained, options, weights, config)
    table = fitted.table(trained.specs)
    trained = without_weightless(trained, fitted, inputs.reporter)
    options = fitted.options(options, trained)
    rankings = rank_for_boost(config, inputs, trained, options, pseudo_cold)
    del pseudo_cold  # its models are as large as those that are trained next
    if config.refit:
        trained = train_sources(inputs, trained.specs, config.trained_on)
        options = fitted.options(options, trained)  # values are scaled by the mean of those trained on
    matrix = inputs.interactions.matrix(*config.trained_on)
    fusion = build_fusion(options, matrix, trained.models)
    boost = fit_cold_boost(config, inputs, fusion, rankings)
    if boost is not None:
        fusion = replace(fusion, config=replace(options, cold_boost=boost.boost))
    figures = HybridFigures(
        validation=_validation(fitted.warm),
        pseudo_cold=_validation(fitted.cold),
        sources=table,
        listed_cold=None if boost else count_listed(fusion, inputs.interactions, config),
        cold_boost=boost,
    )
    summary: dict[str, Any] = {"sources": fitted.summary(), **_summary(figures)}
    if texts is not None:
        summary["encoder"] = texts.encoder
        fusion = with_profiles(fusion, texts, matrix)
    return _Trained(fusion.config, fusion, trained, summary, figures)


def _train_content_model(
    config: TrainHybridConfig, inputs: TrainingInputs, specs: tuple[SourceSpec, ...]
) -> _Trained:
    """Train one content algorithm by itself, and what it builds on."""
    interactions = inputs.interactions
    validator = validator_of(interactions, config.seed) if has_validation(interactions) else None
    specs, trials = with_cease_options(config, inputs, specs, validator)
    trained = train_sources(inputs, specs, TRAIN)
    figures = HybridFigures(
        validation=None if validator is None else validator.figures(trained.models[config.algorithm]),
        trials=trials,
    )
    if config.refit:
        trained = train_sources(inputs, specs, config.trained_on)
    summary: dict[str, Any] = {}
    if trials is not None:
        summary["trials"] = [row | {"ndcg@20": round(row["ndcg@20"], 6)} for row in trials.to_dicts()]
    options = next(spec.config for spec in specs if spec.name == config.algorithm)
    return _Trained(options, trained.models[config.algorithm], trained, summary | _summary(figures), figures)


def _validation(weights: FittedWeights) -> ValidationFigures | None:
    return None if weights.ndcg is None else ValidationFigures(weights.ndcg, weights.users)


def _summary(figures: HybridFigures) -> dict[str, Any]:
    """The figures of the whole model, for the manifest."""
    named = {
        "validation": figures.validation,
        "pseudo_cold": figures.pseudo_cold,
        "cold_items": figures.cold_boost,
    }
    return {name: measured.summary() for name, measured in named.items() if measured is not None}


def _check_options(
    config: TrainHybridConfig,
    sources: tuple[str, ...],
    interactions: Interactions,
    weights: dict[str, float] | None,
) -> None:
    """Raises `UsageError` for options of what is not used, `RecliError` for those that the data does not allow."""
    check_used(config, sources)
    check_times(sources, interactions)
    if config.history_half_life:
        check_order(interactions)
    if config.algorithm == "fusion" and weights is None and not has_validation(interactions):
        raise RecliError(
            f"there are no validation rows in {config.run} to fit weights on",
            "prepare it with some: recli prepare LOG --out RUN --validation-size 0.1; or give the weights: "
            "--fusion weighted --weights ials=0.5,...",
        )


def _check_overwriting(
    run: Path, name: str, config: TrainHybridConfig, specs: tuple[SourceSpec, ...], reporter: Reporter
) -> None:
    """Raises `UsageError` where the product would replace one of its own sources; warns of other replacements."""
    if any(spec.name == name and spec.sha256 is not None for spec in specs):
        raise UsageError(
            f"--name {name} would overwrite the model {name}, which is a source of it", "choose another name"
        )
    if name in parts.part_names(run, schema.MODELS):
        with suppress(RecliError):  # a damaged one is replaced without a warning
            part = parts.open_part(run / schema.MODELS / name, schema.MODELS)
            algorithm = metadata.model_meta(part).algorithm
            if algorithm != config.algorithm:
                reporter.warn(f"the model {name} in {run}, which is of kind {algorithm}, will be replaced")


def _write(config: TrainHybridConfig, name: str, trained: _Trained, inputs: dict[str, str]) -> TrainedHybrid:
    """Write the model, and before it the sources that are to be saved."""
    run, saved = Path(config.run), []
    for spec in trained.made_from.specs if config.save_sources else ():
        if spec.sha256 is None and spec.name != config.algorithm:
            saved.append(
                runs.write_model(
                    run,
                    spec.name,
                    spec.algorithm,
                    to_dict(spec.config),
                    trained.made_from.models[spec.name],
                    seed=config.seed,
                    trained_on=config.trained_on,
                    history_half_life=spec.history_half_life,
                    storage_dtype=config.storage_dtype,
                    scale=scale_of(trained.made_from.models[spec.name]),
                )
            )
    measured = {**trained.summary, schema.GIVEN: given_options(config)}
    path = runs.write_model(
        run,
        name,
        config.algorithm,
        to_dict(trained.options),
        trained.model,
        seed=config.seed,
        trained_on=config.trained_on,
        inputs=inputs,
        summary=measured,
        storage_dtype=config.storage_dtype,
        scale=scale_of(trained.model),
    )
    summary = {"model": name, "algorithm": config.algorithm, "trained_on": list(config.trained_on)}
    return TrainedHybrid(
        run=run,
        name=name,
        algorithm=config.algorithm,
        path=path,
        trained_on=config.trained_on,
        summary=summary | measured,
        saved_sources=tuple(saved),
        **vars(trained.figures),
    )
