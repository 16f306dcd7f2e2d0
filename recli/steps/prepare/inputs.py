"""Reads the log, the files of given splits and the catalogue, and collects their unusable rows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from recli.errors import InvalidDataError, RecliError
from recli.reporting import Reporter
from recli.steps.prepare.config import PrepareConfig, PrepareSettings, columns_of

if TYPE_CHECKING:
    from recli.data.readers import ReadOptions

_EXAMPLES, _SHOWN = 5, 40  # bad rows, and characters of a bad value
_PLURAL = {"rating": "ratings", "event": "event types", "time": "times"}


@dataclass(frozen=True)
class EventInput:
    """The events of all files, and the counts of rows read and rejected."""

    events: pl.LazyFrame
    rows: int
    rejected: dict[str, int]
    columns: dict[str, str]  # role -> the column that was used for it
    rejects: pl.LazyFrame
    unused: list[str]  # columns of the log
    files: tuple[
        str, ...
    ] = ()  # names of the log's files, where there are several: `events` has their numbers


@dataclass(frozen=True)
class CatalogueInput:
    """The catalogue: one row per item, its id, text and other columns."""

    frame: pl.DataFrame
    rows: int
    rejected: dict[str, int]
    duplicates: int
    text_template: str
    rejects: pl.LazyFrame


def read_input(
    config: PrepareConfig, settings: PrepareSettings, spool: Path, reporter: Reporter
) -> EventInput:
    """Read the log, and the given validation and test events as its parts.

    Raises `RecliError` where an option needs a column that is not there.
    """
    from recli.data.readers import EventLog, read_events
    from recli.steps.prepare.splitting import TEST, TRAIN, VALIDATION

    options = _read_options(config)
    sources = {TRAIN: config.log, VALIDATION: config.validation_file, TEST: config.test_file}
    logs: dict[int, EventLog] = {}
    with reporter.progress("reading events", total=None, unit="rows") as advance:
        for part, files in sources.items():
            if files:
                folder = spool / f"part{part}"
                folder.mkdir()
                logs[part] = read_events(files, options, folder, advance)
    columns = logs[TRAIN].columns
    for part, log in logs.items():
        if set(log.columns) != set(columns):
            raise RecliError(
                f"{sources[part][0]} has columns for {', '.join(log.columns)}, "
                f"but {config.log[0]} for {', '.join(columns)}",
                "the files of a given split need the same kinds of columns; --time-column '' leaves one out",
            )
    _check_columns(config, settings, columns)
    rejects = pl.concat([log.rejects for log in logs.values()])
    if settings.key is not None:  # the raw text holds the user's id, a value in the wrong column might
        rejects = rejects.with_columns(pl.lit(None, dtype=pl.String).alias(c) for c in ("value", "raw"))
    rejected: dict[str, int] = {}
    for log in logs.values():
        for reason, count in log.rejected.items():
            rejected[reason] = rejected.get(reason, 0) + count
    files = logs[TRAIN].files
    frames = {part: _of_log_files(log.events, part == TRAIN, files) for part, log in logs.items()}
    if settings.plan.split == "given":
        frames = {
            part: f.with_columns(pl.lit(part, dtype=pl.UInt8).alias("part")) for part, f in frames.items()
        }
    events = pl.concat(frames.values())
    if config.in_order:
        events = events.with_row_index("position")
    rows = sum(log.rows for log in logs.values())
    unused = list(dict.fromkeys(name for log in logs.values() for name in log.unused))
    return EventInput(events, rows, rejected, columns, rejects, unused, files)


def _of_log_files(events: pl.LazyFrame, of_log: bool, files: tuple[str, ...]) -> pl.LazyFrame:
    """The events, with the numbers of their files where the log has several; those of a given split have 0."""
    if of_log:
        return events
    others = events.drop("file", strict=False)
    return others.with_columns(pl.lit(0, pl.UInt32).alias("file")) if files else others


def read_items(config: PrepareConfig, reporter: Reporter) -> CatalogueInput | None:
    """Read the catalogue, if one is named."""
    if not config.items:
        return None
    from recli.data.readers import ITEMS, ReadOptions, read_catalogue

    options = ReadOptions(
        separator=config.items_separator,
        header=False if config.items_no_header else None,
        columns=columns_of(config.items_columns),
        item_column=config.item_id_column,
        decimal_comma=config.decimal_comma,
        encoding=config.items_encoding,
        advice=ITEMS,
    )
    with reporter.progress("reading items", total=None, unit="rows") as advance:
        read = read_catalogue(config.items, options, config.text, advance)
    return CatalogueInput(
        read.frame, read.rows, read.rejected, read.duplicates, read.text_template, read.rejects.lazy()
    )


def _read_options(config: PrepareConfig) -> ReadOptions:
    from recli.data.readers import ReadOptions

    return ReadOptions(
        format=config.format,
        separator=config.separator,
        header=False if config.no_header else None,
        columns=columns_of(config.columns),
        user_column=config.user_column,
        item_column=config.item_column,
        rating_column=config.rating_column,
        event_column=config.event_column,
        weight_column=config.weight_column or "",  # "": not used, so that its cells need not be numbers
        time_column=config.time_column,
        time_unit=config.time_unit,
        time_format=config.time_format,
        decimal_comma=config.decimal_comma,
        encoding=config.encoding,
    )


def _check_columns(config: PrepareConfig, settings: PrepareSettings, columns: dict[str, str]) -> None:
    """Raises `RecliError` where an option needs a role that no column has."""
    from recli.steps.prepare.splitting import TIMED

    split = settings.plan.rest if settings.plan.split == "given" else settings.plan.split
    if split in TIMED and split != "temporal" and "time" not in columns and not config.in_order:
        raise RecliError(
            f"--split {split} needs the order of events, and no column of times was recognized; "
            f"columns used: {_used(columns)}",
            "name it with --time-column NAME, or say --in-order if each user's rows are in the order of the events",
        )
    rules = settings.weighting.negatives
    needed = {
        "--min-rating": ("rating", config.min_rating is not None),
        "--event-weights": ("event", config.event_weights is not None),
        "--negatives": ("rating", rules.below is not None or rules.below_mean),
        "--negatives event:NAME": ("event", bool(rules.events)),
        "--event-half-life": ("time", config.event_half_life is not None),
        "--split temporal": ("time", split == "temporal"),
    }
    for option, (role, is_set) in needed.items():
        if is_set and role not in columns:
            by_order = "; --split temporal-user goes by the order of rows" if split == "temporal" else ""
            raise RecliError(
                f"{option} needs a column of {_PLURAL[role]}, and none was recognized; "
                f"columns used: {_used(columns)}",
                f"name it with --{role}-column NAME" + (by_order if config.in_order else ""),
            )


def _used(columns: dict[str, str]) -> str:
    return ", ".join(f"{column} ({name})" for name, column in columns.items())


def check_rejects(
    config: PrepareConfig, settings: PrepareSettings, *sources: EventInput | CatalogueInput
) -> pl.DataFrame:
    """The unusable rows of all files, after writing them where `--rejects` says.

    Raises `InvalidDataError` where the log or the catalogue has too many.
    """
    from recli.data.readers import OTHER_TIME
    from recli.storage import parts

    rejects = pl.concat([source.rejects for source in sources])
    if config.rejects is not None:
        parts.write_table(Path(config.rejects), rejects.collect())
    for source in sources:
        total = sum(source.rejected.values())
        if settings.too_many(total, source.rows):
            reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(source.rejected.items()))
            first = source.rejects.head(_EXAMPLES).collect()
            mixed = "the times are of mixed formats: say with --time-unit which ones count; "
            raise InvalidDataError(
                f"{total:,} of {source.rows:,} rows cannot be used, more than --max-rejects {config.max_rejects}: "
                f"{reasons}; first: {'; '.join(_example(row) for row in first.iter_rows(named=True))}",
                (mixed if OTHER_TIME in source.rejected else "")
                + ('--time-column "" does without times; ' if "missing time" in source.rejected else "")
                + (
                    f"see them in {config.rejects}"
                    if config.rejects
                    else "see them all with --rejects FILE.csv"
                )
                + ", or accept them with a larger --max-rejects",
            )
    return rejects.collect()


def _example(reject: dict[str, Any]) -> str:
    column = f" in {reject['column']}" if reject["column"] else ""
    value = f": {reject['value'][:_SHOWN]!r}" if reject["value"] else ""
    return f"{reject['file']}:{reject['line']} {reject['reason']}{column}{value}"
