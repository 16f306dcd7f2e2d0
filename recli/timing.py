"""When matters: how fast histories age for each source, and how fast popularity does, chosen on validation.

Both are looked for only where events have times. What does not help stays off: on a random split nothing of it does.
"""

from collections.abc import Callable, Mapping, Sequence

from recli.hybrid import Ingredient, Kitchen
from recli.models.base import Model, OrderedModel, algorithms
from recli.models.popularity import PopularityConfig
from recli.models.recency import plain, recent
from recli.training import judge, train

HALF_LIVES = (1.0, 2.0, 4.0, 8.0)  # of histories, in events of the user's own
TREND_DAYS = (1.0, 3.0, 7.0, 14.0, 30.0, 90.0)  # half-lives of popularity
GAIN = 1.01  # a half-life is taken if NDCG@20 is so many times as high: less is noise of a few thousand users
_USERS = 2000  # of validation that are asked

Advance = Callable[[int, str], None]


def trend_config(kitchen: Kitchen, advance: Advance) -> PopularityConfig:
    """Popularity with the best half-life in days, or with none if no one is better than all of the past."""
    measure = judge(kitchen.interactions, kitchen.seed, _USERS)

    def ndcg(days: float) -> float:
        config = PopularityConfig(half_life=days)
        score = measure(train(algorithms["popularity"], config, kitchen.interactions).model)
        advance(1, f"{days:g} days: ndcg@20 {score:.4f}")
        return score

    tried = {0.0: ndcg(0.0) * GAIN} | {days: ndcg(days) for days in TREND_DAYS}
    return PopularityConfig(half_life=max(tried, key=lambda days: tried[days]))


def may_age(ingredient: Ingredient, model: Model) -> bool:
    """Whether a half-life is to be looked for: not where one was given, nor where the model knows its own order."""
    personal = algorithms[ingredient.algorithm].personal
    return personal and not ingredient.history_half_life and not isinstance(plain(model), OrderedModel)


def choose_half_lives(
    kitchen: Kitchen, ingredients: Sequence[Ingredient], models: Mapping[str, Model], advance: Advance
) -> dict[str, float]:
    """The half-life of histories that is best for each ingredient alone, in events; 0: none helps."""
    measure = judge(kitchen.interactions, kitchen.seed, _USERS)
    found = {}
    for one in ingredients:
        model = models[one.name]
        tried = {0.0: measure(model) * GAIN}
        for half_life in HALF_LIVES:
            tried[half_life] = measure(recent(model, half_life))
            advance(1, f"{one.name}, {half_life:g} events: ndcg@20 {tried[half_life]:.4f}")
        found[one.name] = max(tried, key=lambda half_life: tried[half_life])
    return found
