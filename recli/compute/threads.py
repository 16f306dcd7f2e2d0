"""Thread pools and limits on the threads of BLAS and OpenMP; results do not depend on the number of threads."""

import ctypes
import os
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterable
from contextlib import AbstractContextManager
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")


def one_blas_thread() -> AbstractContextManager[object]:
    """Keep BLAS to one thread: sums then do not depend on how many cores there are.

    implicit runs threads of its own, and is 1.7 to 2.4 times slower when BLAS does so too.
    """
    return blas_threads(1)


def blas_threads(number: int) -> AbstractContextManager[object]:
    """Limit BLAS to so many threads inside the block."""
    import scipy.linalg  # noqa: F401  only a BLAS that is loaded can be limited, and scipy has its own

    limits: AbstractContextManager[object] = _loaded_libraries(len(sys.modules)).limit(
        limits=number, user_api="blas"
    )
    return limits


@lru_cache(1)
def _loaded_libraries(n_modules: int) -> Any:
    """The BLAS libraries of the process: looked for again, which takes 10 ms, once modules were imported."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def load_openmp() -> None:
    """Make libgomp.so.1 available, which implicit's extensions need and bare machines lack: torch carries it."""
    try:
        ctypes.CDLL("libgomp.so.1")
    except OSError:
        import torch  # noqa: F401


def cores() -> int:
    """Cores that this process may use."""
    if sys.platform == "linux" and hasattr(os, "sched_getaffinity"):  # elsewhere all cores may be used
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def in_threads(
    inputs: Iterable[A], work: Callable[[A], B], threads: int = 0
) -> Generator[tuple[A, B], None, None]:
    """Yield each input with the result of `work` on it, in order, computing a few ahead. `threads` 0: all cores.

    For work in numpy and torch, which release the GIL. torch uses one thread in each.
    """
    from concurrent.futures import Future, ThreadPoolExecutor

    import torch

    workers, before = threads or cores(), torch.get_num_threads()
    running: deque[tuple[A, Future[B]]] = deque()
    executor = ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,))
    try:
        for item in inputs:
            running.append((item, executor.submit(work, item)))
            if len(running) > 2 * workers:
                first, future = running.popleft()
                yield first, future.result()
        while running:
            first, future = running.popleft()
            yield first, future.result()
    finally:
        executor.shutdown(wait=True, cancel_futures=True)
        torch.set_num_threads(before)


def native_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively; emulated it is many times slower."""
    return bool(cpu_flags() & {"amx_bf16", "avx512_bf16"})


def cpu_flags(path: Path = Path("/proc/cpuinfo")) -> set[str]:
    """The CPU's feature flags as Linux names them; none where that cannot be read."""
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.partition(":")[2] for line in lines if line.startswith("flags")), "").split())
