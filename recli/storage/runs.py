"""What a run holds: interactions, embeddings and models, written and read as parts."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recli import schema
from recli.config import from_dict
from recli.data.interactions import Interactions
from recli.models.base import Model, algorithms
from recli.models.wrappers import item_counts, with_recency
from recli.schema import Float32
from recli.storage import quantization
from recli.storage.parts import Part, check_same_input, open_part, write_part
from recli.storage.safetensors_file import Array, Blocks

if TYPE_CHECKING:
    import polars as pl


def write_interactions(
    run: Path,
    made: Interactions,
    config: dict[str, Any],
    summary: dict[str, Any],
    catalogue: "pl.DataFrame | None" = None,
    rejects: "pl.DataFrame | None" = None,
) -> None:
    """Write the part `interactions` of a run. Row i of `catalogue` describes item i."""
    with write_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS, config) as draft:
        draft.table("users", made.users)
        draft.table("items", made.items)
        for name, rows in made.splits.items():
            draft.table(name, rows)
        if catalogue is not None:
            draft.table("catalogue", catalogue)
        if rejects is not None:
            draft.table("rejects", rejects)
        draft.summary.update(summary)


def read_interactions(run: Path) -> Interactions:
    """The part `interactions` of a run."""
    part = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    splits = {name: part.table(name) for name in schema.SPLITS}
    return Interactions(part.table("users"), part.table("items"), splits, part.sha256)


def read_catalogue(run: Path) -> "pl.DataFrame | None":
    """The catalogue's columns, row i for item i; None where `prepare` had no catalogue."""
    part = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    return part.table("catalogue") if part.has("catalogue.parquet") else None


@dataclass(frozen=True)
class StoredModel:
    """A model with all it needs to recommend: the interactions it was trained on, ids and catalogue."""

    name: str
    algorithm: str
    model: Model
    part: Part
    interactions: Interactions
    trained_on: tuple[str, ...]  # splits, ("train",) or ("train", "validation")

    @cached_property
    def item_counts(self) -> Float32:
        """Users of each item in what the model was trained on, float32 (n_items,)."""
        return item_counts(self.interactions.matrix(*self.trained_on))

    @property
    def catalogue(self) -> "pl.DataFrame | None":
        return self.part.table("catalogue") if self.part.has("catalogue.parquet") else None


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
) -> Path:
    """Write `run/models/NAME`, self-contained: it also holds the interactions' tables (hard links on disk).

    `inputs`: sha256 of the other parts it was made from; that of the interactions is added. With
    `history_half_life`, `read_model` gives a `RecencyWeighted` model.
    `storage_dtype`: what its matrices are stored as (`recli.storage.quantization`); `read_model` gives float32.
    """
    source = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    path = Path(run) / schema.MODELS / name
    config = {"algorithm": algorithm, "options": options, "seed": seed, "trained_on": list(trained_on)}
    if history_half_life:
        config["history_half_life"] = history_half_life
    with write_part(
        path, schema.MODELS, config, {schema.INTERACTIONS: source.sha256, **(inputs or {})}
    ) as draft:
        state = model.state()
        if storage_dtype != quantization.FLOAT32:
            config["storage_dtype"], draft.format = storage_dtype, schema.FORMAT
            state = quantization.compact_state(state, _heights(source), storage_dtype)
        draft.tensors("model", state)
        for file in source.manifest["files"]:
            if file != "rejects.parquet":
                _link(source.file(file), draft.path / file)
        draft.summary.update(summary or {})
    return path


def _heights(interactions: Part) -> tuple[int, int]:
    """Numbers of users and of items."""
    import polars as pl

    users, items = (
        pl.scan_parquet(interactions.file(f"{name}.parquet")).select(pl.len()).collect().item()
        for name in ("users", "items")
    )
    return users, items


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copyfile(source, target)


def read_model(path: Path, interactions: Interactions | None = None) -> StoredModel:
    """The model at `path` (`run/models/NAME`, or a copy of it anywhere).

    `interactions`: those it was made from (see `check_same_input`), where they are in memory already.
    """
    path = Path(path)
    part = open_part(path, schema.MODELS)
    stored = part.config
    algorithm = algorithms[stored["algorithm"]]
    options = from_dict(algorithm.config, stored["options"])
    state = quantization.expand_state(part.tensors("model"))
    model = with_recency(algorithm.load(options, state), stored.get("history_half_life", 0.0))
    if interactions is None:
        splits = {name: part.table(name) for name in schema.SPLITS}
        sha256 = part.manifest["inputs"][schema.INTERACTIONS]
        interactions = Interactions(part.table("users"), part.table("items"), splits, sha256)
    return StoredModel(path.name, algorithm.name, model, part, interactions, tuple(stored["trained_on"]))


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
) -> Path:
    """Write `run/embeddings/NAME`: `vectors` float32 (n_items, d), `center` float32 (d,) taken off them.

    `vectors`: of length 1 at most where they come in blocks. `projection`: float32 (raw dimensions, d), applied
    before the centring, where there was one. `dtype`: what vectors are stored as, float32, float16 or int8.
    """
    source = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    path = Path(run) / schema.EMBEDDINGS / name
    with write_part(path, schema.EMBEDDINGS, config, {schema.INTERACTIONS: source.sha256}) as draft:
        extra = {} if projection is None else {"projection": projection}
        if dtype != quantization.FLOAT32:
            draft.format = schema.FORMAT
        stored: Mapping[str, Array | Blocks]
        if isinstance(vectors, Blocks):
            stored = quantization.compact_blocks("vectors", vectors, dtype)
        else:
            stored = quantization.compact("vectors", vectors, dtype)
        draft.tensors("vectors", {**stored, "center": center, **extra})
        draft.summary.update(summary)
    return path


def read_embeddings(run: Path, name: str) -> tuple[Float32, Part]:
    """The vectors of `run/embeddings/NAME`, float32 (n_items, d), zero rows for items without text."""
    part = open_part(Path(run) / schema.EMBEDDINGS / name, schema.EMBEDDINGS)
    source = open_part(Path(run) / schema.INTERACTIONS, schema.INTERACTIONS)
    check_same_input(part, schema.INTERACTIONS, source.sha256, f"recli embed {run} --name {name}")
    return quantization.expand("vectors", part.tensors("vectors")), part
