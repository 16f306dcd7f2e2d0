"""The boost of cold items: for a share of the lists that is asked for, or for a loss of warm ones that is allowed.

The boost is added to all cold items of a user alike. So a user's 20 best warm and 20 best cold items decide the
top 20 at any boost: they are found once, and what a boost does is then counted, not estimated.

Nothing here looks for the boost with the best NDCG over all items. The known events of cold items are all among
those to be found, so a free offset tuned on it looks spectacular and is an artifact: the figures of warm and of
cold items stay apart.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recli.metrics.accuracy import hits_of
from recli.models.base import Model
from recli.models.fusion import Fusion, FusionConfig
from recli.ranking.topk import Ranked, score_batches, top_k
from recli.schema import CSR, Bool, Float32, Float64, Int32, Int64
from recli.steps.train_hybrid.weight_search import K
from recli.steps.train_hybrid.weights import (
    Advance,
    Candidates,
    PseudoColdSplit,
    TrainingInputs,
    assemble,
    validation_candidates,
)

SHOWN = (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0)  # boosts of the trade-off
DIGITS = 4  # of a boost that is found, so that what is printed can be typed: its share is off by < 1e-4


@dataclass(frozen=True)
class BlockTopK:
    """The K best items of one block for n users, best first."""

    scores: Float32  # (n, K), -inf beyond the end
    ties: Int32  # (n, K), which of two equal ones comes first
    hits: Bool  # (n, K), relevant ones
    relevant: Int64  # (n,), relevant items of the block


@dataclass(frozen=True)
class WarmColdRanking:
    """The warm and the cold items that compete for the K places of n lists; cold ones without a boost."""

    warm: BlockTopK
    cold: BlockTopK


def validation_contest(
    kitchen: TrainingInputs, model: Fusion, splits: tuple[str, ...], max_users: int
) -> WarmColdRanking:
    """Warm against cold items for users with validation rows of warm items, or where nobody has, for all users.

    At most `max_users`, a random sample. `splits`: what the model was trained on, and users are known by.
    """
    given = validation_candidates(kitchen.interactions, max_users, kitchen.seed, splits)
    with kitchen.progress("warm against cold items", given.users.size) as advance:
        return contest(model, given, advance)


def hidden_contest(
    kitchen: TrainingInputs, config: FusionConfig, models: Mapping[str, Model], blind: PseudoColdSplit
) -> WarmColdRanking:
    """Warm against cold items on the pseudo-cold split: hidden items stand among the cold ones, and are told."""
    model = assemble(config, blind.rest, {**models, **blind.models})
    with kitchen.progress("warm against hidden items", blind.candidates.users.size) as advance:
        return contest(model, blind.candidates, advance)


def contest(model: Fusion, given: Candidates, advance: Advance) -> WarmColdRanking:
    """Score the users once; what they did before is masked. Relevant are those of the `given.items`."""
    level = replace(model, config=replace(model.config, cold_boost=0.0))
    blocks = np.flatnonzero(~model.cold), np.flatnonzero(model.cold)
    best: tuple[list[Ranked], list[Ranked]] = ([], [])
    for rows, scores in score_batches(level, given.history, given.users, seen=given.history.values):
        for items, found in zip(blocks, best, strict=True):
            found.append(_best(scores, items, given.ties))
        advance(rows.stop - rows.start, "")
    relevant = _relevant(given)
    return WarmColdRanking(*(_side(*each, relevant, given.ties) for each in zip(blocks, best, strict=True)))


def _best(scores: Float32, items: Int64, ties: Int32) -> Ranked:
    """The K best of the block's items, by item number."""
    found = top_k(scores[:, items], K, ties[items])
    if not items.size:
        return found
    return replace(found, items=np.where(found.items < 0, -1, items[found.items]).astype(np.int32))


def _relevant(given: Candidates) -> CSR:
    """What is to be found among `given.items` and is not in the history, (n, n_items)."""
    of_items = np.zeros(given.ties.size, dtype=np.float32)
    of_items[given.items] = 1
    told = given.relevant.multiply(of_items[None, :]).tocsr()
    told.data[:] = 1
    told = told - told.multiply(given.history.values != 0)
    told.eliminate_zeros()
    return told


def _side(items: Int64, batches: Sequence[Ranked], relevant: CSR, ties: Int32) -> BlockTopK:
    listed = np.concatenate([batch.items for batch in batches])
    scores = np.concatenate([batch.scores for batch in batches])
    n_relevant = relevant[:, items].getnnz(axis=1).astype(np.int64)
    return BlockTopK(scores, ties[np.maximum(listed, 0)], hits_of(listed, relevant), n_relevant)


def share_of_cold(given: WarmColdRanking, boost: float) -> float:
    """The share of cold items in the users' top K."""
    warm, cold = given.warm, _raised(given.cold, boost)
    # Cold item j is listed if at most K-1-j warm ones stand above it: if it stands above warm item K-1-j.
    above = _above(cold.scores, cold.ties, warm.scores[:, ::-1], warm.ties[:, ::-1])
    listed = int((above & np.isfinite(cold.scores)).sum())
    there = np.isfinite(warm.scores).sum(axis=1) + np.isfinite(cold.scores).sum(axis=1)
    return listed / max(1, int(np.minimum(there, K).sum()))


def warm_ndcg(given: WarmColdRanking, boost: float | None) -> float | None:
    """NDCG@K of warm items in all, where cold ones are no relevant items but take places; None: no user to ask.

    Without a boost no cold items are in the lists.
    """
    other = None if boost is None else _raised(given.cold, boost)
    return _mean(_ndcg(given.warm, other), given.warm)


def cold_figures(given: WarmColdRanking, boost: float) -> tuple[float | None, float | None]:
    """NDCG@K and recall@K of cold items in all, where warm ones are no relevant items but take places."""
    cold = _raised(given.cold, boost)
    listed = cold.hits & (_places(cold, given.warm) < K)
    recall = listed.sum(axis=1) / np.maximum(cold.relevant, 1)
    return _mean(_ndcg(cold, given.warm), cold), _mean(recall, cold)


def warm_loss(given: WarmColdRanking, boost: float) -> float:
    """The share of the warm items' NDCG@K that is lost to cold ones in the lists; it grows with the boost."""
    without = warm_ndcg(given, None)
    return 1 - (warm_ndcg(given, boost) or 0.0) / without if without else 0.0


def boost_for_share(given: WarmColdRanking, asked: float) -> float:
    """The boost at which the share of cold items is nearest to the asked one; of equally near ones the lowest.

    The share is a step function that grows with the boost, and all its steps are known. It is exact but for
    equal steps, and for the digits that a boost has.
    """
    boosts = _between(given.warm.scores[:, ::-1], given.cold.scores)
    place = bisect_left(boosts, asked, key=lambda boost: share_of_cold(given, boost))
    near = boosts[max(0, place - 1) : place + 1]
    return min(near, key=lambda boost: abs(share_of_cold(given, boost) - asked))


def boost_for_loss(given: WarmColdRanking, allowed: float) -> tuple[float, bool]:
    """The largest boost that loses warm items at most the `allowed` share of their NDCG@K; and whether any does more.

    It may be negative. If none does more, the boost is one that puts the cold items above all warm hits.
    """
    users, places = np.nonzero(given.warm.hits)
    boosts = _between(given.warm.scores[users, places][:, None], given.cold.scores[users])
    place = bisect_right(boosts, allowed, key=lambda boost: warm_loss(given, boost))
    return boosts[max(0, place - 1)], place < len(boosts)


def trade_off(
    told: WarmColdRanking, hidden: WarmColdRanking | None, boosts: Sequence[float]
) -> list[dict[str, float | None]]:
    """What each boost costs warm items and gives cold ones; figures as stored in the manifest."""
    rows: list[dict[str, float | None]] = []
    for boost in boosts:
        ndcg = warm_ndcg(told, boost)
        of_hidden = (None, None) if hidden is None else cold_figures(hidden, boost)
        row: dict[str, float | None] = {
            "cold_boost": boost,
            "cold_share": share_of_cold(told, boost),
            "warm_ndcg@20": ndcg,
            "warm_loss": None if ndcg is None else warm_loss(told, boost),
            "hidden_ndcg@20": of_hidden[0],
            "hidden_recall@20": of_hidden[1],
        }
        rows.append({name: None if value is None else round(value, 6) for name, value in row.items()})
    return rows


def _between(warm: Float32, cold: Float32) -> list[float]:
    """Boosts, one below, one in each gap between, and one above all those at which a cold item passes a warm one."""
    with np.errstate(invalid="ignore"):  # -inf beyond the ends of both
        passing = warm.astype(np.float64) - cold
    values = np.unique(passing[np.isfinite(passing)])
    if not values.size:
        return [0.0]
    gaps = np.concatenate([[values[0] - 1], (values[1:] + values[:-1]) / 2, [values[-1] + 1]])
    return [float(boost) for boost in np.unique(np.round(gaps, DIGITS) + 0.0)]  # + 0.0: no -0


def _raised(side: BlockTopK, boost: float) -> BlockTopK:
    return replace(side, scores=side.scores + np.float32(boost))  # as `Fusion.score` does: the same bits


def _above(scores: Float32, ties: Int32, others: Float32, their_ties: Int32) -> Bool:
    """Whether an item stands above another one in a list."""
    above: Bool = (scores > others) | ((scores == others) & (ties < their_ties))
    return above


def _places(side: BlockTopK, other: BlockTopK | None) -> Int64:
    """Places of one block's items in the lists of all, from 0, (n, K)."""
    places = np.broadcast_to(np.arange(K), side.scores.shape).copy()
    for column in range(0 if other is None else K):
        assert other is not None
        other_scores = other.scores[:, column, None], other.ties[:, column, None]
        places += _above(*other_scores, side.scores, side.ties) & np.isfinite(other_scores[0])
    return places


def _ndcg(side: BlockTopK, other: BlockTopK | None) -> Float64:
    """NDCG@K of each user with the block's relevant items alone, (n,); 0 for those who have none."""
    places = _places(side, other)
    gains = np.where(side.hits & (places < K), 1 / np.log2(places + 2), 0.0).sum(axis=1)
    discounts = np.concatenate([[1.0], np.cumsum(1 / np.log2(np.arange(2, K + 2)))])
    ideal = discounts[np.minimum(side.relevant, K)]
    found: Float64 = gains / ideal
    return found


def _mean(figures: Any, side: BlockTopK) -> float | None:
    asked = side.relevant > 0
    return float(figures[asked].mean()) if asked.any() else None
