"""Chooses the boost of cold items by a target share of the lists, or by the largest accepted loss of warm items.

The boost is added to all cold items of a user alike. So a user's 20 best warm and 20 best cold items decide the
top 20 at any boost: they are selected once, and what a boost does is then counted, not estimated.

No boost is tuned on NDCG over all items: all known events of cold items are relevant ones, so an offset tuned on
them overestimates accuracy. Figures of warm and of cold items are reported separately.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recli.data.interactions import Interactions
from recli.errors import RecliError, UsageError
from recli.metrics.accuracy import hits_of, ndcg_of_ranks
from recli.models.fusion import Fusion, FusionConfig
from recli.ranking.ranked import Ranked
from recli.ranking.topk import rank, score_batches, top_k
from recli.reporting import Advance
from recli.schema import CSR, Bool, Float32, Float64, Int32, Int64
from recli.steps.train_hybrid.config import TrainHybridConfig
from recli.steps.train_hybrid.sources import (
    TRAIN,
    SourceSpec,
    TrainedSources,
    TrainingInputs,
    build_fusion,
    cold_items,
)
from recli.steps.train_hybrid.weight_search import K
from recli.steps.train_hybrid.weights import Candidates, PseudoColdSplit, validation_candidates
from recli.training.validation import has_validation, known_users, sample_users

SHOWN = (-1.0, 0.0, 0.5, 1.0, 1.5, 2.0)  # boosts of the trade-off
DIGITS = 4  # of a chosen boost, so that the printed value can be typed: its share is off by < 1e-4
TOLERANCE = 0.005  # of the share: beyond it, there is a warning
_COUNTED_USERS = 500  # sample of users: the standard error of a share is then at most about .01


def check_boost(config: TrainHybridConfig, interactions: Interactions, specs: Sequence[SourceSpec]) -> None:
    """Raises `RecliError` where no boost reaches the target, before anything is trained."""
    target, matrix = config.boost_target, interactions.matrix(*config.trained_on)
    if target is None:
        return
    n_cold, n_items = int(cold_items(matrix).sum()), interactions.n_items
    if not n_cold:
        raise RecliError(
            f"{target} has nothing to choose: each of the {n_items:,} items has events to train on",
            "leave it out",
        )
    if not any(spec.fused and spec.content for spec in specs):
        raise UsageError(
            f"{target} needs a source that knows items without events",
            "add one that reads texts to --sources: content-knn or text-factors",
        )
    if config.max_warm_loss is not None and not has_validation(interactions):
        raise RecliError(
            f"{target} is measured on validation rows, and there are none",
            "prepare the run with some: recli prepare LOG --out RUN --validation-size 0.1; or ask for a share "
            "of the lists, which needs none: --cold-share 0.1",
        )
    length = max(1, min(K, n_items - int(matrix.getnnz(axis=1).max())))  # of the shortest list
    most = min(1.0, n_cold / length)
    if config.cold_share is not None and config.cold_share > most:
        raise RecliError(
            f"{target} cannot be reached: {n_cold} cold items fill at most {most:.1%} of a top {K}",
            f"ask for less, such as --cold-share {most / 2:.2g}",
        )


@dataclass(frozen=True)
class ListedCold:
    """How many items are cold, and how often a fusion lists them with its boost."""

    n_cold: int
    n_items: int
    share: float  # of the top 20 of validation users
    users: int  # a sample; 0: there are none, and `share` is undefined
    boost: float


def count_listed(fusion: Fusion, interactions: Interactions, config: TrainHybridConfig) -> ListedCold | None:
    """Count the cold items in the lists of validation users, what the fusion was trained on masked.

    None where no item is cold, or no source knows cold items.
    """
    n_cold, boost = int(fusion.cold.sum()), fusion.config.cold_boost
    if not n_cold or not fusion.config.cold_weights:
        return None
    users = sample_users(interactions.matrix("validation").getnnz(axis=1) > 0, _COUNTED_USERS, config.seed)
    share = 0.0
    if users.size:
        history = interactions.ordered(*config.trained_on)[users]
        known, ties = known_users(users, history), interactions.ties
        items = rank(fusion, history, known, k=K, ties=ties, seen=history.seen).items
        listed = items[items >= 0]
        share = float(fusion.cold[listed].mean()) if listed.size else 0.0
    return ListedCold(n_cold, fusion.cold.size, share, int(users.size), boost)


@dataclass(frozen=True)
class BlockTopK:
    """The K best items of one block for n users, best first."""

    scores: Float32  # (n, K), -inf beyond the end
    ties: Int32  # (n, K), tie-breaking ranks
    hits: Bool  # (n, K), relevant ones
    relevant: Int64  # (n,), relevant items of the block


@dataclass(frozen=True)
class WarmColdRanking:
    """The warm and the cold items that compete for the K ranks of n lists; cold ones without a boost."""

    warm: BlockTopK
    cold: BlockTopK


@dataclass(frozen=True)
class BoostRankings:
    """Rankings that the boost is chosen on: those with validation rows as relevant items, and with pseudo-cold ones."""

    validation: WarmColdRanking
    pseudo_cold: WarmColdRanking | None


def rank_for_boost(
    config: TrainHybridConfig,
    inputs: TrainingInputs,
    trained: TrainedSources,
    options: FusionConfig,
    pseudo_cold: PseudoColdSplit | None,
) -> BoostRankings | None:
    """Rank warm against cold items by the sources trained on the training split; None: no boost is searched.

    On the pseudo-cold split the held-out items are ranked as cold ones, and are the relevant ones.
    """
    if config.boost_target is None:
        return None
    fusion = build_fusion(options, inputs.interactions.matrix("train"), trained.models)
    on_validation = rank_validation(inputs, fusion, TRAIN, config.weight_users)
    if pseudo_cold is None:
        return BoostRankings(on_validation, None)
    fusion = build_fusion(options, pseudo_cold.rest, {**trained.models, **pseudo_cold.models})
    candidates = pseudo_cold.candidates
    with inputs.reporter.progress("ranking warm and pseudo-cold items", candidates.users.size) as advance:
        return BoostRankings(on_validation, rank_blocks(fusion, candidates, advance))


def rank_validation(
    inputs: TrainingInputs, fusion: Fusion, splits: tuple[str, ...], max_users: int
) -> WarmColdRanking:
    """Warm against cold items for users with validation rows of warm items, or if no user has any, for all users.

    At most `max_users`, a random sample. `splits`: what the model was trained on, and users are known by.
    """
    candidates = validation_candidates(inputs.interactions, max_users, inputs.seed, splits)
    with inputs.reporter.progress("ranking warm and cold items", candidates.users.size) as advance:
        return rank_blocks(fusion, candidates, advance)


def rank_blocks(fusion: Fusion, candidates: Candidates, advance: Advance) -> WarmColdRanking:
    """Score the users once, their histories masked. Relevant are those of `candidates.items`."""
    without_boost = replace(fusion, config=replace(fusion.config, cold_boost=0.0))
    blocks = np.flatnonzero(~fusion.cold), np.flatnonzero(fusion.cold)
    best: tuple[list[Ranked], list[Ranked]] = ([], [])
    history, ties = candidates.history, candidates.ties
    for rows, scores in score_batches(without_boost, history, candidates.users, seen=history.seen):
        for items, batches in zip(blocks, best, strict=True):
            batches.append(_best(scores, items, ties))
        advance(rows.stop - rows.start, "")
    relevant = _relevant(candidates)
    return WarmColdRanking(
        *(_block(items, batches, relevant, ties) for items, batches in zip(blocks, best, strict=True))
    )


def _best(scores: Float32, items: Int64, ties: Int32) -> Ranked:
    """The K best of the block's items, by item number."""
    ranked = top_k(scores[:, items], K, ties[items])
    if not items.size:
        return ranked
    return replace(ranked, items=np.where(ranked.items < 0, -1, items[ranked.items]).astype(np.int32))


def _relevant(candidates: Candidates) -> CSR:
    """What is relevant among `candidates.items` and is not in the history, (n, n_items)."""
    of_items = np.zeros(candidates.ties.size, dtype=np.float32)
    of_items[candidates.items] = 1
    relevant = candidates.relevant.multiply(of_items[None, :]).tocsr()
    relevant.data[:] = 1
    relevant = relevant - relevant.multiply(candidates.history.values != 0)
    relevant.eliminate_zeros()
    return relevant


def _block(items: Int64, batches: Sequence[Ranked], relevant: CSR, ties: Int32) -> BlockTopK:
    listed = np.concatenate([batch.items for batch in batches])
    scores = np.concatenate([batch.scores for batch in batches])
    n_relevant = relevant[:, items].getnnz(axis=1).astype(np.int64)
    return BlockTopK(scores, ties[np.maximum(listed, 0)], hits_of(listed, relevant), n_relevant)


@dataclass(frozen=True)
class ColdBoost:
    """The boost that reaches the target, and what it and others cost and bring."""

    target: str  # the option, as typed
    boost: float  # standard deviations
    share: float  # of cold items in the top 20 of the `users`
    users: int
    trade_off: list[dict[str, float | None]]  # see `trade_off`
    measured_users: int  # of the trade-off
    ndcg_without_cold: float | None  # of warm items, where no cold ones are in the lists; None: not measured
    pseudo_cold_users: int | None  # None: there is no pseudo-cold split

    def summary(self) -> dict[str, Any]:
        """The figures for the manifest."""
        return {
            "cold_boost": self.boost,
            "cold_share": round(self.share, 6),
            "users": self.users,
            "trade_off": self.trade_off,
        }


def fit_cold_boost(
    config: TrainHybridConfig, inputs: TrainingInputs, fusion: Fusion, rankings: BoostRankings | None
) -> ColdBoost | None:
    """The boost that reaches the config's target, on validation; None: it has none.

    `fusion`: trained on the config's splits. Warns where the target is not reached, or has no effect. Raises
    `RecliError` where it cannot be measured.
    """
    if rankings is None:
        return None
    target, measured, lists = config.boost_target, rankings.validation, rankings.validation
    assert target is not None
    if config.refit:  # there are more events, and fewer cold items
        lists = rank_validation(inputs, fusion, config.trained_on, config.weight_users)
    users = int(lists.warm.relevant.size)
    if config.cold_share is not None:
        boost = boost_for_share(lists, config.cold_share)
    else:
        assert config.max_warm_loss is not None
        if not measured.warm.hits.any():
            raise RecliError(
                f"{target} cannot be measured: no list of the {users:,} validation users has a warm item that they "
                "took",
                "ask for a share of the lists instead: --cold-share 0.1",
            )
        boost, bounded = boost_for_loss(measured, config.max_warm_loss)
        if not bounded:
            inputs.reporter.warn(
                f"{target} has no effect: it holds even with the cold items at the top of every list"
            )
    share = share_of_cold(lists, boost)
    if config.cold_share is not None and abs(share - config.cold_share) > TOLERANCE:
        inputs.reporter.warn(f"{target}: the nearest share that a boost can reach is {share:.1%}")
    pseudo_cold = rankings.pseudo_cold
    return ColdBoost(
        target,
        boost,
        share,
        users,
        trade_off(measured, pseudo_cold, sorted({*SHOWN, boost})),
        int(measured.warm.relevant.size),
        warm_ndcg(measured, None),
        None if pseudo_cold is None else int(pseudo_cold.warm.relevant.size),
    )


def share_of_cold(ranking: WarmColdRanking, boost: float) -> float:
    """The share of cold items in the users' top K."""
    warm, cold = ranking.warm, _raised(ranking.cold, boost)
    # Cold item j is listed if at most K-1-j warm ones stand above it: if it stands above warm item K-1-j.
    above = _above(cold.scores, cold.ties, warm.scores[:, ::-1], warm.ties[:, ::-1])
    listed = int((above & np.isfinite(cold.scores)).sum())
    lengths = np.isfinite(warm.scores).sum(axis=1) + np.isfinite(cold.scores).sum(axis=1)
    return listed / max(1, int(np.minimum(lengths, K).sum()))


def warm_ndcg(ranking: WarmColdRanking, boost: float | None) -> float | None:
    """NDCG@K of warm items in all, where cold ones are no relevant items but take ranks; None: no user has one.

    Without a boost no cold items are in the lists.
    """
    other = None if boost is None else _raised(ranking.cold, boost)
    return _mean(_ndcg(ranking.warm, other), ranking.warm)


def cold_figures(ranking: WarmColdRanking, boost: float) -> tuple[float | None, float | None]:
    """NDCG@K and recall@K of cold items in all, where warm ones are no relevant items but take ranks."""
    cold = _raised(ranking.cold, boost)
    listed = cold.hits & (_ranks(cold, ranking.warm) < K)
    recall = listed.sum(axis=1) / np.maximum(cold.relevant, 1)
    return _mean(_ndcg(cold, ranking.warm), cold), _mean(recall, cold)


def warm_loss(ranking: WarmColdRanking, boost: float) -> float:
    """The share of the warm items' NDCG@K that is lost to cold ones in the lists; it grows with the boost."""
    without = warm_ndcg(ranking, None)
    return 1 - (warm_ndcg(ranking, boost) or 0.0) / without if without else 0.0


def boost_for_share(ranking: WarmColdRanking, target: float) -> float:
    """The boost at which the share of cold items is nearest to the target; of equally near ones the lowest.

    The share is a step function that grows with the boost, and all its steps are known. It is exact but for
    equal steps, and for the digits that a boost has.
    """
    boosts = _between(ranking.warm.scores[:, ::-1], ranking.cold.scores)
    first = bisect_left(boosts, target, key=lambda boost: share_of_cold(ranking, boost))
    near = boosts[max(0, first - 1) : first + 1]
    return min(near, key=lambda boost: abs(share_of_cold(ranking, boost) - target))


def boost_for_loss(ranking: WarmColdRanking, allowed: float) -> tuple[float, bool]:
    """The largest boost that loses warm items at most the `allowed` share of their NDCG@K; and whether any does more.

    It may be negative. If none does more, the boost is one that puts the cold items above all warm hits.
    """
    users, ranks = np.nonzero(ranking.warm.hits)
    boosts = _between(ranking.warm.scores[users, ranks][:, None], ranking.cold.scores[users])
    first = bisect_right(boosts, allowed, key=lambda boost: warm_loss(ranking, boost))
    return boosts[max(0, first - 1)], first < len(boosts)


def trade_off(
    validation: WarmColdRanking, pseudo_cold: WarmColdRanking | None, boosts: Sequence[float]
) -> list[dict[str, float | None]]:
    """What each boost costs warm items and gives cold ones; figures as stored in the manifest."""
    rows: list[dict[str, float | None]] = []
    for boost in boosts:
        ndcg = warm_ndcg(validation, boost)
        of_cold = (None, None) if pseudo_cold is None else cold_figures(pseudo_cold, boost)
        row: dict[str, float | None] = {
            "cold_boost": boost,
            "cold_share": share_of_cold(validation, boost),
            "warm_ndcg@20": ndcg,
            "warm_loss": None if ndcg is None else warm_loss(validation, boost),
            "hidden_ndcg@20": of_cold[0],
            "hidden_recall@20": of_cold[1],
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


def _raised(block: BlockTopK, boost: float) -> BlockTopK:
    return replace(block, scores=block.scores + np.float32(boost))  # as `Fusion.score` does: the same bits


def _above(scores: Float32, ties: Int32, other_scores: Float32, other_ties: Int32) -> Bool:
    """Whether an item stands above another one in a list."""
    above: Bool = (scores > other_scores) | ((scores == other_scores) & (ties < other_ties))
    return above


def _ranks(block: BlockTopK, other: BlockTopK | None) -> Int64:
    """Ranks of one block's items in the lists of all, from 0, (n, K)."""
    ranks = np.broadcast_to(np.arange(K), block.scores.shape).copy()
    for column in range(0 if other is None else K):
        assert other is not None
        scores, ties = other.scores[:, column, None], other.ties[:, column, None]
        ranks += _above(scores, ties, block.scores, block.ties) & np.isfinite(scores)
    return ranks


def _ndcg(block: BlockTopK, other: BlockTopK | None) -> Float64:
    """NDCG@K of each user with the block's relevant items alone, (n,); 0 for those who have none."""
    ranks = _ranks(block, other)
    rows, columns = np.nonzero(block.hits & (ranks < K))
    return ndcg_of_ranks(rows, ranks[rows, columns], block.relevant, K)


def _mean(figures: Any, block: BlockTopK) -> float | None:
    """The mean over users with relevant items in the block; None: there are none."""
    counted = block.relevant > 0
    return float(figures[counted].mean()) if counted.any() else None
