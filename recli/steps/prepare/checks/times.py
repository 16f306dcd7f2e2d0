"""Checks of times: how they are written, from when to when they go, and which lie far from the others."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl

from recli.reporting import Reporter, counted
from recli.steps.prepare.config import PrepareConfig
from recli.steps.prepare.inputs import EventInput
from recli.steps.prepare.time_range import TimeRange, time_range

_COUNTS = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 0.001}  # microseconds of one
_NAMES = {"s": "seconds", "ms": "milliseconds", "us": "microseconds", "ns": "nanoseconds", "iso": "ISO dates"}
_DIGITS = {"YYYY": "%Y", "YY": "%y", "MM": "%m", "DD": "%d", "hh": "%H", "mm": "%M", "ss": "%S", "fff": "000"}
_COUNTER = 10  # a column of counts that begins no later than here counts positions
_SAMPLE = 10_000  # events that are looked at
_FITS = 0.99
_YEAR_2100 = 4_102_444_800_000_000


def check(log: EventInput, config: PrepareConfig, reporter: Reporter) -> dict[str, Any] | None:
    """Say what times the events have, warn of those that cannot be right; what the summary says of them.

    None: there are no times.
    """
    from recli.data.readers import NO_TIME

    times = time_range(log.events)
    if times is None:
        return None
    units = Counter[str]()
    for counts in log.notations.values():
        units.update({unit: n for (role, unit), n in counts.items() if role == "time" and n})
    _say_units(units, times, config, reporter)
    usual = max(units, key=lambda unit: units[unit]) if units else "iso"
    if usual in _COUNTS and not _is_date(times.typical):
        _no_dates(log, times, usual, config, reporter)
    else:
        if none := log.rejected.get(NO_TIME):
            keep = f"; --time-unit {usual} keeps them as they are" if usual in _NAMES else ""
            reporter.warn(f"{counted(none, 'row')} without a time (0, -1 or the like) rejected{keep}")
        reporter.say(f"times: {_day(times.first)} to {_day(times.last)}")
        _far(times, usual in _COUNTS, config, reporter)
    return {
        "first": _moment(times.first),
        "last": _moment(times.last),
        "units": dict(sorted(units.items())),
        "far_before": times.before,
        "far_after": times.after,
    }


def _say_units(units: Counter[str], times: TimeRange, config: PrepareConfig, reporter: Reporter) -> None:
    """What the times are taken for, where their column alone does not tell."""
    if config.time_unit != "auto" or config.time_format is not None:
        return
    if len(units) > 1:
        each = ", ".join(f"{n:,} {_NAMES.get(unit, unit)}" for unit, n in units.most_common())
        reporter.say(f"times are written in {len(units)} ways, each read as what it is: {each}")
        return
    unit = next(iter(units), "iso")
    if unit == "excel":
        days = (times.first + 2_209_161_600_000_000) / 86_400_000_000
        reporter.say(
            f"times are read as Excel's days since 1899-12-30: {days:.6g} is {_moment(times.first)}; --time-unit s "
            "reads them as seconds"
        )
    elif unit in ("MMDD", "DDMM"):
        reporter.warn(
            f"times are month and day without a year, {_written(times.first, unit)} to {_written(times.last, unit)}: "
            "read as days of 2000, so a log that goes on after 31 December is in the wrong order; write the year into "
            "the column, or --time-unit s takes them as mere order"
        )
    elif unit not in _NAMES and unit != "native":
        reporter.say(
            f"times such as {_written(times.first, unit)} are read as dates ({unit}); --time-unit s reads them as "
            "seconds"
        )


def _no_dates(
    log: EventInput, times: TimeRange, unit: str, config: PrepareConfig, reporter: Reporter
) -> None:
    """Counts that are no dates: positions, which order events, or dates in a notation that was not recognized."""
    per = _COUNTS[unit]
    least, most = (f"{t / per:,.0f}" for t in (times.earliest, times.latest))
    position = 0 <= times.earliest <= _COUNTER * per or "position" in log.columns["time"].casefold()
    if position and config.event_half_life is None:
        reporter.say(
            f"times: {least} to {most}, no dates: they order the events, days and half-lives mean nothing"
        )
    elif position:
        reporter.warn(
            f"times are {least} to {most}, no dates but an order: --event-half-life {config.event_half_life} takes "
            f"them for {_NAMES[unit]}"
        )
    else:
        reporter.warn(
            f"times lie between {_moment(times.earliest)} and {_moment(times.latest)} ({least} to {most} read as "
            f"{_NAMES[unit]} since 1970): {_asked(log.events, unit)}"
        )


def _asked(events: pl.LazyFrame, unit: str) -> str:
    """What such counts may be, as a question with the option that says so."""
    from recli.data.readers.times import PLAUSIBLE, microseconds

    counts = events.select("timestamp").head(_SAMPLE).collect()["timestamp"] / _COUNTS[unit]
    options = {
        "days since 1970": ("days", "--time-unit days"),
        "day, month and year": ("DDMMYYYY", "--time-format %d%m%Y"),
        "month, day and year": ("MMDDYYYY", "--time-format %m%d%Y"),
        "milliseconds": ("ms", "--time-unit ms"),
        "nanoseconds": ("ns", "--time-unit ns"),
    }
    found = []
    for what, (notation, option) in options.items():
        read = counts.to_frame("t").select(microseconds(pl.col("t"), notation)).to_series()
        if read.is_between(*PLAUSIBLE).fill_null(False).mean() >= _FITS:  # type: ignore[operator]
            found.append(f"{what} ({option})")
    if found:
        return f"are they {' or '.join(found)}?"
    return (
        "are they dates? say how they are written, as in --time-format %Y%m%d; if they are an order only, days and "
        'half-lives mean nothing (--time-column "" leaves them out)'
    )


def _far(times: TimeRange, counts: bool, config: PrepareConfig, reporter: Reporter) -> None:
    """Warn of events far from the others, and of impossible ones."""
    if times.after:
        decay = " (half-lives go by the latter)" if config.event_half_life is not None else ""
        reporter.warn(
            f"{_lie(times.after)} far after all others, up to {_moment(times.latest)}; the others end at "
            f"{_moment(times.last)}{decay}{_split(config)}; correct these times, or leave the rows out"
        )
    elif times.future:
        reporter.warn(
            f"{_lie(times.future)} in the future, up to {_moment(times.latest)}: are these times right?"
            f"{_split(config)}"
        )
    if times.before:
        reporter.warn(
            f"{_lie(times.before)} far before all others, from {_moment(times.earliest)} on; the others begin at "
            f"{_moment(times.first)}; correct these times, or leave the rows out"
        )
    elif times.old and counts:
        reporter.warn(
            f"{_lie(times.old)} before 1990, from {_moment(times.earliest)} on, the others up to "
            f"{_moment(times.last)}: are all times written in one unit? say which with --time-unit"
        )


def _split(config: PrepareConfig) -> str:
    return "; --split temporal makes them the test" if config.split == "temporal" else ""


def _lie(n: int) -> str:
    return f"{counted(n, 'event')} {'lies' if n == 1 else 'lie'}"


def _is_date(time: int) -> bool:
    return 631_152_000_000_000 <= time < _YEAR_2100


def _datetime(time: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time)


def _day(time: int) -> str:
    return _datetime(time).date().isoformat()


def _moment(time: int) -> str:
    return _datetime(time).isoformat(" ", "seconds").removesuffix("+00:00")


def _written(time: int, unit: str) -> str:
    """A time in one of the notations of dates as one number."""
    moment, text, at = _datetime(time), "", 0
    while at < len(unit):
        part = next(part for part in _DIGITS if unit.startswith(part, at))
        text, at = text + moment.strftime(_DIGITS[part]), at + len(part)
    return text
