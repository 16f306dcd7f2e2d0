"""Spools parsed batches to Parquet files, so that reading a log needs the memory of one batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from recli.data.files import disk_errors
from recli.data.readers.table import RAW_LIMIT, Reject


class Spool:
    """A growing table on disk: `add` frames, then `scan` them, in order."""

    def __init__(self, folder: Path, name: str, schema: Mapping[str, Any]) -> None:
        self._folder = folder
        self._name = name
        self._schema = schema
        self._files: list[Path] = []
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, frame: pl.DataFrame) -> None:
        if frame.height == 0:
            return
        path = self._folder / f"{self._name}-{len(self._files):05d}.parquet"
        with disk_errors(path):
            frame.write_parquet(path, compression="lz4", statistics=False)
        self._files.append(path)

    def scan(self) -> pl.LazyFrame:
        return pl.scan_parquet(self._files) if self._files else pl.LazyFrame(schema=self._schema)


def reject_schema() -> dict[str, Any]:
    texts = dict.fromkeys(("column", "reason", "raw", "value"), pl.String)
    return {"file": pl.String, "line": pl.Int64, **texts}


def reject_frame(file: str, rejects: Sequence[Reject]) -> pl.DataFrame:
    """Rejects of one file as a frame, in line order, raw text capped."""
    rows = [
        (file, r.line, r.column, r.reason, r.raw[:RAW_LIMIT], r.value and r.value[:RAW_LIMIT])
        for r in sorted(rejects, key=lambda r: r.line)
    ]
    return pl.DataFrame(rows, schema=reject_schema(), orient="row")
