"""Errors that the user can fix, each with its exit code, and the names that may be meant by an unknown one."""

import shlex
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path

INTERRUPTED, TERMINATED = 130, 143  # 128 + the signal's number

EXIT_CODES = {
    0: "done",
    1: "an error that you can fix: no such run or file, a stale or damaged part; with a traceback, a bug",
    2: "wrong usage: of options, or a name that is not there (command, option, model, metric, column, id)",
    3: "invalid data",
    4: "a quality gate (`evaluate --fail-under`) is not met",
    5: "the requested device or package is missing",
    INTERRUPTED: "interrupted with Ctrl-C; earlier results are whole",
    TERMINATED: "terminated from outside; earlier results are whole",
}


class RecliError(Exception):
    """An error the user can fix: `what` is wrong and where, and `fix`, what to type next."""

    code = 1

    def __init__(self, what: str, fix: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix

    def __str__(self) -> str:
        return self.what if self.fix is None else f"{self.what}\n{self.fix}"


class UsageError(RecliError):
    """Options that are unknown, out of bounds or do not go together, and names that are not there."""

    code = 2


class ConfigError(UsageError):
    """A value of a config is out of its bounds, or not among its choices."""


class InvalidDataError(RecliError):
    """Input data that cannot be used, or too many bad rows in it."""

    code = 3


class QualityGateError(RecliError):
    """A metric is below the threshold of its quality gate."""

    code = 4


class DeviceError(RecliError):
    """The requested device, engine or optional package is missing."""

    code = 5


_MAX_COMPARED = 200_000  # names: difflib looks at about a million per second
_MAX_LISTED = 40
_NEARLY = 0.05  # a name is offered beside the most alike one up to so much less likeness, by difflib's ratio


def closest(name: str, known: Iterable[str], n: int = 1) -> list[str]:
    """Up to `n` of the known names that look like `name`, most alike first.

    One that differs only in case, `-`, `_` and blanks is the only one.
    """
    from difflib import SequenceMatcher, get_close_matches

    names = list(dict.fromkeys(known))
    if len(names) > _MAX_COMPARED:
        similar = (k for k in names if abs(len(k) - len(name)) <= 1 and k[:1] == name[:1])
        names = [k for k, _ in zip(similar, range(_MAX_COMPARED), strict=False)]
    by_letters = {_letters(k): k for k in reversed(names)}
    if _letters(name) in by_letters:
        return [by_letters[_letters(name)]]
    plain = name.casefold().lstrip("-")  # the dashes of options are no likeness
    lower = {k.casefold().lstrip("-"): k for k in reversed(names)}
    alike = get_close_matches(plain, lower, n=n, cutoff=0.6)
    ratios = [SequenceMatcher(None, k, plain).ratio() for k in alike]
    return [lower[k] for k, ratio in zip(alike, ratios, strict=True) if ratio >= ratios[0] - _NEARLY]


def _letters(name: str) -> str:
    """The name without case, `-`, `_` and blanks; a name of nothing else as it is."""
    return name.casefold().translate(dict.fromkeys(map(ord, "-_ "))) or name


def did_you_mean(name: str, known: Iterable[str], n: int = 3) -> str | None:
    """A line that names close matches; None where there are none."""
    close = closest(name, known, n)
    return f"did you mean {' or '.join(close)}?" if close else None


def unknown_name(what: str, name: str, known: Sequence[str], remedy: str | None = None) -> UsageError:
    """The error for a name that is not there: `what` (`there is no model`), the name as typed, and what it may mean.

    `known`: all there are, listed where they are not too many. `remedy`: what else could be done.
    """
    listed = ", ".join(known[:_MAX_LISTED]) + (", ..." if len(known) > _MAX_LISTED else "")
    fix = " ".join(filter(None, (did_you_mean(name, known), remedy)))
    return UsageError(f"{what} {name!r}" + (f"; there are: {listed}" if listed else ""), fix or None)


def near_file(path: str, holding: str = "") -> str | None:
    """A path in the same folder whose name looks like that of `path`, quoted for a shell; None where there is none.

    `holding`: what must be in it, where it is a folder.
    """
    typed = Path(path)
    try:
        there = [p for p in typed.parent.iterdir() if not p.name.startswith(".") and (p / holding).exists()]
    except OSError:
        return None
    near = closest(typed.name, (p.name for p in there if p.name != typed.name))
    return quoted(typed.with_name(near[0])) if near else None


def quoted(path: str | PathLike[str]) -> str:
    """A path as a shell takes it, for commands in remedies."""
    return shlex.quote(str(path))
