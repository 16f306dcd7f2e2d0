"""What was computed before, kept in a run: vectors of texts, so that no text is encoded twice, and indexes of items.

Vectors are a folder of safetensors shards, an index is a file; each is written whole or not at all. What is damaged
costs time, never correctness. Any of it may be deleted.
"""

import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recli.schema import Bool, Float32

Keys = npt.NDArray[np.uint8]  # (n, 16)

_ROWS = 4096
_SECONDS = 20.0


def read(folder: Path, keys: Keys, warn: Callable[[str], None]) -> tuple[Bool, Float32]:
    """Look keys up in a cache: which were found, bool (n,), and their vectors, float32 (n, d), zero where not found.

    d is 0 where the cache is empty. Damaged shards are removed; `warn` is told of each.
    """
    found = np.zeros(len(keys), dtype=np.bool_)
    vectors = np.zeros((len(keys), 0), dtype=np.float32)
    place = {key.tobytes(): row for row, key in enumerate(keys)}
    for path in sorted(folder.glob("shard-*.safetensors")):
        shard = _load(path)
        if shard is None or (vectors.shape[1] and shard[1].shape[1] != vectors.shape[1]):
            warn(f"{path.name} in {folder} is damaged: removed, its texts are encoded again")
            path.unlink(missing_ok=True)
            continue
        stored, values = shard
        if not vectors.shape[1]:
            vectors = np.zeros((len(keys), values.shape[1]), dtype=np.float32)
        pairs = [(place[k], i) for i, k in enumerate(map(bytes, stored)) if k in place]
        if pairs:
            rows, sources = np.array(pairs).T
            vectors[rows], found[rows] = values[sources], True
    return found, vectors


def _load(path: Path) -> tuple[Keys, Float32] | None:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        stored = load(path.read_bytes())
        keys, vectors = stored["keys"], stored["vectors"]
        if stored["check"].tobytes() != _check(keys, vectors) or keys.shape != (len(vectors), 16):
            return None
    except (SafetensorError, KeyError, ValueError):
        return None
    return keys, vectors


def _check(keys: npt.NDArray[Any], vectors: npt.NDArray[Any]) -> bytes:
    return hashlib.blake2b(keys.tobytes() + vectors.tobytes(), digest_size=16).digest()


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

    def __enter__(self) -> "Writer":
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
        from safetensors.numpy import save

        self._since = time.monotonic()
        if not self._waiting:
            return
        keys = np.ascontiguousarray(np.concatenate(self._keys))
        vectors = np.ascontiguousarray(np.concatenate(self._vectors), dtype=np.float32)
        self._keys, self._vectors, self._waiting = [], [], 0
        check = _check(keys, vectors)
        data = save({"keys": keys, "vectors": vectors, "check": np.frombuffer(check, dtype=np.uint8)})
        _write_whole(self._folder / f"shard-{check.hex()}.safetensors", data)


def _write_whole(target: Path, data: bytes) -> None:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def clear(folder: Path) -> None:
    """Forget what a cache holds, and what killed writers left in it."""
    for path in [*folder.glob("shard-*.safetensors"), *folder.glob(".shard-*.tmp")]:
        path.unlink(missing_ok=True)


def save_index(path: Path, made_from: str, index: npt.NDArray[np.uint8]) -> None:
    """Keep an index's bytes at `path`, in the place of an older one; `made_from` says of what it was made."""
    from safetensors.numpy import save

    key = np.frombuffer(made_from.encode(), dtype=np.uint8)
    check = np.frombuffer(_check(key, index), dtype=np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_whole(path, save({"key": key, "index": index, "check": check}))


def read_index(path: Path, made_from: str) -> npt.NDArray[np.uint8] | None:
    """The bytes that were kept at `path`; None where there are none, of something else, or damaged ones."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        stored = load_file(path)
        key, index = stored["key"], stored["index"]
        whole = stored["check"].tobytes() == _check(key, index)
    except (SafetensorError, OSError, KeyError, ValueError):
        return None
    return index if whole and key.tobytes() == made_from.encode() else None
