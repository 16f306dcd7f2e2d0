"""Ids of items that may be recommended as row numbers; close matches of unknown ids."""

import difflib
from collections.abc import Iterable, Sequence

import numpy as np

from recli.schema import Bool

_MAX_COMPARED = 200_000  # ids: difflib looks at about a million ids per second


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
