"""Spectral filters on the bipartite graph of users and items, shared by GF-CF and BSPM.

R~ = D_u^-a R D_i^-b / s is the interactions with both degrees divided out (a = b = 1/2 in the papers, where s = 1
follows; s makes the largest singular value 1 for any powers), P = R~'R~ the linear low-pass filter on items, and V
the right singular vectors of R~ with the largest singular values: the graph's smoothest signals.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from recli.compute.threads import one_blas_thread
from recli.config import Config, Tune, option
from recli.data.history import History
from recli.models.base import Model, Training, pack_csr, unpack_csr
from recli.models.kernels.neighbors import scaled
from recli.schema import CSR, Float32, Float64, Int64, State

_DENSE_SIZE = (
    2000  # up to so many users or items, the spectrum is computed densely: exact, and in about a second
)
_USERS_PER_BLOCK = 64  # users at a time: their scores of one item are 4 lines of the cache
_STEPWISE_USERS = (
    8  # users up to which step-by-step scoring is faster than building the map (1.7 s on yelp2018)
)
_ZERO_SHARE = 1e-5  # singular values below this share of the largest are rounding errors


@dataclass(frozen=True)
class SpectralConfig(Config):
    """The options that all filters on a spectrum have; each declares its own default width."""

    rank: int = option(
        0, "Singular vectors; 0: the filter's own number.", min=0, max=2048, formerly=("dimensions",)
    )
    low_pass_weight: float = option(
        0.3,
        "Weight of the ideal low-pass filter beside the linear one.",
        min=0,
        max=1000,
        tune=Tune(0.01, 3, log=True),
    )
    user_power: float = option(
        0.35,
        "Exponent of user activity in the normalization: the higher, the less active users count.",
        min=0,
        max=2,
        tune=Tune(0.1, 0.7),
    )
    item_power: float = option(
        0.4,
        "Exponent of item popularity in the normalization: the higher, the less popular items count.",
        min=0,
        max=2,
        tune=Tune(0.2, 0.7),
    )


@dataclass(frozen=True)
class Spectrum:
    """The normalized graph and its smoothest signals: what every filter is computed from."""

    graph: CSR  # float32 (n_users, n_items), R~
    sizes: (
        Float64  # (n_items,), D_i^b: sums of the interactions' weights to the power b; 0 where there are none
    )
    values: Float64  # (d,), the largest singular values of R~, descending
    vectors: Float32  # (n_items, d), their right singular vectors, V

    def state(self) -> State:
        arrays: State = {"sizes": self.sizes, "values": self.values, "vectors": self.vectors}
        return pack_csr("graph", self.graph) | arrays


def stored_spectrum(state: State) -> Spectrum:
    """The spectrum whose `state` this is."""
    return Spectrum(unpack_csr("graph", state), state["sizes"], state["values"], state["vectors"])


def spectrum(matrix: CSR, rank: int, user_power: float, item_power: float, seed: int) -> Spectrum:
    """Normalize interactions (n_users, n_items) and find their `rank` (at most the matrix's) smoothest signals."""
    users, items = (np.asarray(matrix.sum(axis=a), dtype=np.float64).ravel() for a in (1, 0))
    sizes = np.where(items > 0, items**item_power, 0.0)
    graph = scaled(matrix, rows=inverse(np.where(users > 0, users**user_power, 0.0)), columns=inverse(sizes))
    values, vectors = top_singular(graph, rank, seed)
    if values.size:
        graph.data /= np.float32(values[0])
        values = values / values[0]
    return Spectrum(graph, sizes, values, vectors)


def fit_spectrum(config: SpectralConfig, training: Training, most: int) -> Spectrum:
    """The spectrum of the training interactions; `most`: the filter's default number of signals."""
    matrix = training.matrix
    rank = config.rank or default_rank(matrix, most)
    basis = spectrum(matrix, rank, config.user_power, config.item_power, training.seed)
    training.advance(1, "")
    return basis


def default_rank(matrix: CSR, most: int) -> int:
    """`most`, or a sixth of the users or of the items where that is less.

    Where there are few of them, most signals are noise: of 610 users, 100 were 2 to 6% better than 256.
    """
    users, items = matrix.shape
    return max(1, min(most, int(users) // 6, int(items) // 6))


def inverse(sizes: Float64) -> Float64:
    """1 / sizes, and 0 for what has no interaction."""
    return np.where(sizes > 0, 1.0 / np.where(sizes > 0, sizes, 1.0), 0.0)


def top_singular(matrix: CSR, k: int, seed: int) -> tuple[Float64, Float32]:
    """The k largest singular values of a matrix, float64 (d,), and right singular vectors, float32 (columns, d).

    d <= k: there are no more than the rank. Largest first; each vector's largest component is positive. The same
    bytes for the same seed, however many threads; another seed changes rounding only, as the iteration (ARPACK)
    runs until it has converged: 30 s for 384 of 32k x 38k. A randomized SVD took 13 s with 6 power iterations,
    and missed an eighth of the first 256 dimensions: this spectrum falls slowly.
    """
    smaller = min(matrix.shape)
    with one_blas_thread():
        if smaller <= max(_DENSE_SIZE, 2 * k):
            values, vectors = _dense(matrix, k)
        else:
            values, vectors = _lanczos(matrix, k, seed)
    kept = values > _ZERO_SHARE * (values[0] if values.size else 1.0)
    values, vectors = values[kept], vectors[:, kept]
    signs = np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(values.size)]) if values.size else 1.0
    return values, np.ascontiguousarray(vectors * signs, dtype=np.float32)


def _dense(matrix: CSR, k: int) -> tuple[Float64, Float64]:
    from scipy.linalg import eigh

    x = matrix.astype(np.float64)
    by_users = x.shape[0] < x.shape[1]
    gram = (x @ x.T if by_users else x.T @ x).toarray()
    n = gram.shape[0]
    squares, basis = eigh(gram, subset_by_index=(max(0, n - k), n - 1))
    values = np.sqrt(np.maximum(squares[::-1], 0.0))
    basis = basis[:, ::-1]
    if by_users:
        basis = (x.T @ basis) / np.maximum(values, 1e-300)
    return values, basis


def _lanczos(matrix: CSR, k: int, seed: int) -> tuple[Float64, Float64]:
    from scipy.sparse.linalg import svds

    start = np.random.default_rng(seed).normal(size=min(matrix.shape)).astype(np.float32)
    _, values, rows = svds(matrix, k=k, v0=start, return_singular_vectors="vh")
    order = np.argsort(-values, kind="stable")
    return values[order].astype(np.float64), rows[order].T.astype(np.float64)


@dataclass(frozen=True)
class GraphFilter(Model):
    """A linear filter of histories r: score = linear r P + low_pass r L (1 - sharpening P) + r V diag(bend) V'.

    L = D_i^-b V V' D_i^b is the ideal low-pass filter. There is no matrix of all items: P itself would be nearly
    dense, and pruning it loses what makes it a filter.
    """

    basis: Spectrum
    linear: float
    low_pass: float
    sharpening: float = 0.0
    bend: Float64 | None = None  # (d,); None: zeros

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        values = history.values
        scores = self._by_signals(values)
        for start in range(0, values.shape[0], _USERS_PER_BLOCK):
            users_like = (values[start : start + _USERS_PER_BLOCK] @ self._by_item).T.toarray()
            scores[start : start + _USERS_PER_BLOCK] += np.float32(self.linear) * self._items_of(users_like)
        return scores

    def _by_signals(self, history: CSR) -> Float32:
        """All but the first term, float32 (batch, n_items)."""
        if self._only_low_pass or (history.shape[0] <= _STEPWISE_USERS and "_map" not in self.__dict__):
            return self._step_by_step(history)
        left, right = self._map
        return np.asarray(history @ left, dtype=np.float32) @ right

    @property
    def _only_low_pass(self) -> bool:
        return not self.sharpening and self.bend is None

    def _step_by_step(self, history: CSR) -> Float32:
        """The same without `_map`: faster for few users, and for filters with L alone."""
        signals = self.basis.vectors
        away = scaled(history, columns=inverse(self.basis.sizes))
        scores: Float32 = np.asarray(self.low_pass * (away @ signals), dtype=np.float32) @ signals.T
        scores *= self.basis.sizes.astype(np.float32)
        if self.sharpening:
            scores -= np.float32(self.sharpening) * self._items_of(self.basis.graph @ scores.T)
        if self.bend is not None:
            scores += (np.asarray(history @ signals) * self.bend).astype(np.float32) @ signals.T
        return scores

    @cached_property
    def _map(self) -> tuple[Float32, Float32]:
        """All but the first term as r left right, float32 (n_items, 2 d) and (2 d, n_items)."""
        signals, sizes = self.basis.vectors, self.basis.sizes
        left = (signals * inverse(sizes)[:, None]).astype(np.float32)
        right = (np.ascontiguousarray(signals.T) * (self.low_pass * sizes)).astype(np.float32)
        if self.sharpening:
            blurred = self.basis.graph.T @ (self.basis.graph @ np.ascontiguousarray(right.T))
            right -= np.float32(self.sharpening) * blurred.T
        if self.bend is None:
            return left, right
        bent = (signals * self.bend).T.astype(np.float32)
        return np.concatenate([left, signals], axis=1), np.concatenate([right, bent])

    def _items_of(self, users_like: Float32) -> Float32:
        """Multiply dense users (n_users, batch) by R~: (batch, n_items), which is r P.

        With sparse ones nearly all items come out too, and that took 3.5 times as long on yelp2018.
        """
        return np.asarray((self._by_item @ users_like).T, dtype=np.float32)

    @cached_property
    def _by_item(self) -> CSR:
        """R~', csr (n_items, n_users)."""
        return self.basis.graph.T.tocsr()

    def state(self) -> State:
        return self.basis.state()
