"""Reads the inputs of an evaluation: models of the run, external recommendations, item vectors for diversity."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl

from recli import schema
from recli.data.arrays import unit_rows
from recli.data.interactions import Interactions
from recli.errors import InvalidDataError, RecliError, UsageError, quoted, unknown_name
from recli.models.base import algorithms
from recli.reporting import counted
from recli.schema import CSR, Float32
from recli.steps.evaluate import trec
from recli.storage import atomic, metadata, parts, runs
from recli.storage.parts import Part

Warn = Callable[[str], None]
_FIRST_ROWS = 1000  # of lists, among which a known id is looked for first


def labeled(texts: Sequence[str]) -> dict[str, str]:
    """Files of lists by label: NAME=FILE, or FILE's name up to the first dot. Raises `UsageError`."""
    files: dict[str, str] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or "/" in name:
            name, path = ("stdin" if text == "-" else Path(text).name.split(".")[0]), text
        if not name or not path:
            raise UsageError(f"--recommendations {text!r} must be FILE or NAME=FILE")
        if name in files:
            raise UsageError(f"two lists are called {name!r}", "name them: --recommendations NAME=FILE")
        files[name] = path
    return files


def check_files(files: Mapping[str, str]) -> None:
    """Raises `RecliError` where one of the files of lists is not there, before any model is measured."""
    from recli.data.readers.streams import expand

    for path in files.values():
        expand([path])


def chosen_models(
    run: Path, models: str | None, with_lists: bool, split: str, interactions: Interactions, warn: Warn
) -> dict[str, Part]:
    """The models to evaluate: those of `a,b`, or all of the run; made from these interactions, not from `split`."""
    there = parts.part_names(run, schema.MODELS)
    named = None if models is None else [n.strip() for n in models.split(",") if n.strip()]
    if named == ["none"] and with_lists:
        return {}
    _check_there(run, there, named, with_lists)
    chosen: dict[str, Part] = {}
    left_out: list[str] = []
    installed = there if named is not None else list(runs.models_with_known_algorithms(run, there, warn))
    for name in dict.fromkeys(installed if named is None else named):
        part = parts.open_part(run / schema.MODELS / name, schema.MODELS)
        reason = _why_not(run, part, split, interactions)
        if reason is None:
            chosen[name] = part
        elif named is not None:
            raise RecliError(*reason)
        else:
            left_out.append(reason[1])
            warn(f"{reason[0]}: it is left out; {reason[1]}")
    if there and not chosen and not with_lists:
        raise RecliError(
            f"no model of {run} can be evaluated: {', '.join(there)}",
            (left_out or [f"install their packages, or train one: recli train-cf {run}"])[0],
        )
    return chosen


def _why_not(run: Path, part: Part, split: str, interactions: Interactions) -> tuple[str, str] | None:
    """Why a model cannot be evaluated, and what to type; None where it can."""
    runs.check_algorithms(part)
    name, meta = part.path.name, metadata.model_meta(part)
    if part.inputs.get(schema.INTERACTIONS) != interactions.sha256:
        family = algorithms[meta.algorithm].family
        command = f"train-hybrid {quoted(run)}"
        if family == "cf":
            command = f"train-cf {quoted(run)} --algorithm {meta.algorithm}"
        return (
            f"the model {name} was made from other interactions than the run has now",
            f"train {name} again: recli {command} --name {name}",
        )
    if split in meta.trained_on:
        return (
            f"the model {name} was trained on the {split} split and cannot be evaluated on it",
            "use --split test",
        )
    return None


def _check_there(run: Path, there: list[str], named: list[str] | None, with_lists: bool) -> None:
    train = f"train one: recli train-cf {quoted(run)}"
    if named is not None:
        unknown = [n for n in named if n not in there]
        if unknown:
            raise unknown_name(f"{run}: there is no model", unknown[0], there, None if there else train)
        if not named:
            raise UsageError("--models names no model", f"its models: {', '.join(there)}" if there else train)
    elif not there and not with_lists:
        raise RecliError(f"{run} has no model to evaluate", train)


def diversity_vectors(
    run: Path, name: str | None, interactions: Interactions
) -> tuple[Float32 | CSR, str, dict[str, str]]:
    """Vectors of the items, l2-normalized rows; what they are in words; the part they come from.

    `name`: embeddings of the run; None: the first ones; where there are none, items are the sets of their
    training users, so that the cosine says how often two items are used by the same people.
    """
    there = parts.part_names(run, schema.EMBEDDINGS)
    if name is not None and name not in there:
        make = None if there else f"make some: recli embed {quoted(run)}"
        raise unknown_name(f"--embeddings: in {run} there are no vectors", name, there, make)
    if not there:
        users = interactions.matrix("train").T.tocsr()
        sizes = np.diff(users.indptr)
        users.data = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)).astype(np.float32), sizes)
        return users, "the items' sets of training users", {}
    name = name or there[0]
    vectors, part = runs.read_embeddings(run, name)
    return unit_rows(vectors), f"embeddings/{name}", {f"{schema.EMBEDDINGS}/{name}": part.sha256}


def read_recommendations(path: str, interactions: Interactions, warn: Warn) -> tuple[pl.DataFrame, str]:
    """Rows of external recommendations, user_id, item_id [, rank] [, score], and the file's sha256.

    Raises `InvalidDataError` where there are none, or the run knows none of the users or none of the items.
    """
    from recli.data.readers import LISTS, ReadOptions, read_pairs

    if Path(path).suffix.lower() in trec.SUFFIXES:
        pairs = trec.read_run(path)
        if not pairs.height:
            raise InvalidDataError(f"{path} holds no recommendation")
        _check_known(path, pairs, interactions)
        return pairs, atomic.sha256_file(Path(path))
    pairs, rejects = read_pairs([path], ReadOptions(advice=LISTS), ("score", "rank"))
    if rejects.height:
        first = rejects.row(0, named=True)
        where = f"the first in line {first['line']}: {first['reason']}"
        warn(f"{path}: {counted(rejects.height, 'bad row')}, {where}")
    if not pairs.height:
        raise InvalidDataError(
            f"{path} holds no recommendation", "it needs the columns user_id,item_id[,score|rank]"
        )
    _check_known(path, pairs, interactions)
    if Path(path).is_file():
        return pairs, atomic.sha256_file(Path(path))
    return pairs, hashlib.sha256(pairs.write_csv().encode()).hexdigest()


def _check_known(path: str, pairs: pl.DataFrame, interactions: Interactions) -> None:
    tables = {"user": interactions.users, "item": interactions.items}
    for what, frame in tables.items():
        listed, known = pairs[f"{what}_id"], frame[f"{what}_id"]
        if not any(part.is_in(known.implode()).any() for part in (listed.head(_FIRST_ROWS), listed)):
            raise InvalidDataError(
                f"{path}: the run knows none of its {what}s: there they are called for example "
                f"{listed[0]!r}, in the run {known[0]!r}",
                "use the ids of the log that the run was prepared from (after --pseudonymize: those)"
                if what == "user"
                else "use the ids of the log and the catalogue that the run was prepared from",
            )
