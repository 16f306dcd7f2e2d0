"""A stored model in memory that answers single requests, for notebooks and services."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recli import schema
from recli.config import check_value, spec_of
from recli.errors import ConfigError, RecliError, UsageError, did_you_mean
from recli.schema import Bool
from recli.steps.recommend import frames, inputs, users
from recli.steps.recommend.config import RecommendConfig
from recli.steps.recommend.recommender import RecommendOptions, recommend_batches, similar_items
from recli.storage.parts import part_names
from recli.storage.runs import StoredModel, read_model

Entry = str | Mapping[str, Any]  # an item id, or {"item_id": ..., "value": ...}


def load_model(path: str | PathLike[str]) -> LoadedModel:
    """The model in the folder `path` (RUN/models/NAME, or a copy of it anywhere). Raises `RecliError`."""
    path = Path(path)
    if path.is_dir() and (names := part_names(path, "models")):
        raise RecliError(
            f"{path} is a run, not a model",
            f"its models: {', '.join(str(path / 'models' / n) for n in names)}",
        )
    return LoadedModel(read_model(path))


@dataclass(frozen=True)
class LoadedModel:
    """A loaded model that recommends to known and new users.

    Loading takes as long as reading the files. After that a request takes milliseconds, with a history or for a user
    of the run; a profile is encoded first.
    """

    stored: StoredModel

    def __repr__(self) -> str:
        return f"LoadedModel(name={self.name!r}, algorithm={self.algorithm!r}, items={self.items.height})"

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def algorithm(self) -> str:
        return self.stored.algorithm

    @property
    def items(self) -> pl.DataFrame:
        """The items in the order of the model's rows: item_id, text, cold."""
        return self.stored.interactions.items

    @cached_property
    def _user_rows(self) -> dict[str, int]:
        return inputs.row_numbers(self.stored.interactions.users[schema.USER_ID])

    @cached_property
    def _item_rows(self) -> dict[str, int]:
        return inputs.row_numbers(self.items[schema.ITEM_ID])

    @cached_property
    def _titles(self) -> pl.Series | None:
        return inputs.item_titles(self.stored.catalogue)

    def recommend(
        self,
        history: Sequence[Entry] | None = None,
        *,
        user: str | None = None,
        profile: str | None = None,
        k: int = 10,
        mask: str = "seen",
        allow: Sequence[str] | None = None,
        deny: Sequence[str] = (),
        fallback: str = "popularity",
        explain: bool = False,
        encoder: str | None = None,
    ) -> pl.DataFrame:
        """The `k` best items for one user, as a frame: user_id, rank, item_id, score, source [, title] [, because].

        One of `history`, the item ids of what a new user did, the latest last; `user`, the id of a user of the run; or
        `profile`, a text about a new user (hybrids only; `encoder`: the folder of the text encoder, where the
        embeddings were made from one). `mask`: seen, what the user did is not listed; none; or all, test events too.
        `allow`, `deny`: ids of items that alone, or never, are listed. `explain`: adds `because`. Raises `RecliError`
        for unknown ids, `ConfigError` for other values.
        """
        queries = self._query(history, user, profile)
        _check_k(k)
        specs = {field.name: spec_of(field) for field in fields(RecommendConfig)}
        check_value("mask", specs["mask"], mask)
        check_value("fallback", specs["fallback"], fallback)
        options = RecommendOptions(
            k=k, mask=mask, allowed=self._allowed(allow, deny), fallback=fallback, reasons=3 if explain else 0
        )
        vectors = inputs.encode_profiles(self.stored, queries, encoder=encoder)
        labels = frames.labels_of(self.stored, queries.user_ids, self._titles)
        batches = recommend_batches(self.stored, queries, options, vectors)
        return _concat([frames.frame_of(batch, labels, schema.USER_ID, explain) for batch in batches])

    def similar_to(self, item: str, k: int = 10) -> pl.DataFrame:
        """The `k` items most similar to one: similar_to, rank, item_id, score, source [, title]."""
        _check_k(k)
        row = np.asarray([self._item_row(item)], dtype=np.int64)
        labels = frames.labels_of(self.stored, [str(item)], self._titles)
        batches = similar_items(self.stored, row, RecommendOptions(k=k))
        return _concat([frames.frame_of(batch, labels, "similar_to", False) for batch in batches])

    def _query(
        self, history: Sequence[Entry] | None, user: str | None, profile: str | None
    ) -> users.UserQueries:
        """Convert a request to the step's queries. Raises `TypeError` unless it is one of the three."""
        forms = {"history": history, "user": user, "profile": profile}
        named = [name for name, value in forms.items() if value is not None]
        if len(named) != 1:
            raise TypeError(
                f"recommend() needs one of history, user and profile, not {' and '.join(named) or 'none'}"
            )
        row: dict[str, Any] = (
            {"user_id": str(user)} if user is not None else {"user_id": "new", named[0]: forms[named[0]]}
        )
        if isinstance(history, str):
            raise TypeError(f"history must be several items, as in [{history!r}]")
        if history is not None:
            row["history"] = [dict(e) if isinstance(e, Mapping) else str(e) for e in history]
        queries = users.parse(
            [(f"{named[0]}=", json.dumps(row))],
            self._user_rows,
            self._item_rows,
            weights=self.stored.interactions.weights,
        )
        if queries.unknown_items:
            raise self._unknown_item(queries.unknown_items[0])
        return queries

    def _allowed(self, allow: Sequence[str] | None, deny: Sequence[str]) -> Bool | None:
        if allow is None and not deny:
            return None
        for name, ids in (("allow", allow), ("deny", deny)):
            if isinstance(ids, str):
                raise TypeError(f"{name} must be several items, as in [{ids!r}]")
        allowed = np.full(self.items.height, allow is None)
        allowed[[self._item_row(item) for item in allow or ()]] = True
        allowed[[self._item_row(item) for item in deny]] = False
        return allowed

    def _item_row(self, item: str) -> int:
        if str(item) not in self._item_rows:  # ids may be numbers in a notebook; here they are texts
            raise self._unknown_item(str(item))
        return self._item_rows[str(item)]

    def _unknown_item(self, item: str) -> RecliError:
        return UsageError(f"there is no item {item!r}", did_you_mean(item, list(self._item_rows)))


def _check_k(k: int) -> None:
    if not isinstance(k, int) or k < 1:
        raise ConfigError(f"k must be a whole number of at least 1, not {k!r}")


def _concat(parts: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(parts) if parts else pl.DataFrame()
