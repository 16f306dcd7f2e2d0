"""Which device and number format a model runs with."""

from typing import TYPE_CHECKING

from recli.compute.threads import native_bfloat16
from recli.errors import DeviceError, UsageError

if TYPE_CHECKING:
    import torch


def pick_device(asked: str) -> tuple["torch.device", str]:
    """The device for `auto`, `cpu`, `cuda` or `cuda:1`, and what to tell the user ('' if nothing).

    Raises `DeviceError` where an explicit GPU is not there, `UsageError` for another word.
    """
    import torch

    name, _, number = asked.partition(":")
    if name not in ("auto", "cpu", "cuda") or (number and (name != "cuda" or not number.isdecimal())):
        raise UsageError(f"--device must be auto, cpu, cuda or cuda:N, not {asked!r}")
    if name == "cpu":
        return torch.device("cpu"), ""
    if torch.cuda.is_available():
        if number and int(number) >= torch.cuda.device_count():
            raise DeviceError(
                f"--device {asked}: there are {torch.cuda.device_count()} GPUs, numbered from 0",
                "use --device cuda",
            )
        return torch.device("cuda", int(number or 0)), ""
    if name == "auto":
        return torch.device("cpu"), "no GPU that torch can use: encoding on the CPU"
    why = "this build of torch has no CUDA" if torch.version.cuda is None else "torch finds no GPU"
    raise DeviceError(
        f"--device {asked}: {why}", "use --device cpu, or install a CUDA build of torch and a driver"
    )


def pick_dtype(asked: str, device: "torch.device") -> str:
    """The number format for `auto`: bfloat16 where the device multiplies it natively, else float32.

    On a CPU that emulates it bfloat16 is many times slower. With AVX512-BF16 alone (AMD Zen 5, no AMX) it was
    measured 2.7 times as fast as float32, cosine to float32 .9999; with AMX 3.4 times.
    """
    import torch

    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float16"
    return "bfloat16" if native_bfloat16() else "float32"
