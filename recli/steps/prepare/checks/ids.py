"""Checks of ids: names of nothing (`nan`, `NULL`), integers written as `13001.0`, spellings of one id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import polars as pl

from recli import schema
from recli.reporting import Reporter, counted
from recli.steps.prepare.config import PrepareConfig, PrepareSettings
from recli.steps.prepare.ids import (
    FLOAT,
    IdRules,
    normalize_catalogue,
    normalized,
    rules_of,
    without_fraction,
)
from recli.steps.prepare.inputs import CatalogueInput, EventInput

# Names of nothing, in lower case. The first are never ids; the second are where the other ids look otherwise, or where
# they have far more events than any other; the third may stand for many people or for one: that is asked.
_NOTHING = (
    "undefined", "(not set)", "(null)", "(none)", "[null]", "<na>", "<null>", "#n/a", "n/a", "\\n", "not set",
    "00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000",
)  # fmt: skip
_MAYBE = ("nan", "null", "none", "na", "nil", "nat", "-1", "-1.0")
_MANY = ("unknown", "anonymous", "anon", "guest", "0", "missing", "unregistered", "deleted", "[deleted]")
_NO_ROW = ("nan", "null")  # with the first, ids that no row of a catalogue has
_ALIKE = 0.9  # share of ids that look one way
_OUTLYING = 3  # times as many events as any other id
_SHOWN = 6


@dataclass(frozen=True)
class Ids:
    """The log and the catalogue under the ids that are used; `left_out`: events of ids that stand for none."""

    log: EventInput
    catalogue: CatalogueInput | None
    left_out: int


def check(
    config: PrepareConfig,
    settings: PrepareSettings,
    log: EventInput,
    catalogue: CatalogueInput | None,
    reporter: Reporter,
) -> Ids:
    """Leave out events of ids that stand for none, bring ids into one spelling; say so, and warn of what is left."""
    rules = rules_of(config.normalize_ids, config.missing_ids)
    log, catalogue = _normalized(log, catalogue, rules, reporter)
    catalogue = _with_ids(catalogue, rules, reporter)
    events, left_out = log.events, 0
    for role in ("user", "item"):
        name = f"{role}_id"
        known = catalogue.frame[schema.ITEM_ID] if catalogue and role == "item" else None
        ids = events.select(pl.col(name).unique()).collect(engine="streaming")[name]
        missing = _missing(events, ids, name, rules, known)
        _say_missing(role, missing, rules, reporter)
        if missing.names:
            events = events.filter(~pl.col(name).is_in(list(missing.names)))
            left_out += sum(missing.names.values())
            ids = ids.filter(~ids.is_in(list(missing.names)))
        if _are_floats(ids):
            events = events.with_columns(without_fraction(pl.col(name)))
            _say_floats(role, ids[0], settings, reporter)
        _warn_of_spellings(role, ids, rules, settings, reporter)
    return Ids(replace(log, events=events), catalogue, left_out)


def _normalized(
    log: EventInput, catalogue: CatalogueInput | None, rules: IdRules, reporter: Reporter
) -> tuple[EventInput, CatalogueInput | None]:
    """The log under normalized ids, where that is asked for, and the catalogue, also where all its ids end in `.0`."""
    if rules.normalize:
        change = (normalized(pl.col(name), rules.normalize) for name in ("user_id", "item_id"))
        log = replace(log, events=log.events.with_columns(change))
    if catalogue is None:
        return log, None
    ids, change_item = catalogue.frame[schema.ITEM_ID], None
    if rules.normalize:
        change_item = normalized(pl.col(schema.ITEM_ID), rules.normalize)
    elif _are_floats(ids):
        change_item = without_fraction(pl.col(schema.ITEM_ID))
        reporter.say(f"all item ids of the catalogue end in .0: {_as_integer(ids[0])} is read as an integer")
    if change_item is None:
        return log, catalogue
    frame, repeated = normalize_catalogue(catalogue.frame, change_item)
    return log, replace(catalogue, frame=frame, duplicates=catalogue.duplicates + repeated)


def _with_ids(catalogue: CatalogueInput | None, rules: IdRules, reporter: Reporter) -> CatalogueInput | None:
    """The catalogue without rows whose id stands for none."""
    if catalogue is None or not rules.find_missing:
        return catalogue
    ids = catalogue.frame[schema.ITEM_ID]
    is_name = ids.str.to_lowercase().is_in([*_NOTHING, *_NO_ROW])
    others = ids.filter(~is_name)
    names = [one for one in ids.filter(is_name) if one.lower() in _NOTHING or _looks_odd(one, others)]
    if not names:
        return catalogue
    reporter.warn(
        f"{counted(len(names), 'row')} of the catalogue left out because the id stands for none: {', '.join(names)}; "
        "--missing-ids none keeps them"
    )
    return replace(
        catalogue,
        frame=catalogue.frame.filter(~ids.is_in(names)),
        rejected=catalogue.rejected | {"id that stands for none": len(names)},
    )


@dataclass(frozen=True)
class _Missing:
    """Events of ids that stand for none (`names`), and of those that may (`asked`)."""

    names: Mapping[str, int]
    asked: Mapping[str, int]


def _missing(
    events: pl.LazyFrame, ids: pl.Series, name: str, rules: IdRules, known: pl.Series | None
) -> _Missing:
    """`known`: ids of the catalogue, which are names of something."""
    lower = ids.str.to_lowercase()
    is_name = ids.is_in(list(rules.missing))
    if rules.find_missing:
        is_name |= lower.is_in([*_NOTHING, *_MAYBE, *_MANY])
        if known is not None:
            is_name &= ~ids.is_in(known.implode()) | ids.is_in(list(rules.missing))
    found = ids.filter(is_name).to_list()
    if not found:
        return _Missing({}, {})
    per_id = events.group_by(name).agg(pl.len().alias("n")).collect(engine="streaming")
    counts = dict(per_id.filter(pl.col(name).is_in(found)).iter_rows())
    others = per_id.filter(~pl.col(name).is_in(found))
    most = max(others["n"].to_list(), default=0)
    names, asked = {}, {}
    for one in sorted(found, key=lambda one: (-counts[one], one)):
        outlying = counts[one] > _OUTLYING * most
        odd = outlying or (one != "0" and _looks_odd(one, others[name]))
        if one in rules.missing or one.lower() in _NOTHING or (one.lower() in _MAYBE and odd):
            names[one] = counts[one]
        elif one.lower() in _MANY and odd and (one != "0" or name == "user_id"):
            asked[one] = counts[one]
    return _Missing(names, asked)


def _looks_odd(name: str, others: pl.Series) -> bool:
    """Whether nearly all other ids hold a digit, and the name none; or the name alone is a negative number."""
    if others.is_empty():
        return False
    if name.startswith("-"):
        return not others.str.starts_with("-").any()
    return not any(c.isdigit() for c in name) and float(others.str.contains(r"\d").mean()) >= _ALIKE  # type: ignore[arg-type]


def _say_missing(role: str, missing: _Missing, rules: IdRules, reporter: Reporter) -> None:
    if missing.names:
        n = sum(missing.names.values())
        keep = "" if rules.missing and not rules.find_missing else "; --missing-ids none keeps them"
        are = "event is" if n == 1 else "events are"
        reporter.warn(
            f"{n:,} {are} left out because the {role} id stands for none: {_shown(missing.names)}{keep}"
        )
    if missing.asked:
        all_names = ",".join((*(["auto"] if rules.find_missing else []), *rules.missing, *missing.asked))
        reporter.warn(
            f"{role} ids that may stand for many {role}s, or for none: {_shown(missing.asked)}; --missing-ids "
            f"'{all_names}' leaves their events out"
        )


def _shown(counts: Mapping[str, int]) -> str:
    more = f", and {len(counts) - _SHOWN:,} more" if len(counts) > _SHOWN else ""
    return ", ".join(f"{name} ({n:,})" for name, n in list(counts.items())[:_SHOWN]) + more


def _are_floats(ids: pl.Series) -> bool:
    head = ids.head(100)
    return len(ids) > 0 and all(part.str.contains(FLOAT).all() for part in (head, ids))


def _as_integer(text: str) -> str:
    return f"{text} -> {text.partition('.')[0]}"


def _say_floats(role: str, example: str, settings: PrepareSettings, reporter: Reporter) -> None:
    shown = "" if settings.key is not None and role == "user" else f" ({_as_integer(example)})"
    reporter.say(f"all {role} ids end in .0: they are read as integers{shown}")


def _warn_of_spellings(
    role: str, ids: pl.Series, rules: IdRules, settings: PrepareSettings, reporter: Reporter
) -> None:
    """Warn of ids that differ in case, blanks, invisible characters or the form of characters alone."""
    frame = ids.filter(ids.str.contains(r"[^0-9]")).rename("id").to_frame()
    parts, modes = [], list(rules.normalize)
    for mode, how in _DIFFERENCES.items():
        if mode in modes or frame.is_empty():
            continue
        key = (
            normalized(pl.col("id"), [*modes, mode]) if mode != "integer" else without_fraction(pl.col("id"))
        )
        keyed = frame if mode != "integer" else ids.rename("id").to_frame()
        keyed = keyed.with_columns(key.alias("key"))
        if mode == "lower" and _are_codes(frame["id"]):
            continue
        same = keyed.filter(pl.col("key").is_duplicated())
        if same.height:
            pair = sorted(same.filter(pl.col("key") == same["key"].min())["id"].to_list())[:2]
            secret = settings.key is not None and role == "user"
            example = "" if secret else f" ({pair[0]!r} and {pair[1]!r})"
            parts.append((mode, f"{same.height:,} {how}{example}"))
    if parts:
        wanted = ",".join([*modes, *(mode for mode, _ in parts)])
        reporter.warn(
            f"{role} ids that differ from another one only in spelling, and count as different: "
            f"{'; '.join(text for _, text in parts)}; --normalize-ids {wanted} makes them one"
        )


_DIFFERENCES = {
    "trim": "in blanks or invisible characters",
    "unicode": "in the form of characters",
    "lower": "in case",
    "integer": "in a .0 at the end",
}


def _are_codes(ids: pl.Series) -> bool:
    """Whether case means something: most ids with letters mix capitals within, as `dQw4w9WgXcQ` does."""
    lettered = ids.filter(ids.str.contains("[A-Za-z]"))
    mixed = lettered.str.contains("[a-z]") & lettered.str.contains(
        "[A-Za-z0-9_-][A-Z]|[A-Z][0-9_-]*[a-z]+[0-9_-]*[A-Z]"
    )
    return len(lettered) > 0 and float(mixed.mean()) > 0.5  # type: ignore[arg-type]
