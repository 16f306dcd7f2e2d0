"""Quantizes float arrays: float16, or int8 with one scale per row. Reading gives float32.

value = stored * scale. float16 has one scale, a power of two that brings the largest value to 2^14..2^15: nothing
overflows, and what is down to 5e8 times smaller keeps its 11 bits. int8 has a symmetric scale for each row,
max|row| / 127, so a row's error is at most max|row| / 254.
"""

from collections.abc import Collection, Iterator

import numpy as np

from recli.errors import RecliError
from recli.schema import Float32, State
from recli.storage.safetensors_file import Array, Blocks

FLOAT32, FLOAT16, INT8 = "float32", "float16", "int8"
STORAGE = (FLOAT32, FLOAT16, INT8)

_SCALE = ".scale"
_VALUES_PER_BLOCK = 1 << 22  # values converted at a time: 16 MiB beside the arrays


def compact(name: str, array: Float32, dtype: str, bound: float | None = None) -> State:
    """`array`, float32 (n,) or (n, d), as `NAME` of `dtype` and `NAME.scale`, float32; `expand` reads it.

    float32: as it is. One row is what has one scale in int8: a row of two dimensions, all of one dimension. `bound`:
    float16's scale is that of so large a value; None: of the largest one. Raises `RecliError` for values that are
    not finite: int8 has none.
    """
    if dtype == FLOAT32:
        return {name: array}
    rows = np.atleast_2d(array)
    largest = np.maximum(rows.max(axis=1, initial=0.0), -rows.min(axis=1, initial=0.0))
    if not np.isfinite(largest).all():
        raise RecliError(
            "there are values that are not finite numbers, and they cannot be stored in fewer bytes",
            "train again with other options of the algorithm: recli train-cf --algorithm NAME --help",
        )
    if dtype == FLOAT16:
        exponent = int(np.frexp(largest.max(initial=0.0) if bound is None else bound)[1])
        scale = np.array([2.0 ** max(exponent - 15, -126)], dtype=np.float32)
    else:
        scale = np.where(largest > np.finfo(np.float32).tiny, largest / np.float32(127), np.float32(1))
    stored = np.empty(rows.shape, dtype=dtype)
    size = max(1, _VALUES_PER_BLOCK // max(1, rows.shape[1]))
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        scaled = rows[part] / (scale if dtype == FLOAT16 else scale[part, None])
        stored[part] = np.rint(scaled) if dtype == INT8 else scaled
    return {name: stored.reshape(array.shape), name + _SCALE: scale.astype(np.float32)}


def compact_blocks(name: str, array: Blocks, dtype: str) -> dict[str, Array | Blocks]:
    """As `compact`, for rows of length 1 at most that are made block by block."""

    def blocks_of(key: str) -> Iterator[Array]:
        return (compact(name, rows, dtype, 1.0)[key] for rows in array.rows())

    if dtype == FLOAT32:
        return {name: array}
    scale: Array | Blocks = Blocks(array.shape[:1], FLOAT32, lambda: blocks_of(name + _SCALE))
    if dtype == FLOAT16:  # one for all
        none = np.empty((0, *array.shape[1:]), dtype=np.float32)
        scale = compact(name, none, dtype, 1.0)[name + _SCALE]
    return {name: Blocks(array.shape, dtype, lambda: blocks_of(name)), name + _SCALE: scale}


def expand(name: str, state: State) -> Float32:
    """The array that `compact` stored as `name`, float32 of its shape; one without a scale as it is."""
    scale = state.get(name + _SCALE)
    array: Float32 = state[name].astype(np.float32, copy=scale is not None)
    if scale is not None:
        array *= scale[:, None] if array.ndim == 2 and scale.size == array.shape[0] else scale
    return array


def compact_state(state: State, heights: Collection[int], dtype: str) -> State:
    """A model's arrays with those that grow with the data in fewer bytes; `heights`: numbers of users and items.

    Float32 matrices that have a row for each user or item get `dtype`. The values of sparse matrices get float16 at
    least: beside their indices, 4 bytes each, int8 would save little. All else is small and stays exact.
    """
    compacted: State = {}
    for name, array in state.items():
        if array.dtype != np.float32 or dtype == FLOAT32:
            compacted[name] = array
        elif array.ndim == 2 and array.shape[0] in heights:
            compacted |= compact(name, array, dtype)
        elif name.endswith(".data") and f"{name.removesuffix('.data')}.indptr" in state:
            compacted |= compact(name, array, FLOAT16)
        else:
            compacted[name] = array
    return compacted


def expand_state(state: State) -> State:
    """The arrays that `compact_state` was given, to rounding."""
    stored = [name for name in state if name + _SCALE in state]
    kept = {name: array for name, array in state.items() if not name.endswith(_SCALE)}
    return kept | {name: expand(name, state) for name in stored}
