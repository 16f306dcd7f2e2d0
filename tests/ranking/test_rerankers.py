"""Rerankers: what is registered, and that lists of the best items stay lists whatever reranks them."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recli.ranking.ranked import Ranked
from recli.ranking.rerankers import mmr
from recli.ranking.rerankers.base import RerankerInputs, rerankers
from recli.schema import Float32

N_ITEMS = 12
MATRIX = csr_matrix((np.random.default_rng(1).random((30, N_ITEMS)) < 0.3).astype(np.float32))
VECTORS = np.random.default_rng(2).normal(size=(N_ITEMS, 4)).astype(np.float32)


def pool() -> Ranked:
    """The best items of three users, of whom one has four candidates and one none."""
    rng = np.random.default_rng(3)
    items = np.stack([rng.permutation(N_ITEMS)[:8] for _ in range(3)]).astype(np.int32)
    scores = -np.sort(-rng.random((3, 8)).astype(np.float32), axis=1)
    items[1, 4:], scores[1, 4:] = -1, -np.inf
    items[2], scores[2] = -1, -np.inf
    return Ranked(items, scores)


def inputs(vectors: Float32 | None) -> RerankerInputs:
    return RerankerInputs(vectors, lambda: MATRIX)


def test_mmr_is_registered() -> None:
    assert "mmr" in rerankers.names()


@pytest.mark.parametrize("name", rerankers.names())
@pytest.mark.parametrize("vectors", [VECTORS, None], ids=["vectors", "users"])
@pytest.mark.parametrize("k", [1, 3, 8])
def test_reranked_lists_are_of_the_pool(name: str, vectors: Float32 | None, k: int) -> None:
    given = pool()
    lists = rerankers[name].make(0.3, inputs(vectors))(given, k)
    assert lists.items.shape == lists.scores.shape == (3, k)
    assert lists.items.dtype == np.int32 and lists.scores.dtype == np.float32
    for row, (items, scores) in enumerate(zip(lists.items, lists.scores, strict=True)):
        listed = items[items >= 0]
        assert listed.size == min(k, (given.items[row] >= 0).sum()) and len(set(listed)) == listed.size
        assert (items[listed.size :] == -1).all() and np.isneginf(scores[listed.size :]).all()
        before = dict(zip(given.items[row].tolist(), given.scores[row].tolist(), strict=True))
        assert [before[i] for i in listed.tolist()] == scores[: listed.size].tolist()
    unchanged = rerankers[name].make(1.0, inputs(vectors))(given, k)
    assert np.array_equal(unchanged.items, given.items[:, :k]), "weight 1 keeps the order of scores"


@pytest.mark.parametrize("vectors", [VECTORS, None], ids=["vectors", "users"])
def test_mmr_does_not_depend_on_the_size_of_blocks(
    monkeypatch: pytest.MonkeyPatch, vectors: Float32 | None
) -> None:
    whole = rerankers["mmr"].make(0.3, inputs(vectors))(pool(), 5)
    monkeypatch.setattr(mmr, "_SIMILARITIES_HELD", 1)  # one list at a time
    lists = rerankers["mmr"].make(0.3, inputs(vectors))(pool(), 5)
    assert np.array_equal(lists.items, whole.items) and np.array_equal(lists.scores, whole.scores)


def test_interactions_are_made_only_without_vectors() -> None:
    def no_matrix() -> csr_matrix:
        raise AssertionError("vectors are enough")

    rerankers["mmr"].make(0.3, RerankerInputs(VECTORS, no_matrix))
