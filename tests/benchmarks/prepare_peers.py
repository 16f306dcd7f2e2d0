"""The job of `prepare_speed.py` in plain polars and in pandas, as a user would write it.

    python tests/benchmarks/prepare_peers.py polars|packed|pandas|scan LOG OUT
    python tests/benchmarks/prepare_peers.py figures FOLDER     (of given train, validation and test files)

The last event of each user with each item; users and items with 5 events at least, in turn until all have them; ids as
numbers; of each user the latest tenth to test, the tenth before it to validation. That the log is in order of time is
used here, and not known to `recli prepare`. Nothing is checked: a bad row stops these. All keep ids as
categoricals, which took polars 20 CPU seconds for 10 million events where strings took 30.
"""

import json
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import polars as pl

PAIR = ["user_id", "item_id"]
LEAST = 5


def lazily(log: Path) -> "pl.LazyFrame":
    import polars as pl

    return {".parquet": pl.scan_parquet, ".jsonl": pl.scan_ndjson}.get(log.suffix, pl.scan_csv)(log)


def with_polars(log: Path, out: Path) -> None:
    import polars as pl

    events = lazily(log).with_columns(pl.col(PAIR).cast(pl.Categorical)).collect(engine="streaming")
    events = events.unique(PAIR, keep="last", maintain_order=True)
    before = -1
    while events.height != before:
        before = events.height
        for column in PAIR:
            events = events.filter(pl.len().over(column) >= LEAST)
    for name in PAIR:
        ids = events.select(pl.col(name).unique().cast(pl.String).sort())
        ids.write_parquet(out / f"{name[:4]}s.parquet")
        number = pl.col(name).cast(pl.Enum(ids[name])).to_physical()
        events = events.with_columns(number.alias(name[:4])).drop(name)
    n, place = pl.len().over("user"), pl.col("timestamp").rank("ordinal", descending=True).over("user")
    held = pl.when(n >= 3).then((n * 0.1 + 1e-9).floor().clip(1)).otherwise(0)
    write_splits(
        events.with_columns(part=(place <= held).cast(pl.Int8) + (place <= 2 * held).cast(pl.Int8)), out
    )


def write_splits(events: Any, out: Path) -> None:
    import polars as pl

    for part, name in enumerate(("train", "validation", "test")):
        events.filter(pl.col("part") == part).drop("part").write_parquet(out / f"{name}.parquet")


def packed(log: Path, out: Path) -> None:
    """The same with all that polars offers: pairs as one integer, sorts in place of `unique` and `over`."""
    import polars as pl

    events = lazily(log).with_columns(pl.col(PAIR).cast(pl.Categorical)).collect(engine="streaming")
    names = {
        c[:4]: events.select(pl.col(c).unique()).select(c, pl.col(c).to_physical().alias(c[:4])) for c in PAIR
    }
    user, item = (pl.col(c).to_physical().cast(pl.UInt64) for c in PAIR)
    events = events.select("rating", "timestamp", pair=user * 2**32 + item)
    pair = pl.col("pair")
    events = events.sort("pair", maintain_order=True).filter((pair != pair.shift(-1)).fill_null(True))
    halves = (pair // 2**32).cast(pl.UInt32).alias("user"), (pair % 2**32).cast(pl.UInt32).alias("item")
    events = events.select(*halves, "rating", "timestamp")
    before = -1
    while events.height != before:
        before = events.height
        for column in names:
            enough = events.group_by(column).len().filter(pl.col("len") >= LEAST).select(column)
            events = events.join(enough, on=column, how="semi", maintain_order="left")
    for column, found in names.items():
        kept = found.join(events.select(pl.col(column).unique()), on=column, how="semi")
        kept = kept.with_columns(pl.col(f"{column}_id").cast(pl.String)).sort(f"{column}_id")
        kept.select(f"{column}_id").write_parquet(out / f"{column}s.parquet")
        number = pl.int_range(kept.height, dtype=pl.UInt32, eager=True)
        events = events.with_columns(pl.col(column).replace_strict(kept[column], number))
    events = events.sort("user", "timestamp")
    n = pl.len().over("user")
    place = n - pl.int_range(pl.len()).over("user")
    held = pl.when(n >= 3).then((n * 0.1 + 1e-9).floor().clip(1)).otherwise(0)
    write_splits(
        events.with_columns(part=(place <= held).cast(pl.Int8) + (place <= 2 * held).cast(pl.Int8)), out
    )


def with_pandas(log: Path, out: Path) -> None:
    import numpy as np
    import pandas as pd

    read = {
        ".parquet": pd.read_parquet,
        ".jsonl": partial(pd.read_json, lines=True, convert_dates=False),
    }.get(log.suffix, pd.read_csv)
    events = read(log)
    events = events.astype(dict.fromkeys(PAIR, "category")).drop_duplicates(PAIR, keep="last")
    before = -1
    while len(events) != before:
        before = len(events)
        for column in PAIR:
            counts = events[column].value_counts()
            events = events[events[column].map(counts).astype("int64") >= LEAST]
    for name in PAIR:
        column = events[name].cat.remove_unused_categories()
        column = column.cat.reorder_categories(sorted(column.cat.categories))
        pd.DataFrame({name: column.cat.categories.astype(str)}).to_parquet(out / f"{name[:4]}s.parquet")
        events = events.assign(**{name[:4]: column.cat.codes}).drop(columns=name)
    of_user = events.groupby("user")["timestamp"]
    n, place = of_user.transform("size"), of_user.rank(method="first", ascending=False)
    held = np.where(n >= 3, np.maximum(np.floor(n * 0.1 + 1e-9), 1), 0)
    part = (place <= held).astype("int8") + (place <= 2 * held).astype("int8")
    for number, name in enumerate(("train", "validation", "test")):
        events[part == number].to_parquet(out / f"{name}.parquet", compression="zstd")


def scan(log: Path, out: Path) -> None:
    """Read all columns and count what is there, streaming: what reading alone takes."""
    import polars as pl

    lazily(log).select(pl.all().count()).collect(engine="streaming").write_csv(out / "counts.csv")


def figures(folder: Path) -> None:
    """Print events and the sum of times (seconds after 1,600,000,000) of each split: ties in time change neither."""
    import polars as pl

    time = pl.col("timestamp")
    seconds = pl.when(time > 1e12).then(time // 1_000_000).otherwise(time) - 1_600_000_000
    found = {
        name: pl.scan_parquet(folder / f"{name}.parquet").select(pl.len(), seconds.sum()).collect().row(0)
        for name in ("train", "validation", "test")
    }
    print(json.dumps(found))


if __name__ == "__main__":
    jobs: dict[str, Callable[..., None]] = {"polars": with_polars, "packed": packed, "pandas": with_pandas}
    jobs |= {"scan": scan, "figures": figures}
    jobs[sys.argv[1]](*map(Path, sys.argv[2:]))
