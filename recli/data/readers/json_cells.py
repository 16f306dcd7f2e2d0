"""Dotted paths into JSON that stands in the cells of text files: `"{""user"": {""id"": 7}}"`."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from recli.data.readers.jsonl import encodes
from recli.data.readers.nested import new_paths, unwrapped, value_at
from recli.data.readers.table import Batch, Table, free_name

# Integers and fractions keep their digits.
_decode: Callable[[str], Any] = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str).decode


def with_paths(table: Table, paths: Sequence[str]) -> Table:
    """The table with the columns of dotted `paths` that go into a column of text.

    Cells that hold no such value are null, lists JSON text.
    """
    dotted = new_paths(paths, table.names)
    if not dotted:
        return table
    names = [*table.names, *dotted]

    def batches(numbers_by_name: Mapping[str, int]) -> Iterator[Batch]:
        inside = {name: names[k].split(".") for name, k in numbers_by_name.items() if k >= len(table.names)}
        roots = {keys[0]: table.names.index(keys[0]) for keys in inside.values()}
        own = {name: k for name, k in numbers_by_name.items() if name not in inside}
        for batch in table.batches(own | {free_name(k): k for k in roots.values()}):
            objects = {
                root: [_loaded(cell) for cell in batch.frame[free_name(k)]] for root, k in roots.items()
            }
            cells = [
                pl.Series(name, [_text(value_at(o, keys[1:])) for o in objects[keys[0]]], dtype=pl.String)
                for name, keys in inside.items()
            ]
            yield replace(batch, frame=batch.frame.with_columns(cells).select("line", *numbers_by_name))

    return replace(table, names=names, batches=batches)


def _loaded(cell: str | None) -> Any:
    try:
        return _decode(cell or "")
    except (ValueError, RecursionError):
        return None


def _text(value: Any) -> str | None:
    value = unwrapped(value)
    text = value if value is None or isinstance(value, str) else json.dumps(value)
    return text if encodes(text or "") else None
