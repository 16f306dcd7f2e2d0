"""Item texts from catalogue columns: `{title}. {genres}`, or a template of the columns that are recognized."""

from __future__ import annotations

import string
from collections.abc import Sequence

import polars as pl

from recli.data.readers.column_roles import seen, unwrap
from recli.errors import UsageError, closest

TITLES = ("title", "name", "itemname", "productname", "movietitle", "booktitle", "headline", "originaltitle")
LABELS = ("genres", "genre", "categories", "category", "tags", "keywords")
_MAKERS = ("brand", "author", "authors", "artist", "artistname")
_PROSE = ("description", "summary", "overview", "abstract", "text")
TEXT_NAMES = (*TITLES, *_MAKERS, *LABELS, *_PROSE)


def default_template(names: Sequence[str]) -> str:
    """`{title}. {genres}. {description}` with the columns that are there; empty where there is none."""
    by_name = {unwrap(name): name for name in reversed(names) if name and not set(name) & set("{}!")}
    title = [by_name[n] for n in TITLES if n in by_name][:1]
    others = [by_name[n] for n in (*_MAKERS, *LABELS, *_PROSE) if n in by_name]
    return ". ".join("{" + name + "}" for name in title + others)


def parse(template: str, names: Sequence[str]) -> tuple[list[tuple[str, str]], str]:
    """The (text before, column) pairs of a template, and the text after the last one.

    Raises `UsageError` for a template that is none or names a column that is not there.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(
            f"--text {template!r} is no template: {error}", 'write for example: "{title}. {genres}"'
        ) from None
    fields: list[tuple[str, str]] = []
    before = ""
    for literal, field, spec, conversion in parts:
        before += literal
        if field is None:
            continue
        if conversion:
            raise UsageError(f"--text {template!r}: {{{field}!{conversion}}} is not a column", seen(names))
        fields.append((before, _column(f"{field}:{spec}" if spec else field, names, template)))
        before = ""
    if not fields:
        raise UsageError(
            f"--text {template!r} names no column", f'write for example: "{{title}}"; {seen(names)}'
        )
    return fields, before


def _column(field: str, names: Sequence[str], template: str) -> str:
    fits = [name for name in names if name == field] or [
        name for name in names if unwrap(name) == unwrap(field)
    ]
    if field == "" or len(fits) != 1:
        near = closest(field, names)
        raise UsageError(
            f"--text {template!r}: no column {field!r}; {seen(names)}",
            f"did you mean {{{near[0]}}}?" if near else "name one of them in braces",
        )
    return fits[0]


def render(template: str, frame: pl.DataFrame, columns: Sequence[str]) -> pl.Expr:
    """The text of each row (String; null where all its columns are empty).

    The text between two columns is written only where both sides have something, so an item without genres
    is `Heat`, not `Heat. `. White space is one space; `a|b` in columns of labels is written `a, b`.
    """
    if not template:
        return pl.lit(None, dtype=pl.String)
    fields, after = parse(template, columns)
    text: pl.Expr | None = None
    for before, column in fields:
        cell = _cell(frame, column)
        if text is None:
            text = cell
        else:
            both = text + pl.lit(before) + cell
            text = pl.when(cell.is_null()).then(text).when(text.is_null()).then(cell).otherwise(both)
    assert text is not None
    return pl.lit(fields[0][0]) + text + pl.lit(after)


def _cell(frame: pl.DataFrame, column: str) -> pl.Expr:
    cell = pl.col(column).cast(pl.String).str.replace_all(r"\s+", " ").str.strip_chars()
    if unwrap(column) in LABELS:
        cell = cell.str.replace_all(r" ?\| ?", ", ")
    return pl.when(cell != "").then(cell)
