"""Ranks of items among all candidates, counted from their scores, for the area under the ROC curve."""

from collections.abc import Callable
from functools import lru_cache

import numpy as np

from recli.compute.compiled import compiled
from recli.schema import Float32, Int64

_COMPARED = 12  # values up to which comparing a row with each is faster than sorting it (6 and 100 us for 38,000 items)
_COMPILED = 40  # as many in compiled code (1.3 and 50 us for 20,000 items)
_COMPILING_PAYS = (
    2_000_000_000  # comparisons from which on compiled code saves more time than compiling takes
)

Count = Callable[[Float32, Int64, Float32], tuple[Int64, Int64]]
"""`(scores, starts, values) -> (twice, masked)`. `scores`: (n, n_items); `values[starts[i]:starts[i + 1]]` are of its
row i. `twice`: how many scores of the row are below a value, plus how many are not above it; `masked`, (n,): how many
of each row are -inf."""


def counter(n_positives: int, n_items: int) -> Count:
    """The fastest counter where so many positives are compared with so many items each."""
    return by_compiled_code if n_positives * n_items >= _COMPILING_PAYS else by_numpy


def by_numpy(scores: Float32, starts: Int64, values: Float32) -> tuple[Int64, Int64]:
    masked = np.array([np.count_nonzero(line == -np.inf) for line in scores], dtype=np.int64)
    twice = np.empty(values.size, dtype=np.int64)
    for row, line in enumerate(scores):
        part = slice(starts[row], starts[row + 1])
        if part.stop - part.start > _COMPARED:
            twice[part] = _in_sorted(line, values[part])
        else:
            twice[part] = [np.count_nonzero(line < v) + np.count_nonzero(line <= v) for v in values[part]]
    return twice, masked


def by_compiled_code(scores: Float32, starts: Int64, values: Float32) -> tuple[Int64, Int64]:
    twice, masked = np.empty(values.size, dtype=np.int64), np.empty(len(scores), dtype=np.int64)
    _compiled()(scores, starts, values, _COMPILED, twice, masked)
    for row in np.flatnonzero(np.diff(starts) > _COMPILED):
        part = slice(starts[row], starts[row + 1])
        twice[part] = _in_sorted(scores[row], values[part])
    return twice, masked


def _in_sorted(line: Float32, values: Float32) -> Int64:
    ordered = np.sort(line)
    below, up_to = (np.searchsorted(ordered, values, side) for side in ("left", "right"))
    return np.asarray(below + up_to)


def _count(scores: Float32, starts: Int64, values: Float32, most: int, twice: Int64, masked: Int64) -> None:
    """`Count` for the rows with up to `most` values, into `twice` and `masked`."""
    minus_infinity = np.float32(-np.inf)
    for row in range(scores.shape[0]):
        line = scores[row]
        total = np.int32(0)
        for i in range(line.size):
            total += np.int32(line[i] == minus_infinity)
        masked[row] = total
        if starts[row + 1] - starts[row] > most:
            continue
        for entry in range(starts[row], starts[row + 1]):
            value = values[entry]
            total = np.int32(0)
            for i in range(line.size):
                total += np.int32(line[i] < value) + np.int32(line[i] <= value)
            twice[entry] = total


@lru_cache(1)
def _compiled() -> Callable[..., None]:
    """`_count`, compiled by numba."""
    return compiled(_count, "void(float32[:, ::1], int64[::1], float32[::1], int64, int64[::1], int64[::1])")
