"""Ranks scores into top-k lists: masks items, selects the top k, breaks ties; the same for every model."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from recli.compute.threads import in_threads
from recli.data.history import History
from recli.errors import RecliError
from recli.models.base import Model
from recli.ranking.ranked import Ranked, nothing
from recli.ranking.shortlist import Shortlist, shortlist
from recli.schema import CSR, Bool, Float32, Int32, Int64, UInt64

_SCORES_HELD = 1 << 23  # scores held at a time: 32 MiB of float32; larger batches were up to twice as slow
_FEW_ITEMS = 0.25  # share of the items up to which allowed items are scored alone
_MAX_SCORES_HELD = 1 << 26  # but 64 users at least, up to 256 MiB, so that products of matrices pay


def score_batches(
    model: Model,
    history: History,
    users: Int64,
    *,
    seen: CSR | None = None,
    allowed: Bool | None = None,
) -> Iterator[tuple[slice, Float32]]:
    """Scores of all items for batches of users, -inf where an item must not be recommended.

    `history`, `seen` (csr float32): (n, n_items), row i belongs to users[i]. `allowed`: bool (n_items,).
    """
    n_users, n_items = history.shape
    size = _batch_size(n_items)
    for start in range(0, n_users, size):
        rows = slice(start, min(start + size, n_users))
        scores = model.score(history[rows], users[rows])
        _check_numbers(scores)
        if seen is not None:
            _mask(scores, seen[rows])
        if allowed is not None:
            scores[:, ~allowed] = -np.inf
        yield rows, scores


def _batch_size(n_items: int) -> int:
    """Users whose scores of so many items are held at a time."""
    return max(
        1, min(1024, max(_SCORES_HELD // max(1, n_items), min(64, _MAX_SCORES_HELD // max(1, n_items))))
    )


def _mask(scores: Float32, seen: CSR) -> None:
    scores[np.repeat(np.arange(seen.shape[0]), np.diff(seen.indptr)), seen.indices] = -np.inf


def _check_numbers(values: Float32) -> None:
    if np.isnan(np.max(values, initial=-np.inf)):  # one pass: the maximum of NaN and anything is NaN
        raise RecliError(
            "the model's scores are not numbers (NaN)",
            "train it again with other options of its algorithm: recli train-cf --algorithm NAME --help",
        )


def top_k(scores: Float32, k: int, ties: Int32) -> Ranked:
    """The k best items of each row of `scores`, float32 (n, n_items); equal scores in the order of `ties`.

    Items with score -inf never appear: shorter lists end with item -1, score -inf.
    """
    n, n_items = scores.shape
    if not scores.size:
        return nothing(n, k)
    scores = np.ascontiguousarray(scores)
    by_ties = np.argsort(ties).astype(np.int32)
    flat, sizes = _reach(scores, k, by_ties)
    items = flat - np.repeat(np.arange(n) * n_items, sizes)
    return _listed(sizes, items, scores.ravel()[flat], k, by_ties, _places_in(by_ties))


def _places_in(by_ties: Int32) -> UInt64:
    """The tie-breaking rank of each item, uint64 (n_items,)."""
    ranks = np.empty(by_ties.size, dtype=np.uint64)
    ranks[by_ties] = np.arange(by_ties.size, dtype=np.uint64)
    return ranks


def _listed(
    sizes: Int64, candidates: Int64 | Int32, values: Float32, k: int, by_ties: Int32, ranks: UInt64
) -> Ranked:
    """The k best of each row's candidates: `sizes` (n,) of them, items and scores one row after the other.

    `by_ties`: items in the order of their ties; `ranks`: the positions of items in it.
    """
    lists = nothing(sizes.size, k)
    # A key is what is sorted by: the score above the tie's rank. Sorting keys by row takes a tenth of a lexsort.
    keys = np.full((sizes.size, max(k, int(sizes.max()))), _LAST, dtype=np.uint64)
    keys[np.arange(keys.shape[1]) < sizes[:, None]] = _descending(values) << 32 | ranks[candidates]
    keys.sort(axis=1)
    keys = keys[:, :k]
    there = keys != _LAST
    lists.items[there] = by_ties[(keys[there] & _TIE).astype(np.int64)]
    lists.scores[there] = _ascending(keys[there] >> 32)
    return lists


_LAST = 2**64 - 1  # after all scores: that of -inf is lower, and no NaN comes here
_TIE = 2**32 - 1


def _descending(values: Float32) -> UInt64:
    """Numbers below 2^32 that are the smaller, the larger the values are: their bits, as IEEE 754 orders them."""
    bits = (values + np.float32(0)).view(np.uint32)  # -0 + 0 is 0: they are equal, and their bits are not
    return np.where(bits >> 31 == 1, bits, bits ^ np.uint32(0x7FFFFFFF)).astype(np.uint64)


def _ascending(numbers: UInt64) -> Float32:
    """The values that `_descending` made the numbers of."""
    bits = numbers.astype(np.uint32)
    return np.where(bits >> 31 == 1, bits, bits ^ np.uint32(0x7FFFFFFF)).view(np.float32)


_ITEMS_PER_BLOCK = 32


def _floor(scores: Float32, k: int) -> Float32:
    """A lower bound of each row's k-th best score, float32 (n,), close enough to leave few candidates.

    The k-th best of the maxima of blocks is one, and costs a third of selecting among all items
    (38,000 items: 33 against 85 microseconds per user for argpartition).
    """
    n, n_items = scores.shape
    if k >= n_items:
        return np.full(n, -np.inf, dtype=np.float32)
    n_blocks = n_items // _ITEMS_PER_BLOCK
    if n_blocks < 2 * k:  # few blocks: their k-th best maximum would be a bad bound
        return np.partition(scores, n_items - k, axis=1)[:, n_items - k]
    # Block b holds the items b, b + n_blocks, ...: neighbors in memory are compared with SIMD.
    maxima = scores[:, : n_blocks * _ITEMS_PER_BLOCK].reshape(n, _ITEMS_PER_BLOCK, n_blocks).max(axis=1)
    return np.partition(maxima, n_blocks - k, axis=1)[:, n_blocks - k]


def _reach(scores: Float32, k: int, by_ties: Int32) -> tuple[Int64, Int64]:
    """Which items can be among the k best: indices into the flat scores, row by row, and how many in each row, (n,).

    A few times k in a row, at least the k best. `by_ties`: items in the order of their ties, int32 (n_items,).
    """
    floor = np.maximum(_floor(scores, k), np.finfo(np.float32).min)  # above -inf: no masked item gets in
    reach = np.asarray(scores >= floor[:, None])
    flat, sizes = _places(reach)
    crowded = np.flatnonzero(sizes > 4 * k + 64)
    for row in crowded:  # many items have the same score, often 0: only as many of them as there is room for
        reach[row] = scores[row] > floor[row]
        room = k - int(np.count_nonzero(reach[row]))
        if room > 0:
            reach[row, _first_equal(scores[row], floor[row], room, by_ties)] = True
    return _places(reach) if crowded.size else (flat, sizes)


def _places(reach: Bool) -> tuple[Int64, Int64]:
    """Where a matrix is true, row by row, and how often in each row. Counting by row takes longer than finding."""
    flat = np.flatnonzero(reach)
    return flat, np.diff(np.searchsorted(flat, np.arange(reach.shape[0] + 1) * reach.shape[1]))


def _first_equal(scores: Float32, value: float, room: int, by_ties: Int32) -> Int32:
    """The first `room` items in tie order whose score is `value`."""
    looked = 256 + 4 * room
    while True:
        equal = by_ties[:looked][scores[by_ties[:looked]] == value]
        if equal.size >= room or looked >= by_ties.size:
            return np.asarray(equal[:room])
        looked *= 8


def ranked_batches(
    model: Model,
    history: History,
    users: Int64,
    *,
    k: int,
    ties: Int32,
    seen: CSR | None = None,
    allowed: Bool | None = None,
) -> Iterator[tuple[slice, Ranked]]:
    """The top-k lists of batches of users, in their order; arguments as in `score_batches` and `top_k`.

    Many users of a model whose scores are products of factors are ranked by shortlists, in threads: the same lists,
    except for the order of scores that differ by float32's rounding.
    """
    factors = model.item_embeddings()
    if factors is not None:
        allowed_rows = None if allowed is None else np.flatnonzero(allowed)
        request = _Request(model, allowed_rows, history, users, k, ties, seen, allowed)
        short = shortlist(factors, history.shape[0], k, allowed_rows)
        if short is not None:
            yield from _completed(request, _by_shortlist(request, short))
            return
        if allowed_rows is not None and allowed_rows.size <= _FEW_ITEMS * factors.shape[0]:
            yield from _completed(request, _among(request, factors[allowed_rows]))
            return
    for rows, scores in score_batches(model, history, users, seen=seen, allowed=allowed):
        yield rows, top_k(scores, k, ties)


@dataclass(frozen=True)
class _Request:
    """The arguments of `ranked_batches`. `allowed_rows`: the allowed items, int64; None: all."""

    model: Model
    allowed_rows: Int64 | None
    history: History
    users: Int64
    k: int
    ties: Int32
    seen: CSR | None
    allowed: Bool | None

    @property
    def allowed_ties(self) -> Int32:
        return self.ties if self.allowed_rows is None else self.ties[self.allowed_rows]

    def batches(self, size: int) -> Iterator[tuple[slice, Float32, Bool, CSR | None]]:
        """Some users at a time: vectors, rows to be scored as a whole, and what was seen of `allowed_rows`."""
        for start in range(0, self.users.size, size):
            rows = slice(start, min(start + size, self.users.size))
            vectors, whole_rows = self.model.user_embeddings(self.history[rows], self.users[rows])
            _check_numbers(vectors)
            seen = None if self.seen is None else self.seen[rows]
            yield (
                rows,
                vectors,
                whole_rows,
                seen if seen is None or self.allowed_rows is None else seen[:, self.allowed_rows],
            )


def _by_shortlist(request: _Request, short: Shortlist) -> Iterator[tuple[slice, Ranked, Bool]]:
    """Lists of positions in `allowed_rows`, and which of them must be made from exact scores."""
    by_ties = np.argsort(request.allowed_ties).astype(np.int32)
    ranks = _places_in(by_ties)

    def work(batch: tuple[slice, Float32, Bool, CSR | None]) -> tuple[Ranked, Bool]:
        best = short.candidates(batch[1], batch[3], request.k)
        return _listed(best.sizes, best.items, best.scores, request.k, by_ties, ranks), best.needs_exact

    for (rows, _, whole_rows, _), (lists, needs_exact) in in_threads(request.batches(short.rows), work):
        yield rows, lists, whole_rows | needs_exact


def _among(request: _Request, items: Float32) -> Iterator[tuple[slice, Ranked, Bool]]:
    """As `_by_shortlist`, by all products with the factors of `allowed_rows`, which are few."""
    ties = request.allowed_ties
    for rows, vectors, whole_rows, seen in request.batches(_batch_size(len(items))):
        scores = vectors @ items.T
        if seen is not None:
            _mask(scores, seen)
        yield rows, top_k(scores, request.k, ties), whole_rows


def _completed(
    request: _Request, batches: Iterator[tuple[slice, Ranked, Bool]]
) -> Iterator[tuple[slice, Ranked]]:
    """Lists of items; those that the batches leave open are made from all scores."""
    for rows, lists, needs_exact in batches:
        if request.allowed_rows is not None and request.allowed_rows.size:
            lists.items[:] = np.where(lists.items < 0, -1, request.allowed_rows[np.maximum(lists.items, 0)])
        rest = np.flatnonzero(needs_exact)
        if rest.size:
            at = rest + rows.start
            seen = None if request.seen is None else request.seen[at]
            scored = score_batches(
                request.model, request.history[at], request.users[at], seen=seen, allowed=request.allowed
            )
            for some, scores in scored:
                whole = top_k(scores, request.k, request.ties)
                lists.items[rest[some]], lists.scores[rest[some]] = whole.items, whole.scores
        yield rows, lists


def rank(
    model: Model,
    history: History,
    users: Int64,
    *,
    k: int,
    ties: Int32,
    seen: CSR | None = None,
    allowed: Bool | None = None,
) -> Ranked:
    """The top-k lists of `users`, in their order; arguments as in `score_batches` and `top_k`."""
    lists = nothing(history.shape[0], k)
    batches = ranked_batches(model, history, users, k=k, ties=ties, seen=seen, allowed=allowed)
    for rows, ranked in batches:
        lists.items[rows], lists.scores[rows] = ranked.items, ranked.scores
    return lists
