"""What `recli train-hybrid` starts from: the items' texts as features, and the sources it is to fuse."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recli import schema
from recli.cli.console import Console
from recli.config import parse_pairs, to_dict
from recli.errors import RecliError, UsageError
from recli.models.base import algorithms
from recli.models.content_knn import ContentKnnConfig
from recli.models.fusion import LOG_POPULARITY
from recli.models.popularity import RECENT_POPULARITY, PopularityConfig
from recli.models.text_factors import TextFactorsConfig
from recli.steps.train_hybrid.config import EXACT_ITEMS, TrainHybridConfig

if TYPE_CHECKING:
    from recli.data.interactions import Interactions
    from recli.schema import Float32, State
    from recli.steps.train_hybrid.weights import SourceSpec
    from recli.storage.parts import Part

FACTOR_MODELS = (
    "ials",
    "als",
)  # text-factors predicts the factors of one of these; of the first if none is a source


def content_algorithms() -> tuple[str, ...]:
    return algorithms.names(lambda a: a.family == "content")


def default_sources(interactions: "Interactions", models: list[str], with_texts: bool) -> tuple[str, ...]:
    """What is fused where nothing is named: as many different views as the interactions allow.

    Of the factor models the one that the run has among its `models`.
    """
    names = [next((base for base in FACTOR_MODELS if base in models), FACTOR_MODELS[0]), "bspm", "user-knn"]
    if with_texts:
        names += ["content-knn", "text-factors"]
    names.append("cease" if with_texts and interactions.n_items <= EXACT_ITEMS else "ease")
    if interactions.has_order:
        names.append("sequential-rules")
    if interactions.has_times:
        names.append(RECENT_POPULARITY)
    return tuple(names)


def named_sources(
    config: TrainHybridConfig, interactions: "Interactions", models: list[str]
) -> tuple[str, ...]:
    """Names of the sources in order; `models`: those that the run has.

    Raises `UsageError` for none, one named twice, or one that cannot be.
    """
    if config.model != "fusion":
        return (config.model,)
    # the prior is in every fusion already
    asked = [
        name for name in _asked_sources(config, interactions, models) if name not in ("", LOG_POPULARITY)
    ]
    if config.cf:
        asked = [*config.cf, *(name for name in asked if name in content_algorithms())]
    if not asked:
        option = "--sources" if config.sources is not None else "--weights"
        raise UsageError(
            f"{option} names no source ({LOG_POPULARITY} is in every fusion)",
            "name some, such as ials,user-knn",
        )
    for name in asked:
        if asked.count(name) > 1:
            raise UsageError(f"the source {name!r} is named twice")
        if name == LOG_POPULARITY:
            raise UsageError(f"{LOG_POPULARITY} is in every fusion already")
        if name in algorithms.names(lambda a: a.family == "hybrid"):
            raise UsageError(f"{name!r} cannot be a source")
    return tuple(asked)


def _asked_sources(config: TrainHybridConfig, interactions: "Interactions", models: list[str]) -> list[str]:
    """What --sources names, or else --weights, or else what the interactions allow."""
    if config.sources is not None:
        return [name.strip() for name in config.sources.split(",")]
    if config.weights is not None and not config.cf:
        return list(parse_pairs(config.weights, "--weights"))
    texts = bool(config.embeddings) or interactions.items[schema.TEXT].null_count() < interactions.n_items
    return list(default_sources(interactions, models, texts))


def needs_texts(config: TrainHybridConfig, sources: tuple[str, ...]) -> bool:
    return config.model != "fusion" or any(name in content_algorithms() for name in sources)


@dataclass(frozen=True)
class Texts:
    """What is known of the items' texts: joined features, and the first embeddings for texts about users."""

    features: "Float32"  # (n_items, d)
    vectors: "Float32"  # of the first embeddings
    space: "State"  # their center [and projection]
    parts: "tuple[Part, ...]"

    def inputs(self) -> dict[str, str]:
        return {f"{schema.EMBEDDINGS}/{part.path.name}": part.sha256 for part in self.parts}

    def encoder(self) -> dict[str, Any]:
        """What it takes to encode another text as the first embeddings were."""
        part = self.parts[0]
        return {"embeddings": part.path.name, "config": part.config, "summary": part.summary}


def read_texts(run: Path, config: TrainHybridConfig, interactions: "Interactions", console: Console) -> Texts:
    """Read the embeddings that are to be used, and join TF-IDF vectors to them unless they are such already."""
    from recli.steps.train_hybrid.weights import join_features
    from recli.storage import runs
    from recli.storage.metadata import embedding_meta

    read = [runs.read_embeddings(run, name) for name in _embedding_names(run, config)]
    parts = tuple(part for _, part in read)
    joined = {part.path.name: vectors for vectors, part in read}
    if config.tfidf and all(embedding_meta(part).model != "tfidf" for part in parts):
        with console.progress("TF-IDF of the texts", None) as advance:
            joined["TF-IDF"] = _tfidf(interactions, config.seed)
            advance(1, f"{joined['TF-IDF'].shape[1]} dimensions")
    features = join_features(list(joined.values()))
    if not features.any():
        raise RecliError(
            f"no item in {run} has a text",
            "prepare the run with texts (--items, --text), or fuse without: --sources ials,user-knn",
        )
    console.say(f"features: {' + '.join(joined)}, {features.shape[1]} dimensions")
    space = {
        name: array for name, array in parts[0].tensors("vectors").items() if name in ("center", "projection")
    }
    return Texts(features, read[0][0], space, parts)


def _embedding_names(run: Path, config: TrainHybridConfig) -> tuple[str, ...]:
    from recli.storage import parts

    if config.embeddings:
        return tuple(dict.fromkeys(config.embeddings))
    found = parts.part_names(run, schema.EMBEDDINGS)
    if not found:
        raise RecliError(
            f"there are no embeddings in {run}",
            f"make them with: recli embed {run}; or fuse without texts: --sources ials,user-knn",
        )
    if len(found) > 1:
        raise UsageError(
            f"the run has several embeddings ({', '.join(found)}): choose one, or name each of those to join, "
            f"as in --embeddings {' --embeddings '.join(found)}"
        )
    return tuple(found)


def _tfidf(interactions: "Interactions", seed: int) -> "Float32":
    """TF-IDF vectors of the texts, float32 (n_items, d), zero where there is no text."""
    import numpy as np

    from recli.encoders import tfidf
    from recli.encoders.texts import unique

    texts = unique(interactions.items[schema.TEXT].to_list())
    encoded = tfidf.encode(texts.texts, texts.texts, tfidf.DIM, seed)
    vectors = np.zeros((interactions.n_items, encoded.shape[1]), dtype=np.float32)
    vectors[texts.row >= 0] = encoded[texts.row[texts.row >= 0]]
    return vectors


def run_models(
    run: Path,
    config: TrainHybridConfig,
    warned: Sequence[str] = (),
    warn: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """The run's models that may be sources: where none is named, those whose algorithms are installed.

    `warn` gets a line for each other one that is among `warned`.
    """
    from recli.storage import parts, runs

    names = parts.part_names(run, schema.MODELS)
    if config.sources is not None or config.weights is not None or config.cf:
        return names
    known: list[str] = []
    for name in names:
        known += runs.models_with_known_algorithms(run, [name], warn if name in warned else lambda line: None)
    return known


def read_ingredients(
    run: Path,
    config: TrainHybridConfig,
    interactions: "Interactions",
    sources: tuple[str, ...],
    console: Console,
) -> "tuple[dict[str, str], list[SourceSpec]]":
    """sha256 of the run's models that are used, by part name; and the sources in order.

    Where text-factors is among them and no base of it (see `FACTOR_MODELS`) is, the first base is added behind them.
    """
    from recli.steps.train_hybrid.weights import SourceSpec

    inputs: dict[str, str] = {}
    models = run_models(run, config, sources, console.warn)
    made: list[SourceSpec] = []
    wanted = list(sources)
    for name in wanted:
        if name in content_algorithms():
            made.append(SourceSpec(name, name, _content_config(config, name)))
        elif name == RECENT_POPULARITY:
            made.append(SourceSpec(name, "popularity", PopularityConfig()))
        elif name in models:
            found, sha256 = _stored(run, name, interactions, console)
            inputs[f"{schema.MODELS}/{name}"] = sha256
            made.append(found)
        elif name in algorithms.names() and name not in config.cf:
            console.say(f"{name}: no such model in the run; it is trained with its defaults")
            made.append(SourceSpec(name, name, algorithms[name].config()))
        else:
            raise _unknown(run, name)
        based = "text-factors" not in wanted or any(i.algorithm in FACTOR_MODELS for i in made)
        if len(made) == len(sources) and not based:
            wanted.append(FACTOR_MODELS[0])  # the loop goes on with it
    return inputs, _with_base(made)


def _content_config(config: TrainHybridConfig, name: str) -> Any:
    if name == "content-knn":
        return ContentKnnConfig(neighbors=config.neighbors)
    if name == "text-factors":
        return TextFactorsConfig(ridge=config.ridge)
    cease = algorithms["cease"].config(max_items=config.max_items)
    given = {k: v for k, v in (("l2", config.l2), ("text_weight", config.text_weight)) if v is not None}
    return replace(cease, **given)


def _stored(run: Path, name: str, interactions: "Interactions", console: Console) -> "tuple[SourceSpec, str]":
    """A model of the run as a source, and its sha256. Raises `RecliError` for one that is no CF model or foreign."""
    from recli.steps.train_hybrid.weights import SourceSpec
    from recli.storage import parts, runs

    stored = runs.read_model(run / schema.MODELS / name)
    if algorithms[stored.algorithm].family != "cf":
        raise RecliError(
            f"{stored.part.path} is of kind {stored.algorithm}, which cannot be a source by name",
            f"name a model that recli train-cf {run} has made",
        )
    again = f"recli train-cf {run} --algorithm {stored.algorithm} --name {name}"
    parts.check_same_input(stored.part, schema.INTERACTIONS, interactions.sha256, again)
    if stored.trained_on == ("train",):
        console.say(f"{name}: the run's model")
    else:
        console.say(f"{name}: the run's model has seen validation; its options are trained again without")
    half_life = stored.meta.history_half_life
    found = SourceSpec(name, stored.algorithm, stored.options, stored.model, stored.trained_on, half_life)
    return found, stored.part.sha256


def _unknown(run: Path, name: str) -> RecliError:
    from recli.storage import parts

    models = ", ".join(parts.part_names(run, schema.MODELS)) or "none"
    known = ", ".join(algorithms.names(lambda a: a.family != "hybrid"))
    return RecliError(
        f"there is no model {name!r} in {run} (models: {models}), and no such algorithm ({known})"
        if name not in algorithms.names()
        else f"there is no model {name!r} in {run} (models: {models})",
        f"train it: recli train-cf {run} --name {name} --algorithm ...",
    )


def _with_base(made: "list[SourceSpec]") -> "list[SourceSpec]":
    """The sources, text-factors knowing the options of the model whose factors it predicts."""
    base = next((one for one in made if one.algorithm in FACTOR_MODELS), None)
    if base is None:
        return made
    options = to_dict(base.config)
    return [
        replace(one, config=replace(one.config, base=base.algorithm, base_options=options))
        if one.algorithm == "text-factors"
        else one
        for one in made
    ]
