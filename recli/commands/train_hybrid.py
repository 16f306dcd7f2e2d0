"""`recli train-hybrid`."""

from dataclasses import dataclass

from recli.config import argument
from recli.console import Console


@dataclass(frozen=True)
class TrainHybridConfig:
    run: str = argument(..., "The run.", metavar="RUN")


def train_hybrid(config: TrainHybridConfig, console: Console) -> None:
    """To be written.

    Example: recli train-hybrid sample_data/run
    """
    raise NotImplementedError
