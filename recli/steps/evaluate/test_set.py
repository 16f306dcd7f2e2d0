"""The test set of a split; models ranked on it in batches, external recommendations put into lists."""

from dataclasses import dataclass

import numpy as np

from recli.data.history import History
from recli.data.interactions import Interactions
from recli.metrics.accuracy import auc_of, hits_of
from recli.metrics.base import EvaluatedLists, RatingErrors, TestSet
from recli.metrics.positions import counter
from recli.metrics.ratings import errors_of
from recli.models.base import Model
from recli.ranking.topk import rank, ranked_batches, score_batches, top_k
from recli.reporting import Advance, no_progress
from recli.schema import Bool, Float64, Int32, Int64

KNOWN = {"test": ("train", "validation", "history"), "validation": ("train", "history")}


@dataclass(frozen=True)
class TestSetCounts:
    """What the evaluation protocol left out, counted."""

    users_without_test: int
    repeated: int  # test events on items that the user already had: lists never repeat, so they are no target
    cold_left_out: int  # test events on cold items, where only warm items are candidates


def make_test_set(
    interactions: Interactions, split: str, warm_only: bool = False
) -> tuple[TestSet, TestSetCounts]:
    """The test set of a split: its users with at least one item that can be recommended to them."""
    tests, history = interactions.matrix(split), interactions.history_of(*KNOWN[split])
    seen, filtered = history.values, history.also_seen
    counts = _users_of_items(
        interactions, seen.nnz == sum(interactions.splits[s].height for s in KNOWN[split])
    )
    cold = counts == 0
    tests.data[:] = 1
    repeated = tests.multiply(seen != 0)
    relevant = (tests - repeated).tocsr()
    relevant.eliminate_zeros()
    before = relevant.nnz
    if warm_only:
        relevant = relevant.multiply(~cold[None, :]).tocsr()
        relevant.eliminate_zeros()
    relevant.sort_indices()
    users = np.flatnonzero(np.diff(relevant.indptr)).astype(np.int64)
    test_set = TestSet(
        users=users,
        relevant=relevant[users],
        seen=seen[users],
        counts=counts,
        n_training_users=int(interactions.having("train").sum()),
        cold=cold,
        ties=interactions.ties,
        allowed=~cold if warm_only else None,
        filtered=None if filtered is None else filtered[users],
    )
    return test_set, TestSetCounts(
        interactions.n_users - users.size, int(repeated.nnz), int(before - relevant.nnz)
    )


def _users_of_items(interactions: Interactions, once: bool) -> Int64:
    """Training users of each item, int64 (n_items,). `once`: no pair occurs twice, so that counting events will do."""
    if once:
        items = interactions.splits["train"]["item"].to_numpy()
        return np.bincount(items, minlength=interactions.n_items)
    return np.asarray(interactions.matrix("train").getnnz(axis=0), dtype=np.int64)


def evaluate_lists(test_set: TestSet, ranked: Int32) -> EvaluatedLists:
    """Lists of the evaluated users beside their test items. `ranked`: int32 (n, k)."""
    relevant = np.diff(test_set.relevant.indptr).astype(np.int64)
    return EvaluatedLists(test_set, ranked, hits_of(ranked, test_set.relevant), relevant)


def evaluate_model(
    model: Model,
    test_set: TestSet,
    history: History,
    users: Int64,
    k: int,
    *,
    with_auc: bool = True,
    again: Model | None = None,
    advance: Advance = no_progress,
) -> EvaluatedLists:
    """Rank all candidates for the evaluated users, batch by batch.

    `history`: (n, n_items), what the model scores from. `users`: int64 (n,), -1 for users without a
    training event. `again`: the model that ranks cold items among themselves; None: the same one.
    """
    cold = test_set.cold if test_set.allowed is None else np.zeros_like(test_set.cold)
    has_cold = (
        np.diff(test_set.relevant[:, np.flatnonzero(cold)].indptr) > 0
    )  # to rank the cold items among themselves
    cold_only = np.full((test_set.n_users, k), -1, dtype=np.int32)
    if with_auc or (has_cold.any() and model.item_embeddings() is None):
        ranked, areas = _by_scores(model, test_set, history, users, k, with_auc, has_cold, cold_only, advance)
    else:
        # No metric needs all scores, and products with the cold items alone take little.
        areas, ranked = None, np.full((test_set.n_users, k), -1, dtype=np.int32)
        for rows, best in ranked_batches(
            model, history, users, k=k, ties=test_set.ties, seen=test_set.masked, allowed=test_set.allowed
        ):
            ranked[rows] = best.items
            advance(rows.stop - rows.start, "")
        if has_cold.any():
            some, seen = np.flatnonzero(has_cold), test_set.masked[has_cold]
            cold_only[has_cold] = rank(
                again or model,
                history[some],
                users[some],
                k=k,
                ties=test_set.ties,
                seen=seen,
                allowed=cold,
            ).items
    lists = evaluate_lists(test_set, ranked)
    cold_lists = evaluate_lists(test_set, cold_only).only(test_set.cold) if has_cold.any() else None
    return EvaluatedLists(test_set, ranked, lists.hits, lists.relevant, areas, None, cold_lists)


def _by_scores(
    model: Model,
    test_set: TestSet,
    history: History,
    users: Int64,
    k: int,
    with_auc: bool,
    has_cold: Bool,
    cold_only: Int32,
    advance: Advance,
) -> tuple[Int32, Float64 | None]:
    """Lists, (n, k), and areas, (n,), from the scores of all items; fills `cold_only` where `has_cold`."""
    ranked, areas = np.full((test_set.n_users, k), -1, dtype=np.int32), np.full(test_set.n_users, np.nan)
    cold = np.flatnonzero(test_set.cold)
    count = counter(test_set.relevant.nnz, test_set.n_items)
    for rows, scores in score_batches(model, history, users, seen=test_set.masked, allowed=test_set.allowed):
        ranked[rows] = top_k(scores, k, test_set.ties).items
        if with_auc:
            areas[rows] = auc_of(scores, test_set.relevant[rows], count)
        some = np.flatnonzero(has_cold[rows])
        if some.size:
            listed = top_k(scores[np.ix_(some, cold)], k, test_set.ties[cold]).items
            cold_only[rows.start + some] = np.where(listed >= 0, cold[np.maximum(listed, 0)], -1)
        advance(rows.stop - rows.start, "")
    return ranked, areas if with_auc else None


@dataclass(frozen=True)
class RatedPairs:
    """Ratings of the evaluated users in the test split, one row per pair."""

    user_rows: Int64  # (pairs,), rows 0..n-1 of the evaluated users
    items: Int64  # (pairs,)
    ratings: Float64  # (pairs,)


def rated_pairs(interactions: Interactions, split: str, test_set: TestSet) -> RatedPairs | None:
    """The ratings to predict; None where the log has none."""
    rows = interactions.splits[split]
    if "rating" not in rows.columns:
        return None
    row_of_user = np.full(interactions.n_users, -1, dtype=np.int64)
    row_of_user[test_set.users] = np.arange(test_set.n_users)
    user_rows, ratings = row_of_user[rows["user"].to_numpy()], rows["rating"].to_numpy().astype(np.float64)
    kept = (user_rows >= 0) & np.isfinite(ratings)
    return RatedPairs(user_rows[kept], rows["item"].to_numpy().astype(np.int64)[kept], ratings[kept])


def rating_errors(model: Model, test_set: TestSet, users: Int64, rated: RatedPairs) -> RatingErrors | None:
    """Errors of a model's predicted ratings; None where it predicts none."""
    predicted = model.predict_ratings(users[rated.user_rows], rated.items)
    if predicted is None:
        return None
    return errors_of(test_set.n_users, rated.user_rows, predicted.astype(np.float64), rated.ratings)
