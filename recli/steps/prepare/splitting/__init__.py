"""Splits: which events are for training, validation and test."""

from recli.steps.prepare.splitting.assign import (
    HISTORY,
    PARTS,
    TEST,
    TIMED,
    TRAIN,
    VALIDATION,
    Part,
    Plan,
    assign,
)
from recli.steps.prepare.splitting.keys import hash_ranks, id_keys, pair_keys, time_ranks
from recli.steps.prepare.splitting.seen import Keys, assign_seen, to_history

__all__ = [
    "HISTORY",
    "PARTS",
    "TEST",
    "TIMED",
    "TRAIN",
    "VALIDATION",
    "Keys",
    "Part",
    "Plan",
    "assign",
    "assign_seen",
    "hash_ranks",
    "id_keys",
    "pair_keys",
    "time_ranks",
    "to_history",
]
