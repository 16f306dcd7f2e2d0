"""Trains models of a run again in another run, by the options that they were made with."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from recli import schema
from recli.config import from_dict
from recli.errors import RecliError, quoted
from recli.models.base import algorithms
from recli.reporting import Reporter
from recli.storage import metadata, parts
from recli.storage.parts import Part


def needed_models(run: Path, models: Iterable[Part]) -> dict[str, Part]:
    """The models with those that they were made from, in an order in which they can be trained.

    Raises `RecliError` where one is there no more, or where the options of a hybrid were not stored.
    """
    needed: dict[str, Part] = {}
    for part in models:
        own = {name: _source(run, part, name) for name in sources_of(part)}
        if not _is_cf(part) and schema.GIVEN not in part.summary:
            raise RecliError(
                f"{part.path} was made by recli {part.made_by}, which did not store all of its options",
                f"train it again: recli train-hybrid {quoted(run)} --name {quoted(part.path.name)}",
            )
        needed |= own
    collaborative = {part.path.name: part for part in models if _is_cf(part)}
    return needed | collaborative | {part.path.name: part for part in models}


def sources_of(part: Part) -> list[str]:
    """Names of the run's models that a model was made from."""
    kind = schema.MODELS + "/"
    return [name.removeprefix(kind) for name in part.inputs if name.startswith(kind)]


def _source(run: Path, part: Part, name: str) -> Part:
    if name not in parts.part_names(run, schema.MODELS):
        raise RecliError(
            f"the model {part.path.name} was made from the model {name}, which the run has no more",
            f"train {part.path.name} again: recli train-hybrid {quoted(run)} --name {quoted(part.path.name)}",
        )
    return parts.open_part(run / schema.MODELS / name, schema.MODELS)


def _is_cf(part: Part) -> bool:
    return algorithms[metadata.model_meta(part).algorithm].family == "cf"


def train_again(part: Part, run: Path, seed_offset: int, reporter: Reporter) -> None:
    """Train the model in `run`, which has those that it is made from, with its seed raised by `seed_offset`."""
    if _is_cf(part):
        from recli.steps.train_cf.step import train_cf

        train_cf(_cf_config(part, run, seed_offset), reporter)
        return
    from recli.steps.train_hybrid.config import TrainHybridConfig
    from recli.steps.train_hybrid.step import train_hybrid

    name, seed = part.path.name, metadata.model_meta(part).seed + seed_offset
    alone = _only_inputs(
        part, run
    )  # a hybrid takes what models there are: no others than those that it was made from
    stored = part.summary[schema.GIVEN] | {"run": str(alone), "name": name, "seed": seed}
    train_hybrid(from_dict(TrainHybridConfig, stored), reporter)
    (run / schema.MODELS).mkdir(exist_ok=True)
    (alone / schema.MODELS / name).rename(run / schema.MODELS / name)
    shutil.rmtree(alone)


def _cf_config(part: Part, run: Path, seed_offset: int) -> Any:
    """The options of a collaborative model; strengths of values that were chosen on validation are chosen again."""
    from recli.steps.train_cf.config import TrainCfConfig

    meta = metadata.model_meta(part)
    uses_values = algorithms[meta.algorithm].uses_values
    given: dict[str, Any] = {}
    if "weight_strengths" not in part.summary and uses_values and meta.value_scale:
        given["weight_strength"] = meta.scale.strength
    if "negative_weights" not in part.summary:
        given["negative_weight"] = meta.scale.negatives
    return from_dict(
        TrainCfConfig,
        meta.options
        | given
        | {
            "run": str(run),
            "algorithm": meta.algorithm,
            "name": part.path.name,
            "seed": meta.seed + seed_offset,
            "history_half_life": meta.history_half_life,
            "storage_dtype": meta.storage_dtype,
            "refit": "validation" in meta.trained_on,
        },
    )


def _only_inputs(part: Part, run: Path) -> Path:
    """A run beside `run` that has of its parts only those that the model is made from."""
    alone = run.with_name(f"{run.name}-{part.path.name}")
    for name in (schema.INTERACTIONS, *part.inputs):
        if not (alone / name).exists():
            shutil.copytree(run / name, alone / name, copy_function=link)
    return alone


def link(source: str | Path, target: str | Path) -> None:
    """Have a file under another name too; it is copied where the file system has no hard links.

    Of a link, it is the file that it leads to.
    """
    try:
        os.link(os.path.realpath(source), target)
    except (OSError, AttributeError):
        shutil.copyfile(source, target)
