"""New texts, a user's profile for one, encoded as the items of a stored part were."""

from collections.abc import Sequence

import numpy as np

from recli.compute.torch_device import pick_device
from recli.encoders import base, source, texts, transformer
from recli.encoders.model_config import read_encoder_config
from recli.encoders.space import Space
from recli.encoders.transformer import TextEncoder
from recli.errors import RecliError
from recli.schema import EmbeddingMeta, Float32, State


def encode_like(
    meta: EmbeddingMeta,
    tensors: State,
    new: Sequence[str | None],
    corpus: Sequence[str | None],
    *,
    model: str | None = None,
    device: str = "cpu",
) -> Float32:
    """Vectors of new texts in the space of an embeddings part, float32 (len(new), d), length 1; empty ones zero.

    `meta`: of the part's manifest. `tensors`: its `center` [and `projection`]. `corpus`: the items'
    texts, which fitted encoders (tfidf) learn from again. `model`: the folder, where the part was made from one
    with an absolute path. Raises `RecliError` where the model now has other weights than the part was made with.
    """
    if "center" not in tensors:
        raise _unknown_encoder()
    wanted = texts.unique(new)
    if meta.model in base.fitted.names():
        dim = meta.dim or base.fitted[meta.model].dim
        known = texts.unique(corpus).texts
        raw = base.fitted[meta.model].encode(known, wanted.texts, dim, meta.seed)
        space = Space(tensors["center"])
    else:
        encoder = _load(meta, model, device)
        batches = transformer.encode(encoder, wanted.texts, meta.batch_tokens)
        raw = np.zeros((len(wanted.texts), meta.raw_dimensions), dtype=np.float32)
        for batch in batches:
            raw[batch.rows] = batch.vectors
        kept = meta.dim if meta.reduction == "matryoshka" else None
        space = Space(tensors["center"], tensors.get("projection"), kept)
    vectors = np.zeros((len(new), tensors["center"].size), dtype=np.float32)
    there = wanted.row >= 0
    if there.any():
        vectors[there] = space.place(raw)[wanted.row[there]]
    return vectors


def _unknown_encoder() -> RecliError:
    return RecliError(
        "the embeddings do not say how another text is encoded like theirs: no encoder of recli made them, "
        "or one of another version",
        "make them again with recli embed, and train again what uses them",
    )


def _load(meta: EmbeddingMeta, model: str | None, device: str) -> TextEncoder:
    if meta.weights_sha256 is None or meta.dtype == "auto" or not meta.raw_dimensions:
        raise _unknown_encoder()
    found = source.find(model or meta.model, meta.revision, meta.trust_remote_code)
    if found.weights_sha256 != meta.weights_sha256:
        raise RecliError(
            f"{found.name} has other weights now than the vectors were made with",
            "make them again with recli embed, or name the folder of the model that was used",
        )
    encoder_config = read_encoder_config(
        found.folder,
        found.name,
        pooling=meta.pooling,
        max_tokens=meta.max_tokens,
        prompt=meta.prompt,
    )
    target, _ = pick_device(device)
    return transformer.load(found, encoder_config, meta.dtype, target, meta.trust_remote_code)
