"""`recli recommend`."""

from dataclasses import dataclass

from recli.config import argument
from recli.console import Console


@dataclass(frozen=True)
class RecommendConfig:
    run: str = argument(..., "The run.", metavar="RUN")


def recommend(config: RecommendConfig, console: Console) -> None:
    """To be written.

    Example: recli recommend sample_data/run
    """
    raise NotImplementedError
