"""Files that are not one event a row: blocks below an id (Netflix), a user and its items a line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from recli.data.readers.matrix import is_role, open_matrix, sample_lines
from recli.data.readers.nested import Nested
from recli.data.readers.options import ReadOptions
from recli.data.readers.streams import Stream
from recli.data.readers.table import Batch, Reject, Table
from recli.errors import InvalidDataError, UsageError

BROKEN_UTF8 = "broken UTF-8"
NO_ID, WRONG_WIDTH = "no line with an id before it", "wrong number of fields"
NETFLIX, ADJACENCY, MATRIX = "netflix", "adjacency", "matrix"
_FEWEST, _NARROWEST, _LONG = 3, 10, 6  # lines, columns of a matrix, of a list
_BLOCK = r"^\s*([^\s:,;|]+):\s*$"
_ID, _REST = "user_id", "item_id"


def shape_of(stream: Stream, options: ReadOptions) -> str | None:
    """`netflix` or `adjacency` where nothing else can be meant; None for all else.

    Raises `InvalidDataError` for what looks like a matrix, which might be meant otherwise.
    """
    lines = sample_lines(stream)
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
    if len(lengths) > 1:
        return not named or sum(len(row) > 2 for row in rows) >= 0.2 * len(rows)
    return once and (named or max(lengths) >= _LONG)


def named(error: InvalidDataError, stream: Stream) -> InvalidDataError:
    """The error of a file without a header, with the format that may be meant."""
    lines = sample_lines(stream)
    rows = [re.split(_cut(lines), line.strip()) for line in lines]
    if len({len(row) for row in rows}) > 1 and len({row[0] for row in rows}) == len(rows):
        shape = f"a user and its items in each line? --format {ADJACENCY}"
    elif len(rows[0]) >= _NARROWEST and is_role(rows[0][0]):
        shape = f"a matrix of users x items? --format {MATRIX}"
    else:
        return error
    return InvalidDataError(error.what, f"{shape}; {error.fix}")


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
    lines = sample_lines(stream)
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
    return Table(names, lambda numbers: _block_batches(stream, separator, width, numbers), [note])


def _block_batches(stream: Stream, separator: str, width: int, numbers: Mapping[str, int]) -> Iterator[Batch]:
    line, block_id = 1, None
    cells = pl.col("text").str.split_exact(separator, width - 1).struct
    wanted = [pl.col("id") if k == 0 else cells.field(f"field_{k - 1}") for k in numbers.values()]
    for data, _ in stream.blocks():
        text, broken = _lines(data, line)
        line += text.height
        ids = text.with_columns(pl.col("text").str.extract(_BLOCK).alias("id"))
        frame = ids.with_columns(pl.col("id").forward_fill().fill_null(pl.lit(block_id, dtype=pl.String)))
        frame = frame.filter(
            ids["id"].is_null() & (text["text"].str.strip_chars() != "")
        )  # null where broken
        lost = frame["id"].is_null()
        uneven = frame["text"].str.count_matches(separator, literal=True) != width - 1
        rejects = broken + [
            Reject(n, None, NO_ID, t) for n, t in frame.filter(lost).select("line", "text").rows()
        ]
        ragged = frame.filter(uneven & ~lost).select("line", "text")
        rejects += [Reject(n, None, WRONG_WIDTH, t) for n, t in ragged.rows()]
        good = frame.filter(~lost & ~uneven)
        columns = [cell.alias(name) for cell, name in zip(wanted, numbers, strict=True)]
        yield Batch(good.select("line", *columns), _Raw(text), rejects)
        seen = ids["id"].drop_nulls()
        block_id = seen[-1] if len(seen) else block_id


def _lines(data: bytes, line: int) -> tuple[pl.DataFrame, list[Reject]]:
    """`line`, `text` of whole lines, without their ends; those that are no UTF-8 are null, and rejects."""
    data, rejects = data.removesuffix(b"\n"), []
    lines: list[str | None]
    try:
        lines = list(data.decode().split("\n")) if data else []
    except UnicodeDecodeError:
        lines = []
        for number, row in enumerate(data.split(b"\n"), line):
            try:
                lines.append(row.decode())
            except UnicodeDecodeError:
                lines.append(None)
                rejects.append(Reject(number, None, BROKEN_UTF8, row.decode(errors="backslashreplace")))
    numbers = pl.Series("line", range(line, line + len(lines)), dtype=pl.Int64)
    text = pl.Series("text", lines, dtype=pl.String).str.strip_suffix("\r")
    return pl.DataFrame([numbers, text]), rejects


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
    lines = sample_lines(stream)
    if not lines:
        return None
    pattern = _cut(lines, options.delimiter)
    rows = [[cell for cell in re.split(pattern, line.strip()) if cell] for line in lines]
    header = bool(options.header) or (options.header is None and is_role(rows[0][0]))
    rows = rows[1:] if header else rows
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
        lambda numbers: _adjacency_batches(stream, pattern, header, counts, numbers),
        [f"{note}the user is {users}"],
        nested={names[1]: Nested(True)},
    )


def _cut(lines: Sequence[str], separator: str | None = None) -> str:
    """What cuts the lines: blanks and tabs, or another separator, and then a tab or colon behind the user."""
    held = [s for s in (",", ";", "|") if sum(s in line for line in lines) * 2 > len(lines)]
    if separator in (None, " ", "\t"):
        separator = held[0] if held and separator is None else None
    return r"\s+" if separator is None else rf"\s*{re.escape(separator)}\s*|\t|:\s+"


def _adjacency_batches(
    stream: Stream, pattern: str, header: bool, counts: bool, numbers: Mapping[str, int]
) -> Iterator[Batch]:
    line = 1
    cells = pl.col("text").str.strip_chars().str.replace_all(pattern, "\t").str.split("\t")
    cells = cells.list.eval(pl.element().filter(pl.element() != ""))
    user = (pl.col("line") - (2 if header else 1)).cast(pl.String) if counts else cells.list.first()
    wanted = (user.str.strip_suffix(":"), cells.list.slice(1))
    for data, _ in stream.blocks():
        text, broken = _lines(data, line)
        used = (text["text"].str.strip_chars() != "").fill_null(False)
        if header and line == 1:
            used[0] = False
        line += text.height
        columns = [wanted[k].alias(name) for name, k in numbers.items()]
        yield Batch(text.filter(used).select("line", *columns), _Raw(text), broken)


OPEN = {NETFLIX: open_blocks, ADJACENCY: open_adjacency, MATRIX: open_matrix}
