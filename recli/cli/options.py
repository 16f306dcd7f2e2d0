"""Makes Typer commands from config dataclasses: each field of a config becomes an argument or an option."""

from __future__ import annotations

import dataclasses
import errno
import inspect
import itertools
import os
import re
import sys
import types
from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

from recli.cli.console import Console
from recli.config import Spec, choices_of, former_names, option_name, spec_of
from recli.errors import INTERRUPTED, RecliError, UsageError

Run = Callable[[Any, Console], None]


def make_command(name: str, config: type[Any], run: Run) -> Any:
    """Make the command `name`: it builds a `config` from the command line and calls `run` with it.

    The help is `run`'s docstring; its last paragraph, `Example: ...`, is shown below the options.
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
    answers = {"former": _former_options(config), "former_values": _former_values(config)}
    cls = type("Command", (_Command,), answers)
    add = app.command(
        name, cls=cls, help=text, epilog=f"Example:{example}", no_args_is_help=_needs_arguments(config)
    )
    add(_function(config, run))
    return typer.main.get_command(app)


class _Command(TyperCommand):
    """A command that answers an option's former name, or a former choice, with the new one."""

    former: ClassVar[dict[str, str]] = {}
    former_values: ClassVar[dict[str, str]] = {}  # by `--option=value`

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        words = args[: args.index("--")] if "--" in args else args
        for word, following in itertools.zip_longest(words, words[1:], fillvalue=""):
            name, equals, _ = word.partition("=")
            typed = word if equals else f"{word}={following}"
            if name in self.former:
                Console().error(f"no such option {name}: it is {self.former[name]}", None)
                raise typer.Exit(UsageError.code)
            if typed in self.former_values:
                Console().error(f"{typed.replace('=', ' ')} is now {self.former_values[typed]}", None)
                raise typer.Exit(UsageError.code)
        return super().parse_args(ctx, args)


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


def _function(config: type[Any], run: Run) -> Callable[..., None]:
    hints = get_type_hints(config)
    fields = dataclasses.fields(config)

    def call(**values: Any) -> None:
        console = Console(quiet=values.pop("quiet"), json=values.pop("json"))
        settings = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        guarded(lambda: run(config(**settings), console), console)

    parameters = [_parameter(f, hints[f.name]) for f in fields]
    parameters += [
        _keyword("quiet", bool, False, typer.Option("--quiet", "-q", help="Show only warnings and errors.")),
        _keyword("json", bool, False, typer.Option("--json", help="Print the result as JSON on stdout.")),
    ]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    return call


def _parameter(field: dataclasses.Field[Any], hint: Any) -> inspect.Parameter:
    spec = spec_of(field)
    required = field.default is dataclasses.MISSING
    kind = _type(hint, spec)
    default: Any = (
        ... if required else list(field.default) if isinstance(field.default, tuple) else field.default
    )
    info: Any
    if spec.argument:
        info = typer.Argument(help=spec.help, metavar=spec.metavar or field.name.upper(), show_default=False)
    else:
        names = spec.names or (_flag_names(field.name, default) if kind is bool else (_long(field.name),))
        shown: Any = spec.default_text if spec.default_text is not None else default not in (None, [], "")
        info = typer.Option(
            *names,
            help=spec.help,
            min=spec.min if get_origin(kind) is not list else None,
            max=spec.max if get_origin(kind) is not list else None,
            metavar=spec.metavar,
            show_default=shown,
            rich_help_panel=spec.panel,
        )
    return _keyword(field.name, kind, inspect.Parameter.empty if required else default, info)


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


def guarded(work: Callable[[], None], console: Console) -> None:
    """Run a command's work; turn what the user can fix into a line on stderr and the exit code.

    Bugs keep their traceback. Whatever happens, parts are written whole or not at all (`recli.storage.runs`).
    """
    try:
        work()
        sys.stdout.flush()
    except RecliError as error:
        console.error(error.what, error.fix)
        raise typer.Exit(error.code) from None
    except KeyboardInterrupt:
        console.error("interrupted; earlier results are untouched", None)
        raise typer.Exit(INTERRUPTED) from None
    except BrokenPipeError:  # the reader closed the pipe (`| head -1`): not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except MemoryError as error:
        console.error(
            f"out of memory: {error or 'the data does not fit'}", "use a smaller input or a larger machine"
        )
        raise typer.Exit(1) from None
    except OSError as error:
        what = describe_os_error(error)
        if what is None:
            raise
        console.error(what, None)
        raise typer.Exit(1) from None


_REASONS = {
    errno.ENOSPC: "the disk is full",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file size limit is reached",
    errno.EACCES: "permission denied",
    errno.EROFS: "the file system is read-only",
    errno.ENOENT: "no such file or directory",
    errno.EEXIST: "a file of that name is in the way",
    errno.EISDIR: "that is a directory",
    errno.ENOTDIR: "part of the path is not a directory",
    errno.ENAMETOOLONG: "the file name is too long",
    errno.EBADF: "stdin or stdout is closed, and the command needs it",
}


def describe_os_error(error: OSError) -> str | None:
    """One line for an error of the file system that the user can fix; None for any other."""
    if error.errno not in _REASONS:
        return None
    where = f"{error.filename}: " if error.filename else ""
    return f"{where}{_REASONS[error.errno]}; earlier results are untouched"
