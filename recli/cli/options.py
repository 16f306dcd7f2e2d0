"""Makes Typer commands from config dataclasses: each field of a config becomes an argument or an option."""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import re
import types
from collections.abc import Callable, Sequence
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

from recli.cli.completion import completer
from recli.cli.console import Console
from recli.cli.failures import end_with_code, guarded
from recli.config import (
    Spec,
    check_value,
    choices_of,
    former_names,
    from_text,
    has_type,
    option_name,
    spec_of,
    type_words,
)
from recli.errors import ConfigError, UsageError

Run = Callable[[Any, Console], None]
_SETTINGS = "Settings"  # the panel of --config and its kin, of quiet and json


def make_command(name: str, config: type[Any], run: Run, steps: Sequence[str] = ()) -> Any:
    """Make the command `name`: it builds a `config` from the command line and calls `run` with it.

    The help is `run`'s docstring; its last paragraph, `Example: ...`, is shown below the options. `steps`: the
    commands whose options may also stand in files and in the environment (`recli.cli.settings`), if it is one of them.
    """
    text, _, example = inspect.cleandoc(run.__doc__ or "").partition("\n\nExample:")
    app = typer.Typer(
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    text = re.sub(
        r"(?<!\n)\n(?!\n|\s|-)", " ", text
    )  # Paragraphs are refilled: Typer would keep their line breaks
    members = {
        "config": config,
        "steps": tuple(steps),
        "former": _former_options(config),
        "former_values": _former_values(config),
    }
    cls = type("Command", (_Command,), members)
    add = app.command(
        name, cls=cls, help=text, epilog=f"Example:{example}", no_args_is_help=_needs_arguments(config)
    )
    add(_function(name, config, run, steps=name in steps))
    return typer.main.get_command(app)


class _Command(TyperCommand):
    """A command whose values also come from files and the environment, and whose errors are recli's.

    It answers an option's former name, or a former choice, with the new one.
    """

    config: ClassVar[type[Any]]
    steps: ClassVar[tuple[str, ...]] = ()
    former: ClassVar[dict[str, str]] = {}
    former_values: ClassVar[dict[str, str]] = {}  # by `--option=value`

    def main(self, *args: Any, **more: Any) -> Any:
        words = list(args[0])
        console = Console(json="--json" in _before_dashes(words), command=str(self.name))
        typer_main = super().main
        more |= {"standalone_mode": False, "prog_name": f"recli {self.name}"}
        end_with_code(lambda: typer_main(words, **more), console, more["prog_name"])

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if (
            ctx.resilient_parsing
        ):  # a shell completes the line; an option without its value would hide the arguments
            return super().parse_args(ctx, args[:-1] if args[-1:] and args[-1].startswith("--") else args)
        self._check_former(args)
        typed = self.make_parser(ctx).parse_args(list(args))[0]
        if not typed.get("help"):
            self._check_values(typed)
            args = self._with_settings(ctx, args, typed)
        return super().parse_args(ctx, args)

    def _check_former(self, args: list[str]) -> None:
        words = _before_dashes(args)
        for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
            name, equals, _ = word.partition("=")
            typed = word if equals else f"{word}={following}"
            if name in self.former:
                raise UsageError(f"no such option {name}: it is {self.former[name]}")
            if typed in self.former_values:
                raise UsageError(f"{typed.replace('=', ' ')} is now {self.former_values[typed]}")

    def _check_values(self, typed: dict[str, Any]) -> None:
        """Raises `ConfigError`, with the value, for one of another type, out of bounds or none of the choices."""
        hints = get_type_hints(self.config)
        for field in dataclasses.fields(self.config):
            values = typed.get(field.name)
            for text in values if isinstance(values, list | tuple) else [values]:
                if not isinstance(text, str):
                    continue
                value = from_text(text, hints[field.name])
                if not has_type(value, hints[field.name]) and get_origin(hints[field.name]) is not tuple:
                    words = type_words(hints[field.name])
                    raise ConfigError(f"{_typed_name(field)} must be {words}, not {text!r}")
                check_value(_typed_name(field), spec_of(field), value)

    def _with_settings(self, ctx: Any, args: list[str], typed: dict[str, Any]) -> list[str]:
        """Give the context the values of files and environment; returns the words to parse."""
        if self.name not in self.steps:
            return args
        import os

        from recli.cli.settings import read_settings

        file = typed.get("config") or os.environ.get("RECLI_CONFIG") or None
        ctx.obj = read_settings(self.name, self.steps, self.config, file, typed)
        ctx.meta["typed"] = {name for name, value in typed.items() if value not in (None, (), [])}
        ctx.default_map = {
            name: list(s.value) if isinstance(s.value, tuple) else s.value for name, s in ctx.obj.items()
        }
        needed = {f.name for f in dataclasses.fields(self.config) if f.default is dataclasses.MISSING}
        for name in (
            needed - ctx.meta["typed"]
        ):  # some versions of Typer ask the map for no argument that is a list
            if isinstance(values := ctx.default_map.get(name), list):
                args = [*values, *args]
        return args or (["--"] if needed <= ctx.obj.keys() else args)  # without a word, Typer shows the help

    def invoke(self, ctx: Any) -> Any:
        if ctx.params.pop("show_config", False):
            from recli.cli.settings import show_settings

            return show_settings(str(self.name), self.config, ctx)
        return super().invoke(ctx)


def _typed_name(field: dataclasses.Field[Any]) -> str:
    """A parameter as it is typed: `--min-rating`, `-k`, `LOG`."""
    spec = spec_of(field)
    if spec.argument:
        return (spec.metavar or field.name.upper()).removesuffix("...")
    return option_name(field)


def _before_dashes(words: Sequence[str]) -> list[str]:
    """The words in which options are looked for: those before `--`."""
    return list(itertools.takewhile(lambda word: word != "--", words))


def _former_options(config: type[Any]) -> dict[str, str]:
    """Former names of options, as they were typed, and today's."""
    now = {field.name: option_name(field) for field in dataclasses.fields(config)}
    former = {"--" + old.replace("_", "-"): now[name] for old, name in former_names(config).items()}
    return {old: new for old, new in former.items() if old not in now.values()}


def _former_values(config: type[Any]) -> dict[str, str]:
    """Choices that an option no longer has, as `--option=value`, and what to type now."""
    return {
        f"{option_name(field)}={value}": now
        for field in dataclasses.fields(config)
        for value, now in spec_of(field).former_values
    }


def _needs_arguments(config: type[Any]) -> bool:
    return any(spec_of(f).argument and f.default is dataclasses.MISSING for f in dataclasses.fields(config))


def _function(name: str, config: type[Any], run: Run, steps: bool) -> Callable[..., None]:
    hints = get_type_hints(config)
    fields = dataclasses.fields(config)

    def call(**values: Any) -> None:
        console = Console(quiet=values.pop("quiet"), json=values.pop("json"), command=name)
        values.pop("config", None)
        values.pop("show_config", None)
        dry = values.pop("dry_run", False)
        settings = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}

        def work() -> None:
            made = config(**settings)
            if dry:
                from recli.cli.plan import show_plan

                show_plan(name, made, console)
            else:
                run(made, console)

        guarded(work, console)

    parameters = [_parameter(name, f, hints[f.name]) for f in fields]
    parameters += [*(_settings_options() if steps else ()), *_switches()]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def _switches() -> list[inspect.Parameter]:
    return [
        _keyword("quiet", bool, False, typer.Option("--quiet", "-q", help="Show only warnings and errors.")),
        _keyword("json", bool, False, typer.Option("--json", help="Print the result as JSON on stdout.")),
    ]


def _settings_options() -> list[inspect.Parameter]:
    file = typer.Option(
        "--config",
        help="Read options from this TOML file: a section for each command (recli help config).",
        metavar="FILE",
        show_default=False,
        rich_help_panel=_SETTINGS,
    )
    show = typer.Option(
        "--show-config",
        help="Show all options and where each comes from; do nothing.",
        rich_help_panel=_SETTINGS,
    )
    dry = typer.Option(
        "--dry-run",
        help="Say what would be written, and whether it is missing, stale or there already; do nothing.",
        rich_help_panel=_SETTINGS,
    )
    return [
        _keyword("config", str | None, None, file),
        _keyword("show_config", bool, False, show),
        _keyword("dry_run", bool, False, dry),
    ]


def _parameter(command: str, field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    spec = spec_of(field)
    required = field.default is dataclasses.MISSING
    kind = _type(hint, spec)
    default: Any = (
        ... if required else list(field.default) if isinstance(field.default, tuple) else field.default
    )
    info: Any
    if spec.argument:
        info = typer.Argument(
            help=spec.help,
            metavar=spec.metavar or field.name.upper(),
            show_default=False,
            autocompletion=completer(command, field.name),
        )
    else:
        names = spec.names or (_flag_names(field.name, default) if kind is bool else (_long(field.name),))
        shown: Any = spec.default_text if spec.default_text is not None else default not in (None, [], "")
        help, metavar = _with_choices(field.name, spec)
        info = typer.Option(
            *names,
            help=help,
            min=spec.min if get_origin(kind) is not list else None,
            max=spec.max if get_origin(kind) is not list else None,
            metavar=metavar,
            show_default=shown,
            rich_help_panel=spec.panel,
            autocompletion=None if spec.choices else completer(command, field.name),
        )
    return _keyword(field.name, kind, inspect.Parameter.empty if required else default, info)


_WIDE = 26  # characters of choices that the help has room for in one line, at 80 columns


def _with_choices(name: str, spec: Spec) -> tuple[str, str | None]:
    """Help and metavar of an option: many choices are in the help, where lines break between them."""
    choices = choices_of(spec)
    if choices is None or spec.metavar or len("|".join(choices)) <= _WIDE:
        return spec.help, spec.metavar
    return f"{spec.help} One of {', '.join(choices)}.", name.upper()


def _long(name: str) -> str:
    return "--" + name.replace("_", "-")


def _flag_names(name: str, default: bool) -> tuple[str, ...]:
    long = _long(name)
    return (f"{long}/--no-{long[2:]}",) if default else (long,)


def _type(hint: Any, spec: Spec) -> Any:
    """The type Typer gets: choices as a Literal, tuples as lists, `X | None` as Optional[X]."""
    if get_origin(hint) in (Union, types.UnionType):
        inner = [a for a in get_args(hint) if a is not type(None)]
        return Union[_type(inner[0], spec), None]  # noqa: UP007  (a Literal made at run time has no |)
    if get_origin(hint) is tuple:
        return list[_type(get_args(hint)[0], spec)]  # type: ignore[misc]
    choices = choices_of(spec)
    return Literal[choices] if choices else hint


def _keyword(name: str, kind: Any, default: Any, info: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[kind, info]
    )
