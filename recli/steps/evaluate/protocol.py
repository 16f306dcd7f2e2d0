"""Describes the evaluation protocol in sentences, which are printed below the tables and stored with the metrics."""

from collections.abc import Mapping

import numpy as np

from recli.metrics.base import MetricSpec, TestSet
from recli.reporting import counted
from recli.steps.evaluate.bootstrap import GROUPS
from recli.steps.evaluate.config import EvaluateConfig
from recli.steps.evaluate.slices import SLICE_RULES
from recli.steps.evaluate.test_set import KNOWN, TestSetCounts


def evaluation_protocol(
    config: EvaluateConfig,
    test_set: TestSet,
    counts: TestSetCounts,
    specs: tuple[MetricSpec, ...],
    vectors_are: str,
    by_fallback: Mapping[str, int],
) -> list[str]:
    """One sentence for each rule that bears on a metric.

    `vectors_are`: the vectors of the diversity metric. `by_fallback`: by model, how many users the fallback served.
    """
    candidates = test_set.n_items if test_set.allowed is None else int(test_set.allowed.sum())
    which = "" if test_set.allowed is None else " with a training event"
    names = {s.metric.name for s in specs}
    n_filtered = 0 if test_set.filtered is None else int(test_set.filtered.nnz)
    filtered = (
        f", nor what prepare filtered out of these ({counted(n_filtered, 'event')})" if n_filtered else ""
    )
    lines = [
        f"Full ranking of the {candidates} items{which}; models do not list what a user had in "
        f"{', '.join(KNOWN[config.split])}{filtered}. External recommendations are taken as they are.",
        f"Means over the {test_set.n_users} users with items in the {config.split} split; "
        f"{counts.users_without_test} users without any are left out; users without recommendations count 0.",
        "Denominators: precision k; recall the user's test items; ndcg and map min(k, test items).",
        "Equal scores are listed in a fixed pseudo-random order of the item ids.",
    ]
    without_history = int((np.diff(test_set.seen.indptr) == 0).sum())
    if without_history:
        have = "has" if without_history == 1 else "have"
        lines.append(f"{without_history} of the {test_set.n_users} users {have} no history.")
    if by_fallback:
        lines.append(_fallback_rule(config.fallback, by_fallback))
    if counts.repeated:
        lines.append(f"{counts.repeated} test events on items that the user already had are no targets.")
    if counts.cold_left_out:
        lines.append(f"{counts.cold_left_out} test events on cold items are no targets: --candidates warm.")
    if "diversity" in names:
        lines.append(f"Diversity: 1 - cosine of {vectors_are}; items without a vector are left out.")
    if "novelty" in names:
        lines.append("Novelty: -log2 of the share of training users; an item without any counts as one user.")
    if names & {"novelty", "diversity", "popularity-bias"}:
        lines.append("novelty, diversity, popularity-bias: users for whom they are undefined are left out.")
    if config.samples:
        lines.append(_interval_rule(config, test_set.n_users))
    lines += [f"Slices, {kind}: {what}." for kind, what in SLICE_RULES.items()]
    return lines


def _fallback_rule(fallback: str, by_fallback: Mapping[str, int]) -> str:
    served = (
        "they get no list, count 0, and have no auc"
        if fallback == "none"
        else "popularity, as `recommend` serves them"
    )
    by_model = ", ".join(f"{name} {count}" for name, count in by_fallback.items())
    return (
        f"Users without a history, or with equal scores for all items: {served} (--fallback {fallback}): {by_model}. "
        "Fusions and models that are the same for all users rank items for such users themselves."
    )


def _interval_rule(config: EvaluateConfig, n_users: int) -> str:
    groups = "" if n_users <= GROUPS else f"of {GROUPS} random groups of them, "
    return (
        f"Intervals: {100 * config.confidence:g}% percentile bootstrap over users, {config.samples} draws, "
        f"seed {config.seed}, {groups}paired; p two-sided, (count + 1) / (draws + 1), p (Holm) corrected for the "
        "number of systems that are compared in a metric; coverage and gini have none."
    )
