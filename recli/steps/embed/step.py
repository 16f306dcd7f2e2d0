"""`recli embed`: encodes the items' texts as vectors, or takes vectors from a file."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recli.errors import RecliError, UsageError
from recli.reporting import SILENT, Reporter, StepResult
from recli.steps.embed.config import EmbedConfig

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from recli.data.interactions import Interactions
    from recli.encoders.texts import DistinctTexts
    from recli.schema import Bool, Float32
    from recli.steps.embed.encode import ItemVectors

_BLOCK_ITEMS = 1 << 14  # items whose vectors are held at a time


@dataclass(frozen=True)
class Embedded(StepResult):
    """The result of `embed`: the part `name` of the run, in the folder `path`.

    `summary`: as in the manifest: items, texts, dimensions and how they were encoded. `n_encoded`, `n_reused`: texts
    that were encoded now, and those whose vectors were in the run's cache.
    """

    run: Path
    name: str
    path: Path
    summary: dict[str, Any]
    n_encoded: int
    n_reused: int

    @property
    def vectors(self) -> Float32:
        """The items' vectors, read from the run: float32 (n_items, d), length 1 or zero."""
        from recli.storage import runs

        return runs.read_embeddings(self.run, self.name)[0]


def embed(config: EmbedConfig, reporter: Reporter = SILENT) -> Embedded:
    """Encode the items' texts, or take the vectors of a file, and write RUN/embeddings/NAME.

    Raises `UsageError` where there are fewer dimensions than --dim, `DeviceError` where model or device are
    not there, `InvalidDataError` where a file's vectors cannot be used, and other `RecliError`s where the run has no
    texts or the model cannot be used.
    """
    import numpy as np

    from recli.encoders.space import fit_space
    from recli.steps.embed.own_vectors import read_vectors
    from recli.storage import runs
    from recli.storage.safetensors_file import Blocks
    from recli.storage.writable import check_writable

    run = Path(config.run)
    interactions = runs.read_interactions(run)
    check_writable(run)
    found = (_encode if config.vectors is None else read_vectors)(config, interactions, reporter)
    raw = found.raw
    reduction = found.facts.get("reduction") or _reduction(config, found.matryoshka, raw.dim, reporter)

    def blocks() -> Iterator[Float32]:
        for start in range(0, interactions.n_items, _BLOCK_ITEMS):
            rows = found.row[start : start + _BLOCK_ITEMS]
            block = np.zeros((rows.size, raw.dim), dtype=np.float32)
            block[rows >= 0] = raw.take(rows[rows >= 0])
            yield block

    space, nonzero = fit_space(
        blocks, _trained(interactions), center=config.center, dim=config.dim, matryoshka=found.matryoshka
    )
    shape = interactions.n_items, space.center.size
    vectors = Blocks(shape, "float32", lambda: map(space.transform, blocks()))
    summary = {
        "items": interactions.n_items,
        **found.summary,
        "zero_vectors": int((~nonzero).sum()),
        "raw_dimensions": raw.dim,
        "dimensions": space.center.size,
        **found.facts,
        "reduction": reduction,
    }
    path = runs.write_embeddings(
        run,
        config.part_name,
        vectors,
        space.center,
        config.manifest,
        summary,
        projection=space.projection,
        dtype=config.storage_dtype,
        inputs=found.inputs,
    )
    n_encoded = found.summary.get("texts", 0) - raw.n_reused
    return Embedded(run, config.part_name, path, summary, n_encoded, raw.n_reused)


def _encode(config: EmbedConfig, interactions: Interactions, reporter: Reporter) -> ItemVectors:
    """The vectors of the items' texts."""
    from recli.encoders.base import EncoderOptions, family_of
    from recli.encoders.texts import unique
    from recli.steps.embed.encode import ItemVectors, check_distinct, encode_texts

    family = family_of(config.model)
    texts = unique(_column(interactions, family.reads, config.model))
    _check_texts(texts, reporter)
    encoder = family.open(EncoderOptions(**{f.name: getattr(config, f.name) for f in fields(EncoderOptions)}))
    for note in encoder.notes:
        reporter.say(note)
    unread = encoder.warning(texts.texts)
    if unread:
        reporter.warn(unread)
    item_ids = interactions.items["item_id"].to_list()
    cache = Path(config.run) / "cache" / "embeddings"
    raw = encode_texts(encoder, texts, item_ids, cache, config.resume, reporter)
    check_distinct(raw, texts.texts, reporter)
    counts = {"texts": len(texts.texts), "without_text": texts.n_empty}
    return ItemVectors(raw, texts.row, counts, encoder.facts, encoder.matryoshka)


def _column(interactions: Interactions, name: str, model: str) -> Sequence[str | None]:
    """What the encoder reads of each item, (n_items,)."""
    if name not in interactions.items.columns:
        raise UsageError(f"--model {model} reads the items' {name}, which the run does not have")
    column: list[str | None] = interactions.items[name].to_list()
    return column


def _check_texts(texts: DistinctTexts, reporter: Reporter) -> None:
    if not texts.texts:
        raise RecliError(
            "no item has a text",
            "give prepare a catalogue: recli prepare LOG --items FILE --text '{title}' --out RUN",
        )
    empty = f", {texts.n_empty:,} without text get a zero vector" if texts.n_empty else ""
    reporter.say(f"{len(texts.row):,} items, {len(texts.texts):,} different texts{empty}")


def _reduction(config: EmbedConfig, matryoshka: bool, n_raw: int, reporter: Reporter) -> str:
    """How `--dim` reduces `n_raw` dimensions: `none`, `matryoshka` or `pca`."""
    if config.dim is None or config.dim == n_raw:
        return "none"
    if config.dim > n_raw:
        raise UsageError(f"--dim {config.dim}: {config.vectors or config.model} has {n_raw} dimensions")
    method, words = (
        ("matryoshka", "the first ones of a Matryoshka model")
        if matryoshka
        else ("pca", "principal components of the items")
    )
    reporter.say(f"{config.dim} of {n_raw} dimensions: {words}")
    return method


def _trained(interactions: Interactions) -> Bool:
    """Items with a training event, bool (n_items,)."""
    import numpy as np

    trained = np.zeros(interactions.n_items, dtype=np.bool_)
    trained[interactions.splits["train"]["item"].unique().to_numpy()] = True
    return trained
