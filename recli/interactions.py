"""Interactions in memory: who did what with which item, indexed and split."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recli import schema
from recli.schema import CSR

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Interactions:
    """The part `interactions` of a run.

    `users`: columns user_id, cold. `items`: item_id, text (null where there is none), cold.
    `splits`: for each of train, validation, test and history, rows of user, item, value [, rating]
    [, timestamp], sorted by user, time, item. `history` holds what cold users did before their test
    events: input for scoring them, never for training. `cold` means one thing: no event in `train`, be it
    by design (`--cold-items`, `--cold-users`), by the clock, or because the catalogue alone has the item.
    """

    users: "pl.DataFrame"
    items: "pl.DataFrame"
    splits: "dict[str, pl.DataFrame]"
    sha256: str = ""  # of the part's manifest

    @property
    def n_users(self) -> int:
        return self.users.height

    @property
    def n_items(self) -> int:
        return self.items.height

    def matrix(self, *splits: str, column: str = schema.VALUE) -> CSR:
        """The named splits as one sparse matrix, float32 (n_users, n_items); a pair in two splits is summed."""
        import polars as pl
        from scipy.sparse import csr_matrix

        rows = pl.concat([self.splits[s].select(schema.USER, schema.ITEM, column) for s in splits])
        users, items = rows[schema.USER].to_numpy(), rows[schema.ITEM].to_numpy()
        values = rows[column].cast(pl.Float32).to_numpy()
        made = csr_matrix((values, (users, items)), shape=(self.n_users, self.n_items), dtype=np.float32)
        made.sum_duplicates()
        made.sort_indices()
        return made

    def history(self, trained_on: tuple[str, ...] = ("train",)) -> CSR:
        """What scores are computed from: the splits a model was trained on, and what cold users did."""
        return self.matrix(*trained_on, "history")

    def seen(self) -> CSR:
        """What must not come back when lists are judged by the test split: everything known before it."""
        return self.matrix("train", "validation", "history")
