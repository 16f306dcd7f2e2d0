"""`recli embed`."""

from dataclasses import dataclass

from recli.config import argument
from recli.console import Console


@dataclass(frozen=True)
class EmbedConfig:
    run: str = argument(..., "The run.", metavar="RUN")


def embed(config: EmbedConfig, console: Console) -> None:
    """To be written.

    Example: recli embed sample_data/run
    """
    raise NotImplementedError
