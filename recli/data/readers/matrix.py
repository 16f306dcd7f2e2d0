"""Matrices: a user a line, an item a column, ratings in the cells."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from recli.data.readers.column_roles import ITEM, USER, Role, unwrap
from recli.data.readers.delimited import open_delimited, split_line
from recli.data.readers.options import ReadOptions
from recli.data.readers.streams import Stream
from recli.data.readers.table import Batch, Exploded, Table, free_name
from recli.errors import InvalidDataError

_SAMPLE_LINES = 200
_SENTINELS = [float(sign + nines) for sign in ("", "-") for nines in ("99", "999", "9999", "99999")]


def sample_lines(stream: Stream) -> list[str]:
    """The first lines that are not blank; the last one may be cut where it is the only one."""
    lines = stream.head.decode("utf-8", errors="replace").split("\n")
    lines = lines[: -1 if len(lines) > 2 else None][:_SAMPLE_LINES]
    return [line.removesuffix("\r") for line in lines if line.strip()]


def open_matrix(stream: Stream, options: ReadOptions) -> Table | None:
    """A user a line, an item a column, ratings in the cells: columns user_id, item_id, rating.

    With a header the first column is the user (or the item, by its name: then the others are users). Without one it
    is, too, where its values are all different; else the user is the line's number, and a first column that counts
    the line's ratings is left out (as in Jester). Empty cells are no ratings, nor is what `_none` finds.
    """
    lines = sample_lines(stream)
    if not lines:
        return None
    if b"\n" not in stream.head and len(stream.head) >= 1 << 16:
        raise InvalidDataError(
            f"{stream.source}: the first line is longer than {len(stream.head) >> 10} KB, too long for a matrix",
            "write a line for each rating instead: user_id,item_id,rating",
        )
    found = [s for s in ("\t", ",", ";", "|", " ") if s in lines[0]]
    separator = options.delimiter or (found[0] if found else ",")
    rows = [split_line(line, separator) for line in lines]
    corner, numeric = rows[0][0].strip(), all(map(_is_number, rows[0][1:]))
    header = options.header if options.header is not None else not numeric or corner == "" or is_role(corner)
    n_columns = len(rows[0])
    body = rows[1:] if header else rows
    names = [cell.strip() for cell in rows[0]] if header else [str(k) for k in range(1, n_columns + 1)]
    none = _none(body)
    counts = not header and none is not None and all(_counts(row, none) for row in body)
    has_user = header or (not counts and _are_users([row[0] for row in body], none))
    first = 1 if has_user or counts else 0
    if first == n_columns:
        raise InvalidDataError(
            f"{stream.source}: no column of ratings in {lines[0][:40]!r}: not a matrix",
            "name what separates its columns with --separator, or leave --format out",
        )
    if not header:
        names = [*names[:first], *(str(k) for k in range(1, n_columns + 1 - first))]
    columns = () if header else tuple(f"c{k}" for k in range(n_columns))
    plain = replace(options, format="csv", separator=separator, header=header, columns=columns)
    inner = open_delimited(stream, plain, lambda cells: 1)
    assert inner is not None
    transposed = header and is_role(corner, ITEM)
    of_line, of_column = ("item", "user") if transposed else ("user", "item")
    line = f"{names[0] or 'the first column'} is the {of_line}" if has_user else "a line is a user"
    note = f"{stream.source}: {n_columns - first:,} columns are the {of_column}s, {line}"
    note += ", the first column counts its ratings" if counts else ""
    note += "" if none is None else f", {none:g} is no rating"
    return Table(
        [f"{of_line}_id", f"{of_column}_id", "rating"],
        lambda numbers: _matrix_batches(inner, names, first, has_user, none, numbers),
        [note],
    )


def _matrix_batches(
    inner: Table,
    names: Sequence[str],
    first: int,
    has_user: bool,
    none: float | None,
    numbers: Mapping[str, int],
) -> Iterator[Batch]:
    asked = {free_name(k): k for k in range(0 if has_user else first, len(names))}
    items = pl.DataFrame(
        {"variable": [free_name(k) for k in range(first, len(names))], "column's": list(names[first:])}
    )
    output = ("line's", "column's", "rating")
    columns = [pl.col(output[k]).alias(name) for name, k in numbers.items()]
    for batch in inner.batches(asked):
        frame = batch.frame
        user = pl.col(free_name(0)) if has_user else pl.col("line").cast(pl.String)
        frame = frame.with_columns(user.alias("line's"))
        cells = frame.unpivot(items["variable"].to_list(), index=["line", "line's"], value_name="rating")
        number = pl.col("rating").str.strip_chars().cast(pl.Float64, strict=False)
        rated = (
            pl.col("rating").is_not_null()
            & (pl.col("rating").str.strip_chars() != "")
            & ~number.is_nan().fill_null(False)
        )
        if none is not None:
            rated &= (number != none).fill_null(True)
        kept = (
            cells.filter(rated)
            .join(items, on="variable", maintain_order="left")
            .sort("line", maintain_order=True)
        )
        n_empty = frame.height - kept["line"].n_unique()
        made = Exploded(frame.height, kept.height, n_empty)
        yield replace(batch, frame=kept.select("line", *columns), exploded=made)


def is_role(name: str, *roles: Role) -> bool:
    """Whether a name is known for users or items (or for one of `roles`)."""
    return any(unwrap(name) in tier for role in roles or (USER, ITEM) for tier in role.names)


def _is_number(cell: str) -> bool:
    try:
        float(cell.strip() or "0")
    except ValueError:
        return False
    return True


def _numbers(cells: Sequence[str]) -> pl.Series:
    return (
        pl.Series([c.strip() for c in cells], dtype=pl.String)
        .cast(pl.Float64, strict=False)
        .drop_nulls()
        .drop_nans()
    )


def _none(rows: Sequence[Sequence[str]]) -> float | None:
    """The number that stands for no rating: one not above 0 in most cells, 99 and the like, -1 among others from 0 up.

    A 0 is it, too, where all others are one number.
    """
    cells = _numbers([cell for row in rows for cell in row[1:]])
    if cells.is_empty():
        return None
    value, count = cells.value_counts(sort=True).row(0)
    if value <= 0 and count * 2 > len(cells):
        return float(value)
    if cells.n_unique() == 2 and cells.min() == 0:
        return 0.0
    others = cells.filter(~cells.is_in(_SENTINELS))
    found = cells.filter(cells.is_in(_SENTINELS)).unique()
    if len(found) == 1 and len(others) and abs(float(found[0])) > 4 * float(others.abs().max()):  # type: ignore[arg-type]
        return float(found[0])
    return -1.0 if len(others) and cells.min() == -1 and float(cells.filter(cells != -1).min()) >= 0 else None  # type: ignore[arg-type]


def _are_users(cells: Sequence[str], none: float | None) -> bool:
    numbers = _numbers(cells)
    return len(set(cells)) == len(cells) > 1 and (none is None or not (numbers == none).any())


def _counts(row: Sequence[str], none: float) -> bool:
    """Whether the first number of a row is that of its ratings."""
    return _is_number(row[0]) and float(row[0].strip() or "nan") == int((_numbers(row[1:]) != none).sum())
