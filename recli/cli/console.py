"""Terminal output: messages and progress on stderr, results on stdout."""

from __future__ import annotations

import json
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recli.errors import RecliError
from recli.reporting import Advance

if TYPE_CHECKING:
    from rich.console import Console as RichConsole


class Console:
    """Writes messages to stderr; `--quiet` keeps warnings and errors. Colors and bars only on a terminal."""

    def __init__(self, quiet: bool = False, json: bool = False) -> None:
        self.quiet = quiet
        self.json = json
        self._rich: RichConsole | None = None

    @property
    def rich(self) -> RichConsole:
        """rich's console on stderr; it honors NO_COLOR and the terminal's width by itself."""
        if self._rich is None:
            from rich.console import Console as RichConsole

            wide = None if sys.stderr.isatty() else 120
            self._rich = RichConsole(stderr=True, highlight=False, soft_wrap=True, width=wide)
        return self._rich

    @property
    def width(self) -> int:
        """Characters of a line on stderr."""
        return self.rich.width

    def say(self, text: str) -> None:
        """Print a line on stderr, unless `--quiet`."""
        if not self.quiet:
            self.rich.print(text, markup=False)

    def paragraph(self, text: str) -> None:
        """Print a long line on stderr: wrapped at spaces on a terminal, in one piece elsewhere."""
        if self.rich.is_terminal:
            text = textwrap.fill(text, self.width, break_long_words=False, break_on_hyphens=False)
        self.say(text)

    def warn(self, text: str) -> None:
        """Print a warning, also with `--quiet`."""
        self.rich.print(f"warning: {text}", markup=False, style="yellow")

    def error(self, what: str, fix: str | None) -> None:
        self.rich.print(f"error: {what}", markup=False, style="red")
        if fix:
            self.rich.print(f"  {fix}", markup=False)

    def table(
        self, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], note: str = ""
    ) -> None:
        """A table on stderr: the first column to the left, the others (numbers) to the right."""
        if self.quiet:
            return
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
        """A progress bar on a terminal; elsewhere one line when it is done. Yields the `Advance` to call."""
        started = time.monotonic()
        if self.quiet or not self.rich.is_terminal:
            last = ""

            def note(steps: int, text: str) -> None:
                nonlocal last
                last = text or last

            yield note
            self.say(f"{what}: done in {time.monotonic() - started:.1f} s{', ' + last if last else ''}")
            return
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = ("[progress.description]{task.description}", BarColumn(), MofNCompleteColumn())
        with Progress(
            *columns, TextColumn("{task.fields[text]}"), TimeRemainingColumn(), console=self.rich
        ) as bar:
            task = bar.add_task(f"{what}{' (' + unit + ')' if unit else ''}", total=total, text="")
            yield lambda steps, text: bar.update(task, advance=steps, text=text)
            if total is None:  # known now; of some work nothing is counted
                bar.update(
                    task, total=max(bar.tasks[0].completed, 1), completed=max(bar.tasks[0].completed, 1)
                )

    def result(self, run: Path, summary: dict[str, Any]) -> None:
        """Print the result of a step on stdout: the path of the run, or with `--json` the summary."""
        if self.json:
            self.print_json({"run": str(run), **summary})
        else:
            self.print(str(run))

    def print(self, text: str) -> None:
        """Print a line of the result on stdout."""
        sys.stdout.write(text + "\n")

    def print_json(self, value: Any) -> None:
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def run_path(text: str) -> Path:
    """The path of the run; `-` reads it from stdin, where the previous step printed it."""
    if text != "-":
        return Path(text)
    line = sys.stdin.readline().strip()
    if not line:
        raise RecliError(
            "no run's path came on stdin", "the step before has failed, or printed none: see its message"
        )
    if line.startswith("{"):
        raise RecliError("JSON came on stdin instead of a run's path", "leave --json out of the step before")
    return Path(line)
