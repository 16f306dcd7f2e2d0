"""`recli prepare`: from raw events and a catalogue to the part `interactions` of a run."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from recli import schema
from recli.errors import InvalidDataError
from recli.reporting import SILENT, Reporter, StepResult, counted
from recli.steps.prepare.config import PrepareConfig, PrepareSettings, settings_of
from recli.steps.prepare.inputs import (
    CatalogueInput,
    EventInput,
    check_rejects,
    check_there,
    log_columns,
    read_input,
    read_items,
    with_item_columns,
)
from recli.storage.writable import check_writable

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from recli.data.event_columns import Rows
    from recli.data.interactions import Interactions
    from recli.steps.prepare.cleaning import (
        Bots,
        Contradictions,
        Indexed,
        Items,
        RowCounts,
        SetAside,
        Weighed,
    )
    from recli.steps.prepare.splitting import Keys, Part

_N_LARGEST = 5  # bots that are listed


@dataclass(frozen=True)
class Prepared(StepResult):
    """The result of `prepare`.

    `summary`: as in the manifest: counts of rows, users, items, events, density, splits and more.
    `unused_columns`: of the log. `largest_bots`: ids of the most active possible bots with their events.
    `tied`: kept events at the same time as another one of their user.
    """

    run: Path
    summary: dict[str, Any]
    unused_columns: tuple[str, ...] = ()
    largest_bots: tuple[tuple[str, int], ...] = ()
    tied: int = 0

    @property
    def interactions(self) -> Interactions:
        """Users, items and splits, read from the run."""
        from recli.storage import runs

        return runs.read_interactions(self.run)


def prepare(config: PrepareConfig, reporter: Reporter = SILENT) -> Prepared:
    """Clean, index and split an event log and a catalogue of items, and write RUN/interactions.

    Raises `InvalidDataError` where too many rows cannot be used or none is left to train on, other `RecliError`s where
    a file cannot be read, or an option needs a column that is not there.
    """
    from recli.steps.prepare import checks, cleaning, splitting
    from recli.storage import atomic, runs

    check_there(config)
    config = with_item_columns(config, reporter)
    settings, run = settings_of(config), Path(config.out)
    check_writable(run, config.rejects)
    with atomic.scratch(run) as spool:
        # the catalogue first: what is wrong with it is known before a long log is read
        catalogue = read_items(config, reporter)
        log = read_input(config, settings, spool, reporter)
        rejects = check_rejects(config, settings, log, *([catalogue] if catalogue else []))
        checks.notations.check(log, config, reporter)
        times = checks.times.check(log, config, reporter)
        checked = checks.ids.check(config, settings, log, catalogue, reporter)
        log, catalogue = checked.log, checked.catalogue
        with reporter.progress("numbering users and items", total=None):
            indexed = cleaning.index_events(
                log.events, settings.weighting, _ids(config, catalogue), _looks_for_identical(config, log)
            )
        figures = checks.values.check(log.events, indexed.event_types, config, settings, reporter)
    rows, row_counts = (
        indexed.rows,
        cleaning.RowCounts(log.rows, log.rejected, log.filtered | indexed.filtered),
    )
    row_counts.filter("missing_ids", checked.left_out)
    _check_not_empty(rows, row_counts)
    if catalogue is not None:
        _check_catalogue(config, indexed, log, catalogue, reporter)
    with reporter.progress("cleaning", total=None):
        cleaned = _clean(config, settings, log, indexed, row_counts, reporter)
    kept, tied = len(rows), cleaning.tied(rows)

    items = cleaning.join_catalogue(
        rows, cleaned.item_ids, catalogue.frame if catalogue else None, config.only_seen_items
    )
    with reporter.progress("splitting", total=None):
        keys = splitting.Keys(
            splitting.id_keys(cleaned.user_ids, config.seed, "user"),
            splitting.id_keys(items.frame[schema.ITEM_ID], config.seed, "item"),
        )
        part = splitting.assign(rows, settings.plan, keys.users, keys.items)
        seen = _seen(config, settings, cleaned, items, indexed.set_aside, rows, part, keys)
        weighed = _transform_weights(config, settings, rows, part, reporter)
        interactions = cleaning.assemble(rows, part, cleaned.user_ids, items.frame, seen)
    if interactions.splits["train"].is_empty():
        raise InvalidDataError(
            f"--split {settings.plan.split} leaves none of {kept:,} events to train on",
            "hold fewer events out",
        )
    summary = _summary(interactions, row_counts.summary(kept), cleaned.bots, log)
    if times is not None:
        summary["times"] = times
    summary |= figures
    if weighed is not None:
        summary["weight_transform"] = weighed.described()
    summary["seen"] = _seen_summary(interactions, indexed.set_aside.users_left_out)
    if log.exploded:
        summary["exploded"] = log.exploded
    if catalogue is not None:
        summary["catalogue"] = _catalogue_summary(interactions, items, catalogue)
    inputs = _input_digests(config)
    runs.write_interactions(run, interactions, settings.stored, summary, items.catalogue, rejects, inputs)
    return Prepared(run, summary, tuple(log.unused), cleaned.largest_bots, tied)


def _input_digests(config: PrepareConfig) -> dict[str, str]:
    """sha256 of all files that were read, by `ROLE/NAME`."""
    from recli.data.readers.digests import input_digests

    files = {
        "log": config.log,
        "validation": config.validation_file,
        "test": config.test_file,
        "items": config.items,
        "join": tuple(text.rpartition(":")[0] for text in config.join),
    }
    digests: dict[str, str] = {}
    for role, named in files.items():
        digests |= input_digests(role, named) if named else {}
    return digests


def _transform_weights(
    config: PrepareConfig,
    settings: PrepareSettings,
    rows: Rows,
    part: npt.NDArray[np.uint8],
    reporter: Reporter,
) -> Weighed | None:
    """Tame the weights as `--weight-transform` says, and say what was done; None: there are none."""
    from recli.steps.prepare import cleaning

    weighting = settings.weighting
    weighed = cleaning.transform_weights(
        rows,
        part != schema.SPLITS.index("test"),
        config.weight_transform,
        largest_given=max((weighting.event_weights or {}).values(), default=0.0),
        decayed=weighting.half_life is not None,
    )
    given = weighting.weighted or weighting.event_weights is not None
    if weighed is not None and (given or weighed.transform.kind != "none"):
        reporter.say(weighed.sentence())
    return weighed


def _looks_for_identical(config: PrepareConfig, log: EventInput) -> bool:
    """Whether rows that are the same in all columns matter: they are to count once, or may be in several files."""
    return config.duplicates == "distinct" or (bool(log.files) and config.duplicates == "sum")


def _ids(config: PrepareConfig, catalogue: CatalogueInput | None) -> pl.Series | None:
    """The items that are in the run even without an event."""
    return None if catalogue is None or config.only_seen_items else catalogue.frame[schema.ITEM_ID]


def _seen(
    config: PrepareConfig,
    settings: PrepareSettings,
    cleaned: _Cleaned,
    items: Items,
    aside: SetAside,
    rows: Rows,
    part: Part,
    keys: Keys,
) -> Rows | None:
    """What was set aside of the run's users and items, one row for each pair that is not among `rows`; None: nothing
    was."""
    from recli.steps.prepare import cleaning, splitting

    if not aside.tables:
        return None
    seen = aside.renumbered(
        cleaning.row_numbers(cleaned.numbered, cleaned.user_ids),
        cleaning.row_numbers(aside.item_ids, items.frame[schema.ITEM_ID]),
    )
    seen.columns["part"] = splitting.assign_seen(seen, rows, part, settings.plan, keys)
    cleaning.merge(seen, config.duplicates, len(cleaned.user_ids))
    cleaning.drop_pairs_of(seen, rows)
    splitting.to_history(seen, rows, settings.plan, keys)
    return seen


def _check_catalogue(
    config: PrepareConfig, indexed: Indexed, log: EventInput, catalogue: CatalogueInput, reporter: Reporter
) -> None:
    import numpy as np

    from recli.steps.prepare import checks

    events = np.bincount(indexed.rows.item, minlength=len(indexed.item_ids))
    others = partial(log_columns, config, log.unused)
    checks.catalogue.check(indexed.item_ids, events, catalogue.frame, others, reporter)
    checks.texts.check(catalogue.frame, catalogue.changes, config.items_encoding, reporter)


@dataclass(frozen=True)
class _Cleaned:
    """The ids that are left after cleaning, and the possible bots, dropped or not."""

    numbered: pl.Series  # ids of users by the numbers of `SetAside`
    user_ids: pl.Series
    item_ids: pl.Series
    bots: Bots
    largest_bots: tuple[tuple[str, int], ...]


def _clean(
    config: PrepareConfig,
    settings: PrepareSettings,
    log: EventInput,
    indexed: Indexed,
    row_counts: RowCounts,
    reporter: Reporter,
) -> _Cleaned:
    """Apply bots, duplicates, the cap and the core, in this order, to `indexed.rows` in place."""
    import numpy as np

    from recli.steps.prepare import cleaning, splitting
    from recli.steps.prepare.checks import exports

    rows, user_ids, item_ids, aside = indexed.rows, indexed.user_ids, indexed.item_ids, indexed.set_aside
    if settings.key is not None:
        user_ids = cleaning.pseudonymize(user_ids, settings.key, rows, *aside.tables)
    bots = cleaning.bots(np.bincount(rows.user, minlength=len(user_ids)))
    largest = tuple(
        (str(user_ids[int(user)]), int(n))
        for user, n in zip(bots.users[:_N_LARGEST], bots.events[:_N_LARGEST], strict=True)
    )
    if config.bots == "drop" and bots.users.size:
        is_bot = np.zeros(len(user_ids), dtype=np.bool_)
        is_bot[bots.users] = True
        row_counts.filter("bots", rows.keep(~is_bot[rows.user]))
    if _looks_for_identical(config, log):
        later_files = np.count_nonzero(rows.columns["file"]) if log.files else 0
        identical = cleaning.find_identical(rows, len(user_ids), drop=config.duplicates == "distinct")
        row_counts.merged += identical.rows if config.duplicates == "distinct" else 0
        exports.check(identical, int(later_files), log, (user_ids, item_ids), config, reporter)
    merged, in_earlier_split = cleaning.merge(rows, config.duplicates, len(user_ids))
    row_counts.merged += merged
    row_counts.filter("in_earlier_split", in_earlier_split)
    settled = cleaning.settle(rows, aside)
    row_counts.filter("negatives", settled.disliked)
    _report_contradictions(settled, reporter)
    if config.max_user_events is not None:
        if rows.order is not None:
            ranks = splitting.time_ranks(rows.user)
        else:
            user_keys = splitting.id_keys(user_ids, config.seed, "user")
            item_keys = splitting.id_keys(item_ids, config.seed, "item")
            ranks = splitting.hash_ranks(rows.user, rows.item, user_keys, item_keys)
        within_cap = cleaning.cap(rows.user, ranks, config.max_user_events)
        aside.take(rows, ~within_cap)
        row_counts.filter("max_user_events", rows.keep(within_cap))
    for_user, for_item = cleaning.core(
        rows, settings.min_user_events, settings.min_item_events, len(user_ids), len(item_ids), aside
    )
    row_counts.filter("min_user_events", for_user)
    row_counts.filter("min_item_events", for_item)
    _check_not_empty(rows, row_counts)
    return _Cleaned(
        user_ids,
        cleaning.renumber(rows, "user", user_ids),
        cleaning.renumber(rows, "item", item_ids),
        bots,
        largest,
    )


def _report_contradictions(settled: Contradictions, reporter: Reporter) -> None:
    """Say what became of pairs that were both liked and disliked."""
    total = settled.disliked + settled.liked
    if total:
        how = "the later event counts" if settled.by_time else "the larger sum of weights counts"
        reporter.say(
            f"{counted(total, 'pair')} of user and item both liked and disliked: {how}, "
            f"a dislike for {settled.disliked:,} of them"
        )


_LOOSEN = {
    "negatives": "say with --negatives, or --event-weights, that fewer events are dislikes",
    "event_weights": "give the log's event types a weight",
    "min_rating": "lower --min-rating",
    "weight_column": "weights must be above 0: name another --weight-column",
    "bots": "leave out --bots drop",
    "missing_ids": "keep ids such as nan with --missing-ids none",
    "min_user_events": "lower --min-user-events (or --k-core)",
    "min_item_events": "lower --min-item-events (or --k-core)",
    "rejected": "see the unusable rows with --rejects FILE.csv",
}


def _check_not_empty(rows: Rows, row_counts: RowCounts) -> None:
    """Raises `InvalidDataError`, naming the step that took most, where no event is left."""
    if len(rows):
        return
    counts = row_counts.filtered | {"rejected": sum(row_counts.rejected.values())}
    reason = max(counts, key=lambda name: counts[name])
    raise InvalidDataError(
        f"none of {row_counts.rows:,} rows is left; most went to: {reason} ({counts[reason]:,})",
        _LOOSEN.get(reason),
    )


def _summary(
    interactions: Interactions, row_counts: dict[str, Any], bots: Bots, log: EventInput
) -> dict[str, Any]:
    """What the manifest says of the part, and `--json` prints."""
    sizes = {name: frame.height for name, frame in interactions.splits.items()}
    n_events = sum(sizes.values())
    return {
        "rows": row_counts,
        "users": interactions.n_users,
        "items": interactions.n_items,
        "events": n_events,
        "density": n_events / (interactions.n_users * interactions.n_items),
        "splits": sizes,
        "cold_users": int(interactions.users[schema.COLD].sum()),
        "cold_items": int(interactions.items[schema.COLD].sum()),
        "bots": {
            "users": int(bots.users.size),
            "events": int(bots.events.sum()),
            "above": round(bots.above, 3),
        },
        "columns": log.columns,
        **({"lines": log.lines} if log.lines else {}),
    }


def _seen_summary(interactions: Interactions, users_left_out: int) -> dict[str, int]:
    """What is known of the run's users beside what is trained on: pairs of user and item."""
    seen = interactions.seen_events
    disliked = seen.filter(pl.col(schema.NEGATIVE) > 0)
    return {
        "pairs": seen.height,
        "negatives": disliked.height,
        "users_with_negatives": disliked[schema.USER].n_unique(),
        "users_left_out": users_left_out,
    }


def _catalogue_summary(interactions: Interactions, items: Items, catalogue: CatalogueInput) -> dict[str, Any]:
    return {
        "rows": catalogue.rows,
        "rejected": dict(sorted(catalogue.rejected.items())),
        "duplicates": catalogue.duplicates,
        "text": catalogue.text_template,
        "items_without_text": interactions.items[schema.TEXT].null_count(),
        "items_without_events": items.without_events,
        "items_not_in_catalogue": items.not_in_catalogue,
        "events_not_in_catalogue": items.events_not_in_catalogue,
    }
