"""Cleaning: weigh, filter and merge events, with every row accounted for."""

from recli.steps.prepare.cleaning.assemble import Items, assemble, join_catalogue, renumber
from recli.steps.prepare.cleaning.duplicates import DUPLICATES, merge, tied
from recli.steps.prepare.cleaning.filters import Bots, bots, cap, core
from recli.steps.prepare.cleaning.pseudonyms import pseudonymize, pseudonyms
from recli.steps.prepare.cleaning.row_counts import RowCounts
from recli.steps.prepare.cleaning.weighting import Indexed, Weighing, index_events

__all__ = [
    "DUPLICATES",
    "Bots",
    "Indexed",
    "Items",
    "RowCounts",
    "Weighing",
    "assemble",
    "bots",
    "cap",
    "core",
    "index_events",
    "join_catalogue",
    "merge",
    "pseudonymize",
    "pseudonyms",
    "renumber",
    "tied",
]
