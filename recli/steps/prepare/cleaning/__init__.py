"""Cleaning: weight, filter and merge events; every input row is counted."""

from recli.steps.prepare.cleaning.assemble import Items, assemble, join_catalogue, renumber
from recli.steps.prepare.cleaning.duplicates import DUPLICATES, merge, tied
from recli.steps.prepare.cleaning.filters import Bots, bots, cap, core
from recli.steps.prepare.cleaning.identical import Identical, find_identical
from recli.steps.prepare.cleaning.negatives import Contradictions, NegativeRules, settle
from recli.steps.prepare.cleaning.pseudonyms import pseudonymize, pseudonyms
from recli.steps.prepare.cleaning.row_counts import RowCounts
from recli.steps.prepare.cleaning.set_aside import SetAside, drop_pairs_of, row_numbers
from recli.steps.prepare.cleaning.weight_transform import Weighed, parse_transform, transform_weights
from recli.steps.prepare.cleaning.weighting import EventWeighting, Indexed, index_events

__all__ = [
    "DUPLICATES",
    "Bots",
    "Contradictions",
    "EventWeighting",
    "Identical",
    "Indexed",
    "Items",
    "NegativeRules",
    "RowCounts",
    "SetAside",
    "Weighed",
    "assemble",
    "bots",
    "cap",
    "core",
    "drop_pairs_of",
    "find_identical",
    "index_events",
    "join_catalogue",
    "merge",
    "parse_transform",
    "pseudonymize",
    "pseudonyms",
    "renumber",
    "row_numbers",
    "settle",
    "tied",
    "transform_weights",
]
