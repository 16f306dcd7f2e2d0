"""Reads event logs in any common format into one table of users, items and optional columns of each event."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from recli.data.readers.column_roles import EVENT_ROLES, Role, known_names, recognize
from recli.data.readers.delimited import open_delimited
from recli.data.readers.jsonl import open_jsonl
from recli.data.readers.options import ReadOptions
from recli.data.readers.parquet import open_parquet
from recli.data.readers.spool import Spool, reject_frame, reject_schema
from recli.data.readers.streams import Source, Stream, expand
from recli.data.readers.table import Batch, Reject, Table
from recli.data.readers.values import Fault, normalize, unit_of
from recli.errors import InvalidDataError
from recli.reporting import Advance, no_progress


@dataclass(frozen=True)
class EventLog:
    """The log that was read. `rows` (data rows; neither headers nor blank lines) = kept + the sum of `rejected`.

    `events`: user_id, item_id (String) [, rating Float64] [, event String] [, weight Float64]
    [, timestamp Int64, microseconds], in the order of the input. `rejects`: file, line (from 1), column,
    reason, raw, value (a bad number or time). `columns`: the column used for each role (user, item, rating,
    event, weight, time). `unused`: the other columns.
    `files`: names of the files, where there are several; `events` then has a column `file` (UInt32), their number.
    Both frames read files below the spool folder: use them before it is removed.
    """

    events: pl.LazyFrame
    rejects: pl.LazyFrame
    rows: int
    rejected: dict[str, int]
    columns: dict[str, str]
    unused: tuple[str, ...] = ()
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
    kept: Spool | None = None
    rejects = Spool(spool, "rejects", reject_schema())
    rejected: Counter[str] = Counter()
    columns: dict[str, str] = {}
    unused: dict[str, None] = {}
    rows = 0
    several = len(inputs) > 1
    for number, source in enumerate(inputs):
        table = open_table(source, options, roles)
        if table is None:
            continue
        numbers = recognize(table.names, roles, options, str(source))
        names = {role: table.names[number] for role, number in numbers.items()}
        unused |= {name: None for name in table.names if name and name not in names.values()}
        used = [r for r in roles if r.name in numbers]
        if kept is None:
            of_file = {"file": pl.UInt32} if several else {}
            kept, columns = Spool(spool, "events", _schema(used) | of_file), names
        _check_same(source, columns, names)
        for good, bad in _read(table, numbers, used, names, options):
            kept.add(good.with_columns(pl.lit(number, pl.UInt32).alias("file")) if several else good)
            rejects.add(reject_frame(source.name, bad))
            rejected.update(r.reason for r in bad)
            done = good.height + len(bad)
            rows += done
            advance(done, f"{rows:,} rows")
    if kept is None or rows == 0:
        names_text = ", ".join(str(s) for s in inputs[:5])
        what = "is empty" if kept is None else "has a header and no rows"
        raise InvalidDataError(f"{names_text} {what}", "name a file with rows in it")
    return EventLog(
        kept.scan(),
        rejects.scan(),
        rows,
        dict(sorted(rejected.items())),
        columns,
        tuple(unused),
        tuple(s.name for s in inputs) if several else (),
    )


def open_table(
    source: Source,
    options: ReadOptions,
    roles: Sequence[Role],
    more: Sequence[str] = (),
    every_key: bool = False,
) -> Table | None:
    """Open one input by its format; None where it is empty.

    `more`: names that also make a header. `every_key`: columns are also the keys that only some lines of JSON
    have, wherever they are.
    """
    stream = Stream(source, options.encoding)
    kind = options.format if options.format != "auto" else stream.format()
    if kind == "parquet":
        return open_parquet(stream, options.advice) if stream.head else None
    if kind == "jsonl":
        return open_jsonl(stream, options.advice, every_key, options.decimal_comma)
    return open_delimited(stream, options, lambda cells: known_names(cells, roles, options, more))


def _read(
    table: Table, numbers: dict[str, int], roles: Sequence[Role], names: dict[str, str], options: ReadOptions
) -> Iterator[tuple[pl.DataFrame, list[Reject]]]:
    """The good rows and the bad rows of each batch. The time's unit is decided once per file."""
    unit = options.time_format or (None if options.time_unit == "auto" else options.time_unit)
    for batch in table.batches(numbers):
        if unit is None and "time" in numbers:
            unit = unit_of(batch.frame, "time")
        good, faults = normalize(batch.frame, roles, unit, options.decimal_comma)
        yield good, batch.rejects + _described(batch, faults, names)


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
