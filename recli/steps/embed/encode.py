"""Encodes the texts of items, reusing vectors that are in the run's cache."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from recli.data.arrays import unit_rows
from recli.encoders.base import Encoder
from recli.encoders.coverage import short
from recli.encoders.texts import DistinctTexts, keys
from recli.errors import RecliError
from recli.reporting import Reporter
from recli.schema import Float32, Int64
from recli.storage import cache


@dataclass(frozen=True)
class RawVectors:
    """Vectors of the distinct texts as the encoder gives them."""

    take: Callable[[Int64], Float32]  # row numbers of texts, int64 (m,), to float32 (m, dim)
    dim: int
    n_reused: int = 0  # texts whose vectors were in the cache


@dataclass(frozen=True)
class ItemVectors:
    """The items' vectors before they are normalized, reduced and centered.

    `row`: int64 (n_items,), of `raw`, -1 where an item has none. `summary`: counts for the manifest, `facts`: how the
    vectors were made. `matryoshka`: see `Encoder`. `inputs`: sha256 of files by role and name.
    """

    raw: RawVectors
    row: Int64
    summary: dict[str, int]
    facts: dict[str, Any]
    matryoshka: bool = False
    inputs: dict[str, str] = field(default_factory=dict)


def encode_texts(
    encoder: Encoder,
    texts: DistinctTexts,
    item_ids: Sequence[str],
    cache_folder: Path,
    resume: bool,
    reporter: Reporter,
) -> RawVectors:
    """Encode the distinct texts, through the cache in `cache_folder` where the encoder has a fingerprint.

    `item_ids`: of the items that the texts belong to, for errors. Raises `RecliError` naming the item where the model
    gives NaN or infinity.
    """

    def check(rows: Int64, vectors: Float32) -> None:
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            row = int(rows[finite.argmin()])
            item_id = item_ids[int(texts.first[row])]
            raise RecliError(
                f"the model gives NaN or infinity for item {item_id!r}: {short(texts.texts[row])}",
                "use --dtype float32, another model, or change that text",
            )

    if not encoder.fingerprint:
        vectors = encoder.encode_all(texts.texts, texts.texts)
        check(np.arange(len(vectors)), vectors)
        return RawVectors(vectors.__getitem__, vectors.shape[1])
    return _through_cache(encoder, texts.texts, cache_folder / encoder.fingerprint, resume, check, reporter)


def _through_cache(
    encoder: Encoder,
    texts: list[str],
    folder: Path,
    resume: bool,
    check: Callable[[Int64, Float32], None],
    reporter: Reporter,
) -> RawVectors:
    """The vectors of all `texts` from the cache in `folder`, after encoding those that it does not have."""
    hashes = keys(texts)
    if not resume:
        cache.clear(folder)
    cached = cache.read(folder, hashes, reporter.warn)
    missing = np.flatnonzero(~cached.is_cached)
    n_reused = len(texts) - missing.size
    if n_reused:
        reporter.say(f"{n_reused:,} of {len(texts):,} texts were already encoded")
    if missing.size:
        _encode_into(folder, encoder, texts, missing, hashes, check, reporter)
        cached = cache.read(folder, hashes, reporter.warn)
        if not cached.is_cached.all():
            raise RecliError(f"{folder} lost vectors while texts were encoded", "run the same command again")
    return RawVectors(cached.take, cached.dim, n_reused)


def _encode_into(
    folder: Path,
    encoder: Encoder,
    texts: list[str],
    missing: Int64,
    hashes: cache.Keys,
    check: Callable[[Int64, Float32], None],
    reporter: Reporter,
) -> None:
    """Encode the texts in the rows `missing` and write their vectors to the cache in `folder`, batch by batch."""
    n_cut = n_texts = n_tokens = 0
    started = time.monotonic()
    with (
        reporter.progress("encoding", missing.size, "texts") as advance,
        cache.Writer(folder) as writer,
        closing(encoder.encode([texts[i] for i in missing], texts)) as batches,
    ):
        for batch in batches:
            rows = missing[batch.rows]
            check(rows, batch.vectors)
            writer.add(hashes[rows], batch.vectors)
            n_cut, n_texts, n_tokens = n_cut + batch.n_cut, n_texts + rows.size, n_tokens + batch.n_tokens
            seconds = max(time.monotonic() - started, 1e-9)
            tokens = f", {n_tokens / seconds:,.0f} tokens/s" if n_tokens else ""
            advance(rows.size, f"{n_texts / seconds:,.0f} items/s{tokens}")
    if n_cut:
        reporter.say(
            f"{n_cut:,} texts have more than {encoder.facts['max_tokens']} tokens (--max-tokens): "
            "their end was not read"
        )


_SAMPLE = 2000  # vectors that are compared
_MIN_TEXTS = 20  # fewer say nothing
_ALIKE = 0.999  # the mean cosine above which vectors say nothing


def check_distinct(raw: RawVectors, texts: Sequence[str], reporter: Reporter) -> None:
    """Warn where different texts have one vector: such an encoder read almost nothing of them."""
    sample = np.arange(0, len(texts), max(1, -(-len(texts) // _SAMPLE)))
    vectors = unit_rows(raw.take(sample))
    known = np.flatnonzero(vectors.any(axis=1))
    if known.size < _MIN_TEXTS:
        return
    _, first = np.unique(vectors[known].round(3) + 0.0, axis=0, return_index=True)
    alike = float(np.square(vectors[known].mean(axis=0)).sum())  # the mean cosine of all pairs
    pair = " and ".join(short(texts[sample[known[i]]]) for i in (0, 1))
    if 2 * first.size < known.size:
        reporter.warn(
            f"{known.size:,} different texts have only {first.size:,} different vectors: the encoder tells few of them "
            "apart (are its files complete, and is it for this language?). Try another --model"
        )
    elif alike > _ALIKE:
        reporter.warn(
            f"the vectors of different texts are nearly equal, with a mean cosine of {alike:.4f} ({pair}): the encoder "
            "hardly tells them apart (are its files complete?). Try another --model, or another --pooling"
        )
