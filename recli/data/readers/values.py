"""From text columns to ids, numbers and times; a row with a value that is none of these gets its reason."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import polars as pl

from recli.data.readers.column_roles import Role
from recli.data.readers.times import PER_SECOND, find_unit, is_count, microseconds, whole_count

NOT_NUMBER, NOT_FINITE = "unparsable number", "number is not finite"
TOO_LARGE = "number beyond 32-bit floats"
_LARGEST = 3.4028234663852886e38  # of a 32-bit float, which values become
NOT_TIME, TIME_RANGE = "unparsable time", "time out of range"
OTHER_TIME = "time in another format"  # an ISO date among numbers, or the reverse
NUL = "NUL byte"


Fault = tuple[int, Role, str, str | None]
"""Line, role, reason, and the value where it should be a number or a time."""


def missing(role: Role) -> str:
    return f"missing {role.name}"


def normalize(
    frame: pl.DataFrame, roles: Sequence[Role], unit: str | None, decimal_comma: bool = False
) -> tuple[pl.DataFrame, list[Fault]]:
    """The rows whose values are all good, under their output names; and what is wrong with the others.

    `frame`: `line` and a column per role, String or native. A bad row is reported by its first bad column.
    `unit`: of times, or their format (`%d.%m.%Y`); None where nothing in the file so far looks like a time, so
    that none is one. `decimal_comma`: numbers are written 2,8.
    """
    values = {r: _converted(frame[r.name], r, unit, decimal_comma) for r in roles}
    fine = pl.select(pl.all_horizontal(_is_fine(pl.lit(v), r) for r, v in values.items())).to_series()
    good = pl.DataFrame([v.alias(r.output) for r, v in values.items()])
    if fine.all():
        return good, []
    return good.filter(fine), _faults(frame.filter(~fine), roles, unit, decimal_comma)


def _converted(column: pl.Series, role: Role, unit: str | None, decimal_comma: bool) -> pl.Series:
    """The values of a column; null, infinite or empty where there is none.

    Fast paths first: white space around numbers, and times that are not whole numbers, are rare.
    """
    text = column.dtype == pl.String
    if role.kind in ("id", "text"):
        return column.str.strip_chars() if text else column.cast(pl.String)
    counted = role.kind == "time" and unit in PER_SECOND and (text or column.dtype.is_integer())
    ways = [whole_count(pl.col(role.name), str(unit))] if counted else []
    ways.append(_value(role, column.dtype, unit, decimal_comma)[0])
    numbers = column
    for cells in (column, column.str.strip_chars()) if text else (column,):
        for way in ways:
            numbers = cells.to_frame(role.name).with_columns(way.alias(role.name)).to_series()
            if not numbers.null_count():
                return numbers
    return numbers


def _is_fine(value: pl.Expr, role: Role) -> pl.Expr:
    if role.kind in ("id", "text"):
        return value.is_not_null() & (value != "") & ~value.str.contains("\0", literal=True)
    if role.kind == "number":
        return (value.abs() <= _LARGEST).fill_null(False)  # false for infinity and NaN, too
    return value.is_not_null()


def _faults(frame: pl.DataFrame, roles: Sequence[Role], unit: str | None, decimal_comma: bool) -> list[Fault]:
    """What is wrong with bad rows."""
    frame = frame.with_columns(pl.col(r.name).str.strip_chars() for r in roles if _is_text(frame, r))
    values, tests, reasons = [], [], []
    for role in roles:
        value, faults = _value(role, frame.schema[role.name], unit, decimal_comma)
        values.append(value.alias(f"={role.name}"))
        for reason, test in faults.items():
            reasons.append((role, reason))
            tests.append((len(reasons) - 1, test))
    fault = pl.coalesce(*(pl.when(test).then(pl.lit(k, dtype=pl.Int32)) for k, test in tests))
    cells = [r.name for r in roles if r.kind in ("number", "time")]
    bad = frame.with_columns(values).select("line", *cells, fault.alias("fault"))
    return [
        (row["line"], *reasons[row["fault"]], _shown(row.get(reasons[row["fault"]][0].name)))
        for row in bad.iter_rows(named=True)
    ]


def _shown(cell: object) -> str | None:
    return None if cell is None or cell == "" else str(cell)


def unit_of(frame: pl.DataFrame, name: str) -> str | None:
    """The time unit of a batch's column."""
    column = frame[name]
    if column.dtype.is_temporal():
        return "us"  # not used: native times carry their unit
    return find_unit(column.str.strip_chars() if column.dtype == pl.String else column)


def _is_text(frame: pl.DataFrame, role: Role) -> bool:
    return frame.schema[role.name] == pl.String


def _value(
    role: Role, dtype: pl.DataType, unit: str | None, decimal_comma: bool
) -> tuple[pl.Expr, Mapping[str, pl.Expr]]:
    """The expression of a role's value, and the tests of what can be wrong with it, the first first.

    The tests run after the values are there: `=role` is the value, `role` the cell.
    """
    cell, parsed = pl.col(role.name), pl.col(f"={role.name}")
    text = dtype == pl.String
    absent = cell.is_null() | (cell == "") if text else cell.is_null()
    if role.kind in ("id", "text"):
        nul = {NUL: parsed.str.contains("\0", literal=True)}
        return cell.cast(pl.String), {missing(role): absent} | (nul if text else {})
    if role.kind == "number":
        faults = {missing(role): absent, NOT_NUMBER: parsed.is_null(), NOT_FINITE: ~parsed.is_finite()}
        faults[TOO_LARGE] = parsed.abs() > _LARGEST
        number = comma_to_point(cell) if decimal_comma and text else cell
        return number.cast(pl.Float64, strict=False), faults
    if dtype.is_temporal():
        return cell.cast(pl.Datetime("us")).dt.epoch("us"), {missing(role): absent}
    if unit is None:
        return pl.lit(None, dtype=pl.Int64), {missing(role): absent, NOT_TIME: parsed.is_null()}
    lost = parsed.is_null()
    others: dict[str, pl.Expr] = {}
    if unit in PER_SECOND:
        others[TIME_RANGE] = lost & is_count(cell)
        if text:
            others[OTHER_TIME] = lost & microseconds(cell, "iso").is_not_null()
    elif unit == "iso":
        others[OTHER_TIME] = lost & is_count(cell)
    return microseconds(cell, unit), {missing(role): absent, **others, NOT_TIME: lost}


def comma_to_point(cell: pl.Expr) -> pl.Expr:
    """`2,8` as `2.8`; null where there is a point, which might be one of thousands (`1.250`)."""
    number = cell.str.replace(",", ".", literal=True)
    return pl.when(~cell.str.contains(".", literal=True)).then(number)
