"""CSV, TSV and anything with a separator: find the separator and the header, parse blocks of lines.

A clean block (no NUL, valid UTF-8, every line with the right number of fields, quotes only around whole plain
fields) is parsed by polars at once; any other by `malformed_lines`, so that each bad row has its number.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recli.data.readers.malformed_lines import parse_lines
from recli.data.readers.options import OptionNames, ReadOptions
from recli.data.readers.streams import Source, Stream
from recli.data.readers.table import Batch, Table
from recli.errors import InvalidDataError, UsageError

SEPARATORS = ("::", "\t", ";", ",", "|")
_SAMPLE_LINES = 100  # lines looked at

Known = Callable[[Sequence[str]], int]
"""How many cells of a row are known column names."""


class NoHeaderError(InvalidDataError):
    """The first line is no header."""


@dataclass(frozen=True)
class Layout:
    """How a file's lines are cut; `skip`: lines before the data (blank ones, the header)."""

    separator: str
    names: list[str]
    skip: int


def open_delimited(stream: Stream, options: ReadOptions, known: Known) -> Table | None:
    """Open a delimited file; None where it is empty. `known` tells a header from data."""
    layout = _layout(stream, options, known)
    if layout is None:
        return None
    known_layout = layout
    return Table(known_layout.names, lambda numbers_by_name: _batches(stream, known_layout, numbers_by_name))


def _layout(stream: Stream, options: ReadOptions, known: Known) -> Layout | None:
    text = stream.head.decode("utf-8", errors="replace")
    lines = text.split("\n")[: _SAMPLE_LINES + 1]
    if len(lines) > 2:
        lines = lines[:-1]  # it may be cut
    before = next((i for i, line in enumerate(lines) if line.strip()), None)
    if before is None:
        return None
    sample = [line.removesuffix("\r") for line in lines[before:] if line.strip()]
    separator = options.delimiter or _find_separator(sample, known)
    cells = [cell.strip() for cell in split_line(sample[0], separator)]
    if _is_header(cells, sample[0], stream.source, options, known):
        return Layout(separator, cells, before + 1)
    return Layout(separator, [c.strip() for c in options.columns], 0)


def split_line(line: str, separator: str) -> list[str]:
    """The fields of one line; quotes count with separators of one character."""
    if len(separator) > 1 or '"' not in line:
        return line.split(separator)
    try:
        return next(csv.reader([line], delimiter=separator))
    except csv.Error:  # a line to be rejected later
        return line.split(separator)


def _find_separator(sample: Sequence[str], known: Known) -> str:
    """The separator whose first row has most known names; then the one that cuts most lines alike."""
    best, chosen = (0, 0.0, 0), ","
    for separator in SEPARATORS:
        rows = [split_line(line, separator) for line in sample]
        fields = len(rows[0])
        alike = sum(len(row) == fields for row in rows) / len(rows)
        score = (known(rows[0]), alike, fields)
        if fields > 1 and score > best:
            best, chosen = score, separator
    return chosen


def _is_header(cells: Sequence[str], line: str, source: Source, options: ReadOptions, known: Known) -> bool:
    if options.header is not None:
        return options.header
    looks = known(cells) > 0 and not any(_is_number(cell) for cell in cells)
    if options.columns:
        if looks:
            raise UsageError(
                f"{source}: {options.advice.columns} is for files without a header, but the first line is one: "
                f"{line[:200]}",
                f"leave {options.advice.columns} out",
            )
        return False
    named = any(options.column_of(r) for r in ("user", "item", "rating", "event", "weight", "time"))
    if looks or (named and not any(_is_number(cell) for cell in cells)):
        return True
    raise NoHeaderError(
        f"{source}: the first line has no known column name: {line[:200]}",
        _advised(options.advice),
    )


def _advised(advice: OptionNames) -> str:
    """Advice for a first line without any known column name."""
    if advice.no_header is None:
        return "write a header: user_id,item_id, and where they are known score or rank"
    names = "user_id,item_id,..." if "user" in advice.roles else "item_id,title,..."
    ids = " ".join(f"{advice.roles[role]} NAME" for role in ("user", "item") if role in advice.roles)
    return (
        f"if it is data: {advice.no_header} {advice.columns} {names}; if it is a header, name its columns: {ids}; "
        f"if it is cut wrongly: {advice.separator} ';'"
    )


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _batches(stream: Stream, layout: Layout, numbers_by_name: Mapping[str, int]) -> Iterator[Batch]:
    line, skip, rest = 1, layout.skip, b""
    for block, last in stream.blocks():
        data = rest + block if rest else block
        while skip and data:
            data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
            line, skip = line + 1, skip - 1
        batch, taken, rest = parse_block(
            data, line, last, layout.separator, len(layout.names), numbers_by_name
        )
        line += taken
        yield batch


def parse_block(
    data: bytes, line: int, last: bool, separator: str, width: int, numbers_by_name: Mapping[str, int]
) -> tuple[Batch, int, bytes]:
    """Parse whole lines, the first of which is number `line`.

    Returns the batch, the number of lines taken, and the bytes left for the next block (a quoted field
    that goes on there; never where `last`).
    """
    frame = _parse_clean(data, line, separator, width, numbers_by_name)
    if frame is None:
        return parse_lines(data, line, last, separator, width, numbers_by_name)

    def raw(numbers: Sequence[int]) -> list[str]:
        lines = data.split(b"\n")
        return [lines[n - line].removesuffix(b"\r").decode() for n in numbers]

    return Batch(frame, raw), frame.height, b""


def _parse_clean(
    data: bytes, line: int, separator: str, width: int, numbers_by_name: Mapping[str, int]
) -> pl.DataFrame | None:
    """All lines at once, or None where any of them needs a closer look.

    polars lets some lines with a wrong number of fields pass, so the separators are counted here. A quoted
    field with a separator or a line's end in it leaves pieces with a lone quote.
    """
    n_lines = _count_lines(data, separator.encode(), width)
    if n_lines == 0 or b"\0" in data or data.startswith(b"\xef\xbb\xbf"):
        return None
    quotes = b'"' in data
    numbers = list(range(width)) if quotes else sorted(set(numbers_by_name.values()))
    try:
        data.decode()
        frame = pl.read_csv(
            data,
            has_header=False,
            separator=separator,
            quote_char=None,
            schema={f"c{k}": pl.String for k in range(width)},
            columns=numbers,
        )
    except (UnicodeDecodeError, pl.exceptions.PolarsError):  # the line-by-line parser reports the reason
        return None
    if frame.height != n_lines:
        return None
    if quotes:
        if not frame.select(pl.all_horizontal(_is_plain(pl.all()).all())).item():
            return None
        frame = frame.with_columns(pl.all().str.strip_chars('"'))
    lines = pl.int_range(line, line + n_lines, dtype=pl.Int64, eager=True).alias("line")
    return frame.select(
        lines, *(pl.col(f"c{number}").alias(name) for name, number in numbers_by_name.items())
    )


def _count_lines(data: bytes, separator: bytes, width: int) -> int:
    """The number of lines, if each of them has exactly `width` - 1 separators of one byte; 0 otherwise."""
    if len(separator) != 1 or width < 2 or not data:
        return 0
    n_lines = data.count(b"\n") + (not data.endswith(b"\n"))
    if data.count(separator) != (width - 1) * n_lines:
        return 0
    text = np.frombuffer(data, dtype=np.uint8)
    ends = np.flatnonzero(text == ord("\n"))  # int64 (n_lines,)
    if ends.size < n_lines:
        ends = np.append(ends, text.size)
    at = np.flatnonzero(text == separator[0]).reshape(n_lines, width - 1)
    inside = (at[:, -1] < ends).all() and (at[1:, 0] > ends[:-1]).all()
    return n_lines if inside else 0


def _is_plain(cell: pl.Expr) -> pl.Expr:
    """Whether a piece between separators is a whole field: without quotes, or with just one around it."""
    n_quotes = cell.str.count_matches('"', literal=True)
    whole = cell.str.starts_with('"') & cell.str.ends_with('"')
    return (n_quotes == 0) | ((n_quotes == 2) & whole)
