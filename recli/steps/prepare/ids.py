"""Ids as they are used: names of nothing left out, and spellings of one id made one, in the log and the catalogue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from recli import schema
from recli.errors import UsageError

MODES = ("lower", "trim", "integer", "unicode")
AUTO, NONE = "auto", "none"
FLOAT = r"^([+-]?\d+)\.0+$"  # what pandas makes of integers where there are gaps
# invisible: zero-width spaces and joiners, direction marks, the byte order mark, the soft hyphen
_INVISIBLE = "[\u200b-\u200f\u2060\ufeff\u00ad]"


@dataclass(frozen=True)
class IdRules:
    """`normalize`: some of `MODES`. `missing`: ids that stand for none; `find_missing`: and those that are found."""

    normalize: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    find_missing: bool = True


def rules_of(normalize: str | None, missing: str) -> IdRules:
    """From `--normalize-ids` and `--missing-ids`. Raises `UsageError`."""
    modes = tuple(mode.strip() for mode in (normalize or "").split(",") if mode.strip())
    for mode in modes:
        if mode not in MODES:
            raise UsageError(f"--normalize-ids: {mode!r} is not one of {', '.join(MODES)}")
    names = [name.strip() for name in missing.split(",") if name.strip()]
    if NONE in names and len(names) == 1:
        names = []
    return IdRules(modes, tuple(name for name in names if name != AUTO), AUTO in names)


def normalized(ids: pl.Expr, modes: Sequence[str]) -> pl.Expr:
    """The ids in one spelling.

    unicode: NFKC (full-width digits become plain ones); trim: no invisible characters, one blank for several, none
    around; integer: 7 for 7.0 and 007; lower: no capitals.
    """
    if "unicode" in modes:
        ids = ids.str.normalize("NFKC")
    if "trim" in modes:
        ids = ids.str.replace_all(_INVISIBLE, "").str.replace_all(r"\s+", " ").str.strip_chars()
    if "integer" in modes:
        ids = ids.str.replace(r"^([+-]?)0*(\d+)(?:\.0+)?$", "${1}${2}")
    return ids.str.to_lowercase() if "lower" in modes else ids


def without_fraction(ids: pl.Expr) -> pl.Expr:
    return ids.str.replace(FLOAT, "${1}")


def normalize_catalogue(frame: pl.DataFrame, change: pl.Expr) -> tuple[pl.DataFrame, int]:
    """A catalogue under other ids; the first of several rows of one id counts. Returns how many others there are."""
    changed = frame.with_columns(change.alias(schema.ITEM_ID))
    kept = changed.unique(schema.ITEM_ID, keep="first", maintain_order=True)
    return kept, changed.height - kept.height
