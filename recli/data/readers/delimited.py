"""CSV, TSV and anything with a separator: find the separator and the header, parse blocks of lines.

A clean block (no NUL, valid UTF-8, every line with the right number of fields, quotes only around whole plain
fields) is parsed by polars at once; any other by `malformed_lines`, so that each bad row has its number.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from recli.data.readers.malformed_lines import LineFormat, parse_lines
from recli.data.readers.options import OptionNames, ReadOptions
from recli.data.readers.preamble import header_further_down, is_rule, read_preamble
from recli.data.readers.quoting import QUOTED_BY_CUSTOM, proves_quotes
from recli.data.readers.streams import Source, Stream
from recli.data.readers.table import Batch, LineCounts, Reject, Table
from recli.errors import InvalidDataError, UsageError

SEPARATORS = ("::", "\t", ";", ",", "|")
HEADER_AGAIN = "header again"
_SAMPLE_LINES = 100  # lines looked at

Known = Callable[[Sequence[str]], int]
"""How many cells of a row are known column names."""


class NoHeaderError(InvalidDataError):
    """The first line is no header."""


@dataclass(frozen=True)
class Layout:
    """How a file's lines are cut; `before`: lines before the data (blank ones, comments, the header).

    `quoting`: auto, standard or none; None: to be decided by the first block with a quote in it.
    """

    separator: str
    names: list[str]
    before: LineCounts
    quoting: str | None = "auto"
    comment: str = ""
    notes: tuple[str, ...] = ()
    header: bool = False


def open_delimited(stream: Stream, options: ReadOptions, known: Known) -> Table | None:
    """Open a delimited file; None where it is empty. `known` tells a header from data."""
    layout = _layout(stream, options, known)
    if layout is None:
        return None
    known_layout, notes = layout, list(layout.notes)
    return Table(
        known_layout.names,
        lambda numbers_by_name: _batches(stream, known_layout, numbers_by_name, notes, options.advice),
        notes,
        known_layout.before,
    )


def _layout(stream: Stream, options: ReadOptions, known: Known) -> Layout | None:
    text = stream.head.decode("utf-8", errors="replace")
    lines = [line.removesuffix("\r") for line in text.split("\n")]
    if len(lines) > 2:
        lines = lines[:-1]  # it may be cut
    preamble = read_preamble(lines, options, known)
    first = preamble.lines
    first += next((i for i, line in enumerate(lines[first:]) if line.strip()), len(lines))
    sample = [line for line in lines[first : first + _SAMPLE_LINES] if line.strip()]
    if not sample:
        return None
    separator = options.delimiter or preamble.separator or _find_separator(sample, known)
    header = sample[0].lstrip().removeprefix(preamble.mark) if preamble.header_is_marked else sample[0]
    quoting = _quoting(options.quoting, separator, sample[0])
    cells = [cell.strip() for cell in split_line(header, separator, quoting or "auto")]
    told = (preamble.comment, tuple(f"{stream.source}: {note}" for note in preamble.notes))
    if _is_header(cells, lines[first:], stream.source, options, known, first):
        before = first + 1 + any(is_rule(line) for line in lines[first + 1 : first + 2])
        return Layout(separator, cells, LineCounts(before), quoting, *told, header=True)
    names = [c.strip() for c in options.columns]
    return Layout(separator, names, LineCounts(preamble.lines), quoting, *told)


def _quoting(wanted: str, separator: str, header: str) -> str | None:
    """How quotes are read, where that is known without the data."""
    if wanted != "auto":
        return wanted
    if len(separator) > 1:
        return "none"
    return "auto" if separator in QUOTED_BY_CUSTOM or header.startswith('"') else None


def split_line(line: str, separator: str, quoting: str = "auto") -> list[str]:
    """The fields of one line; quotes count with separators of one character, unless `quoting` is none."""
    if len(separator) > 1 or quoting == "none" or '"' not in line:
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


def _is_header(
    cells: Sequence[str],
    lines: Sequence[str],
    source: Source,
    options: ReadOptions,
    known: Known,
    before: int,
) -> bool:
    if options.header is not None:
        return options.header
    line = lines[0]
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
    later = header_further_down(lines, known)
    if later and options.advice.skip_lines:
        raise InvalidDataError(
            f"{source}: the first line is no header: {line[:200]}; line {before + later + 1} is one: "
            f"{lines[later][:200]}",
            f"leave out what stands before it: {options.advice.skip_lines} {before + later}",
        )
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


def _batches(
    stream: Stream, layout: Layout, numbers_by_name: Mapping[str, int], notes: list[str], advice: OptionNames
) -> Iterator[Batch]:
    line, skip, rest = 1, layout.before.taken, b""
    width, quoting = len(layout.names), layout.quoting
    for block, last in stream.blocks():
        data = rest + block if rest else block
        while skip and data:
            data = data[data.find(b"\n") + 1 :] if b"\n" in data else b""
            line, skip = line + 1, skip - 1
        if quoting is None and b'"' in data:
            lines = data.decode(errors="replace").replace("\r", "").split("\n")
            quoting = "auto" if proves_quotes(lines, layout.separator, width) else "none"
            notes.append(_note_of_quotes(stream.source, line, lines, quoting, layout.separator, advice))
        form = LineFormat(layout.separator, width, quoting or "none", layout.comment)
        batch, taken, rest = parse_block(data, line, last, form, numbers_by_name)
        line += taken
        yield _without_headers(batch, layout.names, numbers_by_name) if layout.header else batch


def _without_headers(batch: Batch, names: Sequence[str], numbers_by_name: Mapping[str, int]) -> Batch:
    """The batch, with rows that repeat the header (of exports put one after the other) as rejects."""
    same = [pl.col(name).str.strip_chars() == names[number] for name, number in numbers_by_name.items()]
    again = batch.frame.filter(pl.all_horizontal(same))["line"].to_list() if same else []
    if not again:
        return batch
    rejects = [
        Reject(line, None, HEADER_AGAIN, raw) for line, raw in zip(again, batch.raw(again), strict=True)
    ]
    frame = batch.frame.filter(~pl.col("line").is_in(again))
    return replace(batch, frame=frame, rejects=sorted(batch.rejects + rejects))


def _note_of_quotes(
    source: Source, line: int, lines: Sequence[str], quoting: str, separator: str, advice: OptionNames
) -> str:
    at = next(i for i, text in enumerate(lines) if '"' in text)
    what = "are around fields" if quoting == "auto" else "are plain characters"
    other = "none" if quoting == "auto" else "standard"
    cell = next(cell for cell in lines[at].split(separator) if '"' in cell)
    option = f"; otherwise {advice.quoting} {other}" if advice.quoting else ""
    return f"{source}: quotes {what}, as in line {line + at}: {cell[:60]}{option}"


def parse_block(
    data: bytes, line: int, last: bool, form: LineFormat, numbers_by_name: Mapping[str, int]
) -> tuple[Batch, int, bytes]:
    """Parse whole lines, the first of which is number `line`.

    Returns the batch, the number of lines taken, and the bytes left for the next block (a quoted field
    that goes on there; never where `last`).
    """
    frame = _parse_clean(data, line, form, numbers_by_name)
    if frame is None:
        return parse_lines(data, line, last, form, numbers_by_name)

    def raw(numbers: Sequence[int]) -> list[str]:
        lines = data.split(b"\n")
        return [lines[n - line].removesuffix(b"\r").decode() for n in numbers]

    return Batch(frame, raw, lines=LineCounts(frame.height)), frame.height, b""


def _parse_clean(
    data: bytes, line: int, form: LineFormat, numbers_by_name: Mapping[str, int]
) -> pl.DataFrame | None:
    """All lines at once, or None where any of them needs a closer look.

    polars lets some lines with a wrong number of fields pass, so the separators are counted here. A quoted
    field with a separator or a line's end in it leaves pieces with a lone quote.
    """
    separator, width = form.separator, form.width
    n_lines = _count_lines(data, separator.encode(), width)
    if n_lines == 0 or b"\0" in data or data.startswith(b"\xef\xbb\xbf"):
        return None
    quotes = form.quoting != "none" and b'"' in data
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
