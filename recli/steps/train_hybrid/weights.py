"""How a hybrid is made: features from vectors, trained sources, and a fusion's weights on validation."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from recli.config import to_dict
from recli.data.history import History
from recli.data.interactions import Interactions
from recli.models.base import Model, Training, algorithms
from recli.models.cease import CeaseConfig
from recli.models.fusion import (
    LOG_POPULARITY,
    Block,
    Fusion,
    FusionConfig,
    Source,
    block_of,
    normalized_scores,
    profile_map,
    standard_logs,
)
from recli.models.text_factors import TextFactors
from recli.models.wrappers import unwrap, with_recency
from recli.ranking.topk import rank, tie_order
from recli.schema import CSR, Bool, Float32, Int32, Int64, State
from recli.steps.train_hybrid.weight_search import (
    CandidatePool,
    K,
    ScoreBatch,
    SearchResult,
    pool_ndcg,
    pool_of,
    search_weights,
)
from recli.training.fit import total_steps, train

HIDDEN_SHARE = 0.1  # of the warm items, hidden to learn what to say of cold ones
CEASE_TEXT = (10.0, 30.0, 100.0)  # tried first, at the default l2
CEASE_L2 = (100.0, 400.0)  # tried then, at the best text weight
_LOOKED_AT = 500  # users whose lists are counted: the share's standard error is then about .01 at most
_CELLS = 1 << 20  # scores of one source held at a time: 4 MiB of float32

Advance = Callable[[int, str], None]
Progress = Callable[[str, int | None], AbstractContextManager[Advance]]


def join_features(parts: Sequence[Float32]) -> Float32:
    """l2([l2(part) ; l2(part) ...]), float32 (n_items, sum of d); rows without any text stay zero.

    Two encoders side by side were measured 5 to 7% better than either.
    """
    joined = np.concatenate([_unit(part) for part in parts], axis=1)
    return np.ascontiguousarray(_unit(joined), dtype=np.float32)


def _unit(rows: Float32) -> Float32:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: Float32 = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 0)
    return unit


@dataclass(frozen=True)
class SourceSpec:
    """A source to be: an algorithm with its options, and its model where the run has one already."""

    name: str
    algorithm: str
    config: Any
    model: Model | None = None
    trained_on: tuple[str, ...] = ("train",)
    history_half_life: float = 0.0  # events; 0: all events of a history are alike

    @property
    def content(self) -> bool:
        return algorithms[self.algorithm].family == "content"


@dataclass(frozen=True)
class TrainingInputs:
    """What sources are trained from."""

    interactions: Interactions
    features: Float32 | None  # (n_items, d)
    seed: int
    progress: Progress


def train_sources(
    kitchen: TrainingInputs, ingredients: Sequence[SourceSpec], splits: tuple[str, ...]
) -> dict[str, Model]:
    """Train the sources on the named splits, by name; a model the run has is taken if it learned from these."""
    models: dict[str, Model] = {}
    for one in ingredients:
        if one.content:
            continue
        if one.model is not None and one.trained_on == splits:
            models[one.name] = with_recency(unwrap(one.model), one.history_half_life)
            continue
        with kitchen.progress(f"training {one.name}", total_steps(one.config)) as advance:
            models[one.name] = train(
                algorithms[one.algorithm],
                one.config,
                kitchen.interactions,
                splits=splits,
                seed=kitchen.seed,
                advance=advance,
                history_half_life=one.history_half_life,
            ).model
    matrix = kitchen.interactions.matrix(*splits)
    return models | train_content(kitchen, ingredients, models, matrix, cold_items(matrix))


def train_content(
    kitchen: TrainingInputs,
    ingredients: Sequence[SourceSpec],
    models: Mapping[str, Model],
    matrix: CSR,
    cold: Bool,
) -> dict[str, Model]:
    """Train the content sources, by name; `models` are the collaborative ones they may build on."""
    made: dict[str, Model] = {}
    by_algorithm = {i.algorithm: unwrap(models[i.name]) for i in reversed(ingredients) if i.name in models}
    for one in ingredients:
        if not one.content:
            continue
        with kitchen.progress(f"training {one.name}", None) as advance:
            training = Training(
                matrix, features=kitchen.features, cold=cold, models=by_algorithm, advance=advance
            )
            made[one.name] = with_recency(
                algorithms[one.algorithm].fit(one.config, training), one.history_half_life
            )
    return made


def sources_of(ingredients: Sequence[SourceSpec], models: Mapping[str, Model]) -> tuple[Source, ...]:
    """The sources as the fusion's config describes them."""
    found = []
    for one in ingredients:
        model, base = unwrap(models[one.name]), None
        if isinstance(model, TextFactors):  # its user vectors are those of another source: stored once
            base = next((i.name for i in ingredients if unwrap(models[i.name]) is model.base), None)
        found.append(Source(one.name, one.algorithm, to_dict(one.config), base, one.history_half_life))
    return tuple(found)


def cold_items(matrix: CSR) -> Bool:
    """Items without an event, bool (n_items,)."""
    return np.asarray(matrix.getnnz(axis=0) == 0)


@dataclass(frozen=True)
class Candidates:
    """For whom, and among which items, weights are searched."""

    users: Int64  # (n,), row numbers; -1: scored from the history alone
    history: History  # (n, n_items)
    relevant: CSR  # (n, n_items)
    items: Int64  # of the block
    ties: Int32  # (n_items,)


def validation_candidates(
    interactions: Interactions, max_users: int, seed: int, splits: tuple[str, ...] = ("train",)
) -> Candidates:
    """Validation rows of items with training events, for a sample of at most `max_users` of the users who have any.

    Where nobody has: for users with training events. `splits`: what makes their histories, which may be empty.
    """
    relevant, warm = interactions.matrix("validation"), ~cold_items(interactions.matrix("train"))
    useful = relevant[:, warm].getnnz(axis=1) > 0
    if not useful.any():
        useful = interactions.matrix("train").getnnz(axis=1) > 0
    users = sample_users(useful, max_users, seed)
    history, ties = interactions.ordered(*splits)[users], tie_order(interactions.items["item_id"])
    known = np.where(history.sizes > 0, users, -1)
    return Candidates(known, history, relevant[users], np.flatnonzero(warm), ties)


def pseudo_cold_candidates(
    interactions: Interactions, hidden: Bool, max_users: int, seed: int
) -> tuple[Candidates, CSR]:
    """Users' events with the hidden items, to be told from the rest of their training rows; and these rows."""
    rows = interactions.ordered("train")
    rest = rows.keep(~hidden[rows.values.indices])
    items = np.flatnonzero(hidden)
    events = interactions.matrix("train", "validation")
    useful = (events[:, items].getnnz(axis=1) > 0) & (rest.sizes > 0)
    users, ties = sample_users(useful, max_users, seed), tie_order(interactions.items["item_id"])
    return Candidates(np.full(users.size, -1), rest[users], events[users], items, ties), rest.values


def sample_users(useful: Bool, max_users: int, seed: int) -> Int64:
    """Row numbers of at most `max_users` of the useful users, bool (n_users,), ascending."""
    users = np.flatnonzero(useful).astype(np.int64)
    if users.size > max_users:
        users = np.sort(np.random.default_rng(seed).choice(users, max_users, replace=False))
    return users


def hide_items(cold: Bool, seed: int, share: float = HIDDEN_SHARE) -> Bool:
    """A random share of the warm items, bool (n_items,), at least one."""
    warm = np.flatnonzero(~cold)
    hidden = np.zeros(cold.size, dtype=bool)
    n = max(1, round(share * warm.size))
    hidden[np.random.default_rng(seed).choice(warm, n, replace=False)] = True
    return hidden


def score_pool(
    models: Mapping[str, Model],
    prior: Float32 | None,
    candidates: Candidates,
    config: FusionConfig,
    advance: Advance,
) -> CandidatePool:
    """What each model, and last the prior (n_items,), says of the candidates of all sampled users."""
    slices = _slices(models, prior, candidates, config, advance)
    return pool_of(slices, candidates.ties[candidates.items])


def _slices(
    models: Mapping[str, Model],
    prior: Float32 | None,
    given: Candidates,
    config: FusionConfig,
    advance: Advance,
) -> Iterator[ScoreBatch]:
    size = max(1, min(1024, _CELLS // given.history.shape[1]))
    for start in range(0, given.users.size, size):
        rows = slice(start, start + size)
        history, users = given.history[rows], given.users[rows]
        block = block_of(given.items, history.values)
        said = []
        for model in models.values():
            scores = block.of(model.score(history, users))
            said.append(normalized_scores(config.fusion, scores, block, config.rrf_k))
        if prior is not None:
            same = np.repeat(prior[given.items][None, :], users.size, axis=0)
            linear = config.fusion in ("linear", "weighted")
            said.append(same if linear else normalized_scores(config.fusion, same, block, config.rrf_k))
        yield ScoreBatch(said, (block.rows, block.columns), _relevant(given, rows, block))
        advance(users.size, "")


def _relevant(given: Candidates, rows: slice, block: Block) -> tuple[Int64, Int64]:
    """Rows and places of the relevant items of the block that are not in the history."""
    wanted = given.relevant[rows][:, given.items].tocoo()
    pairs = wanted.row.astype(np.int64) * given.items.size + wanted.col
    own = block.rows * given.items.size + block.columns
    kept = ~np.isin(pairs, own)
    return wanted.row[kept].astype(np.int64), wanted.col[kept].astype(np.int64)


@dataclass(frozen=True)
class PseudoColdSplit:
    """The pseudo-cold split, and the content sources that know nothing of its hidden items."""

    candidates: Candidates  # the hidden items, and users' events with them
    rest: CSR  # (n_users, n_items), training rows without the hidden items
    models: dict[str, Model]


@dataclass(frozen=True)
class FittedWeights:
    """Weights of a block's sources, and how the sources and their fusion do on validation; None: not judged."""

    weights: dict[str, float]
    alone: dict[str, float]
    ndcg: float | None
    users: int
    blind: PseudoColdSplit | None = None  # what the weights of cold items were found on


def fit_weights(
    panel: CandidatePool | None, names: Sequence[str], given: Mapping[str, float] | None, advance: Advance
) -> FittedWeights:
    """Judge the sources on the panel, and find their weights there unless they are `given`."""
    if panel is None or not panel.rows.size:
        weights = dict.fromkeys(names, 1 / len(names)) if given is None else dict(given)
        return FittedWeights(weights, {}, None, 0)
    if given is None:
        found = search_weights(panel, advance)
        # Six digits: what differs in the next is noise of the sums' order.
        weights = {n: round(float(w), 6) for n, w in zip(names, found.weights, strict=True)}
    else:
        weights = {n: float(given.get(n, 0.0)) for n in names}
        found = SearchResult(
            np.asarray(list(weights.values())), 0.0, tuple(pool_ndcg(panel, v) for v in panel.votes), 0
        )
    fused = np.einsum("s,snm->nm", np.asarray(list(weights.values()), dtype=np.float32), panel.votes)
    alone = dict(zip(names, found.alone, strict=True))
    ndcg = pool_ndcg(panel, fused)
    if given is None:
        advance(0, f"ndcg@20 {ndcg:.4f}")  # the figure of these weights, not of the search's last start
    return FittedWeights(weights, alone, ndcg, int((panel.n_relevant > 0).sum()))


def fit_warm_weights(
    kitchen: TrainingInputs,
    models: Mapping[str, Model],
    config: FusionConfig,
    given: Mapping[str, float] | None,
    max_users: int,
) -> FittedWeights:
    """Weights of all sources and the prior among warm items, on the validation split where there is one."""
    names = [*models, LOG_POPULARITY]
    if not kitchen.interactions.splits["validation"].height:
        return fit_weights(None, names, given, lambda steps, text: None)
    candidates = validation_candidates(kitchen.interactions, max_users, kitchen.seed)
    matrix = kitchen.interactions.matrix("train")
    prior = standard_logs(matrix.getnnz(axis=0), cold_items(matrix))
    panel = None
    if candidates.relevant.nnz:
        with kitchen.progress("scoring validation users", candidates.users.size) as advance:
            panel = score_pool(models, prior, candidates, config, advance)
    with kitchen.progress("weighing", None) as advance:
        return fit_weights(panel, names, given, advance)


def fit_cold_weights(
    kitchen: TrainingInputs,
    ingredients: Sequence[SourceSpec],
    models: Mapping[str, Model],
    config: FusionConfig,
    given: Mapping[str, float] | None,
    max_users: int,
) -> FittedWeights:
    """Weights of the content sources among cold items.

    Learned on a pseudo-cold split: a tenth of the warm items is hidden, the content sources are trained again
    without them, and users' events with them are told from the rest of their histories, folded in.
    """
    names = [i.name for i in ingredients if i.content]
    hidden = hide_items(cold_items(kitchen.interactions.matrix("train")), kitchen.seed)
    candidates, rest = pseudo_cold_candidates(kitchen.interactions, hidden, max_users, kitchen.seed)
    if not candidates.users.size:
        return fit_weights(None, names, given, lambda steps, text: None)
    collaborative = {name: model for name, model in models.items() if name not in names}
    quiet = replace(kitchen, progress=_silent)
    with kitchen.progress("learning from hidden items", candidates.users.size) as advance:
        blind = train_content(quiet, ingredients, collaborative, rest, cold_items(rest))
        panel = score_pool(blind, None, candidates, config, advance)
    with kitchen.progress("weighing for cold items", None) as advance:
        return replace(
            fit_weights(panel, names, given, advance), blind=PseudoColdSplit(candidates, rest, blind)
        )


@contextmanager
def _silent(what: str, total: int | None) -> Iterator[Advance]:
    yield lambda steps, text: None


def with_profiles(fused: Fusion, vectors: Float32, space: State, history: CSR) -> Fusion:
    """The fusion with a map from texts about users to user factors, if it has text-factors to take them from.

    `vectors`: float32 (n_items, d), the embeddings whose tensors are `space`. `history`: (n_users, n_items).
    """
    text = fused.text_factors
    users = np.flatnonzero(np.asarray((history @ vectors != 0).any(axis=1)))
    if text is None or not users.size:
        return fused
    factors, _ = text.base.user_embeddings(History(history[users]), users)
    return replace(fused, profile=profile_map(vectors, space, history[users], factors))


def cease_trials(l2: float | None, text_weight: float | None) -> int:
    """How many trials `tune_cease` may make."""
    return (len(CEASE_TEXT) if text_weight is None else 1) + (len(CEASE_L2) if l2 is None else 0)


def tune_cease(
    kitchen: TrainingInputs,
    options: CeaseConfig,
    l2: float | None,
    text_weight: float | None,
    judge: Callable[[Model], float],
    advance: Advance,
) -> tuple[CeaseConfig, list[tuple[float, float, float]]]:
    """The best options for collective EASE by `judge`, and the trials: (l2, text weight, NDCG@20).

    What is given stays; the text weight is searched first, then l2 at the best of it.
    """
    matrix = kitchen.interactions.matrix("train")
    training = Training(matrix, features=kitchen.features, cold=cold_items(matrix), seed=kitchen.seed)
    trials: list[tuple[float, float, float]] = []

    def best() -> tuple[float, float, float]:
        return max(trials, key=lambda trial: trial[2])

    def measure(one_l2: float, one_weight: float) -> None:
        config = replace(options, l2=one_l2, text_weight=one_weight)
        score = judge(algorithms["cease"].fit(config, training))
        trials.append((one_l2, one_weight, score))
        advance(1, f"ndcg@20 {best()[2]:.4f}")

    for weight in CEASE_TEXT if text_weight is None else (text_weight,):
        measure(options.l2, weight)
    weight = best()[1]
    for value in CEASE_L2 if l2 is None else ():
        measure(value, weight)
    return replace(options, l2=best()[0], text_weight=best()[1]), trials


def cold_share(
    model: Fusion, interactions: Interactions, splits: tuple[str, ...], seed: int
) -> tuple[float, int]:
    """The share of cold items in the top 20 of validation users, and of how many users (a sample, 0: none).

    `splits`: what the model was trained on; what users did there is masked.
    """
    users = np.flatnonzero(interactions.matrix("validation").getnnz(axis=1)).astype(np.int64)
    if users.size > _LOOKED_AT:
        users = np.sort(np.random.default_rng(seed).choice(users, _LOOKED_AT, replace=False))
    if not users.size:
        return 0.0, 0
    history = interactions.ordered(*splits)[users]
    known = np.where(history.sizes > 0, users, -1)
    ties = tie_order(interactions.items["item_id"])
    items = rank(model, history, known, k=K, ties=ties, seen=history.values).items
    listed = items[items >= 0]
    return float(model.cold[listed].mean()) if listed.size else 0.0, int(users.size)


def assemble(config: FusionConfig, matrix: CSR, models: Mapping[str, Model]) -> Fusion:
    """The fusion of trained models; `matrix`: what they were trained on."""
    fused = algorithms["fusion"].fit(config, Training(matrix, models=models))
    assert isinstance(fused, Fusion)
    return fused
