"""Which columns of the log and of the catalogue are the item, where names alone leave a choice: the values tell."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from recli.errors import InvalidDataError
from recli.reporting import Reporter

if TYPE_CHECKING:
    import polars as pl

    from recli.data.readers import ReadOptions
    from recli.steps.prepare.config import PrepareConfig

_CLEARLY = 0.05  # by how much more of one column's values have to be in the catalogue


def choose_item_columns(
    config: PrepareConfig, log: ReadOptions, items: ReadOptions, reporter: Reporter
) -> PrepareConfig:
    """`config` with the item columns named, where several fit by name in the log or the catalogue.

    The pair with the largest share of the log's values (of the first rows) in the catalogue is taken, and said.
    Raises `InvalidDataError` naming all of them with their shares where no pair is clearly better.
    """
    from recli.data.readers.column_roles import CATALOGUE_ITEM, ITEM, fitting
    from recli.data.readers.sample import column_names, sample_columns

    def candidates(sources: tuple[str, ...], options: ReadOptions, catalogue: bool) -> list[str]:
        if options.item_column:
            return [options.item_column]
        names = column_names(sources, options, catalogue)
        return [names[i] for i in fitting(names, CATALOGUE_ITEM if catalogue else ITEM)]

    of_log, of_items = candidates(config.log, log, False), candidates(config.items, items, True)
    if not of_log or not of_items or len(of_log) == len(of_items) == 1:
        return config
    if len(set(of_log)) < len(of_log) or len(set(of_items)) < len(of_items):
        return config  # columns of one name: reading them says so
    events = sample_columns(config.log, log, of_log)
    catalogue = sample_columns(config.items, items, of_items, catalogue=True, rows=None)
    shares = {(a, b): _share(events[a], catalogue[b]) for a in of_log for b in of_items}
    (best, share), (_, second) = sorted(shares.items(), key=lambda pair: -pair[1])[:2]
    if share < second + _CLEARLY:
        raise _undecided(shares, len(of_log) > 1, len(of_items) > 1)
    reporter.say(f"item = {best[0]} of the log, {best[1]} of the catalogue: {_shown(shares)}")
    return replace(config, item_column=best[0], item_id_column=best[1])


def _share(values: pl.Series, ids: pl.Series) -> float:
    """The share of different values that are among `ids`."""
    distinct = values.drop_nulls().unique()
    return float(distinct.is_in(ids.drop_nulls().unique().implode()).mean() or 0.0)  # type: ignore[arg-type]


def _shown(shares: dict[tuple[str, str], float]) -> str:
    return "; ".join(
        f"{share:.0%} of the values of {a!r} are in {b!r}" for (a, b), share in list(shares.items())[:6]
    )


def _undecided(shares: dict[tuple[str, str], float], in_log: bool, in_items: bool) -> InvalidDataError:
    where = " and ".join(
        name for name, several in (("the log", in_log), ("the catalogue", in_items)) if several
    )
    ways = list(
        dict.fromkeys(
            " ".join([f"--item-column {a}"] * in_log + [f"--item-id-column {b}"] * in_items)
            for a, b in sorted(shares, key=lambda pair: -shares[pair])
        )
    )
    return InvalidDataError(
        f"several columns of {where} fit the item, and the values do not tell which: {_shown(shares)}",
        f"say which: {' or '.join(ways[:4])}",
    )
