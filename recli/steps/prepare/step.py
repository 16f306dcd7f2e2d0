"""`recli prepare`: from raw events and a catalogue to the part `interactions` of a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recli import schema
from recli.cli.console import Console
from recli.errors import InvalidDataError
from recli.steps.prepare.config import PrepareConfig, Settings, settings_of
from recli.steps.prepare.inputs import Input, InputItems, check_rejects, read_input, read_items

if TYPE_CHECKING:
    import polars as pl

    from recli.data.event_columns import Rows
    from recli.data.interactions import Interactions
    from recli.steps.prepare.cleaning import Indexed, Items, RowCounts

__all__ = ["PrepareConfig", "prepare"]

_NAMED = 10  # columns that are not used
_TIED = 0.1  # share of events at the same time as another that is worth a word


def prepare(config: PrepareConfig, console: Console) -> None:
    """Clean, index and split an event log and a catalogue of items: RUN/interactions.

    Every row is accounted for: rows in = kept + merged + filtered + rejected. Rows that cannot be used are in
    RUN/interactions/rejects.parquet, with line number, column and reason. Cleaning goes in this order: event
    types and weights, ratings, robots, duplicates, a user's latest, too few events per user and item.

    Example: recli prepare sample_data/events.csv --items sample_data/items.csv --out run
    """
    from recli.steps.prepare import cleaning, splitting
    from recli.storage import atomic, runs

    settings, run = settings_of(config), Path(config.out)
    with atomic.scratch(run) as spool:
        log = read_input(config, settings, spool, console)
        catalogue = read_items(config, console)
        rejects = check_rejects(config, settings, log, *([catalogue] if catalogue else []))
        with console.progress("numbering users and items", total=None):
            indexed = cleaning.index_events(log.events, settings.weighing)
    rows, account = indexed.rows, cleaning.RowCounts(log.rows, log.rejected, dict(indexed.filtered))
    _say_event_types(settings, indexed.event_types, console)
    _check_not_empty(rows, account)
    with console.progress("cleaning", total=None):
        user_ids, item_ids, robots = _clean(config, settings, indexed, account)
    kept, tied = len(rows), cleaning.tied(rows)

    items = cleaning.join_catalogue(
        rows, item_ids, catalogue.frame if catalogue else None, config.only_seen_items
    )
    with console.progress("splitting", total=None):
        user_keys = splitting.id_keys(user_ids, config.seed, "user")
        item_keys = splitting.id_keys(items.frame[schema.ITEM_ID], config.seed, "item")
        part = splitting.assign(rows, settings.plan, user_keys, item_keys)
        made = cleaning.assemble(rows, part, user_ids, items.frame)
    if made.splits["train"].is_empty():
        raise InvalidDataError(
            f"--split {settings.plan.split} leaves none of {kept:,} events to train on",
            "hold fewer events out",
        )
    summary = _summary(made, account.summary(kept), items, robots, log, catalogue)
    runs.write_interactions(run, made, settings.stored, summary, items.catalogue, rejects)
    _report(config, summary, robots, log.unused, console)
    if tied > _TIED * kept and not config.in_order:
        console.say(
            f"{tied:,} events are at the same time as another one of their user: their ids order them; --in-order "
            "says that their rows do"
        )
    console.result(run, summary)


def _clean(
    config: PrepareConfig, settings: Settings, indexed: "Indexed", account: "RowCounts"
) -> "tuple[pl.Series, pl.Series, RobotsFound]":
    """Robots, duplicates, the cap and the core, in this order; the ids that are left and what robots were found."""
    from recli.steps.prepare import cleaning, splitting

    rows, user_ids, item_ids = indexed.rows, indexed.user_ids, indexed.item_ids
    if settings.key is not None:
        user_ids = cleaning.pseudonymize(rows, user_ids, settings.key)
    robots = _robots(config, rows, user_ids, account)
    merged, repeated = cleaning.merge(rows, config.duplicates, len(user_ids))
    account.merged += merged
    account.filter("in_earlier_split", repeated)
    if config.max_user_events is not None:
        ranks = (
            splitting.time_ranks(rows.user)
            if rows.order is not None
            else splitting.hash_ranks(
                rows.user,
                rows.item,
                splitting.id_keys(user_ids, config.seed, "user"),
                splitting.id_keys(item_ids, config.seed, "item"),
            )
        )
        account.filter("max_user_events", rows.keep(cleaning.cap(rows.user, ranks, config.max_user_events)))
    least = settings.min_user_events, settings.min_item_events
    for_user, for_item = cleaning.core(rows, *least, len(user_ids), len(item_ids))
    account.filter("min_user_events", for_user)
    account.filter("min_item_events", for_item)
    _check_not_empty(rows, account)
    return cleaning.renumber(rows, "user", user_ids), cleaning.renumber(rows, "item", item_ids), robots


@dataclass(frozen=True)
class RobotsFound:
    """Users with far more events than others: how many, their events, and the ids and events of the largest."""

    users: int
    events: int
    above: float
    largest: list[tuple[str, int]]


def _robots(config: PrepareConfig, rows: "Rows", user_ids: "pl.Series", account: "RowCounts") -> RobotsFound:
    """Find users with far more events than others; leave them out if asked."""
    import numpy as np

    from recli.steps.prepare import cleaning

    found = cleaning.robots(np.bincount(rows.user, minlength=len(user_ids)))
    largest = [
        (str(user_ids[int(u)]), int(n)) for u, n in zip(found.users[:5], found.events[:5], strict=True)
    ]
    if config.robots == "drop" and found.users.size:
        is_robot = np.zeros(len(user_ids), dtype=np.bool_)
        is_robot[found.users] = True
        account.filter("robots", rows.keep(~is_robot[rows.user]))
    return RobotsFound(int(found.users.size), int(found.events.sum()), found.above, largest)


def _say_event_types(settings: Settings, counts: dict[str, int], console: Console) -> None:
    """Say what event types count for; warn of those in the log that no weight is given for, and the reverse."""
    weights = settings.weighing.event_weights
    if weights is None:
        if counts:
            types = ", ".join(f"{name} ({n:,})" for name, n in _largest(counts))
            console.say(f"event types: {types}; each counts 1, see --event-weights")
        return
    unknown = {name: n for name, n in counts.items() if name not in weights}
    if unknown:
        types = ", ".join(f"{name} ({n:,})" for name, n in _largest(unknown))
        console.warn(f"events of types without a weight are left out: {types}")
    unused = [name for name in weights if name not in counts]
    if unused:
        console.warn(f"--event-weights names types that the log does not have: {', '.join(unused)}")


def _largest(counts: dict[str, int], most: int = 10) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:most]


_LOOSEN = {
    "event_weights": "give the log's event types a weight",
    "min_rating": "lower --min-rating",
    "weight_column": "weights must be above 0: name another --weight-column",
    "robots": "leave out --robots drop",
    "min_user_events": "lower --min-user-events (or --k-core)",
    "min_item_events": "lower --min-item-events (or --k-core)",
    "rejected": "see the unusable rows with --rejects FILE.csv",
}


def _check_not_empty(rows: "Rows", account: "RowCounts") -> None:
    """Raises `InvalidDataError`, naming the step that took most, where no event is left."""
    if len(rows):
        return
    counts = account.filtered | {"rejected": sum(account.rejected.values())}
    reason = max(counts, key=lambda name: counts[name])
    raise InvalidDataError(
        f"none of {account.rows:,} rows is left; most went to: {reason} ({counts[reason]:,})",
        _LOOSEN.get(reason),
    )


def _summary(
    made: "Interactions",
    account: dict[str, Any],
    items: "Items",
    robots: RobotsFound,
    log: Input,
    catalogue: InputItems | None,
) -> dict[str, Any]:
    """What the manifest says of the part, and `--json` prints."""
    sizes = {name: frame.height for name, frame in made.splits.items()}
    found: dict[str, Any] = {
        "rows": account,
        "users": made.n_users,
        "items": made.n_items,
        "events": sum(sizes.values()),
        "density": sum(sizes.values()) / (made.n_users * made.n_items),
        "splits": sizes,
        "cold_users": int(made.users[schema.COLD].sum()),
        "cold_items": int(made.items[schema.COLD].sum()),
        "robots": {"users": robots.users, "events": robots.events, "above": round(robots.above, 3)},
        "columns": log.columns,
    }
    if catalogue is not None:
        found["catalogue"] = {
            "rows": catalogue.rows,
            "rejected": dict(sorted(catalogue.rejected.items())),
            "duplicates": catalogue.duplicates,
            "text": catalogue.text_template,
            "items_without_text": made.items[schema.TEXT].null_count(),
            "items_without_events": items.without_events,
            "items_not_in_catalogue": items.not_in_catalogue,
            "events_not_in_catalogue": items.events_not_in_catalogue,
        }
    return found


def _report(
    config: PrepareConfig,
    summary: dict[str, Any],
    robots: RobotsFound,
    unused: list[str],
    console: Console,
) -> None:
    """The account of the rows, the sizes, and what is worth knowing before training."""
    account = summary["rows"]
    lines = [
        ("rows in", account["in"]),
        ("kept", account["kept"]),
        ("merged (same user and item)", account["merged"]),
    ]
    for fate in ("filtered", "rejected"):
        lines.append((fate, sum(account[fate].values())))
        lines += [(f"  {reason.replace('_', ' ')}", n) for reason, n in account[fate].items()]
    console.table("Rows", ("", "rows"), [(name, f"{n:,}") for name, n in lines])
    sizes = [("users", summary["users"]), ("of these without training events", summary["cold_users"])]
    sizes += [("items", summary["items"]), ("of these without training events", summary["cold_items"])]
    sizes += list(summary["splits"].items())
    console.table(
        "Interactions", ("", "count"), [(name, f"{n:,}") for name, n in sizes],
        note=f"density {summary['density']:.4%}",
    )  # fmt: skip
    console.say("columns: " + ", ".join(f"{role} = {column}" for role, column in summary["columns"].items()))
    if "time" not in summary["columns"] and not config.in_order:
        console.say("the order of events is unknown; --in-order says that each user's rows are in it")
    if unused:
        more = f", and {len(unused) - _NAMED} more" if len(unused) > _NAMED else ""
        see = "" if config.weight_column else " (see --weight-column)"
        console.say(f"columns not used: {', '.join(unused[:_NAMED])}{more}{see}")
    if robots.users:
        fate = "left out" if config.robots == "drop" else "kept; --robots drop leaves them out"
        largest = ", ".join(f"{user} ({n:,})" for user, n in robots.largest)
        console.say(
            f"robots? {_count(robots.users, 'user')} with {_count(robots.events, 'event')}, "
            f"each more than {robots.above:,.0f} ({fate}): {largest}"
        )
    found = summary.get("catalogue")
    if found is None:
        return
    missing, again = found["items_not_in_catalogue"], found["duplicates"]
    told = [
        f"catalogue: {_count(found['items_without_text'], 'item')} without text, "
        f"{found['items_without_events']:,} without events"
    ]
    if missing:
        events = _count(found["events_not_in_catalogue"], "event")
        told.append(f"{_count(missing, 'item')} of the log ({events}) not in it")
    if again:
        told.append(f"{_count(again, 'repeated id')}: the first row counts")
    if found["rejected"]:
        told.append(f"{_count(sum(found['rejected'].values()), 'row')} rejected")
    console.say("; ".join([*told, f"text: {found['text'] or 'none'}"]))


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"
