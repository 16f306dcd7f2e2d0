"""Sorting by several columns of numbers, as fast as one column of integers is sorted."""

from collections.abc import Sequence

import numpy as np

from recli.data.event_columns import Column
from recli.schema import Int64, UInt64


def lexorder(keys: Sequence[Column]) -> Int64:
    """The same order as `np.lexsort(keys)`, int64 (n,): stable, last key first, NaN last.

    Keys of integers and float32 are cut to the bits they use and packed together above the row number, 64 bits at a
    time: numpy sorts these by vector instructions (20 ms for 2 million, where lexsort takes 300 ms a key). Bits that
    do not fit are another such sort, the more significant ones later (a radix sort, Knuth 5.2.5).
    """
    n = keys[0].size
    row_numbers = np.arange(n, dtype=np.uint64)
    below = max(n - 1, 0).bit_length()  # bits of a row number
    order, packed, used = row_numbers, np.zeros(n, dtype=np.uint64), 0
    for key in keys:
        rest, width = _bits(key)
        while width:
            taken = min(width, 64 - below - used)
            packed |= (rest << np.uint64(64 - taken)) >> np.uint64(64 - taken - used)
            rest, width, used = rest >> np.uint64(taken), width - taken, used + taken
            if used == 64 - below:
                order = _sorted(packed, order, row_numbers, below)
                packed, used = np.zeros(n, dtype=np.uint64), 0
    return (_sorted(packed, order, row_numbers, below) if used else order).view(np.int64)


def _sorted(packed: UInt64, order: UInt64, row_numbers: UInt64, below: int) -> UInt64:
    """Rows in `order`, sorted by `packed`; equal ones keep their order, since row numbers break ties."""
    so_far = packed if order is row_numbers else packed[order]
    mixed = (so_far << np.uint64(below)) | row_numbers
    mixed.sort()
    mixed &= np.uint64((1 << below) - 1)
    return mixed if order is row_numbers else order[mixed]


def _bits(key: Column) -> tuple[UInt64, int]:
    """Numbers from 0 in the order of `key`, uint64 (n,), and how many bits they have."""
    if key.dtype == np.float32:
        bits = np.where(np.isnan(key), np.float32(np.nan), key + np.float32(0)).view(np.int32)  # -0 is 0
        key = np.where(bits < 0, np.int32(-1) ^ (bits & np.int32(0x7FFFFFFF)), bits)
    if not key.size or (low := key.min()) == (high := key.max()):
        return np.zeros(0, dtype=np.uint64), 0
    with np.errstate(over="ignore"):  # modulo 2^64 is meant
        return key.astype(np.uint64) - np.array(low).astype(np.uint64), (int(high) - int(low)).bit_length()
