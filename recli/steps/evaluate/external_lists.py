"""External recommendations: rows of ids to row numbers, in list order. Ten million rows take a few bytes each."""

from typing import TYPE_CHECKING

import numpy as np

from recli.schema import Bool, Float64, Int32

if TYPE_CHECKING:
    import polars as pl


def numbered(ids: "pl.Series", known: "pl.Series") -> tuple[Int32, int]:
    """Row numbers of ids in `known`, int32 (rows,), and the numbers after for others; how many others there are."""
    import polars as pl

    def numbers(among: "pl.Series") -> "pl.Series":
        return (
            ids.cast(pl.Enum(among), strict=False).to_physical().cast(pl.Int32)
        )  # null where it is none of them

    rows = numbers(known)
    others = ids.filter(rows.is_null()).unique()
    if others.len():
        rows = rows.fill_null(numbers(others) + known.len())
    return rows.to_numpy(), others.len()


def in_order(places: Int32, items: Int32, before: Float64 | None, ties: Int32) -> Int32:
    """The rows of evaluated users (places >= 0), user by user, in list order: by `before` (NaN last), then by `ties`.

    `before` None: as they come. Lists that are in order already, as most are, cost no sort.
    """
    from scipy.sparse import csr_matrix

    evaluated = np.flatnonzero(places >= 0)
    by_place = (
        np.ones(evaluated.size, dtype=bool),
        (places[evaluated], evaluated),
    )  # converted to csr: a sort in linear time
    rows: Int32 = csr_matrix(by_place, shape=(int(places.max(initial=0)) + 1, places.size)).indices
    if before is None:
        return rows
    users, values = places[rows], before[rows]
    odd = (users[1:] == users[:-1]) & ~(values[1:] > values[:-1])
    if odd.any():
        sorting = np.zeros(int(users.max()) + 1, dtype=bool)
        sorting[users[1:][odd]] = True
        part = rows[sorting[users]]
        rows[sorting[users]] = part[np.lexsort((ties[items[part]], before[part], places[part]))]
    return rows


def first_of_each(places: Int32, items: Int32) -> Bool:
    """Which rows hold an item for the first time in their list, bool (rows,)."""
    pairs = places.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    first = np.ones(pairs.size, dtype=bool)
    ordered = np.sort(pairs)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if twice.size:
        doubtful = np.flatnonzero(np.isin(pairs, twice))
        first[doubtful] = False
        first[doubtful[np.unique(pairs[doubtful], return_index=True)[1]]] = True
    return first
