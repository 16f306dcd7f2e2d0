"""What a step says while it works, and what it returns: the steps know no terminal."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol

Advance = Callable[[int, str], None]
"""Called with the steps done since the last call and a short text (`loss 0.12`, `3,100 items/s`)."""


def no_progress(steps: int, text: str) -> None:
    """An `Advance` that shows nothing."""


class Reporter(Protocol):
    """Gets what a step has to say while it works. Results are returned, not reported."""

    def say(self, text: str) -> None:
        """A line about what is done, or assumed."""
        ...

    def warn(self, text: str) -> None:
        """A line that is shown even where the rest is not."""
        ...

    def progress(self, what: str, total: int | None, unit: str = "") -> AbstractContextManager[Advance]:
        """How far a piece of work is: call the `Advance` it yields. `total` steps of `unit`; None: not known."""
        ...


class Silent:
    """A reporter that shows nothing."""

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
    """The base of what the steps return: it stands for the path of its run, so the next step takes it as one."""

    run: Path

    def __fspath__(self) -> str:
        return str(self.run)
