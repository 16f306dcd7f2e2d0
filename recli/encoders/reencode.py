"""New texts, such as users' profiles, encoded as the items of a stored embeddings part were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np

from recli.encoders.base import EncoderOptions, family_of
from recli.encoders.space import Space
from recli.encoders.texts import unique
from recli.errors import RecliError
from recli.schema import Float32, State

_RESOLVED = ("max_tokens", "prompt", "dtype")  # options whose automatic choice is repeated from the summary


def encode_like(
    config: Mapping[str, Any],
    summary: Mapping[str, Any],
    tensors: State,
    new: Sequence[str | None],
    corpus: Sequence[str | None],
    *,
    model: str | None = None,
    device: str = "cpu",
) -> Float32:
    """Vectors of new texts in the space of an embeddings part, float32 (len(new), d), length 1; empty ones zero.

    `config`, `summary`: of the part's manifest. `tensors`: its `center` [and `projection`]. `corpus`: the items'
    texts, which fitted encoders (tfidf) learn from again. `model`: the folder, where the part was made from one
    with an absolute path. Raises `RecliError` where the model now has other weights than the part was made with.
    """
    model = model or config["model"]
    stored = dict(config) | {name: summary[name] for name in _RESOLVED if name in summary}
    stored |= {"model": model, "device": device}
    options = EncoderOptions(**{f.name: stored[f.name] for f in fields(EncoderOptions) if f.name in stored})
    encoder = family_of(config["model"]).open(options)
    if encoder.facts.get("weights_sha256") != summary.get("weights_sha256"):
        raise RecliError(
            f"{model} has other weights now than the vectors were made with",
            "make them again with recli embed, or name the folder of the model that was used",
        )
    texts = unique(new)
    vectors = np.zeros((len(new), tensors["center"].size), dtype=np.float32)
    if texts.texts:
        raw = encoder.encode_all(texts.texts, unique(corpus).texts)
        n_first = config.get("dim") if summary.get("reduction") == "matryoshka" else None
        space = Space(tensors["center"], tensors.get("projection"), n_first)
        has_text = texts.row >= 0
        vectors[has_text] = space.transform(raw)[texts.row[has_text]]
    return vectors
