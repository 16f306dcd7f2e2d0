"""From cleaned rows to the tables of the part `interactions`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from recli import schema
from recli.data.event_columns import Rows
from recli.data.interactions import Interactions, no_seen_events
from recli.data.lexsort import lexorder


def renumber(rows: Rows, name: str, ids: pl.Series) -> pl.Series:
    """Number users (`name` is `user`) or items anew, in place, without those that have no row left.

    Returns the ids that are left. The order stays, and with it that of the rows.
    """
    present = np.bincount(rows.columns[name], minlength=len(ids)) > 0
    if not present.all():
        numbers = (np.cumsum(present) - 1).astype(np.int32)
        rows.columns[name] = numbers[rows.columns[name]]
    return ids.filter(pl.Series(present))


@dataclass(frozen=True)
class Items:
    """All items of a run: with events, or in the catalogue alone. `frame`: item_id, text."""

    frame: pl.DataFrame
    catalogue: (
        pl.DataFrame | None  # row i describes item i: the catalogue's columns beside item_id and text
    )
    without_events: int  # of the catalogue, kept or not
    not_in_catalogue: int  # items with events
    events_not_in_catalogue: int  # theirs


def join_catalogue(rows: Rows, item_ids: pl.Series, catalogue: pl.DataFrame | None, only_seen: bool) -> Items:
    """Add the catalogue's texts, and its items without events unless `only_seen`; renumbers `rows` in place.

    `catalogue`: item_id, text and any other columns, one row per item.
    """
    seen = item_ids.rename(schema.ITEM_ID).to_frame()
    counts = np.bincount(rows.item, minlength=seen.height)
    if catalogue is None:
        return Items(seen.with_columns(pl.lit(None, dtype=pl.String).alias(schema.TEXT)), None, 0, 0, 0)
    extra = catalogue.select(schema.ITEM_ID).join(seen, on=schema.ITEM_ID, how="anti")
    known = seen if only_seen else pl.concat([seen, extra]).sort(schema.ITEM_ID)
    if known.height > seen.height:
        joined = seen.join(known.with_row_index("row"), on=schema.ITEM_ID, how="left", maintain_order="left")
        rows.columns["item"] = joined["row"].cast(pl.Int32).to_numpy()[rows.item]
    frame = known.join(catalogue, on=schema.ITEM_ID, how="left", maintain_order="left")
    text = pl.col(schema.TEXT).str.strip_chars()
    items = frame.select(schema.ITEM_ID, pl.when(text != "").then(text).alias(schema.TEXT))
    others = frame.drop(schema.ITEM_ID, schema.TEXT)
    missing = (~seen[schema.ITEM_ID].is_in(catalogue[schema.ITEM_ID].implode())).to_numpy()
    return Items(
        items,
        others if others.width else None,
        extra.height,
        int(missing.sum()),
        int(counts[missing].sum()),
    )


def assemble(
    rows: Rows, part: npt.NDArray[np.uint8], user_ids: pl.Series, items: pl.DataFrame, seen: Rows | None
) -> Interactions:
    """The tables of a run. Takes the columns out of `rows`, one by one, so that they are not held twice.

    `part`: uint8 (n,), the index of each row's split in `schema.SPLITS`; a column of `seen` too.
    """
    masks = {name: part == code for code, name in enumerate(schema.SPLITS)}
    train = masks["train"]
    user_cold = np.bincount(rows.user[train], minlength=len(user_ids)) == 0
    item_cold = np.bincount(rows.item[train], minlength=items.height) == 0
    splits: dict[str, dict[str, pl.Series]] = {name: {} for name in masks}
    for name in (schema.USER, schema.ITEM, schema.VALUE, schema.RATING, schema.TIMESTAMP, schema.POSITION):
        if name in rows:
            column = rows.columns.pop(name)
            for split, mask in masks.items():
                splits[split][name] = pl.Series(name, column[mask]).fill_nan(None)
    users = user_ids.rename(schema.USER_ID).to_frame().with_columns(pl.Series(schema.COLD, user_cold))
    return Interactions(
        users,
        items.with_columns(pl.Series(schema.COLD, item_cold)),
        {name: pl.DataFrame(columns) for name, columns in splits.items()},
        seen_events=no_seen_events() if seen is None else _seen_events(seen),
    )


def _seen_events(seen: Rows) -> pl.DataFrame:
    by = lexorder((seen.item, seen.user))
    user, item, negative, part = (seen.columns[name][by] for name in ("user", "item", "value", "part"))
    split = pl.Series(schema.SPLITS, dtype=pl.String).gather(part)
    return pl.DataFrame(
        {schema.USER: user, schema.ITEM: item, schema.NEGATIVE: negative, schema.SPLIT: split}
    )
