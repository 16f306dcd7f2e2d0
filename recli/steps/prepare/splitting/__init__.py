"""Splits: which events are for training, validation and test."""

from recli.steps.prepare.splitting.assign import (
    HISTORY,
    PARTS,
    TEST,
    TIMED,
    TRAIN,
    VALIDATION,
    Plan,
    assign,
)
from recli.steps.prepare.splitting.keys import hash_ranks, id_keys, pair_keys, time_ranks

__all__ = [
    "HISTORY",
    "PARTS",
    "TEST",
    "TIMED",
    "TRAIN",
    "VALIDATION",
    "Plan",
    "assign",
    "hash_ranks",
    "id_keys",
    "pair_keys",
    "time_ranks",
]
