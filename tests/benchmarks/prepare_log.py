"""A synthetic event log of any length, in little memory: what `prepare_speed.py` gives to all sides.

    python tests/benchmarks/prepare_log.py FILE EVENTS     (FILE.parquet, FILE.csv.gz, FILE.csv or FILE.jsonl)

Rows are in order of time, as a server writes them: user_id and item_id (strings), rating, timestamp (seconds). One
user for 100 events and one item for 500; both long-tailed (log-normal), so that a k-core has something to leave out. A
twentieth of the rows comes twice. The same EVENTS give the same rows in every format.
"""

import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import polars as pl

CHUNK = 1_000_000
PER_USER, PER_ITEM = 100, 500
REPEATED = 0.05


def chunks(events: int) -> "Iterator[pl.DataFrame]":
    """The log, a million rows at a time."""
    rng = np.random.default_rng(events)
    users = Drawn(max(20, events // PER_USER), 1.3, rng)
    items = Drawn(max(20, events // PER_ITEM), 1.6, rng)
    for start in range(0, events, CHUNK):
        yield _chunk(start, min(CHUNK, events - start), users, items, rng)


class Drawn:
    """Numbers below `n` whose chances are log-normal."""

    def __init__(self, n: int, deviation: float, rng: np.random.Generator) -> None:
        rising = np.cumsum(rng.lognormal(sigma=deviation, size=n))
        self.upto = rising / rising[-1]

    def __call__(self, size: int, rng: np.random.Generator) -> Any:
        return np.searchsorted(self.upto, rng.random(size), side="right").astype(np.int32)


def _chunk(start: int, size: int, users: Drawn, items: Drawn, rng: np.random.Generator) -> "pl.DataFrame":
    import polars as pl

    fresh = size - int(size * REPEATED)
    rows = rng.permutation(np.append(np.arange(fresh), rng.integers(0, fresh, size - fresh)))
    made = pl.DataFrame({"user": users(fresh, rng)[rows], "item": items(fresh, rng)[rows]})
    return made.select(
        pl.format("u{}", pl.col("user").cast(pl.String).str.zfill(8)).alias("user_id"),
        pl.format("B{}", pl.col("item").cast(pl.String).str.zfill(7)).alias("item_id"),
        pl.Series("rating", rng.integers(1, 6, size).astype(np.float32)),
        pl.Series("timestamp", 1_600_000_000 + np.arange(start, start + size) // 3),
    )


def write(path: Path, events: int) -> None:
    if path.suffix == ".parquet":
        import pyarrow.parquet as pq

        writer = None
        for chunk in chunks(events):
            table = chunk.to_arrow()
            writer = writer or pq.ParquetWriter(path, table.schema, compression="zstd")
            writer.write_table(table)
        assert writer is not None
        writer.close()
        return
    pack = zlib.compressobj(3, wbits=31) if path.suffix == ".gz" else None
    with path.open("wb") as file:
        for number, chunk in enumerate(chunks(events)):
            lines = (
                chunk.write_ndjson()
                if path.suffix == ".jsonl"
                else chunk.write_csv(include_header=not number)
            )
            file.write(pack.compress(lines.encode()) if pack else lines.encode())
        if pack:
            file.write(pack.flush())


if __name__ == "__main__":
    write(Path(sys.argv[1]), int(sys.argv[2]))
