"""What ends a command: each error becomes lines on stderr, an exit code and, with `--json`, JSON on stdout."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import typer

from recli.cli.console import Console
from recli.errors import INTERRUPTED, TERMINATED, RecliError, UsageError, did_you_mean

# Typer has its own copy of Click from some version on: its exceptions are found by what Typer exports.
_UsageError: type[Any] = typer.BadParameter.__bases__[0]


def guarded(work: Callable[[], None], console: Console) -> None:
    """Run a command's work; turn what the user can fix into a line on stderr and the exit code.

    Bugs keep their traceback. Whatever happens, parts are written whole or not at all (`recli.storage.runs`).
    """
    try:
        work()
        sys.stdout.flush()
    except RecliError as error:
        _end(console, error.code, error.what, error.fix)
    except KeyboardInterrupt:
        _end(console, INTERRUPTED, "interrupted; earlier results are untouched", None)
    except BrokenPipeError:  # the reader closed the pipe (`| head -1`): not an error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except MemoryError as error:
        why = f"out of memory: {error or 'the data does not fit'}"
        _end(console, 1, why, "use a smaller input or a larger machine")
    except OSError as error:
        what = describe_os_error(error)
        if what is None:
            _bug(console, error)
            raise
        _end(console, 1, what, None)
    except SystemExit as stop:
        if stop.code == TERMINATED:
            console.failure(TERMINATED, "terminated; earlier results are untouched", None)
        raise
    except typer.Exit:
        raise
    except Exception as error:
        _bug(console, error)
        raise


def _end(console: Console, code: int, what: str, fix: str | None) -> None:
    console.failure(code, what, fix)
    raise typer.Exit(code) from None


def _bug(console: Console, error: Exception) -> None:
    """Say in JSON what the traceback on stderr says."""
    what = f"{type(error).__name__}: {error}"
    console.error_json(1, what, "this is a bug of recli: report it with the traceback on stderr")


def end_with_code(
    main: Callable[[], Any], console: Console, command: str, more_names: Iterable[str] = ()
) -> None:
    """Call Typer's `main` (not standalone) and end in SystemExit; wrong usage becomes an error of recli's shape.

    `command`: as typed, `recli prepare`. `more_names`: of commands, where `command` is `recli`.
    """
    try:
        code = main()
    except RecliError as error:
        console.failure(error.code, error.what, error.fix)
        sys.exit(error.code)
    except _UsageError as error:
        if type(error).__name__ == "NoArgsIsHelpError":  # the help is printed already
            sys.exit(UsageError.code)
        told = _usage_error(error, command, tuple(more_names))
        console.failure(told.code, told.what, told.fix)
        sys.exit(told.code)
    except typer.Abort:
        sys.exit(1)
    sys.exit(code if isinstance(code, int) else 0)


def _usage_error(error: Any, command: str, commands: Sequence[str]) -> UsageError:
    """Typer's error in recli's words."""
    see = f"see {command} --help"
    parameter = getattr(error, "param", None)
    match type(error).__name__:
        case "NoSuchOption":
            name = error.option_name
            options = [o for p in error.ctx.command.params for o in (*p.opts, *p.secondary_opts)]
            return UsageError(f"no such option {name}", did_you_mean(name, options) or see)
        case "MissingParameter" if parameter is not None:
            return UsageError(f"{_typed(parameter)} is missing", see)
        case "BadParameter" if parameter is not None:
            return UsageError(f"{_typed(parameter)}: {_sentence(error.message)}", see)
    what = _sentence(error.format_message())
    typed = what.removeprefix("no such command ").strip("'")
    if typed != what:
        return UsageError(what, did_you_mean(typed, commands) or f"commands: {', '.join(commands)}")
    return UsageError(what, see)


def _typed(parameter: Any) -> str:
    """A parameter as it is typed: `--min-rating`, `LOG`."""
    if parameter.param_type_name == "argument":
        return str(parameter.metavar or parameter.name).removesuffix("...")
    return str(max(parameter.opts, key=len))


def _sentence(text: str) -> str:
    """One line without the final stop, in small letters at its start: as recli's messages are written."""
    line = " ".join(text.split()).removesuffix(".").partition(" Did you mean")[0].removesuffix(".")
    return line[:1].lower() + line[1:]


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
    named = error.filename and error.errno != errno.EBADF  # a closed stream has no name
    where = f"{error.filename}: " if named else ""
    return f"{where}{_REASONS[error.errno]}; earlier results are untouched"
