"""When matters: how fast histories age for each source, and how fast popularity does, chosen on validation.

Both are looked for only where events have times. What does not help stays off: on a random split nothing of it does.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from recli.hybrid import Ingredient, Kitchen
from recli.models.base import Model, OrderedModel, algorithms
from recli.models.popularity import PopularityConfig
from recli.models.recency import plain, recent
from recli.training import judge, train

HALF_LIVES = (1.0, 3.0, 10.0)  # of histories, in events of the user's own
TREND_DAYS = (1.0, 3.0, 7.0, 14.0, 30.0, 90.0)  # half-lives of popularity
TREND = "recent-popularity"  # the source whose half-life is found here
GAIN = 1.01  # a half-life is taken if NDCG@20 is so many times as high: less is noise of a few thousand users
_USERS = 2000  # of validation that are asked

Advance = Callable[[int, str], None]


def trend_config(kitchen: Kitchen) -> tuple[PopularityConfig | None, dict[float, float]]:
    """Popularity with the best half-life in days, None if none is better than all of the past; NDCG@20 by half-life."""
    measure = judge(kitchen.interactions, kitchen.seed, _USERS)

    def ndcg(days: float) -> float:
        config = PopularityConfig(half_life=days)
        found = train(algorithms["popularity"], config, kitchen.interactions, seed=kitchen.seed)
        return round(measure(found.model), 6)

    tried = {days: ndcg(days) for days in (0.0, *TREND_DAYS)}
    best = max(tried, key=lambda days: tried[days])
    if tried[best] <= tried[0.0] * GAIN:
        return None, tried
    return PopularityConfig(half_life=best), tried


def may_age(ingredient: Ingredient, model: Model) -> bool:
    """Whether a half-life is to be looked for: not where one was given, nor where the model knows its own order."""
    personal = algorithms[ingredient.algorithm].personal
    return personal and not ingredient.history_half_life and not isinstance(plain(model), OrderedModel)


def choose_half_lives(
    kitchen: Kitchen, ingredients: Sequence[Ingredient], models: Mapping[str, Model], advance: Advance
) -> tuple[list[Ingredient], dict[str, Model]]:
    """The ingredients with the half-lives of histories that are best for each alone, and their models so wrapped."""
    measure = judge(kitchen.interactions, kitchen.seed, _USERS)
    chosen, wrapped = [], dict(models)
    for one in ingredients:
        model = models[one.name]
        if may_age(one, model):
            tried = {0.0: measure(model) * GAIN}
            for half_life in HALF_LIVES:
                tried[half_life] = measure(recent(model, half_life))
                advance(1, f"{one.name}: ndcg@20 {max(tried.values()):.4f}")
            best = max(tried, key=lambda half_life: tried[half_life])
            one, wrapped[one.name] = replace(one, history_half_life=best), recent(model, best)
        chosen.append(one)
    return chosen, wrapped
