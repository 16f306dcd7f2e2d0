"""Randomness that depends on ids and seed alone: not on the order of rows, the engine or the machine."""

import hashlib
from collections.abc import Iterable

import numpy as np

from recli.data.event_columns import BLOCK, blocks, starts
from recli.data.lexsort import lexorder
from recli.schema import Int32, UInt64


def id_keys(ids: Iterable[str], seed: int, what: str) -> UInt64:
    """A pseudo-random number for each id: blake2b keyed with the seed, uint64 (n,).

    `what` (`user`, `item`) keeps a user and an item of the same id apart.
    """
    keyed = hashlib.blake2b(key=str(seed).encode(), person=what.encode(), digest_size=8)

    def key(text: str) -> int:
        state = keyed.copy()
        state.update(text.encode())
        return int.from_bytes(state.digest(), "little")

    return np.fromiter(map(key, ids), dtype=np.uint64)


def pair_keys(first: UInt64, second: UInt64) -> UInt64:
    """One pseudo-random number of two: splitmix64's mixing (Steele et al. 2014) of each in turn, uint64 (n,)."""
    return _mix(_mix(first) + second)


def _mix(x: UInt64) -> UInt64:
    with np.errstate(over="ignore"):  # modulo 2^64 is meant
        x = x + np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hash_ranks(user: Int32, item: Int32, user_keys: UInt64, item_keys: UInt64, block: int = BLOCK) -> Int32:
    """Each event's rank among its user's events in the keyed order, int32 (n,).

    `user`, `item`: int32 (n,), sorted by user. Keys as `id_keys` gives them, by row number.
    """
    ranks = np.empty(user.size, dtype=np.int32)
    for rows in blocks(user, block):
        users = user[rows]
        order = lexorder((item[rows], pair_keys(user_keys[users], item_keys[item[rows]]), users))
        block_ranks = np.empty(users.size, dtype=np.int32)
        block_ranks[order] = _ranks(users)
        ranks[rows] = block_ranks
    return ranks


def time_ranks(user: Int32) -> Int32:
    """Each event's rank among its user's events, int32 (n,), where the rows are sorted by user, time, item."""
    ranks = np.empty(user.size, dtype=np.int32)
    for rows in blocks(user):
        ranks[rows] = _ranks(user[rows])
    return ranks


def _ranks(user: Int32) -> Int32:
    edges = starts(user)
    return (np.arange(user.size) - np.repeat(edges[:-1], np.diff(edges))).astype(np.int32)
