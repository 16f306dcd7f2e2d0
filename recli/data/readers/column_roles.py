"""Which column is the user, the item, the rating, ...: named by the user, or recognized by common names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from recli.data.readers.options import OptionNames, ReadOptions
from recli.errors import InvalidDataError, UsageError, closest, quoted


class MissingColumnError(InvalidDataError):
    """No column is that of a required role."""

    def __init__(self, what: str, fix: str, roles: Sequence[str]) -> None:
        super().__init__(what, fix)
        self.roles = roles


@dataclass(frozen=True)
class Role:
    """What a column can be. `names`: tiers of known names; a name of an earlier tier wins over a later one."""

    name: str
    output: str  # the column's name after reading
    kind: str  # id | number | text | time
    names: tuple[tuple[str, ...], ...]
    required: bool = False


def _tiers(*tiers: str) -> tuple[tuple[str, ...], ...]:
    return tuple(tuple(tier.split()) for tier in tiers)


USER = Role(
    "user",
    "user_id",
    "id",
    _tiers(
        "userid user",
        "reviewerid customerid visitorid memberid accountid profileid uid username customer visitor reviewer",
        "customeremail email useremail",
        "userpseudoid",  # Google Analytics 4
        "sessionid session",
    ),
    required=True,
)
ITEM = Role(
    "item",
    "item_id",
    "id",
    _tiers(
        "itemid item",
        "movieid filmid asin parentasin productid bookid trackid songid artistid businessid gameid recipeid "
        "articleid newsid videoid placeid poiid locationid appid courseid jobid hotelid aid",
        "isbn sku lineitemsku product movie book track article artist business game",
    ),
    required=True,
)
RATING = Role(
    "rating", "rating", "number", _tiers("rating", "stars overall score", "bookrating movierating userrating")
)
EVENT = Role(
    "event",
    "event",
    "text",
    _tiers("event", "eventtype action behavior behavior behaviortype", "eventname", "type"),
)
WEIGHT = Role(
    "weight", "weight", "number", _tiers("weight", "count plays playcount playtime quantity listens clicks")
)
TIME = Role(
    "time",
    "timestamp",
    "time",
    _tiers(
        "timestamp",
        "time ts unixreviewtime unixtime date datetime createdat eventtime reviewtime playedat",
        "eventtimestamp",
        "position",
    ),
)
EVENT_ROLES = (USER, ITEM, RATING, EVENT, WEIGHT, TIME)
# In a catalogue a bare `id` is the item's; in an event log it is ambiguous. The last ones are Shopify's.
CATALOGUE_ITEM = Role(
    "item",
    "item_id",
    "id",
    (*ITEM.names[:2], (*ITEM.names[2], "id"), ("variantsku", "handle")),
    required=True,
)

_SUFFIX = re.compile(r":(token|float|token_seq|float_seq)$")  # RecBole's atomic files: user_id:token


def unwrap(name: str) -> str:
    """A column's name without case, `_`, `-`, spaces and RecBole's type suffix: `User-ID` -> `userid`."""
    return re.sub(r"[\s_\-]", "", _SUFFIX.sub("", name.strip().strip('"').casefold()))


def known_names(
    cells: Sequence[str], roles: Sequence[Role], options: ReadOptions, more: Sequence[str]
) -> int:
    """How many cells of a row are names of required roles, names the user typed, or one of `more`."""
    known = {n for r in roles if r.required for tier in r.names for n in tier} | set(more)
    typed = {options.column_of(r.name) for r in roles} - {None, ""}
    return sum(unwrap(cell) in known or cell.strip() in typed for cell in cells)


def recognize(
    names: Sequence[str], roles: Sequence[Role], options: ReadOptions, where: str
) -> dict[str, int]:
    """The column number of each role that is there.

    Raises `UsageError` for a column the user named that is not there, `InvalidDataError` where two fit or
    a required one is missing; both list the columns seen.
    """
    column_of_role: dict[str, int] = {}
    for role in roles:
        column = _column(names, role, options, where)
        if column is not None:
            column_of_role[role.name] = column
    _check_distinct(column_of_role, names, where, options.advice)
    missing = [r for r in roles if r.required and r.name not in column_of_role]
    if missing:
        raise MissingColumnError(
            f"{where}: no column for the {' and the '.join(r.name for r in missing)}; {seen(names)}",
            _naming(missing, options.advice),
            [r.name for r in missing],
        )
    return column_of_role


def _naming(missing: Sequence[Role], advice: OptionNames) -> str:
    """What to do about missing columns: the options that name them, or the names that are recognized."""
    if all(r.name in advice.roles for r in missing):
        them = "it" if len(missing) == 1 else "them"
        return f"name {them}: {' '.join(f'{advice.roles[r.name]} NAME' for r in missing)}"
    known = "; ".join(f"the {r.name}: {', '.join(n for tier in r.names for n in tier)}" for r in missing)
    return f"give the columns one of the names that are recognized (user_id is userid); {known}"


def _column(names: Sequence[str], role: Role, options: ReadOptions, where: str) -> int | None:
    named, option = options.column_of(role.name), options.advice.roles.get(role.name)
    if named == "" and not role.required:
        return None
    if named:
        exact = [i for i, name in enumerate(names) if name.strip() == named.strip()]
        if not exact:
            near = closest(named, names)
            raise UsageError(
                f"{where}: no column {named!r} ({option}); {seen(names)}",
                f"did you mean {option} {quoted(near[0])}?" if near else f"name one of them: {option} NAME",
            )
        if len(exact) > 1:
            raise InvalidDataError(f"{where}: the column {named!r} is there {len(exact)} times", "rename one")
        return exact[0]
    fits = fitting(names, role)
    if len(fits) > 1:
        both = " and ".join(repr(names[i]) for i in fits)
        either = " or ".join(f"{option} {names[i]}" for i in fits)
        off = "" if role.required else f', or leave it out: {option} ""'
        differ = len({names[i] for i in fits}) == len(fits)
        raise InvalidDataError(
            f"{where}: {len(fits)} columns fit the {role.name}: {both}; {seen(names)}",
            f"say which: {either}{off}" if option and differ else "rename or remove one of them",
        )
    return fits[0] if fits else None


def fitting(names: Sequence[str], role: Role) -> list[int]:
    """The columns whose names are known for a role, those of the first tier that has any."""
    tiers = ([i for i, name in enumerate(names) if unwrap(name) in tier] for tier in role.names)
    return next((fits for fits in tiers if fits), [])


def _check_distinct(
    column_of_role: Mapping[str, int], names: Sequence[str], where: str, advice: OptionNames
) -> None:
    by_column: dict[int, str] = {}
    for role, column in column_of_role.items():
        if column in by_column:
            raise UsageError(
                f"{where}: {names[column]!r} cannot be both the {by_column[column]} and the {role}",
                f"name another column: {advice.roles[role]} NAME; {seen(names)}"
                if role in advice.roles
                else f"rename the columns; {seen(names)}",
            )
        by_column[column] = role


def seen(names: Sequence[str]) -> str:
    shown = ", ".join(name or "(no name)" for name in names[:40])
    return f"columns: {shown}{', ...' if len(names) > 40 else ''}"
