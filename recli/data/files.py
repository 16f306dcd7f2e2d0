"""File helpers: sha256, and disk-full errors that name the folder."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import polars as pl


def sha256_file(path: Path) -> str:
    """sha256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Raise a full disk as an `OSError` that names the folder of `path`.

    polars raises an exception of its own or an `OSError` without a number, and an open file leaves its name out.
    """
    try:
        yield
    except (OSError, pl.exceptions.PolarsError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            if error.filename is None:
                error.filename = str(path.parent)
            raise
        for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # polars has it in the text alone
            if f"os error {number}" in str(error) or os.strerror(number).lower() in str(error).lower():
                raise OSError(number, os.strerror(number), str(path.parent)) from None
        raise
