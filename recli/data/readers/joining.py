"""Columns of the events that stand in another table: `--join orders.csv:order_id`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from recli.data.readers.column_roles import seen
from recli.data.readers.streams import STDIN, Source
from recli.data.readers.table import Batch, Reject, Table, free_name
from recli.errors import InvalidDataError, RecliError, UsageError
from recli.reporting import counted

Open = Callable[[Source], Table | None]

_FOUND = "\0found"  # beside names of roles and free ones


class JoinedTable:
    """A table whose rows complete those of a log by a key. It is read once, with the columns that are used.

    `text`: `FILE:COLUMN`, or `FILE:COLUMN=COLUMN` (the log's = the file's) where their names differ.
    """

    def __init__(self, text: str, open_source: Open) -> None:
        path, colon, column = text.rpartition(":")
        own, equals, theirs = column.partition("=")
        if not colon or not path or not own or (equals and not theirs):
            raise UsageError(
                f"--join {text!r} is not FILE:COLUMN", "write for example: --join orders.csv:order_id"
            )
        if path == STDIN or not Path(path).is_file():
            what = "standard input cannot be joined" if path == STDIN else f"there is no file {path} (--join)"
            raise RecliError(what, "name a file: --join FILE:COLUMN")
        self.key = own
        self.request = f"{free_name(-1)} {text}"  # the name of the key's column in batches
        self._their_key = theirs or own
        self._source = Source(Path(path))
        self._open = open_source
        self._rows: dict[tuple[str, ...], pl.DataFrame] = {}
        table = self._table()
        self.names = [name for name in table.names if name != self._their_key]
        self.nested = table.nested

    def __str__(self) -> str:
        return self._source.name

    def _table(self) -> Table:
        table = self._open(self._source)
        if table is None:
            raise InvalidDataError(f"{self._source} (--join) is empty", "name a file with rows in it")
        if self._their_key not in table.names:
            raise UsageError(
                f"{self._source}: no column {self._their_key!r} (--join); {seen(table.names)}",
                "name the column that both files have: --join FILE:COLUMN, or COLUMN_OF_THE_LOG=COLUMN_OF_THE_FILE",
            )
        return table

    def rows(self, column_of: Mapping[str, str]) -> pl.DataFrame:
        """The key and the columns asked for (name -> column), a row for each key.

        Raises `InvalidDataError` where rows of one key differ in them, or a row cannot be read.
        """
        wanted = tuple(f"{name}={column}" for name, column in column_of.items())
        if wanted not in self._rows:
            self._rows[wanted] = self._read(column_of)
        return self._rows[wanted]

    def _read(self, column_of: Mapping[str, str]) -> pl.DataFrame:
        table = self._table()
        numbers = {name: table.names.index(column) for name, column in column_of.items()}
        frames = []
        for batch in table.batches({self.request: table.names.index(self._their_key)} | numbers):
            if batch.rejects:
                bad = batch.rejects[0]
                raise InvalidDataError(
                    f"{self._source}:{bad.line} {bad.reason} (--join)", "mend the file, or leave the row out"
                )
            frames.append(batch.frame.drop("line").with_columns(_text(self.request)))
        rows = pl.concat(frames, how="vertical_relaxed").drop_nulls(self.request).unique(maintain_order=True)
        twice = rows.filter(pl.col(self.request).is_duplicated())
        if twice.height:
            n_twice, example = twice[self.request].n_unique(), twice[self.request][0]
            raise InvalidDataError(
                f"{self._source}: {counted(n_twice, 'value')} of {self._their_key!r} in several rows that differ in "
                f"{' and '.join(column_of.values())}, such as {example!r}",
                "join a table with one row for each of them",
            )
        return rows.with_columns(pl.lit(True).alias(_FOUND))


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).str.strip_chars()


def join(table: Table, other: JoinedTable, where: str) -> Table:
    """The table with the other one's columns, but for names that it has itself. Rows without a match are rejects.

    Raises `UsageError` where the table does not have the key.
    """
    if other.key not in table.names:
        raise UsageError(
            f"{where}: no column {other.key!r} to join {other} by; {seen(table.names)}",
            f"where the names differ: --join {other}:COLUMN_OF_THE_LOG={other.key}",
        )
    more = [name for name in other.names if name and name not in table.names]
    names = [*table.names, *more]

    def batches(numbers_by_name: Mapping[str, int]) -> Iterator[Batch]:
        own = {name: k for name, k in numbers_by_name.items() if k < len(table.names)}
        theirs = {name: names[k] for name, k in numbers_by_name.items() if k >= len(table.names)}
        if not theirs:
            yield from table.batches(numbers_by_name)
            return
        rows, unmatched = other.rows(theirs), None
        for batch in table.batches(own | {other.request: table.names.index(other.key)}):
            joined = _matched(batch, rows, list(numbers_by_name), other)
            if unmatched is None and batch.frame.height and joined.frame.height == 0:
                unmatched = batch.frame[other.request][0]
            elif joined.frame.height:
                unmatched = ""
            yield joined
        if unmatched:
            raise InvalidDataError(
                f"{where}: none of its values of {other.key!r}, such as {str(unmatched)!r}, is in {other}, "
                f"which has {str(rows[other.request].first())!r}",
                "are these the columns that belong together? --join FILE:COLUMN_OF_THE_LOG=COLUMN_OF_THE_FILE",
            )

    nested = {**{name: kind for name, kind in other.nested.items() if name in more}, **table.nested}
    return replace(table, names=names, batches=batches, nested=nested)


def _matched(batch: Batch, rows: pl.DataFrame, names: Sequence[str], other: JoinedTable) -> Batch:
    frame = batch.frame.with_columns(_text(other.request)).join(
        rows, on=other.request, how="left", maintain_order="left"
    )
    lost = frame.filter(pl.col(_FOUND).is_null())
    rejects = list(batch.rejects)
    if lost.height:
        texts = batch.raw(lost["line"].to_list())
        reason = f"not in {other}"
        rejects += [
            Reject(line, other.key, reason, text, value)
            for line, value, text in zip(lost["line"], lost[other.request], texts, strict=True)
        ]
        frame = frame.filter(pl.col(_FOUND).is_not_null())
    return replace(batch, frame=frame.select("line", *names), rejects=rejects)
