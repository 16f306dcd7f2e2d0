"""Filters over users and items: possible bots, at most N events per user, at least N per user and item."""

from dataclasses import dataclass

import numpy as np

from recli.data.event_columns import Rows, starts
from recli.schema import Bool, Int32, Int64
from recli.steps.prepare.cleaning.set_aside import SetAside

BOT_DEVIATIONS = 5.0
BOT_MEDIANS = 10.0
BOT_EVENTS = 100


@dataclass(frozen=True)
class Bots:
    """Users whose activity is far outside the distribution: `users` by falling number of `events`."""

    users: Int64
    events: Int64
    above: float  # they have more events than this


def bots(counts: Int64) -> Bots:
    """Outliers among users with `counts` events, int64 (n_users,); users without events do not matter.

    The rule: log(count) more than 5 robust standard deviations (1.4826 times the median absolute deviation)
    above the median, and also more than 10 times the median, and more than 100 events. Counts are roughly
    log-normal; the two floors keep regular users of even, or of small, data sets out (Leys et al. 2013).
    """
    active = counts[counts > 0]
    if not active.size:
        return Bots(np.empty(0, np.int64), np.empty(0, np.int64), 0.0)
    logs = np.log(active)
    median = float(np.median(logs))
    deviation = 1.4826 * float(np.median(np.abs(logs - median)))
    outlying = np.exp(median + BOT_DEVIATIONS * deviation)
    above = max(float(outlying), BOT_MEDIANS * float(np.exp(median)), BOT_EVENTS)
    users = np.flatnonzero(counts > above)
    users = users[np.argsort(-counts[users], kind="stable")]
    return Bots(users, counts[users], above)


def cap(user: Int32, ranks: Int32, most: int) -> Bool:
    """Which rows to keep so that no user has more than `most`: those with the highest ranks, bool (n,).

    `user`: int32 (n,), sorted; `ranks`: int32 (n,), each row's rank among its user's, from 0 (the oldest).
    """
    edges = starts(user)
    sizes = np.diff(edges)
    return ranks >= np.repeat((sizes - most).astype(np.int32), sizes)


def core(
    rows: Rows, min_user: int, min_item: int, n_users: int, n_items: int, aside: SetAside | None = None
) -> tuple[int, int]:
    """Leave out users and items with too few events until all have enough (the k-core). In place.

    Returns the rows left out for their user and for their item; `aside` gets the latter.
    """
    for_user = for_item = 0
    while True:
        user_counts = np.bincount(rows.user, minlength=n_users)
        lost_by_user = rows.keep(_enough(user_counts, min_user)[rows.user]) if min_user > 1 else 0
        lost_by_item = _drop_items(rows, min_item, n_items, aside) if min_item > 1 else 0
        for_user, for_item = for_user + lost_by_user, for_item + lost_by_item
        if not lost_by_item:  # users were filtered before items: only a loss of items can undo that
            return for_user, for_item


def _drop_items(rows: Rows, min_item: int, n_items: int, aside: SetAside | None) -> int:
    kept = _enough(np.bincount(rows.item, minlength=n_items), min_item)[rows.item]
    if aside is not None:
        aside.take(rows, ~kept)
    return rows.keep(kept)


def _enough(counts: Int64, least: int) -> Bool:
    return counts >= least
