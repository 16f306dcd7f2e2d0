"""Values inside objects: dotted paths such as `properties.item.id`, and the wrappers of MongoDB's exports."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import polars as pl

# https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/
_WRAPPERS = ("$oid", "$numberLong", "$numberInt", "$numberDouble", "$numberDecimal", "$date", "$uuid")
_SHOWN = 12  # fields in a message
_DEEPEST = 8  # levels of objects that are looked into


def value_at(value: Any, path: Sequence[str]) -> Any:
    """What an object holds at a path; None where there is nothing. Of a list: the values of its objects."""
    for depth, key in enumerate(path):
        if isinstance(value, list):
            return [None if isinstance(e, list) else value_at(e, path[depth:]) for e in value]
        value = value.get(key) if isinstance(value, dict) else None
    return value


def unwrapped(value: Any) -> Any:
    """`{"$oid": "5f"}` as `5f`, `{"$date": {"$numberLong": "17"}}` as `17`; any other value as it is."""
    while isinstance(value, dict) and len(value) == 1 and next(iter(value)) in _WRAPPERS:
        value = next(iter(value.values()))
    return value


def leaves(value: Any, prefix: str = "") -> Iterable[str]:
    """The dotted paths of the plain values (or lists of them) in an object or a list of objects."""
    value = unwrapped(value)
    if isinstance(value, list):
        value = next((element for element in value if isinstance(element, dict)), None)
    if isinstance(value, dict) and prefix.count(".") < _DEEPEST:
        for key, inner in value.items():
            yield from leaves(inner, f"{prefix}.{key}" if prefix else key)
    elif prefix:
        yield prefix


def dtype_leaves(dtype: pl.DataType, prefix: str = "") -> Iterable[str]:
    """`leaves` of a Parquet column's type."""
    while isinstance(dtype, pl.List | pl.Array):
        dtype = dtype.inner  # type: ignore[assignment]
    if isinstance(dtype, pl.Struct):
        for inner in dtype.fields:
            name = f"{prefix}.{inner.name}" if prefix else inner.name
            yield from dtype_leaves(inner.dtype, name)  # type: ignore[arg-type]
    elif prefix:
        yield prefix


class Nested(NamedTuple):
    """What the cells of a column are: objects (or lists of them) with these dotted paths inside, or plain lists."""

    is_list: bool
    fields: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.fields:
            return "a list"
        more = ", ..." if len(self.fields) > _SHOWN else ""
        what = "a list of objects" if self.is_list else "an object"
        return f"{what} with the fields {', '.join(self.fields[:_SHOWN])}{more}"


def nested_type(dtype: pl.DataType) -> Nested:
    """What a Parquet column of a nested type holds."""
    return Nested(isinstance(dtype, pl.List | pl.Array), tuple(dtype_leaves(dtype)))


def nested_cells(cells: Sequence[Any]) -> Nested | None:
    """What most of some JSON values are; None for plain ones. Objects may stand where others are lists of them."""
    cells = [value for cell in cells if (value := unwrapped(cell)) is not None]
    n_lists = sum(isinstance(cell, list) for cell in cells)
    n_objects = sum(
        isinstance(cell, dict) or (isinstance(cell, list) and _holds_objects(cell)) for cell in cells
    )
    is_list = n_lists * 2 > len(cells)
    if n_objects * 2 > len(cells):
        return Nested(n_lists > 0, tuple(dict.fromkeys(field for cell in cells for field in leaves(cell))))
    return Nested(True) if is_list else None


def _holds_objects(cell: list[Any]) -> bool:
    return any(isinstance(unwrapped(element), dict) for element in cell)


def new_paths(paths: Iterable[str], names: Sequence[str]) -> list[str]:
    """The dotted paths that are no column's own name and go into one of the columns."""
    return [
        path
        for path in dict.fromkeys(paths)
        if "." in path and path not in names and path.split(".")[0] in names
    ]


def expression(path: str, schema: Mapping[str, pl.DataType]) -> pl.Expr | None:
    """A Parquet column's values at a path, which may go through lists; None where the type has no such field."""
    root, *keys = path.split(".")
    found = _field(pl.col(root), schema[root], keys)
    return None if found is None else found.alias(path)


def _field(cell: pl.Expr, dtype: pl.DataType, keys: Sequence[str]) -> pl.Expr | None:
    if not keys:
        return cell
    if isinstance(dtype, pl.List | pl.Array):
        inner = _field(pl.element(), dtype.inner, keys)  # type: ignore[arg-type]
        return None if inner is None else _as_list(cell, dtype).list.eval(inner)
    fields = {f.name: f.dtype for f in dtype.fields} if isinstance(dtype, pl.Struct) else {}
    if keys[0] not in fields:
        return None
    return _field(cell.struct.field(keys[0]), fields[keys[0]], keys[1:])  # type: ignore[arg-type]


def _as_list(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return cell.arr.to_list() if isinstance(dtype, pl.Array) else cell


def flat_list(cell: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """A Parquet column of lists of lists as lists of all their elements; others as they are."""
    if not isinstance(dtype, pl.List | pl.Array):
        return cell
    cell, inner = _as_list(cell, dtype), dtype.inner
    while isinstance(inner, pl.List | pl.Array):
        cell = cell.list.eval(_as_list(pl.element(), inner).explode())
        inner = inner.inner
    return cell
