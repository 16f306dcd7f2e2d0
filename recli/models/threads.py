"""Threads and their libraries: one level of threads at a time, the same bytes however many there are."""

import ctypes
from contextlib import AbstractContextManager


def one_blas_thread() -> AbstractContextManager[object]:
    """Keep BLAS to one thread: sums then do not depend on how many cores there are.

    implicit runs threads of its own, and is 1.7 to 2.4 times slower when BLAS does so too.
    """
    return blas_threads(1)


def blas_threads(number: int) -> AbstractContextManager[object]:
    """Limit BLAS to so many threads inside the block."""
    import scipy.linalg  # noqa: F401  only a BLAS that is loaded can be limited, and scipy has its own
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[object] = threadpool_limits(number, "blas")
    return limits


def load_openmp() -> None:
    """Make libgomp.so.1 available, which implicit's extensions need and bare machines lack: torch carries it."""
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        import torch  # noqa: F401
