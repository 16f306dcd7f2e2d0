"""`recli prepare`."""

from dataclasses import dataclass

from recli.config import argument
from recli.console import Console


@dataclass(frozen=True)
class PrepareConfig:
    run: str = argument(..., "The run.", metavar="RUN")


def prepare(config: PrepareConfig, console: Console) -> None:
    """To be written.

    Example: recli prepare sample_data/run
    """
    raise NotImplementedError
