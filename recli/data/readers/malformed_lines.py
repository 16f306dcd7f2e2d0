"""Blocks with quotes, wrong field counts, broken bytes: parsed line by line, so that every bad row has a number."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from recli.data.readers.quoting import RECORD_LINES, following, read_record, swallows_rows
from recli.data.readers.table import Batch, LineCounts, Reject

_PENDING = 8 << 20  # bytes of an open quoted field that are carried into the next block

TOO_FEW, TOO_MANY = "too few fields", "too many fields"
BROKEN_UTF8, NUL = "broken UTF-8", "NUL byte"
UNTERMINATED, BROKEN_QUOTES, TOO_LONG = "unterminated quote", "broken quotes", "field too long"


@dataclass(frozen=True)
class LineFormat:
    """How the lines of a file are cut into `width` fields.

    `quoting`: auto, standard or none; auto is standard, but a record of many lines that are rows by themselves is none.
    `comment`: what comments begin with; "": there are none.
    """

    separator: str
    width: int
    quoting: str = "auto"
    comment: str = ""


def parse_lines(
    data: bytes, line: int, last: bool, form: LineFormat, numbers_by_name: Mapping[str, int]
) -> tuple[Batch, int, bytes]:
    """As `delimited.parse_block`, for any bytes."""
    separator, width = form.separator, form.width
    lines, rejects = _decode(data, line)
    records: dict[int, list[str]] = {}
    spans: dict[int, int] = {}
    inside: set[int] = set()  # lines of records
    end = len(lines)
    frame = pl.DataFrame(
        {"line": range(line, line + end), "text": lines}, schema={"line": pl.Int64, "text": pl.String}
    )
    blank = "".join({" ", "\t"} - set(separator))
    is_blank = pl.col("text").str.strip_chars(blank) == ""
    blank_lines = frame.filter(is_blank)["line"]
    frame = frame.filter(~is_blank)  # rejected lines are null by now
    quotes = form.quoting != "none" and len(separator) == 1 and b'"' in data
    if quotes:
        quoted_lines = frame.filter(pl.col("text").str.contains('"', literal=True))
        hard = quoted_lines.filter(_needs_quotes(pl.col("text"), separator))["line"].to_list()
        records, spans, quoted, end = _records([n - line for n in hard], lines, form, numbers_by_name, last)
        rejects += [r._replace(line=r.line + line) for r in quoted]
        inside = {line + start + k for start, n in spans.items() for k in range(n)}
        taken = inside | {r.line for r in rejects}
        frame = frame.filter(~pl.col("line").is_in(sorted(taken)) & (pl.col("line") < line + end))
        rejects = [r for r in rejects if r.line < line + end]
    frame, comments = _without_comments(frame, form)
    good, ragged = _split(frame, separator, width, numbers_by_name, quotes)
    rejects += ragged
    if records:
        line_column = {"line": [line + start for start in records]}
        cells = {name: [row[k] for row in records.values()] for name, k in numbers_by_name.items()}
        good = pl.concat([good, pl.DataFrame(line_column | cells, schema=good.schema)]).sort("line")

    def raw(numbers: Sequence[int]) -> list[str]:
        starts = [n - line for n in numbers]
        return ["\n".join(str(t) for t in lines[s : s + spans.get(s, 1)]) for s in starts]

    rest = b"" if end == len(lines) else b"\n".join(data.split(b"\n")[end:])
    continued = sum(span - 1 for span in spans.values())
    longest = max(((span, line + start) for start, span in spans.items() if span > 1), default=None)
    outside = (blank_lines < line + end) & ~blank_lines.is_in(sorted(inside))
    counts = LineCounts(end, int(outside.sum()), continued, longest, comments)
    return Batch(good, raw, sorted(rejects), counts), end, rest


def _decode(data: bytes, line: int) -> tuple[list[str | None], list[Reject]]:
    """The lines as text, without their line ends; None (and a reject) where a line is no text."""
    lines: list[str | None]
    try:
        lines = list(data.decode().split("\n"))
    except UnicodeDecodeError:
        lines = [_text(row) for row in data.split(b"\n")]
    if lines and lines[-1] == "":
        lines.pop()
    rejects = []
    if None in lines:
        broken = data.split(b"\n")
        rejects = [
            Reject(
                line + i, None, BROKEN_UTF8, broken[i].removesuffix(b"\r").decode(errors="backslashreplace")
            )
            for i, text in enumerate(lines)
            if text is None
        ]
    if b"\r" in data:
        lines = [text.removesuffix("\r") if text else text for text in lines]
    if b"\0" in data:
        for i, text in enumerate(lines):
            if text and "\0" in text:
                rejects.append(Reject(line + i, None, NUL, text))
                lines[i] = None
    return lines, rejects


def _text(row: bytes) -> str | None:
    try:
        return row.decode()
    except UnicodeDecodeError:
        return None


def _needs_quotes(text: pl.Expr, separator: str) -> pl.Expr:
    """Which lines are for the csv module: those with a quote that is not just around a whole, plain field."""
    unwrap = pl.element().str.contains(r'^(?:[^"]*|"[^"]*")$')
    return ~text.str.split(separator).list.eval(unwrap).list.all()


def _records(
    hard: Sequence[int],
    lines: Sequence[str | None],
    form: LineFormat,
    numbers_by_name: Mapping[str, int],
    last: bool,
) -> tuple[dict[int, list[str]], dict[int, int], list[Reject], int]:
    """Parse the records that start on the lines `hard` (numbers from 0).

    Returns the fields by starting line, the number of lines of each, rejects, and where to stop: a record
    that may go on in the next block is left for it.
    """
    separator, width = form.separator, form.width
    records: dict[int, list[str]] = {}
    spans: dict[int, int] = {}
    rejects: list[Reject] = []
    free = 0  # lines before it belong to a record
    for start in hard:
        if start < free:
            continue
        record = read_record(lines, start, separator)
        row: list[str] = []
        span, reason = 1, None
        if isinstance(record, csv.Error):
            reason = _reason(str(record))
            if reason == UNTERMINATED and not last and _may_go_on(lines, start):
                return records, spans, rejects, start
        else:
            row, span = record
            reason = _check_record(row, span, width, numbers_by_name)
            if span > 1 and form.quoting == "auto" and swallows_rows(lines, start, span, separator, width):
                reason = UNTERMINATED
        if reason is None:
            records[start], spans[start], free = row, span, start + span
        else:  # resume at the next line: a stray quote costs one row, not a hundred
            rejects.append(Reject(start, None, reason, str(lines[start])))
    return records, spans, rejects, len(lines)


def _may_go_on(lines: Sequence[str | None], start: int) -> bool:
    """Whether an open quoted field may be closed in the next block."""
    ahead = list(following(lines, start))
    return start + len(ahead) == len(lines) and len(ahead) < RECORD_LINES and sum(map(len, ahead)) < _PENDING


def _check_record(
    row: Sequence[str], span: int, width: int, numbers_by_name: Mapping[str, int]
) -> str | None:
    """Why a record cannot be used. A key with a line break in it is a stray quote that met another one."""
    key = [row[k] for name, k in numbers_by_name.items() if name in ("user", "item") and k < len(row)]
    if span > 1 and (len(row) != width or any("\n" in cell.strip() for cell in key)):
        return UNTERMINATED
    return None if len(row) == width else TOO_FEW if len(row) < width else TOO_MANY


def _reason(message: str) -> str:
    if "unexpected end" in message:
        return UNTERMINATED
    return TOO_LONG if "field limit" in message else BROKEN_QUOTES


def _without_comments(frame: pl.DataFrame, form: LineFormat) -> tuple[pl.DataFrame, int]:
    """Without comments: lines that begin with the mark of the comments and have not all fields; and their number."""
    if not form.comment:
        return frame, 0
    cut = pl.col("text").str.count_matches(form.separator, literal=True) + 1 != form.width
    kept = frame.filter(~(pl.col("text").str.starts_with(form.comment) & cut))
    return kept, frame.height - kept.height


def _split(
    frame: pl.DataFrame, separator: str, width: int, numbers_by_name: Mapping[str, int], quotes: bool
) -> tuple[pl.DataFrame, list[Reject]]:
    """Cut the lines without hard quotes at the separator; the lines with another number of fields are rejects."""
    count = pl.col("text").str.count_matches(separator, literal=True) + 1
    ragged = frame.filter(count != width).select("line", "text", count.alias("n"))
    rejects = [Reject(at, None, TOO_FEW if n < width else TOO_MANY, text) for at, text, n in ragged.rows()]
    cells = pl.col("text").str.split_exact(separator, width - 1).struct
    columns = {name: cells.field(f"field_{k}") for name, k in numbers_by_name.items()}
    if quotes:
        columns = {name: cell.str.replace(r'^"([^"]*)"$', "${1}") for name, cell in columns.items()}
    good = frame.filter(count == width) if rejects else frame
    return good.select("line", **columns), rejects
