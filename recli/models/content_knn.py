"""Content k-nearest neighbors: items whose texts are close to those of the items in a user's history."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from recli.compute.threads import cores, one_blas_thread
from recli.config import Config, Tune, option
from recli.data.arrays import binary
from recli.data.history import History
from recli.errors import RecliError
from recli.models.base import Model, Training, algorithm, pack_csr, unpack_csr
from recli.models.kernels.neighbors import dense, neighbors_option
from recli.reporting import Advance
from recli.schema import CSR, Bool, Float32, Int64, State

_SIMILARITIES_HELD = 1 << 24  # similarities held at a time: 64 MiB of float32


@dataclass(frozen=True)
class ContentKnnConfig(Config):
    neighbors: int = neighbors_option(
        200, "the nearest items kept for each (content-knn).", Tune(20, 500, log=True)
    )
    power: float = option(
        2.0,
        "Exponent of similarities (content-knn): the higher, the more the nearest count.",
        min=0.1,
        max=20,
        tune=Tune(0.5, 6),
    )


@dataclass(frozen=True)
class ContentKnn(Model):
    """score(H)[i] = sum over the items j of H of max(cosine(j, i), 0)**power, over j's nearest items i."""

    similarity: CSR  # float32 (n_items, n_items), row j: its neighbors
    # The values of a history are ignored: binary histories had a higher NDCG.
    binary: bool = True

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        values = binary(history.values) if self.binary else history.values
        return dense(values @ self.similarity)

    @property
    def ignores_values(self) -> bool:
        return self.binary

    def with_values(self) -> "ContentKnn":
        return replace(self, binary=False)

    def state(self) -> State:
        return pack_csr("similarity", self.similarity)


def load(config: ContentKnnConfig, state: State) -> ContentKnn:
    return ContentKnn(unpack_csr("similarity", state))


@algorithm(
    "content-knn",
    help="items with texts close to those of the history",
    config=ContentKnnConfig,
    load=load,
    family="content",
    uses_values=False,
)
def fit(config: ContentKnnConfig, training: Training) -> ContentKnn:
    features = content_features(training)
    cold = np.zeros(features.shape[0], dtype=bool) if training.cold is None else training.cold
    return ContentKnn(nearest(features, cold, config.neighbors, config.power, training.advance))


def content_features(training: Training) -> Float32:
    """`training.features`, which every content algorithm needs. Raises `RecliError` if there are none."""
    if training.features is None or not training.features.any():
        raise RecliError(
            "there are no vectors of the items' texts to learn from", "make them with: recli embed RUN"
        )
    return training.features


def nearest(features: Float32, cold: Bool, neighbors: int, power: float, advance: Advance) -> CSR:
    """The nearest items of each item with their similarity**power, float32 csr (n_items, n_items).

    `features`: float32 (n_items, d), l2-normalized. An item is not its own neighbor. Cold and warm items are
    fused as two blocks, so each item gets `neighbors` warm and as many
    cold neighbors, if there are that many with a similarity above 0.
    """
    from scipy.sparse import csr_matrix

    n_items = features.shape[0]
    groups = [g for g in (np.flatnonzero(~cold), np.flatnonzero(cold)) if g.size]
    size = max(1, _SIMILARITIES_HELD // n_items)
    starts = range(0, n_items, size)
    blocks_of_groups = []
    for group in groups:
        others = np.ascontiguousarray(features[group].T)

        def block(start: int, group: Int64 = group, others: Float32 = others) -> tuple[Float32, Int64, Int64]:
            rows = np.arange(start, min(start + size, n_items))
            similar = features[rows] @ others  # float32 (rows, group)
            position = np.searchsorted(group, rows)
            self_there = (position < group.size) & (group[np.minimum(position, group.size - 1)] == rows)
            similar[np.flatnonzero(self_there), position[self_there]] = 0
            return _keep_largest(similar, neighbors, power, group)

        blocks = []
        # Blocks run in threads, not the products: their last bits would depend on the number of threads.
        with one_blas_thread(), ThreadPoolExecutor(cores()) as pool:
            for start, found in zip(starts, pool.map(block, starts), strict=True):
                blocks.append(found)
                advance(min(size, n_items - start), "")
        data, indices, counts = (np.concatenate(column) for column in zip(*blocks, strict=True))
        indptr = np.concatenate([[0], np.cumsum(counts)])
        blocks_of_groups.append(csr_matrix((data, indices, indptr), shape=(n_items, n_items)))
    merged = sum(blocks_of_groups[1:], blocks_of_groups[0]).tocsr()
    merged.sort_indices()
    return merged


def _keep_largest(similar: Float32, n: int, power: float, columns: Int64) -> tuple[Float32, Int64, Int64]:
    """The n largest positive entries of each row: their values**power, columns, and how many per row."""
    n = min(n, similar.shape[1])
    at = np.argpartition(similar, similar.shape[1] - n, axis=1)[:, similar.shape[1] - n :]
    values = np.take_along_axis(similar, at, axis=1)
    kept = values > 0
    powered = (values[kept] ** power).astype(np.float32)
    return powered, columns[at[kept]], kept.sum(axis=1)
