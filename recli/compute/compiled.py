"""Compiles Python functions with numba and caches the code on disk, since compiling takes seconds per process."""

import hashlib
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any


def compiled(function: Callable[..., None], signature: str, **options: Any) -> Callable[..., None]:
    """Compile `function` for one signature in numba's notation; the compiled code releases the GIL.

    The code is kept in NUMBA_CACHE_DIR where that is set, else in recli/ in the user's cache folder (XDG_CACHE_HOME, or
    ~/.cache). It is found again by the contents of the source file, the version of numba and the CPU with its features,
    so a home that several machines share is safe. Where nothing can be written, or what was written is damaged, it is
    compiled for this process: that costs time and nothing else.
    """
    import numba

    with _kept() as folder:
        try:
            if folder is not None:
                _forget_damaged(folder, function)
            machine_code: Callable[..., None] = numba.njit(
                signature, nogil=True, cache=folder is not None, **options
            )(function)
            if folder is not None:
                with suppress(OSError):
                    _note_digests(folder, function)
        # numba pickles what it keeps. RuntimeError: no folder to write to.
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):
            machine_code = numba.njit(signature, nogil=True, **options)(function)
    return machine_code


@contextmanager
def _kept() -> Iterator[Path | None]:
    """Set numba's cache to the user's cache folder, and yield it; None where it cannot be written.

    By default numba caches beside the module: pip does not remove such files, and a folder left over from an
    uninstalled package hides an editable install.
    """
    import numba

    config: Any = numba.config
    before = config.CACHE_DIR
    try:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(before or Path(home) / "recli")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: no home
        yield None
        return
    config.CACHE_DIR = str(folder)
    try:
        yield folder if os.access(folder, os.W_OK | os.X_OK) else None
    finally:
        config.CACHE_DIR = before


def _forget_damaged(folder: Path, function: Callable[..., None]) -> None:
    """Remove what numba kept of a function unless it is what was written: numba unpickles it, and runs it.

    A damaged byte may end the process there, or give wrong code.
    """
    for index in _indexes(folder, function):
        with suppress(OSError):
            if _digest_file(index).read_bytes() == _digests(index):
                continue
        for file in _files(index):
            file.unlink(missing_ok=True)


def _note_digests(folder: Path, function: Callable[..., None]) -> None:
    """Write digests of what numba keeps of a function beside it, where they are not there yet."""
    for index in _indexes(folder, function):
        file, text = _digest_file(index), _digests(index)
        if not file.exists() or file.read_bytes() != text:
            temporary = file.with_name(f"{file.name}.{os.urandom(4).hex()}")
            temporary.write_bytes(text)
            temporary.replace(file)


def _indexes(folder: Path, function: Callable[..., None]) -> list[Path]:
    """numba's index files of a function, each with files of code beside it."""
    code = function.__code__
    return sorted(folder.rglob(f"*.{code.co_name}-{code.co_firstlineno}.py*.nbi"))


def _files(index: Path) -> list[Path]:
    return [
        index,
        *sorted(path for path in index.parent.glob("*.nbc") if path.name.startswith(f"{index.stem}.")),
    ]


def _digest_file(index: Path) -> Path:
    return index.with_suffix(".sha256")


def _digests(index: Path) -> bytes:
    return "".join(
        f"{hashlib.sha256(path.read_bytes()).hexdigest()} {path.name}\n" for path in _files(index)
    ).encode()
