"""Checks of ratings, weights and event types: what there is of them, what it counts for, and what may not be meant."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recli.errors import did_you_mean
from recli.reporting import Reporter, counted
from recli.schema import Float64, Int64
from recli.steps.prepare.checks.event_names import says_no
from recli.steps.prepare.config import PrepareConfig, PrepareSettings

_DIGITS = (
    4  # significant ones of a rating or weight, so that there are not too many different values to count
)
_APART = 2.0  # a value is a mark, not a rating, if no other gap is half as wide as the one to it
_OFTEN = 0.005  # and at least this share of the ratings are
_SPIKE, _SPIKE_SHARE = 3.0, 0.02  # a rating of 0 is a mark if it is so many times as frequent as the next one
_MOST_TYPES = 10


@dataclass(frozen=True)
class Distribution:
    """How often each value occurs: `values` float64 (n,), ascending, to 4 digits, and `counts` int64 (n,)."""

    values: Float64
    counts: Int64

    @property
    def total(self) -> int:
        return int(self.counts.sum())

    @property
    def median(self) -> float:
        return float(self.values[np.searchsorted(np.cumsum(self.counts), self.total / 2)])

    def below(self, value: float) -> int:
        """How many are smaller."""
        return int(self.counts[self.values < value].sum())

    def from_(self, least: float) -> Distribution:
        return Distribution(self.values[self.values >= least], self.counts[self.values >= least])

    def without(self, values: tuple[float, ...]) -> Distribution:
        kept = ~np.isin(self.values, values)
        return Distribution(self.values[kept], self.counts[kept])

    def summary(self) -> dict[str, float]:
        """The figures for the manifest."""
        return {"min": float(self.values[0]), "median": self.median, "max": float(self.values[-1])}


def check(
    events: pl.LazyFrame,
    event_types: Mapping[str, int],
    config: PrepareConfig,
    settings: PrepareSettings,
    reporter: Reporter,
) -> dict[str, dict[str, float]]:
    """Say what ratings, weights and event types count for, and warn of what may not be meant so.

    `events`: as read. Returns the figures for the summary: `ratings` and `weights`, where there are any.
    """
    figures: dict[str, dict[str, float]] = {}
    if ratings := _distribution(events, "rating"):
        figures["ratings"] = ratings.summary()
        _report_ratings(ratings, config, settings, reporter)
    if config.weight_column is not None and (weights := _distribution(events, "weight")):
        figures["weights"] = weights.summary()
        _report_weights(weights, reporter)
    _report_event_types(event_types, settings, reporter)
    return figures


def _distribution(events: pl.LazyFrame, name: str) -> Distribution | None:
    if name not in events.collect_schema().names():
        return None
    found = (
        events.select(pl.col(name).round_sig_figs(_DIGITS))
        .group_by(name)
        .len()
        .collect(engine="streaming")
        .sort(name)
    )
    if not found.height:
        return None
    return Distribution(found[name].to_numpy() + 0.0, found["len"].to_numpy().astype(np.int64))


@dataclass(frozen=True)
class _Mark:
    """A value that stands apart from the ratings: it may mean that there is none."""

    value: float
    count: int
    rest: Distribution


def _report_ratings(
    ratings: Distribution, config: PrepareConfig, settings: PrepareSettings, reporter: Reporter
) -> None:
    rules = settings.weighting.negatives
    marks = _marks(ratings)
    reporter.say(_what_ratings_count(ratings, marks, config, settings))
    for mark in marks:
        _warn_of_mark(mark, ratings, config, settings, reporter)
    rest = ratings.without(tuple(mark.value for mark in marks))
    liked = rest.from_(_least_liked(config, settings))
    negative = 0 if rules.below_mean else liked.below(0)
    if negative:
        reporter.warn(
            f"{_share(negative, ratings)} of the ratings are below 0 (the lowest is {liked.values[0]:g}) and count as "
            "likes: --negatives below:0 makes them dislikes, --min-rating 0 leaves them out"
        )
    elif rest.values.tolist() == liked.values.tolist() == [0, 1] and not rules.below_mean:
        reporter.warn(
            f"ratings are 0 and 1, and the {_share(liked.below(1), ratings)} that are 0 count as likes too: "
            "--negatives below:1 makes them dislikes, --min-rating 1 leaves them out"
        )


def _least_liked(config: PrepareConfig, settings: PrepareSettings) -> float:
    """The rating below which events do not count as likes."""
    bounds = [b for b in (config.min_rating, settings.weighting.negatives.below) if b is not None]
    return max(bounds, default=-np.inf)


def _what_ratings_count(
    ratings: Distribution, marks: list[_Mark], config: PrepareConfig, settings: PrepareSettings
) -> str:
    scale = ratings.without(tuple(mark.value for mark in marks))
    low, high = scale.values[0], scale.values[-1]
    if low == high:
        return f"ratings: {'all' if not marks else 'the others'} are {low:g}; each counts 1"
    middle = (low + high) / 2
    shape = f"median {scale.median:g}; {_share(scale.below(middle), scale)} below {middle:g}"
    counts = []
    rules = settings.weighting.negatives
    if rules.below is not None:
        counts.append(f"{_share(ratings.below(rules.below), ratings)} are dislikes, below {rules.below:g}")
    if rules.below_mean:
        counts.append("those below the user's mean are dislikes")
    if config.min_rating is not None:
        counts.append(
            f"{_share(ratings.below(config.min_rating), ratings)} are below --min-rating {config.min_rating:g}, "
            "and merely seen" + (" where they are no dislikes" if counts else "")
        )
    counts.append("each other one counts 1" if counts else "each counts 1 whatever its rating")
    see = "" if len(counts) > 1 else ", see --min-rating, --negatives"
    return f"ratings {low:g} to {high:g} ({shape}): {'; '.join(counts)}{see}"


def _share(count: int, of: Distribution) -> str:
    percent = 100 * count / of.total
    return f"{percent:.0f}%" if percent >= 1 or not count else f"{percent:.2g}%"


def _marks(ratings: Distribution) -> list[_Mark]:
    """Values that stand apart from the others, the lowest and the highest looked at.

    A single number below 0, such as -1, beside ratings that are not; a number far from all others, such as 99; 0, if it
    is much more frequent than the next rating. Two other values are no scale: -1, 0 and 1 are votes.
    """
    marks: list[_Mark] = []
    rest = ratings
    for place in (0, -1):
        value, count = float(rest.values[place]), int(rest.counts[place])
        others = rest.without((value,))
        if (
            others.values.size >= 3
            and count >= max(2, _OFTEN * ratings.total)
            and _is_apart(value, count, others)
        ):
            marks.append(_Mark(value, count, others))
            rest = others
    return marks


def _is_apart(value: float, count: int, others: Distribution) -> bool:
    low, high = others.values[0], others.values[-1]
    if value < 0 <= low:
        return True
    if value == 0 and low > 0:
        return bool(count >= _SPIKE * others.counts[0] and count >= _SPIKE_SHARE * (others.total + count))
    gap = low - value if value < 0 else value - high
    return bool(gap >= high - low and gap > _APART * np.diff(others.values).max())


def _warn_of_mark(
    mark: _Mark, ratings: Distribution, config: PrepareConfig, settings: PrepareSettings, reporter: Reporter
) -> None:
    rules, others = settings.weighting.negatives, mark.rest
    low, high = float(others.values[0]), float(others.values[-1])
    scale = f"apart from {low:g} to {high:g}" if mark.value else f"{_times(mark)} as often as {low:g}"
    what = (
        f"{_share(mark.count, ratings)} of the ratings ({mark.count:,}) are {mark.value:g}, {scale}; "
        "such a number often stands for 'not rated'"
    )
    below = mark.value < low
    if below and rules.below is not None and mark.value < rules.below:
        reporter.warn(f"{what}, and here for a dislike, by --negatives below:{rules.below:g}: is that meant?")
    elif below and (config.min_rating is None or config.min_rating <= mark.value):
        reporter.warn(
            f"{what}, and counts 1 like any other: --min-rating {low:g} makes these events merely seen"
        )
    elif not below:
        reporter.warn(f"{what}, and counts 1 like any other: leave these rows out of the log if it does")


def _times(mark: _Mark) -> str:
    return f"{mark.count / mark.rest.counts[0]:.1f} times"


def _report_weights(weights: Distribution, reporter: Reporter) -> None:
    """Warn of weights below 0; what the others are taken for is said once they are the values of users and items."""
    low = weights.values[0]
    negative = weights.below(0)
    if negative:
        have = "has" if negative == 1 else "have"
        reporter.warn(
            f"{counted(negative, 'event')} ({_share(negative, weights)}) {have} a weight below 0 (the lowest is "
            f"{low:g}; returns?): they are not trained on, while what they undo is"
        )


def _report_event_types(counts: Mapping[str, int], settings: PrepareSettings, reporter: Reporter) -> None:
    """Say what event types count for; warn of those in the log that have no weight, of the reverse, and of those that
    say no but count as likes."""
    weights, negatives = settings.weighting.event_weights, settings.weighting.negatives.events
    if weights is None and counts:
        liked = {name: n for name, n in counts.items() if name not in negatives}
        reporter.say(f"event types: {_most_frequent(liked)}; each counts 1, see --event-weights")
    if weights is not None:
        without_weight = {name: n for name, n in counts.items() if name not in {*weights, *negatives}}
        if without_weight:
            reporter.warn(
                "events of types without a weight are not trained on, but stay known as seen: "
                f"{_most_frequent(without_weight)}"
            )
    others = [name for name in counts if name not in {*(weights or {}), *negatives}]
    unused = [name for name in (weights or {}) if name not in counts]
    _warn_of_unused("--event-weights", unused, others, reporter)
    unused = [name for name in negatives if name not in counts and name not in (weights or {})]
    _warn_of_unused("--negatives", unused, others, reporter)
    liked = {
        n: c for n, c in counts.items() if n not in negatives and (weights is None or weights.get(n, 0) > 0)
    }
    saying_no = {name: count for name, count in liked.items() if says_no(name)}
    if saying_no and len(saying_no) < len(counts):
        _warn_of_noes(saying_no, weights, reporter)


def _warn_of_unused(option: str, unused: Sequence[str], others: Sequence[str], reporter: Reporter) -> None:
    if unused:
        meant = did_you_mean(unused[0], others)
        hint = f" ({meant})" if meant else ""
        reporter.warn(f"{option} names types that the log does not have: {', '.join(unused)}{hint}")


def _warn_of_noes(saying_no: dict[str, int], weights: Mapping[str, float] | None, reporter: Reporter) -> None:
    what = f"event types that seem to say no count as likes: {_most_frequent(saying_no)}"
    names = list(saying_no)
    if weights is None:
        remedy = f"--negatives {shlex.quote('event:' + ','.join(names))} makes them dislikes"
    else:
        pairs = ",".join(
            f"{name}={-1 if name in saying_no else weight:g}" for name, weight in weights.items()
        )
        remedy = f"a weight below 0 makes a dislike: --event-weights {shlex.quote(pairs)}"
    reporter.warn(f"{what}; {remedy}")


def _most_frequent(counts: Mapping[str, int], n: int = _MOST_TYPES) -> str:
    largest = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    shown = ", ".join(f"{name} ({count:,})" for name, count in largest[:n])
    return shown + (f", and {len(largest) - n} more" if len(largest) > n else "")
