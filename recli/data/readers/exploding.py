"""Rows with lists in them become an event for each element: `--explode`, list columns, impressions."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import polars as pl

from recli.data.readers import lists
from recli.data.readers.column_roles import seen
from recli.data.readers.hints import check_plain
from recli.data.readers.options import ReadOptions
from recli.data.readers.table import Batch, Exploded, Reject, Table, list_name
from recli.errors import UsageError

NOT_LIST, UNEQUAL = "not a list of plain values", "lists of different lengths"
NO_SUFFIX, NO_RATING = "impression without -1 or -0", "element without a rating"
CLICK, IMPRESSION = "click", "impression"
_NAMES = {lists.TAB: "tabs", lists.BLANK: "blanks", lists.JSON: "brackets"}


@dataclass
class ListColumns:
    """The columns of one table whose lists are taken apart, by the name they are requested by.

    `columns`: role -> column. `more`: columns without a role: items of the user before those of the row.
    `separators`: by column, as the user gave them or as the first file's first rows have them. `impressions`:
    whether the elements of the items end in -1 and -0; None where no element was seen yet. `rated`: whether they are
    an item and a rating, `26:4.5`.
    """

    columns: dict[str, str]
    more: tuple[str, ...]
    separators: dict[str, str | None] = field(default_factory=dict)
    impressions: bool | None = None
    rated: bool = False

    def note(self, events: Exploded) -> str:
        """What was assumed, in one line."""
        names = [*self.columns.values(), *self.more]
        how = ", ".join(
            f"{name} ({_NAMES.get(s or '', s)})" for name in names if (s := self.separators.get(name))
        )
        empty = f", {events.empty:,} of them empty" if events.empty else ""
        text = f"lists in {how or ', '.join(names)}: {events.rows:,} rows{empty} are {events.events:,} events"
        return f"{text} of items with ratings, such as 26:4.5" if self.rated else text


def list_columns(
    table: Table, numbers: Mapping[str, int], options: ReadOptions, where: str
) -> ListColumns | None:
    """The columns to take apart: those of `--explode`, and those with a role that are lists by their type.

    Raises `UsageError` for a column that is not there, `InvalidDataError` for lists of objects without a field.
    """
    columns = {role: table.names[number] for role, number in numbers.items()}
    native = {role: name for role, name in columns.items() if _is_list(table, name)}
    found = ListColumns(native if native.keys() & {"user", "item"} else {}, ())
    for text in options.explode:
        name, separator = _parse(text, table.names, where)
        below = [role for role, column in columns.items() if column == name or column.startswith(f"{name}.")]
        found.columns |= {role: columns[role] for role in below}
        found.more += () if below else (name,)
        if separator is not None:
            found.separators |= dict.fromkeys([*(columns[role] for role in below), name], separator)
    for role, name in (*found.columns.items(), *(("item", name) for name in found.more)):
        check_plain(where, table, {role: name}, options.advice, lists=True)
    others = sorted(found.columns.keys() - {"item"})
    if found.more and others:
        raise UsageError(
            f"{where}: --explode {found.more[0]} adds items, but the {others[0]} is a list too, of other items",
            "explode either that column or those of the items, times, ...",
        )
    return found if found.columns or found.more else None


def _parse(text: str, names: Sequence[str], where: str) -> tuple[str, str | None]:
    """The column and the separator in `COLUMN[:SEPARATOR]`; a column may have `:` in its name."""
    if text in names:
        return text, None
    fits = [name for name in names if text.startswith(f"{name}:") and len(text) > len(name) + 1]
    if not fits:
        raise UsageError(
            f"{where}: no column {text!r} (--explode); {seen(names)}", "name one of them: --explode NAME"
        )
    name = max(fits, key=len)
    separator = text[len(name) + 1 :]
    words = {" ": lists.BLANK, "\t": lists.TAB, "\\t": lists.TAB}
    return name, words.get(separator, separator)


def _is_list(table: Table, name: str) -> bool:
    return name in table.nested and table.nested[name].is_list


class ExplodedTable:
    """The batches of a table, its lists taken apart. The first batch is read at once: it settles the rest.

    `more_batches`: of the last batch, the events of the columns without a role, in the order of the rows.
    """

    def __init__(
        self, table: Table, numbers: Mapping[str, int], columns: ListColumns, settled: ListColumns | None
    ) -> None:
        self.columns = columns
        self._roles = list(columns.columns)
        asked = {list_name(role) if role in columns.columns else role: n for role, n in numbers.items()}
        asked |= {list_name(f"more{k}"): table.names.index(name) for k, name in enumerate(columns.more)}
        self._rest = table.batches(asked)
        self._first = next(self._rest, None)
        if settled is not None:
            columns.separators = settled.separators | columns.separators
            columns.impressions, columns.rated = settled.impressions, settled.rated
        if self._first is not None:
            self._settle(self._first.frame, numbers)

    def _settle(self, frame: pl.DataFrame, roles: Mapping[str, int]) -> None:
        for request, column in self._requests():
            cells = frame[request]
            if column not in self.columns.separators and cells.dtype == pl.String:
                self.columns.separators[column] = lists.find_separator(cells)
        if self.columns.impressions is None and "item" in self.columns.columns:
            items = self._split(frame.head(5_000))[list_name("item")].explode().drop_nulls()
            if len(items):
                self.columns.impressions = "event" not in roles and lists.is_impressions(items)
                self.columns.rated = (
                    not self.columns.impressions and "rating" not in roles and lists.is_rated(items)
                )

    def _requests(self) -> Iterator[tuple[str, str]]:
        """The names that the list columns are requested by, and the columns' own."""
        for role, column in self.columns.columns.items():
            yield list_name(role), column
        for k, column in enumerate(self.columns.more):
            yield list_name(f"more{k}"), column

    def batches(self) -> Iterator[tuple[Batch, Batch | None]]:
        """The events of the lists with a role, and those of the columns without (no impressions)."""
        if self._first is None:
            return
        yield self._events(self._first)
        self._first = None
        for batch in self._rest:
            yield self._events(batch)

    def _split(self, frame: pl.DataFrame) -> pl.DataFrame:
        """The frame with List(String) in each list column; null where a cell is none."""
        return frame.with_columns(
            lists.split(frame[request], self.columns.separators.get(column))
            if frame[request].dtype == pl.String
            else frame[request].fill_null([])
            for request, column in self._requests()
        )

    def _events(self, batch: Batch) -> tuple[Batch, Batch | None]:
        frame = self._split(batch.frame)
        names = [list_name(role) for role in self._roles]
        rejects = list(batch.rejects)
        for request, column in self._requests():
            frame = _without(frame, pl.col(request).is_null(), batch, column, NOT_LIST, rejects)
        if len(names) > 1:
            unequal = pl.any_horizontal(
                pl.col(n).list.len() != pl.col(names[0]).list.len() for n in names[1:]
            )
            frame = _without(frame, unequal, batch, self.columns.columns[self._roles[1]], UNEQUAL, rejects)
        n_rows, more = frame.height + len(rejects) - len(batch.rejects), self._more(frame)
        empty = 0
        if names:
            filled = frame.filter(pl.col(names[0]).list.len() > 0)
            empty, frame = frame.height - filled.height, filled.explode(names)
        frame = frame.rename(dict(zip(names, self._roles, strict=True)))
        if self.columns.impressions:
            frame = self._impressions(frame, batch, rejects)
        if self.columns.rated:
            item, rating = lists.ratings(pl.col("item"))
            frame = _without(frame, item.is_null(), batch, self.columns.columns["item"], NO_RATING, rejects)
            frame = frame.with_columns(rating.alias("rating"), item.alias("item"))
        frame = frame.select(pl.exclude([list_name(f"more{k}") for k in range(len(self.columns.more))]))
        made = Exploded(n_rows, frame.height, empty)
        events = replace(batch, frame=frame, rejects=rejects, exploded=made)
        return events, None if more is None else Batch(more, batch.raw)

    def _impressions(self, frame: pl.DataFrame, batch: Batch, rejects: list[Reject]) -> pl.DataFrame:
        """`N24-1` as a click on N24, `N24-0` as an impression of it."""
        item, digit = lists.suffixes(pl.col("item"))
        frame = _without(frame, item.is_null(), batch, self.columns.columns["item"], NO_SUFFIX, rejects)
        event = pl.when(digit == "1").then(pl.lit(CLICK)).otherwise(pl.lit(IMPRESSION))
        return frame.with_columns(event.alias("event"), item.alias("item"))

    def _more(self, frame: pl.DataFrame) -> pl.DataFrame | None:
        """An event for each element of the columns without a role, with the row's user, time, ..."""
        if not self.columns.more:
            return None
        every = [
            frame.with_columns(pl.col(list_name(f"more{k}")).alias("item"))
            for k in range(len(self.columns.more))
        ]
        kept = [name for name in frame.columns if name == "item" or not name.startswith(list_name(""))]
        more = pl.concat([f.select(*dict.fromkeys((*kept, "item"))) for f in every])
        more = more.filter(pl.col("item").list.len() > 0).explode("item")
        return more.with_columns(pl.lit(CLICK).alias("event")) if self.columns.impressions else more


def _without(
    frame: pl.DataFrame, bad: pl.Expr, batch: Batch, column: str, reason: str, rejects: list[Reject]
) -> pl.DataFrame:
    """The frame without its bad rows, which become rejects."""
    lines = frame.filter(bad)["line"].to_list()
    if not lines:
        return frame
    texts = batch.raw(lines)
    rejects += [Reject(line, column, reason, text) for line, text in zip(lines, texts, strict=True)]
    return frame.filter(~bad)


def advice(column: str, ids: pl.Series, option: str) -> str | None:
    """A warning for ids that look like lists, with the option that reads them, tried on them; None for others.

    `option`: names the column of such ids.
    """
    separator = lists.recognized(ids)
    if separator is None:
        return None
    cells = ids.drop_nulls().head(5_000)
    n_ids, example = cells.n_unique(), str(cells[0])[:60]
    found = lists.objects(cells) if separator == lists.JSON else None
    if found is not None:
        options = f"{option} {shlex.quote(f'{column}.{found.fields[0]}')}"
        options += f" --explode {shlex.quote(column)}" if found.is_list else ""
        return f"{column} is {found}, such as {example!r}; name one of them: {options}"
    elements = lists.split(cells, separator).explode().drop_nulls()
    clicks = lists.is_impressions(elements)
    elements = lists.without_suffix(elements)
    name = _NAMES.get(separator, separator)
    what = "impressions, clicked (-1) or not (-0)," if clicks else "elements"
    return (
        f"{column} looks like lists: {n_ids:,} different ids in {len(cells):,} rows, most with {name} in "
        f"them, such as {example!r}; --explode {shlex.quote(f'{column}:{separator}')} makes {len(elements):,} {what} "
        f"of {elements.n_unique():,} ids of them"
    )
