"""The options of `recli train-cf`: those of every algorithm, gathered from the registry."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, get_type_hints

from recli.config import Config, argument, choices_of, option, option_name, spec_of
from recli.errors import UsageError
from recli.models.base import Algorithm, algorithms


def _cf_names() -> tuple[str, ...]:
    return algorithms.names(lambda a: a.family == "cf")


@dataclass(frozen=True)
class CommonConfig(Config):
    run: str = argument(
        ..., "The run's directory; - reads its path from stdin.", metavar="RUN", paths="always"
    )
    algorithm: str = option("ials", "The algorithm; its own options are below.", choices=_cf_names)
    name: str | None = option(None, "Name of the model: RUN/models/NAME.", default_text="the algorithm's")
    seed: int = option(0, "Seed of all randomness.", min=0, max=2**31 - 2)
    device: str = option(
        "auto", "auto, cpu, cuda or cuda:N; als and ials can use a GPU.", metavar="DEVICE", stored=False
    )
    threads: int = option(
        0,
        "CPU threads. With several, bpr is not reproducible; lmf and dense ease depend on their number. gf-cf, bspm "
        "and sequential-rules use one only.",
        min=0,
        max=1024,
        default_text="all cores; 1 for bpr, lmf, dense ease",
    )
    patience: int = option(
        0,
        "Stop when NDCG@20 on the validation split has not improved for so many iterations; keep the best.",
        min=0,
        max=10_000,
        default_text="off",
    )
    tune: int = option(
        0,
        "Search the options that are not set here, in so many trials, by NDCG@20 on validation.",
        min=0,
        max=100_000,
        default_text="off",
    )
    weight_strength: float | None = option(
        None,
        "How strongly the weights of events count, where they are not all 1: 1 as prepared (scaled to mean 1), 0 not "
        "at all; in between their spread shrinks.",
        min=0,
        max=1,
        default_text="chosen on validation",
    )
    negative_weight: float | None = option(
        None,
        "Weight of a mean dislike (recli prepare --negatives) beside a mean value of 1; for als, ials, ease and bpr. "
        "0: what is disliked is masked, and nothing is learned from it.",
        min=0,
        max=1000,
        default_text="chosen on validation, 0 if none is surely better",
    )
    history_half_life: float = option(
        0.0,
        "Half-life of the events in a history, counted in later events of the same user: older ones weigh less. All "
        "users are then scored from their history alone.",
        min=0,
        max=1e6,
        metavar="EVENTS",
        default_text="off",
    )
    storage_dtype: str = option(
        "float32",
        "Number format on disk of what has a row for each user or item: float16 halves it, int8, with a scale for each "
        "row, quarters it. Values of sparse matrices get float16 in either.",
        choices=("float32", "float16", "int8"),
    )
    refit: bool = option(False, "Refit on train + validation in the end, with the chosen options.")


def _own_options(names: Sequence[str]) -> list[tuple[str, Any, Any]]:
    """The options of these algorithms together, for `make_dataclass`; None: the algorithm's own default."""
    owners: dict[str, list[tuple[str, dataclasses.Field[Any]]]] = {}
    for name in names:
        for field in dataclasses.fields(algorithms[name].config):
            owners.setdefault(field.name, []).append((name, field))
    types = {name: get_type_hints(algorithms[of[0][0]].config)[name] for name, of in owners.items()}
    return [(name, types[name] | None, _merged(of, len(names) > 1)) for name, of in owners.items()]


def _merged(owners: list[tuple[str, "dataclasses.Field[Any]"]], named: bool) -> Any:
    """Merge options of the same name into one with the widest bounds; each algorithm checks its own.

    `named`: defaults are shown with the algorithms that have them.
    """
    fields = [field for _, field in owners]
    specs = [spec_of(field) for field in fields]
    helps = [spec.help for spec in specs]
    text = (
        helps[0]
        if len(set(helps)) == 1
        else " ".join(f"{n}: {h}" for (n, _), h in zip(owners, helps, strict=True))
    )
    choices = [c for spec in specs for c in choices_of(spec) or ()]
    bounds = [[getattr(spec, end) for spec in specs] for end in ("min", "max")]
    name = option_name(fields[0])
    return option(
        None,
        text,
        min=None if None in bounds[0] else min(bounds[0]),
        max=None if None in bounds[1] else max(bounds[1]),
        choices=tuple(dict.fromkeys(choices)) or None,
        names=(f"{name}/--no-{name[2:]}",) if isinstance(fields[0].default, bool) else (),
        default_text=", ".join(
            f"{owner if named else ''} {spec_of(field).default_text or _shown(field.default)}".lstrip()
            for owner, field in owners
        ),
        panel="Options of the algorithms",
        formerly=tuple(dict.fromkeys(old for spec in specs for old in spec.formerly)),
    )


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def config_of(names: Sequence[str]) -> type[CommonConfig]:
    """A `CommonConfig` with the options of the named algorithms."""
    return dataclasses.make_dataclass(
        "TrainCfConfig", _own_options(names), bases=(CommonConfig,), frozen=True
    )


TrainCfConfig = config_of(_cf_names())


def given_options(config: Any, algorithm: Algorithm) -> dict[str, Any]:
    """The algorithm's options that the user has set. Raises `UsageError` for those of other algorithms."""
    common = {f.name for f in dataclasses.fields(CommonConfig)}
    own = {f.name: option_name(f) for f in dataclasses.fields(algorithm.config)}
    chosen = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name in common or value is None:
            continue
        if field.name not in own:
            has = f"it has {', '.join(own.values())}" if own else "it has no options"
            raise UsageError(f"{option_name(field)} is not an option of {algorithm.name}; {has}")
        chosen[field.name] = value
    return chosen
