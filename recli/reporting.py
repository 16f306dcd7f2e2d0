"""The reporter interface for messages and progress of a step, and the base class of step results."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

Advance = Callable[[int, str], None]
"""Called with the steps done since the last call and a short text (`loss 0.12`, `3,100 items/s`)."""


def no_progress(steps: int, text: str) -> None:
    """An `Advance` that shows nothing."""


class Reporter(Protocol):
    """Receives messages and progress of a running step. Results are returned, not reported."""

    def say(self, text: str) -> None:
        """Report a line about what is done or assumed."""
        ...

    def warn(self, text: str) -> None:
        """Report a warning, which is shown even when other lines are not."""
        ...

    def progress(self, what: str, total: int | None, unit: str = "") -> AbstractContextManager[Advance]:
        """Report progress through the yielded `Advance`; `total` steps of `unit`, None if unknown."""
        ...


class Silent:
    """A reporter that shows nothing."""

    def __repr__(self) -> str:
        return "SILENT"

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None: ...

    @contextmanager
    def progress(self, what: str, total: int | None, unit: str = "") -> Iterator[Advance]:
        yield no_progress


SILENT = Silent()


def counted(number: int, what: str) -> str:
    """`1 item`, `2,000 items`."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


class StepResult:
    """The base of step results: path-like (the path of its run), so that the next step accepts it as `run`."""

    run: Path

    def __fspath__(self) -> str:
        return str(self.run)
