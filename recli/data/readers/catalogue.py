"""Reads catalogues: one row per item with its id, its text and other columns."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from recli.data.readers.column_roles import CATALOGUE_ITEM, recognize
from recli.data.readers.fill_down import products
from recli.data.readers.jsonl import as_text
from recli.data.readers.log import open_table
from recli.data.readers.numbers import comma_to_point
from recli.data.readers.options import ReadOptions
from recli.data.readers.spool import reject_frame, reject_schema
from recli.data.readers.streams import Source, expand
from recli.data.readers.table import Batch, Reject, free_name
from recli.data.readers.text_cleaning import Change, clean_cells
from recli.data.readers.text_template import TEXT_NAMES, default_template, dotted_fields, parse, render
from recli.data.readers.values import normalize
from recli.errors import InvalidDataError
from recli.reporting import Advance, no_progress

_LINE, _ID, _TEXT = "\0line", "\0id", "\0text"  # beside columns of any name
# 007 and 439023483X are names, not numbers
_INTEGER = r"^-?(?:0|[1-9]\d{0,17})$"
_NUMBER = r"^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,2})?$"


@dataclass(frozen=True)
class Catalogue:
    """The catalogue that was read. `rows` = items in `frame` + `duplicates` + the sum of `rejected`.

    `frame`: item_id, text (String, null where there is none), then the other columns under their own names:
    numbers where every value is one, lists joined by `, `, empty cells null. A column that is itself called
    item_id or text, but is not the one used, becomes `..._original`. `changes`: what was cleaned in the texts, by kind
    (see `text_cleaning`). `notes`: what was assumed about the files.
    """

    frame: pl.DataFrame
    rejects: pl.DataFrame
    rows: int
    rejected: dict[str, int]
    duplicates: int
    text_template: str
    item_column: str
    changes: dict[str, Change] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Read:
    """One file: its columns and the ids (`_ID`, never empty), its bad rows, the name of the id's column."""

    frame: pl.DataFrame
    rejects: list[Reject]
    item: str
    notes: tuple[str, ...]


def read_catalogue(
    sources: Sequence[str],
    options: ReadOptions,
    text: str | None,
    advance: Advance = no_progress,
    *,
    empty_texts: tuple[str, ...] | None = None,
    keep_html: bool = False,
) -> Catalogue:
    """Read a catalogue (files, globs, `-`). `text`: the template; None: made of the recognized columns.

    `empty_texts`: cells that count as empty in texts; None: `nan`, `NULL`, ... (see `text_cleaning`).
    The first of several rows of one item counts. Raises `RecliError` for what concerns a file as a whole.
    """
    inputs = expand(sources)
    frames, rejects = [], [pl.DataFrame(schema=dict(reject_schema()))]
    keys: list[str] = []
    notes: list[str] = []
    rejected: Counter[str] = Counter()
    for source in inputs:
        read = _read(source, options, dotted_fields(text or ""))
        if read is not None:
            frames.append(read.frame)
            keys.append(read.item)
            notes += read.notes
            rejected.update(r.reason for r in read.rejects)
            rejects.append(reject_frame(source.name, read.rejects))
            advance(read.frame.height + len(read.rejects), f"{sum(f.height for f in frames):,} items")
    if not any(frame.height for frame in frames):
        why = f"; {sum(rejected.values()):,} rows cannot be used" if rejected else ""
        raise InvalidDataError(
            f"no items in {', '.join(map(str, inputs[:5]))}{why}", "name a catalogue with rows in it"
        )
    every = pl.concat(frames, how="diagonal_relaxed")
    kept = every.unique(_ID, keep="first", maintain_order=True)
    columns = [name for name in kept.columns if name != _ID]
    template = default_template([c for c in columns if c not in keys]) if text is None else text
    texts, changes = _texts(kept, template, columns, empty_texts, keep_html)
    kept = kept.with_columns(texts.alias(_TEXT))
    return Catalogue(
        frame=_output(kept, [name for name in columns if name not in keys], options.decimal_comma),
        rejects=pl.concat(rejects),
        rows=every.height + sum(rejected.values()),
        rejected=dict(sorted(rejected.items())),
        duplicates=every.height - kept.height,
        text_template=template,
        item_column=keys[0],
        changes=changes,
        notes=tuple(notes),
    )


def _texts(
    kept: pl.DataFrame, template: str, columns: Sequence[str], empty: tuple[str, ...] | None, keep_html: bool
) -> tuple[pl.Series, dict[str, Change]]:
    """The items' texts, String (n,), and what was cleaned in them."""
    if not template:
        return pl.Series([None] * kept.height, dtype=pl.String), {}
    parsed = parse(template, columns)
    cells, changes = clean_cells({name: kept[name] for name in parsed.columns}, empty, keep_html)
    return render(parsed, cells), changes


def _output(kept: pl.DataFrame, columns: Sequence[str], decimal_comma: bool) -> pl.DataFrame:
    """item_id, text, and the other columns; one that is itself called so becomes `..._original`."""

    def free(name: str) -> str:
        return f"{name}_original" if name in ("item_id", "text") else name

    first = (pl.col(_ID).alias("item_id"), pl.col(_TEXT).cast(pl.String).alias("text"))
    return kept.select(*first, *(_typed(kept[name], decimal_comma).alias(free(name)) for name in columns))


def _typed(column: pl.Series, decimal_comma: bool) -> pl.Series:
    """Int64 or Float64 where all values are plainly written numbers; empty cells null."""
    if column.dtype != pl.String:
        return column
    column = column.str.strip_chars()
    column = column.set(column == "", None)
    if column.null_count() == len(column):
        return column
    if column.str.contains(_INTEGER).all():
        return column.cast(pl.Int64)
    number = column
    if decimal_comma:
        number = column.to_frame().select(comma_to_point(pl.col(column.name))).to_series()
        if number.null_count() > column.null_count():  # a point in one of them
            return column
    return number.cast(pl.Float64) if number.str.contains(_NUMBER).all() else column


def _read(source: Source, options: ReadOptions, paths: Sequence[str]) -> _Read | None:
    table = open_table(source, options, (CATALOGUE_ITEM,), TEXT_NAMES, every_key=True, paths=paths)
    if table is None:
        return None
    table = products(table, str(source))
    number = recognize(table.names, (CATALOGUE_ITEM,), options, str(source))["item"]
    names = _distinct(table.names)
    free = {free_name(k): name for k, name in enumerate(names)}
    frames, rejects = [], []
    for batch in table.batches({"item": number} | {free_name(k): k for k in range(len(names))}):
        good, bad = _with_ids(batch, names[number])
        frames.append(
            good.select(_ID, *(_flattened(good[column]).alias(name) for column, name in free.items()))
        )
        rejects += bad
    return _Read(pl.concat(frames), rejects, names[number], tuple(table.notes))


def _with_ids(batch: Batch, column: str) -> tuple[pl.DataFrame, list[Reject]]:
    """A batch's rows with `_ID` instead of `line` and `item`, and the rows that have no usable id."""
    good, faults = normalize(batch.frame.select("line", "item"), (CATALOGUE_ITEM,))
    bad = {line: reason for line, _, reason, _ in faults}
    texts = batch.raw(list(bad)) if bad else []
    rejects = [Reject(n, column, reason, raw) for (n, reason), raw in zip(bad.items(), texts, strict=True)]
    rows = batch.frame.filter(~batch.frame["line"].is_in(list(bad))) if bad else batch.frame
    return rows.drop("line", "item").with_columns(good["item_id"].alias(_ID)), batch.rejects + rejects


def _flattened(column: pl.Series) -> pl.Series:
    """Nested and binary values as text."""
    if not (column.dtype.is_nested() or column.dtype == pl.Binary):
        return column
    return pl.Series(column.name, [as_text(v) for v in column.to_list()], dtype=pl.String)


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, with `column_3` for an empty one and `name_2` for one that comes again."""
    unique_names: list[str] = []
    for k, name in enumerate(names):
        name = name or f"column_{k + 1}"
        again = 1
        while (new := name if again == 1 else f"{name}_{again}") in unique_names:
            again += 1
        unique_names.append(new)
    return unique_names
