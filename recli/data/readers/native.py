"""Values of native types as texts, also where they are dates that no calendar has.

A Parquet file can hold dates far from the years 1 to 9999: Python has none of them, and polars stops with a panic
when it writes some of them as text.
"""

from __future__ import annotations

import polars as pl

_FIRST, _LAST = -719_162, 2_932_896  # days since 1970: 0001-01-01 and 9999-12-31
_PER_DAY = {"ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}


def in_calendar(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Whether dates (of a type `Date` or `Datetime`) are in the years 1 to 9999; null where there is none."""
    per_day = _PER_DAY[dtype.time_unit] if isinstance(dtype, pl.Datetime) else 1
    last = min((_LAST + 1) * per_day - 1, 2**63 - 1)
    return cell.to_physical().cast(pl.Int64).is_between(max(_FIRST * per_day, -(2**63)), last)


def epoch_us(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Dates as microseconds since 1970, int64; null beyond the calendar."""
    return pl.when(in_calendar(cell, dtype)).then(cell).cast(pl.Datetime("us")).dt.epoch("us")


def native_text(column: pl.Series) -> pl.Series:
    """A column as String; dates beyond the calendar, and durations, are the number that is stored."""
    cell, stored = pl.col(column.name), pl.col(column.name).to_physical().cast(pl.String)
    if isinstance(column.dtype, pl.Duration):
        text = stored
    elif isinstance(column.dtype, pl.Date | pl.Datetime):
        inside = in_calendar(cell, column.dtype)
        text = pl.coalesce(pl.when(inside).then(cell).cast(pl.String), pl.when(~inside).then(stored))
    else:
        text = cell.cast(pl.String)
    return column.to_frame().select(text).to_series()
