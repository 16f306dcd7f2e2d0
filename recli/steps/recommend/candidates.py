"""Items that may be recommended: ids and SQL conditions on the catalogue's columns."""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from recli.errors import UsageError, did_you_mean
from recli.schema import Bool


def where(frame: pl.DataFrame, conditions: Sequence[str]) -> Bool:
    """The rows of `frame` for which all SQL `conditions` hold, bool (n,); a null is no match.

    Raises `UsageError` for what is no condition, or names columns that are not there.
    """
    keep = np.ones(frame.height, dtype=bool)
    for condition in conditions:
        keep &= _where(frame, condition)
    return keep


def _where(frame: pl.DataFrame, condition: str) -> Bool:
    try:
        expression = pl.sql_expr(condition)
        named = expression.meta.root_names()
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"--where {condition!r}: {_first_line(error)}", _hint(condition)) from None
    unknown = [name for name in dict.fromkeys(named) if name not in frame.columns]
    if unknown:
        raise UsageError(
            f"--where {condition!r}: there is no column {unknown[0]!r}; columns: {', '.join(frame.columns)}",
            f"text goes into single quotes: '{unknown[0]}'"
            if f'"{unknown[0]}"' in condition
            else did_you_mean(unknown[0], frame.columns),
        )
    try:
        # with_columns repeats a constant (1 = 1, or an aggregate) for each row
        holds = frame.with_columns(expression.alias("_keep"))["_keep"]
    except pl.exceptions.PolarsError as error:
        raise UsageError(f"--where {condition!r}: {_first_line(error)}", _types(frame, named)) from None
    if holds.dtype != pl.Boolean:
        raise UsageError(
            f"--where {condition!r} is a value of type {holds.dtype}, not a condition", _hint(condition)
        )
    kept: Bool = holds.fill_null(False).to_numpy()
    return kept


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or ["not understood"])[0]


def _hint(condition: str) -> str:
    if " contains " in condition.lower():
        return "there is no `contains` in SQL: write genres LIKE '%Comedy%' (ILIKE: small and capital letters alike)"
    return "write it as after WHERE in SQL, e.g. --where \"year >= 2000 AND genres LIKE '%Comedy%'\""


def _types(frame: pl.DataFrame, named: Sequence[str]) -> str:
    shown = [f"{name} is {frame.schema[name]}" for name in dict.fromkeys(named)]
    return f"types: {', '.join(shown)}" if shown else _hint("")


def rows_of(ids: Iterable[str], index: dict[str, int]) -> tuple[list[int], list[str]]:
    """Row numbers of the wanted ids, and the ids that `index` does not have; each once, in their order."""
    rows: list[int] = []
    unknown: list[str] = []
    for id in dict.fromkeys(ids):
        if id in index:
            rows.append(index[id])
        else:
            unknown.append(id)
    return rows, unknown


def mask_of(rows: Sequence[int], n: int) -> Bool:
    """bool (n,), True at `rows`."""
    mask = np.zeros(n, dtype=bool)
    mask[np.asarray(rows, dtype=np.int64)] = True
    return mask
