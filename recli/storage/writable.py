"""Checks, before hours of work, that its result can be written."""

from __future__ import annotations

import os
from pathlib import Path

from recli.errors import RecliError, quoted


def check_writable(*paths: str | os.PathLike[str] | None) -> None:
    """Raises `RecliError` where one of these files or folders could not be written; None and `-` are none.

    Of one that is not there, the nearest folder above it decides.
    """
    for path in paths:
        if path is None or str(path) == "-":
            continue
        there = next(p for p in (Path(path), *Path(path).absolute().parents) if os.path.lexists(p))
        if there != Path(path) and not there.is_dir():
            raise RecliError(f"{path} cannot be written: {there} is not a folder", "name another path")
        if not os.access(there, os.W_OK):
            raise RecliError(
                f"{path} cannot be written: no permission to write in {there}",
                f"name another path, or allow it: chmod u+w {quoted(there)}",
            )
