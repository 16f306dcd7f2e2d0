"""Too many unusable rows: why, and which option mends the most frequent cause, tried on the data at hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from recli.steps.prepare.config import PrepareConfig

Attempt = Callable[[PrepareConfig], float | None]
"""The share of unusable rows when the log is read with other options; None where that cannot be tried."""

_SAMPLE, _SHOWN = 20_000, 40  # bad values that are looked at, characters of one that are shown
_GROUPS, _TRIALS = 5, 6  # groups of rejects that are listed, options that are tried
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


def remedy(
    config: PrepareConfig,
    found: Sequence[Group],
    rejects: pl.LazyFrame,
    columns: dict[str, str],
    unused: Sequence[str],
    units: Sequence[str],
    attempt: Attempt,
) -> str | None:
    """What mends the most frequent group of rejects; None where nothing is known to.

    `rejects`: of the log. `columns`: role -> column; `unused`: other columns. `units`: the notations of the times that
    could be read.
    """
    group = found[0]
    role = next((role for role, column in columns.items() if column == group.column), None)
    mine = rejects.filter(pl.col("reason") == group.reason)
    if group.column is not None:
        mine = mine.filter(pl.col("column") == group.column)
    sample = mine.select("value", "raw").head(_SAMPLE).collect()
    trials = _Trials(config, attempt)
    if group.reason in _TIMES:
        return _time_remedy(sample["value"].drop_nulls(), units, trials, unused)
    if group.reason in _NUMBERS and role is not None:
        return _number_remedy(sample["value"].drop_nulls(), role, trials, unused)
    if group.reason == "placeholder for no time":
        return "--time-unit s takes 0 and -1 as times of 1970, " + _WITHOUT["time"]
    if group.reason.startswith("missing") and role in _WITHOUT:
        return _WITHOUT[role]
    if group.reason in ("too few fields", "too many fields"):
        return _field_remedy(group, sample["raw"].drop_nulls(), trials)
    return None


class _Trials:
    """Reads the log again with other options, a few times at most."""

    def __init__(self, config: PrepareConfig, attempt: Attempt) -> None:
        self.config = config
        self._attempt = attempt
        self._left = _TRIALS

    def works(self, options: dict[str, Any], otherwise: bool) -> bool:
        """Whether (nearly) all rows can be used with other options; `otherwise` where that cannot be tried."""
        if self._left == 0:
            return False
        self._left -= 1
        share = self._attempt(replace(self.config, **options))
        return otherwise if share is None else share <= 1 - _MOST


def _time_remedy(
    values: pl.Series, units: Sequence[str], trials: _Trials, unused: Sequence[str]
) -> str | None:
    from recli.data.readers.time_formats import fitting_formats, reading_all

    if values.is_empty():
        return None
    fits = fitting_formats(values)
    known = [unit for unit in units if unit in ("iso", "s", "ms", "us", "ns")]
    all_of = [fit for fit in fits if fit.share >= _MOST]
    together = reading_all(values, fits) if not all_of else None
    forms = [fit.form for fit in all_of] or ([together] if together else [])
    working = [
        form
        for one in forms[:2]
        for form in dict.fromkeys((one, "|".join((one, *known))))
        if trials.works({"time_format": form, "time_unit": "auto"}, otherwise=form == one)
    ]
    if not working and known:
        both = f"{known[0]}|{'s' if known[0] == 'iso' else 'iso'}"
        if trials.works({"time_format": both, "time_unit": "auto"}, otherwise=False):
            return f"the times are of mixed formats: --time-format {both!r} reads both, {_WITHOUT['time']}"
    if not working:
        column = _numeric_column("time", unused, trials)
        return f"{column}{_WITHOUT['time']}"
    if len(all_of) > 1 and len(working) > 1:
        return (
            f"--time-format {working[0]!r} and {working[1]!r} both read all of these times: no day is above 12, so say "
            "which"
        )
    unread = next((fit.unread for fit in fits if fit.form != working[0] and fit.unread), None)
    why = (
        f" ({fits[1].form!r} does not read {unread!r})"
        if unread and len(fits) > 1 and fits[0].form == working[0]
        else ""
    )
    return f"--time-format {working[0]!r} reads these times{why}"


def _number_remedy(values: pl.Series, role: str, trials: _Trials, unused: Sequence[str]) -> str:
    column = "" if role not in _WITHOUT else f", or {_WITHOUT[role]}"
    for option, settings in _number_options(values, trials.config):
        if trials.works(settings, otherwise=True):
            return f"{option} reads these numbers{column}"
    nulls = values.filter(values.str.strip_chars().str.to_lowercase().is_in(_NULLS))
    if len(nulls) > 0.9 * len(values):
        return f"{nulls[0]!r} stands for no {role}{column}"
    signs = _signs(values)
    if signs:
        return f"{signs}{column}"
    return f"{_numeric_column(role, unused, trials)}{_WITHOUT.get(role, '')}"


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
        r"^(?i:one|two|three|four|five|six|seven|eight|nine|ten|good|bad|like|dislike|liked|love|hate|up|down)$": (
            "the numbers are words: write numbers, or take the column for types of events: --rating-column '' "
            "--event-column NAME"
        ),
    }
    stripped = values.str.strip_chars()
    for pattern, what in kinds.items():
        if len(values) and float(stripped.str.contains(pattern).mean() or 0) >= 0.9:  # type: ignore[arg-type]
            return f"{what} ({values[0][:_SHOWN]!r})"
    return None


def _numeric_column(role: str, unused: Sequence[str], trials: _Trials) -> str:
    """Other columns that can be the role's, as the beginning of a remedy."""
    fit = [name for name in unused[:_TRIALS] if trials.works({f"{role}_column": name}, otherwise=False)]
    named = " or ".join(f"--{role}-column {_quoted(name)}" for name in fit)
    kind = "times" if role == "time" else "numbers"
    return f"columns of {kind}: {named}; " if fit else ""


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[\w.-]+", name) else repr(name)


def _field_remedy(group: Group, lines: pl.Series, trials: _Trials) -> str | None:
    """Another separator, or names for columns that the header does not name."""
    from recli.data.readers.delimited import SEPARATORS, split_line

    if lines.is_empty():
        return None
    counts = {sep: [len(split_line(line, sep)) for line in lines.to_list()] for sep in SEPARATORS}
    for separator, fields in counts.items():
        n = max(set(fields), key=fields.count)
        if n > 1 and fields.count(n) >= _MOST * len(fields):
            shown = separator.replace("\t", "\\t")
            if trials.works({"separator": shown}, otherwise=False):
                return f"--separator {shown!r} cuts these lines into {n} fields each"
    return None
