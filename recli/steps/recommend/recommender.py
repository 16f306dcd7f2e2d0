"""Makes lists with explanations from a stored model, batch by batch: memory does not grow with users."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from recli import schema
from recli.data.history import History
from recli.data.interactions import Interactions
from recli.errors import RecliError
from recli.models.base import (
    ExplainsSources,
    FactorModel,
    ItemSpace,
    Model,
    TextModel,
    item_factors_of,
    user_vectors_of,
)
from recli.models.fallback import POPULARITY, WithFallback
from recli.ranking.approximate import Approximate, RankingRequest, rank_batches
from recli.ranking.rerankers import mmr
from recli.ranking.topk import Ranked, ranked_batches, tie_order
from recli.schema import CSR, Bool, Float32, Int32, Int64
from recli.steps.recommend import explain
from recli.steps.recommend.explain import Reason
from recli.steps.recommend.users import UserQueries
from recli.storage.runs import StoredModel

_EXPLAINED = 64  # lists explained at a time: it takes long, so progress is shown often


@dataclass(frozen=True)
class RecommendOptions:
    """How lists are batch."""

    k: int = 10
    mask: str = "seen"
    allowed: Bool | None = None  # (n_items,)
    fallback: str = POPULARITY
    diversify: float | None = None
    pool: int = 100  # best items that `diversify` chooses from
    reasons: int = 0  # history items named for each recommendation; 0: no explanation
    approximate: Approximate | None = None  # for dot products; None: exact lists


@dataclass(frozen=True)
class RecommendationBatch:
    """The lists of a batch: `places` in the queries, int64 (n,); `ranked` (n, k); `sources`, one for each list.

    `reasons`, `shares`: for each list, for each item; empty without explanation. `profiles`: which lists were
    made from a text alone. `empty`: how many of the batch have no list; `short`: how many fewer than k items.
    """

    places: Int64
    ranked: Ranked
    sources: list[str]
    profiles: list[bool]
    empty: int = 0
    short: int = 0
    reasons: list[list[list[Reason]]] = field(default_factory=list)
    shares: list[list[dict[str, float]]] = field(default_factory=list)


@dataclass
class UserScorer:
    """A model with its fallback, which knows users by their place in the queries, some of them by a text alone."""

    model: WithFallback
    rows: Int64  # (n,), row numbers of training users by place, -1 for others
    vectors: dict[int, Float32] = field(default_factory=dict)  # encoded profiles by place, (d,)
    by_popularity: set[int] = field(default_factory=set)  # places served by the fallback

    def score(self, history: CSR, users: Int64 | None = None) -> Float32:
        return self.score_ordered(History(history), users)

    def score_ordered(self, history: History, users: Int64 | None = None) -> Float32:
        """Scores of all items, float32 (batch, n_items); `users`: places in the queries, (batch,)."""
        places = np.full(history.shape[0], -1) if users is None else users
        scores, silent = self.model.filled(history, self.rows[places])
        for at in np.flatnonzero(silent | (history.sizes == 0)):
            place = int(places[at])
            if place in self.vectors:
                scores[at] = text_model(self.model.model).score_text(self.vectors[place][None, :])[0]
            elif silent[at]:
                self.by_popularity.add(place)
        return scores

    def item_side(self) -> Float32 | None:
        return item_factors_of(self.model)

    def user_side(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        """See `recli.models.base.ByProducts`; users with a profile may be scored by it."""
        places = np.full(history.shape[0], -1) if users is None else users
        vectors, apart = user_vectors_of(self.model, history, self.rows[places])
        if self.vectors:
            apart = apart | np.isin(places, np.fromiter(self.vectors, dtype=np.int64))
        return vectors, apart

    def state(self) -> schema.State:
        return self.model.state()


def text_model(model: Model) -> TextModel:
    """The model as one that can score texts. Raises `RecliError` where it cannot."""
    if not isinstance(model, TextModel) or model.text_dim == 0:
        raise RecliError(
            "this model cannot score users by a text about them",
            "train one that can: recli train-hybrid RUN",
        )
    return model


def recommend_batches(
    stored: StoredModel,
    queries: UserQueries,
    options: RecommendOptions,
    vectors: dict[int, Float32] | None = None,
) -> Iterator[RecommendationBatch]:
    """Lists for users, in their order. `vectors`: encoded profiles, (d,), by place in the queries."""
    data = stored.interactions.only(queries.rows)
    trained = data.having(*stored.trained_on)
    rows = np.where(queries.rows >= 0, queries.rows, 0)
    rows = np.where((queries.rows >= 0) & trained[rows], rows, -1)
    model = WithFallback(stored.model, stored.item_counts, options.fallback)
    scorer = UserScorer(model, rows, vectors or {})
    history = queries.histories_of(data.history(stored.trained_on))
    masked = None if options.mask == "none" else queries.rows_of(_events(data, options.mask))
    for batch in _lists(stored, scorer, history, masked, options):
        if not options.reasons:
            yield batch
            continue
        for part in _parts(batch, _EXPLAINED):
            yield _explained(stored, scorer, history, part, options.reasons)


def _events(data: Interactions, mask: str) -> CSR:
    return data.seen() if mask == "seen" else data.matrix(*schema.SPLITS)


def similar_items(
    stored: StoredModel, items: Int64, options: RecommendOptions
) -> Iterator[RecommendationBatch]:
    """For each of `items`, row numbers int64 (n,), the items most similar to it.

    By the cosine of the model's vectors of items where it has any, else by what the model recommends to
    a user whose history is this item alone. No list for items of which the model knows nothing.
    """
    from scipy.sparse import csr_matrix

    data = stored.interactions
    ones, ends = np.ones(items.size, dtype=np.float32), np.arange(items.size + 1)
    alone = csr_matrix((ones, items, ends), shape=(items.size, data.n_items))
    vectors = similar_vectors(stored.model)
    model = stored.model if vectors is None else _Cosines(vectors)
    rows = np.full(items.size, -1) if vectors is None else items
    scorer = UserScorer(WithFallback(model, stored.item_counts, "none"), rows)
    yield from _lists(stored, scorer, History(alone, np.zeros(items.size, dtype=np.int32)), alone, options)


def item_vectors(model: Model) -> Float32 | None:
    """Vectors whose cosines say how similar items are to the model, float32 (n_items, d), if it has any."""
    if isinstance(model, FactorModel):
        return model.item_factors
    return model.item_vectors() if isinstance(model, ItemSpace) else None


def similar_vectors(model: Model) -> Float32 | None:
    """The same at length 1: their dot products are the cosines that `similar_items` goes by."""
    vectors = item_vectors(model)
    return None if vectors is None else mmr.unit_rows(vectors)


@dataclass(frozen=True)
class _Cosines:
    """Scores are cosines between items; `users` are rows of items."""

    item_factors: Float32  # (n_items, d), rows of length 1

    def user_vectors(self, history: CSR, users: Int64 | None = None) -> Float32:
        return self.item_factors[history.indices if users is None else users]

    def score(self, history: CSR, users: Int64 | None = None) -> Float32:
        return self.user_vectors(history, users) @ self.item_factors.T

    def state(self) -> schema.State:
        return {"item_factors": self.item_factors}


def _lists(
    stored: StoredModel, scorer: UserScorer, history: History, masked: CSR | None, options: RecommendOptions
) -> Iterator[RecommendationBatch]:
    n, n_items = history.shape
    ties = tie_order(stored.interactions.items[schema.ITEM_ID])
    reranker = None if options.diversify is None else MMRReranker(stored, options.diversify)
    pick = min(options.k if reranker is None else max(options.k, options.pool), n_items)
    places = np.arange(n, dtype=np.int64)
    for batch, ranked in _ranked(scorer, history, masked, options, pick, ties):
        if reranker is not None:
            ranked = reranker(ranked, options.k)
        listed = ranked.items[:, 0] >= 0
        kept = places[batch][listed]
        yield RecommendationBatch(
            kept,
            Ranked(ranked.items[listed], ranked.scores[listed]),
            [POPULARITY if int(place) in scorer.by_popularity else stored.name for place in kept],
            [int(place) in scorer.vectors for place in kept],
            empty=int((~listed).sum()),
            short=int(((ranked.items[listed] >= 0).sum(axis=1) < options.k).sum()),
        )


def _ranked(
    scorer: UserScorer, history: History, masked: CSR | None, options: RecommendOptions, k: int, ties: Int32
) -> Iterator[tuple[slice, Ranked]]:
    """The `k` best items of each history, in batches; `masked`: items that are never among them."""
    if options.approximate is not None:
        return rank_batches(
            RankingRequest(scorer, history, masked, options.allowed, k, ties), options.approximate
        )
    places = np.arange(history.shape[0], dtype=np.int64)
    return ranked_batches(scorer, history, places, k=k, ties=ties, seen=masked, allowed=options.allowed)


class MMRReranker:
    """Diversifies lists by the similarity of their items: by the model's vectors of them, else by common users."""

    def __init__(self, stored: StoredModel, balance: float) -> None:
        self._balance = balance
        vectors = item_vectors(stored.model)
        self._vectors = None if vectors is None else mmr.unit_rows(vectors)
        if vectors is None:
            self._by_item = mmr.unit_item_rows(stored.interactions.matrix(*stored.trained_on))

    def __call__(self, pool: Ranked, k: int) -> Ranked:
        """Lists of `k` from the best items, (n, p)."""
        size = max(1, (1 << 24) // max(1, pool.items.shape[1] ** 2))
        parts = [
            self._part(Ranked(pool.items[at : at + size], pool.scores[at : at + size]), k)
            for at in range(0, pool.items.shape[0], size)
        ]
        return Ranked(np.concatenate([p.items for p in parts]), np.concatenate([p.scores for p in parts]))

    def _part(self, pool: Ranked, k: int) -> Ranked:
        if self._vectors is not None:
            similarity = mmr.factor_similarity(self._vectors, pool.items)
        else:
            similarity = mmr.common_users_similarity(self._by_item, pool.items)
        chosen = mmr.mmr(pool.scores, similarity, k, self._balance)
        items = np.where(chosen >= 0, np.take_along_axis(pool.items, np.maximum(chosen, 0), axis=1), -1)
        scores = np.take_along_axis(pool.scores, np.maximum(chosen, 0), axis=1)
        return Ranked(
            items.astype(np.int32), np.where(chosen >= 0, scores, -np.inf).astype(np.float32, copy=False)
        )


def _parts(batch: RecommendationBatch, size: int) -> Iterator[RecommendationBatch]:
    """The lists, `size` at a time; the counts of the batch go with the first of them."""
    for start in range(0, max(1, batch.places.size), size):
        part = slice(start, start + size)
        yield RecommendationBatch(
            batch.places[part],
            Ranked(batch.ranked.items[part], batch.ranked.scores[part]),
            batch.sources[part],
            batch.profiles[part],
            batch.empty if start == 0 else 0,
            batch.short if start == 0 else 0,
        )


def _explained(
    stored: StoredModel, scorer: UserScorer, history: History, batch: RecommendationBatch, count: int
) -> RecommendationBatch:
    """The lists with their explanations; those made of popularity or a profile have none in a history."""
    from_history = np.asarray(
        [by != POPULARITY and not text for by, text in zip(batch.sources, batch.profiles, strict=True)],
        dtype=bool,
    )
    reasons: list[list[list[Reason]]] = [[[] for i in items if i >= 0] for items in batch.ranked.items]
    shares: list[list[dict[str, float]]] = [[{} for i in items if i >= 0] for items in batch.ranked.items]
    explicable = np.flatnonzero(from_history)
    places = batch.places[explicable]
    histories, items = history[places], batch.ranked.items[explicable]
    positions = [
        explain.most_important(
            histories.values.data[part], None if histories.steps is None else -histories.steps[part]
        )
        for part in (slice(start, end) for start, end in pairwise(histories.values.indptr))
    ]
    explanations = explain.history_reasons(stored.model, histories, items, positions, count)
    for at, explanation in zip(explicable, explanations, strict=True):
        reasons[at] = explanation
    if isinstance(stored.model, ExplainsSources) and places.size:
        parts = stored.model.source_scores(histories, scorer.rows[places])
        for row, at in enumerate(explicable):
            listed = items[row][items[row] >= 0].astype(np.int64)
            shares[at] = explain.source_shares(parts, row, listed)
    return replace(batch, reasons=reasons, shares=shares)
