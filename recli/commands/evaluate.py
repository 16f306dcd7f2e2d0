"""`recli evaluate`."""

from dataclasses import dataclass

from recli.config import argument
from recli.console import Console


@dataclass(frozen=True)
class EvaluateConfig:
    run: str = argument(..., "The run.", metavar="RUN")


def evaluate(config: EvaluateConfig, console: Console) -> None:
    """To be written.

    Example: recli evaluate sample_data/run
    """
    raise NotImplementedError
