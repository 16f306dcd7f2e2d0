"""New texts, a user's profile for one, encoded as the items of a stored part were."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from recli.compute.torch_device import pick_device
from recli.encoders import base, source, texts, transformer
from recli.encoders.model_config import read_encoder_config
from recli.encoders.space import Space
from recli.encoders.transformer import TextEncoder
from recli.errors import RecliError
from recli.schema import Float32, State


def encode_like(
    config: dict[str, Any],
    summary: dict[str, Any],
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
    wanted = texts.unique(new)
    if config["model"] in base.fitted.names():
        dim = config["dim"] or base.fitted[config["model"]].dim
        known = texts.unique(corpus).texts
        raw = base.fitted[config["model"]].encode(known, wanted.texts, dim, config["seed"])
        space = Space(tensors["center"])
    else:
        encoder = _load(config, summary, model, device)
        batches = transformer.encode(encoder, wanted.texts, config["batch_tokens"])
        raw = np.zeros((len(wanted.texts), summary["raw_dimensions"]), dtype=np.float32)
        for batch in batches:
            raw[batch.rows] = batch.vectors
        kept = config["dim"] if summary["reduction"] == "matryoshka" else None
        space = Space(tensors["center"], tensors.get("projection"), kept)
    vectors = np.zeros((len(new), tensors["center"].size), dtype=np.float32)
    there = wanted.row >= 0
    if there.any():
        vectors[there] = space.transform(raw)[wanted.row[there]]
    return vectors


def _load(config: dict[str, Any], summary: dict[str, Any], model: str | None, device: str) -> TextEncoder:
    found = source.find(model or config["model"], config["revision"], config["trust_remote_code"])
    if found.weights_sha256 != summary["weights_sha256"]:
        raise RecliError(
            f"{found.name} has other weights now than the vectors were made with",
            "make them again with recli embed, or name the folder of the model that was used",
        )
    encoder_config = read_encoder_config(
        found.folder,
        found.name,
        pooling=config["pooling"],
        max_tokens=summary["max_tokens"],
        prompt=summary["prompt"],
    )
    target, _ = pick_device(device)
    return transformer.load(found, encoder_config, summary["dtype"], target, config["trust_remote_code"])
