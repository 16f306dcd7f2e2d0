"""Cleaning: weigh, filter and merge events, with every row accounted for."""

from recli.steps.prepare.cleaning.assemble import Items, assemble, join_catalogue, renumber
from recli.steps.prepare.cleaning.duplicates import DUPLICATES, merge, tied
from recli.steps.prepare.cleaning.filters import Robots, cap, core, robots
from recli.steps.prepare.cleaning.pseudonyms import pseudonymize, pseudonyms
from recli.steps.prepare.cleaning.row_counts import RowCounts
from recli.steps.prepare.cleaning.weighting import Indexed, Weighing, index_events

__all__ = [
    "DUPLICATES",
    "Indexed",
    "Items",
    "Robots",
    "RowCounts",
    "Weighing",
    "assemble",
    "cap",
    "core",
    "index_events",
    "join_catalogue",
    "merge",
    "pseudonymize",
    "pseudonyms",
    "renumber",
    "robots",
    "tied",
]
