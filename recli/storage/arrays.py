"""Checks tables and arrays that were read, before compiled code, which checks no bounds, gets them."""

from collections.abc import Mapping

import polars as pl

from recli import schema
from recli.schema import State

_WHOLE = (pl.Int8, pl.Int16, pl.Int32, pl.Int64, pl.UInt8, pl.UInt16, pl.UInt32, pl.UInt64)
_FLOATS = (pl.Float32, pl.Float64)
_ID, _BOOL, _TEXT = (pl.String,), (pl.Boolean,), (pl.String, pl.Null)

_Types = tuple[type[pl.DataType], ...]
_COLUMNS: dict[str, dict[str, _Types]] = {
    "users": {schema.USER_ID: _ID, schema.COLD: _BOOL},
    "items": {schema.ITEM_ID: _ID, schema.TEXT: _TEXT, schema.COLD: _BOOL},
    **{name: {schema.USER: _WHOLE, schema.ITEM: _WHOLE, schema.VALUE: _FLOATS} for name in schema.SPLITS},
}
_OPTIONAL = {
    schema.RATING: _FLOATS,
    schema.TIMESTAMP: _WHOLE,
    schema.POSITION: _WHOLE,
}  # of splits


def check_tables(tables: Mapping[str, pl.DataFrame]) -> None:
    """Check the tables of interactions, by name. Raises `ValueError` for what is not as `prepare` writes it."""
    for name, columns in _COLUMNS.items():
        for column, types in columns.items():
            _check_column(name, tables[name], column, types)
    for name in ("users", "items", "train"):
        if tables[name].is_empty():
            raise ValueError(f"{name}.parquet is empty")
    sizes = {schema.USER: tables["users"].height, schema.ITEM: tables["items"].height}
    for name in schema.SPLITS:
        rows = tables[name]
        _check_numbers(name, rows, sizes)
        for column, types in _OPTIONAL.items():
            if column in rows.columns:
                _check_column(name, rows, column, types)
        if not (rows[schema.VALUE].is_finite().all() and (rows[schema.VALUE] > 0).all()):
            raise ValueError(f"{name}.parquet has weights that are not above 0")
    if schema.SEEN in tables:
        _check_seen(tables[schema.SEEN], sizes)


def _check_numbers(name: str, rows: pl.DataFrame, sizes: Mapping[str, int]) -> None:
    for column, size in sizes.items():
        numbers = rows[column].to_numpy()
        if numbers.size and (numbers.min() < 0 or numbers.max() >= size):
            raise ValueError(f"{name}.parquet has numbers of {column}s that are not in {column}s.parquet")
    if not rows[schema.USER].is_sorted():
        raise ValueError(f"{name}.parquet is not sorted by user")


def _check_seen(rows: pl.DataFrame, sizes: Mapping[str, int]) -> None:
    columns = {schema.USER: _WHOLE, schema.ITEM: _WHOLE, schema.NEGATIVE: _FLOATS, schema.SPLIT: _ID}
    for column, types in columns.items():
        _check_column(schema.SEEN, rows, column, types)
    _check_numbers(schema.SEEN, rows, sizes)
    strengths = rows[schema.NEGATIVE]
    if not (strengths.is_finite().all() and (strengths >= 0).all()):
        raise ValueError(f"{schema.SEEN}.parquet has dislikes that are below 0")


def _check_column(name: str, table: pl.DataFrame, column: str, types: _Types) -> None:
    if column not in table.columns:
        raise ValueError(f"{name}.parquet has no column {column!r}")
    if table.schema[column] not in types:
        raise ValueError(f"{name}.parquet has {table.schema[column]} in the column {column!r}")
    if column != schema.TEXT and table[column].null_count():
        raise ValueError(f"{name}.parquet has nothing in rows of the column {column!r}")


def check_arrays(state: State, n_users: int, n_items: int) -> None:
    """Check a model's arrays, by name. Raises `ValueError` for factors of other users or items than there are."""
    for name, array in state.items():
        rows = {"user_factors": n_users, "item_factors": n_items}.get(name.rpartition("/")[2])
        if rows is not None and (array.ndim != 2 or len(array) != rows):
            raise ValueError(f"{name} has the shape {array.shape}, for {rows} rows")
