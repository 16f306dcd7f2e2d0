"""Text that holds a list: `a|b|c`, `1 2 3`, `["a", "b"]`, `['a', 'b']`: found, recognized among ids, and split."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import polars as pl

from recli.data.readers.jsonl import encodes
from recli.data.readers.nested import Nested, nested_cells, unwrapped

JSON, BLANK, TAB = "json", "blank", "tab"  # words for what is hard to type
SEPARATORS = ("|", ";", ",", "#", "::", TAB, BLANK)
_SAMPLE = 5_000  # cells looked at
_FEWEST = 5  # cells that are no lists by chance
_BRACKETED = r"(?s)^\s*(?:\[.*\]|\{.*\}|\(.*,.*\))\s*$"
_ELEMENT = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"\[\](){}]+)""")
_RATED = r"^(.+):(-?\d+(?:\.\d+)?)$"
_SUFFIX = r"^(.+)[-:]([01])$"

# Integers and fractions keep their digits.
_decode: Callable[[str], Any] = json.JSONDecoder(parse_int=str, parse_float=str, parse_constant=str).decode


def find_separator(cells: pl.Series) -> str | None:
    """What separates the elements of text cells: `json` for brackets; None where nothing seems to."""
    cells = cells.drop_nulls().head(_SAMPLE)
    if len(cells) and float(cells.str.contains(_BRACKETED).mean()) > 0.5:  # type: ignore[arg-type]
        return JSON
    counts = {separator: _holding(cells, separator) for separator in SEPARATORS}
    best = max(SEPARATORS, key=lambda separator: counts[separator])  # the first of equals
    return best if counts[best] else None


def _holding(cells: pl.Series, separator: str) -> int:
    """The number of cells with that separator between two elements."""
    return int(cells.str.strip_chars().str.contains(_pattern(separator)).sum())


def _pattern(separator: str) -> str:
    return r"\s" if separator == BLANK else r"\t" if separator == TAB else re.escape(separator)


def split(cells: pl.Series, separator: str | None) -> pl.Series:
    """The elements of each text cell (List(String)); null where a cell is no list. None makes lists of one.

    A missing or blank cell is an empty list. Empty elements are null, but for those at the end.
    """
    if separator == JSON:
        return pl.Series(cells.name, _parsed(cells.to_list()), dtype=pl.List(pl.String))
    cells = cells.fill_null("").str.strip_chars()
    if separator == BLANK:
        return cells.str.extract_all(r"\S+")
    literal = "\t" if separator == TAB else separator
    cell, element = pl.col(cells.name), pl.element().str.strip_chars()
    lists = cell.str.strip_chars_end(f" {literal}").str.split(literal) if literal else pl.concat_list(cell)
    lists = pl.when(cell == "").then(pl.lit([], dtype=pl.List(pl.String))).otherwise(lists)
    lists = lists.list.eval(pl.when(element != "").then(element))
    return cells.to_frame().select(lists.alias(cells.name)).to_series()


def _parsed(cells: list[str | None]) -> list[list[str | None] | None]:
    """The elements of lists in brackets; a cell without brackets is one element."""
    try:
        whole = _decode(f"[{','.join(cell or '[]' for cell in cells)}]")
    except (ValueError, RecursionError):
        whole = []
    if len(whole) != len(cells) or not all(isinstance(cell, list) for cell in whole):
        whole = [_loaded(cell or "") for cell in cells]
    return [None if cell is None else _texts(cell) for cell in whole]


def _loaded(cell: str) -> list[Any] | None:
    """One cell: JSON, the text of a Python list, numpy array or PostgreSQL array, or a plain value."""
    cell = cell.strip()
    if not re.fullmatch(_BRACKETED, cell):
        return [cell] if cell else []
    try:
        value = _decode(cell)
    except (ValueError, RecursionError):
        inner = cell[1:-1].strip()
        if "," in inner and not set(inner) & {"'", '"'}:
            return [part.strip() for part in inner.split(",")]
        return [re.sub(r"\\(.)", r"\1", a or b) or c for a, b, c in _ELEMENT.findall(inner)]
    return value if isinstance(value, list) else None


def _texts(values: list[Any]) -> list[str | None] | None:
    """A list's elements as text, those of lists in it too; None where one is an object or no UTF-8."""
    texts: list[str | None] = []
    pending = values[::-1]
    while pending:
        value = unwrapped(pending.pop())
        if isinstance(value, list):
            pending += value[::-1]
        elif isinstance(value, dict):
            return None
        else:
            texts.append(json.dumps(value) if isinstance(value, bool) else value)
    return texts if encodes("".join(filter(None, texts))) else None


def objects(cells: pl.Series) -> Nested | None:
    """What text cells hold where that is JSON objects, or lists of them."""
    found = []
    for cell in cells.head(100):
        try:
            found.append(_decode(cell))
        except (ValueError, RecursionError):
            found.append(None)
    nested = nested_cells(found)
    return nested if nested and nested.fields else None


def recognized(ids: pl.Series) -> str | None:
    """The separator, where ids look like lists of ids: they hold it, hardly one comes again, their elements do.

    Words make titles look alike, so blanks count only between elements with digits in them; and the elements at
    the first place must also be found at others, unlike the parts of a compound key.
    """
    cells = ids.drop_nulls().head(_SAMPLE)
    if len(cells) < _FEWEST:
        return None
    if float(cells.str.contains(_BRACKETED).mean()) > 0.5:  # type: ignore[arg-type]
        return JSON
    again = len(cells) / cells.n_unique()
    if again > 2:
        return None
    for separator in SEPARATORS:
        if _holding(cells, separator) < len(cells) / 2:
            continue
        lists = split(cells, separator)
        if is_impressions(lists.explode()):
            lists = lists.to_frame().select(pl.all().list.eval(suffixes(pl.element())[0])).to_series()
        elements = lists.explode().drop_nulls()
        if separator == BLANK and float(elements.str.contains(r"\d").mean()) < 0.9:  # type: ignore[arg-type]
            continue
        first = lists.list.first().drop_nulls().unique()
        later = lists.list.slice(1).explode().drop_nulls()
        elsewhere = float(first.is_in(later.unique().to_list()).mean())  # type: ignore[arg-type]
        if elsewhere >= 0.2 and len(elements) / elements.n_unique() >= 1.2 * again:
            return separator
    return None


def is_impressions(elements: pl.Series) -> bool:
    """Whether 90% of the elements end in -1 or -0 (clicked or not), and both are there."""
    elements = elements.drop_nulls()
    if elements.is_empty():
        return False
    ends = elements.str.extract(_SUFFIX, 2).drop_nulls()
    return len(ends) >= 0.9 * len(elements) and ends.n_unique() == 2


def is_rated(elements: pl.Series) -> bool:
    """Whether 90% of the elements are an id and a rating, `26:4.5`: few different numbers, up to 100, for many ids."""
    elements = elements.drop_nulls()
    ids, numbers = elements.str.extract(_RATED, 1), elements.str.extract(_RATED, 2)
    found = numbers.cast(pl.Float64, strict=False).drop_nulls()
    few = found.n_unique() <= min(50, ids.drop_nulls().n_unique() // 2)
    return few and len(found) >= 0.9 * len(elements) and float(found.abs().max()) <= 100  # type: ignore[arg-type]


def ratings(elements: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The id and the rating of `26:4.5`; null where an element is not written so."""
    return elements.str.extract(_RATED, 1), elements.str.extract(_RATED, 2)


def without_suffix(elements: pl.Series) -> pl.Series:
    """The ids of impressions, `N24` for `N24-1`; others as they are."""
    return elements.str.replace(_SUFFIX, "$1") if is_impressions(elements) else elements


def suffixes(elements: pl.Expr) -> tuple[pl.Expr, pl.Expr]:
    """The id and the last digit of `N24-1`; null where an element is not written so."""
    return elements.str.extract(_SUFFIX, 1), elements.str.extract(_SUFFIX, 2)
