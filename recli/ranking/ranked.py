"""Top-k lists as arrays."""

from dataclasses import dataclass

import numpy as np

from recli.schema import Float32, Int32


@dataclass(frozen=True)
class Ranked:
    """Top-k lists: `items` int32 (n, k), best first, -1 beyond a list's end; `scores` float32 (n, k)."""

    items: Int32
    scores: Float32


def nothing(n: int, k: int) -> Ranked:
    """Empty lists of n users, to be filled."""
    return Ranked(np.full((n, k), -1, dtype=np.int32), np.full((n, k), -np.inf, dtype=np.float32))
