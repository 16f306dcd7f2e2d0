"""Small operations on arrays, and on files."""

import errno
import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recli.data.arrays import unit_rows
from recli.data.files import disk_errors, sha256_file


def test_unit_rows_have_length_1_and_zero_rows_stay() -> None:
    unit = unit_rows(np.array([[3, 4], [0, 0], [1e-30, 0], [-2, 0]], dtype=np.float32))
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit, [[0.6, 0.8], [0, 0], [1, 0], [-1, 0]], rtol=1e-6)


def test_sha256_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc" * 1_000_000)
    assert sha256_file(tmp_path / "a") == hashlib.sha256(b"abc" * 1_000_000).hexdigest()


def test_a_full_disk_names_the_folder(tmp_path: Path) -> None:
    for raised in (
        OSError(errno.ENOSPC, "full"),
        pl.exceptions.ComputeError(f"write: os error {errno.ENOSPC}"),
    ):
        with pytest.raises(OSError) as caught, disk_errors(tmp_path / "a.parquet"):
            raise raised
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path))
    with pytest.raises(pl.exceptions.ComputeError), disk_errors(tmp_path / "a.parquet"):
        raise pl.exceptions.ComputeError("something else")
