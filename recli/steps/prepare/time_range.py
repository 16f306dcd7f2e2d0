"""From when to when a log goes, without the few events that lie far from all others."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import polars as pl

from recli.schema import Int64

_DAY = 86_400_000_000
_FEWEST = 20  # of fewer events none is called far from the others
_SHARE = 0.05  # at most so many are
_YEAR = 365


@dataclass(frozen=True)
class TimeRange:
    """Times in microseconds since 1970. `first` to `last`: of the events that are not far from all others.

    `before`, `after`: how many events lie outside, the farthest of them at `earliest` and `latest`. `typical`: the
    median day. `future`: events more than a day from now. `old`: events before 1990.
    """

    first: int
    last: int
    before: int
    after: int
    earliest: int
    latest: int
    typical: int
    future: int
    old: int


def time_range(events: pl.LazyFrame) -> TimeRange | None:
    """The range of the column `timestamp`; None where there is no event or no such column. One pass, in a stream."""
    if "timestamp" not in events.collect_schema().names():
        return None
    time_us = pl.col("timestamp")
    grouped = events.group_by((time_us // _DAY).alias("day")).agg(
        pl.len().cast(pl.Int64).alias("n"), time_us.min().alias("first"), time_us.max().alias("last")
    )
    days = grouped.collect(engine="streaming").sort("day")
    if days.is_empty():
        return None
    day, n = days["day"].to_numpy(), days["n"].to_numpy()
    today = int(time.time() // 86_400)
    end = _last_near(day, n, today + 1)
    start = day.size - 1 - _last_near(-day[::-1], n[::-1], None)
    start = min(start, end)
    middle = int(np.searchsorted(np.cumsum(n), n.sum() / 2))
    return TimeRange(
        first=int(days["first"][start]),
        last=int(days["last"][end]),
        before=int(n[:start].sum()),
        after=int(n[end + 1 :].sum()),
        earliest=int(days["first"][0]),
        latest=int(days["last"][-1]),
        typical=int(day[middle]) * _DAY,
        future=int(n[day > today + 1].sum()),
        old=int(n[day < 7_305].sum()),
    )


def _last_near(day: Int64, n: Int64, latest_possible: int | None) -> int:
    """The index of the last day before a gap that sets a few events apart; the last of all where there is none.

    `day`, int64 (number of days,), ascending, with `n` events each. The gap is longer than a year, and than a
    quarter of the time before it (twice that time, for fewer than 100 events), and at most 5% of the events come after
    it; or less than half of them, where all those days are after `latest_possible`.
    """
    total = int(n.sum())
    if total < _FEWEST:
        return int(day.size) - 1
    after = total - np.cumsum(n)[:-1]
    begin = day[np.searchsorted(np.cumsum(n), _SHARE * total)]
    gaps, spans = np.diff(day), np.maximum(day[:-1] - begin, 0)
    far = (gaps > _YEAR) & (gaps > spans * (0.25 if total >= 100 else 2))
    few = after <= max(1, _SHARE * total)
    if latest_possible is not None:
        few |= (day[1:] > latest_possible) & (after < total / 2)
    found = np.flatnonzero(far & few)
    return int(found[0]) if found.size else int(day.size) - 1
