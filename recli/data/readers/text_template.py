"""Item texts from catalogue columns: `{title}. {genres}`, or a template of the columns that are recognized."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import polars as pl

from recli.data.readers.column_roles import seen, unwrap
from recli.errors import UsageError, closest

TITLES = (
    "title",
    "name",
    "itemname",
    "productname",
    "producttitle",
    "movietitle",
    "booktitle",
    "headline",
    "originaltitle",
)
_KINDS = ("producttype", "productcategory")
LABELS = ("genres", "genre", "categories", "category", *_KINDS, "tags", "keywords")
_MAKERS = ("brand", "vendor", "author", "authors", "artist", "artistname")
_PROSE = (
    "shortdescription", "description", "body(html)", "bodyhtml", "summary", "overview", "abstract", "text",
)  # fmt: skip
TEXT_NAMES = (*TITLES, *_MAKERS, *LABELS, *_PROSE)


def default_template(names: Sequence[str]) -> str:
    """`{title}. {genres}. {description}` with the columns that are there; empty where there is none."""
    by_name = {unwrap(name): name for name in reversed(names) if name and not set(name) & set("{}!")}
    title = [by_name[n] for n in TITLES if n in by_name][:1]
    shop = ["type"] if "vendor" in by_name else []  # Shopify's type of product; elsewhere it may be any
    others = [by_name[n] for n in (*_MAKERS, *shop, *LABELS, *_PROSE) if n in by_name]
    return ". ".join("{" + name + "}" for name in title + others)


_BRACKETS = {"(": ")", "[": "]", "«": "»", "“": "”"}


@dataclass
class Group:
    """A template, or what it has in brackets: written where one of its columns has something.

    `before`: the text before each of `parts`, columns and groups; `after`: the text after the last one.
    """

    before: list[str] = field(default_factory=list)
    parts: list[str | Group] = field(default_factory=list)
    after: str = ""

    def add(self, part: str | Group) -> None:
        self.before.append(self.after)
        self.parts.append(part)
        self.after = ""

    @property
    def columns(self) -> list[str]:
        names = [[part] if isinstance(part, str) else part.columns for part in self.parts]
        return list(dict.fromkeys(name for inner in names for name in inner))


def parse(template: str, names: Sequence[str]) -> Group:
    """A template's columns, and the texts between them.

    Raises `UsageError` for a template that is none or names a column that is not there.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UsageError(
            f"--text {template!r} is no template: {error}", 'write for example: "{title}. {genres}"'
        ) from None
    open_groups = [Group()]
    for literal, name, spec, conversion in parts:
        for character in literal:
            _write(open_groups, character)
        if name is None:
            continue
        if conversion:
            raise UsageError(f"--text {template!r}: {{{name}!{conversion}}} is not a column", seen(names))
        open_groups[-1].add(_column(f"{name}:{spec}" if spec else name, names, template))
    while len(open_groups) > 1:  # brackets that are never closed are text
        _merge(open_groups)
    if not open_groups[0].parts:
        raise UsageError(
            f"--text {template!r} names no column", f'write for example: "{{title}}"; {seen(names)}'
        )
    return open_groups[0]


def _write(open_groups: list[Group], character: str) -> None:
    """Add a character to the innermost group; brackets open and close one."""
    if character in _BRACKETS:
        open_groups.append(Group(after=character))
        return
    group = open_groups[-1]
    group.after += character
    opener = (group.before or [group.after])[0][:1]
    if len(open_groups) > 1 and _BRACKETS.get(opener) == character:
        if group.parts:
            open_groups.pop()
            open_groups[-1].add(group)
        else:
            _merge(open_groups)


def _merge(open_groups: list[Group]) -> None:
    """Make the innermost group a part of the text around it."""
    group = open_groups.pop()
    for before, part in zip(group.before, group.parts, strict=True):
        open_groups[-1].after += before
        open_groups[-1].add(part)
    open_groups[-1].after += group.after


def dotted_fields(template: str) -> list[str]:
    """The fields of a template with dots, which may lie inside objects; none where it is no template."""
    try:
        return [field for _, field, _, _ in string.Formatter().parse(template) if field and "." in field]
    except ValueError:  # said by `parse`, which knows the columns
        return []


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


def render(template: Group, cells: Mapping[str, pl.Series]) -> pl.Series:
    """The text of each row, String (n,); null where all its columns are empty.

    `cells`: by column, null where empty. The text between two columns is written only where both sides have something,
    and brackets only where there is something in them: an item without genres is `Heat`, not `Heat. `, one without a
    year `Heat. Crime`, not `Heat (). Crime`. `a|b` in columns of labels is written `a, b`.
    """
    frame = pl.DataFrame({name: _labels(column, name) for name, column in cells.items()})
    return frame.select(_text(template).alias("text")).to_series()


def _text(group: Group) -> pl.Expr:
    text: pl.Expr | None = None
    for before, part in zip(group.before, group.parts, strict=True):
        cell = pl.col(part) if isinstance(part, str) else _text(part)
        if text is None:
            text = cell
        else:
            both = text + pl.lit(before) + cell
            text = pl.when(cell.is_null()).then(text).when(text.is_null()).then(cell).otherwise(both)
    assert text is not None
    return pl.lit(group.before[0]) + text + pl.lit(group.after)


def _labels(column: pl.Series, name: str) -> pl.Series:
    return column.str.replace_all(r" ?\| ?", ", ") if unwrap(name) in LABELS else column
