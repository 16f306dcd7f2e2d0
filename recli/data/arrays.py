"""Small operations on arrays that several parts of the package need."""

import hashlib
from collections.abc import Iterable

import numpy as np

from recli.schema import CSR, Float32, Float64, Int32, Int64


def unit_rows(vectors: Float32 | Float64) -> Float32:
    """The rows at Euclidean length 1, float32 (n, d); zero rows stay zero. Lengths are computed in float64."""
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1, keepdims=True)
    unit: Float32 = (vectors / np.where(lengths > 0, lengths, 1)).astype(np.float32)
    return unit


def tie_order(item_ids: Iterable[str]) -> Int32:
    """A fixed pseudo-random rank of items, int32 (n_items,), to break ties by.

    It depends on the id alone. Item numbers are not used: they correlate with popularity.
    """
    digests = [hashlib.blake2b(i.encode(), digest_size=8).digest() for i in item_ids]
    keys = np.frombuffer(b"".join(digests), dtype=">u8").astype(np.uint64)
    ranks = np.empty(keys.size, dtype=np.int32)
    ranks[np.argsort(keys, kind="stable")] = np.arange(keys.size, dtype=np.int32)
    return ranks


def ranges(starts: Int64, sizes: Int64) -> Int64:
    """starts[0], starts[0] + 1, ... for sizes[0] numbers, then those of the next start."""
    ends = np.cumsum(sizes)
    return np.asarray(np.repeat(starts - (ends - sizes), sizes) + np.arange(sizes.sum()))


def binary(matrix: CSR) -> CSR:
    """A copy with all stored values 1, float32."""
    ones = matrix.astype(np.float32, copy=True)
    ones.data[:] = 1
    return ones
