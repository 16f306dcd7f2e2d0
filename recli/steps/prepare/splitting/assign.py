"""Assign each event to train, validation, test or history."""

import math
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from recli.data.event_columns import Rows, starts
from recli.schema import Bool, Int32, Int64, UInt64
from recli.steps.prepare.splitting.keys import hash_ranks, time_ranks

TRAIN, VALIDATION, TEST, HISTORY = 0, 1, 2, 3
PARTS = ("random", "leave-last-out", "temporal-user", "temporal", "given")
TIMED = ("leave-last-out", "temporal-user", "temporal")

Part = npt.NDArray[np.uint8]

_ROUNDING_ERROR = 1e-9  # 0.29 * 100 is 28.999999999999996: it is meant to be 29


@dataclass(frozen=True)
class Plan:
    """How to split: one of `PARTS`, and the shares of events, items and users that are held out.

    Of a given split the validation size is a share of the training events.
    """

    split: str = "random"
    validation_size: float = 0.1
    test_size: float = 0.1
    cold_items: float = 0.0
    cold_users: float = 0.0
    rest: str = "random"  # of a given split: how validation is taken from its training events


def assign(rows: Rows, plan: Plan, user_keys: UInt64, item_keys: UInt64) -> Part:
    """The part of each of `rows`, uint8 (n,): TRAIN, VALIDATION, TEST or HISTORY.

    `rows` are sorted by user, time, item and have one row per user and item. All events of cold items are TEST;
    the other events are split by `plan.split`; what a cold user did outside TEST is HISTORY.
    Keys: uint64 (n_users,) and (n_items,), as `id_keys` gives them.
    """
    warm: Bool | slice = slice(None)
    if plan.cold_items > 0:
        warm = ~chosen(rows.item, item_keys, plan.cold_items)[rows.item]
    part = np.full(len(rows), TEST, dtype=np.uint8)
    part[warm] = _split(rows, warm, plan, user_keys, item_keys)
    if plan.cold_users > 0:
        part[chosen(rows.user, user_keys, plan.cold_users)[rows.user] & (part != TEST)] = HISTORY
    return part


def chosen(numbers: Int32, keys: UInt64, share: float) -> Bool:
    """Which users (items) of those in `numbers` are held out: `share` of them, those with the lowest keys."""
    chosen = np.zeros(keys.size, dtype=np.bool_)
    present = np.flatnonzero(np.bincount(numbers, minlength=keys.size))
    lowest = present[np.lexsort((present, keys[present]))]
    chosen[lowest[: max(1, _whole(share * present.size))]] = True
    return chosen


def _whole(x: float) -> int:
    return math.floor(x + _ROUNDING_ERROR)


def _split(rows: Rows, warm: Bool | slice, plan: Plan, user_keys: UInt64, item_keys: UInt64) -> Part:
    """The parts of the warm rows, uint8 (number of them,)."""
    if plan.split == "given":
        return _given(rows, warm, plan, user_keys, item_keys)
    if plan.split == "temporal":
        return _by_clock(rows.columns["timestamp"][warm], plan)
    user, item = rows.user[warm], rows.item[warm]
    keyed = plan.split == "random"
    ranks = hash_ranks(user, item, user_keys, item_keys) if keyed else time_ranks(user)
    sizes = np.diff(starts(user))
    if plan.split == "leave-last-out":
        enough = sizes >= 3
        validation = np.where(enough & (plan.validation_size > 0), 1, 0)
        test = np.where(enough & (plan.test_size > 0), 1, 0)
    else:
        validation, test = held_out(sizes, plan.validation_size, plan.test_size)
    return _last(ranks, sizes, validation, test)


def held_out(sizes: Int64, validation_size: float, test_size: float) -> tuple[Int64, Int64]:
    """How many of a user's `sizes` events, int64 (n_users,), go to validation and to test.

    Each share rounded down, but at least one event each; users with fewer than 3 events keep all for training,
    others at least one. A share of 0 holds out nothing.
    """
    enough = sizes >= 3
    test = np.where(enough, _share(sizes, test_size), 0)
    test = np.minimum(test, np.maximum(0, sizes - 1 - (validation_size > 0)))
    validation = np.where(enough, _share(sizes, validation_size), 0)
    left: Int64 = np.maximum(0, sizes - 1 - test)
    return np.minimum(validation, left), test


def _share(sizes: Int64, share: float) -> Int64:
    if share == 0:
        return np.zeros_like(sizes)
    whole: Int64 = np.floor(sizes * share + _ROUNDING_ERROR).astype(np.int64)
    return np.maximum(whole, 1)


def _last(ranks: Int32, sizes: Int64, validation: Int64, test: Int64) -> Part:
    """The highest ranks of each user to test, those below to validation, the others to train."""
    part = (ranks >= np.repeat((sizes - test - validation).astype(np.int32), sizes)).astype(np.uint8)
    part += ranks >= np.repeat((sizes - test).astype(np.int32), sizes)
    return part


def _by_clock(timestamp: Int64, plan: Plan) -> Part:
    """All users' events before one moment to train, after a later one to test; equal times stay together."""
    n = timestamp.size
    part = np.zeros(n, dtype=np.uint8)
    test = max(1, _whole(plan.test_size * n)) if plan.test_size > 0 else 0
    held = max(1, _whole(plan.validation_size * n)) + test if plan.validation_size > 0 else test
    for latest in (held, test):  # the test rows are among both
        if 0 < latest <= n:
            part += timestamp >= np.partition(timestamp, n - latest)[n - latest]
    return part


def _given(rows: Rows, warm: Bool | slice, plan: Plan, user_keys: UInt64, item_keys: UInt64) -> Part:
    """The given parts of the warm rows; with a validation size, training events are split once more for it."""
    part = rows.columns["part"][warm].copy()
    if plan.validation_size > 0:
        train = rows.columns["part"] == TRAIN
        if not isinstance(warm, slice):
            train &= warm
        once_more = replace(plan, split=plan.rest, test_size=0.0)
        part[train[warm]] = _split(rows, train, once_more, user_keys, item_keys)
    return part
