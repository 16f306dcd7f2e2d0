"""Cleaning: weigh, filter and merge events, with every row accounted for."""

from recli.cleaning.account import Account
from recli.cleaning.assemble import Items, assemble, join_catalogue, renumber
from recli.cleaning.duplicates import DUPLICATES, merge, tied
from recli.cleaning.filters import Robots, cap, core, robots
from recli.cleaning.pseudonyms import pseudonymize, pseudonyms
from recli.cleaning.values import Indexed, Weighing, index_events

__all__ = [
    "DUPLICATES",
    "Account",
    "Indexed",
    "Items",
    "Robots",
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
