"""Why an item is recommended: what each item of the history contributed, and each source of a hybrid.

By definition, and for every model: item j of a history H contributed score(H)[i] - score(H without j)[i] to the
score of item i. For a model that is linear in the history this is its weight of j times its value; the
contributions then add up to the score. Known users are explained by their history
(fold-in), not by their stored factors. Where order counts, H without j is H with a gap: the other
items stay as old as they are, so that nothing but j's own part is missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from recli.data.history import History
from recli.models.base import Model
from recli.schema import Float32, Float64, Int32, Int64

MAX_LEFT_OUT = 200  # history items left out one by one; of longer histories, the heaviest and latest
_SCORES = 1 << 24  # scores held at a time: 64 MiB of float32


@dataclass(frozen=True)
class Reason:
    """A history item, as row number, and its share in the positive contributions, 0 to 1."""

    item: int
    share: float


def most_important(values: Float32, recency: Int32 | Int64 | None = None, most: int = MAX_LEFT_OUT) -> Int64:
    """Positions of the history items to be explained by, ascending: the `most` heaviest, latest first.

    `values`: float32 (m,); `recency`: (m,), larger is later.
    """
    if values.size <= most:
        return np.arange(values.size, dtype=np.int64)
    later = np.zeros(values.size, dtype=np.int64) if recency is None else recency
    return np.sort(np.lexsort((-later, -values))[:most])


def contributions(model: Model, history: History, items: Int32, positions: Sequence[Int64]) -> list[Float64]:
    """Contributions of history items to the scores of recommended ones, float64 (len(positions[u]), k) for each user.

    `history`: (n, n_items). `items`: int32 (n, k), row numbers, -1 beyond a list's end (its column has no
    meaning). `positions[u]`: positions in the history of user u that are left out, one at a time. All users are
    scored as unknown ones.
    """
    n, k = items.shape
    whole = _scores(model, history, items)
    owners = np.repeat(np.arange(n), [p.size for p in positions])
    left_out = np.concatenate([np.empty(0, dtype=np.int64), *positions])
    parts = np.empty((owners.size, k))
    factors = model.item_embeddings()
    width = history.shape[1] if factors is None else k * factors.shape[1]
    size = max(1, _SCORES // max(1, width))
    for start in range(0, owners.size, size):
        block = slice(start, start + size)
        own = owners[block]
        parts[block] = whole[own] - _scores(model, _without(history, own, left_out[block]), items[own])
    return np.split(parts, np.cumsum([p.size for p in positions])[:-1]) if n else []


def _scores(model: Model, history: History, items: Int32) -> Float64:
    """Scores of some items, float64 (n, k), for unknown users."""
    users = np.full(history.shape[0], -1, dtype=np.int64)
    factors = model.item_embeddings()
    if factors is not None:  # no need to score all items
        vectors, whole_rows = model.user_embeddings(history, users)
        if not whole_rows.any():
            products: Float64 = np.einsum("nd,nkd->nk", vectors.astype(np.float64), factors[items])
            return products
    return np.take_along_axis(model.score(history, users), items, axis=1).astype(np.float64)


def _without(history: History, owners: Int64, positions: Int64) -> History:
    """Row i is the history of owners[i] without its item at positions[i]; (len(owners), n_items)."""
    whole = history[owners]
    entries = np.ones(whole.nnz, dtype=bool)
    entries[whole.values.indptr[:-1] + positions] = False
    return whole.keep(entries)


def shares(parts: Float64) -> Float64:
    """Contributions as shares, per column: negative ones count 0, the others add up to 1; all 0 if none is positive."""
    positive = np.maximum(parts, 0)
    total = positive.sum(axis=0)
    return positive / np.where(total > 0, total, 1)


def history_reasons(
    model: Model, history: History, items: Int32, positions: Sequence[Int64], count: int
) -> list[list[list[Reason]]]:
    """For each user and recommended item, the up to `count` history items with the largest shares, largest first.

    Shares that round to 0% are left out, unless that leaves none.

    Arguments as in `contributions`; `positions` by `most_important`.
    """
    explanations = []
    for user, parts in enumerate(contributions(model, history, items, positions)):
        n_listed = int((items[user] >= 0).sum())
        of_history = shares(parts[:, :n_listed])
        rows = history.values.indices[history.values.indptr[user] + positions[user]]
        order = np.argsort(-of_history, axis=0, kind="stable")[:count]
        explanations.append(
            [
                [
                    Reason(int(rows[o]), float(of_history[o, c]))
                    for o in _visible(of_history[:, c], order[:, c])
                ]
                for c in range(n_listed)
            ]
        )
    return explanations


def source_shares(parts: Mapping[str, Float32], row: int, items: Int64) -> list[dict[str, float]]:
    """For each of `items`, the shares of a hybrid's sources by name, largest first, 0% left out.

    `parts`: per source float32 (batch, n_items), its part of the score; `row`: the user's row in the batch.
    """
    names = list(parts)
    of_sources = shares(np.stack([parts[name][row, items].astype(np.float64) for name in names]))
    by_item = []
    for column in range(items.size):
        order = np.argsort(-of_sources[:, column], kind="stable")
        visible = _visible(of_sources[:, column], order)
        by_item.append({names[o]: float(of_sources[o, column]) for o in visible})
    return by_item


def _visible(shares: Float64, order: Int64) -> list[int]:
    """Positions in `order`, by falling share, that do not round to 0%; if there are none, the first if positive."""
    visible = [int(o) for o in order if round(100 * shares[o]) >= 1]
    return visible or [int(o) for o in order[:1] if shares[o] > 0]


def _percent(share: float) -> str:
    return f"{share:.0%}" if round(100 * share) >= 1 else "<1%"


def sentence(reasons: Sequence[tuple[str, float]], sources: Mapping[str, float], otherwise: str) -> str:
    """`because of: A (42%), B (30%); sources: als 55%, text 45%`, or `otherwise` where there is no reason."""
    parts = []
    if reasons:
        parts.append("because of: " + ", ".join(f"{label} ({_percent(share)})" for label, share in reasons))
    if sources:
        parts.append("sources: " + ", ".join(f"{name} {_percent(share)}" for name, share in sources.items()))
    return "; ".join(parts) or otherwise
