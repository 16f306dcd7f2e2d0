"""The index of `recommend --approximate`: of a model that is a dot product, made with faiss, kept in the run."""

from __future__ import annotations

from pathlib import Path

from recli.errors import UsageError
from recli.ranking import ann
from recli.ranking.ann import Index
from recli.ranking.approximate import Approximate
from recli.reporting import Reporter
from recli.steps.recommend.config import RecommendConfig
from recli.storage import atomic, cache
from recli.storage.runs import StoredModel


def approximate(
    path: Path, stored: StoredModel, config: RecommendConfig, reporter: Reporter
) -> Approximate | None:
    """Options of approximate search; None without --approximate. Raises `UsageError`, `DeviceError`.

    The index is kept in the run that `path` is; for a model's own folder it is made again each time.
    """
    if config.approximate is None:
        return None
    if stored.model.item_embeddings() is None:
        raise UsageError(
            f"--approximate: {stored.name} ({stored.algorithm}) is no dot product of factors, so its items cannot "
            "be indexed",
            "name a model that is one (ials, als, bpr, lmf) with --model, or leave it out",
        )
    ann.faiss()
    is_run = not (path / atomic.MANIFEST).exists()
    return Approximate(
        config.approximate, lambda: _index(path if is_run else None, stored, config, reporter), reporter.say
    )


def _index(run: Path | None, stored: StoredModel, config: RecommendConfig, reporter: Reporter) -> Index:
    """The index of the model's items, read from the run or made and kept there."""
    kind = "similar" if config.similar_to else "items"
    made_from = f"{kind} {stored.part.sha256} {ann.faiss().__version__}"
    file = None if run is None else run / "cache" / "indexes" / f"{stored.name}-{kind}.safetensors"
    stored_index = None if file is None else cache.read_index(file, made_from)
    if stored_index is not None:
        return ann.from_bytes(stored_index)
    n_items = stored.interactions.items.height
    reporter.say(f"indexing {n_items:,} items{'' if file is None else f'; kept in {file.parent}'}")
    vectors = stored.similar_vectors if config.similar_to else stored.model.item_embeddings()
    assert vectors is not None  # a dot product has them
    index = ann.build(vectors)
    if file is not None:
        cache.save_index(file, made_from, ann.to_bytes(index))
    return index
