"""Formats of times, derived from values that are neither counts nor ISO dates."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import polars as pl

from recli.data.readers.times import microseconds

_CLOCK = re.compile(
    r"(?<!\d)(?P<hour>\d{1,2})(?P<a>[:hH])(?P<minute>\d{2})(?:(?P<b>:)(?P<second>\d{2}))?"
    r"(?:(?P<point>[.,:])(?P<fraction>\d{1,9}))?(?P<blank>\s*)(?P<half>[AaPp]\.?\s?[Mm]\b\.?)?"
)
# without colons: 20231213T043953; 13.12.2023 04.39.53
_COMPACT = re.compile(r"(?<=\d{8})(?P<t>[T -])(?P<hour>\d{2})(?P<minute>\d{2})(?P<second>\d{2})?(?!\d)")
_DOTTED = re.compile(
    r"(?<=[ T-])(?P<hour>\d{1,2})(?P<a>[.])(?P<minute>\d{2})(?:(?P<b>[.])(?P<second>\d{2}))?"
    r"(?:(?P<point>[.])(?P<fraction>\d{1,9}))?(?!\d)(?P<blank>\s*)(?P<half>[AaPp]\.?\s?[Mm]\b\.?)?"
)
_ZONE = re.compile(r"(?P<blank>\s*(?:GMT|UTC)?)(?P<sign>[+-]\d{2}:?\d{2}\b|[+-]\d{2}\b)")
_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
# What the numbers of one or two digits are, by what else there is; the day first where nothing tells
_WITH_NAME = {(True, 1): ("d",), (False, 2): ("dy",)}
_WITHOUT_NAME = {(True, 2): ("dm", "md"), (False, 3): ("dmy", "mdy", "ymd")}
_YEAR_FIRST = ("md",)
_FIRST = 20  # values that formats are derived from
_POSSIBLE = (-2_208_988_800_000_000, 4_102_444_800_000_000)  # 1900 to 2100


@dataclass(frozen=True)
class Fit:
    """The share of the values that a format reads, a value that it does not, and how long the times go on."""

    form: str
    share: float
    unread: str | None
    span: int


def fitting_formats(values: pl.Series) -> list[Fit]:
    """Formats by the share of `values` (String) that they read as times of 1900 to 2100, the best first.

    Of those that read equally many the one is first whose times lie closest together.
    """
    values = values.drop_nulls().str.strip_chars()
    first = values.unique(maintain_order=True).head(_FIRST)
    forms = dict.fromkeys(form for value in first for form in _forms(value))
    fits = [fit for form in forms if (fit := _fit(values, form)).share > 0]
    return sorted(fits, key=lambda fit: (-fit.share, fit.span))


def reading_all(values: pl.Series, fits: Sequence[Fit]) -> str | None:
    """Formats with `|` between them that together read all values; None where there are none."""
    left, chosen = values.drop_nulls().str.strip_chars(), []
    for fit in fits:
        read = is_read(left, fit.form)
        if read.any():
            chosen.append(fit.form)
            left = left.filter(~read)
    return "|".join(chosen) if chosen and left.is_empty() else None


def is_read(values: pl.Series, form: str) -> pl.Series:
    """Which of the stripped values a format reads as a time of 1900 to 2100."""
    return _times(values, form).is_not_null()


def _times(values: pl.Series, form: str) -> pl.Series:
    try:
        times = values.to_frame("t").select(microseconds(pl.col("t"), form)).to_series()
    except pl.exceptions.PolarsError:  # no format after all
        return pl.Series("t", [None] * len(values), dtype=pl.Int64)
    return times.set(~times.is_between(*_POSSIBLE), None)


def _fit(values: pl.Series, form: str) -> Fit:
    times = _times(values, form)
    unread = values.filter(times.is_null())
    span = (times.quantile(0.95) or 0) - (times.quantile(0.05) or 0)
    return Fit(form, 1 - len(unread) / len(values), unread[0] if len(unread) else None, int(span))


def _forms(value: str) -> Iterator[str]:
    """Formats that may read a value."""
    clock = _CLOCK.search(value) or _COMPACT.search(value) or _DOTTED.search(value)
    before, middle, after = value, "", ""
    if clock and "." in (clock.groupdict().get("half") or ""):
        return  # no format has p.m.
    if clock:
        before, middle, after = value[: clock.start()], _clock(clock.groupdict()), value[clock.end() :]
        if zone := _ZONE.match(after):
            middle += zone["blank"] + ("%z" if len(zone["sign"]) > 3 else "%#z")
            after = after[zone.end() :]
    for first, last in _dates(before, after):
        yield first + middle + last


def _clock(part: dict[str, str | None]) -> str:
    half = part.get("half")
    a, b, point, fraction = (part.get(name) or "" for name in ("a", "b", "point", "fraction"))
    seconds = f"{b}%S" if part.get("second") else ""
    if fraction:
        seconds += "%.f" if point == "." else f"{point}%{len(fraction)}f"
    end = f"{part.get('blank') or ''}%p" if half else part.get("blank") or ""
    return f"{part.get('t') or ''}{'%I' if half else '%H'}{a}%M{seconds}{end}"


def _dates(before: str, after: str) -> Iterator[tuple[str, str]]:
    """The formats of what stands before and after the time of day."""
    text = f"{before}\0{after}"
    tokens = list(_TOKEN.finditer(text))
    fixed = [_field(token[0]) for token in tokens]
    free = [k for k, token in enumerate(tokens) if fixed[k] is None and token[0].isdigit()]
    has_year, has_month = (
        any(f in fields for f in fixed if f) for fields in (("%Y", "%Y%m%d"), ("%b", "%B"))
    )
    if "%Y%m%d" in fixed and not free:
        orders: Sequence[str] = ("",)
    else:
        orders = (_WITH_NAME if has_month else _WITHOUT_NAME).get((has_year, len(free)), ())
        if orders and not has_month and has_year and fixed.index("%Y") < free[0]:
            orders = _YEAR_FIRST if len(free) == 2 else ()
    for order in orders:
        fields = [f or _escaped(token[0]) for f, token in zip(fixed, tokens, strict=True)]
        for k, letter in zip(free, order, strict=True):
            fields[k] = f"%{letter}"
        yield _replaced(text, tokens, fields)


def _field(token: str) -> str | None:
    """What a token is by itself; None for a number of one or two digits, and for a word."""
    if token.isdigit():
        return {4: "%Y", 8: "%Y%m%d"}.get(len(token))
    start = token[:3].lower()
    name = "%b" if start in _MONTHS else "%a" if start in _WEEKDAYS else None
    return name.upper() if name and len(token) > 3 else name


def _replaced(text: str, tokens: Sequence[re.Match[str]], fields: Sequence[str]) -> tuple[str, str]:
    ends = [0, *(token.end() for token in tokens)]
    starts = [*(token.start() for token in tokens), len(text)]
    between = [_escaped(text[end:start]) for end, start in zip(ends, starts, strict=True)]
    form = "".join(sign + field for sign, field in zip(between, [*fields, ""], strict=True))
    first, _, last = form.partition("\0")
    return first, last


def _escaped(text: str) -> str:
    return text.replace("%", "%%")
