"""JSON lines, CSV, Parquet and Arrow, one batch after the other, so that memory does not grow with the lists."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import polars as pl

from recli.data.files import disk_errors
from recli.steps.recommend.sinks.base import sink

NESTED = ("reasons", "sources")  # columns that are lists: not for tables and CSV
_ROWS_PER_FILE = 1 << 20  # of a spool: with a file for each batch, most of the time went into opening files


@sink("jsonl", suffixes=(".jsonl", ".ndjson", ".json"))
@dataclass
class Jsonl:
    """One line for each list."""

    target: IO[bytes]
    folder: Path

    def add(self, rows: pl.DataFrame) -> None:
        who = (rows.columns[0], "source")
        rounded = pl.element().struct.with_fields(pl.field("share").round(6))
        nested = [pl.col(name).list.eval(rounded) for name in NESTED if name in rows.columns]
        lists = rows.with_columns(nested).group_by(
            (pl.col("rank") == 1).cum_sum().alias("list"), maintain_order=True
        )
        item = pl.struct([name for name in rows.columns if name not in who])
        lines = lists.agg(*(pl.col(name).first() for name in who), item.alias("items")).drop("list")
        self.target.write(lines.write_ndjson().encode())

    def finish(self) -> None:
        self.target.flush()


@sink("csv", suffixes=(".csv",))
@dataclass
class Csv:
    """One row for each recommendation."""

    target: IO[bytes]
    folder: Path
    started: bool = False

    def add(self, rows: pl.DataFrame) -> None:
        flat = rows.drop([name for name in NESTED if name in rows.columns])
        self.target.write(flat.write_csv(include_header=not self.started).encode())
        self.started = True

    def finish(self) -> None:
        self.target.flush()


@dataclass
class BatchSpool:
    """Batches of rows as files in a folder, read back as one lazy frame."""

    folder: Path
    files: list[Path] = field(default_factory=list)
    waiting: list[pl.DataFrame] = field(default_factory=list)

    def add(self, rows: pl.DataFrame) -> None:
        self.waiting.append(rows)
        if sum(part.height for part in self.waiting) >= _ROWS_PER_FILE:
            self.finish()

    def finish(self) -> None:
        """Write the waiting rows."""
        if not self.waiting:
            return
        self.files.append(self.folder / f"{len(self.files):08d}.spool")
        with disk_errors(self.files[-1]):
            pl.concat(self.waiting).write_ipc(self.files[-1])
        self.waiting.clear()

    def scan(self) -> pl.LazyFrame:
        """The rows that were added until `finish`."""
        return pl.scan_ipc(self.files)


@dataclass
class _Columnar:
    """Parquet or Arrow: batches wait on disk, since polars writes such a file in one go."""

    format: str
    target: IO[bytes]
    spool: BatchSpool

    def add(self, rows: pl.DataFrame) -> None:
        self.spool.add(rows)

    def finish(self) -> None:
        import shutil

        self.spool.finish()
        whole = self.spool.folder / f"all.{self.format}"
        with disk_errors(whole):
            if self.format == "parquet":
                self.spool.scan().sink_parquet(whole, compression="zstd")
            else:
                self.spool.scan().sink_ipc(whole)
        with whole.open("rb") as file:
            shutil.copyfileobj(file, self.target, 1 << 20)
        self.target.flush()


@sink("parquet", suffixes=(".parquet",), binary=True)
def parquet(target: IO[bytes], folder: Path) -> _Columnar:
    return _Columnar("parquet", target, BatchSpool(folder))


@sink("arrow", suffixes=(".arrow", ".feather"), binary=True)
def arrow(target: IO[bytes], folder: Path) -> _Columnar:
    return _Columnar("arrow", target, BatchSpool(folder))
