"""Checks of how ids and numbers are written: true and false as numbers, ids of a float type."""

from __future__ import annotations

from collections import Counter

import polars as pl

from recli.reporting import Reporter, counted
from recli.steps.prepare.config import PrepareConfig
from recli.steps.prepare.inputs import EventInput

_WHOLE = 0.2  # share of whole numbers among weights of which others may be written in thousands


def check(log: EventInput, config: PrepareConfig, reporter: Reporter) -> None:
    """Say which cells are read as something that they are not plainly written as."""
    total = Counter[tuple[str, str]]()
    for counts in log.notations.values():
        total.update(counts)
    for (role, how), n in sorted(total.items()):
        column = log.columns.get(role, role)
        if how == "boolean":
            leave_out = "; --min-rating 1 leaves out those that are false" if role == "rating" else ""
            reporter.say(f"{column} is true or false in {counted(n, 'row')}: read as 1 and 0{leave_out}")
        elif how == "float":
            reporter.say(f"{column} is of a float type: whole numbers are read as integers, 13001.0 as 13001")
    if "weight" in log.columns and config.thousands_separator is None:
        _warn_of_thousands(log, config, reporter)


def _warn_of_thousands(log: EventInput, config: PrepareConfig, reporter: Reporter) -> None:
    """Warn of weights such as 1.234 among whole ones below 1,000: is the point one of thousands?"""
    weight = pl.col("weight")
    broken = weight.filter(weight != weight.floor())
    found = log.events.select(
        n=pl.len(),
        n_broken=broken.len(),
        least=broken.min(),
        thousandths=((broken * 1_000 - (broken * 1_000).round()).abs() < 1e-6).all(),
        n_three=((broken * 100 - (broken * 100).round()).abs() > 1e-6).sum(),
        largest=weight.filter(weight == weight.floor()).max(),
    )
    row = found.collect(engine="streaming").row(0, named=True)
    if not row["n_broken"] or row["n_broken"] > (1 - _WHOLE) * row["n"] or not row["thousandths"]:
        return
    if row["least"] >= 1 and row["n_three"] > 0.5 * row["n_broken"] and row["largest"] < 1_000:
        point = "," if config.decimal_comma else "."
        example = f"{row['least']:.3f}".replace(".", point)
        option = f"--thousands-separator {point}" + (
            " without --decimal-comma" if config.decimal_comma else ""
        )
        reporter.warn(
            f"{counted(row['n_broken'], 'weight')} such as {example} have three decimals, the others are whole, below "
            f"1,000: if {example} is {example.replace(point, '')}, say {option}"
        )
