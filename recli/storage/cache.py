"""The cache of a run: vectors of texts, so that no text is encoded twice, and indexes of items.

Vectors are a folder of safetensors shards, an index is a file; each is written whole or not at all. A damaged file is
recomputed. The cache may be deleted.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recli.schema import Bool, Float32, Int32, Int64, State
from recli.storage import safetensors_file
from recli.storage.atomic import remove_all_abandoned, write_file

Keys = npt.NDArray[np.uint8]  # (n, 16)

_ROWS = 4096
_SECONDS = 20.0


@dataclass(frozen=True)
class CachedVectors:
    """Where the vectors of some keys are in a cache. `shard`, `row`: int32 (n,), -1 for what it does not have."""

    shards: list[Path]
    shard: Int32
    row: Int32
    dim: int  # 0 where the cache is empty

    @property
    def is_cached(self) -> Bool:
        return self.shard >= 0

    def take(self, rows: Int64) -> Float32:
        """The vectors of the keys in these rows, float32 (m, dim), zero where there is none."""
        vectors = np.zeros((rows.size, self.dim), dtype=np.float32)
        shard, row = self.shard[rows], self.row[rows]
        for number in np.unique(shard[shard >= 0]):
            inside = shard == number
            vectors[inside] = safetensors_file.read(self.shards[number])["vectors"][row[inside]]
        return vectors


def read(folder: Path, keys: Keys, warn: Callable[[str], None]) -> CachedVectors:
    """Look keys up in a cache. Damaged shards are removed; `warn` is called for each. So is what was left behind."""
    remove_all_abandoned(folder)
    shard, row = (np.full(len(keys), -1, dtype=np.int32) for _ in range(2))
    by_key = np.ascontiguousarray(keys).view("S16").ravel()
    order = np.argsort(by_key)
    ordered, dim = by_key[order], 0
    shards: list[Path] = []
    for path in sorted(folder.glob("shard-*.safetensors")):
        loaded = _load(path)
        if loaded is None or (dim and loaded[1].shape[1] != dim):
            warn(f"{path.name} in {folder} is damaged: removed, its texts are encoded again")
            path.unlink(missing_ok=True)
            continue
        stored, dim = np.ascontiguousarray(loaded[0]).view("S16").ravel(), loaded[1].shape[1]
        position = np.minimum(np.searchsorted(ordered, stored), max(0, len(keys) - 1))
        here = np.flatnonzero(ordered[position] == stored) if len(keys) else np.empty(0, dtype=np.int64)
        shard[order[position[here]]], row[order[position[here]]] = len(shards), here
        shards.append(path)
    return CachedVectors(shards, shard, row, dim)


def _load(path: Path) -> tuple[Keys, Float32] | None:
    from safetensors import SafetensorError

    try:
        stored = safetensors_file.read(path)
        keys, vectors = stored["keys"], stored["vectors"]
        if stored["check"].tobytes() != _check(keys, vectors) or keys.shape != (len(vectors), 16):
            return None
    except (SafetensorError, KeyError, ValueError):
        return None
    return keys, vectors


def _check(*arrays: npt.NDArray[Any]) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


class Writer:
    """Collects vectors and writes them in shards: every 4,096 rows or 20 seconds, and when the block ends, however.

    `with Writer(folder) as cache: cache.add(keys, vectors)`.
    """

    def __init__(self, folder: Path, rows: int = _ROWS, seconds: float = _SECONDS) -> None:
        self._folder = folder
        self._rows = rows
        self._seconds = seconds
        self._keys: list[Keys] = []
        self._vectors: list[Float32] = []
        self._waiting = 0
        self._since = time.monotonic()

    def __enter__(self) -> Writer:
        self._folder.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def add(self, keys: Keys, vectors: Float32) -> None:
        """Remember `vectors` float32 (n, d) under `keys` uint8 (n, 16)."""
        self._keys.append(keys)
        self._vectors.append(vectors)
        self._waiting += len(keys)
        if self._waiting >= self._rows or time.monotonic() - self._since >= self._seconds:
            self.flush()

    def flush(self) -> None:
        """Write what waits as one shard, named after its content."""
        self._since = time.monotonic()
        if not self._waiting:
            return
        keys = np.ascontiguousarray(np.concatenate(self._keys))
        vectors = np.ascontiguousarray(np.concatenate(self._vectors), dtype=np.float32)
        self._keys, self._vectors, self._waiting = [], [], 0
        check = _check(keys, vectors)
        arrays: State = {"keys": keys, "vectors": vectors, "check": np.frombuffer(check, dtype=np.uint8)}
        _write_whole(self._folder / f"shard-{check.hex()}.safetensors", arrays)


def _write_whole(target: Path, arrays: State) -> None:
    with write_file(target) as path:
        safetensors_file.write(path, arrays)


def clear(folder: Path) -> None:
    """Delete the content of a cache."""
    for path in folder.glob("shard-*.safetensors"):
        path.unlink(missing_ok=True)


def save_index(path: Path, made_from: str, index: npt.NDArray[np.uint8]) -> None:
    """Keep an index's bytes at `path`, in the place of an older one; `made_from` says of what it was made."""
    key = np.frombuffer(made_from.encode(), dtype=np.uint8)
    check = np.frombuffer(_check(key, index), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_whole(path, {"key": key, "index": index, "check": check})


def read_index(path: Path, made_from: str) -> npt.NDArray[np.uint8] | None:
    """The bytes that were kept at `path`; None where there are none, of something else, or damaged ones."""
    from safetensors import SafetensorError

    try:
        stored = safetensors_file.read(path)
        key, index = stored["key"], stored["index"]
        whole = stored["check"].tobytes() == _check(key, index)
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    return index if whole and key.tobytes() == made_from.encode() else None
