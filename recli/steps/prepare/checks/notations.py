"""Checks of how ids and numbers are written: true and false as numbers, ids of a float type."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from recli.reporting import Reporter, counted


def check(
    notations: Mapping[str, Mapping[tuple[str, str], int]], columns: Mapping[str, str], reporter: Reporter
) -> None:
    """Say which cells are read as something that they are not plainly written as. `notations`: as in `EventLog`."""
    total = Counter[tuple[str, str]]()
    for counts in notations.values():
        total.update(counts)
    for (role, how), n in sorted(total.items()):
        column = columns.get(role, role)
        if how == "boolean":
            leave_out = "; --min-rating 1 leaves out those that are false" if role == "rating" else ""
            reporter.say(f"{column} is true or false in {counted(n, 'row')}: read as 1 and 0{leave_out}")
        elif how == "float":
            reporter.say(f"{column} is of a float type: whole numbers are read as integers, 13001.0 as 13001")
