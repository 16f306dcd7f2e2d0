"""What lies between the two products of attention, compiled by numba: texts of many lengths, no mask.

Linear layers like tokens as rows without padding; the products want a square for each text and head. `spread` and
`gather` go from the one to the other. `softmax` works in place, in one pass: in bfloat16 torch's was measured three
times as long, more than both products together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

LOG2_E = np.float32(1.4426950408889634)
LEAST = np.float32(-126)  # 2 to this is the smallest normal float32: as good as no weight
# 2^x for |x| <= 1/2, relative error below 2e-7 (Cephes' exp2f, S. Moshier 1989), from the highest power down.
C6, C5, C4 = np.float32(1.535336188e-4), np.float32(1.339887440e-3), np.float32(9.618437357e-3)
C3, C2, C1 = np.float32(5.550332471e-2), np.float32(2.402264791e-1), np.float32(6.931472029e-1)


@dataclass(frozen=True)
class Kernels:
    """Compiled functions over cells: float32, or bfloat16 as uint16, since numpy does not have it.

    Text i has the rows starts[i] to starts[i + 1] of `tokens`, counted from the first text's start in `tokens`.

    `spread(tokens (t, 3 heads d), starts (n + 1,), q, k, v (n, heads, width, d))`; zero past a text's end.
    `softmax(scores (n, heads, width, width), starts, scale, sums (n, heads, width))` makes of scores weights that are
    still to be divided by their `sums`; both are float32 inside.
    `gather(made (n, heads, width, d), starts, sums, tokens (t, heads d))` divides, and leaves the padding out.
    """

    spread: Callable[..., None]
    softmax: Callable[..., None]
    gather: Callable[..., None]


def widen(cell: Any) -> Any:
    """A bfloat16 cell as a float32: its bits are the upper half."""
    return np.uint32(np.uint32(cell) << np.uint32(16)).view(np.float32)


def narrow(value: Any) -> Any:
    """A float32 as a bfloat16 cell, to nearest, ties to even."""
    bits = np.float32(value).view(np.uint32)
    odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    return np.uint16(np.uint32(bits + np.uint32(np.uint32(0x7FFF) + odd)) >> np.uint32(16))


def same(value: Any) -> Any:
    return value


def ordered(bits: Any) -> Any:
    """A float32's bits, int32, as an integer of the same order, and back."""
    return np.int32(bits ^ np.int32(np.int32(bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


def power_of_two(x: Any) -> Any:
    """2^x, float32, for -126 <= x <= 127: the whole part goes into the exponent's bits."""
    whole = np.floor(x + np.float32(0.5))
    x = x - whole
    y = (((((C6 * x + C5) * x + C4) * x + C3) * x + C2) * x + C1) * x + np.float32(1)
    return np.int32(np.float32(y).view(np.int32) + np.int32(np.int32(whole) << np.int32(23))).view(np.float32)


@lru_cache(maxsize=2)
def kernels(bfloat16: bool) -> Kernels:
    """The functions for one kind of cells: two seconds to compile, nothing written to disk."""
    import numba
    from numba import types

    njit: Callable[..., Any] = numba.njit
    inlined = {"fastmath": {"reassoc", "contract", "nsz", "nnan"}}
    read, write = (njit(f, **inlined) for f in ((widen, narrow) if bfloat16 else (same, same)))
    order, exp2 = (njit(f, **inlined) for f in (ordered, power_of_two))
    lowest = 0xFF7F if bfloat16 else np.finfo(np.float32).min  # finite

    def spread(tokens: Any, starts: Any, q: Any, k: Any, v: Any) -> None:
        n, heads, _, d = q.shape
        for text in range(n):
            first, size = starts[text], starts[text + 1] - starts[text]
            for head in range(heads):
                own_q, own_k, own_v = q[text, head], k[text, head], v[text, head]
                for row in range(size):
                    token = tokens[first + row]
                    for i in range(d):
                        own_q[row, i] = token[head * d + i]
                        own_k[row, i] = token[(heads + head) * d + i]
                        own_v[row, i] = token[(2 * heads + head) * d + i]
                own_q[size:] = 0
                own_k[size:] = 0
                own_v[size:] = 0

    def softmax(scores: Any, starts: Any, scale: Any, sums: Any) -> None:
        n, heads, width, _ = scores.shape
        scale = np.float32(scale * LOG2_E)
        for text in range(n):
            size = starts[text + 1] - starts[text]
            for head in range(heads):
                for row in range(size):
                    cells = scores[text, head, row]
                    cells[size:] = lowest  # then all loops go over the width: no rest that is not vectorised
                    most = np.int32(-2147483648)
                    for i in range(width):  # of integers: a maximum of floats is not vectorised
                        most = max(most, order(np.float32(read(cells[i])).view(np.int32)))
                    top = np.int32(order(most)).view(np.float32)
                    total = np.float32(0)
                    for i in range(width):
                        weight = exp2(max((read(cells[i]) - top) * scale, LEAST))
                        total += weight
                        cells[i] = write(weight)
                    sums[text, head, row] = total

    def gather(made: Any, starts: Any, sums: Any, tokens: Any) -> None:
        n, heads, _, d = made.shape
        for text in range(n):
            first, size = starts[text], starts[text + 1] - starts[text]
            for row in range(size):
                token = tokens[first + row]
                for head in range(heads):
                    cells = made[text, head, row]
                    share = np.float32(1) / sums[text, head, row]
                    for i in range(d):
                        token[head * d + i] = write(read(cells[i]) * share)

    cell = types.uint16 if bfloat16 else types.float32
    rows, starts, sums = types.Array(cell, 2, "C"), types.int64[::1], types.float32[:, :, ::1]
    squares = types.Array(cell, 4, "C")

    def compiled(function: Callable[..., None], *signature: Any) -> Callable[..., None]:
        made: Callable[..., None] = njit(types.void(*signature), nogil=True, **inlined)(function)
        return made

    return Kernels(
        compiled(spread, rows, starts, squares, squares, squares),
        compiled(softmax, squares, starts, types.float32, sums),
        compiled(gather, squares, starts, sums, rows),
    )
