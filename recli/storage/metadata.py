"""Typed metadata of models and embeddings, read from their manifests."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recli import schema
from recli.config import from_dict
from recli.errors import quoted
from recli.models.wrappers import ValueScale
from recli.schema import EmbeddingMeta
from recli.storage import quantization
from recli.storage.atomic import MANIFEST
from recli.storage.parts import Part, damaged, readable

# What the summary of an embeddings part says more exactly than its config.
_MEASURED = ("weights_sha256", "max_tokens", "prompt", "dtype", "raw_dimensions", "reduction")


@dataclass(frozen=True)
class ModelMeta:
    """How a model was made."""

    algorithm: str
    trained_on: tuple[str, ...]  # splits, ("train",) or ("train", "validation")
    options: dict[str, Any] = field(default_factory=dict)  # as `recli.config.to_dict` gave them
    seed: int = 0
    history_half_life: float = 0.0  # events; 0: all events of a history are alike
    storage_dtype: str = "float32"
    value_scale: tuple[float, ...] = ()  # mean and strength of `ValueScale`; empty: values are as they are

    @property
    def scale(self) -> ValueScale:
        """How values of histories are scaled."""
        return ValueScale(*self.value_scale)

    @property
    def algorithms(self) -> tuple[str, ...]:
        """The algorithm, and those of the models inside a fusion or below text factors."""
        sources = self.options.get("sources")
        several = sources if isinstance(sources, list | tuple) else ()
        inner = [source.get("algorithm") for source in several if isinstance(source, dict)]
        names = (self.algorithm, *inner, self.options.get("base"))
        return tuple(dict.fromkeys(name for name in names if isinstance(name, str)))


def model_meta(part: Part) -> ModelMeta:
    """Read the metadata of a model from its manifest."""
    meta: ModelMeta = _read(ModelMeta, part.config, part, "train it again")
    if not meta.trained_on or not set(meta.trained_on) <= set(schema.SPLITS):
        raise damaged(part.path, f"{MANIFEST} names no splits that the model was trained on")
    if not 0 <= meta.history_half_life < math.inf:
        raise damaged(part.path, f"{MANIFEST} has a history_half_life of {meta.history_half_life}")
    if meta.storage_dtype not in quantization.STORAGE:
        raise damaged(
            part.path, f"{MANIFEST} has the storage_dtype {meta.storage_dtype!r}, which there is not"
        )
    return meta


def embedding_meta(part: Part) -> EmbeddingMeta:
    """Read the metadata of embeddings from their manifest."""
    run = part.path.parent.parent
    return _embedding(
        part.config,
        part.summary,
        part,
        f"make it again: recli embed {quoted(run)} --name {quoted(part.path.name)}",
    )


def encoder_meta(part: Part) -> EmbeddingMeta:
    """How the embeddings were made that a part of `models` scores texts with."""
    encoder = part.summary.get("encoder")
    config, summary = (
        encoder.get(key) if isinstance(encoder, dict) else None for key in ("config", "summary")
    )
    if not isinstance(config, dict) or not isinstance(summary, dict):
        raise damaged(part.path, f"{MANIFEST} does not say how texts are encoded")
    return _embedding(config, summary, part, "run recli embed and recli train-hybrid again")


def _embedding(
    config: Mapping[str, Any], summary: Mapping[str, Any], part: Part, remedy: str
) -> EmbeddingMeta:
    measured = {key: summary[key] for key in _MEASURED if key in summary}
    meta: EmbeddingMeta = _read(EmbeddingMeta, {**config, **measured}, part, remedy)
    return meta


def _read(cls: type[Any], values: Mapping[str, Any], part: Part, remedy: str) -> Any:
    with readable(part, remedy):
        try:
            return from_dict(cls, values)
        except KeyError as error:
            raise damaged(part.path, f"{MANIFEST} has no {error}") from None
