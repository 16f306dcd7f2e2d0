"""Measures a run's models and files of external recommendations on one test set."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from recli.data.history import History
from recli.data.interactions import Interactions
from recli.metrics.base import MetricSpec, TestSet
from recli.models.wrappers import POPULARITY, WithFallback, item_counts
from recli.reporting import Reporter
from recli.schema import Float32
from recli.steps.evaluate.external_lists import read_lists
from recli.steps.evaluate.inputs import read_recommendations
from recli.steps.evaluate.results import EvaluatedSystem
from recli.steps.evaluate.slices import measure, slices_of
from recli.steps.evaluate.test_set import (
    RatedPairs,
    evaluate_lists,
    evaluate_model,
    rating_errors,
)
from recli.storage import runs
from recli.storage.parts import Part, PartReplaced
from recli.storage.runs import StoredModel

SERVED_BY = {POPULARITY: "users served popularity", "none": "users without a list"}  # by fallback
NOTES = {  # of one, and of several
    "unknown users": ("user that the run does not know", "users that the run does not know"),
    "unknown items": (
        "item that the catalogue does not have: it keeps its rank, as a miss",
        "items that the catalogue does not have: each keeps its rank, as a miss",
    ),
    "listed twice": (
        "item listed twice for a user: the better rank counts",
        "items listed twice for a user: the better rank counts",
    ),
    "already seen": (
        "listed item that the user already had: a leak, or lists that are not filtered",
        "listed items that the user already had: a leak, or lists that are not filtered",
    ),
    "users without a list": (
        "evaluated user without a list: it counts 0",
        "evaluated users without a list: they count 0",
    ),
}


@dataclass(frozen=True)
class Evaluator:
    """Evaluates one system after the other on the same test set."""

    interactions: Interactions
    test_set: TestSet
    specs: tuple[MetricSpec, ...]
    rated: RatedPairs | None
    reporter: Reporter
    fallback: str = POPULARITY  # for users that a model cannot score
    histories: dict[tuple[bool, tuple[str, ...]], tuple[History, Float32]] = field(default_factory=dict)

    @property
    def _k(self) -> int:
        return max((s.k for s in self.specs if s.k is not None), default=1)

    def _wants(self, *names: str) -> bool:
        return any(s.metric.name in names for s in self.specs)

    def model(self, part: Part) -> EvaluatedSystem:
        """Score, rank and measure a model, as `recommend` serves it."""
        stored = runs.read_model(part.path, self.interactions)
        if stored.part.sha256 != part.sha256:
            raise PartReplaced(part.path)
        users, name = self.test_set.users, part.path.name
        known = np.where(self.interactions.having(*stored.trained_on)[users], users, -1)
        history, counts = self._before(stored)
        by_fallback: list[int] = []  # users that got the fallback, batch by batch
        served = WithFallback(stored.model, counts, self.fallback, by_fallback.append)
        with self.reporter.progress(name, self.test_set.n_users, "users") as advance:
            lists = evaluate_model(
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
            lists = replace(lists, errors=rating_errors(stored.model, self.test_set, known, self.rated))
        values = measure(lists, self.specs, slices_of(self.test_set))
        notes = {SERVED_BY[self.fallback]: sum(by_fallback)} if sum(by_fallback) else {}
        return EvaluatedSystem(name, f"{stored.algorithm} model", values, notes)

    def _before(self, stored: StoredModel) -> tuple[History, Float32]:
        """All users' histories, in order only for a model that asks for it, and the users of each item trained on.

        Kept for the next models: most are trained on the same.
        """
        data, ordered = self.interactions, stored.model.uses_order
        key = ordered, stored.trained_on
        if key not in self.histories:
            history = data.history(stored.trained_on, in_order=ordered)
            has_history = data.splits["history"].height > 0
            counts = item_counts(data.matrix(*stored.trained_on) if has_history else history.values)
            self.histories.clear()
            self.histories[key] = history, counts
        return self.histories[key]

    def lists(self, name: str, path: str) -> tuple[EvaluatedSystem, str]:
        """Read and measure external recommendations; the system and the file's sha256."""
        pairs, sha256 = read_recommendations(path, self.interactions, self.reporter.warn)
        rated = self.rated if self._wants("rmse", "mae") else None
        external = read_lists(pairs, self.interactions, self.test_set, self._k, rated)
        for key, (singular, plural) in NOTES.items():
            if count := external.counts[key]:
                self.reporter.warn(f"{name}: {count} {singular if count == 1 else plural}")
        lists = replace(evaluate_lists(self.test_set, external.ranked), errors=external.errors)
        values = measure(lists, self.specs, slices_of(self.test_set))
        return EvaluatedSystem(name, f"lists, by {external.order}", values, external.counts), sha256
