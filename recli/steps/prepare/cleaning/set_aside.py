"""Events that no model is trained on but that are remembered: what a user did is not recommended again."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from recli.data.event_columns import Column, Rows, blocks
from recli.schema import Bool, Int32, Int64

_COLUMNS = ("user", "item", "value", "timestamp", "position", "part")


@dataclass
class SetAside:
    """Events by the numbers of `Indexed`: tables of user, item, value [, timestamp] [, position] [, part].

    `value`: how strongly the user disliked the item; 0: it was merely seen. `item_ids`: ids by number, those of
    `Indexed` first, then items of the catalogue. `users_left_out`: users who have no other events.
    """

    item_ids: pl.Series
    users_left_out: int = 0
    tables: list[Rows] = field(default_factory=list)

    def add(self, rows: Rows) -> None:
        if len(rows):
            self.tables.append(rows)

    def take(self, rows: Rows, chosen: Bool) -> None:
        """Copy the chosen rows, bool (n,), as merely seen."""
        columns = {name: rows.columns[name][chosen] for name in _COLUMNS if name in rows}
        self.add(Rows(columns | {"value": np.zeros(columns["user"].size, dtype=np.float32)}))

    def forgive(self, pairs: Int64) -> None:
        """Events of these pairs (user << 32 | item), sorted, become merely seen."""
        for table in self.tables:
            negative = np.flatnonzero(table.columns["value"])
            mine = (table.user[negative].astype(np.int64) << 32) | table.item[negative]
            at = np.minimum(np.searchsorted(pairs, mine), pairs.size - 1)
            table.columns["value"][negative[pairs[at] == mine]] = 0

    def renumbered(self, users: Int32, items: Int32) -> Rows:
        """All events under new numbers, int32 (old numbers,); those with -1 are left out. Empties this object, which
        must not be empty."""
        for table in self.tables:
            table.columns["user"], table.columns["item"] = users[table.user], items[table.item]
            table.keep((table.user >= 0) & (table.item >= 0))
        columns: dict[str, Column] = {
            name: np.concatenate([table.columns.pop(name) for table in self.tables])
            for name in list(self.tables[0].columns)
        }
        self.tables.clear()
        return Rows(columns)


def row_numbers(ids: pl.Series, among: pl.Series) -> Int32:
    """The position of each id in `among`, int32 (n,); -1: it is not there."""
    names = among.rename("id").to_frame().with_row_index("row")
    found = ids.rename("id").to_frame().join(names, on="id", how="left", maintain_order="left")
    rows: Int32 = found["row"].cast(pl.Int32).fill_null(-1).to_numpy()
    return rows


def drop_pairs_of(seen: Rows, rows: Rows) -> None:
    """Leave out of `seen` the pairs of user and item that are in `rows`, in place. Both are sorted by user."""
    other: Bool = np.ones(len(seen), dtype=np.bool_)
    for block in blocks(seen.user):
        first, last = seen.user[block][[0, -1]]
        same_users = slice(*np.searchsorted(rows.user, [first, last + 1]))
        other[block] = ~np.isin(pairs_of(seen, block), pairs_of(rows, same_users))
    seen.keep(other)


def pairs_of(rows: Rows, block: slice = slice(None)) -> Int64:
    """User and item of each row in one number, int64 (n,)."""
    pairs: Int64 = (rows.user[block].astype(np.int64) << 32) | rows.item[block]
    return pairs
