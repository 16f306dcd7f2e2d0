"""The weights of a fusion's sources, fitted on the validation split for warm items and on pseudo-cold ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from recli.data.history import History
from recli.data.interactions import Interactions
from recli.models.base import Model
from recli.models.fusion import (
    LOG_POPULARITY,
    Block,
    FusionConfig,
    block_of,
    normalized_scores,
    standard_logs,
)
from recli.models.popularity import RECENT_POPULARITY
from recli.reporting import SILENT, Advance, Reporter, no_progress
from recli.schema import CSR, Bool, Float32, Int32, Int64
from recli.steps.train_hybrid.config import FACTOR_MODELS, TrainHybridConfig
from recli.steps.train_hybrid.sources import (
    SourceSpec,
    TrainedSources,
    TrainingInputs,
    cold_items,
    train_content,
)
from recli.steps.train_hybrid.weight_search import (
    CandidatePool,
    ScoreBatch,
    SearchResult,
    pool_ndcg,
    pool_of,
    search_weights,
)
from recli.training.validation import has_validation, known_users, sample_users

PSEUDO_COLD_SHARE = 0.1  # of the warm items, held out to fit the weights of cold ones
_SCORES_PER_BATCH = 1 << 20  # of one source held at a time: 4 MiB of float32


@dataclass(frozen=True)
class FittedWeights:
    """Weights of a block's sources, and NDCG@20 of each alone and of all; None: there is no validation data."""

    weights: dict[str, float]
    alone: dict[str, float]
    ndcg: float | None
    users: int


@dataclass(frozen=True)
class FusionWeights:
    """The weights among warm items, of all sources and log-popularity; and among cold ones, of content sources."""

    warm: FittedWeights
    cold: FittedWeights

    def options(self, options: FusionConfig, trained: TrainedSources) -> FusionConfig:
        """The fusion's config with the sources that are fused, and their weights."""
        kept = {LOG_POPULARITY, *(spec.name for spec in trained.fused)}
        warm, cold = ({n: w for n, w in b.weights.items() if n in kept} for b in (self.warm, self.cold))
        return replace(options, sources=trained.described(), weights=warm, cold_weights=cold)

    def summary(self) -> dict[str, dict[str, float]]:
        """The figures of each source, for the manifest."""
        figures = {
            "weight": self.warm.weights,
            "ndcg@20": self.warm.alone,
            "cold_weight": self.cold.weights,
            "cold_ndcg@20": self.cold.alone,
        }
        return {
            name: {key: round(of[name], 6) for key, of in figures.items() if name in of}
            for name in self.warm.weights
        }

    def table(self, specs: Sequence[SourceSpec]) -> pl.DataFrame:
        """A row for each source and the fusion: `source`, `half_life`, and the figures, null where there are none."""
        half_lives = {spec.name: _half_life(spec) for spec in specs}
        rows = [
            (name, half_lives.get(name, ""), *_figures(self.warm, name), *_figures(self.cold, name))
            for name in self.warm.weights
        ]
        rows.append(("fusion", "", self.warm.ndcg, None, self.cold.ndcg, None))
        numbers = dict.fromkeys(("ndcg@20", "weight", "cold_ndcg@20", "cold_weight"), pl.Float64)
        return pl.DataFrame(rows, {"source": pl.String, "half_life": pl.String, **numbers}, orient="row")


def _half_life(spec: SourceSpec) -> str:
    """That of histories, or of popularity; empty if there is none."""
    days = spec.config.popularity_half_life if spec.name == RECENT_POPULARITY else 0
    return (
        f"{days:g} days" if days else f"{spec.history_half_life:g} events" if spec.history_half_life else ""
    )


def _figures(block: FittedWeights, name: str) -> tuple[float | None, float | None]:
    return block.alone.get(name), block.weights.get(name)


@dataclass(frozen=True)
class Candidates:
    """Users and items on which weights are fitted, with the users' histories and relevant items."""

    users: Int64  # (n,), row numbers; -1: scored from the history alone
    history: History  # (n, n_items)
    relevant: CSR  # (n, n_items)
    items: Int64  # of the block
    ties: Int32  # (n_items,)


@dataclass(frozen=True)
class PseudoColdSplit:
    """Training rows without some warm items, which simulate cold ones, and content models trained on these rows."""

    candidates: Candidates  # the pseudo-cold items, and users' events with them
    rest: CSR  # (n_users, n_items), training rows without the pseudo-cold items
    models: dict[str, Model]


def fit_weights(
    inputs: TrainingInputs,
    trained: TrainedSources,
    options: FusionConfig,
    fixed: Mapping[str, float] | None,
    config: TrainHybridConfig,
) -> tuple[FusionWeights, PseudoColdSplit | None]:
    """Fit the weights of sources trained on the training split; returns them and the pseudo-cold split, if it was used.

    `fixed`: weights that are not to be searched. Those of cold items are fitted only where the fusion will have some.
    The pseudo-cold models are as large as the content sources: drop them before others are trained.
    """
    warm = fit_warm_weights(inputs, trained, options, fixed, config.weight_users)
    content = [spec.name for spec in trained.fused if spec.content]
    if not content or not cold_items(inputs.interactions.matrix(*config.trained_on)).any():
        return FusionWeights(warm, FittedWeights({}, {}, None, 0)), None
    cold, pseudo_cold = fit_cold_weights(
        inputs, trained, options, _fixed_for_cold(fixed, content), config.weight_users
    )
    return FusionWeights(warm, cold), pseudo_cold


def _fixed_for_cold(fixed: Mapping[str, float] | None, content: Sequence[str]) -> dict[str, float] | None:
    """The fixed weights of the content sources, or equal ones if these are all 0."""
    if fixed is None:
        return None
    weights = {name: fixed.get(name, 0.0) for name in content}
    return weights if any(weights.values()) else dict.fromkeys(content, 1 / len(content))


def fit_warm_weights(
    inputs: TrainingInputs,
    trained: TrainedSources,
    options: FusionConfig,
    fixed: Mapping[str, float] | None,
    max_users: int,
) -> FittedWeights:
    """Weights of all sources and log-popularity among warm items, on the validation split where there is one."""
    models = {spec.name: trained.models[spec.name] for spec in trained.fused}
    names = [*models, LOG_POPULARITY]
    if not has_validation(inputs.interactions):
        return fit_block(None, names, fixed, no_progress)
    candidates = validation_candidates(inputs.interactions, max_users, inputs.seed)
    matrix = inputs.interactions.matrix("train")
    log_popularity = standard_logs(matrix.getnnz(axis=0), cold_items(matrix))
    pool = None
    if candidates.relevant.nnz:
        with inputs.reporter.progress("scoring sources on validation", candidates.users.size) as advance:
            pool = score_pool(models, log_popularity, candidates, options, advance)
    with inputs.reporter.progress("fitting weights", None) as advance:
        return fit_block(pool, names, fixed, advance)


def fit_cold_weights(
    inputs: TrainingInputs,
    trained: TrainedSources,
    options: FusionConfig,
    fixed: Mapping[str, float] | None,
    max_users: int,
) -> tuple[FittedWeights, PseudoColdSplit | None]:
    """Weights of the content sources among cold items.

    Fitted on a pseudo-cold split: a tenth of the warm items is held out, the content sources are trained again without
    them, and users' events with them are predicted from the rest of their histories, folded in.
    """
    names = [spec.name for spec in trained.specs if spec.content]
    held_out = hold_out_items(cold_items(inputs.interactions.matrix("train")), inputs.seed)
    candidates, rest = pseudo_cold_candidates(inputs.interactions, held_out, max_users, inputs.seed)
    if not candidates.users.size:
        return fit_block(None, names, fixed, no_progress), None
    collaborative = {name: model for name, model in trained.models.items() if name not in names}
    with inputs.reporter.progress("scoring sources on pseudo-cold items", candidates.users.size) as advance:
        models = train_content(
            replace(inputs, reporter=SILENT), trained.specs, collaborative, rest, cold_items(rest)
        )
        pool = score_pool(models, None, candidates, options, advance)
    with inputs.reporter.progress("fitting weights of cold items", None) as advance:
        fitted = fit_block(pool, names, fixed, advance)
    return fitted, PseudoColdSplit(candidates, rest, models)


def fit_block(
    pool: CandidatePool | None, names: Sequence[str], fixed: Mapping[str, float] | None, advance: Advance
) -> FittedWeights:
    """Measure the sources of one block on the pool, and search their weights there unless they are `fixed`.

    Without a pool, the weights are the fixed or equal ones.
    """
    if pool is None or not pool.rows.size:
        weights = dict.fromkeys(names, 1 / len(names)) if fixed is None else dict(fixed)
        return FittedWeights(weights, {}, None, 0)
    if fixed is None:
        result = search_weights(pool, advance)
        # Six digits: later ones depend on the order of summation.
        weights = {n: round(float(w), 6) for n, w in zip(names, result.weights, strict=True)}
    else:
        weights = {n: float(fixed.get(n, 0.0)) for n in names}
        result = SearchResult(
            np.asarray(list(weights.values())), 0.0, tuple(pool_ndcg(pool, v) for v in pool.source_scores), 0
        )
    fused = np.einsum("s,snm->nm", np.asarray(list(weights.values()), dtype=np.float32), pool.source_scores)
    alone = dict(zip(names, result.alone, strict=True))
    ndcg = pool_ndcg(pool, fused)
    if fixed is None:
        advance(0, f"ndcg@20 {ndcg:.4f}")  # the figure of these weights, not of the search's last start
    return FittedWeights(weights, alone, ndcg, int((pool.n_relevant > 0).sum()))


def without_weightless(trained: TrainedSources, weights: FusionWeights, reporter: Reporter) -> TrainedSources:
    """Remove the sources whose weight is 0 in both blocks, except text-factors, which score texts about users.

    Their base model stays, not fused. At least one source is kept: log-popularity alone is not a fusion.
    """
    names = [spec.name for spec in trained.fused]
    weighted = {name for of in (weights.warm, weights.cold) for name, w in of.weights.items() if w}
    weightless = {s.name for s in trained.fused if s.algorithm != "text-factors"} - weighted
    if weightless.issuperset(names):
        weightless.discard(names[0])
    if not weightless:
        return trained
    reporter.say(f"left out, as their weight is 0: {', '.join(n for n in names if n in weightless)}")
    needs_base = any(spec.algorithm == "text-factors" for spec in trained.specs)
    specs = tuple(
        replace(spec, fused=spec.fused and spec.name not in weightless)
        for spec in trained.specs
        if spec.name not in weightless or (needs_base and spec.algorithm in FACTOR_MODELS)
    )
    return TrainedSources(specs, {spec.name: trained.models[spec.name] for spec in specs})


def validation_candidates(
    interactions: Interactions, max_users: int, seed: int, splits: tuple[str, ...] = ("train",)
) -> Candidates:
    """Validation rows of items with training events, for a sample of at most `max_users` of the users who have any.

    If no user has any: for users with training events. `splits`: what makes their histories, which may be empty.
    """
    relevant, warm = interactions.matrix("validation"), ~cold_items(interactions.matrix("train"))
    eligible = relevant[:, warm].getnnz(axis=1) > 0
    if not eligible.any():
        eligible = interactions.matrix("train").getnnz(axis=1) > 0
    users = sample_users(eligible, max_users, seed)
    history, ties = interactions.ordered(*splits)[users], interactions.ties
    return Candidates(known_users(users, history), history, relevant[users], np.flatnonzero(warm), ties)


def pseudo_cold_candidates(
    interactions: Interactions, held_out: Bool, max_users: int, seed: int
) -> tuple[Candidates, CSR]:
    """Users' events with the pseudo-cold items, predicted from the rest of their training rows; and these rows."""
    rows = interactions.ordered("train")
    rest = rows.keep(~held_out[rows.values.indices])
    items = np.flatnonzero(held_out)
    events = interactions.matrix("train", "validation")
    eligible = (events[:, items].getnnz(axis=1) > 0) & (rest.sizes > 0)
    users, ties = sample_users(eligible, max_users, seed), interactions.ties
    return Candidates(np.full(users.size, -1), rest[users], events[users], items, ties), rest.values


def hold_out_items(cold: Bool, seed: int, share: float = PSEUDO_COLD_SHARE) -> Bool:
    """A random share of the warm items, bool (n_items,), at least one."""
    warm = np.flatnonzero(~cold)
    held_out = np.zeros(cold.size, dtype=bool)
    n = max(1, round(share * warm.size))
    held_out[np.random.default_rng(seed).choice(warm, n, replace=False)] = True
    return held_out


def score_pool(
    models: Mapping[str, Model],
    log_popularity: Float32 | None,
    candidates: Candidates,
    options: FusionConfig,
    advance: Advance,
) -> CandidatePool:
    """Normalized scores of each model, and last of log-popularity (n_items,), for all users' candidates."""
    batches = _score_batches(models, log_popularity, candidates, options, advance)
    return pool_of(batches, candidates.ties[candidates.items])


def _score_batches(
    models: Mapping[str, Model],
    log_popularity: Float32 | None,
    candidates: Candidates,
    options: FusionConfig,
    advance: Advance,
) -> Iterator[ScoreBatch]:
    size = max(1, min(1024, _SCORES_PER_BATCH // candidates.history.shape[1]))
    for start in range(0, candidates.users.size, size):
        rows = slice(start, start + size)
        history, users = candidates.history[rows], candidates.users[rows]
        block = block_of(candidates.items, history.values)
        source_scores = []
        for model in models.values():
            scores = block.of(model.score(history, users))
            source_scores.append(normalized_scores(options.fusion, scores, block, options.rrf_k))
        if log_popularity is not None:
            same = np.repeat(log_popularity[candidates.items][None, :], users.size, axis=0)
            linear = options.fusion in ("linear", "weighted")
            source_scores.append(
                same if linear else normalized_scores(options.fusion, same, block, options.rrf_k)
            )
        masked = block if history.also_seen is None else block_of(candidates.items, history.seen)
        yield ScoreBatch(source_scores, (masked.rows, masked.columns), _relevant(candidates, rows, block))
        advance(users.size, "")


def _relevant(candidates: Candidates, rows: slice, block: Block) -> tuple[Int64, Int64]:
    """Rows and columns of the relevant items of the block that are not in the history."""
    relevant = candidates.relevant[rows][:, candidates.items].tocoo()
    pairs = relevant.row.astype(np.int64) * candidates.items.size + relevant.col
    in_history = block.rows * candidates.items.size + block.columns
    kept = ~np.isin(pairs, in_history)
    return relevant.row[kept].astype(np.int64), relevant.col[kept].astype(np.int64)
