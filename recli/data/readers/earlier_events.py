"""Events from a history column: what a user did before the rows' own events, repeated in each of the user's rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from recli.data.readers.spool import Spool


class EarlierEvents:
    """Collects events whose times are not known: only that they were before their row's. `clicks`: all are clicks."""

    def __init__(self, folder: Path, schema: Mapping[str, Any], clicks: bool) -> None:
        own = ("user_id", "item_id", "timestamp", *(["event"] if clicks else []))
        self._repeated = [name for name in schema if name not in own]  # values of the rows
        self._all = Spool(folder, "history", schema)
        self._distinct = Spool(folder, "earlier", schema)
        self._added = 0

    def add(self, events: pl.DataFrame) -> None:
        """Events in the order of the rows, with their rows' times."""
        self._added += events.height
        self._all.add(_first(events))

    def distinct(self) -> tuple[pl.LazyFrame, int]:
        """Each user's items once, and their number.

        Their times are 1, 2, ... microseconds before that of the first row that has them, the last item next to it.
        """
        events = _first(self._all.scan().collect())
        if "timestamp" in events.columns:
            alike = ["user_id", "timestamp"]
            before = pl.len().over(alike) - pl.int_range(pl.len()).over(alike)
            events = events.with_columns(pl.col("timestamp") - before.cast(pl.Int64))
        self._distinct.add(events)
        return self._distinct.scan(), events.height

    def note(self, n_distinct: int, timed: bool) -> str:
        """What was assumed, in one line."""
        when = "just before the first row that has them" if timed else "before all others"
        values = f", with that row's {' and '.join(self._repeated)}" if self._repeated else ""
        return f"history: {self._added:,} items, {n_distinct:,} different ones of their users, {when}{values}"


def _first(events: pl.DataFrame) -> pl.DataFrame:
    """Each user's items once: at the earliest time, or in the first row."""
    if "timestamp" in events.columns:
        events = events.sort("timestamp", maintain_order=True)
    return events.unique(["user_id", "item_id"], keep="first", maintain_order=True)
