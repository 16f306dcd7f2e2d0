"""Searching options: on a made-up algorithm whose best setting is known."""

from dataclasses import dataclass, make_dataclass

import pytest

from recli.config import Tune, option, validate
from recli.errors import UsageError
from recli.models.base import algorithms
from recli.training.tuning import Tried, best_of, search, searched


@dataclass(frozen=True)
class Toy:
    strength: float = option(50.0, "", min=0, tune=Tune(0.1, 100, log=True))
    depth: int = option(3, "", min=1, tune=Tune(1, 9))
    kind: str = option("plain", "", tune=Tune(choices=("plain", "fancy")))
    limit: int = option(7, "")


def quality(toy: Toy) -> float:
    """Best at strength 10, depth 5, fancy: 1.0."""
    return 1.0 - abs(toy.strength - 10) / 100 - abs(toy.depth - 5) / 10 - 0.2 * (toy.kind == "plain")


def test_the_first_trial_is_the_defaults_and_the_search_improves_on_them() -> None:
    tried = search(Toy, {}, quality, trials=40, seed=1)
    assert len(tried) == 40
    assert tried[0] == Tried({"strength": 50.0, "depth": 3, "kind": "plain"}, quality(Toy()))
    best = best_of(tried)
    assert best.score > 0.9 and best.options["kind"] == "fancy"
    assert all(t.score == pytest.approx(quality(Toy(**t.options))) for t in tried)


def test_one_seed_one_sequence() -> None:
    runs = [search(Toy, {}, quality, trials=15, seed=seed) for seed in (1, 1, 2)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


def test_what_is_given_stays_and_what_has_no_range_is_left_at_its_default() -> None:
    seen: list[Toy] = []

    def measure(toy: Toy) -> float:
        seen.append(toy)
        return quality(toy)

    tried = search(Toy, {"depth": 8}, measure, trials=10, seed=1)
    assert {t.depth for t in seen} == {8} and {t.limit for t in seen} == {7}
    assert all(set(t.options) == {"strength", "kind"} for t in tried)


def test_values_lie_in_their_ranges_and_have_their_types() -> None:
    for t in search(Toy, {}, quality, trials=30, seed=3):
        assert 0.1 <= t.options["strength"] <= 100 and isinstance(t.options["strength"], float)
        assert 1 <= t.options["depth"] <= 9 and isinstance(t.options["depth"], int)
        assert t.options["kind"] in ("plain", "fancy")


def test_a_setting_that_comes_up_again_is_not_measured_again() -> None:
    calls: list[Toy] = []

    def measure(toy: Toy) -> float:
        calls.append(toy)
        return 1.0

    tried = search(Toy, {"strength": 1.0, "depth": 1}, measure, trials=12, seed=1)  # two kinds are left
    assert len(tried) == 12 and len(calls) == 2


def test_a_default_outside_its_range_is_moved_into_it() -> None:
    @dataclass(frozen=True)
    class Odd:
        size: int = option(500, "", tune=Tune(1, 9))
        kind: str = option("own", "", tune=Tune(choices=("a", "b")))

    assert search(Odd, {}, lambda odd: 0.0, trials=1, seed=0)[0].options == {"size": 9, "kind": "a"}


def test_a_default_that_goes_by_the_data_is_the_first_trial_and_numbers_follow() -> None:
    @dataclass(frozen=True)
    class ByData:
        power: float | None = option(None, "", min=0, tune=Tune(0.5, 2.0))
        size: int = option(3, "", tune=Tune(1, 9))

    texts: list[str] = []
    tried = search(
        ByData,
        {},
        lambda c: 0.7 if c.power is None else c.power / 10,
        trials=6,
        seed=1,
        advance=lambda n, text: texts.append(text),
    )
    assert len(tried) == len(texts) == 6
    assert tried[0] == Tried({"power": None, "size": 3}, 0.7) == best_of(tried)
    assert all(0.5 <= t.options["power"] <= 2.0 for t in tried[1:])
    assert texts[-1] == "best 0.7000"


def test_progress_is_reported_with_the_best_so_far() -> None:
    texts: list[str] = []
    scores = iter([0.1, 0.3, 0.2])
    search(Toy, {}, lambda toy: next(scores), trials=3, seed=1, advance=lambda n, text: texts.append(text))
    assert texts == ["best 0.1000", "best 0.3000", "best 0.3000"]


def test_of_equals_the_earlier_trial_is_best() -> None:
    first, second = Tried({"a": 1}, 0.5), Tried({"a": 2}, 0.5)
    assert best_of([Tried({"a": 0}, 0.1), first, second]) is first


def test_nothing_to_search_is_a_usage_error() -> None:
    with pytest.raises(
        UsageError, match="all options that it could search are set: --strength, --depth, --kind"
    ):
        searched(Toy, {"strength": 1.0, "depth": 1, "kind": "plain"})
    unwrap = make_dataclass("Plain", [("count", str, option("users", ""))])
    with pytest.raises(UsageError, match="nothing to search"):
        searched(unwrap, {})


@pytest.mark.parametrize("name", algorithms.names())
def test_the_ranges_of_every_algorithm_lie_within_its_bounds(name: str) -> None:
    config = algorithms[name].config
    validate(config())
    try:
        ranges = searched(config, {})
    except UsageError:
        return
    for field, (tune, _) in ranges.items():
        for value in tune.choices or (tune.low, tune.high):
            validate(config(**{field: value}))
        assert tune.choices or tune.low < tune.high
        assert not tune.log or tune.low > 0
