"""Check of overlapping exports: the same rows in several files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from recli.reporting import Reporter, counted
from recli.steps.prepare.config import PrepareConfig
from recli.steps.prepare.inputs import EventInput

if TYPE_CHECKING:
    from recli.steps.prepare.cleaning import Identical

_MOST = 0.5  # of the rows of later files, from which repeats are an overlap where no times tell events apart


def check(
    identical: Identical,
    later_rows: int,
    log: EventInput,
    ids: tuple[pl.Series, pl.Series],
    config: PrepareConfig,
    reporter: Reporter,
) -> None:
    """Warn of rows that are in several files, if they count more than once; say how many count once.

    `later_rows`: rows of files other than the first. `ids`: of users and of items, by number. Without times, rows may
    well be the same by chance: then most of the later files must be a repeat.
    """
    where = _where(identical, log, ids)
    if config.duplicates == "distinct":
        reporter.say(
            f"{counted(identical.rows, 'row')} the same as others in all columns: these count once{where}"
        )
    elif identical.example and ("time" in log.columns or identical.across > _MOST * later_rows):
        reporter.warn(
            f"{counted(identical.across, 'row')} of {later_rows:,} in later files repeat rows of other files{where}: "
            "exports that overlap double the weight of events; --duplicates distinct counts them once"
        )


def _where(identical: Identical, log: EventInput, ids: tuple[pl.Series, pl.Series]) -> str:
    if identical.example is None:
        return ""
    user, item, first, second = identical.example
    names = f"{log.files[first]} and {log.files[second]}"
    return f" (user {ids[0][user]!r} with item {ids[1][item]!r} is in {names})"
