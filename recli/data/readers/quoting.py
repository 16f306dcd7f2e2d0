"""Whether the fields of a delimited file are quoted: CSV's are, those of other separators where the data proves it."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from typing import Any

QUOTING = ("auto", "standard", "none")
QUOTED_BY_CUSTOM = (",", ";")  # what spreadsheets write; tabs, bars, `::` are written without quotes
RECORD_LINES = 100  # a quoted field may go on for so many lines; a quote left open does not swallow more
_LINES_WITH_QUOTES = 1_000  # looked at
_DOUBLED = re.compile(r'"(?:[^"]|"")*""(?:[^"]|"")*"')
_WHOLE = re.compile(r'"(?:[^"]|"")*"')


def proves_quotes(lines: Sequence[str | None], separator: str, width: int) -> bool:
    """Whether these lines of a file with `width` fields are written with quotes around fields (RFC 4180).

    For it: fields that only quotes hold together (a separator, a doubled quote or a line's end is in them), and columns
    all of whose cells are quoted. Against it: fields that begin with a quote and do not end with one.
    """
    with_quotes = [i for i, line in enumerate(lines) if line and '"' in line][:_LINES_WITH_QUOTES]
    proofs = doubts = 0
    for start in with_quotes:
        cells = str(lines[start]).split(separator)
        if _is_held_together(lines, start, separator, width):
            proofs += 1
        elif len(cells) == width:
            proofs += any(_DOUBLED.fullmatch(cell) for cell in cells)
            doubts += any(cell.startswith('"') and not _WHOLE.fullmatch(cell) for cell in cells)
    return proofs > doubts or (doubts == 0 and _quoted_columns(lines, with_quotes, separator, width))


def _is_held_together(lines: Sequence[str | None], start: int, separator: str, width: int) -> bool:
    """Whether quotes make one record with all fields of what is more fields, or several lines, without them."""
    record = read_record(lines, start, separator)
    if not isinstance(record, tuple) or len(record[0]) != width:
        return False
    if record[1] == 1:
        return str(lines[start]).count(separator) + 1 != width
    return not swallows_rows(lines, start, record[1], separator, width)


def _quoted_columns(lines: Sequence[str | None], chosen: Sequence[int], separator: str, width: int) -> bool:
    """Whether a column has its cells quoted, all of those that are not empty, numbers or short of company."""
    near = [str(lines[i]) for i in range(chosen[0], chosen[-1] + 1) if lines[i]] if chosen else []
    rows = [row for line in near if len(row := line.split(separator)) == width]
    columns = [[cell for row in rows if (cell := row[k].strip())] for k in range(width)]
    return any(
        len(cells) > 1 and len(cells) * 2 > len(rows) and all(map(_WHOLE.fullmatch, cells))
        for cells in columns
    )


def read_record(lines: Sequence[str | None], start: int, separator: str) -> tuple[list[str], int] | csv.Error:
    """The record of quoted fields that begins on line `start`, and the number of its lines; or what is wrong.

    Quotes within are doubled or, where that leaves the line unreadable, have a backslash before them.
    """
    record = _record(lines, start, separator, {})
    if isinstance(record, csv.Error) and '\\"' in str(lines[start]):
        escaped = _record(lines, start, separator, {"escapechar": "\\", "doublequote": False})
        return record if isinstance(escaped, csv.Error) else escaped
    return record


def _record(
    lines: Sequence[str | None], start: int, separator: str, dialect: dict[str, Any]
) -> tuple[list[str], int] | csv.Error:
    texts = (text + "\n" for text in following(lines, start))
    reader = csv.reader(texts, delimiter=separator, strict=True, **dialect)
    try:
        return next(reader), reader.line_num
    except csv.Error as error:
        return error


def following(lines: Sequence[str | None], start: int) -> Iterator[str]:
    """The lines that a record may take; one that is no text ends it."""
    for text in lines[start : start + RECORD_LINES]:
        if text is None:
            return
        yield text


def swallows_rows(lines: Sequence[str | None], start: int, span: int, separator: str, width: int) -> bool:
    """Whether a record of several lines is rather as many rows: most of its lines have all fields by themselves.

    Two stray quotes make one long field of all rows between them.
    """
    whole = sum(str(line).count(separator) + 1 == width for line in lines[start : start + span])
    return whole * 2 > span
