"""sha256 of inputs: files are read again for it, stdin and pipes are digested as they are read."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any, BinaryIO, cast

from recli.data.files import sha256_file

_read_once: dict[str, Any] = {}  # by name: the digest of what was read of stdin or a pipe


class _Digested:
    """A stream that can be read once only, digested as it is read."""

    def __init__(self, name: str, file: BinaryIO) -> None:
        self._file = file
        self._digest = _read_once[name] = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._digest.update(data)
        return data

    def close(self) -> None:
        self._file.close()


def read_once(name: str, file: BinaryIO) -> BinaryIO:
    """The stream `file`, stdin or a pipe, so that `input_digests` knows the sha256 of what was read of it."""
    return cast(BinaryIO, _Digested(name, file))


def input_digests(role: str, sources: Sequence[str]) -> dict[str, str]:
    """sha256 of inputs that were read, by `ROLE/NAME`, their base names; of packed ones, as they are packed."""
    from recli.data.readers.streams import expand

    digests: dict[str, str] = {}
    for source in expand(sources):
        if source.path is not None and source.path.is_file():
            digest = sha256_file(source.path)
        elif str(source) in _read_once:
            digest = _read_once[str(source)].hexdigest()
        else:
            continue
        name, n = f"{role}/{source.name}", 2
        while name in digests:
            name, n = f"{role}/{source.name} ({n})", n + 1
        digests[name] = digest
    return digests
