"""Frozen dataclasses as configuration: each field is declared once, with its help and its bounds.

A config is at the same time the command's options, what the manifest stores, and the keywords of the Python API.
It checks itself when it is made.
"""

import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from recli.errors import ConfigError, UsageError

Choices = Sequence[str] | Callable[[], Sequence[str]]


@dataclass(frozen=True)
class Tune:
    """The range `--tune` searches: numbers from `low` to `high` (on a log scale if `log`), or `choices`."""

    low: float = 0.0
    high: float = 0.0
    log: bool = False
    choices: tuple[Any, ...] = ()


@dataclass(frozen=True)
class Spec:
    """What is known of one option beside its type and default."""

    help: str
    min: float | None = None
    max: float | None = None
    choices: Choices | None = None
    names: tuple[str, ...] = ()  # e.g. ("-k",) or ("--center/--no-center",); empty: from the field's name
    metavar: str | None = None
    panel: str | None = None
    argument: bool = False
    default_text: str | None = None
    stored: bool = True  # False: does not change the result, so it is not part of the manifest
    tune: Tune | None = None
    formerly: tuple[
        str, ...
    ] = ()  # names of the field in earlier versions: read from manifests, answered with the new
    former_values: tuple[tuple[str, str], ...] = ()  # former choices, and what to type now


@dataclass(frozen=True)
class Config:
    """The base of all configs. Raises `ConfigError` where a value is out of its bounds."""

    def __post_init__(self) -> None:
        validate(self)


def option(default: Any, help: str, **spec: Any) -> Any:
    """Declare a config field that becomes a command-line option. `spec`: the other fields of `Spec`."""
    return dataclasses.field(default=default, metadata={"spec": Spec(help=help, **spec)})


def argument(default: Any, help: str, **spec: Any) -> Any:
    """Declare a config field that becomes a positional argument (`...` as default: it is required)."""
    metadata = {"spec": Spec(help=help, argument=True, **spec)}
    if default is ...:
        return dataclasses.field(metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def spec_of(field: dataclasses.Field[Any]) -> Spec:
    found: Spec = field.metadata["spec"]
    return found


def choices_of(spec: Spec) -> tuple[str, ...] | None:
    if spec.choices is None:
        return None
    return tuple(spec.choices() if callable(spec.choices) else spec.choices)


def option_name(field: dataclasses.Field[Any]) -> str:
    """The name a user types: `--min-rating` for the field `min_rating`."""
    long = [n.split("/")[0] for n in spec_of(field).names if n.startswith("--")]
    return long[0] if long else "--" + field.name.replace("_", "-")


def validate(config: Any) -> None:
    """Check a config's bounds and choices. Raises `ConfigError` naming the option."""
    for field in dataclasses.fields(config):
        if "spec" not in field.metadata:
            continue
        spec, value = spec_of(field), getattr(config, field.name)
        for one in value if isinstance(value, tuple) else (value,):
            check_value(option_name(field), spec, one)


def check_value(name: str, spec: Spec, value: Any) -> None:
    """Check one value against its option's bounds and choices. Raises `ConfigError`."""
    if value is None:
        return
    if isinstance(value, float) and not math.isfinite(value):
        raise ConfigError(f"{name} must be a finite number, not {value}")
    if spec.min is not None and value < spec.min:
        raise ConfigError(f"{name} must be at least {spec.min:g}, not {value}")
    if spec.max is not None and value > spec.max:
        raise ConfigError(f"{name} must be at most {spec.max:g}, not {value}")
    for former, now in spec.former_values:
        if value == former:
            raise ConfigError(f"{name} {former} is now {now}")
    choices = choices_of(spec)
    if choices is not None and value not in choices:
        raise ConfigError(f"{name} must be one of {', '.join(choices)}, not {value!r}")


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain JSON values, without the fields that do not change the result."""
    kept = [f.name for f in dataclasses.fields(config) if "spec" not in f.metadata or spec_of(f).stored]
    return {name: _plain(getattr(config, name)) for name in kept}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


def from_dict(cls: type[Any], stored: dict[str, Any]) -> Any:
    """The config that `to_dict` stored; unknown fields are an error of the caller. Former names of fields are read."""
    now = former_names(cls)
    return cls(**{now.get(k, k): tuple(v) if isinstance(v, list) else v for k, v in stored.items()})


def former_names(cls: type[Any]) -> dict[str, str]:
    """Names that fields had in earlier versions, and the fields' names."""
    fields = [f for f in dataclasses.fields(cls) if "spec" in f.metadata]
    return {old: field.name for field in fields for old in spec_of(field).formerly}


def canonical_json(value: Any) -> str:
    """One byte sequence for one value: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_of(value: Any) -> str:
    """sha256 of a value's canonical JSON."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


def parse_duration(text: str, name: str) -> float:
    """Seconds in `90d`, `12h`, `30m`, `45s`, `2w`, `1y` or a plain number of seconds. Raises `UsageError`."""
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdwy]?)\s*", text)
    if not found or float(found[1]) == 0:
        raise UsageError(f"{name} must be a time span such as 90d, 12h or 2w, not {text!r}")
    return float(found[1]) * _UNITS[found[2] or "s"]


def parse_pairs(text: str, name: str) -> dict[str, float]:
    """The numbers in `view=1,purchase=5`. Raises `UsageError`."""
    pairs: dict[str, float] = {}
    for part in text.split(","):
        key, equals, number = part.rpartition("=")
        try:
            value = float(number)
        except ValueError:
            value = math.nan
        if not equals or not key.strip() or not math.isfinite(value):
            raise UsageError(f"{name} must look like a=1,b=0.5: {part.strip()!r} is not NAME=NUMBER")
        if key.strip() in pairs:
            raise UsageError(f"{name} names {key.strip()!r} twice")
        pairs[key.strip()] = value
    return pairs
