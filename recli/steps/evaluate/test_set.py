"""Asking systems: models are scored and ranked in batches, lists are taken as they are."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from recli.data.history import History
from recli.data.interactions import Interactions
from recli.metrics.accuracy import auc_of, held, hits_of
from recli.metrics.base import EvaluatedLists, RatingErrors, TestSet
from recli.metrics.positions import counter
from recli.metrics.ratings import errors_of
from recli.models.base import Model
from recli.ranking.topk import rank, ranked_batches, score_batches, tie_order, top_k
from recli.schema import Bool, Float64, Int32, Int64
from recli.steps.evaluate.external_lists import first_of_each, in_order, numbered

if TYPE_CHECKING:
    import polars as pl

KNOWN = {"test": ("train", "validation", "history"), "validation": ("train", "history")}


@dataclass(frozen=True)
class TestSetCounts:
    """What the policy left out, counted."""

    users_without_test: int
    repeated: int  # test events on items that the user already had: lists never repeat, so they are no target
    cold_left_out: int  # test events on cold items, where only warm items are candidates


def make_test_set(
    interactions: Interactions, split: str, warm_only: bool = False
) -> tuple[TestSet, TestSetCounts]:
    """The exam that a split sets: its users with at least one item that can be recommended to them."""
    tests, seen = interactions.matrix(split), interactions.matrix(*KNOWN[split])
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
        ties=tie_order(interactions.items["item_id"]),
        allowed=~cold if warm_only else None,
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


def judge_lists(test_set: TestSet, ranked: Int32) -> EvaluatedLists:
    """Lists of the judged users beside their test items. `ranked`: int32 (n, k)."""
    relevant = np.diff(test_set.relevant.indptr).astype(np.int64)
    return EvaluatedLists(test_set, ranked, hits_of(ranked, test_set.relevant), relevant)


def judge_model(
    model: Model,
    test_set: TestSet,
    history: History,
    users: Int64,
    k: int,
    *,
    with_auc: bool = True,
    again: Model | None = None,
    advance: Callable[[int, str], None] = lambda steps, text: None,
) -> EvaluatedLists:
    """Rank all candidates for the judged users, batch by batch.

    `history`: (n, n_items), what the model scores from. `users`: int64 (n,), -1 for users without a
    training event. `again`: the model for users who are asked a second time; None: the same one.
    """
    cold = test_set.cold if test_set.allowed is None else np.zeros_like(test_set.cold)
    asked = (
        np.diff(test_set.relevant[:, np.flatnonzero(cold)].indptr) > 0
    )  # to rank the cold items among themselves
    cold_only = np.full((test_set.n_users, k), -1, dtype=np.int32)
    if with_auc or (asked.any() and model.item_embeddings() is None):
        ranked, areas = _by_scores(model, test_set, history, users, k, with_auc, asked, cold_only, advance)
    else:
        # Nobody needs to know all scores, and products with the cold items alone take little.
        areas, ranked = None, np.full((test_set.n_users, k), -1, dtype=np.int32)
        for rows, best in ranked_batches(
            model, history, users, k=k, ties=test_set.ties, seen=test_set.seen, allowed=test_set.allowed
        ):
            ranked[rows] = best.items
            advance(rows.stop - rows.start, "")
        if asked.any():
            seen, mine = test_set.seen[asked], np.flatnonzero(asked)
            cold_only[asked] = rank(
                again or model, history[mine], users[mine], k=k, ties=test_set.ties, seen=seen, allowed=cold
            ).items
    judged = judge_lists(test_set, ranked)
    beside = judge_lists(test_set, cold_only).only(test_set.cold) if asked.any() else None
    return EvaluatedLists(test_set, ranked, judged.hits, judged.relevant, areas, None, beside)


def _by_scores(
    model: Model,
    test_set: TestSet,
    history: History,
    users: Int64,
    k: int,
    with_auc: bool,
    asked: Bool,
    cold_only: Int32,
    advance: Callable[[int, str], None],
) -> tuple[Int32, Float64 | None]:
    """Lists, (n, k), and areas, (n,), from the scores of all items; `cold_only` is written where it is `asked`."""
    ranked, areas = np.full((test_set.n_users, k), -1, dtype=np.int32), np.full(test_set.n_users, np.nan)
    cold = np.flatnonzero(test_set.cold)
    count = counter(test_set.relevant.nnz, test_set.n_items)
    for rows, scores in score_batches(model, history, users, seen=test_set.seen, allowed=test_set.allowed):
        ranked[rows] = top_k(scores, k, test_set.ties).items
        if with_auc:
            areas[rows] = auc_of(scores, test_set.relevant[rows], count)
        mine = np.flatnonzero(asked[rows])
        if mine.size:
            listed = top_k(scores[np.ix_(mine, cold)], k, test_set.ties[cold]).items
            cold_only[rows.start + mine] = np.where(listed >= 0, cold[np.maximum(listed, 0)], -1)
        advance(rows.stop - rows.start, "")
    return ranked, areas if with_auc else None


@dataclass(frozen=True)
class RatedPairs:
    """Ratings of the judged users in the split that sets the exam, one row per pair."""

    places: Int64  # (pairs,), 0..n-1 among the judged users
    items: Int64  # (pairs,)
    ratings: Float64  # (pairs,)


def rated_pairs(interactions: Interactions, split: str, test_set: TestSet) -> RatedPairs | None:
    """The ratings to predict; None where the log has none."""
    rows = interactions.splits[split]
    if "rating" not in rows.columns:
        return None
    place = np.full(interactions.n_users, -1, dtype=np.int64)
    place[test_set.users] = np.arange(test_set.n_users)
    places, ratings = place[rows["user"].to_numpy()], rows["rating"].to_numpy().astype(np.float64)
    kept = (places >= 0) & np.isfinite(ratings)
    return RatedPairs(places[kept], rows["item"].to_numpy().astype(np.int64)[kept], ratings[kept])


def rating_errors(model: Model, test_set: TestSet, users: Int64, rated: RatedPairs) -> RatingErrors | None:
    """Errors of a model's predicted ratings; None where it predicts none."""
    predicted = model.predict_ratings(users[rated.places], rated.items)
    if predicted is None:
        return None
    return errors_of(test_set.n_users, rated.places, predicted.astype(np.float64), rated.ratings)


@dataclass(frozen=True)
class Lists:
    """Somebody's lists in the order they were meant, and what was found in them."""

    ranked: Int32  # (n, k)
    order: str  # "rank", "score" or "file order"
    counts: dict[str, int] = field(default_factory=dict)
    errors: RatingErrors | None = None


def read_lists(
    pairs: "pl.DataFrame",
    interactions: Interactions,
    test_set: TestSet,
    k: int,
    rated: RatedPairs | None = None,
) -> Lists:
    """Put rows of user_id, item_id [, rank] [, score] into the lists of the judged users.

    By rank ascending, else by score descending, else as they come; equal ones in the fixed tie order. An item
    that the catalogue does not have keeps its place and is a miss; of an item listed twice the better place
    counts.
    """
    import polars as pl

    users, strangers = numbered(pairs["user_id"], interactions.users["user_id"])
    items, unknown = numbered(pairs["item_id"], interactions.items["item_id"])
    place = np.full(interactions.n_users + strangers, -1, dtype=np.int32)  # of users, among the judged ones
    place[test_set.users] = np.arange(test_set.n_users)
    untested = np.zeros(interactions.n_users, dtype=bool)
    untested[users[users < interactions.n_users]] = True
    untested[test_set.users] = False
    places = place[users]
    key = "rank" if "rank" in pairs.columns else "score" if "score" in pairs.columns else "row"
    before = None if key == "row" else pairs[key].cast(pl.Float64).fill_null(np.nan).to_numpy()
    if before is not None and key == "score":
        before = -before
    rows = in_order(
        places, items, before, np.append(test_set.ties, np.full(unknown, test_set.n_items, dtype=np.int32))
    )
    once = rows[first_of_each(places[rows], items[rows])]
    counts = {
        "rows": pairs.height,
        "unknown users": strangers,
        "unknown items": unknown,
        "users without test items": int(untested.sum()),
        "listed twice": int(rows.size - once.size),
    }
    errors = None
    if "score" in pairs.columns and rated is not None:
        errors = _errors_of_lists(places[once], items[once], pairs["score"].gather(once), test_set, rated)
    items = np.where(items < test_set.n_items, items, -1)
    if test_set.allowed is not None:
        once = once[test_set.allowed[items[once]] | (items[once] < 0)]
    places, items = places[once], items[once]
    starts = np.searchsorted(places, np.arange(test_set.n_users + 1))
    counts["already seen"] = int(held(test_set.seen, starts, items).sum())
    counts["users without a list"] = int((np.diff(starts) == 0).sum())
    position = np.arange(places.size) - starts[places]
    top = position < k
    ranked = np.full((test_set.n_users, k), -1, dtype=np.int32)
    ranked[places[top], position[top]] = items[top]
    order = {"rank": "rank", "score": "score", "row": "file order"}[key]
    return Lists(ranked, order, counts, errors)


def _errors_of_lists(
    places: Int32, items: Int32, scores: "pl.Series", test_set: TestSet, rated: RatedPairs
) -> RatingErrors | None:
    """Errors of a list's scores read as ratings, on the test pairs that it holds."""
    import polars as pl

    tested = pl.DataFrame({"place": rated.places, "item": rated.items, "rating": rated.ratings})
    listed = pl.DataFrame({"place": places, "item": items, "score": scores.cast(pl.Float64)}).drop_nulls(
        "score"
    )
    both = tested.join(listed.cast({"place": pl.Int64, "item": pl.Int64}), on=["place", "item"], how="inner")
    if not both.height:
        return None
    predicted, ratings = both["score"].to_numpy(), both["rating"].to_numpy()
    return errors_of(test_set.n_users, both["place"].to_numpy(), predicted, ratings)
