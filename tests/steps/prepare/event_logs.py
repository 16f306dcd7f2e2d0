"""A log of 300 events of 30 users, made from a function of each event."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from recli.steps.prepare.config import PrepareConfig
from recli.steps.prepare.step import Prepared, prepare
from recli.storage import runs

BEGIN = datetime(2023, 11, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Event:
    """One of the log's events: user `u4` with item `i7`."""

    k: int
    user: str
    item: str
    rating: int
    time: datetime

    @property
    def seconds(self) -> int:
        return int(self.time.timestamp())


class Messages:
    """A reporter that keeps what is said and warned of."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)

    def progress(self, what: str, total: int | None, unit: str = "") -> Any:
        from recli.reporting import SILENT

        return SILENT.progress(what, total, unit)


@dataclass(frozen=True)
class Outcome:
    """What `prepare` made of the log: `events` with user_id, item_id, value [, rating] [, time]; its messages."""

    events: pl.DataFrame
    prepared: Prepared
    said: list[str]
    warned: list[str]

    @property
    def all_said(self) -> str:
        return "\n".join(self.said)


Cells = Callable[[Event], list[Any]]
Prepare = Callable[..., Outcome]


def events() -> list[Event]:
    """Over 100 days from 1 November 2023."""
    chance = random.Random(0)
    return [
        Event(
            k,
            f"u{k % 30}",
            f"i{chance.randrange(50)}",
            chance.randint(1, 5),
            BEGIN + timedelta(seconds=chance.randrange(100 * 86_400)),
        )
        for k in range(300)
    ]


def write_log(path: Path, cells: Cells, header: str) -> Path:
    rows = [",".join(map(str, cells(event))) for event in events()]
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def preparing(folder: Path) -> Prepare:
    """A function that prepares a log whose rows `cells` makes of each event."""

    def call(cells: Cells, header: str = "user_id,item_id,timestamp", **options: Any) -> Outcome:
        log = write_log(folder / "log.csv", cells, header)
        return prepare_files(folder / "run", (str(log),), **options)

    return call


def prepare_files(run: Path, log: tuple[str, ...], **options: Any) -> Outcome:
    messages = Messages()
    done = prepare(PrepareConfig(log, out=str(run), **options), messages)
    found = runs.read_interactions(run)
    rows = pl.concat(list(found.splits.values()))
    ids = (found.users["user_id"], found.items["item_id"])
    rows = rows.with_columns(user_id=ids[0].gather(rows["user"]), item_id=ids[1].gather(rows["item"]))
    if "timestamp" in rows.columns:
        rows = rows.with_columns(time=pl.from_epoch("timestamp", time_unit="us"))
    return Outcome(rows, done, messages.said, messages.warned)
