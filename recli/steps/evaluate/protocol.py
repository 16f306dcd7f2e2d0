"""The rules of the comparison in words: printed below the tables, stored with the figures."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from recli.metrics.base import MetricSpec, TestSet
from recli.steps.evaluate.bootstrap import GROUPS
from recli.steps.evaluate.slices import POLICY
from recli.steps.evaluate.test_set import KNOWN, TestSetCounts


class Settings(Protocol):
    """The options that are rules themselves."""

    @property
    def split(self) -> str: ...
    @property
    def fallback(self) -> str: ...
    @property
    def samples(self) -> int: ...
    @property
    def confidence(self) -> float: ...
    @property
    def seed(self) -> int: ...


def policy(
    settings: Settings,
    test_set: TestSet,
    facts: TestSetCounts,
    asked: tuple[MetricSpec, ...],
    similarity: str,
    unknown: Mapping[str, int],
) -> list[str]:
    """One line for each rule that bears on a figure.

    `similarity`: what diversity is measured on. `unknown`: by model, the users of whom it knows nothing, if any.
    """
    candidates = test_set.n_items if test_set.allowed is None else int(test_set.allowed.sum())
    which = "" if test_set.allowed is None else " with a training event"
    names = {a.metric.name for a in asked}
    lines = [
        f"Full ranking of the {candidates} items{which}; models do not list what a user had in "
        f"{', '.join(KNOWN[settings.split])}. Lists are taken as they are.",
        f"Means over the {test_set.n_users} users with items in the {settings.split} split; "
        f"{facts.users_without_test} users without any are left out; users without recommendations count 0.",
        "Denominators: precision k; recall the user's test items; ndcg and map min(k, test items).",
        "Equal scores are listed in a fixed pseudo-random order of the item ids.",
    ]
    strangers = int((np.diff(test_set.seen.indptr) == 0).sum())
    if strangers:
        have = "has" if strangers == 1 else "have"
        lines.append(f"{strangers} of the {test_set.n_users} users {have} no history.")
    if unknown:
        what = (
            "they get no list, count 0, and have no auc"
            if settings.fallback == "none"
            else "popularity, as `recommend` serves them"
        )
        counts = ", ".join(f"{name} {count}" for name, count in unknown.items())
        lines.append(
            f"Users without a history, or with equal scores for all items: {what} (--fallback {settings.fallback}): "
            f"{counts}. Fusions and models that are the same for everybody rank items for such users themselves."
        )
    if facts.repeated:
        lines.append(f"{facts.repeated} test events on items that the user already had are no targets.")
    if facts.cold_left_out:
        lines.append(f"{facts.cold_left_out} test events on cold items are no targets: --candidates warm.")
    if "diversity" in names:
        lines.append(f"Diversity: 1 - cosine of {similarity}; items without a vector are left out.")
    if "novelty" in names:
        lines.append("Novelty: -log2 of the share of training users; an item nobody had counts as one user.")
    if names & {"novelty", "diversity", "popularity-bias"}:
        lines.append("novelty, diversity, popularity-bias: users for whom they are undefined are left out.")
    if settings.samples:
        lines.append(
            f"Intervals: {100 * settings.confidence:g}% percentile bootstrap over users, "
            f"{settings.samples} draws, seed {settings.seed}, "
            f"{'' if test_set.n_users <= GROUPS else f'of {GROUPS} random groups of them, '}"
            "paired; p two-sided, (count + 1) / (draws + 1), not corrected for the number of comparisons; "
            "coverage and gini have none."
        )
    lines += [f"Slices, {kind}: {what}." for kind, what in POLICY.items()]
    return lines
