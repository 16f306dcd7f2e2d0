"""Reads event logs in any common format into one table of users, items and optional columns of each event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from recli.data.readers import fill_down, hints, shapes
from recli.data.readers.column_roles import (
    EVENT_ROLES,
    USER,
    MissingColumnError,
    Role,
    known_names,
    recognize,
)
from recli.data.readers.delimited import NoHeaderError, open_delimited
from recli.data.readers.earlier_events import EarlierEvents
from recli.data.readers.exploding import ExplodedTable, ListColumns, advice, list_columns
from recli.data.readers.joining import JoinedTable, join
from recli.data.readers.json_cells import with_paths
from recli.data.readers.jsonl import open_jsonl
from recli.data.readers.line_account import LineAccount
from recli.data.readers.options import ReadOptions
from recli.data.readers.parquet import open_parquet
from recli.data.readers.spool import Spool, reject_frame, reject_schema
from recli.data.readers.streams import Source, Stream, expand
from recli.data.readers.table import Batch, Exploded, Reject, Table
from recli.data.readers.values import Fault, Written, normalize
from recli.errors import InvalidDataError, UsageError
from recli.reporting import Advance, no_progress


@dataclass(frozen=True)
class EventLog:
    """The log that was read. `rows` (data rows; neither headers nor blank lines) = kept + the sum of `rejected`.

    `events`: user_id, item_id (String) [, rating Float64] [, event String] [, weight Float64]
    [, timestamp Int64, microseconds], in the order of the input. `rejects`: file, line (from 1), column,
    reason, raw, value (a bad number or time). `columns`: the column used for each role (user, item, rating,
    event, weight, time). `unused`: the other columns. `lines`: the physical lines of text files, all of which are
    accounted for: rows + before (headers and comments) + blank + continued (lines of a record after its first).
    `notations`: by file and (role, notation), how many cells were read so (see `values.Written`).
    `exploded`: where rows held lists; `rows` then counts events. `impressions`: whether events are clicks and
    impressions, by the ends of the items' ids (`N24-1`). `notes`: what was assumed; `warnings`: what may be wrong.
    `files`: names of the files, where there are several; `events` then has a column `file` (UInt32), their number.
    Both frames read files below the spool folder: use them before it is removed.
    """

    events: pl.LazyFrame
    rejects: pl.LazyFrame
    rows: int
    rejected: dict[str, int]
    columns: dict[str, str]
    unused: tuple[str, ...] = ()
    lines: dict[str, int] = field(default_factory=dict)
    notations: dict[str, Counter[tuple[str, str]]] = field(default_factory=dict)
    exploded: Exploded | None = None
    impressions: bool = False
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def read_events(
    sources: Sequence[str], options: ReadOptions, spool: Path, advance: Advance = no_progress
) -> EventLog:
    """Read event logs (files, globs, `-`), batch by batch; batches are put aside below `spool`.

    Raises `RecliError` for what concerns a file as a whole; a bad row becomes a reject.
    """
    return read_rows(sources, EVENT_ROLES, options, spool, advance)


def read_rows(
    sources: Sequence[str], roles: Sequence[Role], options: ReadOptions, spool: Path, advance: Advance
) -> EventLog:
    """Read tables of the given roles. All files must have the same roles, under whatever names."""
    inputs = expand(sources)
    reading = _Reading(inputs, roles, options, spool)
    for source in inputs:
        table = open_table(source, options, roles)
        if table is not None:
            reading.add(source, table, advance)
    if reading.rows == 0:
        names_text = ", ".join(str(s) for s in inputs[:5])
        what = "has a header and no rows" if reading.columns else "is empty"
        what = "has rows, but no list with an element in it" if reading.exploded is not None else what
        raise InvalidDataError(f"{names_text} {what}", "name a file with rows in it")
    return reading.log()


class _Reading:
    """The rows of several files, put aside below a folder as they are read."""

    def __init__(
        self, inputs: Sequence[Source], roles: Sequence[Role], options: ReadOptions, folder: Path
    ) -> None:
        self._inputs = inputs
        self._roles, self._options, self._folder = roles, options, folder
        self._joined = [JoinedTable(text, self._open) for text in options.join]
        self._kept = Spool(folder, "events", {})
        self._earlier: EarlierEvents | None = None
        self._lists: ListColumns | None = None
        self._rejects = Spool(folder, "rejects", reject_schema())
        self._rejected: Counter[str] = Counter()
        self._unused: dict[str, None] = {}
        self._lines = LineAccount()
        self._notations: dict[str, Counter[tuple[str, str]]] = {}
        self._messages: dict[str, None] = {}
        self._warnings: list[str] = []
        self.columns: dict[str, str] = {}
        self.rows = 0
        self.exploded: Exploded | None = None

    @property
    def _several(self) -> bool:
        return len(self._inputs) > 1

    def _of_file(self, events: pl.DataFrame, source: Source) -> pl.DataFrame:
        """The events with their file's number, where there are several."""
        number = pl.lit(self._inputs.index(source), pl.UInt32).alias("file")
        return events.with_columns(number) if self._several else events

    def _open(self, source: Source) -> Table | None:
        plain = replace(self._options, format="auto", separator=None, header=None, columns=())
        return open_table(source, plain, self._roles, any_header=True)

    def add(self, source: Source, table: Table, advance: Advance) -> None:
        """Read a file. Raises `RecliError` where it has other roles than those before it."""
        options = self._options
        table = fill_down.orders(self._lines.follow(table, source), str(source))
        for other in self._joined:
            table = join(table, other, str(source))
        try:
            numbers = recognize(table.names, self._roles, options, str(source))
        except UsageError as error:
            raise UsageError(hints.with_fields(error.what, table), error.fix) from None
        except MissingColumnError as error:
            raise hints.remedied(error, table, source, self._roles, options) from None
        names = {role: table.names[number] for role, number in numbers.items()}
        self._note(hints.group_as_user(table, names["user"], source, USER, options.advice))
        lists = list_columns(table, numbers, options, str(source))
        plain = {r: name for r, name in names.items() if lists is None or r not in lists.columns}
        hints.check_plain(str(source), table, plain, options.advice)
        batches: Iterator[tuple[Batch, Batch | None]]
        if lists is None:
            batches = ((batch, None) for batch in table.batches(numbers))
        else:
            exploded = ExplodedTable(table, numbers, lists, self._lists)
            batches, self._lists = exploded.batches(), lists
            if lists.impressions:
                names["event"] = names["item"]
            if lists.rated:
                names["rating"] = names["item"]
        taken = {*names.values(), *(lists.more if lists else ()), *(other.key for other in self._joined)}
        roots = {name.split(".")[0] for name in taken}
        self._unused |= {name: None for name in table.names if name and not {name} & (taken | roots)}
        used = [role for role in self._roles if role.name in names]
        if not self.columns:
            self.columns = names
            of_file = {"file": pl.UInt32} if self._several else {}
            self._kept = Spool(self._folder, "events", _schema(used) | of_file)
            if lists and lists.more:
                self._earlier = EarlierEvents(self._folder, _schema(used), bool(lists.impressions))
        _check_same(source, self.columns, names)
        self._read(source, batches, used, names, advance)
        for note in table.notes:
            self._note(note)

    def _read(
        self,
        source: Source,
        batches: Iterator[tuple[Batch, Batch | None]],
        roles: Sequence[Role],
        names: dict[str, str],
        advance: Advance,
    ) -> None:
        """Normalize the batches of a file. How its cells are written is decided once."""
        written = Written(self._options)
        for batch, earlier in batches:
            written.look(batch.frame, roles)
            good, faults = normalize(batch.frame, roles, written)
            bad = batch.rejects + _described(batch, faults, names)
            if self.rows == 0:
                self._look_for_lists(batch.frame, names)
            self._kept.add(self._of_file(good, source))
            done = good.height + len(bad)
            if earlier is not None and self._earlier is not None:
                more, faults = normalize(earlier.frame, roles, written)
                self._earlier.add(more)
                bad += _described(earlier, faults, names)
                done += len(faults)
            self._rejects.add(reject_frame(source.name, bad))
            self._rejected.update(r.reason for r in bad)
            self.rows += done
            if batch.exploded is not None:
                counts = zip(self.exploded or Exploded(), batch.exploded, strict=True)
                self.exploded = Exploded(*(a + b for a, b in counts))
            advance(done, f"{self.rows:,} rows")
        self._notations.setdefault(source.name, Counter()).update(written.counts)

    def _look_for_lists(self, frame: pl.DataFrame, names: Mapping[str, str]) -> None:
        """Warn where the first ids look like lists (also after a wrong separator), if there is an option for that."""
        for role in ("item", "user") if self._options.advice.explode else ():
            if frame[role].dtype == pl.String:
                warning = advice(names[role], frame[role], self._options.advice.roles[role])
                self._warnings += [warning] if warning else []

    def _note(self, text: str) -> None:
        if text:
            self._messages[text] = None

    def log(self) -> EventLog:
        """All that was read."""
        events, n_earlier = self._kept.scan(), 0
        for text in self._lines.notes():
            self._note(text)
        if self._earlier is not None:
            earlier, n_earlier = self._earlier.distinct()
            of_first = pl.lit(0, pl.UInt32).alias("file")
            events = pl.concat([earlier.with_columns(of_first) if self._several else earlier, events])
            self._note(self._earlier.note(n_earlier, "timestamp" in events.collect_schema()))
        exploded = self.exploded
        if exploded is not None and self._lists is not None:
            self._note(self._lists.note(exploded))
            exploded = exploded._replace(events=exploded.events + n_earlier)
        return EventLog(
            events,
            self._rejects.scan(),
            self.rows + n_earlier,
            dict(sorted(self._rejected.items())),
            self.columns,
            tuple(self._unused),
            self._lines.counts,
            self._notations,
            exploded,
            bool(self._lists and self._lists.impressions),
            tuple(self._messages),
            tuple(self._warnings),
            tuple(source.name for source in self._inputs) if self._several else (),
        )


def open_table(
    source: Source,
    options: ReadOptions,
    roles: Sequence[Role],
    more: Sequence[str] = (),
    every_key: bool = False,
    any_header: bool = False,
    paths: Sequence[str] = (),
) -> Table | None:
    """Open one input by its format; None where it is empty.

    `more`: names that also make a header. `every_key`: columns are also the keys that only some lines of JSON
    have, wherever they are. `any_header`: a first line without numbers is a header, whatever its names. `paths`:
    names with dots, beside those of the options, that may lie inside objects.
    """
    stream = Stream(source, options.encoding)
    kind = options.format if options.format != "auto" else stream.format()
    paths = [*_dotted(options, roles), *paths]
    if kind == "parquet":
        return open_parquet(stream, options.advice, paths) if stream.head else None
    if kind == "jsonl":
        return open_jsonl(stream, options.advice, every_key, options.decimal_comma, paths)
    if kind == "csv" and options.format == "auto" and roles is EVENT_ROLES and not any_header:
        kind = shapes.shape_of(stream, options) or kind
    if kind in shapes.OPEN:
        return shapes.OPEN[kind](stream, options)
    try:
        table = open_delimited(
            stream, options, len if any_header else lambda cells: known_names(cells, roles, options, more)
        )
    except NoHeaderError as error:
        raise shapes.named(error, stream) if roles is EVENT_ROLES else error from None
    return None if table is None else with_paths(table, paths)


def _dotted(options: ReadOptions, roles: Sequence[Role]) -> list[str]:
    """The columns the user named with dots, which may lie inside another one's objects."""
    named = [options.column_of(role.name) or "" for role in roles]
    lists = [name for text in options.explode for name in (text, text.rpartition(":")[0])]
    keys = [name for text in options.join for name in text.rpartition(":")[2].split("=")]
    return [name for name in (*named, *lists, *keys) if "." in name]


def _described(batch: Batch, faults: list[Fault], names: dict[str, str]) -> list[Reject]:
    if not faults:
        return []
    texts = batch.raw([line for line, *_ in faults])
    return [
        Reject(line, names[role.name], reason, text, value)
        for (line, role, reason, value), text in zip(faults, texts, strict=True)
    ]


def _check_same(source: Source, first: dict[str, str], names: dict[str, str]) -> None:
    """Refuse a role that only some of the files have."""
    if set(names) != set(first):
        odd = sorted(set(names) ^ set(first))[0]
        has, other = ("has", "have not") if odd in names else ("has not", "have")
        raise InvalidDataError(
            f"{source} {has} a column for the {odd}, the files before it {other}",
            f'read them apart, or leave it out: --{odd}-column ""',
        )


def _schema(roles: Sequence[Role]) -> dict[str, type[pl.DataType]]:
    kinds = {"id": pl.String, "text": pl.String, "number": pl.Float64, "time": pl.Int64}
    return {r.output: kinds[r.kind] for r in roles}
