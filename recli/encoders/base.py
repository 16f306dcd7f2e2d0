"""The registry of encoders that learn from the run's own texts and need no pretrained weights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from recli.registry import Registry
from recli.schema import Float32


class Fit(Protocol):
    """Fits an encoder and applies it."""

    def __call__(self, corpus: Sequence[str], texts: Sequence[str], dim: int, seed: int) -> Float32:
        """Learn from `corpus`; vectors of `texts`, float32 (len(texts), at most dim), zero where nothing is known."""
        ...


@dataclass(frozen=True)
class Fitted:
    """A registered encoder: `dim` is its number of dimensions where the user asks for none."""

    name: str
    help: str
    dim: int
    encode: Fit


fitted: Registry[Fitted] = Registry("encoder", "recli.encoders")


def encoder(name: str, *, help: str, dim: int) -> Callable[[Fit], Fit]:
    """Register the decorated function as the encoder `--model NAME`."""

    def register(encode: Fit) -> Fit:
        fitted.add(name, Fitted(name, help, dim, encode))
        return encode

    return register
