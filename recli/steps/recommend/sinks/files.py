"""Rows as a table, JSON lines, CSV, Parquet or Arrow: one batch after the other, so that memory does not grow."""

from dataclasses import dataclass, field
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
        import polars as pl

        who = (rows.columns[0], "source")
        rounded = pl.element().struct.with_fields(pl.field("share").round(6))
        nested = [pl.col(name).list.eval(rounded) for name in NESTED if name in rows.columns]
        parts = rows.with_columns(nested).group_by(
            (pl.col("rank") == 1).cum_sum().alias("list"), maintain_order=True
        )
        item = pl.struct([name for name in rows.columns if name not in who])
        lines = parts.agg(*(pl.col(name).first() for name in who), item.alias("items")).drop("list")
        self.target.write(lines.write_ndjson().encode())

    def finish(self) -> None:
        self.target.flush()


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
