"""Makes lists with explanations from a stored model, batch by batch: memory does not grow with users."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np

from recli import schema
from recli.data.history import History
from recli.data.interactions import Interactions
from recli.errors import RecliError
from recli.models.base import Model
from recli.models.wrappers import POPULARITY, ModelWrapper, WithFallback
from recli.ranking.approximate import Approximate, RankingRequest, rank_batches
from recli.ranking.ranked import Ranked
from recli.ranking.rerankers.base import RerankerInputs, rerankers
from recli.ranking.topk import ranked_batches
from recli.schema import CSR, Bool, Float32, Int32, Int64
from recli.steps.recommend import explain
from recli.steps.recommend.explain import Reason
from recli.steps.recommend.users import UserQueries
from recli.storage.runs import StoredModel

_EXPLAINED = 64  # lists explained at a time: it takes long, so progress is shown often


@dataclass(frozen=True)
class RecommendOptions:
    """Options of the lists: length, masking, diversity, explanations."""

    k: int = 10
    mask: str = "seen"
    allowed: Bool | None = None  # (n_items,)
    fallback: str = POPULARITY
    diversify: float | None = None
    reranker: str = "mmr"
    pool: int = 100  # best items that `diversify` chooses from
    reasons: int = 0  # history items named for each recommendation; 0: no explanation
    approximate: Approximate | None = None  # for dot products; None: exact lists


@dataclass(frozen=True)
class RecommendationBatch:
    """The lists of a batch: `positions` in the queries, int64 (n,); `ranked` (n, k); `sources`, one for each list.

    `reasons`, `shares`: for each list, for each item; empty without explanation. `profiles`: which lists were
    made from a text alone. `empty`: how many of the batch have no list; `short`: how many fewer than k items.
    """

    positions: Int64
    ranked: Ranked
    sources: list[str]
    profiles: list[bool]
    empty: int = 0
    short: int = 0
    reasons: list[list[list[Reason]]] = field(default_factory=list)
    shares: list[list[dict[str, float]]] = field(default_factory=list)


@dataclass(frozen=True)
class UserScorer(ModelWrapper):
    """A model with its fallback that scores users by their position in the queries, some by a text alone."""

    model: WithFallback
    rows: Int64  # (n,), row numbers of training users by position, -1 for others
    vectors: dict[int, Float32] = field(default_factory=dict)  # encoded profiles by position, (d,)
    by_popularity: set[int] = field(default_factory=set)  # positions served by the fallback

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        """Scores of all items, float32 (batch, n_items); `users`: positions in the queries, (batch,)."""
        positions = np.full(history.shape[0], -1) if users is None else users
        scores, silent = self.model.filled(history, self.rows[positions])
        for row in np.flatnonzero(silent | (history.sizes == 0)):
            position = int(positions[row])
            if position in self.vectors:
                scores[row] = self.score_text(self.vectors[position][None, :])[0]
            elif silent[row]:
                self.by_popularity.add(position)
        return scores

    def user_embeddings(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        """As `Model.user_embeddings`; users with a profile must be scored as a whole."""
        positions = np.full(history.shape[0], -1) if users is None else users
        vectors, whole_rows = self.model.user_embeddings(history, self.rows[positions])
        if self.vectors:
            whole_rows = whole_rows | np.isin(positions, np.fromiter(self.vectors, dtype=np.int64))
        return vectors, whole_rows


def text_model(model: Model) -> Model:
    """The model, if it can score texts. Raises `RecliError` where it cannot."""
    if model.text_dim == 0:
        raise RecliError(
            "this model cannot score users by a text about them",
            "name a hybrid with --model, or train one: recli train-hybrid RUN",
        )
    return model


def recommend_batches(
    stored: StoredModel,
    queries: UserQueries,
    options: RecommendOptions,
    vectors: dict[int, Float32] | None = None,
) -> Iterator[RecommendationBatch]:
    """Lists for users, in their order. `vectors`: encoded profiles, (d,), by position in the queries."""
    data = stored.interactions.only(queries.rows)
    trained = data.having(*stored.trained_on)
    rows = np.where(queries.rows >= 0, queries.rows, 0)
    rows = np.where((queries.rows >= 0) & trained[rows], rows, -1)
    model = WithFallback(stored.model, stored.item_counts, options.fallback)
    scorer = UserScorer(model, rows, vectors or {})
    history = queries.histories_of(data.history(stored.trained_on))
    masked = None if options.mask == "none" else queries.rows_of(_events(data, options.mask))
    masked = queries.masked(masked)
    for batch in _lists(stored, scorer, history, masked, options, queries.lengths):
        if not options.reasons:
            yield batch
            continue
        for part in _parts(batch, _EXPLAINED):
            yield _explained(stored, scorer, history, part, options.reasons)


def _events(data: Interactions, mask: str) -> CSR:
    return data.seen() if mask == "seen" else data.known(*schema.SPLITS)


def similar_items(
    stored: StoredModel, items: Int64, options: RecommendOptions
) -> Iterator[RecommendationBatch]:
    """For each of `items`, row numbers int64 (n,), the items most similar to it.

    By the cosine of the model's vectors of items where it has any, else by what the model recommends to
    a user whose history is this item alone. No list for items that the model has no vector of.
    """
    from scipy.sparse import csr_matrix

    data = stored.interactions
    ones, ends = np.ones(items.size, dtype=np.float32), np.arange(items.size + 1)
    alone = csr_matrix((ones, items, ends), shape=(items.size, data.n_items))
    vectors = stored.similar_vectors
    model = stored.model if vectors is None else _Cosines(vectors)
    rows = np.full(items.size, -1) if vectors is None else items
    scorer = UserScorer(WithFallback(model, stored.item_counts, "none"), rows)
    yield from _lists(stored, scorer, History(alone, np.zeros(items.size, dtype=np.int32)), alone, options)


@dataclass(frozen=True)
class _Cosines(Model):
    """Scores are cosines between items; `users` are rows of items."""

    item_factors: Float32  # (n_items, d), rows of length 1

    def item_embeddings(self) -> Float32:
        return self.item_factors

    def user_embeddings(self, history: History, users: Int64 | None = None) -> tuple[Float32, Bool]:
        vectors = self.item_factors[history.values.indices if users is None else users]
        return vectors, np.zeros(history.shape[0], dtype=bool)

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        return self.user_embeddings(history, users)[0] @ self.item_factors.T

    def state(self) -> schema.State:
        return {"item_factors": self.item_factors}


def _lists(
    stored: StoredModel,
    scorer: UserScorer,
    history: History,
    masked: CSR | None,
    options: RecommendOptions,
    lengths: Mapping[int, int] | None = None,
) -> Iterator[RecommendationBatch]:
    """`lengths`: of some lists, by position, in place of `options.k`."""
    n, n_items = history.shape
    wanted = np.full(n, options.k)
    for position, length in (lengths or {}).items():
        wanted[position] = length
    options = replace(options, k=int(wanted.max(initial=1)))
    ties = stored.interactions.ties
    reranker = None
    if options.diversify is not None:
        inputs = RerankerInputs(
            stored.model.item_vectors(), lambda: stored.interactions.matrix(*stored.trained_on)
        )
        reranker = rerankers[options.reranker].make(options.diversify, inputs)
    pick = min(options.k if reranker is None else max(options.k, options.pool), n_items)
    positions = np.arange(n, dtype=np.int64)
    for batch, ranked in _ranked(scorer, history, masked, options, pick, ties):
        if reranker is not None:
            ranked = reranker(ranked, options.k)
        if lengths:
            too_long = np.arange(ranked.items.shape[1]) >= wanted[batch][:, None]
            ranked = Ranked(np.where(too_long, -1, ranked.items), ranked.scores)
        listed = ranked.items[:, 0] >= 0
        kept = positions[batch][listed]
        yield RecommendationBatch(
            kept,
            Ranked(ranked.items[listed], ranked.scores[listed]),
            [POPULARITY if int(position) in scorer.by_popularity else stored.name for position in kept],
            [int(position) in scorer.vectors for position in kept],
            empty=int((~listed).sum()),
            short=int(((ranked.items[listed] >= 0).sum(axis=1) < wanted[kept]).sum()),
        )


def _ranked(
    scorer: UserScorer, history: History, masked: CSR | None, options: RecommendOptions, k: int, ties: Int32
) -> Iterator[tuple[slice, Ranked]]:
    """The `k` best items of each history, in batches; `masked`: items that are never among them."""
    if options.approximate is not None:
        return rank_batches(
            RankingRequest(scorer, history, masked, options.allowed, k, ties), options.approximate
        )
    positions = np.arange(history.shape[0], dtype=np.int64)
    return ranked_batches(scorer, history, positions, k=k, ties=ties, seen=masked, allowed=options.allowed)


def _parts(batch: RecommendationBatch, size: int) -> Iterator[RecommendationBatch]:
    """The lists, `size` at a time; the counts of the batch go with the first of them."""
    for start in range(0, max(1, batch.positions.size), size):
        part = slice(start, start + size)
        yield RecommendationBatch(
            batch.positions[part],
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
    positions = batch.positions[explicable]
    histories, items = history[positions], batch.ranked.items[explicable]
    left_out = [
        explain.most_important(
            histories.values.data[part], None if histories.steps is None else -histories.steps[part]
        )
        for part in (slice(start, end) for start, end in pairwise(histories.values.indptr))
    ]
    explanations = explain.history_reasons(stored.model, histories, items, left_out, count)
    for row, explanation in zip(explicable, explanations, strict=True):
        reasons[row] = explanation
    parts = stored.model.source_scores(histories, scorer.rows[positions]) if positions.size else None
    if parts is not None:
        for i, row in enumerate(explicable):
            listed = items[i][items[i] >= 0].astype(np.int64)
            shares[row] = explain.source_shares(parts, i, listed)
    return replace(batch, reasons=reasons, shares=shares)
