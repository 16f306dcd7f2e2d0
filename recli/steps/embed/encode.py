"""Texts of items to raw vectors with a pretrained encoder, encoding only what the run's cache does not have."""

import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recli.cli.console import Console
from recli.compute.torch_device import pick_device, pick_dtype
from recli.config import sha256_of
from recli.encoders import source, transformer
from recli.encoders.base import Encoded
from recli.encoders.model_config import read_encoder_config
from recli.encoders.texts import DistinctTexts, keys
from recli.encoders.transformer import TextEncoder
from recli.errors import RecliError
from recli.storage import cache


@dataclass(frozen=True)
class EncodeOptions:
    """How to encode: the options of `recli embed` that a pretrained encoder has."""

    model: str
    revision: str | None = None
    pooling: str = "auto"
    max_tokens: int | None = None
    prompt: str | None = None
    dtype: str = "auto"
    device: str = "auto"
    batch_tokens: int | None = None
    resume: bool = True
    trust_remote_code: bool = False


def encode_texts(
    wanted: EncodeOptions, folder: Path, texts: DistinctTexts, item_ids: Sequence[str], console: Console
) -> Encoded:
    """Encode the different texts, with the cache in `folder`. `item_ids`: of the items that the texts belong to.

    Raises `RecliError` naming the item where the model gives NaN or infinity, `DeviceError` where model or device
    are not there.
    """
    device, note = pick_device(wanted.device)
    if note:
        console.say(note)
    dtype = pick_dtype(wanted.dtype, device)
    if wanted.dtype == "auto" and dtype == "float32":
        console.say("this CPU does not multiply bfloat16: float32")
    found = source.find(wanted.model, wanted.revision, wanted.trust_remote_code)
    encoder_config = read_encoder_config(
        found.folder, found.name, pooling=wanted.pooling, max_tokens=wanted.max_tokens, prompt=wanted.prompt
    )
    for line in encoder_config.notes:
        console.say(line)
    facts = {
        "weights_sha256": found.weights_sha256,
        "pooling": encoder_config.pooling,
        "max_tokens": encoder_config.max_tokens,
        "prompt": encoder_config.prompt,
        "dtype": dtype,
        "device": device.type,
    }
    place = folder / sha256_of({**facts, "files": found.sha256})[:32]

    def load() -> TextEncoder:
        return transformer.load(found, encoder_config, dtype, device, wanted.trust_remote_code)

    def blame(row: int) -> RecliError:
        return RecliError(
            f"the model gives NaN or infinity for item {item_ids[int(texts.first[row])]!r}: {_short(texts.texts[row])}",
            "use --dtype float32, another model, or change that text",
        )

    stored, n_reused = _through_cache(wanted, place, texts.texts, load, blame, console)
    return Encoded(stored.take, stored.dim, facts, n_reused, encoder_config.matryoshka)


def _through_cache(
    wanted: EncodeOptions,
    folder: Path,
    texts: list[str],
    load: Callable[[], TextEncoder],
    blame: Callable[[int], RecliError],
    console: Console,
) -> tuple[cache.CachedVectors, int]:
    """The cache in `folder` with the vectors of all `texts`, and how many it had before."""
    hashes = keys(texts)
    if not wanted.resume:
        cache.clear(folder)
    stored = cache.read(folder, hashes, console.warn)
    rest = np.flatnonzero(~stored.found)
    if rest.size < len(texts):
        console.say(f"{len(texts) - rest.size:,} of {len(texts):,} texts were already encoded")
    if not rest.size:
        return stored, len(texts)
    import torch

    encoder = load()
    n_cut, n_texts, n_tokens = 0, 0, 0
    started = time.monotonic()
    batches = transformer.encode(
        encoder, [texts[i] for i in rest], wanted.batch_tokens, torch.get_num_threads()
    )
    with (
        console.progress("encoding", rest.size, "texts") as advance,
        cache.Writer(folder) as writer,
        closing(batches),
    ):
        for batch in batches:
            rows = rest[batch.rows]
            bad = ~np.isfinite(batch.vectors).all(axis=1)
            if bad.any():
                raise blame(int(rows[bad.argmax()]))
            writer.add(hashes[rows], batch.vectors)
            n_cut, n_texts, n_tokens = n_cut + batch.n_cut, n_texts + rows.size, n_tokens + batch.n_tokens
            seconds = max(time.monotonic() - started, 1e-9)
            advance(rows.size, f"{n_texts / seconds:,.0f} items/s, {n_tokens / seconds:,.0f} tokens/s")
    if n_cut:
        console.say(
            f"{n_cut:,} texts have more than {encoder.encoder_config.max_tokens} tokens (--max-tokens): "
            "their end was not read"
        )
    stored = cache.read(folder, hashes, console.warn)
    if not stored.found.all():
        raise RecliError(f"{folder} lost vectors while texts were encoded", "run the same command again")
    return stored, len(texts) - rest.size


def _short(text: str) -> str:
    line = " ".join(text.split())
    return repr(line if len(line) <= 80 else line[:77] + "...")
