"""One protocol for all models, and the registry of algorithms that make them.

Everything after a score (masking, top-k, explanation, evaluation) is written once and knows only this protocol.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar, runtime_checkable

import numpy as np

from recli.data.history import History
from recli.registry import Registry
from recli.schema import CSR, Bool, Float32, Int64, State

if TYPE_CHECKING:
    import polars as pl


class Model(Protocol):
    """A trained model: scores items for users, and can be stored as arrays."""

    def score(self, history: CSR, users: Int64 | None = None) -> Float32:
        """Scores of all items, float32 (batch, n_items); higher is better, no meaning beyond the order.

        `history`: float32 (batch, n_items), what each user did. `users`: int64 (batch,), row numbers of the
        training users, -1 for others; None: all others. A known user may be scored with stored factors;
        otherwise the history alone must do (fold-in). An empty history gives finite scores.
        """
        ...

    def state(self) -> State:
        """The arrays from which the algorithm's `load` makes an equal model."""
        ...


@runtime_checkable
class OrderedModel(Protocol):
    """A model that knows what the order of a history says: `scores_of` gives it the steps."""

    def score_ordered(self, history: History, users: Int64 | None = None) -> Float32:
        """As `Model.score`; `history.steps` may be None, and then all events are alike."""
        ...


def scores_of(model: Model, history: History, users: Int64 | None = None) -> Float32:
    """Scores of all items, float32 (batch, n_items), by all that the model can take of the history."""
    if isinstance(model, OrderedModel):
        return model.score_ordered(history, users)
    return model.score(history.values, users)


@runtime_checkable
class BinaryModel(Protocol):
    """A model that may ignore the values of a history: it then counts what was done, not how much."""

    @property
    def binary(self) -> bool:
        """Whether this instance ignores them."""
        ...

    def weighted(self) -> Model:
        """The same model, with values that count."""
        ...


@runtime_checkable
class ColdStart(Protocol):
    """A model that ranks items for users without a history too, by what everybody did: nothing need stand in for it."""

    @property
    def cold_start(self) -> bool:
        """Whether this instance does."""
        ...


@runtime_checkable
class FactorModel(Protocol):
    """A model whose scores are dot products, so that large catalogues can be ranked in blocks."""

    item_factors: Float32  # (n_items, d)

    def user_vectors(self, history: CSR, users: Int64 | None = None) -> Float32:
        """float32 (batch, d), with `score == user_vectors @ item_factors.T`."""
        ...


@runtime_checkable
class ByProducts(Protocol):
    """A model around another one, whose scores may be products of factors, except for some users."""

    def item_side(self) -> Float32 | None:
        """float32 (n_items, d); None: its scores are no products."""
        ...

    def user_side(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        """float32 (batch, d), and the rows that must be scored as a whole, bool (batch,)."""
        ...


def item_factors_of(model: Model) -> Float32 | None:
    """float32 (n_items, d) of a model whose scores are products of factors; None of another."""
    if isinstance(model, ByProducts):
        return model.item_side()
    return model.item_factors if isinstance(model, FactorModel) else None


def user_vectors_of(model: Model, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
    """The other side of `item_factors_of`: float32 (batch, d), and the rows to be scored as a whole, bool (batch,)."""
    if isinstance(model, ByProducts):
        return model.user_side(history, users)
    assert isinstance(model, FactorModel)
    return model.user_vectors(history.values, users), np.zeros(history.shape[0], dtype=bool)


@runtime_checkable
class RatingModel(Protocol):
    """A model that predicts ratings on the log's own scale."""

    def predict(self, users: Int64, items: Int64) -> Float32:
        """Predicted ratings of pairs, float32 (n,); user -1 is an unknown user."""
        ...


@runtime_checkable
class ItemSpace(Protocol):
    """A model that is no dot product and yet can place items in one space, for similar and for varied items."""

    def item_vectors(self) -> Float32 | None:
        """float32 (n_items, d), similar items have a large cosine; None: this model has none."""
        ...


@runtime_checkable
class ExplainsSources(Protocol):
    """A model whose score is a sum over named sources, so that a recommendation can say where it comes from."""

    def source_scores(self, history: History, users: Int64 | None = None) -> dict[str, Float32]:
        """Contributions by source, each float32 (batch, n_items); they add up to `score` (to rounding)."""
        ...


@runtime_checkable
class TextModel(Protocol):
    """A model that can score items for users of whom only a text is known.

    The text must be encoded as the items' texts were (`recli.encoders.reencode.encode_like`): the model's part has
    `summary["encoder"]`, with `config` and `summary` of the embeddings, and `text_space` holds their tensors.
    """

    @property
    def text_dim(self) -> int:
        """d; 0: this instance cannot score texts."""
        ...

    @property
    def text_space(self) -> State:
        """`center` (d,) [and `projection`] of the embeddings; empty if it cannot score texts."""
        ...

    def score_text(self, vectors: Float32) -> Float32:
        """float32 (batch, n_items) from `vectors` float32 (batch, d) in the embeddings' space."""
        ...


@dataclass(frozen=True)
class Training:
    """What an algorithm is given to learn from."""

    matrix: CSR  # float32 (n_users, n_items), weights of interactions, > 0
    rows: "pl.DataFrame | None" = None  # the same events: user, item, value [, rating] [, timestamp]
    features: Float32 | None = None  # (n_items, d), l2-normalized content features; zero rows: no text
    cold: "np.ndarray[Any, np.dtype[np.bool_]] | None" = None  # (n_items,), items without training events
    models: Mapping[str, Model] = field(default_factory=dict)  # models trained before, for fusions
    seed: int = 0
    device: str = "cpu"
    threads: int = 0  # 0: as many as there are cores
    advance: Callable[[int, str], None] = lambda steps, text: None  # progress: iterations done, a short text
    say: Callable[[str], None] = lambda text: None  # a line to read before the work starts: what it will cost
    validate: Callable[[Model], float] | None = None  # NDCG@20 on the validation split
    patience: int = 0  # iterations without a better validation score before stopping; 0: never stop early


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
    personal: bool = True  # False: everybody gets the same, whatever the history


algorithms: Registry[Algorithm] = Registry("algorithm", "recli.models")


def algorithm(
    name: str,
    *,
    help: str,
    config: type[C],
    load: Callable[[C, State], M],
    family: str = "cf",
    gpu: str = "",
    personal: bool = True,
) -> Callable[[Callable[[C, Training], M]], Callable[[C, Training], M]]:
    """Register the decorated `fit(config, training) -> Model` as an algorithm."""

    def register(fit: Callable[[C, Training], M]) -> Callable[[C, Training], M]:
        algorithms.add(name, Algorithm(name, help, config, fit, load, family, gpu, personal))
        return fit

    return register


class BestState(Generic[M]):
    """Watches training epoch by epoch: shows progress and, with `patience`, keeps the best state."""

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
            # The last text stays to be read: it must be about the model that is kept.
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


def pack_csr(name: str, matrix: CSR) -> State:
    """A sparse matrix as arrays, for `Model.state`."""
    return {
        f"{name}.data": matrix.data.astype(np.float32),
        f"{name}.indices": matrix.indices.astype(np.int32),
        f"{name}.indptr": matrix.indptr.astype(np.int64),
        f"{name}.shape": np.asarray(matrix.shape, dtype=np.int64),
    }


def unpack_csr(name: str, state: State) -> CSR:
    """The sparse matrix that `pack_csr` stored."""
    from scipy.sparse import csr_matrix

    parts = tuple(state[f"{name}.{part}"] for part in ("data", "indices", "indptr"))
    return csr_matrix(parts, shape=tuple(int(n) for n in state[f"{name}.shape"]))


def nest(prefix: str, state: State) -> State:
    """A model's arrays under `PREFIX/`, to be stored within another model's state."""
    return {f"{prefix}/{name}": array for name, array in state.items()}


def nested(prefix: str, state: State) -> State:
    """The arrays that `nest` put under `PREFIX/`, by their own names."""
    return {n.removeprefix(f"{prefix}/"): a for n, a in state.items() if n.startswith(f"{prefix}/")}
