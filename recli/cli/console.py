"""Terminal output: messages and progress on stderr, results on stdout."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recli.cli.json_schemas import schema_of
from recli.errors import RecliError, near_file
from recli.reporting import Advance, no_progress

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

_WHOLE_WORDS: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False}


class Console:
    """Writes messages to stderr; `--quiet` keeps warnings and errors. Colors and bars only on a terminal."""

    def __init__(self, quiet: bool = False, json: bool = False, command: str = "") -> None:
        self.quiet = quiet
        self.json = json
        self.command = command  # the step, whose name is part of the schema of its JSON
        self._rich: RichConsole | None = None
        self._printed = False

    @property
    def rich(self) -> RichConsole:
        """rich's console on stderr; it honors NO_COLOR, FORCE_COLOR and the terminal's width by itself."""
        if self._rich is None:
            from rich.console import Console as RichConsole

            wide, interactive = (None, None) if sys.stderr.isatty() else (120, False)
            self._rich = RichConsole(
                stderr=True, highlight=False, soft_wrap=True, width=wide, force_interactive=interactive
            )
        return self._rich

    @property
    def on_terminal(self) -> bool:
        """Whether stderr is a terminal that can move its cursor (FORCE_COLOR gives colors elsewhere, too)."""
        return self.rich.is_interactive

    @property
    def width(self) -> int:
        """Characters of a line on stderr."""
        return self.rich.width

    def say(self, text: str) -> None:
        """Print a line on stderr, unless `--quiet`: wrapped at blanks on a terminal, in one piece elsewhere."""
        if not self.quiet:
            self._line(text)

    paragraph = say

    def warn(self, text: str) -> None:
        """Print a warning, also with `--quiet`."""
        self._line(f"warning: {text}", "yellow")

    def error(self, what: str, fix: str | None) -> None:
        """Print an error, and what to type next below it."""
        self._line(f"error: {what}", "red")
        if fix:
            self._line(f"  {fix}")

    def failure(self, code: int, what: str, fix: str | None) -> None:
        """Report what ends the command: on stderr, and with `--json` as JSON on stdout, too.

        Where the result is on stdout already, the error does not follow it: stdout is one JSON document.
        """
        self.error(what, fix)
        self.error_json(code, what, fix)

    def error_json(self, code: int, what: str, fix: str | None) -> None:
        """The error as one line of JSON on stdout, if `--json` asks for it."""
        if not self.json or self._printed:
            return
        error = {"schema": schema_of("error"), "error": {"code": code, "what": what, "fix": fix}}
        with suppress(OSError, ValueError):  # stdout is full or closed, which may be what is reported
            sys.stdout.write(json.dumps(error, ensure_ascii=False) + "\n")
            sys.stdout.flush()

    def _line(self, text: str, style: str | None = None) -> None:
        if self.on_terminal:
            indent = text[: len(text) - len(text.lstrip())]
            text = "\n".join(
                textwrap.fill(line, self.width, subsequent_indent=indent, **_WHOLE_WORDS)
                for line in text.splitlines()
            )
        self.rich.print(text, markup=False, style=style)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = ""
    ) -> None:
        """A table on stderr: the first column to the left, the others (numbers) to the right.

        Columns that have no room beside the others follow below, behind the first column again.
        """
        if self.quiet:
            return
        blocks = column_blocks(columns, rows, self.width)
        for block in blocks:
            shown = [[row[i] for i in block] for row in rows]
            self._table(title, [columns[i] for i in block], shown, note if block is blocks[-1] else "")

    def _table(self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str) -> None:
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(  # Text: names may have brackets, which are markup in plain strings
            title=Text(title),
            title_justify="left",
            caption=Text(note) if note else None,
            caption_justify="left",
            box=box.SIMPLE_HEAD,
        )
        for i, column in enumerate(columns):
            table.add_column(Text(column), justify="left" if i == 0 else "right", overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        self.rich.print(table)

    @contextmanager
    def progress(self, what: str, total: int | None, unit: str = "") -> Iterator[Advance]:
        """A progress bar on a terminal; elsewhere a line each minute and one when it is done.

        Yields the `Advance` to call.
        """
        from recli.cli.progress import bar, lines

        if self.quiet:
            yield no_progress
        elif self.on_terminal:
            with bar(self.rich, what, total, unit) as advance:
                yield advance
        else:
            with lines(self.say, what, total, unit) as advance:
                yield advance

    def result(self, run: Path, summary: dict[str, Any]) -> None:
        """Print the result of a step on stdout: the path of the run, or with `--json` the summary."""
        if self.json:
            self.print_json({"schema": schema_of(self.command), "run": str(run), **summary})
        else:
            self.print(str(run))

    def print(self, text: str) -> None:
        """Print a line of the result on stdout."""
        self._printed = True
        sys.stdout.write(text + "\n")

    def print_wrapped(self, text: str, indent: int = 2) -> None:
        """Print a line of the result, on a terminal wrapped at blanks, `indent` characters into the next line."""
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns
            text = textwrap.fill(text, width, subsequent_indent=" " * indent, **_WHOLE_WORDS)
        self.print(text)

    def print_json(self, value: Any) -> None:
        """Print the result as JSON on stdout."""
        self.print(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False))


def column_blocks(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> list[list[int]]:
    """The columns by number, in as many blocks as fit `width` characters, each with the first column.

    A column takes its widest line, two characters of padding and one between columns; the edges take two.
    """
    cells = ([head, *(row[i] for row in rows)] for i, head in enumerate(columns))
    first, *others = [max(len(line) for cell in of for line in cell.split("\n")) + 3 for of in cells]
    blocks, used = [[0]], first + 1
    for i, wide in enumerate(others, start=1):
        if used + wide > width and len(blocks[-1]) > 1:
            blocks.append([0])
            used = first + 1
        blocks[-1].append(i)
        used += wide
    return blocks


def run_path(text: str) -> Path:
    """The path of the run; `-` reads it from stdin, where the previous step printed it.

    Raises `RecliError` for one that is not there, where a run of a similar name is; the steps say the rest.
    """
    if text != "-":
        near = None if Path(text).exists() else near_file(text, "interactions")
        if near is not None:
            raise RecliError(f"there is no run at {text}", f"did you mean {near}?")
        return Path(text)
    line = sys.stdin.readline().strip()
    if not line:
        raise RecliError(
            "no run's path came on stdin", "the step before has failed, or printed none: see its message"
        )
    if line.startswith("{"):
        raise RecliError("JSON came on stdin instead of a run's path", "leave --json out of the step before")
    return Path(line)
