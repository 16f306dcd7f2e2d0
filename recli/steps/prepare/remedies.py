"""Too many unusable rows: why, and which option mends the most frequent cause, tried on the data at hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import polars as pl

from recli.steps.prepare.config import PrepareConfig

if TYPE_CHECKING:
    from recli.data.readers.time_formats import Fit

_SAMPLE, _SHOWN = 20_000, 40  # bad values that are looked at, characters of one that are shown
_GROUPS, _TRIALS = 5, 6  # groups of rejects that are listed, options that are tried for one
_WORDS = 20  # different words in a column that may be types of events
_CAUSES = 3  # causes that are mended one after the other
_MOST = 0.99  # share of the bad values that an option must read
_NULLS = (
    "",
    "-",
    "?",
    "n/a",
    "na",
    "nan",
    "null",
    "none",
    "nil",
    "\\n",
    "undefined",
    "(not set)",
    "#n/a",
    "unknown",
)
_TIMES = ("unparsable time", "time out of range", "time in another format")
_UNITS = ("iso", "s", "ms", "us", "ns")
_NUMBERS = ("unparsable number", "number is not finite")
_WITHOUT = {
    "rating": '--rating-column "" goes without ratings',
    "time": '--time-column "" goes without times',
    "event": '--event-column "" goes without event types',
    "weight": "leave out --weight-column to go without weights",
}
_THOUSANDS: dict[str, dict[str, Any]] = {
    "--thousands-separator ,": {"thousands_separator": ","},
    "--decimal-comma": {"decimal_comma": True},
    "--thousands-separator ' '": {"thousands_separator": " "},
    '--thousands-separator "\'"': {"thousands_separator": "'"},
    "--decimal-comma --thousands-separator .": {"decimal_comma": True, "thousands_separator": "."},
    "--decimal-comma --thousands-separator ' '": {"decimal_comma": True, "thousands_separator": " "},
    "--thousands-separator .": {"thousands_separator": "."},
}


@dataclass(frozen=True)
class Reading:
    """What reading the log came to. `columns`: role -> column. `unused`: other columns. `units`: notations of times."""

    rows: int
    rejects: pl.LazyFrame
    columns: dict[str, str]
    unused: Sequence[str]
    units: Sequence[str]


Attempt = Callable[[PrepareConfig], Reading | None]
"""Reads the log with other options; None where that cannot be tried."""
Remedy = tuple[str, dict[str, Any] | None]
"""What to do, and the options that do it, where some do."""


@dataclass(frozen=True)
class Group:
    """Unusable rows of one reason and column, with the first of them."""

    reason: str
    column: str | None
    n: int
    first: dict[str, Any]

    def __str__(self) -> str:
        column = f" in {self.column}" if self.column else ""
        value = f" {self.first['value'][:_SHOWN]!r}" if self.first["value"] else ""
        return f"{self.n:,} {self.reason}{column} ({self.first['file']}:{self.first['line']}{value})"


def groups(rejects: pl.LazyFrame) -> list[Group]:
    """Rejects by reason and column, the most frequent first."""
    first = pl.struct("file", "line", "value", "raw").first()
    counted = rejects.group_by("reason", "column", maintain_order=True).agg(
        pl.len().alias("n"), first.alias("first")
    )
    rows = counted.collect().sort("n", descending=True, maintain_order=True)
    return [Group(**row) for row in rows.iter_rows(named=True)]


def listed(found: Sequence[Group]) -> str:
    """The groups with their counts and an example each."""
    more = sum(group.n for group in found[_GROUPS:])
    return "; ".join([*map(str, found[:_GROUPS]), *([f"{more:,} others"] if more else [])])


def closing(config: PrepareConfig, rejected: int, rows: int, option: str = "--max-rejects") -> str:
    """The remedies for rejects of any kind: see them, or leave them out."""
    see = f"see them in {config.rejects}" if config.rejects else "read them all with --rejects FILE.csv"
    share = -(-1000 * rejected // rows) / 10  # rounded up, in percent
    return f"{see}, or leave them out with {option} {share:g}%" if share <= 50 else see


def without_ids(group: Group, rejected: int, rows: int) -> str | None:
    """The remedy for rows of a catalogue that have no id, if the group is of such."""
    if group.reason != "missing item":
        return None
    share = -(-1000 * rejected // rows) / 10  # rounded up, in percent
    return (
        f"if these are variants, images or headings, leave them out with --items-max-rejects {share:g}%; if the id "
        "stands in another column: --item-id-column NAME"
    )


def remedy(
    config: PrepareConfig, reading: Reading, too_many: Callable[[int, int], bool], attempt: Attempt
) -> str | None:
    """What mends the most frequent group of rejects, and then the next, while there are still too many.

    `too_many`: whether so many of so many rows are. None where nothing is known to help.
    """
    texts: list[str] = []
    for _ in range(_CAUSES):
        found = groups(reading.rejects)
        one = _remedy(config, found[0], reading, attempt)
        if one is None:
            break
        text, settings = one
        texts.append(text)
        if settings is None:
            break
        config = replace(config, **settings)
        again = attempt(config)
        if again is None or not too_many(_height(again.rejects), again.rows):
            break
        reading = again
    return "; then ".join(texts) or None


def _remedy(config: PrepareConfig, group: Group, reading: Reading, attempt: Attempt) -> Remedy | None:
    from recli.data.readers import NO_TIME

    role = next((role for role, column in reading.columns.items() if column == group.column), None)
    mine = reading.rejects.filter(pl.col("reason") == group.reason, pl.col("column").eq_missing(group.column))
    sample = mine.select("value", "raw").head(_SAMPLE).collect()
    values, trials = sample["value"].drop_nulls(), _Trials(config, group.column, attempt)
    if group.reason in _TIMES and len(values):
        return _time_remedy(values, reading, trials)
    if (
        group.reason in _NUMBERS and role is not None and not len(values)
    ):  # pseudonymized: values are not shown
        return (_WITHOUT[role], None) if role in _WITHOUT else None
    if group.reason in _NUMBERS and role is not None:
        return _number_remedy(values, role, str(group.column), reading, trials)
    if group.reason == NO_TIME:
        unit = next((unit for unit in reading.units if unit in _UNITS), "s")
        return f"--time-unit {unit} takes them as they are, {_WITHOUT['time']}", None
    if group.reason in ("missing user", "missing item") and role is not None:
        return _other_ids(role, reading.unused, trials)
    if group.reason.startswith("missing") and role in _WITHOUT:
        return _WITHOUT[role], None
    if group.reason in ("too few fields", "too many fields"):
        return _field_remedy(sample["raw"].drop_nulls(), len(reading.columns) + len(reading.unused), trials)
    return None


def _height(frame: pl.LazyFrame) -> int:
    return int(frame.select(pl.len()).collect().item())


class _Trials:
    """Reads the log again with other options, a few times at most, and looks whether a column is mended."""

    def __init__(self, config: PrepareConfig, column: str | None, attempt: Attempt) -> None:
        self.config = config
        self._column = column
        self._attempt = attempt
        self._left = _TRIALS

    def works(self, options: dict[str, Any], otherwise: bool, column: str | None = None) -> bool:
        """Whether (nearly) all rows have a good value in the column; `otherwise` where that cannot be tried."""
        if self._left == 0:
            return False
        self._left -= 1
        reading = self._attempt(replace(self.config, **options))
        if reading is None:
            return otherwise
        bad = _height(reading.rejects.filter(pl.col("column").eq_missing(column or self._column)))
        return bad <= (1 - _MOST) * reading.rows


def _time_remedy(values: pl.Series, reading: Reading, trials: _Trials) -> Remedy:
    from recli.data.readers.time_formats import fitting_formats, reading_all

    def works(form: str, otherwise: bool) -> bool:
        return trials.works({"time_format": form, "time_unit": "auto"}, otherwise)

    fits = fitting_formats(values)
    known = [unit for unit in reading.units if unit in _UNITS]
    complete = [fit.form for fit in fits if fit.share >= _MOST]
    together = None if complete else reading_all(values, fits)
    forms = complete[:2] or ([together] if together else [])
    alternatives = [dict.fromkeys((form, "|".join((form, *known)))) for form in forms]
    working = [
        form
        for pair in alternatives
        if (form := next((f for f in pair if works(f, otherwise=f in forms)), None))
    ]
    if not working:
        return _no_format(reading, trials, known, works)
    if len(working) > 1:
        text = f"--time-format {working[0]!r} and {working[1]!r} both read all of these times: say which"
    else:
        text = f"--time-format {working[0]!r} reads these times{_why(working[0], fits)}{_zone(working[0])}"
    return text, {"time_format": working[0], "time_unit": "auto"}


def _why(form: str, fits: Sequence[Fit]) -> str:
    """A value that decides between a format and the next one."""
    others = [fit for fit in fits if fit.form != form]
    if not others or others[0].unread is None or fits[0].form != form:
        return ""
    return f" ({others[0].form!r} does not read {others[0].unread!r})"


def _zone(form: str) -> str:
    """A note where a format ends in the name of a zone, which is not counted."""
    zone = re.search(r"(?<![%\w])(?!UTC|GMT|Z\b)[A-Z]{2,5}$", form)
    return f" (as UTC: {zone[0]} is not counted)" if zone else ""


def _no_format(
    reading: Reading, trials: _Trials, known: Sequence[str], works: Callable[[str, bool], bool]
) -> Remedy:
    """What to do about times that no format reads."""
    if known:
        both = f"{known[0]}|{'s' if known[0] == 'iso' else 'iso'}"
        if works(both, False):
            return (
                f"the times are of mixed formats: --time-format {both!r} reads both, {_WITHOUT['time']}",
                None,
            )
    return f"{_other_columns('time', reading.unused, trials)}{_WITHOUT['time']}", None


def _number_remedy(values: pl.Series, role: str, column: str, reading: Reading, trials: _Trials) -> Remedy:
    without = f", or {_WITHOUT[role]}" if role in _WITHOUT else ""
    for option, settings in _number_options(values, trials.config):
        if trials.works(settings, otherwise=True):
            return f"{option} reads these numbers{without}", settings
    nulls = values.filter(values.str.strip_chars().str.to_lowercase().is_in(_NULLS))
    if len(nulls) > 0.9 * len(values):
        example = repr(nulls[0]) if len(nulls) else "an empty cell"
        return f"{example} stands for no {role}{without}", None
    words = values.str.contains(r"^[\pL ]+$").all() and values.n_unique() <= _WORDS
    as_events = {"rating_column": "", "event_column": column}
    if words and role == "rating" and trials.works(as_events, otherwise=True):
        option = f'--rating-column "" --event-column {_quoted(column)}'
        return (
            f"{option} takes words such as {values[0]!r} for types of events (see --event-weights)",
            as_events,
        )
    signs = _signs(values)
    if signs:
        return f"{signs}{without}", None
    return f"{_other_columns(role, reading.unused, trials)}{_WITHOUT.get(role, '')}", None


def _number_options(values: pl.Series, config: PrepareConfig) -> Iterator[tuple[str, dict[str, Any]]]:
    """Options under which nearly all the values are numbers."""
    from recli.data.readers.numbers import Numbers, number

    if values.is_empty():
        return
    stripped = values.str.strip_chars().to_frame("n")
    for option, settings in _THOUSANDS.items():
        written = Numbers(bool(settings.get("decimal_comma")), settings.get("thousands_separator"))
        read = stripped.select(number(pl.col("n"), written)).to_series()
        if 1 - read.null_count() / len(values) >= _MOST:
            yield option, settings | ({"decimal_comma": False} if "decimal_comma" not in settings else {})
    if config.decimal_comma:
        yield "without --decimal-comma recli", {"decimal_comma": False}


def _signs(values: pl.Series) -> str | None:
    """What is around the numbers, where that is the same in nearly all."""
    kinds = {
        r"^[^\w.,+-]{1,3}\s*\d[\d.,\s]*$|^\d[\d.,\s]*\s*\p{Sc}$": "the numbers have a currency's sign: take it out",
        r"^\d[\d.,]*\s*%$": "the numbers are percentages: take the % out",
        r"^\d[\d.,]*\s*(?:/|of|out of)\s*\d+.*$": "take what comes after the first number out",
        r"^[★☆⭐✩✭*]+$": "the numbers are stars: write how many there are",
    }
    stripped = values.str.strip_chars()
    for pattern, what in kinds.items():
        if len(values) and float(stripped.str.contains(pattern).mean() or 0) >= 0.9:  # type: ignore[arg-type]
            return f"{what} ({values[0][:_SHOWN]!r})"
    return None


def _other_columns(role: str, unused: Sequence[str], trials: _Trials) -> str:
    """Other columns that can be the role's, as the beginning of a remedy."""
    fit = [name for name in unused[:_TRIALS] if trials.works({f"{role}_column": name}, False, name)]
    named = " or ".join(f"--{role}-column {_quoted(name)}" for name in fit)
    kind = "times" if role == "time" else "numbers"
    return f"columns of {kind}: {named}; " if fit else ""


def _other_ids(role: str, unused: Sequence[str], trials: _Trials) -> Remedy | None:
    """Another column by its name the role's, which has an id in nearly all rows."""
    from recli.data.readers.column_roles import ITEM, USER, unwrap

    known = {name for tier in (USER if role == "user" else ITEM).names for name in tier}
    for name in (name for name in unused if unwrap(name) in known):
        options = {f"{role}_column": name}
        if trials.works(options, False, name):
            return f"--{role}-column {_quoted(name)} has an id in nearly all rows", options
    return None


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]+", name) else repr(name)


def _field_remedy(lines: pl.Series, n_names: int, trials: _Trials) -> Remedy | None:
    """Another separator that cuts all lines alike, or names for all of their fields."""
    from recli.data.readers.delimited import SEPARATORS, split_line

    for separator in SEPARATORS:
        fields = [len(split_line(line, separator)) for line in lines.to_list()]
        n = max(set(fields), key=fields.count, default=0)
        if n > 1 and fields.count(n) >= _MOST * len(fields):
            shown = separator.replace("\t", "\\t")
            if trials.works({"separator": shown}, otherwise=False):
                return f"--separator {shown!r} cuts these lines into {n} fields each", {"separator": shown}
            if n > n_names > 1:
                names = ",".join(["NAME"] * n)
                return (
                    f"these lines have {n} fields separated by {shown!r}, for {n_names} names: name all columns with "
                    f"--separator {shown!r} --skip-lines 1 --no-header --columns {names}"
                ), None
    return None
