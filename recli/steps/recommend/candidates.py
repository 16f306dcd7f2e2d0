"""Items that may be recommended: ids, SQL conditions on the catalogue's columns; close matches of unknown ids."""

import difflib
from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from recli.errors import UsageError
from recli.schema import Bool

_MAX_COMPARED = 200_000  # ids: difflib looks at about a million ids per second


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
            f"text goes into single quotes: '{unknown[0]}'" if f'"{unknown[0]}"' in condition else None,
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


def close_matches(unknown_id: str, known: Sequence[str], n: int = 3) -> list[str]:
    """Up to `n` of the `known` ids that look like the wanted one, most alike first."""
    if len(known) > _MAX_COMPARED:
        known = [k for k in known if abs(len(k) - len(unknown_id)) <= 1 and k[:1] == unknown_id[:1]][
            :_MAX_COMPARED
        ]
    lower = {k.lower(): k for k in reversed(known)}
    if unknown_id.lower() in lower:
        return [lower[unknown_id.lower()]]
    return difflib.get_close_matches(unknown_id, known, n=n, cutoff=0.6)


def did_you_mean(unknown_id: str, known: Sequence[str]) -> str | None:
    """A line that names close matches, None where there are none."""
    close = close_matches(unknown_id, known)
    return f"did you mean {' or '.join(close)}?" if close else None
