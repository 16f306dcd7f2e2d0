"""Reads the log, the files of given splits and the catalogue, and collects their unusable rows."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from recli.errors import InvalidDataError, RecliError
from recli.reporting import Reporter
from recli.steps.prepare.config import Limit, PrepareConfig, PrepareSettings, columns_of

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Mapping, Sequence

    from recli.data.readers import ReadOptions
    from recli.data.readers.text_cleaning import Changes
    from recli.steps.prepare.remedies import Reading

IMPRESSION = "impression"  # the event of an item that was shown and not clicked
_EMPTY_TEXTS: dict[str, tuple[str, ...] | None] = {"auto": None, "none": ()}
_READ_AGAIN = 64 << 20  # bytes of a log that is read again to try a remedy
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
    lines: dict[str, int]  # physical lines by what they are
    exploded: dict[str, int]  # counts where rows held lists: rows, events, empty; else nothing
    filtered: dict[str, int]  # events left out already, by reason
    notations: dict[str, Counter[tuple[str, str]]]  # see `EventLog`
    files: tuple[
        str, ...
    ] = ()  # names of the log's files, where there are several; `events` has their numbers


@dataclass(frozen=True)
class CatalogueInput:
    """The catalogue: one row per item, its id, text and other columns."""

    frame: pl.DataFrame
    rows: int
    rejected: dict[str, int]
    duplicates: int
    text_template: str
    rejects: pl.LazyFrame
    changes: Changes


def check_there(config: PrepareConfig) -> None:
    """Raises `RecliError` where one of the files that are named is not there, before any of them is read."""
    from recli.data.readers.streams import expand

    for files in (config.log, config.validation_file, config.test_file, config.items):
        if files:
            expand(files)


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
    for text in dict.fromkeys(text for log in logs.values() for text in log.notes):
        reporter.say(text)
    for text in dict.fromkeys(text for log in logs.values() for text in log.warnings):
        reporter.warn(text)
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
    impressions = any(log.impressions for log in logs.values())
    disliked = IMPRESSION in settings.weighting.negatives.events
    events, filtered = _clicks(config, pl.concat(frames.values()), impressions and not disliked, reporter)
    if config.in_order:
        events = events.with_row_index("position")
    rows = sum(log.rows for log in logs.values())
    unused = list(dict.fromkeys(name for log in logs.values() for name in log.unused))
    lines = {name: sum(log.lines.get(name, 0) for log in logs.values()) for name in logs[TRAIN].lines}
    notations = {
        f"{part}/{file}": counts for part, log in logs.items() for file, counts in log.notations.items()
    }
    counts = [log.exploded._asdict() for log in logs.values() if log.exploded is not None]
    exploded = {name: sum(count[name] for count in counts) for name in (counts[0] if counts else ())}
    return EventInput(
        events, rows, rejected, columns, rejects, unused, lines, exploded, filtered, notations, files
    )


def _clicks(
    config: PrepareConfig, events: pl.LazyFrame, impressions: bool, reporter: Reporter
) -> tuple[pl.LazyFrame, dict[str, int]]:
    """The events without impressions that were not clicked, unless `--event-weights` says what they count."""
    if not impressions or config.event_weights is not None:
        return events, {}
    clicked = pl.col("event") != IMPRESSION
    count = events.select((~clicked).sum()).collect().item()
    reporter.say(
        f"{count:,} impressions that were not clicked (-0) are left out; --event-weights click=1,impression=0.1 "
        "makes them count"
    )
    return events.filter(clicked), {"impressions": count}


def with_item_columns(config: PrepareConfig, reporter: Reporter) -> PrepareConfig:
    """`config` with the item columns that the values of log and catalogue tell, where several fit by name."""
    if not config.items:
        return config
    from recli.steps.prepare.item_columns import choose_item_columns

    return choose_item_columns(config, _read_options(config), _items_options(config), reporter)


def log_columns(config: PrepareConfig, names: Sequence[str]) -> pl.DataFrame:
    """The first rows of columns of the log, as text."""
    from recli.data.readers.sample import sample_columns

    return sample_columns(config.log, _read_options(config), names)


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
    from recli.data.readers import read_catalogue

    with reporter.progress("reading items", total=None, unit="rows") as advance:
        read = read_catalogue(
            config.items,
            _items_options(config),
            config.text,
            advance,
            empty_texts=_EMPTY_TEXTS.get(config.empty_texts, columns_of(config.empty_texts)),
            keep_html=config.html == "keep",
        )
    for note in read.notes:
        reporter.say(note)
    return CatalogueInput(
        read.frame,
        read.rows,
        read.rejected,
        read.duplicates,
        read.text_template,
        read.rejects.lazy(),
        read.changes,
    )


def _items_options(config: PrepareConfig) -> ReadOptions:
    from recli.data.readers import ITEMS, ReadOptions

    return ReadOptions(
        separator=config.items_separator,
        quoting=config.items_quoting,
        skip_lines=config.items_skip_lines,
        header=False if config.items_no_header else None,
        columns=columns_of(config.items_columns),
        item_column=config.item_id_column,
        decimal_comma=config.decimal_comma,
        encoding=config.items_encoding,
        advice=ITEMS,
    )


def _read_options(config: PrepareConfig) -> ReadOptions:
    from recli.data.readers import ReadOptions

    return ReadOptions(
        format=config.format,
        separator=config.separator,
        quoting=config.quoting,
        skip_lines=config.skip_lines,
        header=False if config.no_header else None,
        columns=columns_of(config.columns),
        user_column=config.user_column,
        item_column=config.item_column,
        rating_column=config.rating_column,
        event_column=config.event_column,
        weight_column=config.weight_column or "",  # "": not used, so that its cells need not be numbers
        time_column=config.time_column,
        explode=config.explode,
        join=config.join,
        time_unit=config.time_unit,
        time_format=config.time_format,
        decimal_comma=config.decimal_comma,
        thousands=config.thousands_separator,
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
    from recli.storage import parts

    rejects = pl.concat([source.rejects for source in sources])
    if config.rejects is not None:
        parts.write_table(Path(config.rejects), rejects.collect())
    for source in sources:
        total = sum(source.rejected.values())
        limit = settings.log_limit if isinstance(source, EventInput) else settings.items_limit
        if limit.exceeded(total, source.rows):
            raise _too_many(config, limit, source, total)
    return rejects.collect()


def _too_many(
    config: PrepareConfig, limit: Limit, source: EventInput | CatalogueInput, total: int
) -> InvalidDataError:
    """The error for too many unusable rows: their reasons with an example each, and what mends the first."""
    from recli.steps.prepare import remedies

    found = remedies.groups(source.rejects)
    if isinstance(source, EventInput):
        reading = remedies.Reading(
            source.rows, source.rejects, source.columns, source.unused, _time_units(source.notations)
        )
        specific = remedies.remedy(config, reading, limit.exceeded, _read_again)
        closing = remedies.closing(config, total, source.rows)
    else:
        specific = remedies.without_ids(found[0], total, source.rows)
        closing = "" if specific else remedies.closing(config, total, source.rows, "--items-max-rejects")
    where = "rows" if isinstance(source, EventInput) else "rows of the catalogue"
    return InvalidDataError(
        f"{total:,} of {source.rows:,} {where} cannot be used, more than {limit.option}: "
        f"{remedies.listed(found)}",
        "; ".join(filter(None, (specific, closing))),
    )


def _read_again(config: PrepareConfig) -> Reading | None:
    """The log read with other options; None where it is too large to try, or where it cannot be read again."""
    from recli.data.readers import read_events
    from recli.data.readers.streams import expand
    from recli.steps.prepare.remedies import Reading

    paths = [source.path for source in expand(config.log)]
    if sum(path.stat().st_size if path else _READ_AGAIN + 1 for path in paths) > _READ_AGAIN:
        return None
    with tempfile.TemporaryDirectory(prefix="recli-") as folder:
        try:
            log = read_events(config.log, _read_options(config), Path(folder))
        except RecliError:
            return None
        units = _time_units(log.notations)
        return Reading(log.rows, log.rejects.collect().lazy(), log.columns, log.unused, units)


def _time_units(notations: Mapping[str, Mapping[tuple[str, str], int]]) -> list[str]:
    return list(
        dict.fromkeys(unit for counts in notations.values() for role, unit in counts if role == "time")
    )
