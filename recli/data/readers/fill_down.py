"""Exports of shops with several rows of one thing, whose later rows leave out what the first one says.

Shopify writes an order's line items in rows of one `Name`, with the customer in the first, and a product's variants in
rows of one `Handle`, with the title in the first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from recli.data.readers.column_roles import TIME, USER, unwrap
from recli.data.readers.table import Batch, Table, free_name
from recli.data.readers.text_template import TEXT_NAMES

_KEY, _GROUP = free_name(-2), "\0group"  # beside names of roles and free ones
_OF_ORDER = {name for role in (USER, TIME) for tier in role.names for name in tier}


def orders(table: Table, where: str) -> Table:
    """A log of line items: customer and time of an order's later rows are those of the row before, where empty."""
    names = [unwrap(name) for name in table.names]
    if "name" not in names or not any(name.startswith("lineitem") for name in names):
        return table
    return _filled(
        table, names.index("name"), [k for k, name in enumerate(names) if name in _OF_ORDER], where
    )


def products(table: Table, where: str) -> Table:
    """A catalogue of variants: texts of a product's later rows are those of the row before, where empty."""
    names = [unwrap(name) for name in table.names]
    if "handle" not in names or "variantsku" not in names:
        return table
    texts = [k for k, name in enumerate(names) if name in (*TEXT_NAMES, "type")]
    return _filled(table, names.index("handle"), texts, where)


def _filled(table: Table, key: int, columns: Sequence[int], where: str) -> Table:
    """The table with empty cells of `columns` filled from the row before, where that has the same `key`."""

    def batches(numbers_by_name: Mapping[str, int]) -> Iterator[Batch]:
        wanted = [name for name, k in numbers_by_name.items() if k in columns]
        before, filled = pl.DataFrame(), dict.fromkeys((numbers_by_name[name] for name in wanted), 0)
        for batch in table.batches({**numbers_by_name, _KEY: key}):
            rows = pl.concat([before, batch.frame], how="vertical_relaxed") if before.height else batch.frame
            rows = _fill(rows, wanted)
            done = rows.slice(before.height)
            for k, name in {numbers_by_name[name]: name for name in wanted}.items():
                filled[k] += _blank_as_null(batch.frame, [name])[name].null_count() - done[name].null_count()
            before = done.tail(1) if done.height else before
            yield replace(batch, frame=done.drop(_KEY))
        said = [f"{n:,} of {table.names[k]!r}" for k, n in filled.items() if n]
        if said:
            table.notes.append(
                f"{where}: empty cells filled from the row before of the same {table.names[key]!r}: "
                + ", ".join(said)
            )

    return replace(table, batches=batches)


def _fill(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """The rows with nulls of `names` filled from the rows before, in each sequence of rows of one key."""
    if not names or not rows.height:
        return rows
    group = pl.col(_KEY).cast(pl.String).rle_id().alias(_GROUP)
    blanks = _blank_as_null(rows, names).with_columns(group)
    return blanks.with_columns(pl.col(name).forward_fill().over(_GROUP) for name in names).drop(_GROUP)


def _blank_as_null(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    text = [name for name in names if rows[name].dtype == pl.String]
    return rows.with_columns(
        pl.when(pl.col(name).str.strip_chars() != "").then(pl.col(name)).alias(name) for name in text
    )
