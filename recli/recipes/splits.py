"""Draws the split of a run's interactions anew: with another seed, or into folds.

The events are those that `prepare` kept, with the values that it gave them; only which of them are held out changes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from recli import schema
from recli.data.event_columns import Rows, order_name
from recli.data.interactions import Interactions
from recli.errors import UsageError
from recli.schema import Int64
from recli.steps.prepare import cleaning, splitting
from recli.steps.prepare.splitting import TEST, TRAIN, Keys, Plan

DRAWN = "random"  # the split that depends on the seed


def redrawn(interactions: Interactions, options: Mapping[str, Any], seed: int) -> Interactions:
    """The interactions as `prepare --seed SEED` splits them, by its stored options. They must be of a random split."""
    plan = Plan(
        *(options[name] for name in ("split", "validation_size", "test_size", "cold_items", "cold_users"))
    )
    rows, keys = _rows(interactions), _keys(interactions, seed)
    return _assembled(interactions, rows, _seen_rows(interactions), plan, keys)


def check_folds(options: Mapping[str, Any]) -> None:
    """Raises `UsageError` where the events of a run cannot be dealt into folds."""
    split = options["split"]
    if split != DRAWN:
        given = (
            "the test's events are given" if split == "given" else "the test comes after the training in time"
        )
        raise UsageError(
            f"--folds does not go with a run that was prepared with --split {split}: {given}, and with folds each "
            "event is the test once",
            "repeat the training with --seeds 5, or prepare the run with --split random",
        )
    if options["cold_items"] or options["cold_users"]:
        raise UsageError(
            "--folds does not go with a run that holds out cold items or cold users: their events are never for "
            "training, and with folds each event is",
            "draw the split again with --seeds 5",
        )


def fold(interactions: Interactions, options: Mapping[str, Any], number: int, n: int) -> Interactions:
    """The interactions with fold `number` of `n` (from 0) as the test.

    A user's events, in the order of the keyed hash, are dealt to the folds in turn, from a fold that depends on the
    user. Validation is the same share of the other events as in the run.
    """
    rows, keys = _rows(interactions), _keys(interactions, options["seed"])
    seen = _seen_rows(interactions)
    for some in (rows, seen):
        if some is not None:
            in_test = _folds(some, keys, n) == number
            some.columns["part"] = np.where(in_test, TEST, TRAIN).astype(np.uint8)
    validation = options["validation_size"] / (1 - options["test_size"])
    return _assembled(interactions, rows, seen, Plan("given", validation, 0.0), keys)


def _folds(rows: Rows, keys: Keys, n: int) -> Int64:
    """The fold of each row, int64 (number of them,)."""
    ranks = splitting.hash_ranks(rows.user, rows.item, keys.users, keys.items)
    first = (keys.users % np.uint64(n)).astype(np.int64)
    folds: Int64 = (ranks + first[rows.user]) % n
    return folds


def _keys(interactions: Interactions, seed: int) -> Keys:
    return Keys(
        splitting.id_keys(interactions.users[schema.USER_ID], seed, "user"),
        splitting.id_keys(interactions.items[schema.ITEM_ID], seed, "item"),
    )


def _assembled(
    interactions: Interactions, rows: Rows, seen: Rows | None, plan: Plan, keys: Keys
) -> Interactions:
    part = splitting.assign(rows, plan, keys.users, keys.items)
    if seen is not None:
        seen.columns["part"] = splitting.assign_seen(seen, rows, part, plan, keys)
        splitting.to_history(seen, rows, plan, keys)
    items = interactions.items.drop(schema.COLD)
    return cleaning.assemble(rows, part, interactions.users[schema.USER_ID], items, seen)


def _rows(interactions: Interactions) -> Rows:
    """The events of all splits, sorted by user, time and item."""
    events = pl.concat([frame for frame in interactions.splits.values() if frame.height])
    order = order_name(dict.fromkeys(events.columns, np.empty(0)))
    events = events.sort(schema.USER, *([order] if order else []), schema.ITEM)
    return Rows(
        {
            name: (column.fill_null(np.nan) if column.dtype.is_float() else column).to_numpy()
            for name, column in zip(events.columns, events.get_columns(), strict=True)
        }
    )


def _seen_rows(interactions: Interactions) -> Rows | None:
    """The events beside the splits, sorted by user and item; None: there are none."""
    if not interactions.seen_events.height:
        return None
    seen = interactions.seen_events.sort(schema.USER, schema.ITEM)
    columns = {"user": schema.USER, "item": schema.ITEM, "value": schema.NEGATIVE}
    return Rows({name: seen[column].to_numpy() for name, column in columns.items()})
