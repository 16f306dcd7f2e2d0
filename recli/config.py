"""Frozen dataclasses as configuration: each field is declared once, with its help and its bounds.

A config is at the same time the command's options, what the manifest stores, and the keywords of the Python API.
It is validated when it is created.
"""

import dataclasses
import hashlib
import json
import math
import numbers
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from recli.errors import ConfigError, UsageError, did_you_mean
from recli.schema import VERSION

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
    """Metadata of an option: help text, bounds, choices, names."""

    help: str
    min: float | None = None
    max: float | None = None
    choices: Choices | None = None
    names: tuple[str, ...] = ()  # e.g. ("-k",) or ("--center/--no-center",); empty: from the field's name
    metavar: str | None = None
    panel: str | None = None
    argument: bool = False
    default_text: str | None = None
    paths: str | None = (
        None  # a file or folder is named: "always", "maybe", "named" (NAME=FILE), "keyed" (FILE:KEY)
    )
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
    spec: Spec = field.metadata["spec"]
    return spec


def choices_of(spec: Spec) -> tuple[str, ...] | None:
    if spec.choices is None:
        return None
    return tuple(spec.choices() if callable(spec.choices) else spec.choices)


def option_name(field: dataclasses.Field[Any]) -> str:
    """The name a user types: `--min-rating` for the field `min_rating`."""
    names = [n.split("/")[0] for n in spec_of(field).names] or ["--" + field.name.replace("_", "-")]
    return next((n for n in names if n.startswith("--")), names[0])


def validate(config: Any) -> None:
    """Check a config's types, bounds and choices. Raises `ConfigError` naming the option."""
    for field in dataclasses.fields(config):
        if "spec" not in field.metadata:
            continue
        spec, value = spec_of(field), getattr(config, field.name)
        for kind, what in ((bool, "True or False"), (int, "a whole number")):
            if type(field.default) is kind and type(value) is not kind:
                raise ConfigError(f"{option_name(field)} must be {what}, not {value!r}")
        for item in value if isinstance(value, tuple) else (value,):
            check_value(option_name(field), spec, item)


def check_value(name: str, spec: Spec, value: Any) -> None:
    """Check one value against its option's bounds and choices. Raises `ConfigError`."""
    if value is None:
        return
    if not (spec.min is None and spec.max is None) and not isinstance(value, numbers.Real):
        raise ConfigError(f"{name} must be a number, not {value!r}")
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
        what = f"{name} must be one of {', '.join(choices)}, not {value!r}"
        raise ConfigError(what, did_you_mean(value, choices) if isinstance(value, str) else None)


def to_dict(config: Any) -> dict[str, Any]:
    """The config as plain JSON values, without the fields that do not change the result."""
    kept = [f.name for f in dataclasses.fields(config) if "spec" not in f.metadata or spec_of(f).stored]
    return {name: _plain(getattr(config, name)) for name in kept}


def _plain(value: Any) -> Any:
    return [_plain(v) for v in value] if isinstance(value, tuple | list) else value


_OFF: tuple[Any, ...] = (None, False, 0, "", [], {})  # values of an option that is switched off


def from_dict(cls: type[Any], stored: Mapping[str, Any]) -> Any:
    """The config (any dataclass) that `to_dict` stored, in this version of recli or another.

    Former names of fields are read, missing fields have their defaults, and unknown ones that are off (None, False, 0,
    empty) are ignored. Raises `ConfigError` for other unknown fields and for values of another type or out of bounds,
    and `KeyError` where a field without a default is missing.
    """
    types, current = get_type_hints(cls), former_names(cls)
    values: dict[str, Any] = {}
    for key, value in stored.items():
        name = current.get(key, key)
        shown = f"the option --{key.replace('_', '-')}={value}"
        if name in types and not has_type(value, types[name]):
            type_name = getattr(types[name], "__name__", str(types[name]))
            raise ConfigError(f"{shown}, which this version ({VERSION}) reads as {type_name}")
        if name in types:
            values[name] = tuple(value) if isinstance(value, list) else value
        elif value not in _OFF:
            raise ConfigError(f"{shown}, which this version ({VERSION}) does not know")
    for field in dataclasses.fields(cls):
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and field.name not in values:
            raise KeyError(field.name)
    try:
        return cls(**values)
    except ConfigError as error:
        raise ConfigError(f"options that this version ({VERSION}) refuses: {error.what}") from None


def has_type(value: Any, annotation: Any) -> bool:
    """Whether a JSON value can be one of this type; a tuple is a list there."""
    kind, arguments = get_origin(annotation) or annotation, get_args(annotation)
    if kind is Any:
        return True
    if kind in (Union, UnionType):
        return any(has_type(value, argument) for argument in arguments)
    if kind is tuple:
        return isinstance(value, list | tuple) and all(has_type(item, arguments[0]) for item in value)
    if kind is dict:
        return isinstance(value, dict) and all(has_type(item, arguments[1]) for item in value.values())
    if kind in (int, float):
        return isinstance(value, int | kind) and not isinstance(value, bool)
    return isinstance(value, NoneType if kind is None else kind)


_SWITCH = {True: ("1", "true", "yes", "on"), False: ("0", "false", "no", "off")}


def from_text(text: str, annotation: Any) -> Any:
    """The value of this type that a text stands for; the text itself where it stands for none."""
    kinds = _kinds(annotation)
    if bool in kinds:
        return next((value for value, words in _SWITCH.items() if text.casefold() in words), text)
    for kind in (int, float):
        if kind in kinds:
            with suppress(ValueError):
                return kind(text)
    return text


def type_words(annotation: Any) -> str:
    """A type as messages name it."""
    words = {
        bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list of texts",
    }  # fmt: skip
    return " or ".join(words.get(kind, str(kind)) for kind in _kinds(annotation))


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """The plain types of an annotation: (float,) of `float | None`."""
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for a in get_args(annotation) for kind in _kinds(a) if kind is not NoneType)
    return (get_origin(annotation) or annotation,)


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
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdwy]?)\s*", text)
    if not match or float(match[1]) == 0:
        raise UsageError(f"{name} must be a time span such as 90d, 12h or 2w, not {text!r}")
    return float(match[1]) * _UNITS[match[2] or "s"]


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
