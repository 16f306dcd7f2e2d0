"""Parquet: batches of rows with native types, checked against what each role can be."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from io import BytesIO

import polars as pl

from recli.data.readers.native import native_text
from recli.data.readers.nested import expression, flat_list, nested_type, new_paths
from recli.data.readers.options import OptionNames
from recli.data.readers.streams import Stream
from recli.data.readers.table import Batch, Table, is_free, is_list
from recli.errors import InvalidDataError

ROWS = 1 << 20  # of a batch


def scan(stream: Stream) -> tuple[pl.LazyFrame, pl.Schema, int]:
    """The file as a lazy frame, its schema and number of rows. Raises `InvalidDataError` where it is damaged."""
    source = stream.source
    packed = source.path is None or source.path.suffix.lower() in (".gz", ".zst")
    try:
        frame = pl.scan_parquet(BytesIO(stream.read()) if packed or source.path is None else source.path)
        return frame, frame.collect_schema(), frame.select(pl.len()).collect().item()
    except (pl.exceptions.PolarsError, OSError) as error:
        raise damaged(stream, error) from None


def damaged(stream: Stream, error: Exception) -> InvalidDataError:
    why = (str(error).splitlines() or [type(error).__name__])[0]
    return InvalidDataError(f"{stream.source} cannot be read as Parquet: {why}", "fetch or make it again")


def open_parquet(stream: Stream, advice: OptionNames, paths: Sequence[str] = ()) -> Table | None:
    """Open a Parquet file; None where it has no rows. Lines are row numbers, from 1.

    Its columns: the file's own, and those of the dotted `paths` that it has.
    """
    frame, schema, height = scan(stream)
    if height == 0:
        return None
    inside = (expression(path, schema) for path in new_paths(paths, schema.names()))
    frame = frame.with_columns([cell for cell in inside if cell is not None])
    schema = frame.collect_schema()
    names = list(schema.names())
    nested = {name: nested_type(dtype) for name, dtype in schema.items() if dtype.is_nested()}
    return Table(
        names,
        lambda numbers_by_name: _batches(
            stream, frame, height, {n: names[k] for n, k in numbers_by_name.items()}, advice
        ),
        nested=nested,
    )


def _batches(
    stream: Stream, frame: pl.LazyFrame, height: int, columns_by_name: Mapping[str, str], advice: OptionNames
) -> Iterator[Batch]:
    schema = frame.collect_schema()
    columns = [
        _checked(stream, name, column, schema[column], advice) for name, column in columns_by_name.items()
    ]
    for start in range(0, height, ROWS):
        part = frame.slice(start, ROWS)
        try:
            batch = part.select(columns).collect()
        except (pl.exceptions.PolarsError, OSError) as error:
            raise damaged(stream, error) from None
        lines = pl.int_range(start + 1, start + 1 + batch.height, dtype=pl.Int64, eager=True)
        yield Batch(batch.select(lines.alias("line"), pl.all()), _RawRows(part, start))


def _checked(stream: Stream, name: str, column: str, dtype: pl.DataType, advice: OptionNames) -> pl.Expr:
    """The column under its role's name. Raises `InvalidDataError` where its type cannot be that role's."""
    cell = pl.col(column)
    if is_free(name):
        return cell.alias(name)
    if is_list(name):
        return flat_list(cell, dtype).cast(pl.List(pl.String) if dtype.is_nested() else pl.String).alias(name)
    text = isinstance(dtype, pl.String | pl.Categorical | pl.Enum)
    allowed = {
        "user": text or dtype.is_integer() or dtype.is_float(),  # pandas makes floats of integers with gaps
        "item": text or dtype.is_integer() or dtype.is_float(),
        "event": text or dtype.is_integer() or dtype == pl.Boolean,
        "time": text or dtype.is_numeric() or isinstance(dtype, pl.Date | pl.Datetime),
    }
    if not allowed.get(name, text or dtype.is_numeric() or dtype == pl.Boolean):
        raise InvalidDataError(
            f"{stream.source}: the column {column!r} is of type {dtype}, which cannot be the {name}",
            _advised(name, advice),
        )
    return cell.cast(pl.String).alias(name) if text else cell.alias(name)


def _advised(name: str, advice: OptionNames) -> str:
    """What to do about a column of a type that its role cannot have."""
    kind = "ids to strings or integers" if name in ("user", "item") else "to numbers, dates or strings"
    if name not in advice.roles:
        return f"convert it ({kind})"
    off = "" if name in ("user", "item") else f', or do without it: {advice.roles[name]} ""'
    return f"name another one with {advice.roles[name]}, or convert it ({kind}){off}"


class _RawRows:
    """The text of rows by number: all their columns as JSON, read again only when a row is bad."""

    def __init__(self, part: pl.LazyFrame, start: int) -> None:
        self._part = part
        self._start = start

    def __call__(self, lines: Sequence[int]) -> list[str]:
        frame = self._part.collect()[[n - 1 - self._start for n in lines]]
        rows = frame.with_columns(
            native_text(column) for column in frame if column.dtype.is_temporal()
        ).to_dicts()
        return [json.dumps(row, ensure_ascii=False, default=str) for row in rows]
