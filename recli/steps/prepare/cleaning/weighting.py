"""From events with string ids to columns of numbers: filters single events, computes their values, numbers the ids."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from recli.data.event_columns import Column, Rows
from recli.errors import InvalidDataError
from recli.steps.prepare.cleaning.negatives import NegativeRules, with_means
from recli.steps.prepare.cleaning.set_aside import SetAside

_SMALLEST = float(np.finfo(np.float32).tiny)  # a decayed value stays above 0, however old
_LARGEST = float(np.finfo(np.float32).max)
_TYPES = {
    "rating": np.float32,
    "timestamp": np.int64,
    "position": np.int64,
    "part": np.uint8,
    "kind": np.uint32,
    "file": np.uint32,
}
_PLACE = ("timestamp", "position", "part")  # where in a user's history, and in which given part, an event is


@dataclass(frozen=True)
class EventWeighting:
    """How one event becomes a value, and which events count at all."""

    min_rating: float | None = None
    event_weights: dict[str, float] | None = None
    weighted: bool = False  # by the column `weight`
    half_life: float | None = None  # seconds
    negatives: NegativeRules = field(default_factory=NegativeRules)


@dataclass(frozen=True)
class Indexed:
    """Events by number. `user_ids[user]` and `item_ids[item]` are the ids, sorted."""

    rows: Rows
    user_ids: pl.Series
    item_ids: pl.Series
    filtered: dict[str, int]  # events left out, by option
    event_types: dict[str, int]  # events of each type, where the log has types
    set_aside: SetAside  # those events, of users and items that are known


def index_events(
    events: pl.LazyFrame,
    weighting: EventWeighting,
    catalogue_ids: pl.Series | None = None,
    kinds: bool = False,
) -> Indexed:
    """Filter, weigh and number `events`: user_id, item_id [, rating] [, event] [, weight] [, timestamp] [, position]
    [, part] [, file].

    The value of an event is its type's weight times its column `weight` times
    `0.5 ** ((latest - timestamp) / half_life)`, where `latest` is the last event of the whole log; of a negative one,
    this is how strongly the item is disliked. `catalogue_ids`: items that are in the run even without an event. With
    `kinds`, rows have a column `kind`, the number of the event's type, and `file`.
    Streams: strings are never held all at once. Raises `InvalidDataError` for a value beyond float32.
    """
    columns = events.collect_schema().names()
    latest = _latest(events) if weighting.half_life is not None else None
    filtered, kept, left_out = _filter(events, weighting)
    ids = [
        kept.select(pl.col(name).unique()).collect(engine="streaming")[name].sort()
        for name in ("user_id", "item_id")
    ]
    place = [pl.col(name) for name in _PLACE if name in columns]
    others = [pl.col(name) for name in ("rating", *(["file"] if kinds else [])) if name in columns]
    event_types = _event_types(events, columns)
    if kinds and len(event_types) > 1:
        others.append(_number("event", pl.Series(list(event_types), dtype=pl.String)).alias("kind"))
    selected = [
        _number("user_id", ids[0]).alias("user"),
        _number("item_id", ids[1]).alias("item"),
        _value(weighting, latest).alias("value"),
        *others,
        *place,
    ]
    rows = Rows(_columns(kept.select(selected).collect(engine="streaming")))
    largest = float(rows.columns["value"].max(initial=0))
    if largest > _LARGEST or np.isnan(largest):
        raise InvalidDataError(
            f"an event's value is {largest:g}, more than a 32-bit float holds",
            "check the weight column, or scale it down",
        )
    aside = SetAside(ids[1])
    if left_out is not None:
        item_ids = _with_others(ids[1], catalogue_ids)
        strength = pl.when("negative").then(_strength(weighting, latest)).otherwise(0).cast(pl.Float32)
        found = left_out.select(
            _number("user_id", ids[0], strict=False).alias("user"),
            _number("item_id", item_ids, strict=False).alias("item"),
            strength.alias("value"),
            *place,
        )
        known = found.filter(pl.col("user").is_not_null() & pl.col("item").is_not_null())
        aside = SetAside(item_ids, _unknown_users(left_out, ids[0]))
        aside.add(Rows(_columns(known.collect(engine="streaming"))))
    _rank_in_time(rows, aside)
    return Indexed(rows, ids[0], ids[1], filtered, event_types, aside)


def _latest(events: pl.LazyFrame) -> int | None:
    latest: int | None = events.select(pl.col("timestamp").max()).collect(engine="streaming").item()
    return latest


def _filter(
    events: pl.LazyFrame, weighting: EventWeighting
) -> tuple[dict[str, int], pl.LazyFrame, pl.LazyFrame | None]:
    """Leave out negative events, those of weight 0 and low ratings; count them by the first option that excludes them.

    Returns the counts, the events that are kept, and those that are not, with a column `negative`; None: there are
    none.
    """
    rules: dict[str, pl.Expr] = {}
    negative = weighting.negatives.condition()
    if negative is not None:
        rules["negatives"] = negative
    if weighting.event_weights is not None:
        used = [name for name, weight in weighting.event_weights.items() if weight > 0]
        rules["event_weights"] = pl.col("event").is_in(used).fill_null(False).not_()
    if weighting.min_rating is not None:
        rules["min_rating"] = (pl.col("rating") < weighting.min_rating).fill_null(True)
    if weighting.weighted:
        rules["weight_column"] = (pl.col("weight") <= 0).fill_null(True)
    if not rules:
        return {}, events, None
    if weighting.negatives.below_mean:
        events = with_means(events)
    before, counted = pl.lit(False), {}
    for name, rule in rules.items():
        counted[name] = (rule & ~before).sum()
        before = before | rule
    counts = events.select(**counted).collect(engine="streaming").row(0, named=True)
    filtered = {name: int(count) for name, count in counts.items() if count}
    if not filtered:
        return {}, events, None
    marked = events.with_columns((pl.lit(False) if negative is None else negative).alias("negative"))
    return filtered, events.filter(~before), marked.filter(before)


def _number(name: str, ids: pl.Series, strict: bool = True) -> pl.Expr:
    """The row number of an id: the index of its category. Unless `strict`, null for an id that is not among them."""
    return pl.col(name).cast(pl.Enum(ids), strict=strict).to_physical().cast(pl.Int32)


def _with_others(item_ids: pl.Series, catalogue_ids: pl.Series | None) -> pl.Series:
    """The ids of items with kept events, and then those that only the catalogue has."""
    if catalogue_ids is None:
        return item_ids
    return pl.concat([item_ids, catalogue_ids.filter(~catalogue_ids.is_in(item_ids.implode()))])


def _unknown_users(left_out: pl.LazyFrame, user_ids: pl.Series) -> int:
    """How many users have such events alone."""
    unknown = _number("user_id", user_ids, strict=False).is_null()
    found = left_out.filter(unknown).select(pl.col("user_id").n_unique()).collect(engine="streaming")
    return int(found.item())


def _value(weighting: EventWeighting, latest: int | None) -> pl.Expr:
    value = pl.lit(1.0, dtype=pl.Float64)
    if weighting.event_weights is not None:
        names, weights = list(weighting.event_weights), list(weighting.event_weights.values())
        value = value * pl.col("event").replace_strict(names, weights, default=None, return_dtype=pl.Float64)
    return _decayed(_weighed(value, weighting), weighting, latest).cast(pl.Float32)


def _strength(weighting: EventWeighting, latest: int | None) -> pl.Expr:
    """How strongly a negative event says no: its type's weight without the sign, 1 for a type without one; float32."""
    strength = pl.lit(1.0, dtype=pl.Float64)
    strengths = {name: abs(weight) for name, weight in (weighting.event_weights or {}).items() if weight}
    if strengths:
        strength = pl.col("event").replace_strict(
            list(strengths), list(strengths.values()), default=1.0, return_dtype=pl.Float64
        )
    weighed = _weighed(strength, weighting)
    strong = pl.when(weighed > 0).then(_decayed(weighed, weighting, latest)).otherwise(0)
    return strong.clip(upper_bound=_LARGEST).cast(pl.Float32)


def _weighed(value: pl.Expr, weighting: EventWeighting) -> pl.Expr:
    return value * pl.col("weight") if weighting.weighted else value


def _decayed(value: pl.Expr, weighting: EventWeighting, latest: int | None) -> pl.Expr:
    if weighting.half_life is None or latest is None:
        return value
    age = (latest - pl.col("timestamp")) / (weighting.half_life * 1e6)  # in half-lives
    return (value * pl.lit(2.0).pow(-age)).clip(lower_bound=_SMALLEST)


def _rank_in_time(rows: Rows, aside: SetAside) -> None:
    """With times and positions, make the positions ranks in time: rows tell the order of simultaneous events only."""
    if "timestamp" not in rows or "position" not in rows:
        return
    tables = [rows, *aside.tables]
    position, timestamp = (
        np.concatenate([table.columns[name] for table in tables]) for name in ("position", "timestamp")
    )
    position[np.lexsort((position, timestamp))] = np.arange(position.size)
    ends = np.cumsum([len(table) for table in tables])
    for table, ranks in zip(tables, np.split(position, ends[:-1]), strict=True):
        table.columns["position"] = ranks


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
