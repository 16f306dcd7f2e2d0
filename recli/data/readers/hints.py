"""Remedies for a table that lacks a column: a field of an object, a list, a table beside it to join."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from recli.data.readers.column_roles import ITEM, USER, MissingColumnError, Role, unwrap
from recli.data.readers.delimited import SEPARATORS, split_line
from recli.data.readers.options import OptionNames, ReadOptions
from recli.data.readers.streams import Source, Stream
from recli.data.readers.table import Table
from recli.errors import InvalidDataError, RecliError

_MOST_FILES, _ROWS = 50, 200  # files beside the log, and the first rows of each that are looked at
_MOST_COLUMNS = 10  # of a log; more may be a matrix
_GROUPS = {
    f"{group}{end}" for group in ("order", "invoice", "basket", "cart", "transaction") for end in ("id", "no")
}
_LISTS = ("s", "list", "ids", "seq", "sequence", "history")


def check_plain(
    where: str, table: Table, columns: Mapping[str, str], advice: OptionNames, lists: bool = False
) -> None:
    """Raises `InvalidDataError` where a column (role -> name) holds objects, or lists unless these are allowed."""
    for role, name in columns.items():
        found = table.nested.get(name)
        if found is None or (lists and not found.fields):
            continue
        option, field = advice.roles.get(role), _id_of(table, name, role)
        raise InvalidDataError(
            f"{where}: the column {name!r} is {found}, which cannot be the {role}",
            f"name one of the fields: {option} {shlex.quote(f'{name}.{field}')}"
            if option and field
            else "name another column, or convert it (ids to strings or integers)",
        )


def with_fields(what: str, table: Table) -> str:
    """A message that lists the columns, with what is inside those that are not plain."""
    return "; ".join([what, *(f"{name} is {found}" for name, found in table.nested.items())])


def remedied(
    error: MissingColumnError, table: Table, source: Source, roles: Sequence[Role], options: ReadOptions
) -> MissingColumnError:
    """The error, with what is inside the columns it names, and the options that would find the missing ones."""
    what = with_fields(error.what, table)
    missing = [role for role in roles if role.name in error.roles and role.name in options.advice.roles]
    found_inside = {role: path for role in missing if (path := _inside(table, role))}
    if found_inside:
        fixes = [
            f"{options.advice.roles[r.name]} {shlex.quote(found_inside.get(r, 'NAME'))}" for r in missing
        ]
        them = "it" if len(fixes) == 1 else "them"
        return MissingColumnError(what, f"name {them}: {' '.join(fixes)}", error.roles)
    fix = error.fix or ""
    if options.advice.join and missing:
        other = _beside(table, source, missing, options.advice)
        if other is not None:
            fix = f"{other}, or {fix}"
        elif error.roles == ["item"] and _n_numbered(table, missing[0]) > 1:
            fix += "; where the cells are a user's items: --format adjacency; where they are ratings: --format matrix"
        elif len(missing) == 1 and len(table.names) > _MOST_COLUMNS:
            fix += f"; where each column is that of one {missing[0].name}: --format matrix"
        elif any(unwrap(name) in _GROUPS for name in table.names):
            fix += f"; where another file has it: {options.advice.join} FILE:COLUMN_OF_BOTH"
    return MissingColumnError(what, fix, error.roles)


def _inside(table: Table, role: Role) -> str | None:
    """A field of an object, or a column of lists, whose name is known for the role (`items.item_id`, `item_ids`)."""
    paths = [f"{name}.{field}" for name, found in table.nested.items() for field in found.fields]
    for tier in role.names:
        for path in paths:
            keys = path.split(".")
            if unwrap(keys[-1]) in tier or unwrap("".join(keys[-2:])) in tier:
                return path
    known = {name + end for tier in role.names for name in tier for end in _LISTS}
    lists = (name for name in table.names if unwrap(name) in known)
    return next((f"{name}.{_id_of(table, name, role.name)}".rstrip(".") for name in lists), None)


def _n_numbered(table: Table, role: Role) -> int:
    """The number of columns such as item_1, item_2."""
    known = {name for tier in role.names for name in tier}
    return sum(unwrap(name) != unwrap(name).rstrip("0123456789") in known for name in table.names)


def _id_of(table: Table, name: str, role: str) -> str:
    """The field of a column's objects that might be the role's; empty where it has no objects."""
    fields = table.nested[name].fields if name in table.nested else ()
    return next((f for f in fields if f in ("id", f"{role}_id", f"{role}.id")), next(iter(fields), ""))


def group_as_user(table: Table, column: str, source: Source, user: Role, advice: OptionNames) -> str:
    """A remark where the users are orders, and a table beside the log has the orders' users; else empty."""
    other = _beside(table, source, [user], advice) if advice.join and unwrap(column) in _GROUPS else None
    return f"each {column} is a user; {other} makes their users the users" if other else ""


def _beside(table: Table, source: Source, missing: Sequence[Role], advice: OptionNames) -> str | None:
    """The option that joins a file in the log's folder with an id of the log and a missing column.

    Where that id comes several times in the file, it is the file that the log is to be joined to.
    """
    if source.path is None:
        return None
    known = {name for role in (USER, ITEM) for tier in role.names for name in tier}
    ends = ("id", "no", "number", "key", "code")
    ids = {name for name in table.names if unwrap(name).endswith(ends) and unwrap(name) not in known}
    files = sorted(p for p in source.path.parent.iterdir() if p.is_file() and p != source.path)[:_MOST_FILES]
    for path in files:
        rows = _first_rows(path)
        key = next((name for name in rows.columns if name in ids), None)
        for role in missing if key else ():
            column = next((n for tier in role.names for n in rows.columns if unwrap(n) in tier), None)
            if key is None or column in (None, key):
                continue
            found = f"{path.name} beside it has {key} and {column}"
            if rows[key].n_unique() == rows.height:
                return f"{found}: {advice.join} {shlex.quote(f'{path}:{key}')}"
            if role.name == "item":
                return f"{found}: name it as the log, with {advice.join} {shlex.quote(f'{source}:{key}')}"
    return None


def _first_rows(path: Path) -> pl.DataFrame:
    """The first rows of a file with a header; no columns where it cannot be read or has no rows."""
    try:
        stream = Stream(Source(path))
        if stream.format() == "parquet":
            return pl.scan_parquet(path).head(_ROWS).collect()
    except (RecliError, OSError, pl.exceptions.PolarsError):
        return pl.DataFrame()
    lines = stream.head.decode("utf-8", errors="replace").splitlines()[: _ROWS + 1]
    header, *lines = lines[: -1 if len(lines) > 2 else None] or [""]
    separator = max(SEPARATORS, key=lambda s: len(split_line(header, s)))
    names = [name.strip() for name in split_line(header, separator)]
    rows = [row for line in lines if len(row := split_line(line, separator)) == len(names)]
    if not rows or len(set(names)) < len(names):
        return pl.DataFrame()
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")
