"""What encoders give, and the registry of those that learn from the run's own texts and need no pretrained weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from recli.registry import Registry
from recli.schema import Float32, Int64


class Fit(Protocol):
    """Fits an encoder and applies it."""

    def __call__(self, corpus: Sequence[str], texts: Sequence[str], dim: int, seed: int) -> Float32:
        """Learn from `corpus`; vectors of `texts`, float32 (len(texts), at most dim), zero where nothing is known."""
        ...


@dataclass(frozen=True)
class Encoded:
    """Raw vectors of the different texts, and how they were made."""

    take: Callable[[Int64], Float32]  # of the texts in these places, (m,): float32 (m, dim)
    dim: int
    facts: dict[str, Any]  # for the manifest: they follow from texts and options alone
    n_reused: int  # vectors that were in the cache
    matryoshka: bool


@dataclass(frozen=True)
class Fitted:
    """A registered encoder: `dim` is its number of dimensions where the user asks for none."""

    name: str
    help: str
    dim: int
    encode: Fit


fitted: Registry[Fitted] = Registry("encoder", "recli.encoders", "recli.encoders")


def encoder(name: str, *, help: str, dim: int) -> Callable[[Fit], Fit]:
    """Register the decorated function as the encoder `--model NAME`."""

    def register(encode: Fit) -> Fit:
        fitted.add(name, Fitted(name, help, dim, encode))
        return encode

    return register
