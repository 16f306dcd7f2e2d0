"""`recli train-cf`."""

from dataclasses import dataclass

from recli.config import argument
from recli.console import Console


@dataclass(frozen=True)
class TrainCfConfig:
    run: str = argument(..., "The run.", metavar="RUN")


def train_cf(config: TrainCfConfig, console: Console) -> None:
    """To be written.

    Example: recli train-cf sample_data/run
    """
    raise NotImplementedError
