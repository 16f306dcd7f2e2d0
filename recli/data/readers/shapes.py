"""Files that are not one event a row: blocks below an id (Netflix), a user and its items a line, a matrix."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import polars as pl

from recli.data.readers.delimited import open_delimited, split_line
from recli.data.readers.nested import Nested
from recli.data.readers.options import ReadOptions
from recli.data.readers.streams import Stream
from recli.data.readers.table import Batch, Exploded, Reject, Table, free_name
from recli.errors import InvalidDataError, UsageError

NO_ID, WRONG_WIDTH = "no line with an id before it", "wrong number of fields"
NETFLIX, ADJACENCY, MATRIX = "netflix", "adjacency", "matrix"
_SAMPLE_LINES, _FEWEST, _NARROWEST, _LONG = 200, 3, 10, 6
_BLOCK = r"^\s*([^\s:,;|]+):\s*$"
_ID, _REST = "user_id", "item_id"


def shape_of(stream: Stream, options: ReadOptions) -> str | None:
    """`netflix` or `adjacency` where nothing else can be meant; None for all else.

    Raises `InvalidDataError` for what looks like a matrix, which might be meant otherwise.
    """
    lines = _sample(stream)
    if len(lines) > 1 and re.match(_BLOCK, lines[0]) and not re.match(_BLOCK, lines[1]):
        return NETFLIX
    if options.header or len(lines) < _FEWEST or len(options.columns) > 2:
        return None
    if _are_lists([line.split() for line in lines], named=bool(options.columns)):
        return ADJACENCY
    if not options.columns:
        _check_no_matrix(lines, stream)
    return None


def _are_lists(rows: Sequence[Sequence[str]], named: bool) -> bool:
    """Whether rows are a user and items: whole numbers, each user and each of a row's items once.

    Rows of one length are it only where they are long, or two columns are `named` for more fields.
    """
    users = [row[0].removesuffix(":") for row in rows]
    if not all(cell.isdecimal() for cell in (*users, *(cell for row in rows for cell in row[1:]))):
        return False
    lengths = {len(row) for row in rows}
    if max(lengths) < 3:
        return False
    if all(row[0] == str(len(row) - 1) for row in rows):  # the number of items, and the items
        return True
    if len(set(users)) < len(users):
        return False
    once = all(len(set(row[1:])) == len(row) - 1 for row in rows)
    return len(lengths) > 1 or (once and (named or max(lengths) >= _LONG))


def named(error: InvalidDataError, stream: Stream) -> InvalidDataError:
    """The error of a file without a header, with the format that may be meant where its lines differ in length."""
    lines = _sample(stream)
    lengths = {len(re.split(_cut(lines), line.strip())) for line in lines}
    if len(lengths) < 2 or len({re.split(_cut(lines), line.strip())[0] for line in lines}) < len(lines):
        return error
    fix = f"a user and its items in each line? --format {ADJACENCY}; {error.fix}"
    return InvalidDataError(error.what, fix)


def _sample(stream: Stream) -> list[str]:
    lines = stream.head.decode("utf-8", errors="replace").split("\n")
    lines = lines[: -1 if len(lines) > 2 else None][:_SAMPLE_LINES]
    return [line.removesuffix("\r") for line in lines if line.strip()]


def _check_no_matrix(lines: Sequence[str], stream: Stream) -> None:
    """Raises `InvalidDataError` where all lines are numbers, as many in each, and one value is most frequent."""
    separator = next((s for s in ("\t", ",", ";", " ") if s in lines[0]), ",")
    rows = [line.split(separator) for line in lines]
    width = len(rows[0])
    if width < _NARROWEST or any(len(row) != width for row in rows):
        return
    cells = pl.Series([cell.strip() for row in rows for cell in row])
    if cells.filter(cells != "").cast(pl.Float64, strict=False).null_count() == 0:
        raise InvalidDataError(
            f"{stream.source}: {width} numbers in each line and no header, {lines[0][:60]}...; "
            "is it a matrix of users x items?",
            f"read it so: --format {MATRIX}; or name its columns: --no-header --columns user_id,item_id,...",
        )


def open_blocks(stream: Stream, options: ReadOptions) -> Table | None:
    """Lines of events below a line with their item, `1:`. Columns: that of the block, then those of the lines.

    `options.columns` names them; by default item_id, user_id, rating, date.
    """
    lines = _sample(stream)
    if not lines:
        return None
    events = [line for line in lines if not re.match(_BLOCK, line)]
    separator = options.delimiter or next(
        (s for s in (",", "\t", "|", ";") if events and s in events[0]), ","
    )
    width = len(events[0].split(separator)) if events else 1
    names = list(options.columns or ("item_id", "user_id", "rating", "date"))[: width + 1]
    if len(names) != width + 1:
        raise UsageError(
            f"{stream.source}: {width} fields in a line, {events[0][:60]!r}, and {len(names) - 1} names for them",
            f"name the id of the blocks and {width} columns: --format {NETFLIX} --columns item_id,user_id,...",
        )
    block = f"blocks of events below the {names[0]}, {lines[0].strip()!r}"
    note = f"{stream.source} has {block}: read as --format {NETFLIX}"
    return Table(names, lambda numbers: _block_batches(stream, separator, width, numbers), note=note)


def _block_batches(stream: Stream, separator: str, width: int, numbers: Mapping[str, int]) -> Iterator[Batch]:
    line, block_id = 1, None
    cells = pl.col("text").str.split_exact(separator, width - 1).struct
    wanted = [pl.col("id") if k == 0 else cells.field(f"field_{k - 1}") for k in numbers.values()]
    for data, _ in stream.blocks():
        text = _lines(data, line)
        line += text.height
        ids = text.with_columns(pl.col("text").str.extract(_BLOCK).alias("id"))
        frame = ids.with_columns(pl.col("id").forward_fill().fill_null(pl.lit(block_id, dtype=pl.String)))
        frame = frame.filter(ids["id"].is_null() & (text["text"].str.strip_chars() != ""))
        lost = frame["id"].is_null()
        uneven = frame["text"].str.count_matches(separator, literal=True) != width - 1
        rejects = [Reject(n, None, NO_ID, t) for n, t in frame.filter(lost).select("line", "text").rows()]
        ragged = frame.filter(uneven & ~lost).select("line", "text")
        rejects += [Reject(n, None, WRONG_WIDTH, t) for n, t in ragged.rows()]
        good = frame.filter(~lost & ~uneven)
        columns = [cell.alias(name) for cell, name in zip(wanted, numbers, strict=True)]
        yield Batch(good.select("line", *columns), _Raw(text), rejects)
        seen = ids["id"].drop_nulls()
        block_id = seen[-1] if len(seen) else block_id


def _lines(data: bytes, line: int) -> pl.DataFrame:
    """`line`, `text` of whole lines, without their ends."""
    lines = data.decode(errors="replace").split("\n")
    if lines[-1] == "":
        lines.pop()
    return pl.DataFrame(
        {"line": range(line, line + len(lines)), "text": lines}, schema={"line": pl.Int64, "text": pl.String}
    ).with_columns(pl.col("text").str.strip_suffix("\r"))


class _Raw:
    """The text of lines by number."""

    def __init__(self, text: pl.DataFrame) -> None:
        self._text = text

    def __call__(self, numbers: Sequence[int]) -> list[str]:
        first = self._text["line"][0]
        return self._text["text"].gather([n - first for n in numbers]).to_list()


def open_adjacency(stream: Stream, options: ReadOptions) -> Table | None:
    """Lines of a user and its items, `7 12 15 3`: columns user_id and item_id, a list.

    Where the first number of every line is the number of those after it, the user is the line's number, from 0.
    `options.columns` names the two columns otherwise.
    """
    lines = _sample(stream)
    if not lines:
        return None
    pattern = re.escape(options.delimiter) if options.delimiter not in (None, " ") else _cut(lines)
    rows = [[cell for cell in re.split(pattern, line.strip()) if cell] for line in lines]
    counts = len(rows) >= _FEWEST and all(row[0] == str(len(row) - 1) for row in rows)
    names = list(options.columns) or [_ID, _REST]
    if len(names) != 2:
        raise UsageError(f"--format {ADJACENCY} has two columns, a user and its items, not {len(names)}")
    users = (
        "the line's number, as each line begins with the number of its items"
        if counts
        else "the first of each line"
    )
    note = f"{stream.source} has the items of a user in each line, {lines[0][:40]!r}: read as --format {ADJACENCY}; "
    return Table(
        names,
        lambda numbers: _adjacency_batches(stream, pattern, counts, numbers),
        nested={names[1]: Nested(True)},
        note=f"{note}the user is {users}",
    )


def _cut(lines: Sequence[str]) -> str:
    """What cuts the lines of a file without other separators: commas, or blanks and tabs."""
    held = [s for s in (",", ";", "|") if sum(s in line for line in lines) * 2 > len(lines)]
    return rf"\s*[{held[0]}]\s*" if held else r"\s+"


def _adjacency_batches(
    stream: Stream, pattern: str, counts: bool, numbers: Mapping[str, int]
) -> Iterator[Batch]:
    """Batches with the items as text, separated by one blank."""
    line = 1
    for data, _ in stream.blocks():
        text = _lines(data, line)
        line += text.height
        frame = text.filter(text["text"].str.strip_chars() != "")
        plain = pl.col("text").str.strip_chars().str.replace_all(pattern, " ")
        user = (pl.col("line") - 1).cast(pl.String) if counts else plain.str.extract(r"^([^ ]+?):?(?: |$)")
        items = plain.str.extract(r"^[^ ]+ (.*)$").fill_null("")
        columns = [(user, items)[k].alias(name) for name, k in numbers.items()]
        yield Batch(frame.select("line", *columns), _Raw(text))


def open_matrix(stream: Stream, options: ReadOptions) -> Table | None:
    """A user a line, an item a column, ratings in the cells: columns user_id, item_id, rating.

    With a header the first column is the user. Without one it is, too, where its values are all different; else
    the user is the line's number, and a first column that counts the line's ratings is left out (as in Jester). Empty
    cells are no ratings, nor is a number of 0 or below in more than half of the cells, or one far from all others (99).
    """
    lines = _sample(stream)
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
    header = options.header if options.header is not None else not all(map(_is_number, rows[0][1:]))
    n_columns = len(rows[0])
    body = rows[1:] if header else rows
    names = [cell.strip() for cell in rows[0]] if header else [str(k) for k in range(1, n_columns + 1)]
    none = _none(body)
    counts = not header and none is not None and all(_counts(row, none) for row in body)
    has_user = header or (not counts and _are_users([row[0] for row in body], none))
    first = 1 if has_user or counts else 0
    if not header:
        names = [*names[:first], *(str(k) for k in range(1, n_columns + 1 - first))]
    columns = () if header else tuple(f"c{k}" for k in range(n_columns))
    plain = replace(options, format="csv", separator=separator, header=header, columns=columns)
    inner = open_delimited(stream, plain, lambda cells: 1)
    assert inner is not None
    user = f"{names[0] or 'the first column'} is the user" if has_user else "a line is a user"
    note = f"{stream.source}: {n_columns - first:,} columns are the items, {user}"
    note += ", the first column counts its ratings" if counts else ""
    note += "" if none is None else f", {none:g} is no rating"
    return Table(
        ["user_id", "item_id", "rating"],
        lambda numbers: _matrix_batches(inner, names, first, has_user, none, numbers),
        note=note,
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
        {"variable": [free_name(k) for k in range(first, len(names))], "item": list(names[first:])}
    )
    output = ("user", "item", "rating")
    columns = [pl.col(output[k]).alias(name) for name, k in numbers.items()]
    for batch in inner.batches(asked):
        frame = batch.frame
        user = pl.col(free_name(0)) if has_user else pl.col("line").cast(pl.String)
        frame = frame.with_columns(user.alias("user"))
        cells = frame.unpivot(items["variable"].to_list(), index=["line", "user"], value_name="rating")
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
    """The number that stands for no rating: most cells hold it and it is not above 0, or it is far from all others.

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
    for end in (float(cells.max()), float(cells.min())):  # type: ignore[arg-type]
        others = cells.filter(cells != end)
        low, high = float(others.min() or 0), float(others.max() or 0)  # type: ignore[arg-type]
        if int((cells == end).sum()) > 1 and max(low - end, end - high) > high - low:
            return end
    return None


def _are_users(cells: Sequence[str], none: float | None) -> bool:
    numbers = _numbers(cells)
    return len(set(cells)) == len(cells) > 1 and (none is None or not (numbers == none).any())


def _counts(row: Sequence[str], none: float) -> bool:
    """Whether the first number of a row is that of its ratings."""
    return _is_number(row[0]) and float(row[0].strip() or "nan") == int((_numbers(row[1:]) != none).sum())


OPEN = {NETFLIX: open_blocks, ADJACENCY: open_adjacency, MATRIX: open_matrix}
