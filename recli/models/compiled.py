"""Python functions as machine code, by numba, kept on disk: compiling takes seconds, and each command is a process."""

import pickle
from collections.abc import Callable
from typing import Any


def compiled(function: Callable[..., None], signature: str, **options: Any) -> Callable[..., None]:
    """`function` compiled for one signature in numba's notation; it lets go of the GIL.

    The code is kept where numba keeps it: in NUMBA_CACHE_DIR, else beside the module in __pycache__, else (where that
    cannot be written) in the user's cache folder. It is found again by the contents of the source file, the version of
    numba and the CPU with its features, so a home that several machines share is safe. Where nothing can be
    written, or what was written is damaged, it is compiled for this process: that costs time and nothing else.
    """
    import numba

    try:
        made: Callable[..., None] = numba.njit(signature, nogil=True, cache=True, **options)(function)
    except (RuntimeError, OSError, EOFError, pickle.UnpicklingError):  # RuntimeError: no folder to write to
        made = numba.njit(signature, nogil=True, **options)(function)
    return made
