"""Which items can be among the k best by products of factors: found by rough products, told by exact ones.

Products in bfloat16 take a fraction of the time of float32's where the CPU multiplies it natively, and half the memory.
How far off they can be is known, so that no item of the k best is missed; the few that remain are scored in float32.
"""

import threading
import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from recli.models.threads import native_bfloat16
from recli.schema import Bool, Float32, Int32, Int64

if TYPE_CHECKING:
    import torch

# The most that a rough product can be off, as a share of |u||v|. bfloat16 has 8 bits, and rounds by a share of 2^-8:
# both factors and the sum (Cauchy-Schwarz bounds what the factors lose). The rest is for float32's own rounding.
_OFF = 3.05 * 2.0**-8
_BLOCK = 32  # items of a block; see `ranking._floor`
_MASKED = np.int16(-(2**15))  # as a bfloat16 -0, the least of all as an integer
_MANY = 1 << 29  # scores from which loading torch (up to a second) pays: 27,000 users of 20,000 items
_ROWS = 512  # users at a time: half or twice as many took longer
_CELLS = 1 << 26  # rough products held at a time by a thread, 128 MiB
_CROWD = 32  # times k: with more candidates than that, a user's scores are too equal to be told apart roughly


@dataclass(frozen=True)
class Candidates:
    """Items for each row, one row after the other: `sizes` int64 (n,); `items` int32 and `scores` float32.

    `unsure`: bool (n,), rows that rough products cannot tell: they have no candidates.
    """

    sizes: Int64
    items: Int32
    scores: Float32
    unsure: Bool


@dataclass(frozen=True)
class Shortlist:
    """Item factors, ready to be multiplied. `rough`: bfloat16 (d, padded), zeros after the items."""

    items: Float32  # (n_items, d)
    rough: "torch.Tensor"
    longest: np.float32  # the largest length of an item's factors
    held: threading.local = field(
        default_factory=threading.local
    )  # each thread's room: new memory costs a third more

    @property
    def rows(self) -> int:
        """Users to be looked at together."""
        return max(64, min(_ROWS, _CELLS // self.rough.shape[1]))

    def candidates(self, users: Float32, rows: Int64, masked: Int64, k: int) -> Candidates:
        """All items that can be among each user's k best, (n, d); few more than k. k >= 1.

        `rows`, `masked`: places of what must not be listed, in the users and in the items, (m,).
        """
        import torch

        products, reach = self._room(users.shape[0])
        torch.mm(torch.from_numpy(users).bfloat16(), self.rough, out=products)
        bits = products.view(torch.int16).numpy()  # of positive numbers they are ordered as the numbers are
        bits[rows, masked] = _MASKED
        bits[:, self.items.shape[0] :] = _MASKED
        floor = _floor(bits, k)
        off = _OFF * self.longest * np.linalg.norm(users, axis=1)
        # The k-th best is at least the floor less what is rough about it, and looks as much less again.
        least = floor - 2 * off
        unsure = ~(least > 0)  # below 0 the bits' order is another one
        np.greater_equal(bits, _bits(np.where(unsure, np.inf, least))[:, None], out=reach)
        flat, sizes = places(reach)
        crowded = sizes > _CROWD * k
        if crowded.any():
            kept = np.repeat(~crowded, sizes)
            flat, sizes, unsure = flat[kept], np.where(crowded, 0, sizes), unsure | crowded
        found = (flat - np.repeat(np.arange(sizes.size) * bits.shape[1], sizes)).astype(np.int32)
        return Candidates(sizes, found, self._scores(users, found, sizes), unsure)

    def _room(self, n: int) -> "tuple[torch.Tensor, Bool]":
        """Rough products and what reaches the floor, for n users: bfloat16 and bool, (n, padded)."""
        import torch

        if not hasattr(self.held, "products"):
            shape = (self.rows, self.rough.shape[1])
            self.held.products = torch.empty(shape, dtype=torch.bfloat16)
            self.held.reach = np.empty(shape, dtype=np.bool_)
        return self.held.products[:n], self.held.reach[:n]

    def _scores(self, users: Float32, found: Int32, sizes: Int64) -> Float32:
        """Exact scores of each row's items, float32."""
        import torch

        ends = np.zeros(sizes.size + 1, dtype=np.int32)
        np.cumsum(sizes, out=ends[1:])
        with warnings.catch_warnings():  # sparse CSR tensors are called beta
            warnings.simplefilter("ignore", UserWarning)
            pattern = torch.sparse_csr_tensor(
                torch.from_numpy(ends),
                torch.from_numpy(found),
                torch.zeros(found.size),
                size=(sizes.size, self.items.shape[0]),
                check_invariants=False,
            )
            made = torch.sparse.sampled_addmm(
                pattern, torch.from_numpy(users), torch.from_numpy(self.items).T, beta=0.0
            )
        scores: Float32 = made.values().numpy()
        return scores


def shortlist(items: Float32, n_users: int, k: int) -> Shortlist | None:
    """Item factors, (n_items, d), ready for so many users; None where scoring all of them is as quick."""
    n_items = items.shape[0]
    if n_users * n_items < _MANY or n_items < 2 * k * _BLOCK or not native_bfloat16():
        return None
    longest = np.sqrt(np.max(np.einsum("nd,nd->n", items, items), initial=0))
    if not (np.isfinite(longest) and longest > 0 and (items != items[0]).any()):
        return None
    import torch

    padded = -(-n_items // _BLOCK) * _BLOCK
    rough = torch.zeros((items.shape[1], padded), dtype=torch.bfloat16)
    rough[:, :n_items] = torch.from_numpy(np.ascontiguousarray(items)).T
    return Shortlist(np.ascontiguousarray(items), rough, np.float32(longest))


def _floor(bits: "np.ndarray[tuple[int, ...], np.dtype[np.int16]]", k: int) -> Float32:
    """The k-th best of the blocks' maxima, float32 (n,), from bits (n, a multiple of a block). See `ranking._floor`."""
    n_blocks = bits.shape[1] // _BLOCK
    maxima = bits.reshape(-1, _BLOCK, n_blocks).max(axis=1)
    best = np.partition(maxima, n_blocks - k, axis=1)[:, n_blocks - k]
    return (best.astype(np.int32) << 16).view(np.float32)


def _bits(values: Float32) -> "np.ndarray[tuple[int, ...], np.dtype[np.int16]]":
    """Positive numbers as bfloat16 bits, int16, rounded down."""
    return (values.astype(np.float32).view(np.int32) >> 16).astype(np.int16)


def places(reach: Bool) -> tuple[Int64, Int64]:
    """Where a matrix is true, row by row, as places in it when flat, and how often in each row, (n,).

    Counting by row takes longer than finding.
    """
    found = np.flatnonzero(reach)
    return found, np.diff(np.searchsorted(found, np.arange(reach.shape[0] + 1) * reach.shape[1]))
