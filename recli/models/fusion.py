"""Late fusion: the scores of several models, made comparable user by user, added with weights.

Items with training events and items without (cold ones) are two blocks: collaborative sources cannot score
cold items, and one scale for both favors the block with the longer tail. Each block is fused and standardized
per user on its own; `cold_boost` is then added to the cold one, in standard deviations.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from recli.config import Config, from_dict, option
from recli.data.arrays import binary, unit_rows
from recli.data.history import History
from recli.errors import RecliError
from recli.models.base import Model, Training, algorithm, algorithms, nest, nested
from recli.models.text_factors import TextFactors, fit_ridge
from recli.models.wrappers import ValueScale, unwrap, with_recency, with_scale
from recli.schema import CSR, Bool, Float32, Float64, Int64, State

LOG_POPULARITY = "log-popularity"  # the source that every fusion has: standardized log(1 + users of the item)
UNKNOWN = -1e3  # score, in standard deviations, of items that no source scores
PROFILE_RIDGE = 1.0  # best of .1, 1, 10, 100 on films, by mean item vectors of held-out users
_SMALL = 1e-12
_SCORES_HELD = 1 << 22  # scores of one source held at a time: 16 MiB of float32


@dataclass(frozen=True)
class FusedSource:
    """One model of a fusion, as the manifest describes it."""

    name: str
    algorithm: str
    options: dict[str, Any] = field(default_factory=dict)
    base: str | None = None  # text factors: the source whose user vectors they share
    history_half_life: float = 0.0  # events; see `RecencyWeighted`; 0: all events are alike
    value_scale: tuple[float, ...] = ()  # mean and strength of `ValueScale`; empty: values are as they are


@dataclass(frozen=True)
class FusionConfig(Config):
    """Sources and weights of a fusion. `train-hybrid` chooses them; they are stored, not options of the command."""

    fusion: str = option(
        "linear",
        "linear and weighted add z-scores, rrf and borda ranks.",
        choices=("linear", "weighted", "rrf", "borda"),
    )
    rrf_k: int = 60
    cold_boost: float = 0.0
    sources: tuple[dict[str, Any], ...] = ()  # of `FusedSource`
    weights: dict[str, float] = field(default_factory=dict)
    cold_weights: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """The items of one block (warm or cold), and a batch's history entries that are in it."""

    items: Int64  # (m,), item numbers
    rows: Int64  # of the history's entries that are in this block
    columns: Int64  # their positions in `items`

    def of(self, scores: Float32) -> Float32:
        """The block's columns of scores (batch, n_items), in the order of `items`."""
        whole = self.items.size == scores.shape[1]
        return scores if whole else np.take(scores, self.items, axis=1)

    def candidates(self, batch: int) -> Int64:
        """How many items of the block each user has not in the history, (batch,), at least 1."""
        return np.maximum(self.items.size - np.bincount(self.rows, minlength=batch), 1)


def block_of(items: Int64, history: CSR) -> Block:
    position = np.full(history.shape[1], -1, dtype=np.int64)
    position[items] = np.arange(items.size)
    rows, columns = np.repeat(np.arange(history.shape[0]), np.diff(history.indptr)), position[history.indices]
    return Block(items, rows[columns >= 0], columns[columns >= 0])


def standardize(scores: Float32, block: Block) -> tuple[Float32, Float64]:
    """z-scores of each row, float32 (batch, m), and the rows' standard deviations, (batch,).

    Mean and deviation are over the candidates: the block's items that are not in the user's history (a user's
    own items score so high that they would set the scale). A row of equal scores becomes zeros.
    """
    n = block.candidates(scores.shape[0])
    mean = _means(scores, block)
    centered = scores - mean[:, None].astype(np.float32)
    own = centered[block.rows, block.columns]
    centered[block.rows, block.columns] = 0
    deviation = np.sqrt(np.einsum("ij,ij->i", centered, centered) / n).astype(np.float64)
    centered[block.rows, block.columns] = own
    level = deviation > 1e-6 * (np.abs(mean) + deviation)  # less is rounding noise on equal scores
    centered *= np.where(level, 1 / np.maximum(deviation, _SMALL), 0).astype(np.float32)[:, None]
    return centered, np.where(level, deviation, 0)


def _means(scores: Float32, block: Block) -> Float64:
    """Mean score of each user's candidates, (batch,)."""
    batch = scores.shape[0]
    own = np.bincount(block.rows, scores[block.rows, block.columns], minlength=batch)
    mean: Float64 = (scores.sum(axis=1, dtype=np.float64) - own) / block.candidates(batch)
    return mean


def ranks(scores: Float32, block: Block) -> Float32:
    """Ranks in each user's list, 1 for the best, float32 (batch, m); equal scores share their mean rank.

    Items of the history come last, so that they do not lower the ranks of others.
    """
    from scipy.stats import rankdata

    ordered = -scores
    ordered[block.rows, block.columns] = np.inf
    return np.asarray(rankdata(ordered, axis=1), dtype=np.float32)


def normalized_scores(method: str, scores: Float32, block: Block, rrf_k: int) -> Float32:
    """Scores of one source, comparable with those of others, float32 (batch, m), before its weight.

    linear, weighted: z-scores. rrf: 1 / (k + rank) (Cormack, Clarke, Buettcher 2009). borda: the share of
    the block's items that are ranked lower (de Borda 1781).
    """
    if method in ("linear", "weighted"):
        return standardize(scores, block)[0]
    if method == "rrf":
        return (1 / (rrf_k + ranks(scores, block))).astype(np.float32)
    return (1 - ranks(scores, block) / np.float32(block.items.size)).astype(np.float32)


def standard_logs(counts: Float32 | Int64, cold: Bool) -> Float32:
    """Standardized log(1 + users) of the items, float32 (n_items,), 0 for cold ones."""
    warm = np.log1p(counts[~cold].astype(np.float64))
    prior = np.zeros(counts.size, dtype=np.float32)
    if warm.size and warm.std() > _SMALL:
        prior[~cold] = (warm - warm.mean()) / warm.std()
    return prior


@dataclass(frozen=True)
class ProfileMap:
    """Linear map from the vector of a text about a user to the user's factors."""

    weights: Float32  # (d + 1, f), the last row is the intercept
    space: State  # of the embeddings: `center` (d,) [and `projection`], to encode texts as the items' were


@dataclass(frozen=True)
class Fusion(Model):
    """A fusion of several models, itself a model."""

    config: FusionConfig
    sources: Mapping[str, Model]  # in the order of config.sources
    popularity: Float32  # (n_items,), users of each item
    cold: Bool  # (n_items,)
    profile: ProfileMap | None = None

    @cached_property
    def prior(self) -> Float32:
        return standard_logs(self.popularity, self.cold)

    @property
    def text_factors(self) -> TextFactors | None:
        models = map(unwrap, self.sources.values())
        return next((model for model in models if isinstance(model, TextFactors)), None)

    @property
    def text_dim(self) -> int:
        return 0 if self.profile is None else self.profile.weights.shape[0] - 1

    @property
    def text_space(self) -> State:
        return {} if self.profile is None else self.profile.space

    def item_vectors(self) -> Float32 | None:
        """Factors learned from interactions beside those predicted from texts, at equal length, float32 (n_items, 2f).

        Items with few users lie near those with similar texts: their own factors are noise.
        """
        text = self.text_factors
        base = None if text is None else text.base.item_embeddings()
        if text is None or base is None:
            return None
        return np.hstack([unit_rows(base), unit_rows(text.item_factors)])

    def blocks(self, history: CSR) -> tuple[Block, Block]:
        """The warm and the cold block."""
        return block_of(np.flatnonzero(~self.cold), history), block_of(np.flatnonzero(self.cold), history)

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        scores = np.empty(history.shape, dtype=np.float32)
        # Some users at a time: fresh arrays of 50 MB each cost ten times what is computed in them; with 4 MB each, all
        # took a fifth longer on yelp2018.
        size = max(1, _SCORES_HELD // max(1, history.shape[1]))
        for start in range(0, history.shape[0], size):
            rows = slice(start, start + size)
            self._score(history[rows], None if users is None else users[rows], scores[rows])
        return scores

    def _score(self, history: History, users: Int64 | None, scores: Float32) -> None:
        """Write the scores of a few users into `scores`; by popularity where the sources score all items the same."""
        for block, parts, boost in self._fused(history, users):
            total = np.zeros((history.shape[0], block.items.size), dtype=np.float32)
            for _, part in parts:
                total += part
            fused, deviation = standardize(total, block)
            fused[deviation == 0] = self.prior[block.items]
            scores[:, block.items] = fused + np.float32(boost)

    @property
    def uses_order(self) -> bool:
        return any(model.uses_order for model in self.sources.values())

    @property
    def handles_empty_history(self) -> bool:
        """True: popularity is among the sources, and is used where the sources score all items the same.

        On films split by time, recent popularity among the sources: validation NDCG@20 of users without a history .139,
        against .055 for the fallback, the counts of all time.
        """
        return True

    @property
    def boost(self) -> float:
        """The boost that is added to the scores of cold items; if no source scores them, they come last."""
        return self.config.cold_boost if any(self.config.cold_weights.values()) else UNKNOWN

    def source_scores(self, history: History, users: Int64 | None = None) -> dict[str, Float32]:
        """What each source adds to the score, float32 (batch, n_items) each; `cold-boost` is of cold items."""
        shares: dict[str, Float32] = {}
        for block, parts, boost in self._fused(history, users):
            kept = dict(parts)
            total = np.zeros((history.shape[0], block.items.size), dtype=np.float32)
            for part in kept.values():
                total += part
            _, deviation = standardize(total, block)
            factor = np.where(deviation > 0, 1 / np.maximum(deviation, _SMALL), 0).astype(np.float32)
            for name, part in kept.items():
                part -= _means(part, block)[:, None].astype(np.float32)
                part *= factor[:, None]
                shares.setdefault(name, np.zeros(history.shape, dtype=np.float32))[:, block.items] = part
            if (deviation == 0).any():
                whole = shares.setdefault(LOG_POPULARITY, np.zeros(history.shape, dtype=np.float32))
                whole[np.ix_(deviation == 0, block.items)] = self.prior[block.items]
            if boost:
                shares["cold-boost"] = np.where(self.cold, np.float32(boost), np.float32(0)) * np.ones(
                    (history.shape[0], 1), dtype=np.float32
                )
        return shares

    def _fused(
        self, history: History, users: Int64 | None
    ) -> Iterator[tuple[Block, Iterator[tuple[str, Float32]], float]]:
        """For each block that has items: the weighted scores of its sources, and what is added to their sum."""
        warm, cold = self.blocks(history.values)
        scored = _SourceScores(
            self.sources, history, users, self.config.cold_weights if cold.items.size else ()
        )
        if warm.items.size:
            yield warm, self._parts(warm, self.config.weights, scored), 0.0
        if cold.items.size:
            yield cold, self._parts(cold, self.config.cold_weights, scored), self.boost

    def _parts(
        self, block: Block, weights: Mapping[str, float], scored: "_SourceScores"
    ) -> Iterator[tuple[str, Float32]]:
        method, k = self.config.fusion, self.config.rrf_k
        batch = scored.history.shape[0]
        for name, weight in weights.items():
            if not weight:
                continue
            if name == LOG_POPULARITY:
                part = np.repeat(self.prior[block.items][None, :], batch, axis=0)
                part = part if method in ("linear", "weighted") else normalized_scores(method, part, block, k)
            else:
                part = normalized_scores(method, block.of(scored[name]), block, k)
            part *= np.float32(weight)
            yield name, part

    def score_text(self, vectors: Float32) -> Float32:
        """Scores for users of whom only a text is known, float32 (batch, n_items).

        The text's vector is mapped to a user's factors. Warm items are scored by their own factors, cold ones
        by those predicted from their texts.
        """
        from scipy.sparse import csr_matrix

        text = self.text_factors
        factors = None if text is None else text.base.item_embeddings()
        if self.profile is None or text is None or factors is None:
            return super().score_text(vectors)
        user_factors = vectors @ self.profile.weights[:-1] + self.profile.weights[-1]  # float32 (batch, f)
        scores = np.empty((vectors.shape[0], self.cold.size), dtype=np.float32)
        nothing = csr_matrix(scores.shape, dtype=np.float32)
        warm, cold = self.blocks(nothing)
        scores[:, warm.items] = standardize(user_factors @ factors[warm.items].T, warm)[0]
        unseen = standardize(user_factors @ text.item_factors[cold.items].T, cold)[0]
        scores[:, cold.items] = unseen + np.float32(self.boost)
        return scores

    def state(self) -> State:
        state: State = {"popularity": self.popularity, "cold": self.cold.astype(np.uint8)}
        for source in map(_source, self.config.sources):
            model = unwrap(self.sources[source.name])
            if source.base is not None and isinstance(model, TextFactors):  # the base is stored once
                arrays: State = {"item_factors": model.item_factors}
            else:
                arrays = model.state()
            state |= nest(f"source/{source.name}", arrays)
        if self.profile is not None:
            state |= {"profile": self.profile.weights, **nest("space", self.profile.space)}
        return state


class _SourceScores:
    """Scores of the sources for one batch; those that both blocks need are computed once."""

    def __init__(
        self, sources: Mapping[str, Model], history: History, users: Int64 | None, shared: Iterable[str]
    ) -> None:
        self._sources, self.history, self._users = sources, history, users
        self._shared = frozenset(shared)
        self._kept: dict[str, Float32] = {}

    def __getitem__(self, name: str) -> Float32:
        if name in self._kept:
            return self._kept[name]
        scores = self._sources[name].score(self.history, self._users)
        if name in self._shared:
            self._kept[name] = scores
        return scores


def _source(described: Mapping[str, Any]) -> FusedSource:
    source: FusedSource = from_dict(FusedSource, described)
    return source


def load(config: FusionConfig, state: State) -> Fusion:
    weights = np.array([*config.weights.values(), *config.cold_weights.values(), config.cold_boost])
    if not (np.abs(weights) < np.finfo(np.float32).max).all():
        raise ValueError("a weight of a source is not a finite float32")
    models: dict[str, Model] = {}
    sources = [_source(s) for s in config.sources]
    for source in sorted(sources, key=lambda s: s.base is not None):  # those that share a base come last
        arrays = nested(f"source/{source.name}", state)
        if source.base is not None:
            models[source.name] = TextFactors(arrays["item_factors"], models[source.base])
        else:
            known = algorithms[source.algorithm]
            models[source.name] = known.load(from_dict(known.config, source.options), arrays)
    profile = None
    if "profile" in state:
        profile = ProfileMap(state["profile"], nested("space", state))
    cold = state["cold"].astype(bool)
    weighted = {s.name: with_recency(models[s.name], s.history_half_life) for s in sources}
    scaled = {s.name: with_scale(weighted[s.name], ValueScale(*s.value_scale)) for s in sources}
    return Fusion(config, scaled, state["popularity"], cold, profile)


@algorithm("fusion", help="late fusion of several models", config=FusionConfig, load=load, family="hybrid")
def fit(config: FusionConfig, training: Training) -> Fusion:
    """Put the trained `training.models` together; the weights are the config's: train-hybrid fits them."""
    missing = [s["name"] for s in config.sources if s["name"] not in training.models]
    if missing or not config.sources:
        raise RecliError(f"a fusion needs its sources trained first: {', '.join(missing) or 'it names none'}")
    counts = training.matrix.getnnz(axis=0).astype(np.float32)
    models = {s["name"]: training.models[s["name"]] for s in config.sources}
    training.advance(1, "")
    return Fusion(config, models, counts, counts == 0)


def profile_map(
    vectors: Float32, space: State, history: CSR, user_factors: Float32, ridge: float = PROFILE_RIDGE
) -> ProfileMap:
    """Learn to predict a user's factors from the mean vector of the texts of the user's items.

    `vectors`: float32 (n_items, d), of the part whose tensors are `space`; `history`: (n_users, n_items);
    `user_factors`: (n_users, f). Users without a text in their history are left out.
    """
    means = np.asarray(binary(history) @ vectors, dtype=np.float32)
    kept = means.any(axis=1)
    weights, mean_x, mean_y = fit_ridge(unit_rows(means[kept]), user_factors[kept], ridge)
    intercept = mean_y - mean_x @ weights
    return ProfileMap(np.ascontiguousarray(np.vstack([weights, intercept]), dtype=np.float32), space)
