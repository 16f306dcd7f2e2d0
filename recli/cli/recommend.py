"""`recli recommend` on the terminal: writes lists to stdout batch by batch, and messages about them to stderr."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import polars as pl

from recli.cli.console import Console, run_path
from recli.errors import UsageError
from recli.steps.recommend.config import RecommendConfig
from recli.steps.recommend.sinks.base import Sink, formats, sink

if TYPE_CHECKING:
    from recli.steps.recommend.step import Recommendations


def recommend(config: RecommendConfig, console: Console) -> None:
    """Recommend items to known or new users, with reasons.

    Lists go to stdout (or --out, or --save), for all users of the run unless some are named. New users need
    no training: a history is enough, or with a hybrid a text about them.

    Example: recli recommend sample_data/run --users u0003,u0007 -k 5 --explain
    """
    from recli.steps.recommend import step

    to_stdout = config.file is None and not config.save
    on_screen = to_stdout and sys.stdout.isatty()
    wide = "csv" if config.wide else None
    format = config.format or wide or ("jsonl" if console.json else "table" if on_screen else "jsonl")
    if console.json and format != "jsonl":
        raise UsageError(f"--json prints JSON lines: it does not go with --format {format}")
    if on_screen and formats[format].binary:
        raise UsageError("binary output does not go to a terminal", "name a file with --out")
    if console.json and config.file is not None:
        config = replace(config, format=format)
    config = replace(config, run=str(run_path(config.run)))
    with _stdout_sink(format) if to_stdout else nullcontext() as target:
        # A progress bar on stderr and tables on stdout would meet on the terminal.
        recommendations = step.recommend(config, console, target, with_progress=not on_screen)
    _say(config, recommendations, console)
    if config.save:
        console.result(recommendations.run, recommendations.summary)


@contextmanager
def _stdout_sink(format: str) -> Iterator[Sink]:
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix="recli-") as folder:
        sys.stdout.flush()
        yield formats[format].open(sys.stdout.buffer, Path(folder))


def _say(config: RecommendConfig, recommendations: Recommendations, console: Console) -> None:
    """Report lists that come from the fallback, are shorter than k, or are missing."""
    from recli.models.wrappers import POPULARITY

    counts = recommendations.counts
    whose = "items" if config.similar_to else "users"
    if recommendations.model != POPULARITY and counts.popularity:
        these = f"this {whose[:-1]}" if counts.popularity == 1 else f"these {whose}"
        console.say(
            f"{_lists_are(counts.popularity)} the most popular items (fallback): the model cannot score {these}"
        )
    if counts.short:
        them = "it" if counts.short == 1 else "them"
        console.say(f"{_lists_are(counts.short)} shorter than {config.k}: no more items were left for {them}")
    if counts.empty:
        why = (
            "nothing is known of them, or no item was left"
            if config.fallback == "none" or config.similar_to
            else "no item was left"
        )
        console.say(f"{counts.empty:,} of {recommendations.queries:,} got no list: {why}")


def _lists_are(count: int) -> str:
    return "1 list is" if count == 1 else f"{count:,} lists are"


@sink("table", suffixes=(".txt",))
@dataclass
class TerminalTables:
    """Prints each list as a small table."""

    target: IO[bytes]
    folder: Path

    def add(self, rows: pl.DataFrame) -> None:
        from io import StringIO

        from rich.console import Console

        terminal = self.target.isatty()
        text = StringIO()
        rich = Console(
            file=text,
            force_terminal=terminal or None,
            width=None if terminal else 120,
            highlight=False,
            no_color=None if terminal else True,
        )
        for who, listed in rows.group_by(rows.columns[0], maintain_order=True):
            rich.print(_table(str(who[0]), listed))
        self.target.write(text.getvalue().encode())

    def finish(self) -> None:
        self.target.flush()


def _table(who: str, rows: pl.DataFrame) -> Any:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    first = rows.columns[0]
    table = Table(
        title=Text(f"{'similar to ' if first == 'similar_to' else ''}{_cell(who)}  ({rows['source'][0]})"),
        title_justify="left",
        box=box.SIMPLE_HEAD,
    )
    own = ("rank", "item_id", "title", "score", "because")
    others = [name for name in rows.columns if name not in (first, "source", "reasons", "sources", *own)]
    shown = [name for name in (*own[:4], *others, own[4]) if name in rows.columns]
    for name in shown:
        table.add_column(
            "#" if name == "rank" else name,
            justify="right" if name in ("rank", "score") else "left",
            overflow="fold",
        )
    for row in rows.select(shown).iter_rows(named=True):
        table.add_row(*(Text(_cell(row[name])) for name in shown))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    text = "" if value is None else str(value)
    return "".join(c if c.isprintable() else " " for c in text)  # a title must not steer the terminal
