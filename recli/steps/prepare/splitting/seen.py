"""In whose time, or share, the events lie that were set aside: before a user's validation and test events, or among
them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recli.data.event_columns import Column, Rows, starts
from recli.schema import Bool, Int32, UInt64
from recli.steps.prepare.splitting.assign import HISTORY, TEST, TRAIN, VALIDATION, Part, Plan, chosen
from recli.steps.prepare.splitting.keys import pair_keys


@dataclass(frozen=True)
class Keys:
    """Pseudo-random numbers of users and items, uint64, as `id_keys` gives them."""

    users: UInt64
    items: UInt64


def assign_seen(seen: Rows, rows: Rows, part: Part, plan: Plan, keys: Keys) -> Part:
    """TRAIN, VALIDATION or TEST for each of the rows `seen`, uint8 (n,), by the rule that `rows` were split by.

    `part`: what `assign` made of `rows`. An event belongs to the test if it comes after its user's first test event in
    the order that the split goes by (time, or the keyed hash), else to validation if it comes after the first of those.
    The events of cold items belong to the test.
    """
    warm = np.ones(keys.items.size, dtype=np.bool_)
    if plan.cold_items > 0:
        warm = ~chosen(rows.item, keys.items, plan.cold_items)
    if plan.split == "given":
        found = seen.columns["part"].copy()
        if plan.validation_size > 0:
            inside = found == TRAIN
            trained = warm[rows.item] & (rows.columns["part"] == TRAIN)
            once_more = replace(plan, split=plan.rest)
            found[inside] = _placed(seen, rows, part, trained, once_more, keys)[inside]
    else:
        found = _placed(seen, rows, part, warm[rows.item], plan, keys)
    found[~warm[seen.item]] = TEST
    return found


def to_history(seen: Rows, rows: Rows, plan: Plan, keys: Keys) -> None:
    """What a cold user did outside the test is HISTORY: the column `part` of `seen`, in place."""
    if plan.cold_users > 0:
        part = seen.columns["part"]
        part[chosen(rows.user, keys.users, plan.cold_users)[seen.user] & (part != TEST)] = HISTORY


def _placed(seen: Rows, rows: Rows, part: Part, of: Bool, plan: Plan, keys: Keys) -> Part:
    """The part of each of `seen` by the held-out events among the rows `of`, bool (len(rows),)."""
    found = np.zeros(len(seen), dtype=np.uint8)
    by = "timestamp" if plan.split == "temporal" else None if plan.split == "random" else rows.order
    at = _order(seen, by, keys)
    for code in (VALIDATION, TEST):
        held_out = np.flatnonzero((part == code) & of)
        if held_out.size:
            found[_from(seen, at, rows, held_out, by, plan, keys)] = code
    return found


def _order(
    rows: Rows, by: str | None, keys: Keys, only: npt.NDArray[np.int64] | slice = slice(None)
) -> Column:
    """What the rows `only` are ordered by, int64 or uint64."""
    if by is not None:
        return rows.columns[by][only]
    return pair_keys(keys.users[rows.user[only]], keys.items[rows.item[only]])


def _from(
    seen: Rows,
    at: Column,
    rows: Rows,
    held_out: npt.NDArray[np.int64],
    by: str | None,
    plan: Plan,
    keys: Keys,
) -> Bool:
    """Which of `seen` do not come before the first of the rows `held_out`: of all users, or of their own."""
    order = _order(rows, by, keys, held_out)
    if plan.split == "temporal":
        late: Bool = at >= order.min()
        return late
    user = rows.user[held_out]
    begins = starts(user)[:-1]
    first_at = np.full(keys.users.size, np.iinfo(order.dtype).max, dtype=order.dtype)
    first_at[user[begins]] = np.minimum.reduceat(order, begins)
    first_item = np.zeros(keys.users.size, dtype=np.int32)
    first_item[user[begins]] = 0 if by is None else rows.item[held_out[begins]]
    return _not_before(at, seen.item, first_at[seen.user], first_item[seen.user])


def _not_before(at: Column, item: Int32, first_at: Column, first_item: Int32) -> Bool:
    """Equal times are in the order of the items, as in the splits."""
    late: Bool = (at > first_at) | ((at == first_at) & (item >= first_item))
    return late
