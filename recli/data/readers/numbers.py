"""Numbers as people write them: a comma for the point, separators of thousands, true and false."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

BOOLEANS = {"true": 1.0, "false": 0.0, "yes": 1.0, "no": 0.0, "t": 1.0, "f": 0.0, "y": 1.0, "n": 0.0}
THOUSANDS = (",", ".", " ", "'", "_")
_ALIKE = {" ": " \u00a0\u2009\u202f", "'": "'\u2019"}  # no-break and thin spaces, the typographic apostrophe
_SAMPLE = 1_000  # cells that are looked at first


@dataclass(frozen=True)
class Numbers:
    """How numbers are written. `decimal_comma`: 2,8. `thousands`: the separator in 1,234; one of `THOUSANDS`."""

    decimal_comma: bool = False
    thousands: str | None = None


def number(cell: pl.Expr, written: Numbers) -> pl.Expr:
    """Float64 of stripped strings; null where it is no number."""
    if written.thousands is not None:
        cell = _joined(cell, written)
    if written.decimal_comma:
        cell = comma_to_point(cell)
    return cell.cast(pl.Float64, strict=False)


def _joined(cell: pl.Expr, written: Numbers) -> pl.Expr:
    """`1,234.5` as `1234.5`; null where the separator is anywhere but between thousands."""
    separators = f"[{re.escape(_ALIKE.get(str(written.thousands), str(written.thousands)))}]"
    fraction = "," if written.decimal_comma else r"\."
    grouped = rf"^[+-]?\d{{1,3}}(?:{separators}\d{{2,3}})*{separators}\d{{3}}(?:{fraction}\d+)?$"
    return (
        pl.when(~cell.str.contains(separators))
        .then(cell)
        .when(cell.str.contains(grouped))
        .then(cell.str.replace_all(separators, ""))
    )


def comma_to_point(cell: pl.Expr) -> pl.Expr:
    """`2,8` as `2.8`; null where there is a point, which might be one of thousands (`1.250`)."""
    point = cell.str.replace(",", ".", literal=True)
    return pl.when(~cell.str.contains(".", literal=True)).then(point)


def are_booleans(cells: pl.Series) -> bool:
    """Whether stripped strings are all true and false (yes and no; 1 and 0 among them), or empty."""
    for some in (cells.head(_SAMPLE), cells):
        words = some.filter(some != "").str.to_lowercase().unique()
        known = words.is_in(list(BOOLEANS))
        if not known.any() or not (known | words.is_in(["0", "1"])).all():
            return False
    return True
