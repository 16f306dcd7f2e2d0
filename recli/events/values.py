"""From text columns to ids, numbers and times; a row with a value that is none of these gets its reason."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from recli.events.roles import Role
from recli.events.times import find_unit, is_count, microseconds

if TYPE_CHECKING:
    import polars as pl

NOT_NUMBER, NOT_FINITE = "unparsable number", "number is not finite"
NOT_TIME, TIME_RANGE = "unparsable time", "time out of range"
NUL = "NUL byte"


def missing(role: Role) -> str:
    return f"missing {role.name}"


def normalise(
    frame: "pl.DataFrame", roles: Sequence[Role], unit: str | None
) -> "tuple[pl.DataFrame, list[tuple[int, Role, str]]]":
    """The rows whose values are all good, under their output names; and (line, role, reason) of the others.

    `frame`: `line` and a column per role, String or native. A bad row is reported by its first bad column.
    `unit`: of times; None where nothing in the file so far looks like a time, so that none is one.
    """
    import polars as pl

    frame = frame.with_columns(pl.col(r.name).str.strip_chars() for r in roles if _is_text(frame, r))
    values, tests, reasons = [], [], []
    for role in roles:
        value, faults = _value(role, frame.schema[role.name], unit)
        values.append(value.alias(f"={role.name}"))
        for reason, test in faults.items():
            reasons.append((role, reason))
            tests.append((len(reasons) - 1, test))
    frame = frame.with_columns(values)
    fault = pl.coalesce(*(pl.when(test).then(pl.lit(k, dtype=pl.Int32)) for k, test in tests))
    frame = frame.select("line", fault.alias("fault"), *(pl.col(f"={r.name}").alias(r.output) for r in roles))
    if frame["fault"].null_count() == frame.height:
        return frame.drop("line", "fault"), []
    bad = frame.filter(pl.col("fault").is_not_null()).select("line", "fault")
    good = frame.filter(pl.col("fault").is_null()).drop("line", "fault")
    return good, [(line, *reasons[k]) for line, k in bad.rows()]


def unit_of(frame: "pl.DataFrame", name: str) -> str | None:
    """The time unit that a batch's column speaks of."""
    import polars as pl

    column = frame[name]
    if column.dtype.is_temporal():
        return "us"  # not used: native times carry their unit
    return find_unit(column.str.strip_chars() if column.dtype == pl.String else column)


def _is_text(frame: "pl.DataFrame", role: Role) -> bool:
    import polars as pl

    return frame.schema[role.name] == pl.String


def _value(role: Role, dtype: "pl.DataType", unit: str | None) -> "tuple[pl.Expr, Mapping[str, pl.Expr]]":
    """The expression of a role's value, and the tests of what can be wrong with it, the first first.

    The tests run after the values are there: `=role` is the value, `role` the cell.
    """
    import polars as pl

    cell, made = pl.col(role.name), pl.col(f"={role.name}")
    text = dtype == pl.String
    absent = cell.is_null() | (cell == "") if text else cell.is_null()
    if role.kind in ("id", "text"):
        nul = {NUL: made.str.contains("\0", literal=True)}
        return cell.cast(pl.String), {missing(role): absent} | (nul if text else {})
    if role.kind == "number":
        faults = {missing(role): absent, NOT_NUMBER: made.is_null(), NOT_FINITE: ~made.is_finite()}
        return cell.cast(pl.Float64, strict=False), faults
    if dtype.is_temporal():
        return cell.cast(pl.Datetime("us")).dt.epoch("us"), {missing(role): absent}
    if unit is None:
        return pl.lit(None, dtype=pl.Int64), {missing(role): absent, NOT_TIME: made.is_null()}
    lost = made.is_null()
    out_of_range = {TIME_RANGE: lost & is_count(cell)} if unit != "iso" else {}
    return microseconds(cell, unit), {missing(role): absent, **out_of_range, NOT_TIME: lost}
