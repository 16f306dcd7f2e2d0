"""Rows as a table, JSON lines, CSV, Parquet or Arrow: one batch after the other, so that memory does not grow."""

import json
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import polars as pl

NESTED = ("reasons", "sources")  # columns that are lists: not for tables and CSV


class Writer(Protocol):
    """Takes batches of rows, whole lists each; `finish` ends the output."""

    def add(self, rows: "pl.DataFrame") -> None: ...

    def finish(self) -> None: ...


def writer(format: str, target: IO[bytes], spool: Path) -> Writer:
    """The writer of a format to `target`. `spool`: an empty folder for intermediate files."""
    if format == "table":
        return _Table(target)
    if format == "jsonl":
        return _Jsonl(target)
    if format == "csv":
        return _Csv(target)
    return _Columns(format, target, Spool(spool))


@dataclass
class _Jsonl:
    """One line for each list."""

    target: IO[bytes]

    def add(self, rows: "pl.DataFrame") -> None:
        first = rows.columns[0]
        if rows.height:
            rows = rows.with_columns(score=_shortest(rows["score"]))
        for who, listed in groupby(rows.iter_rows(named=True), key=lambda row: row[first]):
            items = list(listed)
            line = {first: who, "source": items[0]["source"], "items": [_item(i, first) for i in items]}
            self.target.write((json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n").encode())

    def finish(self) -> None:
        self.target.flush()


def _shortest(values: "pl.Series") -> "pl.Series":
    """float32 as the float64 with the same shortest digits: 0.1 rather than 0.10000000149011612."""
    import polars as pl

    return pl.Series([float(str(v)) for v in values.to_numpy()], dtype=pl.Float64)


def _item(row: dict[str, Any], first: str) -> dict[str, Any]:
    item = {name: value for name, value in row.items() if name not in (first, "source")}
    for name in NESTED:
        if name in item:
            item[name] = [{**one, "share": round(one["share"], 6)} for one in item[name]]
    return item


@dataclass
class _Csv:
    """One row for each recommendation."""

    target: IO[bytes]
    started: bool = False

    def add(self, rows: "pl.DataFrame") -> None:
        flat = rows.drop([name for name in NESTED if name in rows.columns])
        self.target.write(flat.write_csv(include_header=not self.started).encode())
        self.started = True

    def finish(self) -> None:
        self.target.flush()


@dataclass
class _Columns:
    """Parquet or Arrow: batches wait on disk, since polars writes such a file in one go."""

    format: str
    target: IO[bytes]
    spool: "Spool"

    def add(self, rows: "pl.DataFrame") -> None:
        self.spool.add(rows)

    def finish(self) -> None:
        import shutil

        self.spool.finish()
        made = self.spool.folder / f"all.{self.format}"
        if self.format == "parquet":
            self.spool.scan().sink_parquet(made, compression="zstd")
        else:
            self.spool.scan().sink_ipc(made)
        with made.open("rb") as file:
            shutil.copyfileobj(file, self.target, 1 << 20)
        self.target.flush()


_TOGETHER = 1 << 20  # rows of a file: with one for each batch, most of the time went into opening files


@dataclass
class Spool:
    """Batches of rows as files in a folder, read back as one lazy frame."""

    folder: Path
    files: list[Path] = field(default_factory=list)
    waiting: "list[pl.DataFrame]" = field(default_factory=list)

    def add(self, rows: "pl.DataFrame") -> None:
        self.waiting.append(rows)
        if sum(part.height for part in self.waiting) >= _TOGETHER:
            self.finish()

    def finish(self) -> None:
        """Write what waits."""
        import polars as pl

        if not self.waiting:
            return
        self.files.append(self.folder / f"{len(self.files):08d}.spool")
        pl.concat(self.waiting).write_ipc(self.files[-1])
        self.waiting.clear()

    def scan(self) -> "pl.LazyFrame":
        """What was added until `finish`."""
        import polars as pl

        return pl.scan_ipc(self.files)


@dataclass
class _Table:
    """For people: one small table for each list."""

    target: IO[bytes]

    def add(self, rows: "pl.DataFrame") -> None:
        from io import StringIO

        from rich.console import Console

        terminal = self.target.isatty()
        text = StringIO()
        rich = Console(
            file=text,
            force_terminal=terminal or None,
            width=None if terminal else 120,
            highlight=False,
            no_color=None if terminal else True,
        )
        for who, listed in rows.group_by(rows.columns[0], maintain_order=True):
            rich.print(_table(str(who[0]), listed))
        self.target.write(text.getvalue().encode())

    def finish(self) -> None:
        self.target.flush()


def _table(who: str, rows: "pl.DataFrame") -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    first = rows.columns[0]
    table = Table(
        title=Text(f"{'similar to ' if first == 'similar_to' else ''}{_cell(who)}  ({rows['source'][0]})"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    shown = [name for name in ("rank", "item_id", "title", "score", "because") if name in rows.columns]
    for name in shown:
        table.add_column(
            "#" if name == "rank" else name,
            justify="right" if name in ("rank", "score") else "left",
            overflow="fold",
        )
    for row in rows.select(shown).iter_rows(named=True):
        table.add_row(*(Text(_cell(row[name])) for name in shown))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else " " for c in text)  # a title must not steer the terminal
