"""Approximate lists in catalogues of a million items, for models that are dot products.

An index (`recli.ranking.ann`) finds candidates; they are masked, and scored again exactly. Recall is measured on some
of the users, and lists that the index cannot make well are exact.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from recli.data.history import History
from recli.errors import RecliError
from recli.models.base import Model
from recli.ranking.ann import Index, only
from recli.ranking.topk import Ranked, nothing, rank, ranked_batches
from recli.schema import CSR, Bool, Float32, Int32, Int64

# Where an index is not tried:
LEAST_ITEMS = 100_000  # smaller catalogues
LEAST_USERS = 5_000  # fewer lists: making an index was measured to pay from 5 to 18 thousand on
LEAST_SHARE = 0.1  # less of the items is allowed: most of what inverted lists hold would be looked at in vain
LONGEST = 1_000  # longer lists; and users of whom more has to be masked

_MOST = 1 / 6  # of the inverted lists: the time of more comes near that of the product with all items
_SAMPLE = 200  # users whose exact lists are compared: a recall of .95 has then a standard error of about .005
_BATCH = 1024  # users at a time
_ALIKE = 128  # of them searched together, with about as many seen items
_CELLS = 1 << 22  # numbers of candidates' vectors held at a time: 16 MiB


@dataclass(frozen=True)
class Approximate:
    """What approximate lists need beside the model."""

    target: float  # recall: the share of the exact lists that must be found
    index: Callable[[], Index]  # where it is needed: read, or made
    say: Callable[[str], None] = lambda text: None


@dataclass(frozen=True)
class RankingRequest:
    """Lists that are asked of a model, one for each history."""

    model: Model  # of products of factors; its users are places, 0 to n - 1
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

    def exact(self, places: Int64) -> Ranked:
        seen = None if self.seen is None else self.seen[places]
        return rank(
            self.model,
            self.history[places],
            places,
            k=self.k,
            ties=self.ties,
            seen=seen,
            allowed=self.allowed,
        )


def why_exact(asked: RankingRequest) -> str | None:
    """Why an index would not help; None: it may."""
    n_users, n_items = asked.history.shape
    if n_items < LEAST_ITEMS:
        return f"of {n_items:,} items; below {LEAST_ITEMS:,} there is little to gain"
    if n_users < LEAST_USERS:
        return f"for {n_users:,} lists; below {LEAST_USERS:,} they are there before an index is"
    if asked.k > LONGEST:
        return f"for the {asked.k:,} best items; above {LONGEST:,} there is little to gain"
    if asked.allowed is not None and asked.allowed.sum() < max(LEAST_ITEMS, LEAST_SHARE * n_items):
        return f"of {int(asked.allowed.sum()):,} allowed items; the index is of all {n_items:,}"
    return None


def rank_batches(asked: RankingRequest, wanted: Approximate) -> Iterator[tuple[slice, Ranked]]:
    """The lists of all users, in batches; what the index cannot do well is ranked exactly."""
    why, search = why_exact(asked), None
    if why is None:
        search = tuned(asked, wanted)
        why = None if search else f"for all: the index does not find {wanted.target:g} of that in less time"
    if search is None:
        wanted.say(f"exact search {why}")
        places = np.arange(asked.history.shape[0])
        yield from ranked_batches(
            asked.model,
            asked.history,
            places,
            k=asked.k,
            ties=asked.ties,
            seen=asked.seen,
            allowed=asked.allowed,
        )
        return
    n = asked.history.shape[0]
    for start in range(0, n, _BATCH):
        places = np.arange(start, min(start + _BATCH, n))
        yield slice(start, start + places.size), search(places)


@dataclass(frozen=True)
class Search:
    asked: RankingRequest
    factors: Float32  # (n_items, d)
    index: Index
    probed: int
    selector: Any

    def able(self, places: Int64) -> tuple[Int64, Float32]:
        """Which of the places have a vector of their own and not too long a history, and these vectors."""
        history = self.asked.history[places]
        vectors, whole_rows = self.asked.model.user_embeddings(history, places)
        able = ~whole_rows & (history.sizes > 0) & vectors.any(axis=1) & np.isfinite(vectors).all(axis=1)
        able &= self.asked.k + self.asked.n_seen[places] <= LONGEST
        return np.flatnonzero(able), vectors

    def __call__(self, places: Int64) -> Ranked:
        """The lists of these places, in their order."""
        k = self.asked.k
        made = nothing(places.size, k)
        able, vectors = self.able(places)
        sizes = self.asked.n_seen[places]
        by_size = able[np.argsort(sizes[able], kind="stable")]
        for start in range(0, by_size.size, _ALIKE):
            some = by_size[start : start + _ALIKE]
            found = self.best(places[some], vectors[some], k + int(sizes[some[-1]]))
            made.items[some], made.scores[some] = found.items, found.scores
        left = np.flatnonzero(made.items[:, -1] < 0)  # not able, or too few were found
        if left.size:
            exact = self.asked.exact(places[left])
            made.items[left], made.scores[left] = exact.items, exact.scores
        return made

    def best(self, places: Int64, vectors: Float32, candidates: int) -> Ranked:
        """The `k` best of so many candidates that are not seen, with the model's scores."""
        n_items = len(self.factors)
        items = self.index.search(vectors, min(candidates, n_items), self.probed, self.selector)
        scores = np.empty(items.shape, dtype=np.float32)
        size = max(1, _CELLS // (items.shape[1] * vectors.shape[1]))
        for start in range(0, len(items), size):
            rows = slice(start, start + size)
            scores[rows] = np.einsum("nd,ncd->nc", vectors[rows], self.factors[items[rows]])
        scores[items < 0] = -np.inf
        if self.asked.seen is not None:
            scores[_among(items, self.asked.seen[places])] = -np.inf
        order = np.lexsort((self.asked.ties[items], -scores), axis=-1)[:, : self.asked.k]
        best = np.take_along_axis(scores, order, axis=1)
        found = np.where(np.isfinite(best), np.take_along_axis(items, order, axis=1), -1)
        return Ranked(found.astype(np.int32), best)


def _among(items: Int64, seen: CSR) -> Bool:
    """Which of `items` (n, c) are in the same row of `seen`, csr (n, n_items)."""
    first = np.arange(len(items), dtype=np.int64) * seen.shape[1]
    own = np.repeat(first, np.diff(seen.indptr)) + seen.indices
    found: Bool = np.isin(first[:, None] + items, own)
    return found


def tuned(asked: RankingRequest, wanted: Approximate) -> "Search | None":
    """The search that looks into as few lists as the recall allows, measured on a sample of the users.

    None where a sixth of all lists is not enough.
    """
    factors = asked.model.item_embeddings()
    if factors is None:
        raise RecliError("this model's scores are no dot products")
    index, selector = wanted.index(), None
    if asked.allowed is not None:
        selector = only(asked.allowed)
    active = np.flatnonzero(asked.history.sizes)
    sample = np.sort(np.random.default_rng(0).choice(active, min(active.size, _SAMPLE), replace=False))
    exact = asked.exact(sample)
    probed = 8
    while probed <= max(8, index.n_lists * _MOST):
        search = Search(asked, factors, index, probed, selector)
        recall = recall_of(search(sample), exact)
        if recall >= wanted.target:
            wanted.say(
                f"approximate search: {probed} of {index.n_lists:,} lists for each user find {recall:.3f} of the "
                f"exact top {asked.k} ({sample.size} users)"
            )
            return search
        probed = probed * 3 // 2
    return None


def recall_of(found: Ranked, exact: Ranked) -> float:
    """The share of the exact lists' items that were found."""
    there = exact.items >= 0
    hits = sum(np.isin(a[t], b).sum() for a, b, t in zip(exact.items, found.items, there, strict=True))
    return float(hits / max(1, there.sum()))
