"""`recli train-hybrid`: collaborative filtering and the items' texts in one model."""

from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING

from recli import schema
from recli.cli.console import Console, run_path
from recli.config import option_name, parse_pairs, spec_of, to_dict
from recli.errors import RecliError, UsageError
from recli.models.fusion import LOG_POPULARITY
from recli.models.popularity import RECENT_POPULARITY
from recli.steps.train_cf.config import checked_name
from recli.steps.train_hybrid.boost import boost_option, check_boost
from recli.steps.train_hybrid.config import CEASE, FUSION
from recli.steps.train_hybrid.config import TrainHybridConfig as TrainHybridConfig
from recli.steps.train_hybrid.making import Making
from recli.steps.train_hybrid.sources import (
    named_sources,
    needs_texts,
    read_ingredients,
    read_texts,
    run_models,
)

if TYPE_CHECKING:
    from recli.data.interactions import Interactions


def train_hybrid(config: TrainHybridConfig, console: Console) -> None:
    """Fuse collaborative filtering with the vectors of the texts: RUN/models/NAME.

    Each source scores all items; its scores are standardized user by user and added with weights, which are found
    on the validation split. Items without training events are scored from their texts, in a block of their own.

    Example: recli train-hybrid sample_data/run
    """
    from recli.steps.train_hybrid.weights import TrainingInputs
    from recli.storage import runs
    from recli.training import validation

    usual = "hybrid" if config.model == "fusion" else config.model
    name = checked_name(usual if config.name is None else config.name, config.model)
    _check_fusion_options(config)
    asked = boost_option(config)
    run = run_path(config.run)
    interactions = runs.read_interactions(run)
    sources = named_sources(config, interactions, run_models(run, config))
    _check_used(config, sources)
    given = _given_weights(config, sources)
    _check_times(config, sources, interactions)
    if config.model == "fusion" and given is None and not validation.has_validation(interactions):
        raise RecliError(
            f"there are no validation rows in {run} to find weights on",
            "prepare it with some: recli prepare LOG --out RUN --validation-size 0.1; or give the weights: "
            "--fusion weighted --weights ials=0.5,...",
        )
    texts = read_texts(run, config, interactions, console) if needs_texts(config, sources) else None
    kitchen = TrainingInputs(interactions, texts.features if texts else None, config.seed, console.progress)
    inputs, ingredients = read_ingredients(run, config, interactions, sources, console)
    _check_overwriting(run, name, config, inputs, console)
    made = Making(config, console, kitchen, sources, ingredients)
    if asked is not None:
        check_boost(config, asked, interactions, made.fused, made.splits)
    if config.model == "fusion":
        options, model, summary = made.fusion(given, texts)
    else:
        options, model, summary = made.content(validation.has_validation(interactions))
    if config.save_sources:
        made.save(run, inputs)
    embeddings = texts.inputs() if texts else {}
    path = runs.write_model(
        run,
        name,
        config.model,
        to_dict(options),
        model,
        seed=config.seed,
        trained_on=made.splits,
        inputs=inputs | embeddings,
        summary=summary,
        storage_dtype=config.storage_dtype,
    )
    console.say(f"wrote {path}")
    console.result(
        run, {"model": name, "algorithm": config.model, "trained_on": list(made.splits), **summary}
    )


def _check_fusion_options(config: TrainHybridConfig) -> None:
    """Raises `UsageError` for options of the fusion where there is none."""
    if config.model == "fusion":
        return
    for one in fields(config):
        of_fusion = spec_of(one).panel == FUSION or one.name in ("sources", "cf", "history_half_life")
        if of_fusion and getattr(config, one.name) != one.default:
            raise UsageError(
                f"{option_name(one)} is about a fusion: it does not go with --model {config.model}"
            )


def _check_used(config: TrainHybridConfig, sources: tuple[str, ...]) -> None:
    """Raises `UsageError` for options of something that is not part of what is to be trained."""
    needed = {
        "voting": ("--fusion voting", config.fusion == "voting"),
        "rrf_k": ("--fusion voting", config.fusion == "voting"),
        "neighbors": ("the source content-knn", "content-knn" in sources),
        "ridge": ("the source text-factors", "text-factors" in sources),
        **{
            one.name: ("the source cease", "cease" in sources)
            for one in fields(config)
            if spec_of(one).panel == CEASE
        },
        **dict.fromkeys(("embeddings", "tfidf"), ("texts", needs_texts(config, sources))),
    }
    for one in fields(config):
        what, there = needed.get(one.name, ("", True))
        if not there and getattr(config, one.name) != one.default:
            among = "" if what.startswith("--") else f"; the sources are {', '.join(sources)}"
            raise UsageError(
                f"{option_name(one)} is about {what}, which is not asked for{among}", "leave it out"
            )


def _check_times(config: TrainHybridConfig, sources: tuple[str, ...], interactions: "Interactions") -> None:
    """Raises `RecliError` where something is asked that needs the times or the order of events, and there are none."""
    if RECENT_POPULARITY in sources and not interactions.has_times:
        raise RecliError(
            f"the source {RECENT_POPULARITY} needs the time of events, and these interactions have no timestamps",
            "prepare the run from a log with a time column (recli prepare --time-column), or leave it out",
        )
    if config.history_half_life and not interactions.has_order:
        raise RecliError(
            "--history-half-life needs the order of events, which these interactions do not have",
            "prepare the run from a log with times (recli prepare --time-column) or with rows in order (--in-order), "
            "or leave it out",
        )


def _check_overwriting(
    run: Path, name: str, config: TrainHybridConfig, inputs: dict[str, str], console: Console
) -> None:
    """Raises `UsageError` where the product would replace one of its own sources; warns of other replacements."""
    from recli.storage import metadata, parts

    if f"{schema.MODELS}/{name}" in inputs:
        raise UsageError(
            f"--name {name} would overwrite the model {name}, which is a source of it", "choose another name"
        )
    if name in parts.part_names(run, schema.MODELS):
        with suppress(RecliError):  # one that is damaged may be replaced without a word
            found = metadata.model_meta(parts.open_part(run / schema.MODELS / name, schema.MODELS)).algorithm
            if found != config.model:
                console.warn(f"the model {name} in {run}, which is of kind {found}, will be replaced")


def _given_weights(config: TrainHybridConfig, sources: tuple[str, ...]) -> dict[str, float] | None:
    """The weights that need no search: those of --weights, or equal ones for voting. Raises `UsageError`."""
    if config.fusion == "weighted" and config.weights is None:
        raise UsageError(f"--fusion weighted needs --weights, such as {sources[0]}=0.6,{LOG_POPULARITY}=0.1")
    if config.weights is not None and config.fusion != "weighted":
        raise UsageError("--weights needs --fusion weighted")
    if config.fusion == "voting":
        return dict.fromkeys(sources, 1 / len(sources))
    if config.weights is None:
        return None
    given = parse_pairs(config.weights, "--weights")
    for name, weight in given.items():
        if name not in (*sources, LOG_POPULARITY):
            raise UsageError(
                f"--weights: {name!r} is no source; they are {', '.join((*sources, LOG_POPULARITY))}"
            )
        if weight < 0:
            raise UsageError(f"--weights: {name}={weight:g} is negative")
    if not any(given.values()):
        raise UsageError("--weights: all are 0")
    return given
