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
GAIN = 1.01  # a shorter half-life must be worth so many times the NDCG@20 of a longer one: less is noise of 2,000 users
_USERS = 2000  # of validation that are asked

Advance = Callable[[int, str], None]


def trend_config(kitchen: Kitchen, advance: Advance) -> PopularityConfig:
    """Popularity with the best half-life in days, or with none if none is better than all of the past."""
    measure = judge(kitchen.interactions, kitchen.seed, _USERS)

    def ndcg(days: float) -> float:
        config = PopularityConfig(half_life=days)
        score = measure(train(algorithms["popularity"], config, kitchen.interactions).model)
        advance(1, f"{days:g} days: ndcg@20 {score:.4f}")
        return score

    return PopularityConfig(half_life=_longest({days: ndcg(days) for days in (0.0, *TREND_DAYS)}))


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
        tried = {0.0: measure(model)}
        for half_life in HALF_LIVES:
            tried[half_life] = measure(recent(model, half_life))
            advance(1, f"{one.name}, {half_life:g} events: ndcg@20 {tried[half_life]:.4f}")
        found[one.name] = _longest(tried)
    return found


def _longest(tried: Mapping[float, float]) -> float:
    """The longest half-life whose NDCG@20 is next to the best one; 0, none, is the longest: it rests on most events."""
    enough = max(tried.values()) / GAIN
    near = [half_life for half_life, ndcg in tried.items() if ndcg >= enough]
    return 0.0 if 0.0 in near else max(near)
