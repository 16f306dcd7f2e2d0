"""Compiles Python functions with numba and caches the code on disk, since compiling takes seconds per process."""

import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
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

    with _kept() as kept:
        try:
            machine_code: Callable[..., None] = numba.njit(signature, nogil=True, cache=kept, **options)(
                function
            )
        # numba pickles what it keeps. RuntimeError: no folder to write to.
        except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):
            machine_code = numba.njit(signature, nogil=True, **options)(function)
    return machine_code


@contextmanager
def _kept() -> Iterator[bool]:
    """Set numba's cache to the user's cache folder; yields False where it cannot be written.

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
        yield False
        return
    config.CACHE_DIR = str(folder)
    try:
        yield os.access(folder, os.W_OK | os.X_OK)
    finally:
        config.CACHE_DIR = before
