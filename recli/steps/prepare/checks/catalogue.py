"""How much of the log the catalogue has, and what would make it more: other columns, other forms of the ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import takewhile

import polars as pl

from recli import schema
from recli.data.readers.native import native_text
from recli.errors import InvalidDataError
from recli.reporting import Reporter, counted
from recli.schema import Int64
from recli.steps.prepare.ids import normalized

_LOW = 0.5  # share of the log's items, below which a warning is due
_GAIN = 0.01  # share of the log's items that another form of the ids has to add
_BETTER = 0.25  # share that another column has to add
_DISTINCT = 0.9  # share of a column's values that differ, from which it may be one of ids

Form = Callable[[pl.Expr], pl.Expr]
# By the values of --normalize-ids, from the mildest on.
_FORMS: dict[str, Form] = {
    name: partial(normalized, modes=(name,)) for name in ("trim", "unicode", "lower", "integer")
}


@dataclass(frozen=True)
class _Way:
    """A way to make more ids match: what to do, how many of the log's items match then, and a pair that does."""

    advice: str
    n: int
    pair: tuple[str, str] | None = None


@dataclass(frozen=True)
class _Match:
    """The ids of both sides, and which of the log's are in the catalogue: bool (n,)."""

    log: pl.Series
    catalogue: pl.Series
    is_known: pl.Series

    @property
    def n(self) -> int:
        return int(self.is_known.sum())

    @property
    def share(self) -> float:
        return self.n / len(self.log)

    @property
    def unknown(self) -> pl.Series:
        return self.log.filter(~self.is_known)

    @property
    def unused(self) -> pl.Series:
        return self.catalogue.filter(~self.catalogue.is_in(self.log.implode()))


def check(
    item_ids: pl.Series,
    events: Int64,
    catalogue: pl.DataFrame,
    sample_log: Callable[[], pl.DataFrame],
    reporter: Reporter,
) -> None:
    """Say which share of the log's items the catalogue has; warn where it is low, or would be higher.

    `item_ids`: the log's, distinct, `events` int64 (n,) of each. `catalogue`: item_id, text and other columns.
    `sample_log`: the first values of the log's other columns, read only where they are needed. Raises
    `InvalidDataError` where no item is in the catalogue.
    """
    ids = catalogue[schema.ITEM_ID]
    match = _Match(item_ids, ids, item_ids.is_in(ids.implode()))
    n_events = int(events[match.is_known.to_numpy()].sum())
    share = f"{_percent(match.n, len(item_ids))}, with {_percent(n_events, int(events.sum()))} of the events"
    found = f"{match.n:,} of {counted(len(item_ids), 'item')} of the log ({share})"
    ways = [] if match.n == len(item_ids) else list(_ways(match, catalogue, sample_log))
    if match.share >= _LOW and not ways:
        reporter.say(f"catalogue: {found} are in it")
        return
    pair = next((way.pair for way in ways if way.pair), (match.unknown[0], match.unused.first()))
    beside = f": {pair[0]!r} beside {pair[1]!r}" if pair[1] is not None else f", for example not {pair[0]!r}"
    fix = "; ".join(f"{way.advice}: {_percent(way.n, len(item_ids))}" for way in ways[:4])
    if match.n == 0:
        nothing = "is it the catalogue of this log? name other columns with --item-column, --item-id-column"
        raise InvalidDataError(
            f"none of the {counted(len(item_ids), 'item')} of the log is in the catalogue{beside}",
            fix or nothing,
        )
    only = "only " if match.share < _LOW else ""
    reporter.warn(
        f"catalogue: {only}{found} are in it{beside}; {fix or 'the others have no text: is it the right one?'}"
    )


def _percent(n: int, total: int) -> str:
    """The share in whole percent; 100% only where it is all, 0% only where it is nothing."""
    if 0 < n < total:
        return f"{min(99, max(1, round(100 * n / total)))}%"
    return "100%" if n else "0%"


def _ways(match: _Match, catalogue: pl.DataFrame, sample_log: Callable[[], pl.DataFrame]) -> Iterator[_Way]:
    """What would make more of the log's items match, tried on the data; the best ones of each kind."""
    yield from _forms(match)
    if match.share < 1 - _BETTER:
        yield from _columns_of_catalogue(match, catalogue)
        yield from _columns_of_log(match, sample_log())


def _forms(match: _Match) -> Iterator[_Way]:
    """Normal forms of the ids that lie on both sides, or a prefix that one side has."""
    least = max(1, _GAIN * len(match.log))
    unknown, unused = match.unknown, match.unused
    best = _Way("", 0)
    for name, forms in (*((name, [name]) for name in _FORMS), (",".join(_FORMS), list(_FORMS))):
        n, pair = _joined(unknown, unused, *(_chained(forms),) * 2)
        if n >= least and match.n + n > best.n:
            best = _Way(f"with --normalize-ids {name}", match.n + n, pair)
    if not best.n:
        best = _without_prefix(match, unknown, unused)
    if best.n >= match.n + least:
        yield best


def _chained(names: list[str]) -> Form:
    def form(ids: pl.Expr) -> pl.Expr:
        for name in names:
            ids = _FORMS[name](ids)
        return ids

    return form


def _joined(
    log: pl.Series, catalogue: pl.Series, left: Form, right: Form
) -> tuple[int, tuple[str, str] | None]:
    """How many ids of the log have the form of one of the catalogue, and the first such pair."""
    a = (
        pl.DataFrame({"log": log})
        .with_columns(left(pl.col("log")).alias("form"))
        .filter(pl.col("form") != "")
    )
    b = pl.DataFrame({"catalogue": catalogue}).with_columns(right(pl.col("catalogue")).alias("form"))
    pairs = a.join(b.unique("form", keep="first", maintain_order=True), on="form", maintain_order="left")
    return pairs.height, pairs.select("log", "catalogue").row(0) if pairs.height else None


def _without_prefix(match: _Match, unknown: pl.Series, unused: pl.Series) -> _Way:
    """The ids without what all those of a side begin with, such as `item_` or `tt`, and without zeros after it."""
    prefixes = {"the log's": _prefix(unknown), "the catalogue's": _prefix(unused)}
    if not any(prefixes.values()):
        return _Way("", 0)

    def without(prefix: str) -> Form:
        return lambda ids: _FORMS["integer"](ids.str.strip_prefix(prefix))

    n, pair = _joined(unknown, unused, *(without(prefix) for prefix in prefixes.values()))
    cut = " and ".join(f"{prefix!r} cut from {side} ids" for side, prefix in prefixes.items() if prefix)
    return _Way(f"with {cut}, in the file", match.n + n, pair)


def _prefix(ids: pl.Series) -> str:
    """What all ids begin with, but digits at its end, which belong to numbers."""
    if len(ids) < 2:
        return ""
    pairs = zip(str(ids.min()), str(ids.max()), strict=False)
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], pairs)).rstrip("0123456789")


def _columns_of_catalogue(match: _Match, catalogue: pl.DataFrame) -> Iterator[_Way]:
    """The catalogue's column that more of the log's items are in."""
    counts = {}
    for name in catalogue.columns:
        column = catalogue[name].drop_nulls()
        if name in (schema.ITEM_ID, schema.TEXT) or column.dtype.is_nested() or column.dtype.is_float():
            continue
        values = native_text(column)
        if len(values) and values.n_unique() >= _DISTINCT * len(values):
            counts[name] = int(match.log.is_in(values.implode()).sum())
    if counts:
        best = max(counts, key=lambda name: counts[name])
        if counts[best] >= match.n + _BETTER * len(match.log):
            name = best.removesuffix("_original")
            yield _Way(f"with --item-id-column {_quoted(name)}", counts[best], None)


def _columns_of_log(match: _Match, columns: pl.DataFrame) -> Iterator[_Way]:
    """The log's column with the largest share of values in the catalogue; `n` as if it held for all items."""
    shares = {}
    for name in columns.columns:
        values = columns[name].drop_nulls().unique()
        if len(values) > 1:
            shares[name] = float(values.is_in(match.catalogue.implode()).mean())  # type: ignore[arg-type]
    if shares:
        best = max(shares, key=lambda name: shares[name])
        if shares[best] >= match.share + _BETTER:
            yield _Way(f"with --item-column {_quoted(best)}", round(shares[best] * len(match.log)), None)


def _quoted(name: str) -> str:
    return name if name.replace("_", "").replace("-", "").isalnum() else repr(name)
