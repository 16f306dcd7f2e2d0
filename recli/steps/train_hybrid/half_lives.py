"""Half-lives of histories and of popularity, chosen on validation for each source.

They are searched only where events have an order or times. On a random split no half-life helps, and all stay 0.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from recli.models.base import Model, algorithms
from recli.models.popularity import HALF_LIFE_DAYS, RECENT_POPULARITY, PopularityConfig
from recli.models.wrappers import unwrap, with_recency
from recli.reporting import Advance
from recli.schema import Float64
from recli.steps.train_hybrid.sources import SourceSpec, TrainedSources, TrainingInputs
from recli.training.fit import train
from recli.training.validation import has_validation, validator_of

HALF_LIVES = (1.0, 2.0, 4.0, 8.0, 16.0)  # of histories, in events of the user's own
_MAX_USERS = 2000  # of validation


def with_popularity_half_life(
    inputs: TrainingInputs, specs: tuple[SourceSpec, ...]
) -> tuple[SourceSpec, ...]:
    """The sources, recent popularity with the half-life in days that is best on validation, where there is any."""
    names = [spec.name for spec in specs]
    if RECENT_POPULARITY not in names or not has_validation(inputs.interactions):
        return specs
    what = f"half-life of {RECENT_POPULARITY}"
    with inputs.reporter.progress(what, len(HALF_LIFE_DAYS) + 1) as advance:
        config = recent_popularity_config(inputs, advance)
    return tuple(replace(s, config=config) if s.name == RECENT_POPULARITY else s for s in specs)


def recent_popularity_config(inputs: TrainingInputs, advance: Advance) -> PopularityConfig:
    """Popularity with the best half-life in days, or without one if none is better than no decay."""
    validator = validator_of(inputs.interactions, inputs.seed, _MAX_USERS)

    def ndcg(days: float) -> Float64:
        config = PopularityConfig(popularity_half_life=days)
        of_users = validator.per_user(train(algorithms["popularity"], config, inputs.interactions).model)
        advance(1, f"{days:g} days: ndcg@20 {of_users.mean():.4f}")
        return of_users

    chosen = _longest({days: ndcg(days) for days in (0.0, *HALF_LIFE_DAYS)})
    advance(0, f"{chosen:g} days" if chosen else "none helps")
    return PopularityConfig(popularity_half_life=chosen)


def with_history_half_lives(
    inputs: TrainingInputs, trained: TrainedSources, half_life: float | None
) -> TrainedSources:
    """The sources with this half-life of histories, in events; None: with the best one for each on validation.

    Sources that have one already, or use the order of events themselves, stay unchanged.
    """
    interactions = inputs.interactions
    if half_life is None and not (interactions.has_order and has_validation(interactions)):
        return trained
    specs = [spec for spec in trained.specs if may_age(spec, trained.models[spec.name])]
    if half_life is None:
        steps = len(specs) * len(HALF_LIVES)
        with inputs.reporter.progress("half-lives of histories", steps) as advance:
            chosen = choose_half_lives(inputs, specs, trained.models, advance)
    else:
        chosen = {spec.name: half_life for spec in specs}
    return TrainedSources(
        tuple(replace(s, history_half_life=chosen.get(s.name, s.history_half_life)) for s in trained.specs),
        {name: with_recency(model, chosen.get(name, 0.0)) for name, model in trained.models.items()},
    )


def may_age(spec: SourceSpec, model: Model) -> bool:
    """Whether a source can have a half-life: not where it has one, nor where the model knows the order itself."""
    personal = algorithms[spec.algorithm].personal
    return personal and not spec.history_half_life and not unwrap(model).uses_order


def choose_half_lives(
    inputs: TrainingInputs, specs: Sequence[SourceSpec], models: Mapping[str, Model], advance: Advance
) -> dict[str, float]:
    """The half-life of histories that is best for each source alone, in events; 0: none helps."""
    validator = validator_of(inputs.interactions, inputs.seed, _MAX_USERS)
    chosen = {}
    for spec in specs:
        model = models[spec.name]
        ndcg = {0.0: validator.per_user(model)}
        for half_life in HALF_LIVES:
            ndcg[half_life] = validator.per_user(with_recency(model, half_life))
            advance(1, f"{spec.name}, {half_life:g} events: ndcg@20 {ndcg[half_life].mean():.4f}")
        chosen[spec.name] = _longest(ndcg)
    advance(0, ", ".join(f"{name} {h:g}" for name, h in chosen.items() if h) or "none helps")
    return chosen


def _longest(ndcg: Mapping[float, Float64]) -> float:
    """The longest half-life that is within a standard error of the best; 0, none, is the longest.

    The rule of Breiman et al. 1984 for the simplest of models that are as good: a long half-life uses most events.
    The error is that of the mean difference to the best over the same users. `ndcg`: NDCG@20, float64 (n_users,).
    """
    best = max(ndcg.values(), key=lambda of_users: float(of_users.mean()))

    def near(of_users: Float64) -> bool:
        loss = best - of_users
        error = loss.std(ddof=1) / np.sqrt(loss.size) if loss.size > 1 else 0.0
        return bool(loss.mean() <= error)

    as_good = [half_life for half_life, of_users in ndcg.items() if near(of_users)]
    return 0.0 if 0.0 in as_good else max(as_good)
