"""Vectors that the user made: `embed --vectors FILE [--ids FILE]`, matched with the run's items by id."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from recli.data.files import sha256_file
from recli.data.interactions import Interactions
from recli.data.readers.column_roles import CATALOGUE_ITEM, recognize, unwrap
from recli.data.readers.options import LISTS, ReadOptions
from recli.data.readers.sample import column_names, sample_columns
from recli.data.readers.values import normalize
from recli.errors import InvalidDataError, RecliError
from recli.reporting import Reporter, counted
from recli.schema import Float32, Int64
from recli.steps.embed.config import EmbedConfig
from recli.steps.embed.encode import ItemVectors, RawVectors

Matrix = npt.NDArray[Any]

_TABLES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
_PACKED = (".gz", ".zst")
_BLOCK_ROWS = 1 << 14  # rows that are checked at a time
_ID_NAMES = {name for tier in CATALOGUE_ITEM.names for name in tier}


@dataclass(frozen=True)
class _Table:
    """The vectors of a file, (n, d) of any numbers, and whose they are, (n,). `ids`: None where it has none."""

    vectors: Matrix
    ids: pl.Series | None = None


def read_vectors(config: EmbedConfig, interactions: Interactions, reporter: Reporter) -> ItemVectors:
    """The vectors of `config.vectors`, matched with the items by id.

    Raises `InvalidDataError` where ids and vectors are not as many, an id is missing, one has two vectors, a vector
    has NaN or infinity, or no id is an item's.
    """
    assert config.vectors is not None
    path, ids_path = Path(config.vectors), None if config.ids is None else Path(config.ids)
    for option, file in (("--vectors", path), ("--ids", ids_path)):
        if file is not None and not file.is_file():
            raise RecliError(f"{option} {file}: there is no such file", "check the path")
    table = _OPEN[path.suffix.lower()](path, ids_path is not None, reporter)
    ids = table.ids if ids_path is None else _read_ids(ids_path, len(table.vectors), reporter)
    assert ids is not None
    if len(ids) != len(table.vectors):
        raise InvalidDataError(
            f"{ids_path} has {len(ids):,} ids, {path} has {len(table.vectors):,} vectors",
            "both need the same rows, in the same order",
        )
    ids = _checked(ids, ids_path or path)
    _check_finite(table.vectors, ids, path)
    first, n_repeated = _first_rows(table.vectors, ids, path)
    row, n_matched = _match(ids, first, interactions, path, reporter)
    n_items, n_without = len(row), int((row < 0).sum())
    n_other = len(first) - n_matched
    reporter.say(
        f"{path.name}: {counted(len(ids), 'vector')} of {counted(table.vectors.shape[1], 'dimension')}; "
        f"{n_items - n_without:,} of {counted(n_items, 'item')} have one"
        + (f", {n_without:,} without get a zero vector" if n_without else "")
        + (f"; {n_other:,} are of ids that are not in the run" if n_other else "")
        + (f"; {n_repeated:,} are the same as an earlier one of their id" if n_repeated else "")
    )
    vectors = table.vectors
    summary = {
        "with_vector": n_items - n_without,
        "without_vector": n_without,
        "not_in_run": n_other,
        "repeated": n_repeated,
    }
    inputs = {f"vectors/{path.name}": sha256_file(path)}
    if ids_path is not None:
        inputs[f"ids/{ids_path.name}"] = sha256_file(ids_path)
    raw = RawVectors(lambda rows: _floats(vectors[rows]), vectors.shape[1])
    return ItemVectors(raw, row, summary, {}, inputs=inputs)


def _floats(vectors: Matrix) -> Float32:
    with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, and is refused
        return np.ascontiguousarray(vectors, dtype=np.float32)


def _npy(path: Path, with_ids: bool, reporter: Reporter) -> _Table:
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        what = (
            "holds Python objects, not numbers"
            if re.search("pickle|Python objects", str(error))
            else "is no array of numpy's"
        )
        raise InvalidDataError(
            f"--vectors {path} {what}", "write it with numpy.save(FILE, array), of float32"
        ) from None
    return _Table(_matrix(array, str(path)))


def _safetensors(path: Path, with_ids: bool, reporter: Reporter) -> _Table:
    from recli.storage import safetensors_file

    try:
        arrays = safetensors_file.read_foreign(path)
    except (ValueError, OSError) as error:
        raise InvalidDataError(
            f"--vectors {path} cannot be read: {error}", "write float32 or float16 arrays"
        ) from None
    tables = {name: array for name, array in arrays.items() if array.ndim == 2 and array.dtype.kind in "fiu"}
    if len(tables) != 1:
        named = ", ".join(f"{name} {list(array.shape)}" for name, array in list(arrays.items())[:10])
        raise InvalidDataError(
            f"--vectors {path} has {len(tables)} matrices: {named or 'it is empty'}",
            "write a file with one, a row for each item",
        )
    return _Table(_matrix(next(iter(tables.values())), str(path)))


def _matrix(array: Matrix, where: str) -> Matrix:
    """The array if it is a matrix of numbers. Raises `InvalidDataError`."""
    if array.ndim != 2 or array.dtype.kind not in "fiu" or 0 in array.shape:
        raise InvalidDataError(
            f"{where} holds {array.dtype} of the shape {list(array.shape)}",
            "it needs numbers of the shape [items, dimensions]: a row for each item",
        )
    return array


def _parquet(path: Path, with_ids: bool, reporter: Reporter) -> _Table:
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise InvalidDataError(
            f"--vectors {path} cannot be read: {str(error).splitlines()[0]}", "is it a Parquet file?"
        ) from None
    ids = None
    if not with_ids or any(unwrap(name) in _ID_NAMES for name in frame.columns):
        name = frame.columns[recognize(frame.columns, (CATALOGUE_ITEM,), _options(), str(path))["item"]]
        ids, frame = frame[name], frame.drop(name)
    lists = [name for name, kind in frame.schema.items() if _is_vector(kind)]
    if len(lists) > 1:
        raise InvalidDataError(
            f"{path} has {len(lists)} columns of lists: {', '.join(lists)}",
            "write a file with one of them, and the ids",
        )
    return _Table(_from_lists(frame[lists[0]], path) if lists else _from_columns(frame, path, reporter), ids)


def _is_vector(kind: pl.DataType) -> bool:
    return isinstance(kind, pl.List | pl.Array) and kind.inner.is_numeric()


def _from_lists(column: pl.Series, path: Path) -> Matrix:
    lists = column.cast(pl.List(column.dtype.inner)) if isinstance(column.dtype, pl.Array) else column
    lengths = lists.list.len().fill_null(0)
    odd = lengths != lengths[0] if len(lengths) else lengths
    if odd.any() or not len(lengths) or not lengths[0]:
        row = int(odd.arg_max() or 0) if len(lengths) else 0
        raise InvalidDataError(
            f"{path}: the vector of row {row + 1:,} in {column.name!r} has "
            f"{lengths[row] if len(lengths) else 0} dimensions"
            + (f", that of row 1 has {lengths[0]}" if row else ""),
            "all need the same number of dimensions; leave out rows without a vector: their items get a zero one",
        )
    flat = lists.explode()
    return flat.fill_null(np.nan).to_numpy().reshape(len(lists), -1)


def _from_columns(frame: pl.DataFrame, path: Path, reporter: Reporter) -> Matrix:
    index = re.compile(r"__index_level_\d+__")  # pandas' row labels
    names = [n for n, kind in frame.schema.items() if kind.is_numeric() and not index.fullmatch(n)]
    if not names or not frame.height:
        found = ", ".join(f"{name} ({kind})" for name, kind in list(frame.schema.items())[:10])
        raise InvalidDataError(
            f"--vectors {path} has no vectors: {found or 'no other column than the ids'}",
            "it needs a column of lists of numbers, or a column of numbers for each dimension",
        )
    stems = Counter(re.sub(r"\d+$", "", name) for name in names)
    common = stems.most_common(1)[0][0]
    odd = [name for name in names if re.sub(r"\d+$", "", name) != common]
    if odd and len(odd) < len(names) / 2:
        reporter.warn(
            f"{path.name}: every column of numbers counts as a dimension, also {', '.join(map(repr, odd[:3]))}: "
            "leave out of the file what is none"
        )
    shown = names if len(names) < 4 else [names[0], "...", names[-1]]
    reporter.say(f"{path.name}: {counted(len(names), 'dimension')} from the columns {', '.join(shown)}")
    return frame.select(pl.col(names).cast(pl.Float64).fill_null(np.nan)).to_numpy()


_OPEN = {".npy": _npy, ".safetensors": _safetensors, ".parquet": _parquet}


def _options() -> ReadOptions:
    return ReadOptions(advice=LISTS)


def _read_ids(path: Path, n_vectors: int, reporter: Reporter) -> pl.Series:
    """The ids of a file in their order: an array of numpy's, the id column of a table, or the lines of a text."""
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() not in _PACKED]
    suffix = suffixes[-1] if suffixes else ""
    if suffix == ".npy":
        return _array_of_ids(path)
    if suffix in _TABLES and not _has_one_column(path, suffix):
        names = column_names([str(path)], _options(), catalogue=True)
        name = names[recognize(names, (CATALOGUE_ITEM,), _options(), str(path))["item"]]
        if suffix == ".parquet":
            return pl.read_parquet(path, columns=[name])[name]
        return sample_columns([str(path)], _options(), [name], catalogue=True, rows=None)[name]
    lines = _lines(path)
    if len(lines) == n_vectors + 1 and unwrap(lines[0]) in _ID_NAMES:
        reporter.say(f"{path.name}: the first line, {lines[0]!r}, is the name of the column")
        lines = lines[1:]
    return pl.Series("id", lines, dtype=pl.String)


def _has_one_column(path: Path, suffix: str) -> bool:
    """Whether a .csv or .tsv is a list of ids: its first line has no separator."""
    if suffix not in (".csv", ".tsv") or path.suffix.lower() in _PACKED:
        return False
    lines = _lines(path)
    return bool(lines) and not re.search(r"[,;\t|\"]|::", lines[0])


def _lines(path: Path) -> list[str]:
    """The lines of a text, without blanks around them and empty ones at the end."""
    try:
        return path.read_text(encoding="utf-8-sig").rstrip().split("\n")
    except UnicodeDecodeError:
        raise InvalidDataError(f"--ids {path} is not UTF-8 text", "write one id in each line") from None


def _array_of_ids(path: Path) -> pl.Series:
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError):
        array = np.zeros(0)
    if array.ndim != 1 or array.dtype.kind not in "iuUS":
        raise InvalidDataError(
            f"--ids {path} is no array of ids",
            "write one id in each line: numpy.savetxt(FILE, ids, fmt='%s')",
        )
    return pl.Series("id", array.astype(str))


def _checked(ids: pl.Series, where: Path) -> pl.Series:
    """The ids as prepare writes a catalogue's. Raises `InvalidDataError` where one is missing."""
    frame = pl.DataFrame({"line": pl.int_range(1, len(ids) + 1, eager=True), "item": ids})
    good, faults = normalize(frame, (CATALOGUE_ITEM,))
    if faults:
        line, _, reason, _ = faults[0]
        raise InvalidDataError(
            f"{where}: {reason} in row {line:,}"
            + (f", and in {counted(len(faults) - 1, 'other')}" if len(faults) > 1 else ""),
            "every vector needs its item's id",
        )
    return good["item_id"]


def _check_finite(vectors: Matrix, ids: pl.Series, path: Path) -> None:
    for start in range(0, len(vectors), _BLOCK_ROWS):
        finite = np.isfinite(_floats(vectors[start : start + _BLOCK_ROWS])).all(axis=1)
        if not finite.all():
            row = start + int(finite.argmin())
            raise InvalidDataError(
                f"{path}: NaN, infinity or a number beyond 32-bit floats in the vector of {ids[row]!r} "
                f"(row {row + 1:,})",
                "leave that row out: an item without a vector gets a zero one",
            )


def _first_rows(vectors: Matrix, ids: pl.Series, path: Path) -> tuple[pl.DataFrame, int]:
    """Each id with its first row, and how many rows repeat one. Raises `InvalidDataError` where such differ."""
    rows = pl.DataFrame({"item_id": ids}).with_row_index("row")
    first = rows.unique("item_id", keep="first", maintain_order=True)
    repeats = rows.join(first, on="item_id", how="left", maintain_order="left", suffix="_first").filter(
        pl.col("row") != pl.col("row_first")
    )
    for row, item_id, earlier in repeats.iter_rows():
        if not np.array_equal(vectors[row], vectors[earlier]):
            raise InvalidDataError(
                f"{path}: {item_id!r} has two vectors, in the rows {earlier + 1:,} and {row + 1:,}",
                "give each item one vector",
            )
    return first, repeats.height


def _match(
    ids: pl.Series, first: pl.DataFrame, interactions: Interactions, path: Path, reporter: Reporter
) -> tuple[Int64, int]:
    """The row of each item's vector, int64 (n_items,), -1 where it has none; how many ids are items."""
    items = interactions.items.select("item_id")
    matched = items.join(first, on="item_id", how="left", maintain_order="left")["row"]
    n_matched = len(matched) - matched.null_count()
    examples = f"{path.name} has {ids[0]!r}, the run {items['item_id'][0]!r}"
    hint = _spelling(ids, items["item_id"])
    if not n_matched:
        raise InvalidDataError(f"none of the ids of {path} is an item of the run: {examples}{hint}", _ADVICE)
    if 2 * n_matched < min(len(first), len(items)):
        only = first.filter(~pl.col("item_id").is_in(items["item_id"].to_list()))["item_id"]
        other = items["item_id"].filter(matched.is_null())
        reporter.warn(
            f"only {n_matched:,} of {len(items):,} items have a vector: {path.name} has {only[0]!r}, "
            f"the run {other[0]!r}{hint}"
        )
    return matched.cast(pl.Int64).fill_null(-1).to_numpy().copy(), n_matched


_ADVICE = "name the ids that prepare read: --ids FILE, or a column such as item_id"


def _spelling(ids: pl.Series, items: pl.Series) -> str:
    """A way to write ids under which more of them would match, as the end of a message."""
    plain = _share(ids, items)
    ways: dict[str, Any] = {
        "in lower case": lambda s: s.str.to_lowercase(),
        "without leading zeros and .0": lambda s: s.str.replace(r"^0+(\d)", "$1").str.replace(r"\.0+$", ""),
    }
    better = [name for name, way in ways.items() if _share(way(ids), way(items)) > plain]
    return f"; more would match {better[0]}" if better else ""


def _share(ids: pl.Series, items: Sequence[str] | pl.Series) -> int:
    return int(pl.Series(items).is_in(ids.unique().to_list()).sum())
