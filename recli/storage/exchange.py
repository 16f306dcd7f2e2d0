"""Puts a finished folder in the place of another one, so that readers find the old one or the new one, never none.

In one step where the system and the file system can exchange two names (Linux, macOS). Elsewhere by two renames: the
old folder waits as `.NAME.old` meanwhile, and comes back where a kill came between them.
"""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import sys
import time
from contextlib import suppress
from pathlib import Path

from recli.storage import locks

MANIFEST = "manifest.json"

_AT_FDCWD, _EXCHANGE, _SWAP = -100, 2, 2  # renameat2(2), renamex_np(2)
_ATTEMPTS = 20
_PAUSE = 0.05


def swap_into_place(temporary: Path, path: Path) -> None:
    """Put `temporary` at `path`. What was there is removed; of a link to a folder, the link alone."""
    for attempt in range(_ATTEMPTS):
        try:
            _swap(temporary, path)
            return
        except OSError as error:  # without locks, another writer may have come between
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST) or attempt == _ATTEMPTS - 1:
                raise
            time.sleep(_PAUSE)


def _swap(temporary: Path, path: Path) -> None:
    old = old_of(path)
    if not os.path.lexists(path):
        temporary.rename(path)
    elif _exchange(temporary, path):
        remove(temporary)
    else:
        remove(old)
        path.rename(old)
        temporary.rename(path)
    remove(old)


def _exchange(one: Path, other: Path) -> bool:
    """Exchange two names in one step; False where that cannot be done."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if sys.platform == "darwin":
            done = library.renamex_np(os.fsencode(one), os.fsencode(other), _SWAP)
        else:
            done = library.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _EXCHANGE)
    except (AttributeError, OSError, TypeError):  # no such function; TypeError: no such library, on Windows
        return False
    return bool(done == 0)


def remove(path: Path) -> None:
    """Remove a folder with all in it, or a link or file; what cannot be removed stays."""
    if path.is_symlink() or path.is_file():
        with suppress(OSError):
            path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def old_of(path: Path) -> Path:
    """Where the old folder waits between two renames."""
    return path.with_name(f".{path.name}.old")


def is_between_renames(path: Path) -> bool:
    """Whether nothing is at `path`, and the old folder waits to come back, or for the new one."""
    return not os.path.lexists(path) and os.path.lexists(old_of(path) / MANIFEST)


def recover(path: Path) -> None:
    """Undo the first of two renames where a kill came between them; not while their process lives."""
    if is_between_renames(path):
        with locks.writing_if_free(path) as free:
            if free:
                with suppress(OSError):
                    recover_own(path)


def recover_own(path: Path) -> None:
    """As `recover`, for the writer who has the lock."""
    if is_between_renames(path):
        old_of(path).rename(path)
