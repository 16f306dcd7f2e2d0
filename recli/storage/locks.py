"""Advisory locks: on a folder while a process writes in it, and on a part while it is written.

A lock goes with its process, however that ends, and holds between the containers of one machine, where process numbers
say nothing. Where the system (Windows) or the file system (some network mounts) has no such locks, all works without:
names of temporary folders are random, so that writers never share one.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from recli.errors import RecliError
from recli.storage.signals import defer_signals

PATIENCE = 60.0  # seconds that a writer waits for another one
_PAUSE = 0.05
_DAY = 86400.0
_NONE = -1  # no descriptor


def _module() -> Any:
    """`fcntl`; None where the system has none."""
    try:
        import fcntl
    except ImportError:
        return None
    return fcntl


def _try_lock(descriptor: int) -> bool | None:
    """Lock an open file or folder without waiting: False where another has the lock; None where there are no locks."""
    fcntl = _module()
    if fcntl is None or descriptor == _NONE:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether the open file or folder is still the one at `path`."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _open_folder(folder: Path) -> int:
    try:
        return os.open(folder, os.O_RDONLY)
    except FileNotFoundError:
        raise
    except OSError:  # Windows does not open folders
        return _NONE


def hold_folder(folder: Path) -> int | None:
    """Lock a new folder: the descriptor for `release_folder`; None where another process just removed it."""
    try:
        descriptor = _open_folder(folder)
    except FileNotFoundError:
        return None
    if descriptor == _NONE:
        return descriptor
    if _try_lock(descriptor) is False or not _is_at(descriptor, folder):
        os.close(descriptor)
        return None
    return descriptor


def release_folder(descriptor: int) -> None:
    if descriptor != _NONE:
        os.close(descriptor)


@contextmanager
def abandoned(folder: Path) -> Iterator[bool]:
    """Whether no process has the folder locked, and it is this one's for the block.

    Without locks: whether nothing was written there for a day.
    """
    try:
        descriptor = _open_folder(folder)
    except FileNotFoundError:
        yield False
        return
    try:
        free = _try_lock(descriptor)
        yield _untouched(folder) if free is None else free
    finally:
        release_folder(descriptor)


def _untouched(folder: Path) -> bool:
    times = []
    for path in (folder, *folder.rglob("*")):
        with suppress(OSError):
            times.append(path.stat().st_mtime)
    return bool(times) and max(times) < time.time() - _DAY


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Be the only writer of the part at `path` for the block.

    Waits for another one, but not for long: raises `RecliError` with its host and process.
    """
    file = path.with_name(f".{path.name}.lock")
    until = time.monotonic() + PATIENCE
    descriptor = _NONE
    try:
        while descriptor == _NONE:
            with defer_signals():
                descriptor = _attempt(file)
            if descriptor == _NONE:
                if time.monotonic() >= until:
                    raise RecliError(
                        f"{path} is being written by {_holder(file)}", "wait for its end, or stop it"
                    )
                time.sleep(_PAUSE)
        yield
    finally:
        _let_go(file, descriptor)


@contextmanager
def writing_if_free(path: Path) -> Iterator[bool]:
    """As `writing`, without waiting: False where another process writes, or nothing can be written."""
    file = path.with_name(f".{path.name}.lock")
    descriptor = _NONE
    try:
        with defer_signals(), suppress(OSError):
            descriptor = _attempt(file)
        yield descriptor != _NONE
    finally:
        _let_go(file, descriptor)


def _attempt(file: Path) -> int:
    """Lock the lock file, which then says who has it; `_NONE` where another process has it."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    if _try_lock(descriptor) is False or not _is_at(descriptor, file):  # removed by who had it
        os.close(descriptor)
        return _NONE
    with suppress(OSError):  # a full disk: only the name is lost
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"recli on {platform.node() or 'a machine'} (pid {os.getpid()})\n".encode())
    return descriptor


def _holder(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")[:200].strip() or "another process"
    except OSError:
        return "another process"


def _let_go(file: Path, descriptor: int) -> None:
    if descriptor != _NONE:
        with defer_signals(), suppress(OSError):
            if os.name == "nt":  # there an open file cannot be removed
                os.close(descriptor)
                file.unlink(missing_ok=True)
            else:  # before another process can lock it
                file.unlink(missing_ok=True)
                os.close(descriptor)
