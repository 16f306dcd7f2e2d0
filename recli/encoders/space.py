"""From an encoder's raw vectors to the ones that are stored: lengths, dimensions, centre."""

from dataclasses import dataclass

import numpy as np

from recli.schema import Bool, Float32


@dataclass(frozen=True)
class Space:
    """How raw vectors are placed: l2, then the first `dim` of them or a projection, then minus `center`, then l2."""

    center: Float32  # (d,)
    projection: Float32 | None = None  # (raw dimensions, d): PCA
    dim: int | None = None  # keep the first `dim` dimensions (Matryoshka) and renormalise

    def place(self, raw: Float32) -> Float32:
        """Vectors of length 1, float32 (n, d); rows that are zero stay zero."""
        placed = self.reduce(raw)
        placed[np.any(raw != 0, axis=1)] -= self.center
        return unit(placed)

    def reduce(self, raw: Float32) -> Float32:
        """All but the centring, float32 (n, d)."""
        vectors = unit(raw)
        if self.dim is not None:
            vectors = unit(np.ascontiguousarray(vectors[:, : self.dim]))
        if self.projection is not None:
            vectors = vectors @ self.projection
        return vectors


def unit(vectors: Float32) -> Float32:
    """Rows of length 1; zero rows stay zero."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    return (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)


def fit_space(
    raw: Float32, trained: Bool, *, center: bool, dim: int | None = None, matryoshka: bool = False
) -> Space:
    """The space of items. `raw`: float32 (n_items, d). `trained`: bool (n_items,), those with a training event.

    The centre is the mean over trained items with a text (all items with a text if there are none). Where `dim` is
    less than d, a Matryoshka model's first dimensions are kept; other models' vectors are projected on the `dim`
    principal directions of all items with a text.
    """
    known = np.any(raw != 0, axis=1)
    base = known & trained if np.any(known & trained) else known
    if dim is None or dim >= raw.shape[1]:
        space = Space(np.zeros(raw.shape[1], dtype=np.float32))
    elif matryoshka or not known.any():
        space = Space(np.zeros(dim, dtype=np.float32), dim=dim)
    else:
        projection = principal_directions(unit(raw[known]), dim, center)
        space = Space(np.zeros(dim, dtype=np.float32), projection=projection)
    if not center or not known.any():  # nothing known: nothing to take off
        return space
    mean = space.reduce(raw[base]).mean(axis=0, dtype=np.float64).astype(np.float32)
    return Space(mean, space.projection, space.dim)


def principal_directions(vectors: Float32, dim: int, center: bool) -> Float32:
    """The `dim` directions in which vectors differ most, float32 (d, dim); about the origin without `center`."""
    rows = vectors.astype(np.float64)
    if center:
        rows = rows - rows.mean(axis=0)
    _, directions = np.linalg.eigh(rows.T @ rows)  # ascending
    kept = directions[:, ::-1][:, :dim]
    largest = kept[np.abs(kept).argmax(axis=0), np.arange(dim)]
    return np.ascontiguousarray(kept * np.where(largest < 0, -1.0, 1.0), dtype=np.float32)  # signs fixed
