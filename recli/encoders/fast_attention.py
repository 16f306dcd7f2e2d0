"""Attention kernels compiled by numba, for texts of different lengths without a mask.

Linear layers take tokens as rows without padding; the products need a padded block for each text and head. `spread`
and `gather` convert between the two. `softmax` works in place, in one pass: in bfloat16 torch's was measured three
times as long, more than both products together.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from recli.compute.compiled import compiled

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
    `gather(mixed (n, heads, width, d), starts, sums, tokens (t, heads d))` divides, and leaves the padding out.
    """

    spread: Callable[..., None]
    softmax: Callable[..., None]
    gather: Callable[..., None]


_FAST = {"reassoc", "contract", "nsz", "nnan"}


def read(cell: Any) -> Any:
    """A cell as a float32; a bfloat16's bits are the upper half."""
    return np.uint32(np.uint32(cell) << np.uint32(16)).view(np.float32)


def write(value: Any, like: Any) -> Any:
    """A float32 as a cell of the kind of `like`; as bfloat16 to nearest, ties to even."""
    bits = np.float32(value).view(np.uint32)
    odd = np.uint32(np.uint32(bits >> np.uint32(16)) & np.uint32(1))
    return np.uint16(np.uint32(bits + np.uint32(np.uint32(0x7FFF) + odd)) >> np.uint32(16))


def lowest(like: Any) -> Any:
    """The least finite number, as a cell of the kind of `like`."""
    return np.uint16(0xFF7F)


def ordered(bits: Any) -> Any:
    """A float32's bits, int32, as an integer of the same order, and back."""
    return np.int32(bits ^ np.int32(np.int32(bits >> np.int32(31)) & np.int32(0x7FFFFFFF)))


def power_of_two(x: Any) -> Any:
    """2^x, float32, for -126 <= x <= 127: the whole part goes into the exponent's bits."""
    whole = np.floor(x + np.float32(0.5))
    x = x - whole
    y = (((((C6 * x + C5) * x + C4) * x + C3) * x + C2) * x + C1) * x + np.float32(1)
    return np.int32(np.float32(y).view(np.int32) + np.int32(np.int32(whole) << np.int32(23))).view(np.float32)


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
                # Then all loops go over the width: no rest that is not vectorized.
                cells[size:] = lowest(cells[0])
                most = np.int32(-2147483648)
                for i in range(width):  # of integers: a maximum of floats is not vectorized
                    most = max(most, ordered(np.float32(read(cells[i])).view(np.int32)))
                top = np.int32(ordered(most)).view(np.float32)
                total = np.float32(0)
                for i in range(width):
                    weight = power_of_two(max((read(cells[i]) - top) * scale, LEAST))
                    total += weight
                    cells[i] = write(weight, cells[i])
                sums[text, head, row] = total


def gather(mixed: Any, starts: Any, sums: Any, tokens: Any) -> None:
    n, heads, _, d = mixed.shape
    for text in range(n):
        first, size = starts[text], starts[text + 1] - starts[text]
        for row in range(size):
            token = tokens[first + row]
            for head in range(heads):
                cells = mixed[text, head, row]
                share = np.float32(1) / sums[text, head, row]
                for i in range(d):
                    token[head * d + i] = write(read(cells[i]) * share, cells[i])


@lru_cache(maxsize=1)
def _declare() -> None:
    """Register the small functions above as numba overloads for each cell type: cached code must not use closures."""
    from numba import extending, types

    def on_cells(function: Callable[..., Any], for_float32: Callable[..., Any]) -> None:
        def chosen(*cells: Any) -> Callable[..., Any]:
            return for_float32 if cells[-1] == types.float32 else function

        # numba matches the names of parameters.
        chosen.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
        extending.overload(function, jit_options={"fastmath": _FAST}, strict=False)(chosen)

    least = np.finfo(np.float32).min
    on_cells(read, lambda cell: cell)
    on_cells(write, lambda value, like: value)
    on_cells(lowest, lambda like: least)
    for function in (ordered, power_of_two):
        extending.register_jitable(fastmath=_FAST)(function)


@lru_cache(maxsize=2)
def kernels(bfloat16: bool) -> Kernels:
    """The functions for one kind of cells."""
    _declare()
    cell = "uint16" if bfloat16 else "float32"
    rows, starts, sums, squares = (
        f"{cell}[:, ::1]",
        "int64[::1]",
        "float32[:, :, ::1]",
        f"{cell}[:, :, :, ::1]",
    )
    return Kernels(
        compiled(spread, f"void({rows}, {starts}, {squares}, {squares}, {squares})", fastmath=_FAST),
        compiled(softmax, f"void({squares}, {starts}, float32, {sums})", fastmath=_FAST),
        compiled(gather, f"void({squares}, {starts}, {sums}, {rows})", fastmath=_FAST),
    )
