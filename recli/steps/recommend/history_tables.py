"""Histories of new users from tables of events: CSV, TSV or Parquet, with the columns that prepare recognizes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from recli import schema
from recli.data.readers import LISTS, ReadOptions, read_events
from recli.errors import InvalidDataError
from recli.reporting import Reporter, counted

SUFFIXES = (".csv", ".tsv", ".parquet")


def request_lines(file: str, reporter: Reporter) -> Iterator[tuple[str, str]]:
    """The requests of a table of events, one for each user, as (origin, JSON line).

    Users are in the order of the file, their events in that of their times, or of the file where it has none. A
    weight is the value of its item; ratings are not used.
    """
    with TemporaryDirectory(prefix="recli-") as folder:
        log = read_events([file], ReadOptions(advice=LISTS), Path(folder))
        events, rejects = log.events.collect(), log.rejects.collect()
    reporter.say(f"{file}: {', '.join(f'{role} from {column}' for role, column in log.columns.items())}")
    if rejects.height:
        first = rejects.row(0, named=True)
        reporter.warn(
            f"{file}: {counted(rejects.height, 'row')} left out, the first in line {first['line']}: {first['reason']}"
        )
    if not events.height:
        raise InvalidDataError(f"{file} holds no event", "it needs a column of user ids and one of item ids")
    if schema.RATING in events.columns:
        reporter.warn(f"{file}: its ratings are not used: every item of a history counts as liked")
    events = events.with_row_index("_row")
    if schema.TIMESTAMP in events.columns:
        events = events.sort(schema.TIMESTAMP, maintain_order=True)
    value = pl.col("weight") if "weight" in events.columns else pl.lit(1.0)
    entries = pl.struct(schema.ITEM_ID, value.fill_null(1.0).alias("value"))
    users = events.group_by(schema.USER_ID, maintain_order=True).agg(
        entries.alias("history"), pl.col("_row").min()
    )
    for row in users.sort("_row").drop("_row").iter_rows(named=True):
        yield f"{file}, user {row[schema.USER_ID]!r}", json.dumps(row)
