"""New texts, such as users' profiles, encoded as the items of a stored embeddings part were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np

from recli.encoders.base import FALLBACK, EncoderOptions, family_of
from recli.encoders.space import Space
from recli.encoders.texts import unique
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

    `meta`: how the part was made. `tensors`: its `center` [and `projection`]. `corpus`: the items' texts, which
    fitted encoders (tfidf) learn from again. `model`: the folder, where the part was made from one with an absolute
    path. Raises `RecliError` where the part does not say how it was made, or the model now has other weights.
    """
    if meta.vectors is not None:
        raise RecliError(
            f"the embeddings are vectors of your own ({meta.vectors}): recli does not know how to make one of a text",
            "for texts about users (profiles), make embeddings with an encoder (recli embed RUN), and name these first "
            "in train-hybrid's --embeddings",
        )
    family = family_of(meta.model)
    pretrained = meta.weights_sha256 is not None and meta.dtype != "auto" and meta.raw_dimensions
    if "center" not in tensors or (family.name == FALLBACK and not pretrained):
        raise RecliError(
            "the embeddings do not say how another text is encoded like theirs: no encoder of recli made them, "
            "or one of another version",
            "make them again with recli embed, and train again what uses them",
        )
    stored = {f.name: getattr(meta, f.name) for f in fields(EncoderOptions) if hasattr(meta, f.name)}
    encoder = family.open(EncoderOptions(**stored | {"model": model or meta.model, "device": device}))
    if encoder.facts.get("weights_sha256") != meta.weights_sha256:
        raise RecliError(
            f"{model or meta.model} has other weights now than the vectors were made with",
            "make them again with recli embed, or name the folder of the model that was used",
        )
    texts = unique(new)
    vectors = np.zeros((len(new), tensors["center"].size), dtype=np.float32)
    if texts.texts:
        raw = encoder.encode_all(texts.texts, unique(corpus).texts)
        n_first = meta.dim if meta.reduction == "matryoshka" else None
        space = Space(tensors["center"], tensors.get("projection"), n_first)
        has_text = texts.row >= 0
        vectors[has_text] = space.transform(raw)[texts.row[has_text]]
    return vectors
