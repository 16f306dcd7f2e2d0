"""Lists of (user, item) pairs: external recommendations, with scores or ranks."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import polars as pl

from recli.data.readers.column_roles import ITEM, USER, Role
from recli.data.readers.log import read_rows
from recli.data.readers.options import ReadOptions
from recli.reporting import Advance, no_progress

SCORE = Role("score", "score", "number", (("score",), ("prediction", "predicted", "estimate", "relevance")))
RANK = Role("rank", "rank", "number", (("rank",), ("position",)))


def read_pairs(
    sources: Sequence[str],
    options: ReadOptions,
    extra: tuple[str, ...] = ("score", "rank"),
    advance: Advance = no_progress,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Read lists: user_id, item_id [, score] [, rank] (Float64) in input order, and the rejects.

    `extra`: which of score and rank are looked for. Raises `RecliError` as `read_events` does.
    """
    roles = [USER, ITEM, *(role for role in (SCORE, RANK) if role.name in extra)]
    with tempfile.TemporaryDirectory(prefix="recli-") as folder:
        read = read_rows(sources, roles, options, Path(folder), advance)
        return read.events.collect(), read.rejects.collect()
