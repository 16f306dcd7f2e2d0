"""`--dry-run`: what a step would write, and why: it is missing, damaged, stale, or made with other options."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from recli import schema
from recli.cli.console import Console, run_path
from recli.cli.json_schemas import schema_of
from recli.config import to_dict
from recli.data.files import sha256_file
from recli.data.readers.streams import expand
from recli.storage.parts import open_part
from recli.storage.state import run_state

_FILES = {  # options of files that a step reads, by the names that its manifest has for them
    "prepare": {
        "log": "log",
        "validation": "validation_file",
        "test": "test_file",
        "items": "items",
    },
    "embed": {"vectors": "vectors", "ids": "ids"},
}
Target = tuple[Path, str, dict[str, Any]]  # the run, the part in it, the config that its manifest is to have


def show_plan(command: str, config: Any, console: Console) -> None:
    """Say what the step would do with these options."""
    if command != "prepare":
        config = dataclasses.replace(config, run=str(run_path(config.run)))
        open_part(Path(config.run) / schema.INTERACTIONS, schema.INTERACTIONS)
    if command == "recommend" and not config.save:
        state, why, part = "missing", ["without --save lists are made each time"], config.file or "stdout"
    else:
        run, name, wanted = _TARGETS[command](config)
        files = {role: _several(getattr(config, field)) for role, field in _FILES.get(command, {}).items()}
        part, (state, why) = str(run / name), _state(run, name, wanted, files)
    if console.json:
        plan = {"part": part, "state": state, "why": why, "would_write": state != "unchanged"}
        console.print_json({"schema": schema_of("plan"), "command": command, **plan})
    elif state == "unchanged":
        console.print(
            f"{part} is there, with these options and made from what there is now: it would stay as it is"
        )
    else:
        console.print(f"would write {part}: {state}{': ' if why else ''}{'; '.join(why)}")


def _state(
    run: Path, name: str, wanted: dict[str, Any], files: Mapping[str, Sequence[str]]
) -> tuple[str, list[str]]:
    """`missing`, `damaged`, `stale`, `changed` (other options) or `unchanged`, and why."""
    state = run_state(run).get(name) if run.is_dir() else None
    if state is None:
        return "missing", []
    if state.damage is not None or state.part is None:
        return "damaged", [state.damage or "it cannot be opened"]
    if state.stale:
        return "stale", list(state.stale)
    changed = [*_changed(state.part.config, wanted), *_changed_files(state.part.inputs, files)]
    return ("changed", changed) if changed else ("unchanged", [])


def _changed(stored: dict[str, Any], wanted: dict[str, Any]) -> Iterator[str]:
    for name, value in wanted.items():
        if isinstance(value, dict) and isinstance(stored.get(name), dict):
            yield from _changed(stored[name], value)
        elif stored.get(name) != value:
            yield f"{name.replace('_', '-')} was {stored.get(name)}, now {value}"


def _changed_files(stored: dict[str, str], files: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """Input files that are not those that the part was made from, by the sha256 in its manifest, where it has any."""
    if not any(name.partition("/")[0] in files for name in stored):
        return
    left = {name: sha256 for name, sha256 in stored.items() if name.partition("/")[0] in files}
    for role, named in files.items():
        for source in expand(named) if named else ():
            if source.path is None or not source.path.is_file():
                continue  # stdin and pipes are not read for this
            sha256 = sha256_file(source.path)
            match = next((n for n, s in left.items() if s == sha256 and n.startswith(f"{role}/")), None)
            if match is None:
                yield f"{source.path} has changed"
            else:
                del left[match]


def _several(files: str | tuple[str, ...] | None) -> tuple[str, ...]:
    return (files,) if isinstance(files, str) else files or ()


def _prepare(config: Any) -> Target:
    from recli.steps.prepare.config import settings_of

    return Path(config.out), schema.INTERACTIONS, settings_of(config).stored


def _embed(config: Any) -> Target:
    return Path(config.run), f"{schema.EMBEDDINGS}/{config.part_name}", config.manifest


def _train_cf(config: Any) -> Target:
    from recli.models.base import algorithms
    from recli.steps.train_cf.config import given_options

    algorithm = algorithms[config.algorithm]
    options = given_options(config, algorithm)
    if not (config.tune or config.patience):  # these choose what is not given
        options = to_dict(algorithm.config(**options))
    wanted: dict[str, Any] = {"algorithm": algorithm.name, "options": options, "seed": config.seed}
    wanted["trained_on"] = ["train", "validation"] if config.refit else ["train"]
    if config.history_half_life:
        wanted["history_half_life"] = config.history_half_life
    return Path(config.run), f"{schema.MODELS}/{config.name or algorithm.name}", wanted


def _train_hybrid(config: Any) -> Target:
    default = "hybrid" if config.algorithm == "fusion" else config.algorithm
    wanted = {"algorithm": config.algorithm, "seed": config.seed, "trained_on": list(config.trained_on)}
    return Path(config.run), f"{schema.MODELS}/{config.name or default}", wanted


def _evaluate(config: Any) -> Target:
    wanted = {name: value for name, value in to_dict(config).items() if name not in ("metrics", "models")}
    return Path(config.run), config.name, wanted


def _recommend(config: Any) -> Target:
    wanted = {name: value for name, value in to_dict(config).items() if name != "model" or value is not None}
    return Path(config.run), schema.RECOMMENDATIONS, wanted


_TARGETS: dict[str, Callable[[Any], Target]] = {
    "prepare": _prepare,
    "embed": _embed,
    "train-cf": _train_cf,
    "train-hybrid": _train_hybrid,
    "evaluate": _evaluate,
    "recommend": _recommend,
}
