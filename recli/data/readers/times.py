"""Times of any common notation as microseconds since 1970 (UTC)."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import polars as pl

PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
# Years 1 to 9999: a millisecond count read as seconds is beyond it, so a mixed-up unit is seen.
EARLIEST, LATEST = -62_135_596_800, 253_402_300_799
# Years 1990 to 2099, in microseconds: a log's events lie there. Times in different units never both do.
PLAUSIBLE = (631_152_000_000_000, 4_102_444_799_999_999)
# Counts of days: the microseconds of day 0. Excel's begin in 1899, so that its false 29 February 1900 comes out right.
DAYS = {"days": 0, "excel": -2_209_161_600_000_000}
DAY = 86_400_000_000
# Dates written as one number; the letters say which digits are what. Of some the year is not known: see `YEAR`.
DIGITS = (
    "YYYYMMDDhhmmssfff", "YYYYMMDDhhmmss", "YYYYMMDDhhmm", "YYYYMMDDhh", "YYYYMMDD", "DDMMYYYY", "MMDDYYYY",
    "YYYYMM", "YYMMDD", "YYYY", "MMDD", "DDMM",
)  # fmt: skip
YEAR = "2000"  # of dates without a year: it has a 29 February

_ISO = (
    r"^(?<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?:(?<hour>\d{2})|(?<clock>\d{2}:\d{2})(?<second>:\d{2})?(?:[.,](?<fraction>\d{1,9}))?)"
    r" ?(?:Z|z|UTC|GMT|(?<sign>[+-])(?<hours>[01]\d|2[0-3]):?(?<minutes>[0-5]\d)?)?)?$"
)
_MOST = 0.99  # share of a column's numbers that must be dates for the column to hold dates
_FEW = 20  # fewer numbers of at most 6 digits do not tell that they are dates
_FIRST, _SAMPLE = 1_000, 10_000  # numbers that are looked at before all are; ISO dates that are looked at
_ZONE, _LARGEST_OFFSET = 1_800_000_000, 50_400_000_000  # offsets from UTC: half hours, up to 14 hours
_YEAR_1902, _YEAR_9999 = -2_145_916_800_000_000, 253_370_764_800_000_000


@dataclass(frozen=True)
class Notation:
    """How a column's times are written.

    `unit`: s, ms, us, ns, iso, excel, days, one of `DIGITS`, or a format such as `%d.%m.%Y %H:%M`; several with `|`
    between them: the first that reads a cell counts; native: a type of dates. `dates`: found in the data, and typically
    of 1990 to 2099, so that a cell in another unit can be told, and so can one that stands for no time (0, -1).
    """

    unit: str
    dates: bool = False


def find_notation(values: pl.Series) -> Notation | None:
    """The notation of a column's times: ISO by shape, else by size; None where nothing tells.

    `values`: String (stripped) or numeric. The median decides, so that a few broken values do not.
    """
    values = values.drop_nulls()
    if values.dtype == pl.String:
        numbers = values.cast(pl.Float64, strict=False).drop_nulls().drop_nans()
        iso = values.filter(values.str.contains(r"^\d{4}-\d{2}-\d{2}"))
        if len(iso) > len(numbers):
            return Notation("iso", _are_dates(iso.head(_SAMPLE), "iso"))
    else:
        numbers = values.cast(pl.Float64).drop_nans()
    known = numbers.filter(~numbers.is_in([0.0, -1.0]))
    if len(known) == 0:
        return Notation("s") if len(numbers) else None
    typical = abs(float(known.quantile(0.5, "lower") or 0))
    for unit in (*_digits(typical), "excel"):
        if _are_all(known.head(_FIRST), unit) and _are_all(known, unit):
            return Notation(unit, True)
    # 1e11 seconds are the year 5138; 1e11 milliseconds are March 1973
    unit = "s" if typical < 1e11 else "ms" if typical < 1e14 else "us" if typical < 1e17 else "ns"
    return Notation(unit, _are_dates(pl.Series([typical]), unit))


def _digits(typical: float) -> list[str]:
    """The notations of dates of as many digits; the first digit of a day or month may be a 0 that is lost."""
    n = len(str(int(typical)))
    return [name for name in DIGITS if len(name) == n or (len(name) == n + 1 and not name.startswith("YYYY"))]


def _are_all(numbers: pl.Series, unit: str) -> bool:
    """Whether numbers are dates in a notation that has no size of its own: (nearly) all of them, of 1990 to 2099."""
    short = len(unit) <= 6
    if short and len(numbers) < _FEW:
        return False
    times = _read(numbers, unit)
    inside = times.filter(times.is_between(*PLAUSIBLE))
    if len(inside) < (1.0 if short and unit != "excel" else _MOST) * len(numbers):
        return False
    if unit == "excel":  # fractions are hours; without them, days of 2000 to 2050
        n_fractions = int((numbers != numbers.floor()).sum())
        return n_fractions > 0.5 * len(numbers) or bool(numbers.is_between(36_526, 55_153).all())
    if unit in ("DDMMYYYY", "MMDDYYYY"):  # no day above the 12th: nothing tells day and month apart
        other = _read(numbers, "MMDDYYYY" if unit == "DDMMYYYY" else "DDMMYYYY")
        return other.null_count() > 0
    return unit not in ("MMDD", "DDMM") or (
        (numbers // 100).n_unique() > 1 and (numbers % 100).n_unique() > 1
    )


def _are_dates(values: pl.Series, unit: str) -> bool:
    typical = _read(values, unit).median()
    return isinstance(typical, int | float) and PLAUSIBLE[0] <= typical <= PLAUSIBLE[1]


def _read(values: pl.Series, unit: str) -> pl.Series:
    return values.to_frame("t").select(microseconds(pl.col("t"), unit)).to_series()


def microseconds(value: pl.Expr, unit: str) -> pl.Expr:
    """Int64 microseconds of stripped strings or numbers; null where it is no time, or one outside years 1 to 9999.

    `unit`: as in `Notation`.
    """
    if "|" in unit:
        return pl.coalesce(microseconds(value, one) for one in unit.split("|"))
    if unit in PER_SECOND:
        return _count(value, PER_SECOND[unit])
    if unit in DAYS:
        days = value.cast(pl.Float64, strict=False)
        inside = days.is_finite() & days.is_between(-700_000, 3_000_000)
        count = (pl.when(inside).then(days) * DAY).round().cast(pl.Int64) + DAYS[unit]
        return pl.when(count.is_between(EARLIEST * 1_000_000, LATEST * 1_000_000)).then(count)
    if unit in DIGITS:
        return _from_digits(value, unit)
    return _iso(value) if unit == "iso" else _formatted(value, unit)


def read_others(cells: pl.Series, times: pl.Series, notation: Notation) -> tuple[pl.Series, Counter[str]]:
    """The times of cells that are not all plausible in the notation, cell by cell; how many are in other units.

    `times`: the cells read in `notation`, one of `dates`. A cell that is plausible in another unit is read in it; one
    that stands for no time is null.
    """
    odd = (~times.is_between(*PLAUSIBLE)).fill_null(True)
    numbers = odd.arg_true()
    left, result, counts = cells.gather(numbers), without_placeholders(times.gather(numbers)), Counter[str]()
    others = [*PER_SECOND, "YYYYMMDD", "YYYYMMDDhhmmss", *(("iso",) if cells.dtype == pl.String else ())]
    for unit in others:
        if unit != notation.unit:
            read = _read(left, unit)
            fits = read.is_between(*PLAUSIBLE).fill_null(False)
            if fits.any():
                counts[unit] = int(fits.sum())
                result = result.zip_with(~fits, read)
    return times.scatter(numbers, result), counts


def without_placeholders(times: pl.Series) -> pl.Series:
    """The times, null where they stand for none."""
    time = pl.col(times.name)
    return times.to_frame().select(pl.when(~placeholder(time)).then(time)).to_series()


def placeholder(time: pl.Expr) -> pl.Expr:
    """Whether a time among dates stands for none: 0 (in any time zone) or -1, the years before 1902, 9999."""
    zone = (time.abs() <= _LARGEST_OFFSET) & (time % _ZONE == 0)
    return zone | time.is_in([-1, -1_000, -1_000_000]) | (time < _YEAR_1902) | (time >= _YEAR_9999)


def is_no_date(value: pl.Expr) -> pl.Expr:
    """Whether a cell is written as a date's absence: 0, -1, or MySQL's `0000-00-00`."""
    nothing = value.cast(pl.Float64, strict=False).is_in([0.0, -1.0]).fill_null(False)
    return nothing | value.cast(pl.String).str.starts_with("0000-00-00").fill_null(False)


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


def _from_digits(value: pl.Expr, name: str) -> pl.Expr:
    """The times of dates written as one number: `name` is one of `DIGITS`."""
    number = value.cast(pl.Float64, strict=False)
    whole = pl.coalesce(value.cast(pl.Int64, strict=False), number.cast(pl.Int64, strict=False))
    text = whole.cast(pl.String).str.zfill(len(name))

    def digits(letter: str, default: str) -> pl.Expr:
        n = name.count(letter)
        return text.str.slice(name.index(letter), n) if n else pl.lit(default)

    century = pl.when(digits("Y", "") > "68").then(pl.lit("19")).otherwise(pl.lit("20"))
    year = century + digits("Y", "") if name.count("Y") == 2 else digits("Y", YEAR)
    clock = [digits(letter, "00") for letter in "hms"]
    written = pl.concat_str(year, digits("M", "01"), digits("D", "01"), *clock)
    moment = written.str.to_datetime("%Y%m%d%H%M%S", time_unit="us", strict=False).dt.epoch("us")
    thousandths = digits("f", "0").cast(pl.Int64, strict=False)
    is_date = (whole > 0) & (number == number.floor()) & (text.str.len_bytes() == len(name))
    return pl.when(is_date).then(moment + thousandths * 1_000)


def _formatted(value: pl.Expr, form: str) -> pl.Expr:
    """Times as chrono's strptime reads them: https://docs.rs/chrono/latest/chrono/format/strftime/"""
    moments = value.cast(pl.String).str.to_datetime(form, time_unit="us", time_zone="UTC", strict=False)
    count = moments.dt.epoch("us")
    return pl.when(count.is_between(EARLIEST * 1_000_000, LATEST * 1_000_000)).then(count)


def _iso(value: pl.Expr) -> pl.Expr:
    part = value.cast(pl.String).str.extract_groups(_ISO).struct.field
    day = part("date").str.to_date("%Y-%m-%d", strict=False).cast(pl.Int64)
    clock = pl.coalesce(part("clock"), part("hour") + pl.lit(":00"), pl.lit("00:00")) + part(
        "second"
    ).fill_null(":00")
    clock_us = clock.str.to_time("%H:%M:%S", strict=False).cast(pl.Int64) // 1_000
    fraction = (part("fraction").fill_null("") + "000000").str.slice(0, 6).cast(pl.Int64, strict=False)
    hours = part("hours").cast(pl.Int64, strict=False).fill_null(0)
    minutes = part("minutes").cast(pl.Int64, strict=False).fill_null(0)
    offset = (hours * 3600 + minutes * 60) * pl.when(part("sign") == "-").then(-1).otherwise(1)
    return day * 86_400_000_000 + clock_us + fraction - offset * 1_000_000
