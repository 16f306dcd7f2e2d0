"""What stands before the header of a delimited file: Excel's `sep=;`, comments, lines the user leaves out."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from recli.data.readers.options import ReadOptions

_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?[\s,;]*', re.IGNORECASE)
_MARKS = ("#", "//", "%")
_FURTHER = 20  # lines that are looked at for a header


@dataclass(frozen=True)
class Preamble:
    """`lines` before the header (or the data), and what they say.

    `comment`: what comments begin with, "" where there are none. `header_is_marked`: the header begins with `mark`,
    as a comment does. `notes`: what was left out.
    """

    lines: int = 0
    separator: str | None = None
    comment: str = ""
    header_is_marked: bool = False
    mark: str = ""
    notes: tuple[str, ...] = ()


def read_preamble(
    lines: Sequence[str], options: ReadOptions, known: Callable[[Sequence[str]], int]
) -> Preamble:
    """The preamble of a file whose first lines these are. `known`: how many cells of a row are known column names."""
    at = min(options.skip_lines, len(lines))
    separator, comment, notes = None, "", []
    while at < len(lines):
        line = lines[at].strip()
        if found := _SEPARATOR_LINE.fullmatch(lines[at].lstrip()):
            separator = found[1]
            notes.append(f"line {at + 1}, sep={separator}, says what separates the columns")
        elif mark := next((m for m in _MARKS if line.startswith(m)), ""):
            names, names_without_mark = known(_words(line)), known(_words(line.removeprefix(mark)))
            if names_without_mark > names:
                return Preamble(at, separator, comment, True, mark, tuple(notes))
            if names or not _is_comment(lines[at:], options, known):
                break
            notes += [] if comment else [f"lines that begin with {mark} are comments: {line[:60]}"]
            comment = comment or mark
        elif line:
            break
        at += 1
    return Preamble(at, separator, comment, notes=tuple(notes))


def _is_comment(lines: Sequence[str], options: ReadOptions, known: Callable[[Sequence[str]], int]) -> bool:
    """Whether the first of the lines is a comment, not a row: a header comes after it, or it has another number of
    words than the rows."""
    if not options.columns and options.header is not False:
        return True
    return len(_words(lines[0])) != len(options.columns)


def header_further_down(lines: Sequence[str], known: Callable[[Sequence[str]], int]) -> int:
    """How many lines stand before the header; 0 where none is seen."""
    for number, line in enumerate(lines[1:_FURTHER], 1):
        if known(_words(line)) > 1:
            return number
    return 0


def is_rule(line: str) -> bool:
    """Whether a line below a header is drawn, as in tables of Markdown and of database shells: `---+---`."""
    return re.fullmatch(r"[\s|+:=-]*-{3}[\s|+:=-]*", line) is not None


def _words(line: str) -> list[str]:
    """The cells of a line, whatever separates them."""
    return [cell.strip(' "') for cell in re.split(r"::|[\t;,|]", line)]
