"""Cells that become texts: markers of missing values, lists written as code, and HTML."""

from __future__ import annotations

import ast
import csv
import html
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from recli.data.readers.native import native_text

HTML = ("strip", "keep")
# Count as empty wherever they are, and where more than one cell of a column has them (None may be a title).
_ALWAYS = (
    "nan",
    "NaN",
    "<NA>",
    "#N/A",
    "N/A",
    "n/a",
    "NULL",
    "null",
    "(null)",
    "\\N",
    "undefined",
    "(not set)",
)
_REPEATED = (
    "None",
    "none",
    "NONE",
    "Null",
    "NAN",
    "Nan",
    "NA",
    "nil",
    "-",
    "--",
    "?",
    "Undefined",
    "unknown",
)
_MARKUP_LIMIT = 20_000  # characters of a cell that may be a list or an object
_NAMES = ("name", "title", "label", "text", "value")  # what an object's words are, if it has one of them

_BLOCK = (
    "address|article|aside|blockquote|br|caption|center|dd|div|dl|dt|figcaption|figure|footer|h[1-6]|header|hr|iframe|"
    "img|input|li|link|main|meta|nav|ol|p|pre|section|table|tbody|td|tfoot|th|thead|tr|ul|video"
)
_INLINE = "a|abbr|b|big|cite|code|del|em|font|i|ins|kbd|label|mark|q|s|samp|small|span|strike|strong|sub|sup|tt|u|var"
_END = r"(?:\s*/?|\s[^<>]*=[^<>]*)>"  # attributes have a value, so that `a <b and c> d` is no tag
_REMOVED = (
    (
        r"(?is)<script\b.*?</script\s*>|<style\b.*?</style\s*>|<!--.*?-->|<!doctype[^>]*>|<!\[CDATA\[|\]\]>",
        " ",
    ),
    (rf"(?i)</?(?:{_BLOCK}){_END}", " "),
    (rf"(?i)</?(?:{_INLINE}){_END}", ""),
)
_ENTITY = r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});"


@dataclass(frozen=True)
class Change:
    """What was changed in the cells of texts: how many, by column, and one of them before and after."""

    cells: dict[str, int]
    before: str
    after: str = ""

    @property
    def n(self) -> int:
        return sum(self.cells.values())


Changes = Mapping[str, Change]
"""By kind: `empty` (markers of missing values), `nested` (lists written as code), `html`."""


def clean_cells(
    columns: Mapping[str, pl.Series], empty: tuple[str, ...] | None, keep_html: bool
) -> tuple[dict[str, pl.Series], dict[str, Change]]:
    """The cells as they become texts (String, null where empty), and what was changed.

    `empty`: the cells that count as empty; None: `nan`, `NULL`, `N/A`, ... and, where a column has them repeatedly,
    `None`, `-`, ... Lists and objects written as JSON or Python become their words.
    """
    steps: dict[str, Callable[[pl.Series], pl.Series]] = {
        "empty": lambda cells: _without_markers(cells, empty),
        "nested": _flat,
        **({} if keep_html else {"html": _without_html}),
    }
    changes: dict[str, Change] = {}
    cleaned: dict[str, pl.Series] = {}
    for name, column in columns.items():
        cells = _spaced(native_text(column))
        for kind, step in steps.items():
            new = step(cells)
            changed = (cells.is_not_null() & new.ne_missing(cells)).arg_true()
            if len(changed):
                first = int(changed[0])
                found = changes.get(kind, Change({}, cells[first], new[first] or ""))
                changes[kind] = Change({**found.cells, name: len(changed)}, found.before, found.after)
            cells = new
        cleaned[name] = cells
    return cleaned, changes


def _spaced(cells: pl.Series) -> pl.Series:
    """White space is one space; empty cells are null."""
    cells = cells.str.replace_all(r"\s+", " ").str.strip_chars()
    return cells.set(cells == "", None)


def _without_markers(cells: pl.Series, empty: tuple[str, ...] | None) -> pl.Series:
    markers = list(empty if empty is not None else _ALWAYS)
    if empty is None:
        repeated = cells.filter(cells.is_in(_REPEATED)).value_counts()
        markers += repeated.filter(pl.col("count") > 1)[cells.name].to_list()
    return cells.set(cells.is_in(markers).fill_null(False), None) if markers else cells


def _without_html(cells: pl.Series) -> pl.Series:
    if cells.str.contains(_ENTITY).any():
        cells = _mapped(cells, _ENTITY, _unescape)
    if cells.str.contains("<", literal=True).any():
        for pattern, replacement in _REMOVED:
            cells = cells.str.replace_all(pattern, replacement)
    return _spaced(cells)


def _unescape(text: str) -> str:
    for _ in range(2):  # &amp;amp; is not rare
        text = re.sub(_ENTITY, lambda entity: html.unescape(entity.group()), text)
    return text


def _flat(cells: pl.Series) -> pl.Series:
    return _spaced(_mapped(cells, r"^(?:[\[{(].*[\]})]|c\(.*\)|character\(0\))$", _words_of))


def _mapped(cells: pl.Series, pattern: str, change: Callable[[str], str | None]) -> pl.Series:
    """The cells, those that have the pattern changed."""
    found = cells.filter(cells.str.contains(pattern).fill_null(False)).unique()
    if not len(found):
        return cells
    return cells.replace(found, pl.Series([change(cell) for cell in found], dtype=pl.String))


def _words_of(cell: str) -> str | None:
    value = _parsed(cell) if len(cell) <= _MARKUP_LIMIT else None
    return cell if value is None else ", ".join(_words(value))


def _parsed(cell: str) -> list[Any] | dict[str, Any] | None:
    """The list or object that a cell is: JSON, Python, numpy's, R's and PostgreSQL's notation; None if it is none."""
    if cell == "character(0)":
        return []
    if cell.startswith("c("):
        cell = f"[{cell[2:-1]}]"
    quoted = (
        re.sub(r"(['\"]) (?=['\"])", r"\1, ", cell) if cell.startswith("[") else cell
    )  # numpy has no commas
    for text in (quoted, f"[{cell}]") if "}, {" in cell else (quoted,):  # or objects one after the other
        for parse in (json.loads, _literal):
            try:
                value = parse(text)
            except (ValueError, SyntaxError, RecursionError, MemoryError):
                continue
            if isinstance(value, list | dict):
                return value
            if isinstance(value, tuple | set) and any(isinstance(element, str) for element in value):
                return list(value) if isinstance(value, tuple) else sorted(map(str, value))
    if re.fullmatch(r"\{[^{}:]*,[^{}:]*\}", cell):
        return next(csv.reader([cell[1:-1]], skipinitialspace=True), [])
    return None


def _literal(text: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes such as \d
        return ast.literal_eval(text)


def _words(value: Any) -> list[str]:
    if isinstance(value, list | tuple):
        return [word for element in value for word in _words(element)]
    if isinstance(value, dict):
        named = next((key for key in value if str(key).casefold() in _NAMES), None)
        if named is not None:
            return _words(value[named])
        return [f"{key}: {', '.join(words)}" for key, inner in value.items() if (words := _words(inner))]
    text = "" if value is None or value != value else str(value).strip()
    return [] if text in ("", *_ALWAYS) else [text]
