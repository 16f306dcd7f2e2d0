"""The reranker interface and the registry of rerankers."""

from collections.abc import Callable
from dataclasses import dataclass

from recli.ranking.ranked import Ranked
from recli.registry import Registry
from recli.schema import CSR, Float32


@dataclass(frozen=True)
class RerankerInputs:
    """Item vectors and interactions that rerankers may use."""

    item_vectors: (
        Float32 | None
    )  # (n_items, d), of the model, similar items have a large cosine; None: it has none
    interactions: Callable[
        [], CSR
    ]  # what the model was trained on, csr (n_users, n_items), when it is first needed


Rerank = Callable[[Ranked, int], Ranked]  # from the best items, (n, p), to lists of k, (n, k)
MakeReranker = Callable[[float, RerankerInputs], Rerank]


@dataclass(frozen=True)
class Reranker:
    """A registered reranker: `make(weight, inputs)` gives the function that reranks; `weight` is from 0 to 1, and 1
    keeps the order of scores."""

    name: str
    help: str
    make: MakeReranker


rerankers: Registry[Reranker] = Registry("reranker", "recli.ranking.rerankers", "recli.rerankers")


def reranker(name: str, *, help: str) -> Callable[[MakeReranker], MakeReranker]:
    """Register the decorated `make(weight, inputs) -> Rerank` as a reranker; see `Reranker`."""

    def register(make: MakeReranker) -> MakeReranker:
        rerankers.add(name, Reranker(name, help, make))
        return make

    return register
