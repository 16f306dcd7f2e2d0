"""The base class of all models, and the registry of the algorithms that train them.

Everything after scoring (masking, top-k, explanation, evaluation) uses this class only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
import polars as pl

from recli.data.history import History
from recli.errors import RecliError
from recli.registry import Registry
from recli.reporting import SILENT, Advance, no_progress
from recli.schema import CSR, Bool, Float32, Int64, State


class Model(ABC):
    """A trained model: scores items for users, and can be stored as arrays.

    Every model inherits this class and overrides the methods whose defaults do not fit.
    """

    @abstractmethod
    def score(self, history: History, users: Int64 | None = None) -> Float32:
        """Scores of all items, float32 (batch, n_items); higher is better, no meaning beyond the order.

        `history`: what each user did, (batch, n_items); its `steps` may be None. `users`: int64 (batch,), row
        numbers of the training users, -1 for others; None: all others. A known user may be scored with stored
        factors; otherwise the history alone is used (fold-in). An empty history gives finite scores.
        """

    @abstractmethod
    def state(self) -> State:
        """The arrays from which the algorithm's `load` makes an equal model."""

    @property
    def uses_order(self) -> bool:
        """Whether scores depend on `history.steps`."""
        return False

    @property
    def handles_empty_history(self) -> bool:
        """Whether items are ranked for users without a history too, so that no fallback is needed."""
        return False

    @property
    def ignores_values(self) -> bool:
        """Whether every item of a history counts the same, whatever its value."""
        return False

    def with_values(self) -> Model:
        """The same model, with histories whose values count; see `ignores_values`."""
        return self

    def item_embeddings(self) -> Float32 | None:
        """Item factors, float32 (n_items, d), if scores are dot products with `user_embeddings`; None: they are not."""
        return None

    def user_embeddings(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        """User factors, float32 (batch, d), with `score == user_embeddings @ item_embeddings.T`; and the rows for which
        that does not hold, bool (batch,): these must be scored by `score`. Only where there are `item_embeddings`.
        """
        raise NotImplementedError(f"the scores of {type(self).__name__} are not dot products")

    def item_vectors(self) -> Float32 | None:
        """Vectors whose cosines measure how similar items are, float32 (n_items, d); None: this model has none."""
        return self.item_embeddings()

    def source_scores(self, history: History, users: Int64 | None = None) -> dict[str, Float32] | None:
        """Contributions to `score` by source, each float32 (batch, n_items), if it is a sum over named sources.

        They add up to `score` (to rounding). None: there are no sources.
        """
        return None

    def predict_ratings(self, users: Int64, items: Int64) -> Float32 | None:
        """Predicted ratings of pairs on the log's own scale, float32 (n,); user -1 is an unknown user. None: no ratings
        are predicted."""
        return None

    @property
    def text_dim(self) -> int:
        """Length of the text vectors that `score_text` takes; 0: this model cannot score texts."""
        return 0

    @property
    def text_space(self) -> State:
        """`center` (d,) [and `projection`] of the text embeddings; empty if the model cannot score texts.

        A text must be encoded as the items' texts were (`recli.encoders.reencode.encode_like`): the model's part has
        `summary["encoder"]`, with `config` and `summary` of the embeddings.
        """
        return {}

    def score_text(self, vectors: Float32) -> Float32:
        """Scores for users of whom only a text is known, float32 (batch, n_items).

        `vectors`: float32 (batch, text_dim), in the embeddings' space. Raises `RecliError` where `text_dim` is 0.
        """
        raise RecliError(
            "this model cannot score users by a text about them",
            "train one that can: recli train-hybrid RUN",
        )


@dataclass(frozen=True)
class Training:
    """The data an algorithm is trained on, and how."""

    matrix: CSR  # float32 (n_users, n_items), weights of interactions, > 0
    negatives: CSR | None = (
        None  # the same shape, weights of what users disliked, > 0; None: none are learned from
    )
    rows: pl.DataFrame | None = None  # the same events: user, item, value [, rating] [, timestamp]
    features: Float32 | None = None  # (n_items, d), l2-normalized content features; zero rows: no text
    cold: Bool | None = None  # (n_items,), items without training events
    models: Mapping[str, Model] = field(default_factory=dict)  # models trained before, for fusions
    seed: int = 0
    device: str = "cpu"
    threads: int = 0  # 0: as many as there are cores
    advance: Advance = no_progress  # iterations done since the last call, a short text
    say: Callable[[str], None] = SILENT.say  # reports a message before training starts, such as its cost
    validate: Callable[[Model], float] | None = None  # NDCG@20 on the validation split
    patience: int = 0  # epochs without a better validation score before stopping; 0: no early stopping

    @property
    def signed(self) -> CSR:
        """The interactions, with what was disliked as negative numbers."""
        return self.matrix if self.negatives is None else signed(self.matrix, self.negatives)


C = TypeVar("C")
M = TypeVar("M", bound=Model)


@dataclass(frozen=True)
class Algorithm:
    """A registered algorithm: its options, and how to train and load its models."""

    name: str
    help: str
    config: type[Any]
    fit: Callable[[Any, Training], Model]
    load: Callable[[Any, State], Model]
    family: str = "cf"  # "cf": train-cf offers it; "content": needs Training.features; "hybrid": train-hybrid
    gpu: str = ""  # what it trains with on a GPU: "implicit", "torch"; "": it cannot
    personal: bool = True  # False: all users get the same, whatever the history
    uses_negatives: bool = (
        False  # whether it learns from `Training.negatives`, and takes negative values in histories
    )
    uses_values: bool = True  # False: by default, what a user did counts the same whatever its value


algorithms: Registry[Algorithm] = Registry("algorithm", "recli.models", "recli.algorithms")


def algorithm(
    name: str,
    *,
    help: str,
    config: type[C],
    load: Callable[[C, State], M],
    family: str = "cf",
    gpu: str = "",
    personal: bool = True,
    uses_negatives: bool = False,
    uses_values: bool = True,
) -> Callable[[Callable[[C, Training], M]], Callable[[C, Training], M]]:
    """Register the decorated `fit(config, training) -> Model` as an algorithm."""

    def register(fit: Callable[[C, Training], M]) -> Callable[[C, Training], M]:
        algorithms.add(
            name, Algorithm(name, help, config, fit, load, family, gpu, personal, uses_negatives, uses_values)
        )
        return fit

    return register


class BestState(Generic[M]):
    """Early stopping: reports progress after each epoch and, with `patience`, keeps the best state."""

    def __init__(self, training: Training, snapshot: Callable[[], M]) -> None:
        """`snapshot()` is the model as it is now; its arrays must not change afterwards."""
        self._training = training
        self._snapshot = snapshot
        self._best: M | None = None
        self._score, self._epoch = -np.inf, 0

    def after(self, epoch: int, text: str = "") -> bool:
        """Note that epoch `epoch` (from 0) is done; True: validation has not improved, stop now."""
        training, stop = self._training, False
        if training.patience and training.validate is not None:
            model = self._snapshot()
            score = training.validate(model)
            if score > self._score:
                self._best, self._score, self._epoch = model, score, epoch
            # The last text stays on the screen, so it describes the model that is kept.
            text = f"{text} best validation ndcg@20 {self._score:.4f} at iteration {self._epoch + 1}".strip()
            stop = epoch - self._epoch >= training.patience
        training.advance(1, text)
        return stop

    def model(self) -> M:
        """The best model on validation; without `patience`, the last."""
        return self._snapshot() if self._best is None else self._best


def train_epochs(training: Training, total: int, step: Callable[[int], str], snapshot: Callable[[], M]) -> M:
    """Run up to `total` epochs; with `patience`, stop when validation has not improved and return the best.

    `step(epoch)` trains one epoch and returns a short text for the progress line; `snapshot()` as in `BestState`.
    """
    best = BestState(training, snapshot)
    for epoch in range(total):
        if best.after(epoch, step(epoch)):
            break
    return best.model()


def signed(matrix: CSR, negatives: CSR) -> CSR:
    """`matrix` with `negatives`, of the same shape and without a common cell, as numbers below 0."""
    both = (matrix - negatives).tocsr().astype(np.float32)
    both.sort_indices()
    return both


def pack_csr(name: str, matrix: CSR) -> State:
    """A sparse matrix as arrays, for `Model.state`."""
    return {
        f"{name}.data": matrix.data.astype(np.float32),
        f"{name}.indices": matrix.indices.astype(np.int32),
        f"{name}.indptr": matrix.indptr.astype(np.int64),
        f"{name}.shape": np.asarray(matrix.shape, dtype=np.int64),
    }


def unpack_csr(name: str, state: State) -> CSR:
    """The sparse matrix that `pack_csr` stored. Raises `ValueError` where its arrays are none: compiled code, which
    checks no bounds, would read other memory."""
    from scipy.sparse import csr_matrix

    data, indices, indptr, shape = (
        state[f"{name}.{part}"] for part in ("data", "indices", "indptr", "shape")
    )
    if (
        any(array.ndim != 1 for array in (data, indices, indptr, shape))
        or any(array.dtype.kind not in "iu" for array in (indices, indptr, shape))
        or data.dtype.kind != "f"
        or shape.size != 2
        or shape.min() < 0
        or indptr.size != shape[0] + 1
        or indptr[0] != 0
        or indptr[-1] != indices.size
        or data.size != indices.size
        or (np.diff(indptr) < 0).any()
        or (indices.size and (indices.min() < 0 or indices.max() >= shape[1]))
    ):
        raise ValueError(f"{name} is no sparse matrix")
    return csr_matrix((data, indices, indptr), shape=(int(shape[0]), int(shape[1])))


def nest(prefix: str, state: State) -> State:
    """A model's arrays under `PREFIX/`, to be stored within another model's state."""
    return {f"{prefix}/{name}": array for name, array in state.items()}


def nested(prefix: str, state: State) -> State:
    """The arrays that `nest` put under `PREFIX/`, by their own names."""
    return {n.removeprefix(f"{prefix}/"): a for n, a in state.items() if n.startswith(f"{prefix}/")}
