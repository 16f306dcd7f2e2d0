"""Names that models of a run may have."""

import re

from recli.errors import UsageError
from recli.models.base import algorithms
from recli.models.fusion import LOG_POPULARITY
from recli.models.popularity import RECENT_POPULARITY

RESERVED = ("all", "none")  # of `recli evaluate --models`
SOURCE_NAMES = (LOG_POPULARITY, RECENT_POPULARITY)  # of `recli train-hybrid --sources`, beside algorithms


def checked_name(name: str, algorithm: str) -> str:
    """The name for a model of this algorithm, which becomes a directory's name. Raises `UsageError`.

    The names of `recli train-hybrid`'s sources are kept for models of the algorithm that they name.
    """
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,99}", name):
        raise UsageError(f"--name must be made of letters, digits, '.', '_' and '-', not {name!r}")
    if name in RESERVED:
        raise UsageError(
            f"--name {name}: the word has a meaning in recli evaluate --models", "choose another name"
        )
    if name != algorithm and name in (*algorithms.names(), *SOURCE_NAMES):
        raise UsageError(
            f"--name {name}: that is what recli train-hybrid calls a source of another kind, and this is {algorithm}",
            "choose another name",
        )
    return name
