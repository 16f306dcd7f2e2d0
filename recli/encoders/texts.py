"""Cleans and deduplicates texts for encoders."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recli.schema import Int64


def clean(text: str | None) -> str:
    """A text without lone surrogates, control characters and space around it; `None` becomes empty.

    Tokenizers crash on lone surrogates and disagree on control characters. Line ends and tabs stay.
    """
    if not text:
        return ""
    if text.isascii() and text.isprintable():
        return text.strip()
    text = text.encode("utf-16", "surrogatepass").decode(
        "utf-16", "replace"
    )  # joins pairs, replaces lone ones
    kept = (" " if c not in "\n\t\r" and unicodedata.category(c) == "Cc" else c for c in text)
    return "".join(kept).strip()


@dataclass(frozen=True)
class DistinctTexts:
    """The different texts among many. `row`: int64 (n,), the index of text i in `texts`; -1 for empty ones."""

    texts: list[str]
    row: Int64
    first: Int64  # (len(texts),), the first of the many that has this text

    @property
    def n_empty(self) -> int:
        return int((self.row < 0).sum())


def unique(texts: Sequence[str | None]) -> DistinctTexts:
    """Clean the texts and find the different ones, in order of their first appearance."""
    row_of_text: dict[str, int] = {}
    first: list[int] = []
    row = np.full(len(texts), -1, dtype=np.int64)
    for i, text in enumerate(map(clean, texts)):
        if text:
            row[i] = row_of_text.setdefault(text, len(row_of_text))
            if len(first) < len(row_of_text):
                first.append(i)
    return DistinctTexts(list(row_of_text), row, np.array(first, dtype=np.int64))


def keys(texts: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.uint8]]:
    """128-bit hashes of texts, uint8 (n, 16)."""
    digests = b"".join(hashlib.blake2b(t.encode(), digest_size=16).digest() for t in texts)
    return np.frombuffer(digests, dtype=np.uint8).reshape(-1, 16)
