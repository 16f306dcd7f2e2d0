"""From text columns to ids, numbers and times; a row with a value that is none of these gets its reason."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import polars as pl

from recli.data.readers.column_roles import Role
from recli.data.readers.native import epoch_us, in_calendar, native_text
from recli.data.readers.numbers import BOOLEANS, Numbers, are_booleans, number
from recli.data.readers.options import ReadOptions
from recli.data.readers.times import (
    PER_SECOND,
    PLAUSIBLE,
    Notation,
    find_notation,
    is_count,
    is_no_date,
    microseconds,
    placeholder,
    read_others,
    whole_count,
    without_placeholders,
)

NOT_NUMBER, NOT_FINITE = "unparsable number", "number is not finite"
TOO_LARGE = "number beyond 32-bit floats"
_LARGEST = 3.4028234663852886e38  # of a 32-bit float, which values become
NOT_TIME, TIME_RANGE = "unparsable time", "time out of range"
OTHER_TIME = "time in another format"  # an ISO date among numbers, or the reverse
NO_TIME = "placeholder for no time"  # 0, -1, 1900-01-01, 9999-12-31 among dates
NUL = "NUL byte"
_COMMA_COUNT = r"^\s*(-?\d+),(\d+)\s*$"


Fault = tuple[int, Role, str, str | None]
"""Line, role, reason, and the value where it should be a number or a time."""


def missing(role: Role) -> str:
    return f"missing {role.name}"


class Written:
    """How the cells of one file are written: said by the options, else found in the first batch that tells.

    `counts`: for (role, notation) how many cells were read so. The notation of a time is its unit; that of another
    role is there where it is not the plain one: `boolean` for a number, `float` for an id.
    """

    def __init__(self, options: ReadOptions | None = None) -> None:
        options = options or ReadOptions()
        unit = options.time_format or (None if options.time_unit == "auto" else options.time_unit)
        self.time = Notation(unit) if unit else None
        self.numbers = Numbers(options.decimal_comma, options.thousands)
        self.counts = Counter[tuple[str, str]]()
        self._booleans: dict[str, bool] = {}  # by role
        self.time_comma: bool | None = None  # whether times are counts written 45273,19; None: not known yet

    def look(self, frame: pl.DataFrame, roles: Sequence[Role]) -> None:
        """Find out from a batch what is not known yet."""
        for role in roles:
            column = frame[role.name]
            if role.kind == "time":
                self._look_at_times(column)
            if role.kind == "number" and role.name not in self._booleans and column.dtype == pl.String:
                self._booleans[role.name] = are_booleans(column.str.strip_chars())

    def _look_at_times(self, column: pl.Series) -> None:
        if self.time_comma is None:
            cells = column.drop_nulls()
            if column.dtype == pl.String and len(cells):
                self.time_comma = 2 * int(cells.str.contains(_COMMA_COUNT).sum()) > len(cells)
        if self.time is None:
            self.time = _notation(with_point(column) if self.time_comma else column)

    def has_booleans(self, role: Role) -> bool:
        return self._booleans.get(role.name, False)


def with_point(column: pl.Series) -> pl.Series:
    """Counts written 45273,19 as 45273.19."""
    return column.str.replace(_COMMA_COUNT, "${1}.${2}")


def _notation(column: pl.Series) -> Notation | None:
    if not column.dtype.is_temporal():
        return find_notation(column.str.strip_chars() if column.dtype == pl.String else column)
    times = column.to_frame().select(epoch_us(pl.col(column.name), column.dtype)).to_series()
    typical = times.median()  # native times carry their unit
    dates = isinstance(typical, int | float) and PLAUSIBLE[0] <= typical <= PLAUSIBLE[1]
    return None if typical is None else Notation("native", dates)


def normalize(
    frame: pl.DataFrame, roles: Sequence[Role], written: Written | None = None
) -> tuple[pl.DataFrame, list[Fault]]:
    """The rows whose values are all good, under their output names; and what is wrong with the others.

    `frame`: `line` and a column per role, String or native. A bad row is reported by its first bad column.
    `written`: of the file, with what `Written.look` found in it; its counts grow.
    """
    written = written or Written()
    if written.time_comma:
        frame = frame.with_columns(with_point(frame[role.name]) for role in roles if role.kind == "time")
    values = {r: _converted(frame[r.name], r, written) for r in roles}
    fine = pl.select(pl.all_horizontal(_is_fine(pl.lit(v), r) for r, v in values.items())).to_series()
    good = pl.DataFrame([v.alias(r.output) for r, v in values.items()])
    if fine.all():
        return good, []
    return good.filter(fine), _faults(frame.filter(~fine), roles, written)


def _converted(column: pl.Series, role: Role, written: Written) -> pl.Series:
    """The values of a column; null, infinite or empty where there is none.

    Fast paths first: white space around numbers, and times that are not whole numbers, are rare.
    """
    text = column.dtype == pl.String
    if role.kind in ("id", "text"):
        if column.dtype.is_float():
            written.counts[role.name, "float"] += len(column)
        return column.str.strip_chars() if text else column.to_frame().select(_name(column)).to_series()
    unit = written.time.unit if written.time else None
    counted = role.kind == "time" and unit in PER_SECOND and (text or column.dtype.is_integer())
    ways = [whole_count(pl.col(role.name), str(unit))] if counted else []
    ways.append(_value(role, column.dtype, written)[0])
    values, cells = column, column
    for cells in (column, column.str.strip_chars()) if text else (column,):
        for way in ways:
            values = cells.to_frame(role.name).with_columns(way.alias(role.name)).to_series()
            if not values.null_count():
                return _counted(cells, values, role, written)
    return _counted(cells, values, role, written)


def _name(column: pl.Series) -> pl.Expr:
    """An id as text; a whole number of a float type (integers with gaps, in pandas) as the integer."""
    cell = pl.col(column.name)
    if not column.dtype.is_float():
        return cell.cast(pl.String)
    whole = cell.is_finite() & (cell == cell.floor()) & (cell.abs() < 2.0**63)
    integer = pl.when(whole).then(cell).cast(pl.Int64, strict=False).cast(pl.String)
    return pl.coalesce(integer, pl.when(cell.is_finite()).then(cell.cast(pl.String)))


def _counted(cells: pl.Series, values: pl.Series, role: Role, written: Written) -> pl.Series:
    """Count the notations of a column; times that are not plausible in the file's are looked at one by one."""
    if role.kind == "number":
        if written.has_booleans(role) or cells.dtype == pl.Boolean:
            written.counts[role.name, "boolean"] += len(values) - values.null_count()
        return values
    if written.time is None or not len(values):
        return values
    others = Counter[str]()
    inside = values.null_count() == 0 and PLAUSIBLE[0] <= values.min() and values.max() <= PLAUSIBLE[1]  # type: ignore[operator]
    if written.time.dates and not inside:
        if cells.dtype.is_temporal():
            values = without_placeholders(values)
        else:
            values, others = read_others(cells, values, written.time)
    for unit, n in others.items():
        written.counts[role.name, unit] += n
    written.counts[role.name, written.time.unit] += len(values) - values.null_count() - others.total()
    return values


def _is_fine(value: pl.Expr, role: Role) -> pl.Expr:
    if role.kind in ("id", "text"):
        return value.is_not_null() & (value != "") & ~value.str.contains("\0", literal=True)
    if role.kind == "number":
        return (value.abs() <= _LARGEST).fill_null(False)  # false for infinity and NaN, too
    return value.is_not_null()


def _faults(frame: pl.DataFrame, roles: Sequence[Role], written: Written) -> list[Fault]:
    """What is wrong with bad rows."""
    frame = frame.with_columns(pl.col(r.name).str.strip_chars() for r in roles if _is_text(frame, r))
    values, tests, reasons = [], [], []
    for role in roles:
        value, faults = _value(role, frame.schema[role.name], written)
        values.append(value.alias(f"={role.name}"))
        for reason, test in faults.items():
            reasons.append((role, reason))
            tests.append((len(reasons) - 1, test))
    fault = pl.coalesce(*(pl.when(test).then(pl.lit(k, dtype=pl.Int32)) for k, test in tests))
    cells = [r.name for r in roles if r.kind in ("number", "time")]
    bad = frame.with_columns(values).select("line", *cells, fault.alias("fault"))
    bad = bad.with_columns(native_text(bad[name]) for name in cells)
    return [
        (row["line"], *reasons[row["fault"]], _shown(row.get(reasons[row["fault"]][0].name)))
        for row in bad.iter_rows(named=True)
    ]


def _shown(cell: object) -> str | None:
    return None if cell is None or cell == "" else str(cell)


def _is_text(frame: pl.DataFrame, role: Role) -> bool:
    return frame.schema[role.name] == pl.String


def _value(role: Role, dtype: pl.DataType, written: Written) -> tuple[pl.Expr, Mapping[str, pl.Expr]]:
    """The expression of a role's value, and the tests of what can be wrong with it, the first first.

    The tests run after the values are there: `=role` is the value, `role` the cell.
    """
    cell, parsed = pl.col(role.name), pl.col(f"={role.name}")
    text = dtype == pl.String
    absent = cell.is_null() | (cell == "") if text else cell.is_null()
    if role.kind in ("id", "text"):
        nul = {NUL: parsed.str.contains("\0", literal=True)}
        if dtype.is_float():
            absent = ~cell.is_finite().fill_null(False)
        return cell.cast(pl.String), {missing(role): absent} | (nul if text else {})
    if role.kind == "number":
        faults = {
            missing(role): absent,
            NOT_NUMBER: parsed.is_null(),
            NOT_FINITE: ~parsed.is_finite(),
            TOO_LARGE: parsed.abs() > _LARGEST,
        }
        value = number(cell, written.numbers) if text else cell.cast(pl.Float64, strict=False)
        if text and written.has_booleans(role):
            value = pl.coalesce(cell.str.to_lowercase().replace_strict(BOOLEANS, default=None), value)
        return value, faults
    return _time(role, dtype, written.time, absent)


def _time(
    role: Role, dtype: pl.DataType, notation: Notation | None, absent: pl.Expr
) -> tuple[pl.Expr, Mapping[str, pl.Expr]]:
    cell, parsed = pl.col(role.name), pl.col(f"={role.name}")
    faults = {missing(role): absent}
    if dtype.is_temporal():
        if notation is not None and notation.dates:
            faults[NO_TIME] = placeholder(parsed)
        faults[TIME_RANGE] = ~in_calendar(cell, dtype)
        return epoch_us(cell, dtype), faults
    if notation is None:
        return pl.lit(None, dtype=pl.Int64), faults | {NOT_TIME: parsed.is_null()}
    lost, unit = parsed.is_null(), notation.unit
    if notation.dates:
        faults[NO_TIME] = placeholder(parsed) | is_no_date(cell)
    if unit in PER_SECOND:
        faults[TIME_RANGE] = lost & is_count(cell)
        if dtype == pl.String:
            faults[OTHER_TIME] = lost & microseconds(cell, "iso").is_not_null()
    elif unit == "iso":
        faults[OTHER_TIME] = lost & is_count(cell)
    return microseconds(cell, unit), faults | {NOT_TIME: lost}
