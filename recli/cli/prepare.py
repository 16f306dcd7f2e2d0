"""`recli prepare` on the terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recli.cli.console import Console
from recli.reporting import counted
from recli.steps.prepare.config import PrepareConfig as PrepareConfig

if TYPE_CHECKING:
    from recli.steps.prepare.step import Prepared

_MAX_COLUMNS = 10  # unused columns that are listed
_TIED_SHARE = 0.1  # share of tied events from which a warning is shown


def prepare(config: PrepareConfig, console: Console) -> None:
    """Clean, index and split an event log and a catalogue of items: RUN/interactions.

    Every row is accounted for: rows in = kept + merged + filtered + rejected. Rows that cannot be used are in
    RUN/interactions/rejects.parquet, with line number, column and reason. Cleaning goes in this order: event
    types and weights, ratings, bots, duplicates, a user's latest, too few events per user and item.

    Example: recli prepare sample_data/events.csv --items sample_data/items.csv --out run
    """
    from recli.steps.prepare import step

    prepared = step.prepare(config, console)
    _show_tables(prepared, console)
    for line in (
        *_columns(prepared, config),
        *_seen(prepared),
        *_bots(prepared, config),
        *_catalogue(prepared),
    ):
        console.say(line)
    if prepared.tied > _TIED_SHARE * prepared.summary["rows"]["kept"] and not config.in_order:
        console.say(
            f"{prepared.tied:,} events are at the same time as another one of their user: their ids order them; "
            "--in-order says that their rows do"
        )
    console.result(prepared.run, prepared.summary)


def _show_tables(prepared: Prepared, console: Console) -> None:
    """Print what became of the rows of the log, and the sizes of the cleaned data."""
    summary, rows = prepared.summary, prepared.summary["rows"]
    counts = [
        ("rows in", rows["in"]),
        ("kept", rows["kept"]),
        ("merged (same user and item)", rows["merged"]),
    ]
    for fate in ("filtered", "rejected"):
        counts.append((fate, sum(rows[fate].values())))
        counts += [(f"  {reason.replace('_', ' ')}", n) for reason, n in rows[fate].items()]
    console.table("Rows", ("", "rows"), [(name, f"{n:,}") for name, n in counts])
    sizes = [("users", summary["users"]), ("of these without training events", summary["cold_users"])]
    sizes += [("items", summary["items"]), ("of these without training events", summary["cold_items"])]
    sizes += list(summary["splits"].items())
    console.table(
        "Interactions",
        ("", "count"),
        [(name, f"{n:,}") for name, n in sizes],
        note=f"density {summary['density']:.4%}",
    )


def _columns(prepared: Prepared, config: PrepareConfig) -> list[str]:
    columns, unused = prepared.summary["columns"], prepared.unused_columns
    lines = ["columns: " + ", ".join(f"{role} = {column}" for role, column in columns.items())]
    if "time" not in columns and not config.in_order:
        lines.append("the order of events is unknown; --in-order says that each user's rows are in it")
    if unused:
        more = f", and {len(unused) - _MAX_COLUMNS} more" if len(unused) > _MAX_COLUMNS else ""
        see = "" if config.weight_column else " (see --weight-column)"
        lines.append(f"columns not used: {', '.join(unused[:_MAX_COLUMNS])}{more}{see}")
    return lines


def _seen(prepared: Prepared) -> list[str]:
    """What is known of the users beside what is trained on."""
    seen, lines = prepared.summary["seen"], []
    if seen["pairs"]:
        dislikes = (
            f", {seen['negatives']:,} of them dislikes of {counted(seen['users_with_negatives'], 'user')}"
        )
        lines.append(
            f"{counted(seen['pairs'], 'item')} of users stay known as seen, and are not recommended to them again"
            + (dislikes if seen["negatives"] else "")
        )
    if seen["users_left_out"]:
        lines.append(
            f"{counted(seen['users_left_out'], 'user')} left out: all their events were filtered out"
        )
    return lines


def _bots(prepared: Prepared, config: PrepareConfig) -> list[str]:
    bots = prepared.summary["bots"]
    if not bots["users"]:
        return []
    fate = "left out" if config.bots == "drop" else "kept; --bots drop leaves them out"
    largest = ", ".join(f"{user} ({n:,})" for user, n in prepared.largest_bots)
    return [
        f"possible bots: {counted(bots['users'], 'user')} with {counted(bots['events'], 'event')}, "
        f"each more than {bots['above']:,.0f} ({fate}): {largest}"
    ]


def _catalogue(prepared: Prepared) -> list[str]:
    catalogue = prepared.summary.get("catalogue")
    if catalogue is None:
        return []
    facts = [
        f"catalogue: {counted(catalogue['items_without_text'], 'item')} without text, "
        f"{catalogue['items_without_events']:,} without events"
    ]
    if catalogue["items_not_in_catalogue"]:
        events = counted(catalogue["events_not_in_catalogue"], "event")
        facts.append(
            f"{counted(catalogue['items_not_in_catalogue'], 'item')} of the log ({events}) not in it"
        )
    if catalogue["duplicates"]:
        facts.append(f"{counted(catalogue['duplicates'], 'repeated id')}: the first row counts")
    if catalogue["rejected"]:
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in catalogue["rejected"].items())
        facts.append(f"{counted(sum(catalogue['rejected'].values()), 'row')} rejected ({reasons})")
    return ["; ".join([*facts, f"text: {catalogue['text'] or 'none'}"])]
