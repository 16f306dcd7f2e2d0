"""Writes and reads the parts of a run: interactions, embeddings and models."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recli import schema
from recli.config import from_dict
from recli.data.arrays import unit_rows
from recli.data.history import History
from recli.data.interactions import Interactions, no_seen_events
from recli.data.weights import WeightTransform, stored_transform
from recli.errors import RecliError, quoted
from recli.models.base import Model, algorithms
from recli.models.wrappers import UNSCALED, ValueScale, item_counts, with_recency, with_scale
from recli.schema import VERSION, EmbeddingMeta, Float32
from recli.storage import quantization
from recli.storage.arrays import check_arrays, check_tables
from recli.storage.atomic import disk_errors, sha256_file
from recli.storage.metadata import ModelMeta, embedding_meta, encoder_meta, model_meta
from recli.storage.parts import (
    Part,
    PartReplaced,
    again_if_replaced,
    check_same_input,
    damaged,
    open_part,
    part_names,
    readable,
    write_part,
)
from recli.storage.safetensors_file import Array, Blocks


def write_interactions(
    run: Path,
    interactions: Interactions,
    config: dict[str, Any],
    summary: dict[str, Any],
    catalogue: pl.DataFrame | None = None,
    rejects: pl.DataFrame | None = None,
    inputs: dict[str, str] | None = None,
) -> None:
    """Write the part `interactions` of a run. Row i of `catalogue` describes item i.

    `inputs`: sha256 of the files it was made from, by what they are and their base names: `log/events.csv`.
    """
    with write_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS, config, inputs) as writer:
        writer.table("users", interactions.users)
        writer.table("items", interactions.items)
        for name, rows in interactions.splits.items():
            writer.table(name, rows)
        if interactions.seen_events.height:
            writer.table(schema.SEEN, interactions.seen_events)
        if catalogue is not None:
            writer.table("catalogue", catalogue)
        if rejects is not None:
            writer.table("rejects", rejects)
        writer.summary.update(summary)


@again_if_replaced
def read_interactions(run: Path) -> Interactions:
    """The part `interactions` of a run."""
    part = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    return _interactions(part, part.sha256)


def _interactions(part: Part, sha256: str) -> Interactions:
    # older runs, and those that nothing was filtered out of, do not have the table `seen`
    seen = [schema.SEEN] if part.has(f"{schema.SEEN}.parquet") else []
    tables = {name: part.table(name) for name in ("users", "items", *schema.SPLITS, *seen)}
    try:
        check_tables(tables)
    except ValueError as error:
        raise damaged(part.path, f"{error} (made by recli {part.made_by})") from None
    users, items = tables.pop("users"), tables.pop("items")
    others = tables.pop(schema.SEEN, no_seen_events())
    return Interactions(users, items, tables, sha256, others, _weights(part))


def _weights(part: Part) -> WeightTransform:
    """How weights became values; a model's manifest says it, too."""
    try:
        return stored_transform(part.summary.get("weight_transform", {}))
    except (TypeError, ValueError, AttributeError):
        raise damaged(part.path, "its manifest does not say how weights became values") from None


@dataclass(frozen=True)
class Run:
    """A run on disk, for inspection. Path-like: its path."""

    path: Path

    def __fspath__(self) -> str:
        return str(self.path)

    @cached_property
    def interactions(self) -> Interactions:
        """The part that `prepare` wrote: users, items and splits."""
        return read_interactions(self.path)

    @property
    def catalogue(self) -> pl.DataFrame | None:
        """See `read_catalogue`."""
        return read_catalogue(self.path)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models."""
        return tuple(part_names(self.path, schema.MODELS))

    @property
    def embeddings(self) -> tuple[str, ...]:
        """Names of the embeddings."""
        return tuple(part_names(self.path, schema.EMBEDDINGS))

    def vectors(self, name: str) -> Float32:
        """The vectors of the items, float32 (n_items, d), zero rows for items without text."""
        return read_embeddings(self.path, name)[0]

    def summary(self, *part: str) -> dict[str, Any]:
        """The summary of a part in its manifest: `summary("interactions")`, `summary("models", "hybrid")`."""
        return open_part(self.path.joinpath(*part), part[0]).summary


def read_run(path: str | os.PathLike[str]) -> Run:
    """The run in the folder `path`. Raises `RecliError` where there is none."""
    open_part(Path(path) / schema.INTERACTIONS, schema.INTERACTIONS)
    return Run(Path(path))


@again_if_replaced
def read_catalogue(run: Path) -> pl.DataFrame | None:
    """The catalogue's columns, row i for item i; None where `prepare` had no catalogue."""
    part = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    return _catalogue(part, part.table("items", [schema.ITEM_ID]).height)


def _catalogue(part: Part, n_items: int) -> pl.DataFrame | None:
    """The table `catalogue` of a part of interactions or of a model."""
    if not part.has("catalogue.parquet"):
        return None
    catalogue = part.table("catalogue")
    if catalogue.height != n_items:
        raise damaged(part.path, f"catalogue.parquet has {catalogue.height:,} rows for {n_items:,} items")
    return catalogue


@dataclass(frozen=True)
class StoredModel:
    """A model with all it needs to recommend: the interactions it was trained on, ids and catalogue."""

    name: str
    model: Model
    options: Any  # the algorithm's config
    meta: ModelMeta
    part: Part
    interactions: Interactions

    @property
    def algorithm(self) -> str:
        return self.meta.algorithm

    @property
    def trained_on(self) -> tuple[str, ...]:
        return self.meta.trained_on

    @property
    def encoder(self) -> EmbeddingMeta:
        """How the embeddings were made that the model scores texts with."""
        return encoder_meta(self.part)

    @cached_property
    def item_counts(self) -> Float32:
        """Users of each item in what the model was trained on, float32 (n_items,)."""
        return item_counts(self.interactions.matrix(*self.trained_on))

    @cached_property
    def similar_vectors(self) -> Float32 | None:
        """The model's item vectors at length 1, float32 (n_items, d): their products rank similar items; None: none."""
        vectors = self.model.item_vectors()
        return None if vectors is None else unit_rows(vectors)

    @property
    def catalogue(self) -> pl.DataFrame | None:
        return _catalogue(self.part, self.interactions.n_items)


def write_model(
    run: Path,
    name: str,
    algorithm: str,
    options: dict[str, Any],
    model: Model,
    *,
    seed: int,
    trained_on: tuple[str, ...] = ("train",),
    inputs: dict[str, str] | None = None,
    summary: dict[str, Any] | None = None,
    history_half_life: float = 0.0,
    storage_dtype: str = quantization.FLOAT32,
    scale: ValueScale = UNSCALED,
    user_factors: Float32 | None = None,
) -> Path:
    """Write `run/models/NAME`, self-contained: it also holds the interactions' tables (hard links on disk).

    `inputs`: sha256 of the other parts it was made from; that of the interactions is added. With
    `history_half_life`, `read_model` gives a `RecencyWeighted` model; with a `scale` of values, a `Rescaled` one.
    `storage_dtype`: what its matrices are stored as (`recli.storage.quantization`); `read_model` gives float32.
    `user_factors`: those that users are served by, float32 (n_users, d), in place of the ones it was trained with.
    """
    source = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    path = Path(run) / schema.MODELS / name
    config = {"algorithm": algorithm, "options": options, "seed": seed, "trained_on": list(trained_on)}
    if history_half_life:
        config["history_half_life"] = history_half_life
    if scale:
        config["value_scale"] = list(scale.numbers())
    with write_part(
        path, schema.MODELS, config, {schema.INTERACTIONS: source.sha256, **(inputs or {})}
    ) as writer:
        state = dict(model.state())
        if user_factors is not None:
            state["user_factors"] = user_factors
        if storage_dtype != quantization.FLOAT32:
            config["storage_dtype"], writer.format = storage_dtype, schema.FORMAT
            state = quantization.compact_state(state, _heights(source), storage_dtype)
        writer.tensors("model", state)
        for file in source.manifest["files"]:
            if file != "rejects.parquet":
                _link(source, file, writer.path / file)
        writer.summary.update(summary or {})
        weights = stored_transform(source.summary.get("weight_transform", {}))
        if weights.kind != "none":
            writer.summary["weight_transform"] = weights.described()
    return path


def _heights(interactions: Part) -> tuple[int, int]:
    """Numbers of users and of items."""
    users, items = (interactions.table(name, [schema.COLD]).height for name in ("users", "items"))
    return users, items


def _link(part: Part, name: str, target: Path) -> None:
    """Have a part's file at `target` too. A link's target is copied: it belongs to another tool (DVC, git-annex)."""
    source = part.file(name)
    with disk_errors(target):
        if part.path.is_symlink() or source.is_symlink():
            shutil.copyfile(source, target)
        else:
            try:
                os.link(source, target)
            except (OSError, AttributeError):  # another file system, or one without hard links
                shutil.copyfile(source, target)
    if sha256_file(target) != part.manifest["files"][name]:
        raise PartReplaced(part.path)


@again_if_replaced
def read_model(path: Path, interactions: Interactions | None = None) -> StoredModel:
    """The model at `path` (`run/models/NAME`, or a copy of it anywhere).

    `interactions`: those it was made from (see `check_same_input`), where they are in memory already. Raises
    `RecliError` where it is damaged, of an algorithm that is not installed, or of another version of recli with
    options or arrays that this one cannot read.
    """
    path = Path(path)
    part = open_part(path, schema.MODELS)
    meta = model_meta(part)
    check_algorithms(part)
    algorithm = algorithms[meta.algorithm]
    if interactions is None:
        interactions = _interactions(part, part.inputs.get(schema.INTERACTIONS, ""))
    with readable(part, _train_again(path, meta)):
        options = from_dict(algorithm.config, meta.options)
        state = quantization.expand_state(part.tensors("model"))
        check_arrays(state, interactions.n_users, interactions.n_items)
        model = with_recency(algorithm.load(options, state), meta.history_half_life)
        model = with_scale(model, meta.scale)
        stored = StoredModel(path.name, model, options, meta, part, interactions)
        _check_scores(stored)
    return stored


def _train_again(path: Path, meta: ModelMeta) -> str:
    run = path.parent.parent
    if algorithms[meta.algorithm].family == "cf":
        return f"train it again: recli train-cf {quoted(run)} --algorithm {meta.algorithm} --name {path.name}"
    return f"train it again: recli train-hybrid {quoted(run)} --name {path.name}"


def _check_scores(stored: StoredModel) -> None:
    """Raises `ValueError` (or what numpy does) where a model's arrays have not the shapes that fit the interactions.

    Scores the last user that it was trained on and, of another version's model, an unknown user.
    """
    from scipy.sparse import csr_matrix

    model, interactions = stored.model, stored.interactions
    trained = interactions.splits[stored.trained_on[0]][schema.USER]
    last = np.array([trained[-1]] if trained.len() else [], dtype=np.int64)
    event = np.ones(1, dtype=np.float32), ([0], [interactions.n_items - 1])
    unknown = History(csr_matrix(event, shape=(1, interactions.n_items))), np.array([-1])
    asked = [(interactions.only(last).history(stored.trained_on)[last], last)]
    for history, users in asked + [unknown] * (stored.part.made_by != VERSION):
        shape = model.score(history, users).shape
        if shape != history.shape:
            raise ValueError(f"its scores have the shape {shape}, not {history.shape}")
    for name, vectors in (("factors", model.item_embeddings()), ("vectors", model.item_vectors())):
        if vectors is not None and vectors.shape[0] != interactions.n_items:
            raise ValueError(
                f"its item {name} have the shape {vectors.shape}, for {interactions.n_items} items"
            )


def check_algorithms(part: Part) -> None:
    """Raises `RecliError` for a model of an algorithm, or with sources of one, that this installation does not have."""
    unknown = [name for name in model_meta(part).algorithms if name not in algorithms.names()]
    if unknown:
        raise RecliError(
            f"{part.path} needs the algorithm {unknown[0]!r}, which this installation of recli does not have",
            f"install the package that adds {unknown[0]}, or leave the model out",
        )


def models_with_known_algorithms(
    run: Path, names: Iterable[str], warn: Callable[[str], None]
) -> Iterator[str]:
    """Those of the named models of a run whose algorithms are installed; `warn` gets a line for each other one.

    A model whose manifest cannot be read is among them: reading it raises the error.
    """
    for name in names:
        try:
            needed = model_meta(open_part(Path(run) / schema.MODELS / name, schema.MODELS)).algorithms
        except RecliError:
            needed = ()
        unknown = [algorithm for algorithm in needed if algorithm not in algorithms.names()]
        if unknown:
            warn(f"the model {name} is left out: its algorithm {unknown[0]!r} is not installed")
        else:
            yield name


def write_embeddings(
    run: Path,
    name: str,
    vectors: Float32 | Blocks,
    center: Float32,
    config: dict[str, Any],
    summary: dict[str, Any],
    *,
    projection: Float32 | None = None,
    dtype: str = "float32",
    inputs: Mapping[str, str] | None = None,
) -> Path:
    """Write `run/embeddings/NAME`: `vectors` float32 (n_items, d), `center` float32 (d,) taken off them.

    `vectors`: of length 1 at most where they come in blocks. `projection`: float32 (raw dimensions, d), applied
    before the centering, where there was one. `dtype`: what vectors are stored as, float32, float16 or int8.
    `inputs`: sha256 of the files that they come from.
    """
    source = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    path = Path(run) / schema.EMBEDDINGS / name
    sources = {schema.INTERACTIONS: source.sha256, **(inputs or {})}
    with write_part(path, schema.EMBEDDINGS, config, sources) as writer:
        extra = {} if projection is None else {"projection": projection}
        if dtype != quantization.FLOAT32:
            writer.format = schema.FORMAT
        stored: Mapping[str, Array | Blocks]
        if isinstance(vectors, Blocks):
            stored = quantization.compact_blocks("vectors", vectors, dtype)
        else:
            stored = quantization.compact("vectors", vectors, dtype)
        writer.tensors("vectors", {**stored, "center": center, **extra})
        writer.summary.update(summary)
    return path


@again_if_replaced
def read_embeddings(run: Path, name: str) -> tuple[Float32, Part]:
    """The vectors of `run/embeddings/NAME`, float32 (n_items, d), zero rows for items without text."""
    part = open_part(Path(run) / schema.EMBEDDINGS / name, schema.EMBEDDINGS)
    source = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    own = part.config.get("vectors")  # of a file: no encoder makes them again
    words = f"recli embed {quoted(run)}{f' --vectors {quoted(str(own))}' if own else ''}"
    words += f" --ids {quoted(str(part.config['ids']))}" if own and part.config.get("ids") else ""
    words += f" --name {quoted(name)}"
    check_same_input(part, schema.INTERACTIONS, source.sha256, words)
    embedding_meta(part)
    n_items = _heights(source)[1]
    with readable(part, f"make it again: {words}"):
        tensors = part.tensors("vectors")
        vectors = quantization.expand("vectors", tensors)
        if vectors.shape != (n_items, *tensors["center"].shape) or vectors.ndim != 2:
            raise ValueError(f"vectors of the shape {vectors.shape}, for {n_items} items")
        if not np.isfinite(vectors).all():
            raise ValueError("vectors that are not finite numbers")
    return vectors, part
