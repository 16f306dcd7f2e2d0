"""GPUs: whether torch, and implicit's extension, can use one and, if not, which library is missing."""

import ctypes
import importlib
import importlib.util
import re
import warnings
from typing import Any

from recli.errors import DeviceError, UsageError

MAX_FACTORS = 1023  # a thread block of implicit's kernels holds one factor per thread
_INSTALL = "install it with: pip install 'recli[gpu]'"


def choose_device(asked: str, algorithm: str, gpu: str) -> tuple[str, str]:
    """`cpu`, `cuda` or `cuda:N` for `--device` as it was asked, and what to tell the user ('' if nothing).

    `gpu`: what the algorithm uses one with (`Algorithm.gpu`), '' if it cannot. Raises `DeviceError` where an
    explicit GPU cannot be used.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", asked):
        raise UsageError(f"--device must be auto, cpu, cuda or cuda:N, not {asked!r}")
    if asked == "cpu" or (asked == "auto" and not gpu):
        return "cpu", ""
    if not gpu:
        raise UsageError(f"--device {asked}: {algorithm} trains on the CPU only (als and ials can use a GPU)")
    problem = gpu_problem() if gpu == "implicit" else torch_problem()
    if asked == "auto":
        return ("cpu", f"training on the CPU: {problem[0]}") if problem else ("cuda", "")
    if problem:
        raise DeviceError(f"--device {asked}: {problem[0]}", problem[1])
    return asked, ""


def torch_problem() -> tuple[str, str] | None:
    """Why torch cannot use a GPU here, and what to do about it; None: it can."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:  # the cheap check first: without a driver, torch need not be imported
        return "no NVIDIA driver was found (libcuda.so.1)", "install the driver, or use --device cpu"
    import torch

    if torch.version.cuda is None:
        return (
            f"this torch ({torch.__version__}) is built without CUDA",
            "install a CUDA build of torch: https://pytorch.org/get-started/locally",
        )
    if not torch.cuda.is_available():
        return "torch finds no NVIDIA GPU", "check that `nvidia-smi` lists one, or use --device cpu"
    return None


def gpu_problem() -> tuple[str, str] | None:
    """Why implicit cannot use a GPU here, and what to do about it; None: it can.

    implicit says `HAS_CUDA = False` and little else: the reason is in a warning at its first import, or nowhere.
    """
    problem = torch_problem()  # first: torch's CUDA libraries are what implicit's extension links against
    if problem:
        return problem
    if importlib.util.find_spec("rmm") is None:
        return "the library rmm (RAPIDS memory manager) is missing", _INSTALL
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gpu = importlib.import_module("implicit.gpu")
        if not gpu.HAS_CUDA and not caught:  # imported before now, when its warning went by unseen
            gpu = importlib.reload(gpu)
    if gpu.HAS_CUDA:
        return None
    said = "; ".join(str(w.message) for w in caught) or "implicit gives no reason"
    if "undefined symbol" in said:
        return f"the installed rmm does not fit implicit ({said})", _INSTALL
    if "libcurand" in said:
        return f"the library curand is missing ({said})", _INSTALL
    return f"implicit's CUDA extension does not load ({said})", _INSTALL


def check_number(device: str) -> int | None:
    """N of the device `cuda:N`; None: there is none in its name. Raises `DeviceError` where N is too large."""
    if ":" not in device:
        return None
    import torch

    number, count = int(device.partition(":")[2]), torch.cuda.device_count()
    if number >= count:
        raise DeviceError(f"--device {device}: there are {count} GPUs, numbered from 0", "use --device cuda")
    return number


def gpu_als(device: str, *, factors: int, **options: Any) -> Any:
    """implicit's GPU ALS on the device `cuda` or `cuda:N`, which `choose_device` has found to be usable."""
    if factors > MAX_FACTORS:
        raise UsageError(f"--factors must be at most {MAX_FACTORS} on a GPU, not {factors}")
    number = check_number(device)
    if number is not None:
        import torch

        torch.cuda.set_device(number)
    model = importlib.import_module("implicit.gpu.als")
    return model.AlternatingLeastSquares(factors=factors, **options)
