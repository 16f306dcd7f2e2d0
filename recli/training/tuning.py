"""Searching an algorithm's options: optuna's seeded TPE over the ranges that its config declares."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from recli.config import Tune, option_name, spec_of
from recli.errors import UsageError
from recli.reporting import Advance, no_progress

if TYPE_CHECKING:
    from optuna.trial import Trial


@dataclass(frozen=True)
class Tried:
    """One trial: the options that were searched, and the score they reached (higher is better)."""

    options: dict[str, Any]
    score: float


def searched(config: type[Any], fixed: dict[str, Any]) -> dict[str, tuple[Tune, Any]]:
    """The options with a range that are not in `fixed`: name -> (range, default). Raises `UsageError` if none."""
    tunes = [(f, spec_of(f).tune) for f in fields(config) if "spec" in f.metadata]
    ranges = {f.name: (tune, f.default) for f, tune in tunes if tune is not None and f.name not in fixed}
    if not ranges:
        names = ", ".join(option_name(f) for f, tune in tunes if tune is not None)
        why = (
            f"all options that it could search are set: {names}"
            if names
            else "this algorithm has nothing to search"
        )
        raise UsageError(f"--tune: {why}")
    return ranges


def search(
    config: type[Any],
    fixed: dict[str, Any],
    measure: Callable[..., float],
    *,
    trials: int,
    seed: int,
    common: Mapping[str, tuple[Tune, Any]] = MappingProxyType({}),
    advance: Advance = no_progress,
) -> list[Tried]:
    """Try `trials` settings of the algorithm config class `config`, in the order in which they were tried.

    The first trial has the defaults; None is a default that the algorithm computes from the data. Options in
    `fixed` keep their values. `measure` gets a whole config and returns its score. `common`: ranges and defaults of
    other options, which `measure` gets as keywords. A seed always gives the same sequence. A setting that is
    drawn again is not measured again.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)  # what a trial raises is raised here, too
    ranges = searched(config, fixed) | dict(common)

    def score(options: dict[str, Any]) -> float:
        own = {name: value for name, value in options.items() if name not in common}
        return measure(config(**own, **fixed), **{name: options[name] for name in common})

    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    measured: dict[tuple[Any, ...], float] = {}
    tried: list[Tried] = []
    defaults = {name: _within(tune, default) for name, (tune, default) in ranges.items()}
    if None in defaults.values():  # no point in the ranges: optuna does not see it
        tried.append(Tried(defaults, score(defaults)))
        advance(1, f"best {tried[0].score:.4f}")
    else:
        study.enqueue_trial(defaults)

    def objective(trial: Trial) -> float:
        options = {name: _suggest(trial, name, tune, default) for name, (tune, default) in ranges.items()}
        key = tuple(options.values())
        if key not in measured:
            measured[key] = score(options)
        tried.append(Tried(options, measured[key]))
        advance(1, f"best {max(t.score for t in tried):.4f}")
        return measured[key]

    study.optimize(objective, n_trials=trials - len(tried))
    return tried


def best_of(tried: list[Tried]) -> Tried:
    """The trial with the highest score; the earlier one of equals."""
    return max(tried, key=lambda t: t.score)


def _within(tune: Tune, default: Any) -> Any:
    """The default, moved into the range where it is outside."""
    if default is None:
        return None
    if tune.choices:
        return default if default in tune.choices else tune.choices[0]
    return type(default)(min(max(default, tune.low), tune.high))


def _suggest(trial: Trial, name: str, tune: Tune, default: Any) -> Any:
    if tune.choices:
        return trial.suggest_categorical(name, list(tune.choices))
    if isinstance(default, int):
        return trial.suggest_int(name, int(tune.low), int(tune.high), log=tune.log)
    return trial.suggest_float(name, tune.low, tune.high, log=tune.log)
