"""Reads safetensors files lazily and writes them block by block, without a copy in memory.

The format: the length of a header (8 bytes), the header (JSON: type, shape and offset of each array), the arrays.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from recli.schema import State

Array = npt.NDArray[Any]

_KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "|b1"} | {
    f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)
}
_NAMES = {np.dtype(code): kind for kind, code in _KINDS.items()}


@dataclass(frozen=True)
class Blocks:
    """An array that is generated block by block, each time that it is needed."""

    shape: tuple[int, ...]
    dtype: str
    rows: Callable[[], Iterable[Array]]


def read(path: Path) -> State:
    """The arrays of a file, each read when it is used. Writing to them leaves the file as it is.

    safetensors itself copies all (200 MB: 0.2 to 0.6 s, where one user's list is to take a second). Raises
    `SafetensorError` for what is no such file, `ValueError` for numbers that numpy does not have.
    """
    from safetensors import safe_open

    with safe_open(path, framework="numpy"):  # it checks the header
        pass
    whole = np.memmap(path, dtype=np.uint8, mode="c").view(np.ndarray)
    start = 8 + int(whole[:8].view("<u8")[0])
    header = json.loads(whole[8:start].tobytes())
    header.pop("__metadata__", None)
    unknown = sorted({entry["dtype"] for entry in header.values()} - set(_KINDS))
    if unknown:
        raise ValueError(f"numbers of the kind {unknown[0]}")
    return {
        name: whole[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]]
        .view(_KINDS[entry["dtype"]])
        .reshape(entry["shape"])
        for name, entry in header.items()
    }


def read_foreign(path: Path) -> State:
    """`read`, with a `ValueError` for what is no such file."""
    from safetensors import SafetensorError

    try:
        return read(path)
    except SafetensorError as error:
        raise ValueError(str(error)) from None


def write(path: Path, arrays: Mapping[str, Array | Blocks]) -> None:
    """Write arrays, contiguous ones or not, as safetensors orders them: the widest numbers first, then by name."""
    kinds = {name: np.dtype(array.dtype) for name, array in arrays.items()}
    order = sorted(arrays, key=lambda name: (-kinds[name].itemsize, name))
    header, end = {}, 0
    for name in order:
        start, end = end, end + kinds[name].itemsize * math.prod(arrays[name].shape)
        shape = list(arrays[name].shape)
        header[name] = {"dtype": _NAMES[kinds[name]], "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in order:
            array = arrays[name]
            for block in array.rows() if isinstance(array, Blocks) else [array]:
                file.write(np.ascontiguousarray(block, dtype=kinds[name]).data)
        if file.tell() != 8 + len(text) + end:
            raise ValueError(f"{path.name}: the blocks are not as many rows as was said")
