"""ShortlistedItems for the k best items by dot products: selected by products in bfloat16, scored exactly in float32.

Products in bfloat16 take a fraction of the time of float32's where the CPU multiplies it natively, and half the memory.
Their error is bounded, so that no item of the k best is missed; the few that remain are scored in float32.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from recli.compute.compiled import compiled
from recli.compute.threads import native_bfloat16
from recli.schema import CSR, Bool, Float32, Int32, Int64

if TYPE_CHECKING:
    import torch

    Int16 = np.ndarray[Any, np.dtype[np.int16]]
else:
    Int16 = Any

_ROUNDED = 1.01 * 2.0**-8  # of a product, at most, as a share: bfloat16 has 8 bits
_SUMMED = 2.0**-24  # of |u||v|, for each product in a sum: what float32 may lose
_ITEMS_PER_BLOCK = 32  # items of a block; see `topk._floor`
_MASKED = -(2**15)  # as a bfloat16 -0, the least of all as an integer
# Scores from which loading torch and numba (1.5 s) pays off: 54,000 users of 20,000 items.
_MIN_SCORES = 1 << 30
_MAX_USERS = 512  # users at a time: half or twice as many took longer
_ITEMS_PER_PRODUCT = 1 << 16  # items looked at together
_PRODUCTS_HELD = 1 << 26  # products in bfloat16 held at a time by a thread, 128 MiB


@dataclass(frozen=True)
class ShortlistedItems:
    """Items for each row, one row after the other: `sizes` int64 (n,); `items` int32 and `scores` float32.

    `needs_exact`: bool (n,), rows for which bfloat16 is not precise enough: they have no candidates.
    """

    sizes: Int64
    items: Int32
    scores: Float32
    needs_exact: Bool


@dataclass(frozen=True)
class Shortlist:
    """Item factors, ready to be multiplied. `bfloat16`: bfloat16 (d, padded), zeros after the items."""

    items: Float32  # (n_items, d)
    bfloat16: torch.Tensor
    longest: float  # the largest length of an item's factors
    lost: float  # the largest length of what rounding takes off an item's
    # Each thread's products: new memory costs a third more.
    held: threading.local = field(default_factory=threading.local)

    @property
    def rows(self) -> int:
        """Users per batch."""
        return max(64, min(_MAX_USERS, _PRODUCTS_HELD // self.bfloat16.shape[1]))

    def candidates(self, users: Float32, masked: CSR | None, k: int) -> ShortlistedItems:
        """All items that can be among each user's k best, (n, d); few more than k. k >= 1.

        `masked`: (n, n_items), entries where an item must not be listed.
        """
        import torch

        n = users.shape[0]
        if not hasattr(self.held, "products"):
            self.held.products = torch.empty((self.rows, self.bfloat16.shape[1]), dtype=torch.bfloat16)
        products = self.held.products[:n]
        exact = torch.from_numpy(users)
        rounded = exact.bfloat16()
        torch.mm(rounded, self.bfloat16, out=products)
        bits = products.view(torch.int16).numpy()  # of positive numbers they are ordered as the numbers are
        bits[:, self.items.shape[0] :] = _MASKED
        none = np.zeros(n + 1, dtype=np.int32), np.empty(0, dtype=np.int32)
        starts, columns = none if masked is None else (masked.indptr, masked.indices)
        maxima = np.empty((n, bits.shape[1] // _ITEMS_PER_BLOCK), dtype=np.int16)
        mask, select = _kernels()
        mask(bits, starts.astype(np.int32, copy=False), columns.astype(np.int32, copy=False), maxima)
        # u.v is off by at most |u||v - v'| + |u - u'||v'|, where ' is rounded (Cauchy-Schwarz), and its own rounding.
        # The k-th best of the blocks' maxima, less that, bounds the k-th best score; what reaches that may look as
        # much less.
        last = maxima.shape[1] - k
        floor = (np.partition(maxima, last, axis=1)[:, last].astype(np.int32) << 16).view(np.float32)
        length, missing = (torch.linalg.vector_norm(a, dim=1).numpy() for a in (exact, exact - rounded))
        summed = _SUMMED * users.shape[1] * self.longest
        off = length * (self.lost + summed) + missing * self.longest
        least = (floor * (1 - _ROUNDED) - 2 * off) * (1 - _ROUNDED)
        needs_exact = ~(least > 0)  # below 0 the bits' order is another one
        reach = (np.where(needs_exact, np.inf, least).astype(np.float32).view(np.int32) >> 16).astype(
            np.int16
        )
        most = 8 * k + 64  # with more, a user's scores are too equal for bfloat16
        room = n * most + 8  # a row may go beyond its own by what eight places hold
        items, scores = np.empty(room, dtype=np.int32), np.empty(room, dtype=np.float32)
        sizes = np.empty(n, dtype=np.int64)
        select(bits, reach, users, self.items, most, items, scores, sizes)
        needs_exact |= sizes < 0
        sizes[needs_exact] = 0
        total = int(sizes.sum())
        return ShortlistedItems(sizes, items[:total], scores[:total], needs_exact)


def shortlist(items: Float32, n_users: int, k: int, allowed_rows: Int64 | None = None) -> Shortlist | None:
    """Prepare factors (n_items, d), of `allowed_rows` or all items; None where it would not be faster."""
    n_items = items.shape[0] if allowed_rows is None else allowed_rows.size
    if n_users * n_items < _MIN_SCORES or n_items < 2 * k * _ITEMS_PER_BLOCK or not native_bfloat16():
        return None
    items = items if allowed_rows is None else items[allowed_rows]
    if not np.isfinite(items).all() or not (items != items[0]).any():
        return None
    import torch

    exact = torch.from_numpy(np.ascontiguousarray(items))
    padded = -(-n_items // _ITEMS_PER_BLOCK) * _ITEMS_PER_BLOCK
    bfloat16 = torch.zeros((items.shape[1], padded), dtype=torch.bfloat16)
    bfloat16[:, :n_items] = exact.T
    longest, lost = 0.0, 0.0
    for start in range(0, n_items, _ITEMS_PER_PRODUCT):
        part = exact[start : start + _ITEMS_PER_PRODUCT]
        rounded = part.bfloat16().float()
        longest = max(longest, float(torch.linalg.vector_norm(rounded, dim=1).max()))
        lost = max(lost, float(torch.linalg.vector_norm(part - rounded, dim=1).max()))
    return Shortlist(exact.numpy(), bfloat16, longest, lost)


def _mask(bits: Int16, starts: Int32, masked: Int32, maxima: Int16) -> None:
    """Mask the items `masked[starts[i]:starts[i + 1]]` of row i in `bits`, (n, padded), then write the blocks' maxima.

    Block b holds the items b, b + n_blocks, ...: neighbors in memory are compared with SIMD.
    """
    n_blocks = maxima.shape[1]
    for row in range(maxima.shape[0]):
        line, best = bits[row], maxima[row]
        for at in range(starts[row], starts[row + 1]):
            line[masked[at]] = _MASKED
        for b in range(n_blocks):
            best[b] = line[b]
        for j in range(1, _ITEMS_PER_BLOCK):
            for b in range(n_blocks):
                here = line[j * n_blocks + b]
                best[b] = here if here > best[b] else best[b]


def _select(
    bits: Int16,  # (n, padded)
    least: Int16,  # (n,)
    users: Float32,  # (n, d)
    factors: Float32,  # (n_items, d)
    most: int,  # candidates of a row
    items: Int32,  # (n * most + 8,), written row after row, and so are scores
    scores: Float32,
    sizes: Int64,  # (n,), written: -1 where there are more
) -> None:
    """Score what reaches `least`."""
    total = 0
    reach = np.empty(bits.shape[1], dtype=np.uint8)
    eights = reach.view(np.int64)
    places = np.empty(eights.size + 1, dtype=np.int32)
    for row in range(sizes.size):
        line, user, floor = bits[row], users[row], least[row]
        for item in range(line.size):
            reach[item] = line[item] >= floor
        # Eight at a time and without branches, which could not be predicted.
        hits = 0
        for at in range(eights.size):
            places[hits] = at
            hits += eights[at] != 0
        count = 0
        for at in range(hits):
            for item in range(8 * places[at], 8 * places[at] + 8):
                items[total + count] = item
                count += reach[item]
            if count > most:
                break
        sizes[row] = -1
        if count > most:
            continue
        for at in range(total, total + count):
            factor = factors[items[at]]
            score = np.float32(0)
            for t in range(user.size):
                score += user[t] * factor[t]
            scores[at] = score
        sizes[row] = count
        total += count


@lru_cache(1)
def _kernels() -> tuple[Callable[..., None], Callable[..., None]]:
    """`_mask` and `_select`, compiled (numba)."""
    bits, matrix, rows, places = "int16[:, ::1]", "float32[:, ::1]", "int32[::1]", "int64[::1]"
    mask = compiled(_mask, f"void({bits}, {rows}, {rows}, {bits})")
    signature = f"void({bits}, int16[::1], {matrix}, {matrix}, int64, {rows}, float32[::1], {places})"
    return mask, compiled(_select, signature, fastmath={"reassoc", "contract", "nsz"})
