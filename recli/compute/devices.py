"""Chooses CPU or GPU and the number format; explains which driver or library is missing for a GPU."""

import ctypes
import importlib
import importlib.util
import re
import warnings
from typing import Any

from recli.compute.threads import native_bfloat16
from recli.errors import DeviceError, UsageError, did_you_mean

MAX_FACTORS = 1023  # a thread block of implicit's kernels holds one factor per thread
_INSTALL = "install it with: pip install 'recli[gpu]'"


def choose_device(
    requested: str, algorithm: str = "", gpu: str = "torch", *, work: str = "training"
) -> tuple[str, str]:
    """Choose `cpu`, `cuda` or `cuda:N` for `--device REQUESTED`, with a note for the user ('' if there is none).

    `gpu`: the library that the algorithm uses a GPU with, `torch` or `implicit` (`Algorithm.gpu`); '' if it cannot.
    `work`: what is done there, for the note. Raises `DeviceError` where an explicit GPU cannot be used, `UsageError`
    where `requested` is no device, or the algorithm cannot use a GPU.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", requested):
        raise UsageError(
            f"--device must be auto, cpu, cuda or cuda:N, not {requested!r}",
            did_you_mean(requested, ("auto", "cpu", "cuda")),
        )
    if requested == "cpu" or (requested == "auto" and not gpu):
        return "cpu", ""
    if not gpu:
        raise UsageError(
            f"--device {requested}: {algorithm} trains on the CPU only (als and ials can use a GPU)"
        )
    problem = gpu_problem() if gpu == "implicit" else torch_problem()
    if requested == "auto":
        return ("cpu", f"{work} on the CPU: {problem[0]}") if problem else ("cuda", "")
    if problem:
        raise DeviceError(f"--device {requested}: {problem[0]}", problem[1])
    check_number(requested)
    return requested, ""


def choose_dtype(requested: str, device: str) -> str:
    """The number format for `auto`: bfloat16 where the device multiplies it natively, else float32.

    On a CPU that emulates it bfloat16 is many times slower. With AVX512-BF16 alone (AMD Zen 5, no AMX) it was
    measured 2.7 times as fast as float32, cosine to float32 .9999; with AMX 3.4 times.
    """
    if requested != "auto":
        return requested
    if device.startswith("cuda"):
        import torch

        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float16"
    return "bfloat16" if native_bfloat16() else "float32"


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
            "install a CUDA build of torch: https://pytorch.org/get-started/locally, or use --device cpu",
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
        if not gpu.HAS_CUDA and not caught:  # imported earlier, so its warning was not caught
            gpu = importlib.reload(gpu)
    if gpu.HAS_CUDA:
        return None
    warnings_text = "; ".join(str(w.message) for w in caught) or "implicit gives no reason"
    if "undefined symbol" in warnings_text:
        return f"the installed rmm does not fit implicit ({warnings_text})", _INSTALL
    if "libcurand" in warnings_text:
        return f"the library curand is missing ({warnings_text})", _INSTALL
    return f"implicit's CUDA extension does not load ({warnings_text})", _INSTALL


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
    als = importlib.import_module("implicit.gpu.als")
    return als.AlternatingLeastSquares(factors=factors, **options)
