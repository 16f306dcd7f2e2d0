"""Ids of items that may be recommended as row numbers."""

from collections.abc import Iterable, Sequence

import numpy as np

from recli.schema import Bool


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
