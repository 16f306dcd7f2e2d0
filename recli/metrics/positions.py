"""Where items stand among all candidates, counted from their scores: what the area under a ROC curve needs."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from recli.compute.compiled import compiled
from recli.schema import Float32, Int64

_COMPARED = 12  # values up to which comparing a row with each is faster than sorting it (6 and 100 us for 38,000 items)
_COMPILED = 40  # as many by machine code (1.3 and 50 us for 20,000 items)
_PAYS = 2_000_000_000  # comparisons from which on machine code is faster than numpy by more than it takes to make it

Count = Callable[[Float32, Int64, Float32], tuple[Int64, Int64]]
"""`(scores, starts, values) -> (twice, masked)`. `scores`: (n, n_items); `values[starts[i]:starts[i + 1]]` are of its
row i. `twice`: how many scores of the row are below a value, plus how many are not above it; `masked`, (n,): how many
of each row are -inf."""


def counter(n_positives: int, n_items: int) -> Count:
    """What counts fastest where so many positives are compared with so many items each."""
    return by_machine_code if n_positives * n_items >= _PAYS else by_numpy


def by_numpy(scores: Float32, starts: Int64, values: Float32) -> tuple[Int64, Int64]:
    masked = np.array([np.count_nonzero(line == -np.inf) for line in scores], dtype=np.int64)
    twice = np.empty(values.size, dtype=np.int64)
    for row, line in enumerate(scores):
        mine = slice(starts[row], starts[row + 1])
        if mine.stop - mine.start > _COMPARED:
            twice[mine] = _in_sorted(line, values[mine])
        else:
            twice[mine] = [np.count_nonzero(line < v) + np.count_nonzero(line <= v) for v in values[mine]]
    return twice, masked


def by_machine_code(scores: Float32, starts: Int64, values: Float32) -> tuple[Int64, Int64]:
    twice, masked = np.empty(values.size, dtype=np.int64), np.empty(len(scores), dtype=np.int64)
    _compiled()(scores, starts, values, _COMPILED, twice, masked)
    for row in np.flatnonzero(np.diff(starts) > _COMPILED):
        mine = slice(starts[row], starts[row + 1])
        twice[mine] = _in_sorted(scores[row], values[mine])
    return twice, masked


def _in_sorted(line: Float32, values: Float32) -> Int64:
    ordered = np.sort(line)
    below, up_to = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return np.asarray(below + up_to)


def _count(scores: Float32, starts: Int64, values: Float32, most: int, twice: Int64, masked: Int64) -> None:
    """`Count` for the rows with up to `most` values, into `twice` and `masked`."""
    least = np.float32(-np.inf)
    for row in range(scores.shape[0]):
        line = scores[row]
        total = np.int32(0)
        for i in range(line.size):
            total += np.int32(line[i] == least)
        masked[row] = total
        if starts[row + 1] - starts[row] > most:
            continue
        for at in range(starts[row], starts[row + 1]):
            value = values[at]
            total = np.int32(0)
            for i in range(line.size):
                total += np.int32(line[i] < value) + np.int32(line[i] <= value)
            twice[at] = total


@lru_cache(1)
def _compiled() -> Callable[..., None]:
    """`_count` as machine code."""
    return compiled(_count, "void(float32[:, ::1], int64[::1], float32[::1], int64, int64[::1], int64[::1])")
