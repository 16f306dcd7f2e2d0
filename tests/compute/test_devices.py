"""Which device and number format a model runs with."""

from pathlib import Path

import pytest
import torch

from recli.compute import devices
from recli.compute.devices import choose_device, choose_dtype
from recli.compute.threads import cpu_flags
from recli.errors import DeviceError, UsageError


def test_an_explicit_gpu_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="--device cuda"):
        choose_device("cuda")
    device, note = choose_device("auto", work="encoding")
    assert device == "cpu" and note.startswith("encoding on the CPU: ")
    assert choose_device("cpu") == ("cpu", "")
    for word in ("gpu", "cpu:1", "cuda:x"):
        with pytest.raises(UsageError, match="--device must be"):
            choose_device(word)
    monkeypatch.setattr(devices, "torch_problem", lambda: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == ("cuda:1", "")
    assert choose_device("auto") == ("cuda", "")
    with pytest.raises(DeviceError, match="there are 2 GPUs"):
        choose_device("cuda:2")


def test_bfloat16_only_where_the_device_multiplies_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "amx").write_text("processor : 0\nflags\t\t: fpu avx512f amx_bf16\n")
    assert cpu_flags(tmp_path / "amx") == {"fpu", "avx512f", "amx_bf16"}
    assert cpu_flags(tmp_path / "none") == set()
    for flags, dtype in (({"amx_bf16"}, "bfloat16"), ({"avx512_bf16"}, "bfloat16"), ({"avx2"}, "float32")):
        monkeypatch.setattr("recli.compute.threads.cpu_flags", lambda flags=flags: flags)
        assert choose_dtype("auto", "cpu") == dtype
    assert choose_dtype("float16", "cpu") == "float16"
