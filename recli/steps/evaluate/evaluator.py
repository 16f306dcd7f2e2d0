"""From a run's models and files of lists to systems that are measured under one exam."""

import hashlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from recli import schema
from recli.data.history import History
from recli.data.interactions import Interactions
from recli.errors import InvalidDataError, RecliError, UsageError
from recli.metrics.base import MetricSpec, TestSet
from recli.models.wrappers import POPULARITY, WithFallback, item_counts
from recli.schema import CSR, Float32
from recli.steps.evaluate.results import EvaluatedSystem
from recli.steps.evaluate.slices import measure, slices_of
from recli.steps.evaluate.test_set import RatedPairs, judge_lists, judge_model, rating_errors, read_lists
from recli.storage import atomic, parts, runs
from recli.storage.parts import Part
from recli.storage.runs import StoredModel

if TYPE_CHECKING:
    import polars as pl

Progress = Callable[[str, int, str], AbstractContextManager[Callable[[int, str], None]]]
Warn = Callable[[str], None]

_GLANCE = 1000  # rows of lists among which an id that the run knows is looked for first
STOOD_IN = {POPULARITY: "users served popularity", "none": "users without a list"}  # by fallback
NOTES = {  # of one, and of several
    "unknown users": ("user that the run does not know", "users that the run does not know"),
    "unknown items": (
        "item that the catalogue does not have: it keeps its place, as a miss",
        "items that the catalogue does not have: each keeps its place, as a miss",
    ),
    "listed twice": (
        "item listed twice for a user: the better place counts",
        "items listed twice for a user: the better place counts",
    ),
    "already seen": (
        "listed item that the user already had: a leak, or lists that are not filtered",
        "listed items that the user already had: a leak, or lists that are not filtered",
    ),
    "users without a list": (
        "judged user without a list: it counts 0",
        "judged users without a list: they count 0",
    ),
}


def labeled(given: Sequence[str]) -> dict[str, str]:
    """Files of lists by label: NAME=FILE, or FILE's name up to the first dot. Raises `UsageError`."""
    files: dict[str, str] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not equals or "/" in name:
            name, path = ("stdin" if text == "-" else Path(text).name.split(".")[0]), text
        if not name or not path:
            raise UsageError(f"--recommendations {text!r} must be FILE or NAME=FILE")
        if name in files:
            raise UsageError(f"two lists are called {name!r}", "name them: --recommendations NAME=FILE")
        files[name] = path
    return files


def chosen_models(
    run: Path, models: str | None, with_lists: bool, split: str, interactions: Interactions, warn: Warn
) -> dict[str, Part]:
    """The models to judge: those of `a,b`, or all of the run; made from these interactions, not from `split`."""
    there = parts.part_names(run, schema.MODELS)
    named = None if models is None else [n.strip() for n in models.split(",") if n.strip()]
    if named == ["none"] and with_lists:
        return {}
    _check_there(run, there, named, with_lists)
    chosen: dict[str, Part] = {}
    for name in dict.fromkeys(there if named is None else named):
        part = parts.open_part(run / schema.MODELS / name, schema.MODELS)
        remedy = f"train {name} again, or leave it out with --models"
        parts.check_same_input(part, schema.INTERACTIONS, interactions.sha256, remedy)
        if split not in part.config["trained_on"]:
            chosen[name] = part
        elif named is None:
            warn(f"{name} was trained on the {split} split and is left out")
        else:
            raise RecliError(
                f"{name} was trained on the {split} split: it cannot be judged by it", "use --split test"
            )
    return chosen


def _check_there(run: Path, there: list[str], named: list[str] | None, with_lists: bool) -> None:
    train = f"train one: recli train-cf {run}"
    if named is not None:
        unknown = ", ".join(n for n in named if n not in there)
        if unknown or not named:
            what = f"there is no model {unknown} in {run}" if unknown else "--models names no model"
            raise UsageError(what, f"its models: {', '.join(there)}" if there else train)
    elif not there and not with_lists:
        raise RecliError(f"{run} has no model to evaluate", train)


def diversity_vectors(
    run: Path, name: str | None, interactions: Interactions
) -> "tuple[Float32 | CSR, str, dict[str, str]]":
    """Vectors of the items, l2-normalized rows; what they are in words; the part they come from.

    `name`: embeddings of the run; None: the first ones; where there are none, items are the sets of their
    training users, so that the cosine says how often two items are used by the same people.
    """
    there = parts.part_names(run, schema.EMBEDDINGS)
    if name is not None and name not in there:
        known = ", ".join(there) if there else f"none; make some: recli embed {run}"
        raise UsageError(f"--embeddings: there are no vectors {name!r} in {run}", f"there are: {known}")
    if not there:
        users = interactions.matrix("train").T.tocsr()
        sizes = np.diff(users.indptr)
        users.data = np.repeat(1 / np.sqrt(np.maximum(sizes, 1)).astype(np.float32), sizes)
        return users, "the items' sets of training users", {}
    name = name or there[0]
    vectors, part = runs.read_embeddings(run, name)
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit = np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0)
    return unit, f"embeddings/{name}", {f"{schema.EMBEDDINGS}/{name}": part.sha256}


@dataclass(frozen=True)
class Evaluator:
    """The exam and all that judging one system after the other needs."""

    interactions: Interactions
    test_set: TestSet
    asked: tuple[MetricSpec, ...]
    rated: RatedPairs | None
    progress: Progress
    warn: Warn
    fallback: str = POPULARITY  # what stands in where a model has nothing to say
    kept: "dict[tuple[bool, tuple[str, ...]], tuple[History, Float32]]" = field(default_factory=dict)

    @property
    def _k(self) -> int:
        return max((a.k for a in self.asked if a.k is not None), default=1)

    def _wants(self, *names: str) -> bool:
        return any(a.metric.name in names for a in self.asked)

    def model(self, part: Part) -> EvaluatedSystem:
        """Score, rank and measure a model, as `recommend` serves it."""
        stored = runs.read_model(part.path, self.interactions)
        users, name = self.test_set.users, part.path.name
        known = np.where(self.interactions.having(*stored.trained_on)[users], users, -1)
        history, counts = self._before(stored)
        silent: list[int] = []  # users of whom the model knows nothing, batch by batch
        served = WithFallback(stored.model, counts, self.fallback, silent.append)
        with self.progress(name, self.test_set.n_users, "users") as advance:
            judged = judge_model(
                served,
                self.test_set,
                history[users],
                known,
                self._k,
                with_auc=self._wants("auc"),
                again=replace(served, record=lambda n_rows: None),
                advance=advance,
            )
        if self.rated is not None and self._wants("rmse", "mae"):
            judged = replace(judged, errors=rating_errors(stored.model, self.test_set, known, self.rated))
        figures = measure(judged, self.asked, slices_of(self.test_set))
        notes = {STOOD_IN[self.fallback]: sum(silent)} if sum(silent) else {}
        return EvaluatedSystem(name, f"{stored.algorithm} model", figures, notes)

    def _before(self, stored: StoredModel) -> tuple[History, Float32]:
        """All users' histories, in order only for a model that asks for it, and the users of each item trained on.

        Kept for the next models: most are trained on the same.
        """
        data, ordered = self.interactions, stored.model.uses_order
        asked = ordered, stored.trained_on
        if asked not in self.kept:
            if ordered:
                history = data.history(stored.trained_on)
            else:
                history = History(data.matrix(*stored.trained_on, "history"))
            apart = data.splits["history"].height > 0
            counts = item_counts(data.matrix(*stored.trained_on) if apart else history.values)
            self.kept.clear()
            self.kept[asked] = history, counts
        return self.kept[asked]

    def lists(self, name: str, path: str) -> tuple[EvaluatedSystem, str]:
        """Read and measure somebody's lists; the system and the file's sha256.

        Raises `InvalidDataError` where the run knows none of the users, or none of the items.
        """
        pairs, sha256 = self._pairs(path)
        self._check_known(path, pairs)
        rated = self.rated if self._wants("rmse", "mae") else None
        lists = read_lists(pairs, self.interactions, self.test_set, self._k, rated)
        for key, (one, several) in NOTES.items():
            if count := lists.counts[key]:
                self.warn(f"{name}: {count} {one if count == 1 else several}")
        judged = replace(judge_lists(self.test_set, lists.ranked), errors=lists.errors)
        figures = measure(judged, self.asked, slices_of(self.test_set))
        return EvaluatedSystem(name, f"lists, by {lists.order}", figures, lists.counts), sha256

    def _check_known(self, path: str, pairs: "pl.DataFrame") -> None:
        known = {"user": self.interactions.users, "item": self.interactions.items}
        for what, frame in known.items():
            theirs, ours = pairs[f"{what}_id"], frame[f"{what}_id"]
            if not any(part.is_in(ours.implode()).any() for part in (theirs.head(_GLANCE), theirs)):
                raise InvalidDataError(
                    f"{path}: the run knows none of its {what}s: there they are called for example "
                    f"{theirs[0]!r}, in the run {ours[0]!r}",
                    "use the ids of the log that the run was prepared from (after --pseudonymize: those)"
                    if what == "user"
                    else "use the ids of the log and the catalogue that the run was prepared from",
                )

    def _pairs(self, path: str) -> "tuple[pl.DataFrame, str]":
        from recli.data.readers import LISTS, ReadOptions, read_pairs

        pairs, rejects = read_pairs([path], ReadOptions(advice=LISTS), ("score", "rank"))
        if rejects.height:
            first = rejects.row(0, named=True)
            where = f"the first in line {first['line']}: {first['reason']}"
            self.warn(f"{path}: {rejects.height} bad row{'s' if rejects.height > 1 else ''}, {where}")
        if not pairs.height:
            raise InvalidDataError(
                f"{path} holds no recommendation", "it needs the columns user_id,item_id[,score|rank]"
            )
        if Path(path).is_file():
            return pairs, atomic.sha256_file(Path(path))
        return pairs, hashlib.sha256(pairs.write_csv().encode()).hexdigest()
