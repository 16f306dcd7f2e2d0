"""Encodes texts with a transformer, in token batches of similar length, pooled in float32.

Batches are encoded by Python threads, each with one torch thread: as fast as torch's own threads on an idle
machine, and not slowed down by waiting for each other on a busy one (measured 5 s against 31 s). The next texts are
tokenized meanwhile. Many texts for a BERT on a CPU take `recli.encoders.fast_bert`, which has to be compiled first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from recli.compute.threads import in_threads
from recli.encoders.base import EncodedBatch
from recli.encoders.fast_bert import Packed, pack
from recli.encoders.model_config import Dense, EncoderConfig
from recli.encoders.source import ModelFiles
from recli.errors import RecliError
from recli.schema import Bool, Float32, Int64

if TYPE_CHECKING:
    import torch

_CHARACTERS_PER_TOKEN = (
    12  # per token: longer texts are cut before they are tokenized, which costs time per character
)
_TEXTS_PER_CHUNK = 8192  # texts tokenized per call; small calls take 2.5 times as long per token
_TEXTS_IN_FIRST_CHUNK = 1024  # those of the first call, which all wait for
_MIN_PACKED_CHARACTERS = (
    100_000  # characters, from which packing saves more than the seconds that it can take
)

_MIN_ROWS = 1000  # of the embedding matrix, from which one of twice the vocabulary is not padding


@dataclass(frozen=True)
class TextEncoder:
    """A loaded model. `blank`: the token ids of a text that has no tokens of its own."""

    encoder_config: EncoderConfig
    tokenizer: Any
    model: Any
    dense: tuple[Any, ...]
    device: torch.device
    pad: int
    blank: tuple[int, ...]
    n_prompt: int  # tokens at the start that are left out of the mean
    packed: Packed | None = None  # the model in the form for long jobs

    @property
    def batch_tokens(self) -> int:
        """Tokens per batch that keep the device busy: 2,048 stay in a CPU's cache."""
        return 2048 if self.device.type == "cpu" else 32_768


Tokenized = tuple[list[list[int]], Bool]


def load(
    source: ModelFiles,
    encoder_config: EncoderConfig,
    dtype: str,
    device: str | torch.device,
    remote_code: bool = False,
) -> TextEncoder:
    """Load tokenizer and weights. Raises `RecliError` where they are damaged, incomplete or need remote code."""
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModel

    device = torch.device(device)
    tokenizer = load_tokenizer(source, remote_code)
    try:
        model, report = AutoModel.from_pretrained(
            source.folder,
            torch_dtype=getattr(torch, dtype),
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=remote_code,
            local_files_only=not remote_code,
        )
    except (SafetensorError, OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise _not_loaded(source, error, remote_code) from None
    if model.config.is_encoder_decoder:
        model = model.get_encoder()
    _check_complete(source, report, model)
    _check_vocabulary(source, tokenizer, model)
    model = model.to(device).eval()
    layers = tuple(_load_dense(d, device) for d in encoder_config.dense)
    blank, n_prompt = _blank(tokenizer, encoder_config)
    pad = tokenizer.pad_token_id
    return TextEncoder(
        encoder_config, tokenizer, model, layers, device, 0 if pad is None else pad, blank, n_prompt
    )


def load_tokenizer(source: ModelFiles, remote_code: bool = False) -> Any:
    """Load the tokenizer alone. Raises `RecliError` where it is missing, damaged or needs remote code."""
    from transformers import AutoTokenizer
    from transformers.utils import logging

    silence: tuple[Callable[[], None], ...] = (logging.set_verbosity_error, logging.disable_progress_bar)
    for quiet in silence:
        quiet()
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            source.folder, trust_remote_code=remote_code, local_files_only=not remote_code
        )
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise _not_loaded(source, error, remote_code) from None
    _check_tokenizer(source, tokenizer)
    return tokenizer


def _not_loaded(source: ModelFiles, error: BaseException, remote_code: bool) -> RecliError:
    reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
    if "trust_remote_code" in str(error) and not remote_code:
        return RecliError(
            f"{source.name} comes with Python code of its own, which is not run unless asked",
            "read that code, then add --trust-remote-code; or choose another model",
        )
    return RecliError(
        f"{source.name} cannot be loaded: {reason}", "get the model again, or choose another one"
    )


def _check_complete(source: ModelFiles, report: dict[str, Any], model: Any) -> None:
    """Refuse weights that leave layers at random values: they would give vectors that mean nothing."""
    present = set(dict(model.named_parameters()))
    missing = [
        key
        for key in report["missing_keys"]
        if "pooler" not in key and (key in present or key.partition(".")[2] in present)
    ]
    if missing:
        raise RecliError(
            f"{source.name} lacks weights for {len(missing)} of its layers ({sorted(missing)[0]}, ...)",
            "get the model again, or choose another one",
        )


def _check_tokenizer(source: ModelFiles, tokenizer: Any) -> None:
    """Refuse a folder without its tokenizer: transformers makes an empty one, to which all words are unknown."""
    names: dict[str, str] = getattr(tokenizer, "vocab_files_names", {})
    own = [name for kind, name in names.items() if kind != "merges_file"]
    there = [name for name in own if (source.folder / name).is_file()]
    if own and not there and not list(source.folder.glob("tokenizer.*")):
        raise RecliError(
            f"{source.name} has no tokenizer: {' or '.join(sorted(own))} is missing in {source.folder}",
            "get the model again with all its files, or choose another one",
        )
    merges = names.get("merges_file")
    if merges and names.get("tokenizer_file") not in there and not (source.folder / merges).is_file():
        raise RecliError(
            f"{source.name} has half a tokenizer: {merges} is missing in {source.folder}",
            "get the model again with all its files, or choose another one",
        )


def _check_vocabulary(source: ModelFiles, tokenizer: Any, model: Any) -> None:
    """Refuse the tokenizer of another model: with other numbers for its tokens the vectors mean nothing."""
    try:
        n_rows = model.get_input_embeddings().num_embeddings
    except (AttributeError, NotImplementedError):
        return  # hashes characters instead
    added = set(tokenizer.get_added_vocab())
    n_tokens = 1 + max((i for t, i in tokenizer.get_vocab().items() if t not in added), default=-1)
    if not tokenizer.vocab_files_names:
        return  # bytes: no vocabulary that could be another's
    if n_tokens > n_rows or (n_rows >= _MIN_ROWS and 2 * n_tokens < n_rows):
        raise RecliError(
            f"{source.name} has the tokenizer of another model: {n_tokens:,} tokens, {n_rows:,} in the model",
            "get the model again with all its files, or choose another one",
        )


def _load_dense(dense: Dense, device: torch.device) -> Any:
    import torch
    from safetensors.torch import load_file

    weights = load_file(dense.folder / "model.safetensors")
    n_out, n_in = weights["linear.weight"].shape
    layer = torch.nn.Linear(n_in, n_out, bias="linear.bias" in weights)
    layer.load_state_dict({k.removeprefix("linear."): v.float() for k, v in weights.items()})
    return torch.nn.Sequential(layer, getattr(torch.nn, dense.activation)()).to(device).eval()


def _blank(tokenizer: Any, encoder_config: EncoderConfig) -> tuple[tuple[int, ...], int]:
    """Token ids of the prompt alone, and how many of them pooling leaves out."""
    ids = list(tokenizer(encoder_config.prompt)["input_ids"])
    special = set(tokenizer.all_special_ids)
    n_prompt = (
        0
        if encoder_config.pool_prompt or not encoder_config.prompt
        else len(ids) - (bool(ids) and ids[-1] in special)
    )
    return tuple(ids), n_prompt


def encode(
    encoder: TextEncoder, texts: Sequence[str], batch_tokens: int | None = None, threads: int = 1
) -> Generator[EncodedBatch, None, None]:
    """Encode texts, yielding batches in a fixed order, longest texts of a chunk first.

    What is in a batch depends on the texts and `batch_tokens` alone, so the same call gives the same bytes with
    any number of threads. Memory does not grow with the number of texts. Raises `RecliError` where the GPU's memory
    does not suffice.
    """
    import torch

    if sum(map(len, texts)) >= _MIN_PACKED_CHARACTERS:
        encoder = replace(encoder, packed=pack(encoder.model))
    on_cpu = encoder.device.type == "cpu"
    workers = threads if on_cpu else 2  # two keep a GPU busy: one prepares while the other waits
    batches = _batches(encoder, texts, batch_tokens or encoder.batch_tokens)
    try:
        with closing(in_threads(batches, lambda part: _forward(encoder, *part), workers)) as encoded:
            for _, batch in encoded:
                yield batch
    except torch.OutOfMemoryError:
        raise RecliError(
            f"{encoder.device}: out of memory",
            f"use a smaller --batch-tokens than {batch_tokens or encoder.batch_tokens}",
        ) from None


def _batches(
    encoder: TextEncoder, texts: Sequence[str], batch_tokens: int
) -> Iterator[tuple[Int64, list[list[int]], int]]:
    """Rows, token ids and the number of cut texts of batches with at most `batch_tokens` tokens, padding included."""
    spans = list(
        pairwise(dict.fromkeys([0, *range(_TEXTS_IN_FIRST_CHUNK, len(texts), _TEXTS_PER_CHUNK), len(texts)]))
    )
    with ThreadPoolExecutor(1) as ahead:
        pending: deque[Future[Tokenized]] = deque()
        for index, (start, _) in enumerate(spans):
            while len(pending) < 2 and index + len(pending) < len(spans):  # this span, and the next one
                part = texts[slice(*spans[index + len(pending)])]
                pending.append(ahead.submit(tokenize, encoder, part))
            ids, cut = pending.popleft().result()
            lengths = np.array([len(i) for i in ids])
            order = np.argsort(-lengths, kind="stable")
            first = 0
            while first < order.size:
                size = max(1, batch_tokens // max(1, int(lengths[order[first]])))
                rows = order[first : first + size]
                yield rows + start, [ids[r] for r in rows], int(cut[rows].sum())
                first += size


def tokenize(encoder: TextEncoder, texts: Sequence[str]) -> Tokenized:
    """Token ids of texts with the prompt, and which texts were cut at max_tokens, bool (n,)."""
    encoder_config = encoder.encoder_config
    limit = encoder_config.max_tokens
    prepared = [
        encoder_config.prompt + t[: _CHARACTERS_PER_TOKEN * limit]
        for t in (map(str.lower, texts) if encoder_config.lower_case else texts)
    ]
    # Truncation and padding are set here: those embedded in tokenizer.json (MiniLM: 128) are not the model's.
    tokenized = encoder.tokenizer(
        prepared, truncation=True, max_length=limit, padding=False, return_attention_mask=False, verbose=False
    )
    ids: list[list[int]] = tokenized["input_ids"]
    details = tokenized.encodings  # None: a tokenizer without a fast version
    cut = [
        len(i) == limit
        and (details is None or bool(details[n].overflowing) or len(texts[n]) > _CHARACTERS_PER_TOKEN * limit)
        for n, i in enumerate(ids)
    ]
    return ids, np.array(cut, dtype=np.bool_)


def _forward(encoder: TextEncoder, rows: Int64, ids: list[list[int]], n_cut: int) -> EncodedBatch:
    """Vectors of one batch. Padding goes to the right: harmless under a causal mask too, and positions stay right."""
    import torch

    padded_ids = [own or [encoder.pad] for own in ids]  # no token at all: one of padding, zeroed below
    lengths = torch.tensor([len(own) for own in padded_ids])
    width = int(lengths.max())
    mask = torch.arange(width)[None, :] < lengths[:, None]
    with torch.inference_mode():
        if encoder.packed:
            hidden = _padded(encoder.packed(padded_ids), mask)
        else:
            tokens = torch.full(mask.shape, encoder.pad)
            tokens[mask] = torch.tensor([token for own in padded_ids for token in own])
            mask = mask.to(encoder.device)
            hidden = encoder.model(input_ids=tokens.to(encoder.device), attention_mask=mask.long())[0]
        vectors = pool(hidden, mask, encoder.encoder_config.pooling, encoder.n_prompt)
        for layer in encoder.dense:
            vectors = layer(vectors)
        pooled: Float32 = vectors.cpu().numpy()
    pooled[[tuple(i) == encoder.blank for i in ids]] = 0
    return EncodedBatch(rows, pooled, int(lengths.sum()), n_cut)


def _padded(hidden: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Tokens (t, d) one after the other as (n, width, d), zero where `mask` (n, width) is false."""
    padded = hidden.new_zeros((*mask.shape, hidden.shape[1]))
    padded[mask] = hidden
    return padded


def pool(hidden: torch.Tensor, mask: torch.Tensor, how: str, n_prompt: int = 0) -> torch.Tensor:
    """One vector per text, float32 (n, d), from `hidden` (n, width, d) and `mask` (n, width), padded on the right.

    `mean` of the tokens (without the first `n_prompt`), the first one (`cls`), or the last one before the padding.
    """
    import torch

    if how == "cls":
        return hidden[:, 0].float()
    if how == "last":
        return hidden[torch.arange(hidden.shape[0], device=hidden.device), mask.sum(1) - 1].float()
    if n_prompt:
        mask = mask.clone()
        mask[:, :n_prompt] = 0
    weights = mask.unsqueeze(-1).float()
    return (hidden.float() * weights).sum(1) / weights.sum(1).clamp(min=1)
