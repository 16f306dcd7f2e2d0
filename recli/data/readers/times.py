"""Times of any common notation as microseconds since 1970 (UTC)."""

from __future__ import annotations

import polars as pl

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
# Years 1 to 9999: a millisecond count read as seconds is beyond it, so a mixed-up unit is seen.
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799

_ISO = (
    r"^(?<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?<clock>\d{2}:\d{2})(?<second>:\d{2})?(?:[.,](?<fraction>\d{1,9}))?"
    r" ?(?:Z|z|UTC|GMT|(?<sign>[+-])(?<hours>[01]\d|2[0-3]):?(?<minutes>[0-5]\d)?)?)?$"
)


def find_unit(values: pl.Series) -> str | None:
    """The unit of a column's times: ISO by shape, else by size; None where nothing tells.

    `values`: String (stripped) or numeric. The median decides, so that a few broken values do not.
    """
    values = values.drop_nulls()
    if values.dtype == pl.String:
        numbers = values.cast(pl.Float64, strict=False).drop_nulls().drop_nans()
        n_iso = int(values.str.contains(r"^\d{4}-\d{2}-\d{2}").sum())
        if n_iso > len(numbers):
            return "iso"
    else:
        numbers = values.cast(pl.Float64).drop_nans()
    if len(numbers) == 0:
        return None
    typical = abs(float(numbers.median()))  # type: ignore[arg-type]
    # 1e11 seconds are the year 5138; 1e11 milliseconds are March 1973
    return "s" if typical < 1e11 else "ms" if typical < 1e14 else "us" if typical < 1e17 else "ns"


def microseconds(value: pl.Expr, unit: str) -> pl.Expr:
    """Int64 microseconds of stripped strings or numbers; null where it is no time, or one outside years 1 to 9999.

    `unit`: s, ms, us, ns, iso, or a format such as `%d.%m.%Y %H:%M`.
    """
    if unit in PER_SECOND:
        return _count(value, PER_SECOND[unit])
    return _iso(value) if unit == "iso" else _formatted(value, unit)


def whole_count(value: pl.Expr, unit: str) -> pl.Expr:
    """`microseconds` of whole numbers, quickly; null for all else, other times too."""
    count, per_second = value.cast(pl.Int64, strict=False), PER_SECOND[unit]
    inside = count.cast(pl.Float64).is_between(EARLIEST * per_second, LATEST * per_second)
    factor = 1_000_000 // per_second
    return pl.when(inside).then(count * factor if factor else count // (per_second // 1_000_000))


def is_count(value: pl.Expr) -> pl.Expr:
    """Whether a string is a finite number (so that, as a time, it can only be out of range)."""
    return value.cast(pl.Float64, strict=False).is_finite().fill_null(False)


def _count(value: pl.Expr, per_second: int) -> pl.Expr:
    """Whole numbers stay exact; fractions are rounded to the microsecond."""
    whole = value.cast(pl.Int64, strict=False)
    number = value.cast(pl.Float64, strict=False)
    inside = number.is_finite() & number.is_between(EARLIEST * per_second, LATEST * per_second)
    factor = 1_000_000 // per_second
    exact = whole * factor if factor else whole // (per_second // 1_000_000)
    rounded = (number * (1_000_000 / per_second)).round()
    is_whole = whole.is_not_null() & (
        whole.cast(pl.Float64) == number
    )  # a cast from Float64 cuts fractions off
    return (
        pl.when(inside & is_whole)
        .then(exact)
        .when(inside)
        .then(pl.when(inside).then(rounded).cast(pl.Int64, strict=False))
    )


def _formatted(value: pl.Expr, form: str) -> pl.Expr:
    """Times as chrono's strptime reads them: https://docs.rs/chrono/latest/chrono/format/strftime/"""
    moments = value.cast(pl.String).str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
    count = moments.dt.epoch("us")
    return pl.when(count.is_between(EARLIEST * 1_000_000, LATEST * 1_000_000)).then(count)


def _iso(value: pl.Expr) -> pl.Expr:
    part = value.cast(pl.String).str.extract_groups(_ISO).struct.field
    day = part("date").str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64)
    clock = part("clock").fill_null("00:00") + part("second").fill_null(":00")
    clock_us = clock.str.to_time("%H:%M:%S", strict=False).cast(pl.Int64) // 1_000
    fraction = (part("fraction").fill_null("") + "000000").str.slice(0, 6).cast(pl.Int64, strict=False)
    hours = part("hours").cast(pl.Int64, strict=False).fill_null(0)
    minutes = part("minutes").cast(pl.Int64, strict=False).fill_null(0)
    offset = (hours * 3600 + minutes * 60) * pl.when(part("sign") == "-").then(-1).otherwise(1)
    return day * 86_400_000_000 + clock_us + fraction - offset * 1_000_000
