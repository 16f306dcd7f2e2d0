"""safetensors files as the library itself writes and reads them."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from recli.schema import State
from recli.storage import safetensors_file
from recli.storage.safetensors_file import Blocks

ARRAYS: State = {
    "b": np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32),
    "bytes": np.arange(7, dtype=np.int8),
    "é": np.array([True, False, True]),
    "none": np.zeros((0, 4), dtype=np.float16),
    "wide": np.arange(4, dtype=np.int64),
    "short": np.arange(3, dtype=np.uint16),
    "one": np.array(2.5, dtype=np.float32),
}


def test_the_bytes_are_those_of_safetensors(tmp_path: Path) -> None:
    safetensors_file.write(tmp_path / "x", ARRAYS)
    assert (tmp_path / "x").read_bytes() == save(ARRAYS)
    safetensors_file.write(tmp_path / "none", {})
    assert (tmp_path / "none").read_bytes() == save({}) and safetensors_file.read(tmp_path / "none") == {}


def test_arrays_that_are_not_contiguous_are_written_row_by_row(tmp_path: Path) -> None:
    turned = ARRAYS["b"].T[::2]
    safetensors_file.write(tmp_path / "x", {"turned": turned})
    np.testing.assert_array_equal(load_file(tmp_path / "x")["turned"], turned)


def test_blocks_are_written_as_the_whole(tmp_path: Path) -> None:
    whole = ARRAYS["b"]
    given = Blocks(whole.shape, "float32", lambda: (whole[:2], whole[2:]))
    safetensors_file.write(tmp_path / "x", {**ARRAYS, "b": given})
    assert (tmp_path / "x").read_bytes() == save(ARRAYS)
    few = Blocks((4, 5), "float32", lambda: [whole])
    with pytest.raises(ValueError, match="not as many rows"):
        safetensors_file.write(tmp_path / "y", {"b": few})


def test_what_is_read_can_be_written_to_and_the_file_stays(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(save(ARRAYS))
    found = safetensors_file.read(tmp_path / "x")
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array)
    found["b"][:] = 0
    assert (tmp_path / "x").read_bytes() == save(ARRAYS)
    np.testing.assert_array_equal(safetensors_file.read(tmp_path / "x")["b"], ARRAYS["b"])
