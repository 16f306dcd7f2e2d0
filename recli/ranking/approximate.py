"""Approximate lists in catalogues of a million items, for models that are dot products.

An index (`recli.ranking.ann`) finds candidates; they are masked, and scored again exactly. Recall is measured on some
of the users, and users that the index does not suit get exact lists.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recli.data.history import History
from recli.errors import RecliError
from recli.models.base import Model
from recli.ranking.ann import Index, only
from recli.ranking.ranked import Ranked, nothing
from recli.ranking.topk import rank, ranked_batches
from recli.reporting import SILENT
from recli.schema import CSR, Bool, Float32, Int32, Int64

# An index is not tried below, or above, these bounds:
LEAST_ITEMS = 100_000  # smaller catalogues
LEAST_USERS = 5_000  # fewer lists: making an index was measured to pay from 5 to 18 thousand on
LEAST_SHARE = 0.1  # share of allowed items: with fewer, most of the inverted lists are searched in vain
LONGEST = 1_000  # longer lists, and users with more masked items

_MAX_SHARE_OF_LISTS = (
    1 / 6
)  # of the inverted lists: the time of more comes near that of the product with all items
_SAMPLE_USERS = (
    200  # users whose exact lists are compared: a recall of .95 has then a standard error of about .005
)
_USERS_PER_BATCH = 1024  # users at a time
_USERS_PER_SEARCH = 128  # of them searched together, with about as many seen items
_FLOATS_HELD = 1 << 22  # numbers of candidates' vectors held at a time: 16 MiB


@dataclass(frozen=True)
class Approximate:
    """Options of approximate search."""

    target: float  # recall: the share of the exact lists that must be found
    index: Callable[[], Index]  # reads or builds the index, when it is needed
    say: Callable[[str], None] = SILENT.say


@dataclass(frozen=True)
class RankingRequest:
    """A request for top-k lists of a model, one for each history."""

    model: Model  # with `item_embeddings`; its users are numbered 0 to n - 1
    history: History  # (n, n_items)
    seen: CSR | None
    allowed: Bool | None  # (n_items,)
    k: int
    ties: Int32

    @cached_property
    def n_seen(self) -> Int64:
        """Items that are masked for each user, int64 (n,)."""
        if self.seen is None:
            return np.zeros(self.history.shape[0], dtype=np.int64)
        return np.asarray(np.diff(self.seen.indptr), dtype=np.int64)

    def exact(self, users: Int64) -> Ranked:
        seen = None if self.seen is None else self.seen[users]
        return rank(
            self.model,
            self.history[users],
            users,
            k=self.k,
            ties=self.ties,
            seen=seen,
            allowed=self.allowed,
        )


def why_exact(request: RankingRequest) -> str | None:
    """Why an index would not help; None: it may."""
    n_users, n_items = request.history.shape
    if n_items < LEAST_ITEMS:
        return f"of {n_items:,} items; below {LEAST_ITEMS:,} there is little to gain"
    if n_users < LEAST_USERS:
        return f"for {n_users:,} lists; below {LEAST_USERS:,} they are there before an index is"
    if request.k > LONGEST:
        return f"for the {request.k:,} best items; above {LONGEST:,} there is little to gain"
    if request.allowed is not None and request.allowed.sum() < max(LEAST_ITEMS, LEAST_SHARE * n_items):
        return f"of {int(request.allowed.sum()):,} allowed items; the index is of all {n_items:,}"
    return None


def rank_batches(request: RankingRequest, options: Approximate) -> Iterator[tuple[slice, Ranked]]:
    """The lists of all users, in batches; users that the index does not suit are ranked exactly."""
    why, search = why_exact(request), None
    if why is None:
        search = tuned(request, options)
        why = None if search else f"for all: the index does not find {options.target:g} of that in less time"
    if search is None:
        options.say(f"exact search {why}")
        users = np.arange(request.history.shape[0])
        yield from ranked_batches(
            request.model,
            request.history,
            users,
            k=request.k,
            ties=request.ties,
            seen=request.seen,
            allowed=request.allowed,
        )
        return
    n = request.history.shape[0]
    for start in range(0, n, _USERS_PER_BATCH):
        users = np.arange(start, min(start + _USERS_PER_BATCH, n))
        yield slice(start, start + users.size), search(users)


@dataclass(frozen=True)
class Search:
    request: RankingRequest
    factors: Float32  # (n_items, d)
    index: Index
    n_probe: int
    selector: Any

    def able(self, users: Int64) -> tuple[Int64, Float32]:
        """Which of the users have a vector of their own and not too long a history, and these vectors."""
        history = self.request.history[users]
        vectors, whole_rows = self.request.model.user_embeddings(history, users)
        able = ~whole_rows & (history.sizes > 0) & vectors.any(axis=1) & np.isfinite(vectors).all(axis=1)
        able &= self.request.k + self.request.n_seen[users] <= LONGEST
        return np.flatnonzero(able), vectors

    def __call__(self, users: Int64) -> Ranked:
        """The lists of these users, in their order."""
        k = self.request.k
        lists = nothing(users.size, k)
        able, vectors = self.able(users)
        sizes = self.request.n_seen[users]
        by_size = able[np.argsort(sizes[able], kind="stable")]
        for start in range(0, by_size.size, _USERS_PER_SEARCH):
            some = by_size[start : start + _USERS_PER_SEARCH]
            best = self.best(users[some], vectors[some], k + int(sizes[some[-1]]))
            lists.items[some], lists.scores[some] = best.items, best.scores
        left = np.flatnonzero(lists.items[:, -1] < 0)  # not searchable, or too few items
        if left.size:
            exact = self.request.exact(users[left])
            lists.items[left], lists.scores[left] = exact.items, exact.scores
        return lists

    def best(self, users: Int64, vectors: Float32, candidates: int) -> Ranked:
        """The `k` best of so many candidates that are not seen, with the model's scores."""
        n_items = len(self.factors)
        items = self.index.search(vectors, min(candidates, n_items), self.n_probe, self.selector)
        scores = np.empty(items.shape, dtype=np.float32)
        size = max(1, _FLOATS_HELD // (items.shape[1] * vectors.shape[1]))
        for start in range(0, len(items), size):
            rows = slice(start, start + size)
            scores[rows] = np.einsum("nd,ncd->nc", vectors[rows], self.factors[items[rows]])
        scores[items < 0] = -np.inf
        if self.request.seen is not None:
            scores[_among(items, self.request.seen[users])] = -np.inf
        order = np.lexsort((self.request.ties[items], -scores), axis=-1)[:, : self.request.k]
        scores = np.take_along_axis(scores, order, axis=1)
        items = np.where(np.isfinite(scores), np.take_along_axis(items, order, axis=1), -1)
        return Ranked(items.astype(np.int32), scores)


def _among(items: Int64, seen: CSR) -> Bool:
    """Which of `items` (n, c) are in the same row of `seen`, csr (n, n_items)."""
    first = np.arange(len(items), dtype=np.int64) * seen.shape[1]
    own = np.repeat(first, np.diff(seen.indptr)) + seen.indices
    among: Bool = np.isin(first[:, None] + items, own)
    return among


def tuned(request: RankingRequest, options: Approximate) -> Search | None:
    """The search that looks into as few lists as the recall allows, measured on a sample of the users.

    None where a sixth of all lists is not enough.
    """
    factors = request.model.item_embeddings()
    if factors is None:
        raise RecliError("this model's scores are no dot products")
    index, selector = options.index(), None
    if request.allowed is not None:
        selector = only(request.allowed)
    active = np.flatnonzero(request.history.sizes)
    sample = np.sort(np.random.default_rng(0).choice(active, min(active.size, _SAMPLE_USERS), replace=False))
    exact = request.exact(sample)
    n_probe = 8
    while n_probe <= max(8, index.n_lists * _MAX_SHARE_OF_LISTS):
        search = Search(request, factors, index, n_probe, selector)
        recall = recall_of(search(sample), exact)
        if recall >= options.target:
            options.say(
                f"approximate search: {n_probe} of {index.n_lists:,} lists for each user find {recall:.3f} of the "
                f"exact top {request.k} ({sample.size} users)"
            )
            return search
        n_probe = n_probe * 3 // 2
    return None


def recall_of(lists: Ranked, exact: Ranked) -> float:
    """The share of the exact lists' items that were found."""
    there = exact.items >= 0
    hits = sum(np.isin(a[t], b).sum() for a, b, t in zip(exact.items, lists.items, there, strict=True))
    return float(hits / max(1, there.sum()))
