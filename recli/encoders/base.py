"""The encoder interface and the registry of encoders; a new encoder is one file with a decorated function."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recli.registry import Registry
from recli.schema import Float32, Int64

FALLBACK = "huggingface"  # the encoder of a --model that no other one takes


@dataclass(frozen=True)
class EncoderOptions:
    """The options of `recli embed` that an encoder may read, by the same names; None and `auto`: it chooses."""

    model: str
    dim: int | None = None
    seed: int = 0
    revision: str | None = None
    pooling: str = "auto"
    max_tokens: int | None = None
    prompt: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    batch_tokens: int | None = None
    trust_remote_code: bool = False


@dataclass(frozen=True)
class EncodedBatch:
    """Encoded texts: `rows` int64 (n,) of the input list, `vectors` float32 (n, d), zero where nothing is known."""

    rows: Int64
    vectors: Float32
    n_tokens: int = 0
    n_cut: int = 0  # texts of which only the beginning was read


Encode = Callable[[Sequence[str], Sequence[str]], Generator[EncodedBatch, None, None]]
"""Encodes texts, the first argument, in any order; the second is the corpus, all texts of the run's items."""


def nothing_to_warn_of(texts: Sequence[str]) -> str:
    """Of an encoder that reads every text."""
    return ""


@dataclass(frozen=True)
class Encoder:
    """An encoder with its options.

    `facts`: what it resolved them to, for the manifest; nothing of this machine or this moment. `fingerprint`: names
    everything that decides the vector of a text, so that it can be kept in the run's cache; empty where a vector
    depends on the corpus. `matryoshka`: the first dimensions of a vector are a good vector by themselves.
    `notes`: what the user should know. `warning`: says what of texts it
    cannot read. `encode` loads the model, so that opening an encoder is cheap.
    """

    encode: Encode
    facts: dict[str, Any] = field(default_factory=dict)
    fingerprint: str = ""
    matryoshka: bool = False
    notes: tuple[str, ...] = ()
    warning: Callable[[Sequence[str]], str] = nothing_to_warn_of

    def encode_all(self, texts: Sequence[str], corpus: Sequence[str]) -> Float32:
        """The vectors of all `texts` in their order, float32 (len(texts), d)."""
        vectors = np.zeros((len(texts), 0), dtype=np.float32)
        for batch in self.encode(texts, corpus):
            if not vectors.shape[1]:
                vectors = np.zeros((len(texts), batch.vectors.shape[1]), dtype=np.float32)
            vectors[batch.rows] = batch.vectors
        return vectors


Open = Callable[[EncoderOptions], Encoder]


@dataclass(frozen=True)
class EncoderFamily:
    """A registered encoder: which `--model` strings it takes, which options apply, and which column it reads."""

    name: str
    help: str
    open: Open
    takes: Callable[[str], bool]
    options: tuple[str, ...]
    reads: str


encoders: Registry[EncoderFamily] = Registry("encoder", "recli.encoders", "recli.encoders")


def encoder(
    name: str,
    *,
    help: str,
    takes: Callable[[str], bool] | None = None,
    options: Sequence[str] = (),
    reads: str = "text",
) -> Callable[[Open], Open]:
    """Register the decorated function, from `EncoderOptions` to an `Encoder`.

    `takes`: whether it is the encoder of a `--model`; by default that of its name alone. `options`: those options of
    `recli embed` that apply to it, beside `dim` and `seed`; others are refused. `reads`: the items' column it encodes.
    """

    def register(open: Open) -> Open:
        encoders.add(name, EncoderFamily(name, help, open, takes or name.__eq__, tuple(options), reads))
        return open

    return register


def family_of(model: str) -> EncoderFamily:
    """The registered encoder that takes `--model`; HuggingFace's where no other one does."""
    specific = (family for family in encoders if family.name != FALLBACK and family.takes(model))
    return next(specific, None) or encoders[FALLBACK]


def fitted(
    fit_transform: Callable[[Sequence[str], Sequence[str]], Float32], facts: dict[str, Any] | None = None
) -> Encoder:
    """An encoder that learns from the corpus: `fit_transform(corpus, texts)` gives float32 (len(texts), d)."""

    def encode(texts: Sequence[str], corpus: Sequence[str]) -> Generator[EncodedBatch, None, None]:
        yield EncodedBatch(np.arange(len(texts)), fit_transform(corpus, texts))

    return Encoder(encode, facts or {})
