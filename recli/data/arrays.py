"""Small operations on arrays that several parts of the package need."""

import numpy as np

from recli.schema import Float32, Float64


def unit_rows(vectors: Float32 | Float64) -> Float32:
    """The rows at Euclidean length 1, float32 (n, d); zero rows stay zero. Lengths are computed in float64."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit: Float32 = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return unit
