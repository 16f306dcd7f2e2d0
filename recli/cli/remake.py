"""The commands that make a run's parts again, from what their manifests say."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from recli import schema
from recli.config import spec_of
from recli.storage.metadata import model_meta
from recli.storage.parts import Part

_RRF_K = 60  # the default of --rrf-k


def command_of(part: Part, run: str) -> str:
    """What to type to make the part again; a search (`--tune`) is not done again, its result is typed."""
    return shlex.join(["recli", *_WORDS[part.manifest["kind"]](part, run)])


def options_of(part: Part) -> list[str]:
    """The options that a part was made with, those that are not the defaults, as they are typed."""
    return _OPTIONS[part.manifest["kind"]](part)


def _prepare(part: Part) -> list[str]:
    from recli.steps.prepare.config import PrepareConfig

    return _typed(PrepareConfig, part.config, leave=("log", "validation_size", "test_size"))


def _embed(part: Part) -> list[str]:
    from recli.steps.embed.config import EmbedConfig

    return _typed(EmbedConfig, part.config)


def _model(part: Part) -> list[str]:
    from recli.models.base import algorithms
    from recli.steps.train_cf.config import CommonConfig

    meta = model_meta(part)
    algorithm = algorithms[meta.algorithm]
    common = {
        "seed": meta.seed,
        "history_half_life": meta.history_half_life,
        "storage_dtype": meta.storage_dtype,
        "refit": "validation" in meta.trained_on,
    }
    if meta.algorithm == "fusion":
        own = _fusion(part, meta.options)
    else:
        own = ["--algorithm", meta.algorithm, *_typed(algorithm.config, meta.options, leave=("base",))]
    return [*own, *_typed(CommonConfig, common)]


def _fusion(part: Part, options: Mapping[str, Any]) -> list[str]:
    """The options of a fusion: the sources that it kept; its weights only where they were given."""
    words = ["--sources", ",".join(source["name"] for source in options["sources"])]
    kind = schema.EMBEDDINGS + "/"
    for name in sorted(name.removeprefix(kind) for name in part.inputs if name.startswith(kind)):
        words += ["--embeddings", name]
    if options["fusion"] != "linear":
        words += ["--fusion", options["fusion"]]
    if options["fusion"] == "weighted":
        words += ["--weights", ",".join(f"{n}={_text(w)}" for n, w in options["weights"].items())]
    if options["fusion"] == "rrf" and options["rrf_k"] != _RRF_K:
        words += ["--rrf-k", str(options["rrf_k"])]
    return [*words, *(["--cold-boost", _text(options["cold_boost"])] if options["cold_boost"] else [])]


def _evaluate(part: Part) -> list[str]:
    from recli.steps.evaluate.config import EvaluateConfig

    return _typed(EvaluateConfig, part.config, leave=("models", "metrics"))


def _recommend(part: Part) -> list[str]:
    from recli.steps.recommend.config import RecommendConfig

    return _typed(RecommendConfig, part.config)


def _typed(config: type[Any], values: Mapping[str, Any], leave: tuple[str, ...] = ()) -> list[str]:
    """The values that are not the defaults, as options; `leave`: fields to leave out."""
    words: list[str] = []
    for field in dataclasses.fields(config):
        value = values.get(field.name)
        default = list(field.default) if isinstance(field.default, tuple) else field.default
        is_option = "spec" in field.metadata and field.name not in leave
        if not is_option or value is None or value == default:
            continue
        on, _, off = (spec_of(field).names or ("--" + field.name.replace("_", "-"),))[0].partition("/")
        if isinstance(value, bool):
            words.append(on if value else off or "--no-" + on.removeprefix("--"))
        else:
            several = value if isinstance(value, list | tuple) else [value]
            words += [word for item in several for word in (on, _text(item))]
    return words


def _text(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


_OPTIONS: dict[str, Callable[[Part], list[str]]] = {
    schema.INTERACTIONS: _prepare,
    schema.EMBEDDINGS: _embed,
    schema.MODELS: _model,
    schema.METRICS: _evaluate,
    schema.RECOMMENDATIONS: _recommend,
}


def _named(part: Part, default: str) -> list[str]:
    return [] if part.path.name == default else ["--name", part.path.name]


def _train(part: Part, run: str) -> list[str]:
    from recli.models.base import algorithms

    meta, words = model_meta(part), _model(part)
    if algorithms[meta.algorithm].family == "cf":
        return ["train-cf", run, *words, *_named(part, meta.algorithm)]
    default = "hybrid" if meta.algorithm == "fusion" else meta.algorithm
    return ["train-hybrid", run, *words, *_named(part, default)]


_WORDS: dict[str, Callable[[Part, str], list[str]]] = {
    schema.INTERACTIONS: lambda part, run: [
        "prepare",
        *part.config.get("log", ["LOG"]),
        *_prepare(part),
        "--out",
        run,
    ],
    schema.EMBEDDINGS: lambda part, run: ["embed", run, *_embed(part), "--name", part.path.name],
    schema.MODELS: _train,
    schema.METRICS: lambda part, run: ["evaluate", run, *_evaluate(part), *_named(part, schema.METRICS)],
    schema.RECOMMENDATIONS: lambda part, run: ["recommend", run, *_recommend(part), "--save"],
}
