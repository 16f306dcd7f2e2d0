"""Chooses the sources of a hybrid by name, reads them from the run or trains them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from recli import schema
from recli.config import to_dict
from recli.data.interactions import Interactions
from recli.errors import RecliError, quoted, unknown_name
from recli.models.base import Model, Training, algorithms
from recli.models.content_knn import ContentKnnConfig
from recli.models.fusion import FusedSource, Fusion, FusionConfig
from recli.models.popularity import RECENT_POPULARITY, PopularityConfig
from recli.models.text_factors import TextFactors, TextFactorsConfig
from recli.models.wrappers import scale_of, unwrap, with_recency, with_scale
from recli.reporting import SILENT, Reporter
from recli.schema import CSR, Bool, Float32
from recli.steps.train_hybrid.config import FACTOR_MODELS, TrainHybridConfig, content_algorithms
from recli.storage import parts, runs
from recli.training.fit import total_steps, train
from recli.training.validation import has_validation, validator_of
from recli.training.value_choices import ValueChoices, fit_best, value_choices, value_scale

TRAIN = ("train",)


@dataclass(frozen=True)
class SourceSpec:
    """A source: an algorithm with its options, and its model where the run has one already."""

    name: str
    algorithm: str
    config: Any
    model: Model | None = None
    trained_on: tuple[str, ...] = TRAIN
    history_half_life: float = 0.0  # events; 0: all events of a history are alike
    sha256: str | None = None  # of the run's model
    weight_strength: float | None = None  # see `ValueScale`; None: not chosen yet
    negative_weight: float | None = None  # likewise
    fused: bool = True  # False: only the base of text-factors

    @property
    def content(self) -> bool:
        return algorithms[self.algorithm].family == "content"


@dataclass(frozen=True)
class TrainingInputs:
    """Inputs of the training of sources: interactions, splits, features, seed."""

    interactions: Interactions
    features: Float32 | None  # (n_items, d)
    seed: int
    reporter: Reporter = SILENT


@dataclass(frozen=True)
class TrainedSources:
    """Sources and their models, by name."""

    specs: tuple[SourceSpec, ...]
    models: Mapping[str, Model]

    @property
    def fused(self) -> tuple[SourceSpec, ...]:
        return tuple(spec for spec in self.specs if spec.fused)

    def described(self) -> tuple[dict[str, Any], ...]:
        """The fused sources as the fusion's config describes them."""
        described = []
        for spec in self.fused:
            model, base = unwrap(self.models[spec.name]), None
            if isinstance(model, TextFactors):  # its user vectors are those of another source: stored once
                base = next((s.name for s in self.fused if unwrap(self.models[s.name]) is model.base), None)
            options = to_dict(spec.config)
            source = asdict(FusedSource(spec.name, spec.algorithm, options, base, spec.history_half_life))
            source["value_scale"] = scale_of(self.models[spec.name]).numbers()
            described.append(
                {name: value for name, value in source.items() if name != "value_scale" or value}
            )
        return tuple(described)


def run_models(
    run: Path, config: TrainHybridConfig, warned: Sequence[str] = (), reporter: Reporter = SILENT
) -> list[str]:
    """The run's models that may be sources: where none is named, those whose algorithms are installed.

    The reporter gets a line for each other one that is among `warned`.
    """
    names = parts.part_names(run, schema.MODELS)
    if config.sources is not None or config.weights is not None or config.cf:
        return names
    known: list[str] = []
    for name in names:
        warn = reporter.warn if name in warned else SILENT.warn
        known += runs.models_with_known_algorithms(run, [name], warn)
    return known


def check_known(config: TrainHybridConfig, names: tuple[str, ...], run: Path) -> None:
    """Raises `UsageError` for a name that is no model of the run and no algorithm, before texts are read."""
    models = parts.part_names(run, schema.MODELS)
    known = models if config.cf else [*models, *algorithms.names(), RECENT_POPULARITY]
    for name in names:
        if name not in (*known, *content_algorithms()):
            raise _unknown_source(run, name, models, config)


def choose_sources(
    config: TrainHybridConfig,
    names: tuple[str, ...],
    run: Path,
    interactions: Interactions,
    reporter: Reporter,
) -> tuple[SourceSpec, ...]:
    """The sources of these names in order: models of the run, or algorithms.

    Where text-factors is among them and no base of it (see `FACTOR_MODELS`) is, the first base is added behind them,
    not to be fused. Raises `RecliError` for names that are neither, and models that cannot be sources.
    """
    models = run_models(run, config, names, reporter)

    def spec_of(name: str) -> SourceSpec:
        if name in content_algorithms():
            return SourceSpec(name, name, _content_config(config, name))
        if name == RECENT_POPULARITY:
            return SourceSpec(name, "popularity", PopularityConfig())
        if name in models:
            return _read_source(run, name, interactions, reporter)
        if name in algorithms.names() and name not in config.cf:
            reporter.say(f"{name}: no such model in the run; it is trained with its defaults")
            return SourceSpec(name, name, algorithms[name].config())
        raise _unknown_source(run, name, models, config)

    specs = [spec_of(name) for name in names]
    if "text-factors" in names and not any(spec.algorithm in FACTOR_MODELS for spec in specs):
        specs.append(replace(spec_of(FACTOR_MODELS[0]), fused=False))
    return _with_base_options(specs)


def _content_config(config: TrainHybridConfig, name: str) -> Any:
    if name == "content-knn":
        return ContentKnnConfig(neighbors=config.neighbors)
    if name == "text-factors":
        return TextFactorsConfig(ridge=config.ridge)
    options = {"l2": config.l2, "text_weight": config.text_weight, "max_items": config.max_items}
    return algorithms["cease"].config(**{key: value for key, value in options.items() if value is not None})


def _read_source(run: Path, name: str, interactions: Interactions, reporter: Reporter) -> SourceSpec:
    """A model of the run as a source. Raises `RecliError` for one that is no CF model, or of other interactions."""
    stored = runs.read_model(run / schema.MODELS / name)
    if algorithms[stored.algorithm].family != "cf":
        raise RecliError(
            f"{stored.part.path} is of kind {stored.algorithm}, which cannot be a source by name",
            f"name a model that recli train-cf {quoted(run)} has made",
        )
    remedy = f"recli train-cf {quoted(run)} --algorithm {stored.algorithm} --name {quoted(name)}"
    parts.check_same_input(stored.part, schema.INTERACTIONS, interactions.sha256, remedy)
    if stored.trained_on == TRAIN:
        reporter.say(f"{name}: the run's model")
    else:
        reporter.say(
            f"{name}: the run's model has seen validation; it is trained again on train, with the same options"
        )
    return SourceSpec(
        name,
        stored.algorithm,
        stored.options,
        stored.model,
        stored.trained_on,
        stored.meta.history_half_life,
        stored.part.sha256,
        stored.meta.scale.strength if stored.meta.value_scale else None,
        stored.meta.scale.negatives if stored.meta.value_scale else None,
    )


def _unknown_source(run: Path, name: str, models: list[str], config: TrainHybridConfig) -> RecliError:
    train = f"train it: recli train-cf {quoted(run)} --name {quoted(name)} --algorithm ..."
    if name in config.cf:
        return unknown_name(f"{run}: there is no model", name, models, train)
    known = algorithms.names(lambda a: a.family != "hybrid")
    return unknown_name(f"{run}: there is no model and no algorithm", name, (*models, *known), train)


def _with_base_options(specs: Sequence[SourceSpec]) -> tuple[SourceSpec, ...]:
    """The sources, text-factors with the options of the model whose factors it predicts: the first of its bases."""
    base = next((spec for spec in specs if spec.algorithm in FACTOR_MODELS), None)
    if base is None:
        return tuple(specs)
    options = {"base": base.algorithm, "base_options": to_dict(base.config)}
    return tuple(
        replace(spec, config=replace(spec.config, **options)) if spec.algorithm == "text-factors" else spec
        for spec in specs
    )


def train_sources(
    inputs: TrainingInputs, specs: Sequence[SourceSpec], splits: tuple[str, ...]
) -> TrainedSources:
    """Train the sources on the named splits; a model that the run has is taken if it learned from just these.

    Where weights are not all 1, or there are dislikes, a source that has no strength of them yet gets the best on
    validation.
    """
    models: dict[str, Model] = {}
    for spec in specs:
        choices = _value_choices(inputs, spec, splits)
        if spec.content and choices.fits == 1:
            continue
        if spec.model is not None and spec.trained_on == splits:
            model = with_recency(unwrap(spec.model), spec.history_half_life)
            models[spec.name] = with_scale(model, scale_of(spec.model))
            continue
        models[spec.name] = _train_best(inputs, spec, choices, splits)
    matrix = inputs.interactions.matrix(*splits)
    others = [spec for spec in specs if not (spec.content and spec.name in models)]
    content = train_content(inputs, others, models, matrix, cold_items(matrix))
    models |= content
    return TrainedSources(tuple(_with_scale_of(models[spec.name], spec) for spec in specs), models)


def _with_scale_of(model: Model, spec: SourceSpec) -> SourceSpec:
    """The source with the strengths of its model, for when it is trained again."""
    scale = scale_of(model)
    return replace(spec, weight_strength=scale.strength, negative_weight=scale.negatives)


def _value_choices(inputs: TrainingInputs, spec: SourceSpec, splits: tuple[str, ...]) -> ValueChoices:
    """The strengths of weights and dislikes that are to be tried for a source that has none yet."""
    return value_choices(
        algorithms[spec.algorithm],
        inputs.interactions,
        strength=spec.weight_strength,
        negative_weight=spec.negative_weight,
        validated=has_validation(inputs.interactions) and splits == TRAIN,
    )


def _train_best(
    inputs: TrainingInputs, spec: SourceSpec, choices: ValueChoices, splits: tuple[str, ...]
) -> Model:
    """The source's model, by the choice that is best on validation."""
    algorithm, interactions = algorithms[spec.algorithm], inputs.interactions
    validator = validator_of(interactions, inputs.seed) if choices.fits > 1 else None
    steps = total_steps(spec.config) * choices.fits
    with inputs.reporter.progress(f"training {spec.name}", steps) as advance:
        train_with = partial(
            train,
            algorithm,
            spec.config,
            interactions,
            splits=splits,
            seed=inputs.seed,
            advance=advance,
            features=inputs.features,
            history_half_life=spec.history_half_life,
        )
        best = fit_best(train_with, choices, validator)
    for text in best.sentences():
        inputs.reporter.say(f"{spec.name}: {text}")
    return best.trained.model


def train_content(
    inputs: TrainingInputs,
    specs: Sequence[SourceSpec],
    models: Mapping[str, Model],
    matrix: CSR,
    cold: Bool,
) -> dict[str, Model]:
    """Train the content sources, by name, on `matrix` (n_users, n_items).

    `models`: the collaborative ones, on which they may build. `cold`: bool (n_items,), items without events.
    """
    by_algorithm = {s.algorithm: unwrap(models[s.name]) for s in reversed(specs) if s.name in models}
    content: dict[str, Model] = {}
    for spec in specs:
        if not spec.content:
            continue
        with inputs.reporter.progress(f"training {spec.name}", None) as advance:
            scale = value_scale(algorithms[spec.algorithm], matrix, spec.weight_strength)
            training = Training(
                scale(matrix) if scale else matrix,
                features=inputs.features,
                cold=cold,
                models=by_algorithm,
                advance=advance,
            )
            model = algorithms[spec.algorithm].fit(spec.config, training)
            if isinstance(model, TextFactors):  # its users are those of its base
                scale = next(scale_of(m) for m in models.values() if unwrap(m) is model.base)
            content[spec.name] = with_scale(with_recency(model, spec.history_half_life), scale)
    return content


def cold_items(matrix: CSR) -> Bool:
    """Items without an event, bool (n_items,)."""
    return np.asarray(matrix.getnnz(axis=0) == 0)


def build_fusion(options: FusionConfig, matrix: CSR, models: Mapping[str, Model]) -> Fusion:
    """The fusion of trained models; `matrix`: (n_users, n_items), what they were trained on."""
    fusion = algorithms["fusion"].fit(options, Training(matrix, models=models))
    assert isinstance(fusion, Fusion)
    return fusion
