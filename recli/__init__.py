"""Pretrained language models in collaborative-filtering recommendation, from the shell and from Python.

`prepare`, `embed`, `train_cf`, `train_hybrid`, `evaluate` and `recommend` are the six steps: their keywords are the
options of the commands, they print nothing unless a `reporter` is passed, and their results have tables as polars
frames and can be passed to the next step as the run. `load_model` and `read_run` open stored models and runs.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import numbers
import os
import re
from typing import Any

from recli.schema import VERSION as __version__  # noqa: F401

STEPS = ("prepare", "embed", "train_cf", "train_hybrid", "evaluate", "recommend")
_RECIPES = {"evaluate": "recli.recipes.evaluation"}  # steps that may take several: their modules
NAMES = {  # public names beside the steps, with their modules
    "load_model": "recli.steps.recommend.loaded",
    "read_run": "recli.storage.runs",
    "Console": "recli.cli.console",
    "Reporter": "recli.reporting",
    "ConfigError": "recli.errors",
    "RecliError": "recli.errors",
    "Prepared": "recli.steps.prepare.step",
    "Embedded": "recli.steps.embed.step",
    "TrainedModel": "recli.steps.train_cf.step",
    "TrainedHybrid": "recli.steps.train_hybrid.step",
    "Evaluation": "recli.steps.evaluate.results",
    "Recommendations": "recli.steps.recommend.step",
    "LoadedModel": "recli.steps.recommend.loaded",
    "Run": "recli.storage.runs",
}

__all__ = [*NAMES, *STEPS]


def __getattr__(name: str) -> Any:
    if name in STEPS:
        value = _step(name)
    elif name in NAMES:
        value = getattr(importlib.import_module(NAMES[name]), name)
    else:
        raise AttributeError(f"module 'recli' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__", "__doc__"]


def _step(name: str) -> Any:
    """The step as a function whose keywords are the fields of its config."""
    from recli.config import spec_of
    from recli.errors import RecliError
    from recli.reporting import SILENT

    config = getattr(
        importlib.import_module(f"recli.steps.{name}.config"), name.title().replace("_", "") + "Config"
    )
    fields = dataclasses.fields(config)
    first = next(field.name for field in fields if spec_of(field).argument)

    def call(*arguments: Any, reporter: Any = SILENT, **options: Any) -> Any:
        bound = signature.bind_partial(*arguments).arguments
        _check_names(name, config, options)
        step = getattr(importlib.import_module(_RECIPES.get(name, f"recli.steps.{name}.step")), name)
        values = {key: _plain(config, key, value) for key, value in {**bound, **options}.items()}
        if first not in values:
            raise TypeError(f"{name}() needs {first!r}")
        try:
            return step(config(**values), reporter)
        except RecliError as error:  # it names options as they are typed on the command line
            raise type(error)(_as_keywords(error.what, fields), error.fix) from None

    parameters = [_parameter(field, positional=field.name == first) for field in fields]
    reported = inspect.Parameter("reporter", inspect.Parameter.KEYWORD_ONLY, default=SILENT)
    signature = inspect.Signature(
        [*sorted(parameters, key=lambda p: p.kind), reported], return_annotation=inspect.Signature.empty
    )
    call.__name__ = call.__qualname__ = name
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__doc__ = _documentation(name, fields)
    return call


def _parameter(field: Any, positional: bool) -> inspect.Parameter:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if positional else inspect.Parameter.KEYWORD_ONLY
    default = inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
    return inspect.Parameter(field.name, kind, default=default, annotation=field.type)


def _documentation(name: str, fields: Any) -> str:
    """What the step does, and each keyword with its help."""
    from recli.config import spec_of

    step = getattr(importlib.import_module(f"recli.steps.{name}.step"), name)
    about = re.sub(r"`config`: an? `\w+`\.\s*", "", inspect.cleandoc(step.__doc__ or ""))
    lines = [about, "", "Keywords:"]
    for field in fields:
        spec = spec_of(field)
        default = (
            ""
            if field.default is dataclasses.MISSING
            else f" Default: {spec.default_text or field.default!r}."
        )
        lines.append(f"    {field.name}: {spec.help}{default}")
    return "\n".join(
        [*lines, "    reporter: Gets messages and progress, e.g. recli.Console(). Default: nothing is shown."]
    )


def _check_names(step: str, config: type[Any], options: dict[str, Any]) -> None:
    """Raises `TypeError` for a keyword that the step does not have, with the one that may be meant."""
    from recli.config import former_names
    from recli.errors import closest

    names = [field.name for field in dataclasses.fields(config)]
    for name in options:
        if name not in names:
            now = former_names(config).get(name) or next(iter(closest(name, names)), None)
            hint = (
                f": it is {now!r}"
                if name in former_names(config)
                else f"; did you mean {now!r}?"
                if now
                else ""
            )
            raise TypeError(f"{step}() has no keyword {name!r}{hint}")


def _as_keywords(message: str, fields: Any) -> str:
    """A message with the keywords of the step in place of the options of the command."""
    from recli.config import option_name

    keywords = {option_name(field): field.name for field in fields}
    return re.sub(r"--[a-z0-9-]+", lambda option: keywords.get(option[0], option[0]), message)


def _plain(config: type[Any], name: str, value: Any) -> Any:
    """Convert a value to the type of the config field: paths to text, a single value to a tuple."""
    field = next(field for field in dataclasses.fields(config) if field.name == name)
    several = "tuple" in str(field.type)
    if isinstance(value, list | tuple) or (several and not isinstance(value, int | str | os.PathLike)):
        items = tuple(_text(item) for item in value)
        if several:
            if not all(isinstance(item, str | numbers.Integral) for item in items):
                raise TypeError(f"{name} must be one or several texts or paths, not {type(value).__name__}")
            items = tuple(map(str, items))
        return items if several else ",".join(map(str, items))
    return (str(_text(value)),) if several else _text(value)


def _text(value: Any) -> Any:
    return os.fspath(value) if isinstance(value, os.PathLike) else value
