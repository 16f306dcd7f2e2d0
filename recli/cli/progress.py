"""Progress of a step: a bar on a terminal, elsewhere lines, so that a log shows that the work goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from recli.reporting import Advance

if TYPE_CHECKING:
    from rich.console import Console as RichConsole

EVERY = 60.0  # seconds between two lines; some CI systems end a job that is silent for ten minutes


@contextmanager
def lines(say: Callable[[str], None], what: str, total: int | None, unit: str) -> Iterator[Advance]:
    """A line every minute, also within a long step, and one at the end."""
    started, done, last = time.monotonic(), 0, ""

    def advance(steps: int, text: str) -> None:
        nonlocal done, last
        done, last = done + steps, text or last

    def watch() -> None:
        while not ended.wait(EVERY):
            facts = [_count(done, total, unit), f"{_elapsed(time.monotonic() - started)} so far", last]
            say(f"{what}: {', '.join(filter(None, facts))}")

    ended = threading.Event()
    watching = threading.Thread(target=watch, daemon=True)
    watching.start()
    try:
        yield advance
    finally:
        ended.set()
        watching.join()
    say(f"{what}: done in {time.monotonic() - started:.1f} s{', ' + last if last else ''}")


def _count(done: int, total: int | None, unit: str) -> str:
    """`3 of 15 iterations`, `40,000 rows`; empty where nothing is counted."""
    if not done and total is None:
        return ""
    return f"{done:,}{'' if total is None else f' of {total:,}'} {unit}".rstrip()


def _elapsed(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


@contextmanager
def bar(console: RichConsole, what: str, total: int | None, unit: str) -> Iterator[Advance]:
    """A progress bar; when it is done, the time it took stands behind it."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
    from rich.table import Column

    done = 0

    def advance(steps: int, text: str) -> None:
        nonlocal done
        done += steps
        shown.update(task, advance=steps, text=text, count=_count(done, total, unit))

    with Progress(
        TextColumn("[progress.description]{task.description}", table_column=Column(no_wrap=False)),
        BarColumn(bar_width=20 if console.width < 100 else 40),
        TextColumn("[progress.download]{task.fields[count]}", table_column=Column(no_wrap=True)),
        TimeRemainingColumn(elapsed_when_finished=True, table_column=Column(no_wrap=True)),
        TextColumn("{task.fields[text]}", table_column=Column(no_wrap=False)),
        console=console,
    ) as shown:
        task = shown.add_task(what, total=total, text="", count=_count(0, total, unit))
        yield advance
        if total is None or done < total:  # known now; training may stop early
            shown.update(task, total=max(done, 1), completed=max(done, 1))
