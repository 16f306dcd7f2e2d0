"""Pretrained transformers from the HuggingFace hub, or a folder, as encoders."""

from __future__ import annotations

from collections.abc import Generator, Sequence

from recli.compute.devices import choose_device, choose_dtype
from recli.config import sha256_of
from recli.encoders import source, transformer
from recli.encoders.base import FALLBACK, EncodedBatch, Encoder, EncoderOptions, encoder
from recli.encoders.coverage import measure
from recli.encoders.model_config import read_encoder_config


@encoder(
    FALLBACK,
    help="a pretrained transformer, by hub id or folder",
    takes=lambda model: True,
    options=(
        "revision", "pooling", "max_tokens", "prompt", "dtype", "device", "batch_tokens", "resume",
        "trust_remote_code",
    ),
)  # fmt: skip
def open_transformer(options: EncoderOptions) -> Encoder:
    """Find the model's files and read its settings; the weights are loaded when texts are encoded.

    Raises `RecliError` where the model cannot be used, `DeviceError` where model or device are not there.
    """
    device, device_note = choose_device(options.device, work="encoding")
    dtype = choose_dtype(options.dtype, device)
    files = source.find(options.model, options.revision, options.trust_remote_code)
    config = read_encoder_config(
        files.folder,
        files.name,
        pooling=options.pooling,
        max_tokens=options.max_tokens,
        prompt=options.prompt,
    )
    facts = {
        "weights_sha256": files.weights_sha256,
        "pooling": config.pooling,
        "max_tokens": config.max_tokens,
        "prompt": config.prompt,
        "dtype": dtype,
        "device": device.partition(":")[0],
    }
    emulated = options.dtype == "auto" and dtype == "float32"
    dtype_note = "this CPU does not multiply bfloat16: float32" if emulated else ""

    def encode(texts: Sequence[str], corpus: Sequence[str]) -> Generator[EncodedBatch, None, None]:
        import torch

        loaded = transformer.load(files, config, dtype, device, options.trust_remote_code)
        yield from transformer.encode(loaded, texts, options.batch_tokens, torch.get_num_threads())

    def warning(texts: Sequence[str]) -> str:
        tokenizer = transformer.load_tokenizer(files, options.trust_remote_code)
        return measure(tokenizer, texts).warning(options.model)

    return Encoder(
        encode,
        facts,
        fingerprint=sha256_of({**facts, "files": files.sha256})[:32],
        matryoshka=config.matryoshka,
        notes=tuple(note for note in (device_note, dtype_note, *config.notes) if note),
        warning=warning,
    )
