"""When matters: how fast histories age for each source, and how fast popularity does, chosen on validation.

Both are looked for only where events have times. What does not help stays off: on a random split nothing of it does.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from recli.models.base import Model, algorithms
from recli.models.popularity import HALF_LIFE_DAYS, PopularityConfig
from recli.models.wrappers import unwrap, with_recency
from recli.schema import Float64
from recli.steps.train_hybrid.weights import SourceSpec, TrainingInputs
from recli.training.fit import train
from recli.training.validation import validator_of

HALF_LIVES = (1.0, 2.0, 4.0, 8.0, 16.0)  # of histories, in events of the user's own
_USERS = 2000  # of validation that are asked

Advance = Callable[[int, str], None]


def trend_config(kitchen: TrainingInputs, advance: Advance) -> PopularityConfig:
    """Popularity with the best half-life in days, or with none if none is better than all of the past."""
    measure = validator_of(kitchen.interactions, kitchen.seed, _USERS)

    def ndcg(days: float) -> Float64:
        config = PopularityConfig(popularity_half_life=days)
        found = measure.per_user(train(algorithms["popularity"], config, kitchen.interactions).model)
        advance(1, f"{days:g} days: ndcg@20 {found.mean():.4f}")
        return found

    chosen = _longest({days: ndcg(days) for days in (0.0, *HALF_LIFE_DAYS)})
    advance(0, f"{chosen:g} days" if chosen else "none helps")
    return PopularityConfig(popularity_half_life=chosen)


def may_age(ingredient: SourceSpec, model: Model) -> bool:
    """Whether a half-life is to be looked for: not where one was given, nor where the model knows its own order."""
    personal = algorithms[ingredient.algorithm].personal
    return personal and not ingredient.history_half_life and not unwrap(model).uses_order


def choose_half_lives(
    kitchen: TrainingInputs, ingredients: Sequence[SourceSpec], models: Mapping[str, Model], advance: Advance
) -> dict[str, float]:
    """The half-life of histories that is best for each ingredient alone, in events; 0: none helps."""
    measure = validator_of(kitchen.interactions, kitchen.seed, _USERS)
    found = {}
    for one in ingredients:
        model = models[one.name]
        tried = {0.0: measure.per_user(model)}
        for half_life in HALF_LIVES:
            tried[half_life] = measure.per_user(with_recency(model, half_life))
            advance(1, f"{one.name}, {half_life:g} events: ndcg@20 {tried[half_life].mean():.4f}")
        found[one.name] = _longest(tried)
    advance(0, ", ".join(f"{name} {h:g}" for name, h in found.items() if h) or "none helps")
    return found


def _longest(tried: Mapping[float, Float64]) -> float:
    """The longest half-life that is within a standard error of the best; 0, none, is the longest.

    The rule of Breiman et al. 1984 for the simplest of models that are as good: a long half-life rests on most events.
    The error is that of the mean difference to the best over the same users. `tried`: NDCG@20, float64 (n_users,).
    """
    best = max(tried.values(), key=lambda ndcg: float(ndcg.mean()))

    def near(ndcg: Float64) -> bool:
        lost = best - ndcg
        error = lost.std(ddof=1) / np.sqrt(lost.size) if lost.size > 1 else 0.0
        return bool(lost.mean() <= error)

    found = [half_life for half_life, ndcg in tried.items() if near(ndcg)]
    return 0.0 if 0.0 in found else max(found)
