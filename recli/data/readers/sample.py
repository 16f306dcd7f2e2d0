"""The columns of an input and their first values, read before or beside the reading proper."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import polars as pl

from recli.data.readers.column_roles import CATALOGUE_ITEM, EVENT_ROLES
from recli.data.readers.jsonl import as_text
from recli.data.readers.log import open_table
from recli.data.readers.native import native_text
from recli.data.readers.options import ReadOptions
from recli.data.readers.streams import Source, expand
from recli.data.readers.table import Table, free_name
from recli.data.readers.text_template import TEXT_NAMES

ROWS = 20_000


def column_names(sources: Sequence[str], options: ReadOptions, catalogue: bool = False) -> list[str]:
    """The columns of the first input that is not empty; none where one is stdin, which can be read once only."""
    return next((table.names for table in _tables(sources, options, catalogue)), [])


def sample_columns(
    sources: Sequence[str],
    options: ReadOptions,
    names: Sequence[str],
    catalogue: bool = False,
    rows: int | None = ROWS,
) -> pl.DataFrame:
    """Stripped text of the columns `names`, String, of the first `rows` rows (None: all) of the inputs.

    Inputs that have none of them are skipped; the first of columns of one name counts; no rows where one is stdin.
    """
    frames, height = [pl.DataFrame(schema=dict.fromkeys(names, pl.String))], 0
    for table in _tables(sources, options, catalogue):
        first = {name: table.names.index(name) for name in dict.fromkeys(names) if name in table.names}
        numbers = {free_name(k): k for k in first.values()}
        for batch in table.batches(numbers) if numbers else ():
            cells = [_text(batch.frame[free]).alias(table.names[k]) for free, k in numbers.items()]
            frames.append(pl.DataFrame(cells).head(rows) if rows else pl.DataFrame(cells))
            height += frames[-1].height
            if rows and height >= rows:
                return pl.concat(frames, how="diagonal").head(rows)
    return pl.concat(frames, how="diagonal")


def _tables(sources: Sequence[str], options: ReadOptions, catalogue: bool) -> Iterator[Table]:
    inputs = expand(sources)
    roles, more = ((CATALOGUE_ITEM,), TEXT_NAMES) if catalogue else (EVENT_ROLES, ())
    for source in inputs if Source(None) not in inputs else ():
        table = open_table(source, options, roles, more, every_key=catalogue)
        if table is not None:
            yield table


def _text(column: pl.Series) -> pl.Series:
    if column.dtype.is_nested() or column.dtype in (pl.Binary, pl.Object):
        column = pl.Series([as_text(value) for value in column.to_list()], dtype=pl.String)
    return native_text(column).str.strip_chars()
