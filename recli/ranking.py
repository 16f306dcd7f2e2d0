"""From scores to lists: mask, select the top k, break ties. The same for every model."""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from recli.models.base import Model
from recli.schema import CSR, Bool, Float32, Int32, Int64

_CELLS = 1 << 26  # scores held at a time: 256 MiB of float32


@dataclass(frozen=True)
class Ranked:
    """Top-k lists: `items` int32 (n, k), best first, -1 beyond a list's end; `scores` float32 (n, k)."""

    items: Int32
    scores: Float32


def tie_order(item_ids: Iterable[str]) -> Int32:
    """A fixed pseudo-random rank of items, int32 (n_items,), to break ties by.

    It depends on the id alone. Item numbers will not do: they correlate with popularity.
    """
    keys = np.fromiter(
        (int.from_bytes(hashlib.blake2b(i.encode(), digest_size=8).digest(), "big") for i in item_ids),
        dtype=np.uint64,
    )
    ranks = np.empty(keys.size, dtype=np.int32)
    ranks[np.argsort(keys, kind="stable")] = np.arange(keys.size, dtype=np.int32)
    return ranks


def score_batches(
    model: Model,
    history: CSR,
    users: Int64,
    *,
    seen: CSR | None = None,
    allowed: Bool | None = None,
) -> Iterator[tuple[slice, Float32]]:
    """Scores of all items for batches of users, -inf where an item must not be recommended.

    `history`, `seen`: float32 (n, n_items), row i belongs to users[i]. `allowed`: bool (n_items,).
    """
    n_users, n_items = history.shape
    size = max(1, min(1024, _CELLS // max(1, n_items)))
    for start in range(0, n_users, size):
        rows = slice(start, min(start + size, n_users))
        scores = model.score(history[rows], users[rows])
        if seen is not None:
            part = seen[rows]
            scores[np.repeat(np.arange(part.shape[0]), np.diff(part.indptr)), part.indices] = -np.inf
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        yield rows, scores


def top_k(scores: Float32, k: int, ties: Int32) -> Ranked:
    """The k best items of each row of `scores`, float32 (n, n_items); equal scores in the order of `ties`.

    Items with score -inf never appear: shorter lists end with item -1, score -inf.
    """
    n, n_items = scores.shape
    k_found = min(k, n_items)
    items = np.full((n, k), -1, dtype=np.int32)
    best = np.full((n, k), -np.inf, dtype=np.float32)
    if k_found < n_items:
        candidates = np.argpartition(scores, n_items - k_found, axis=1)[:, n_items - k_found :]
        edge = np.take_along_axis(scores, candidates, axis=1).min(axis=1)
        crowded = np.flatnonzero(np.isfinite(edge) & ((scores >= edge[:, None]).sum(axis=1) > k_found))
    else:
        candidates, crowded = np.tile(np.arange(n_items), (n, 1)), np.empty(0, dtype=np.int64)
    for row in crowded:  # more items tie at the edge than fit: the tie order decides which
        reach = np.flatnonzero(scores[row] >= edge[row])
        candidates[row] = reach[np.lexsort((ties[reach], -scores[row, reach]))[:k_found]]
    values = np.take_along_axis(scores, candidates, axis=1)
    order = np.lexsort((ties[candidates], -values), axis=1)
    values = np.take_along_axis(values, order, axis=1)
    best[:, :k_found] = values
    items[:, :k_found] = np.where(np.isneginf(values), -1, np.take_along_axis(candidates, order, axis=1))
    return Ranked(items, best)


def rank(
    model: Model,
    history: CSR,
    users: Int64,
    *,
    k: int,
    ties: Int32,
    seen: CSR | None = None,
    allowed: Bool | None = None,
) -> Ranked:
    """The top-k lists of `users`, in their order; arguments as in `score_batches` and `top_k`."""
    made = [top_k(s, k, ties) for _, s in score_batches(model, history, users, seen=seen, allowed=allowed)]
    if not made:
        return Ranked(np.empty((0, k), dtype=np.int32), np.empty((0, k), dtype=np.float32))
    return Ranked(np.concatenate([m.items for m in made]), np.concatenate([m.scores for m in made]))
