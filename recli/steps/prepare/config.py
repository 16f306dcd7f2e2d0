"""The options of `recli prepare`, their checks, and the settings derived from them."""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recli.config import Config, argument, option, parse_duration, parse_pairs, to_dict
from recli.errors import RecliError, UsageError

if TYPE_CHECKING:
    from recli.steps.prepare.cleaning import EventWeighting, NegativeRules
    from recli.steps.prepare.splitting import Plan

_INPUT, _CATALOGUE, _CLEANING, _SPLITS, _PRIVACY, _OUTPUT = (
    "Input", "Catalogue", "Cleaning", "Splits", "Privacy", "Output",
)  # fmt: skip


@dataclass(frozen=True)
class PrepareConfig(Config):
    log: tuple[str, ...] = argument(
        ...,
        "Event logs: files, globs, or - for stdin; CSV, TSV, JSONL or Parquet, .gz and .zst too.",
        metavar="LOG...",
        paths="always",
    )
    format: str = option(
        "auto",
        "Format of the log; netflix: blocks under `1:`; adjacency: a user and its items a line; matrix: a user a line, "
        "an item a column.",
        choices=("auto", "csv", "jsonl", "parquet", "netflix", "adjacency", "matrix"), panel=_INPUT,
    )  # fmt: skip
    separator: str | None = option(
        None, "Separator of columns, any length, e.g. :: or \\t.", default_text="detected", panel=_INPUT
    )
    quoting: str = option(
        "auto",
        "Quotes around fields: standard (doubled within), none (they are characters), or auto: standard where , or ; "
        "separates columns, or where the data proves it.",
        choices=("auto", "standard", "none"),
        panel=_INPUT,
    )
    skip_lines: int = option(0, "Leave out so many lines at the beginning of each file.", min=0, panel=_INPUT)
    no_header: bool = option(False, "The first line is data: name the columns with --columns.", panel=_INPUT)
    columns: str | None = option(None, "Names of the columns, e.g. user_id,item_id,rating.", panel=_INPUT)
    user_column: str | None = option(None, "Column of user ids.", default_text="recognized", panel=_INPUT)
    item_column: str | None = option(None, "Column of item ids.", default_text="recognized", panel=_INPUT)
    rating_column: str | None = option(None, "Column of ratings.", default_text="recognized", panel=_INPUT)
    event_column: str | None = option(None, "Column of event types.", default_text="recognized", panel=_INPUT)
    weight_column: str | None = option(
        None,
        "Column of weights, such as play counts, that become values.",
        default_text="not used",
        panel=_INPUT,
    )
    time_column: str | None = option(None, "Column of times.", default_text="recognized", panel=_INPUT)
    explode: tuple[str, ...] = option(
        (), "Column of lists: each element becomes an event; repeatable. Separator: |, blank, tab, json ...; detected.",
        metavar="COLUMN[:SEPARATOR]", panel=_INPUT,
    )  # fmt: skip
    join: tuple[str, ...] = option(
        (), "Table with more columns of the events, and the column both have, e.g. orders.csv:order_id; repeatable.",
        metavar="FILE:COLUMN", paths="keyed", panel=_INPUT,
    )  # fmt: skip
    time_unit: str = option(
        "auto", "Unit of the times; excel: days since 1899-12-30, days: since 1970.",
        choices=("auto", "s", "ms", "us", "ns", "iso", "excel", "days"), panel=_INPUT,
    )  # fmt: skip
    time_format: str | None = option(
        None, "Format of the times, as strptime has it: '%d.%m.%Y %H:%M'; UTC where it has no zone; several with | "
        "between them: '%d.%m.%Y|iso'.",
        metavar="FORMAT", default_text="detected", panel=_INPUT,
    )  # fmt: skip
    in_order: bool = option(
        False,
        "Each user's rows are in the order of the events: no times are needed for that; where there are times, rows "
        "order those that are equal.",
        panel=_INPUT,
    )
    decimal_comma: bool = option(
        False, "Numbers are written 2,8: ratings, weights, and the catalogue's.", panel=_INPUT
    )
    thousands_separator: str | None = option(
        None,
        "What separates the thousands of ratings and weights, as in 1,234.",
        default_text="none",
        panel=_INPUT,
    )
    normalize_ids: str | None = option(
        None, "Make spellings of an id one, in log and catalogue: lower, trim (blanks, invisible characters), integer "
        "(7 for 7.0 and 007), unicode (NFKC).", metavar="lower,trim", default_text="as written", panel=_INPUT,
    )  # fmt: skip
    missing_ids: str = option(
        "auto", "Ids that stand for none, whose events are left out; auto: names such as nan, NULL, (not set) among "
        "other ids; none: keep them.", metavar="auto|none|NAME,...", panel=_INPUT,
    )  # fmt: skip
    encoding: str = option("utf-8", "Encoding of the log, e.g. latin-1.", panel=_INPUT)
    items: tuple[str, ...] = option(
        (), "Catalogue of items, in any of the formats; repeatable.", paths="always", panel=_CATALOGUE
    )
    text: str | None = option(
        None, "Text of an item, from the catalogue's columns: '{title}. {genres}'.",
        default_text="from title, description, genres, ...", panel=_CATALOGUE,
    )  # fmt: skip
    html: str = option(
        "strip", "HTML tags and entities in texts: take them out, or keep them.", choices=("strip", "keep"),
        panel=_CATALOGUE,
    )  # fmt: skip
    empty_texts: str = option(
        "auto",
        "Cells that count as empty in texts: auto (nan, NULL, N/A, ..., repeated None or -), none, or a list.",
        metavar="auto|none|nan,-,...",
        panel=_CATALOGUE,
    )
    item_id_column: str | None = option(
        None, "Column of item ids in the catalogue.", default_text="recognized", panel=_CATALOGUE
    )
    items_separator: str | None = option(
        None, "Separator of the catalogue's columns.", default_text="detected", panel=_CATALOGUE
    )
    items_quoting: str = option(
        "auto",
        "Quotes in the catalogue, as --quoting.",
        choices=("auto", "standard", "none"),
        panel=_CATALOGUE,
    )
    items_skip_lines: int = option(
        0, "Leave out so many lines at the beginning of the catalogue.", min=0, panel=_CATALOGUE
    )
    items_no_header: bool = option(False, "The catalogue's first line is data.", panel=_CATALOGUE)
    items_columns: str | None = option(None, "Names of the catalogue's columns.", panel=_CATALOGUE)
    items_encoding: str = option("utf-8", "Encoding of the catalogue, e.g. latin-1.", panel=_CATALOGUE)
    items_max_rejects: str | None = option(
        None,
        "Stop with exit code 3 above this share, or number, of unusable rows of the catalogue, such as variants and "
        "images without an id.",
        default_text="--max-rejects",
        stored=False,
        panel=_CATALOGUE,
    )
    only_seen_items: bool = option(
        False, "Leave out items of the catalogue that have no event.", panel=_CATALOGUE
    )
    min_rating: float | None = option(
        None, "Leave out events with a lower rating; they stay known as seen.", panel=_CLEANING
    )
    event_weights: str | None = option(
        None,
        "Value of an event by its type; others are left out, but stay known as seen; below 0: a dislike.",
        metavar="view=1,purchase=5",
        panel=_CLEANING,
    )
    negatives: tuple[str, ...] = option(
        (),
        "Events that are dislikes: ratings below a number (below:3) or below the user's mean (mean), or types "
        "(event:skip,hide). Repeatable.",
        metavar="below:N | mean | event:NAMES",
        panel=_CLEANING,
    )
    event_half_life: str | None = option(
        None,
        "Halve an event's value for each such time before the latest event.",
        metavar="90d",
        panel=_CLEANING,
        formerly=("half_life",),
    )
    duplicates: str = option(
        "sum",
        "Value of several events of one user with one item; distinct: the sum, but rows that are the same in all "
        "columns, as where exports overlap, count once.",
        choices=("sum", "distinct", "last", "max"),
        panel=_CLEANING,
    )
    weight_transform: str = option(
        "auto",
        "How a user's weight of an item (from --weight-column, --event-weights, repeated events) becomes the value "
        "that is learned from. auto: weights with a heavy tail, such as play counts, get log, or per-user where users "
        "differ most; others stay. log: log(1+w). per-user: that over the user's mean. cap:N: at most N. percentile: "
        "the share of smaller ones. binary: all count the same. All but none are scaled to mean 1.",
        metavar="auto | none | log | sqrt | binary | cap:N | percentile | per-user",
        panel=_CLEANING,
    )
    bots: str = option(
        "report", "Possible bots, users with far more events than others: report or drop them.",
        choices=("report", "drop"), panel=_CLEANING, formerly=("robots",),
    )  # fmt: skip
    max_user_events: int | None = option(
        None, "Keep a user's latest so many items (some, by keyed hash, where there are no times).", min=1,
        panel=_CLEANING,
    )  # fmt: skip
    min_user_events: int = option(1, "Leave out users with fewer items.", min=1, panel=_CLEANING)
    min_item_events: int = option(1, "Leave out items with fewer users.", min=1, panel=_CLEANING)
    k_core: int | None = option(
        None, "Sets both minima; they are applied in turn until all users and items have enough.",
        min=1, panel=_CLEANING,
    )  # fmt: skip
    max_rejects: str = option(
        "1%",
        "Stop with exit code 3 above this share, or number, of unusable rows of the log (and of the catalogue).",
        stored=False,
        panel=_CLEANING,
    )
    split: str | None = option(
        None,
        "How to hold events out; with --test-file, how validation is held out of the log.",
        default_text="random; given with --test-file",
        choices=("random", "leave-last-out", "temporal-user", "temporal", "given"), panel=_SPLITS,
    )  # fmt: skip
    validation_size: float | None = option(
        None,
        "Share of events held out for validation.",
        min=0.0,
        max=0.9,
        default_text="0.1; 0 with --test-file alone",
        panel=_SPLITS,
    )
    test_size: float | None = option(
        None, "Share of events held out for the test.", min=0.0, max=0.9, default_text="0.1", panel=_SPLITS
    )
    validation_file: tuple[str, ...] = option(
        (), "Validation events, in the log's format; repeatable.", paths="always", panel=_SPLITS
    )
    test_file: tuple[str, ...] = option(
        (), "Test events, in the log's format; repeatable.", paths="always", panel=_SPLITS
    )
    cold_items: float = option(
        0.0, "Share of items without any training event: all their events go to the test.", min=0.0, max=0.9,
        panel=_SPLITS,
    )  # fmt: skip
    cold_users: float = option(
        0.0, "Share of users without any training event: theirs before the test become history.", min=0.0, max=0.9,
        panel=_SPLITS,
    )  # fmt: skip
    seed: int = option(0, "Key of the hash of ids that random choices are made by.", min=0, panel=_SPLITS)
    pseudonymize: bool = option(
        False, "Replace user ids by HMAC-SHA256 under a key from --key-file or $RECLI_KEY.", panel=_PRIVACY
    )
    key_file: str | None = option(
        None,
        "File with the key of --pseudonymize; it is stored nowhere.",
        paths="always",
        stored=False,
        panel=_PRIVACY,
    )
    out: str = option("run", "The run to write.", metavar="RUN", paths="always", stored=False, panel=_OUTPUT)
    rejects: str | None = option(
        None, "Also write the unusable rows to this .csv, .jsonl or .parquet file, even if there are too many.",
        paths="always", stored=False, panel=_OUTPUT,
    )  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_together(self)


@dataclass(frozen=True)
class Limit:
    """How many rows of a source may be unusable: a share where `is_share`, else a number. `option`: as it was typed."""

    option: str
    most: float
    is_share: bool

    def exceeded(self, rejected: int, rows: int) -> bool:
        return rejected > (self.most * rows if self.is_share else self.most)


@dataclass(frozen=True)
class PrepareSettings:
    """Settings derived from the options, checked."""

    weighting: "EventWeighting"
    plan: "Plan"
    min_user_events: int
    min_item_events: int
    log_limit: Limit
    items_limit: Limit
    key: bytes | None
    stored: dict[str, Any]  # the config for the manifest: base names, and what the defaults came to


def settings_of(config: PrepareConfig) -> PrepareSettings:
    """Derive the settings from the options. Raises `RecliError` where the key of `--pseudonymize` is missing."""
    plan = _plan(config)
    stored = to_dict(config) | {
        "split": config.split or plan.split,
        "validation_size": plan.validation_size,
        "test_size": plan.test_size,
        **{
            name: [Path(source).name for source in getattr(config, name)]
            for name in ("log", "items", "validation_file", "test_file", "join")
        },
    }
    return PrepareSettings(
        _weighting(config),
        plan,
        config.k_core or config.min_user_events,
        config.k_core or config.min_item_events,
        *_limits(config),
        _key(config),
        stored,
    )


def _check_together(config: PrepareConfig) -> None:
    """Raises `UsageError` where options contradict each other."""
    from recli.steps.prepare.cleaning import parse_transform
    from recli.steps.prepare.ids import rules_of
    from recli.storage.parts import TABLES

    _weighting(config)
    parse_transform(config.weight_transform)
    _plan(config)
    _limits(config)
    rules_of(config.normalize_ids, config.missing_ids)
    if config.text is not None and not config.items:
        raise UsageError("--text needs the columns of a catalogue", "name it with --items FILE")
    if config.items_max_rejects is not None and not config.items:
        raise UsageError("--items-max-rejects is for a catalogue", "name it with --items FILE")
    if config.items_no_header and not config.items_columns:
        raise UsageError(
            "--items-no-header needs --items-columns", "such as --items-columns item_id,title,genres"
        )
    if config.rejects is not None and Path(config.rejects).suffix not in TABLES:
        raise UsageError(f"--rejects {config.rejects} must end in {', '.join(TABLES)}")
    if config.k_core is not None and (config.min_user_events > 1 or config.min_item_events > 1):
        raise UsageError("--k-core sets --min-user-events and --min-item-events", "give either it or those")
    min_user_events = config.k_core or config.min_user_events
    if config.max_user_events is not None and config.max_user_events < min_user_events:
        raise UsageError(
            f"no user has at most {config.max_user_events} and at least {min_user_events} events",
            "raise --max-user-events, or lower the minimum",
        )


def finite(text: str) -> float | None:
    """The number that the text is; None: it is no number, or not a finite one."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def columns_of(text: str | None) -> tuple[str, ...]:
    """The names in `user_id,item_id,rating`."""
    return tuple(name.strip() for name in text.split(",")) if text else ()


def _weighting(config: PrepareConfig) -> "EventWeighting":
    from recli.steps.prepare.cleaning import EventWeighting

    weights = None
    if config.event_weights is not None:
        weights = parse_pairs(config.event_weights, "--event-weights")
        if not any(weight > 0 for weight in weights.values()):
            raise UsageError("--event-weights leaves every event out", "give one type a weight above 0")
    seconds = (
        parse_duration(config.event_half_life, "--event-half-life")
        if config.event_half_life is not None
        else None
    )
    rules = _negatives(config.negatives, weights or {})
    return EventWeighting(config.min_rating, weights, config.weight_column is not None, seconds, rules)


def _negatives(texts: tuple[str, ...], weights: dict[str, float]) -> "NegativeRules":
    """What `--negatives` says, and the types whose weight is below 0. Raises `UsageError`."""
    from recli.steps.prepare.cleaning import NegativeRules

    below, below_mean = None, False
    events = [name for name, weight in weights.items() if weight < 0]
    for text in texts:
        kind, _, value = text.strip().partition(":")
        if kind == "mean" and not value:
            below_mean = True
        elif kind == "below" and (number := finite(value)) is not None:
            below = number if below is None else max(below, number)
        elif kind == "event" and value.strip(", "):
            events += columns_of(value)
        else:
            raise UsageError(
                f"--negatives {text}: not one of below:N, mean, event:NAME[,NAME]",
                "such as --negatives below:3, or --negatives event:dislike,skip",
            )
    return NegativeRules(below, below_mean, tuple(dict.fromkeys(events)))


def _plan(config: PrepareConfig) -> "Plan":
    from recli.steps.prepare.splitting import Plan

    has_files = bool(config.test_file or config.validation_file)
    split = config.split or ("given" if has_files else "random")
    if has_files or split == "given":
        _check_given(config, split)
    validation, test = (0.1 if s is None else s for s in (config.validation_size, config.test_size))
    if split == "leave-last-out" and (config.validation_size or config.test_size):
        raise UsageError(
            "leave-last-out holds out one event for each of validation and test, not a share",
            "leave out the size; 0 means none",
        )
    if split == "given":
        return Plan("given", config.validation_size or 0.0, 0.0, config.cold_items, config.cold_users)
    if has_files:
        return Plan("given", validation, 0.0, config.cold_items, config.cold_users, rest=split)
    if validation + test >= 1:
        raise UsageError(
            f"validation and test together are {validation + test:g} of the events",
            "nothing is left to train",
        )
    return Plan(split, validation, test, config.cold_items, config.cold_users)


def _check_given(config: PrepareConfig, split: str) -> None:
    """Raises `UsageError` where given files and the other options of a split contradict each other."""
    if not config.test_file:
        raise UsageError("--split given needs the test events", "name them with --test-file FILE")
    if config.test_size is not None:
        raise UsageError("--test-size and --test-file exclude each other", "leave out --test-size")
    if config.validation_file and config.validation_size is not None:
        raise UsageError(
            "--validation-size and --validation-file exclude each other", "leave out one of them"
        )
    if config.validation_file and split != "given":
        raise UsageError(
            f"--split {split} has nothing to hold out: validation and test are both given",
            "leave out --split",
        )


def _limits(config: PrepareConfig) -> tuple[Limit, Limit]:
    """The limits of the log and of the catalogue. Raises `UsageError`."""
    log = _limit("--max-rejects", config.max_rejects)
    own = config.items_max_rejects
    return log, log if own is None else _limit("--items-max-rejects", own)


def _limit(option: str, text: str) -> Limit:
    """`1%` and `0.01` are a share, `100` is a number of rows."""
    percent = text.strip().endswith("%")
    try:
        number = float(text.strip().removesuffix("%"))
    except ValueError:
        number = -1.0
    share = percent or "." in text
    number = number / 100 if percent else number
    if not 0 <= number < float("inf") or (share and number > 1):
        raise UsageError(f"{option} must be a share such as 1% or 0.01, or a number of rows, not {text!r}")
    return Limit(f"{option} {text}", number, share)


def _key(config: PrepareConfig) -> bytes | None:
    if not config.pseudonymize:
        if config.key_file is not None:
            raise UsageError("--key-file is for --pseudonymize", "add --pseudonymize")
        return None
    if config.key_file is not None:
        try:
            key = Path(config.key_file).read_bytes().strip()
        except OSError as error:
            raise RecliError(
                f"--key-file {config.key_file}: {error.strerror}", "name a file with the key"
            ) from None
    else:
        key = os.environ.get("RECLI_KEY", "").strip().encode()
    if len(key) < 16:
        problem = "is empty or not there" if not key else f"has {len(key)} bytes, fewer than 16"
        raise RecliError(
            f"the key of --pseudonymize {problem}",
            "make one, and keep it apart from the run: openssl rand -hex 32 > key, then --key-file key (or RECLI_KEY)",
        )
    return key
