"""From events with string ids to columns of numbers: filters single events, computes their values, numbers the ids."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from recli.data.event_columns import Column, Rows
from recli.errors import InvalidDataError
from recli.steps.prepare.time_range import time_range

_SMALLEST = float(np.finfo(np.float32).tiny)  # a decayed value stays above 0, however old
_LARGEST = float(np.finfo(np.float32).max)
_TYPES = {"rating": np.float32, "timestamp": np.int64, "position": np.int64, "part": np.uint8}


@dataclass(frozen=True)
class EventWeighting:
    """How one event becomes a value, and which events count at all."""

    min_rating: float | None = None
    event_weights: dict[str, float] | None = None
    weighted: bool = False  # by the column `weight`
    half_life: float | None = None  # seconds


@dataclass(frozen=True)
class Indexed:
    """Events by number. `user_ids[user]` and `item_ids[item]` are the ids, sorted."""

    rows: Rows
    user_ids: pl.Series
    item_ids: pl.Series
    filtered: dict[str, int]  # events left out, by option
    event_types: dict[str, int]  # events of each type, where the log has types


def index_events(events: pl.LazyFrame, weighting: EventWeighting) -> Indexed:
    """Filter, weigh and number `events`: user_id, item_id [, rating] [, event] [, weight] [, timestamp] [, position]
    [, part].

    The value of an event is its type's weight times its column `weight` times
    `0.5 ** ((latest - timestamp) / half_life)`, where `latest` is the last event of the whole log, but for those
    far after all others (their age is 0).
    Streams: strings are never held all at once. Raises `InvalidDataError` for a value beyond float32.
    """
    columns = events.collect_schema().names()
    latest = _latest(events) if weighting.half_life is not None else None
    filtered, kept = _filter(events, weighting)
    ids = [
        kept.select(pl.col(name).unique()).collect(engine="streaming")[name].sort()
        for name in ("user_id", "item_id")
    ]
    selected = [
        _number("user_id", ids[0]).alias("user"),
        _number("item_id", ids[1]).alias("item"),
        _value(weighting, latest).alias("value"),
        *(pl.col(name) for name in _TYPES if name in columns),
    ]
    frame = kept.select(selected).collect(engine="streaming")
    rows = Rows(_columns(frame))
    if "timestamp" in rows and "position" in rows:  # rows tell the order of events at the same time only
        in_time = np.lexsort((rows.columns["position"], rows.columns["timestamp"]))
        rows.columns["position"][in_time] = np.arange(len(rows))
    largest = float(rows.columns["value"].max(initial=0))
    if largest > _LARGEST or np.isnan(largest):
        raise InvalidDataError(
            f"an event's value is {largest:g}, more than a 32-bit float holds",
            "check the weight column, or scale it down",
        )
    return Indexed(rows, ids[0], ids[1], filtered, _event_types(events, columns))


def _latest(events: pl.LazyFrame) -> int | None:
    """The last event that is not far from all others: one event in 2100 must not make all others old."""
    times = time_range(events)
    return times.last if times else None


def _filter(events: pl.LazyFrame, weighting: EventWeighting) -> tuple[dict[str, int], pl.LazyFrame]:
    """Leave out events of weight 0 and low ratings, and count them by the first option that excludes them."""
    rules: dict[str, pl.Expr] = {}
    if weighting.event_weights is not None:
        used = [name for name, weight in weighting.event_weights.items() if weight > 0]
        rules["event_weights"] = pl.col("event").is_in(used).fill_null(False).not_()
    if weighting.min_rating is not None:
        rules["min_rating"] = (pl.col("rating") < weighting.min_rating).fill_null(True)
    if weighting.weighted:
        rules["weight_column"] = (pl.col("weight") <= 0).fill_null(True)
    if not rules:
        return {}, events
    before, counted = pl.lit(False), {}
    for name, rule in rules.items():
        counted[name] = (rule & ~before).sum()
        before = before | rule
    counts = events.select(**counted).collect(engine="streaming").row(0, named=True)
    return {name: int(count) for name, count in counts.items() if count}, events.filter(~before)


def _number(name: str, ids: pl.Series) -> pl.Expr:
    """The row number of an id: the index of its category, since the categories are sorted."""
    return pl.col(name).cast(pl.Enum(ids)).to_physical().cast(pl.Int32)


def _value(weighting: EventWeighting, latest: int | None) -> pl.Expr:
    value = pl.lit(1.0, dtype=pl.Float64)
    if weighting.event_weights is not None:
        names, weights = list(weighting.event_weights), list(weighting.event_weights.values())
        value = value * pl.col("event").replace_strict(names, weights, default=None, return_dtype=pl.Float64)
    if weighting.weighted:
        value = value * pl.col("weight")
    if weighting.half_life is not None and latest is not None:
        age = ((latest - pl.col("timestamp")) / (weighting.half_life * 1e6)).clip(
            lower_bound=0
        )  # in half-lives
        value = (value * pl.lit(2.0).pow(-age)).clip(lower_bound=_SMALLEST)
    return value.cast(pl.Float32)


def _columns(frame: pl.DataFrame) -> dict[str, Column]:
    """The frame's columns as arrays; each is given up as soon as it is copied."""
    arrays: dict[str, Column] = {}
    for name in frame.columns:
        column = frame.drop_in_place(name).to_numpy(writable=True)
        arrays[name] = column.astype(_TYPES.get(name, column.dtype), copy=False)
    return arrays


def _event_types(events: pl.LazyFrame, columns: list[str]) -> dict[str, int]:
    if "event" not in columns:
        return {}
    counted = events.group_by("event").agg(pl.len()).collect(engine="streaming")
    return {str(name): int(n) for name, n in counted.sort("event").iter_rows()}
