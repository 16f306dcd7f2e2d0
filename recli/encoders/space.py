"""Transforms raw vectors of an encoder into stored ones: normalizes, reduces dimensions, centers."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from recli.data.arrays import unit_rows
from recli.schema import Bool, Float32, Float64


@dataclass(frozen=True)
class Space:
    """From raw vectors to stored ones: length 1, the first `dim` or a projection, minus `center`, length 1 again.

    Fitted on the items by `fit_space`.
    """

    center: Float32  # (d,)
    projection: Float32 | None = None  # (raw dimensions, d): PCA
    dim: int | None = None  # keep the first `dim` dimensions (Matryoshka) and renormalize

    def transform(self, raw: Float32) -> Float32:
        """Vectors of length 1, float32 (n, d); rows that are zero stay zero."""
        centered = self.reduce(raw)
        centered[np.any(raw != 0, axis=1)] -= self.center
        return unit_rows(centered)

    def reduce(self, raw: Float32) -> Float32:
        """All of `transform` but the centering, float32 (n, d)."""
        vectors = unit_rows(raw)
        if self.dim is not None:
            vectors = unit_rows(np.ascontiguousarray(vectors[:, : self.dim]))
        if self.projection is not None:
            vectors = vectors @ self.projection
        return vectors


Rows = Callable[[], Iterable[Float32]]
"""Raw vectors of the items, float32 (n_items, d), in blocks of some rows; as often as they are needed."""


def fit_space(
    raw: Rows, trained: Bool, *, center: bool, dim: int | None = None, matryoshka: bool = False
) -> tuple[Space, Bool]:
    """The space of items, and which of them have a vector, bool (n_items,), in the memory of one block.

    `trained`: bool (n_items,), those with a training event. The center is the mean over trained items with a text
    (all items with a text if there are none). Where `dim` is less than d, a Matryoshka model's first dimensions are
    kept; other models' vectors are projected on the `dim` principal directions of all items with a text.
    """
    known, total = _moments(raw, with_squares=not matryoshka and dim is not None)
    base = known & trained if np.any(known & trained) else known
    if dim is None or dim >= total.mean.size:
        space = Space(np.zeros(total.mean.size, dtype=np.float32))
    elif matryoshka or not known.any():
        space = Space(np.zeros(dim, dtype=np.float32), dim=dim)
    else:
        space = Space(np.zeros(dim, dtype=np.float32), projection=principal_directions(total, dim, center))
    if not center or not known.any():  # nothing known: nothing to take off
        return space, known
    mean, start = np.zeros(space.center.size), 0
    for block in raw():
        rows = block[base[start : start + len(block)]]
        mean += space.reduce(rows).sum(axis=0, dtype=np.float64)
        start += len(block)
    return Space((mean / base.sum()).astype(np.float32), space.projection, space.dim), known


@dataclass(frozen=True)
class Moments:
    """Of n vectors: their mean, float64 (d,), and the mean of their products with themselves, (d, d)."""

    mean: Float64
    squares: Float64


def _moments(raw: Rows, with_squares: bool) -> tuple[Bool, Moments]:
    """Which vectors are not zero, bool (n,), and the moments of these at length 1; zeros where there are none."""
    known: list[Bool] = []
    total, squares = np.zeros(0), np.zeros((0, 0))
    for block in raw():
        if not known:
            total, squares = np.zeros(block.shape[1]), np.zeros((block.shape[1],) * 2)
        known.append(np.any(block != 0, axis=1))
        if with_squares:
            rows = unit_rows(block[known[-1]]).astype(np.float64)
            total += rows.sum(axis=0)
            squares += rows.T @ rows
    nonzero = np.concatenate(known)
    count = max(1, int(nonzero.sum()))
    return nonzero, Moments(total / count, squares / count)


def principal_directions(total: Moments, dim: int, center: bool) -> Float32:
    """The `dim` directions in which vectors differ most, float32 (d, dim); about the origin without `center`."""
    spread = total.squares - np.outer(total.mean, total.mean) if center else total.squares
    _, directions = np.linalg.eigh(spread)  # ascending
    kept = directions[:, ::-1][:, :dim]
    largest = kept[np.abs(kept).argmax(axis=0), np.arange(dim)]
    return np.ascontiguousarray(kept * np.where(largest < 0, -1.0, 1.0), dtype=np.float32)  # signs fixed
