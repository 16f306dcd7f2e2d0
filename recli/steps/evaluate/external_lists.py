"""Converts external recommendations from rows of ids to ranked lists of row numbers, a few bytes per row."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from recli.data.interactions import Interactions
from recli.metrics.accuracy import held
from recli.metrics.base import RatingErrors, TestSet
from recli.metrics.ratings import errors_of
from recli.schema import Bool, Float64, Int32
from recli.steps.evaluate.test_set import RatedPairs


@dataclass(frozen=True)
class ExternalLists:
    """External recommendations as lists, and their irregularities counted."""

    ranked: Int32  # (n, k)
    order: str  # "rank", "score" or "file order"
    counts: dict[str, int] = field(default_factory=dict)
    errors: RatingErrors | None = None


def read_lists(
    pairs: pl.DataFrame,
    interactions: Interactions,
    test_set: TestSet,
    k: int,
    rated: RatedPairs | None = None,
) -> ExternalLists:
    """Put rows of user_id, item_id [, rank] [, score] into the lists of the evaluated users.

    By rank ascending, else by score descending, else as they come; equal ones in the fixed tie order. An item
    that the catalogue does not have keeps its rank and is a miss; of an item listed twice the better rank
    counts.
    """
    users, unknown_users = numbered(pairs["user_id"], interactions.users["user_id"])
    items, unknown_items = numbered(pairs["item_id"], interactions.items["item_id"])
    row_of_user = np.full(
        interactions.n_users + unknown_users, -1, dtype=np.int32
    )  # among the evaluated users
    row_of_user[test_set.users] = np.arange(test_set.n_users)
    user_rows = row_of_user[users]
    listed = np.zeros(row_of_user.size, dtype=bool)
    listed[users] = True
    untested = listed[: interactions.n_users] & (row_of_user[: interactions.n_users] < 0)
    order, before = _order(pairs)
    ties = np.append(test_set.ties, np.full(unknown_items, test_set.n_items, dtype=np.int32))
    rows = in_order(user_rows, items, before, ties)
    once = rows[first_of_each(user_rows[rows], items[rows])]
    counts = {
        "rows": pairs.height,
        "unknown users": unknown_users,
        "unknown items": unknown_items,
        "users without test items": int(untested.sum()),
        "listed twice": int(rows.size - once.size),
    }
    errors = None
    if "score" in pairs.columns and rated is not None:
        errors = _errors_of_lists(user_rows[once], items[once], pairs["score"].gather(once), test_set, rated)
    ranked, irregular = _ranked(user_rows[once], items[once], test_set, k)
    return ExternalLists(ranked, order, counts | irregular, errors)


def _order(pairs: pl.DataFrame) -> tuple[str, Float64 | None]:
    """By what lists are ordered, and numbers that ascend in that order, float64 (rows,); None: as they come."""
    for column, sign in (("rank", 1), ("score", -1)):
        if column in pairs.columns:
            return column, sign * pairs[column].cast(pl.Float64).fill_null(np.nan).to_numpy()
    return "file order", None


def _ranked(user_rows: Int32, items: Int32, test_set: TestSet, k: int) -> tuple[Int32, dict[str, int]]:
    """Lists, int32 (n, k), of rows in list order; how many items were seen before, and users without a list."""
    items = np.where(items < test_set.n_items, items, -1)
    if test_set.allowed is not None:
        kept = test_set.allowed[items] | (items < 0)
        user_rows, items = user_rows[kept], items[kept]
    starts = np.searchsorted(user_rows, np.arange(test_set.n_users + 1))
    counts = {
        "already seen": int(held(test_set.masked, starts, items).sum()),
        "users without a list": int((np.diff(starts) == 0).sum()),
    }
    position = np.arange(user_rows.size) - starts[user_rows]
    top = position < k
    ranked = np.full((test_set.n_users, k), -1, dtype=np.int32)
    ranked[user_rows[top], position[top]] = items[top]
    return ranked, counts


def _errors_of_lists(
    user_rows: Int32, items: Int32, scores: pl.Series, test_set: TestSet, rated: RatedPairs
) -> RatingErrors | None:
    """Errors of a list's scores read as ratings, on the test pairs that it holds."""
    tested = pl.DataFrame({"user_row": rated.user_rows, "item": rated.items, "rating": rated.ratings})
    listed = pl.DataFrame(
        {"user_row": user_rows, "item": items, "score": scores.cast(pl.Float64)}
    ).drop_nulls("score")
    both = tested.join(
        listed.cast({"user_row": pl.Int64, "item": pl.Int64}), on=["user_row", "item"], how="inner"
    )
    if not both.height:
        return None
    predicted, ratings = both["score"].to_numpy(), both["rating"].to_numpy()
    return errors_of(test_set.n_users, both["user_row"].to_numpy(), predicted, ratings)


def numbered(ids: pl.Series, known: pl.Series) -> tuple[Int32, int]:
    """Row numbers of ids in `known`, int32 (rows,), and the numbers after for others; how many others there are."""

    def numbers(among: pl.Series) -> pl.Series:
        return (
            ids.cast(pl.Enum(among), strict=False).to_physical().cast(pl.Int32)
        )  # null where it is none of them

    rows = numbers(known)
    others = ids.filter(rows.is_null()).unique()
    if others.len():
        rows = rows.fill_null(numbers(others) + known.len())
    return rows.to_numpy(), others.len()


def in_order(user_rows: Int32, items: Int32, before: Float64 | None, ties: Int32) -> Int32:
    """The rows of evaluated users (`user_rows` >= 0) by user, in list order: by `before` (NaN last), then by `ties`.

    `before` None: as they come. Lists that are in order already, as most are, cost no sort.
    """
    from scipy.sparse import csr_matrix

    evaluated = np.flatnonzero(user_rows >= 0)
    by_place = (
        np.ones(evaluated.size, dtype=bool),
        (user_rows[evaluated], evaluated),
    )  # converted to csr: a sort in linear time
    rows: Int32 = csr_matrix(by_place, shape=(int(user_rows.max(initial=0)) + 1, user_rows.size)).indices
    if before is None:
        return rows
    users, values = user_rows[rows], before[rows]
    odd = (users[1:] == users[:-1]) & ~(values[1:] > values[:-1])
    if odd.any():
        sorting = np.zeros(int(users.max()) + 1, dtype=bool)
        sorting[users[1:][odd]] = True
        part = rows[sorting[users]]
        rows[sorting[users]] = part[np.lexsort((ties[items[part]], before[part], user_rows[part]))]
    return rows


def first_of_each(user_rows: Int32, items: Int32) -> Bool:
    """Which rows hold an item for the first time in their list, bool (rows,)."""
    pairs = user_rows.astype(np.int64) * (int(items.max(initial=0)) + 1) + items
    first = np.ones(pairs.size, dtype=bool)
    ordered = np.sort(pairs)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if twice.size:
        doubtful = np.flatnonzero(np.isin(pairs, twice))
        first[doubtful] = False
        first[doubtful[np.unique(pairs[doubtful], return_index=True)[1]]] = True
    return first
