"""Compiled functions are kept on disk, and are right where they cannot be."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pytest

from recli.compute.compiled import compiled

SIGNATURE = "void(float32[::1])"
SOURCE = "def twice(values):\n    for at in range(len(values)):\n        values[at] *= 2\n"


def twice(place: str) -> Callable[..., Any]:
    """A function whose source is said to be the file `place`."""
    names: dict[str, Any] = {}
    exec(compile(SOURCE, place, "exec"), names)
    made: Callable[..., Any] = names["twice"]
    return made


def works(function: Any) -> bool:
    values = np.array([1, 3], dtype=np.float32)
    function(values)
    return values.tolist() == [2, 6]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A source file, whose compiled functions go to tmp_path/kept."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "kept"))
    path = tmp_path / "source.py"
    path.write_text(SOURCE)
    return str(path)


def test_a_function_is_compiled_once(place: str) -> None:
    for hits in (0, 1):
        made: Any = compiled(twice(place), SIGNATURE)
        assert works(made)
        assert sum(made.stats.cache_hits.values()) == hits


def test_a_damaged_file_costs_time_only(place: str, tmp_path: Path) -> None:
    compiled(twice(place), SIGNATURE)
    for suffix in ("nbi", "nbc"):
        (file,) = (tmp_path / "kept").rglob(f"*.{suffix}")
        whole = file.read_bytes()
        for left in (b"", whole[: len(whole) // 2]):
            file.write_bytes(left)
            assert works(compiled(twice(place), SIGNATURE))
        file.write_bytes(whole)


@pytest.mark.parametrize("suffix", ["nbi", "nbc", "sha256"])
def test_a_changed_byte_costs_time_only(place: str, tmp_path: Path, suffix: str) -> None:
    """numba would unpickle it: a traceback, another function, or the end of the process."""
    compiled(twice(place), SIGNATURE)
    (file,) = (tmp_path / "kept").rglob(f"*.{suffix}")
    whole = file.read_bytes()
    for at in np.linspace(0, len(whole) - 1, 4).astype(int):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 0x55]) + whole[at + 1 :])
        made: Any = compiled(twice(place), SIGNATURE)
        assert works(made) and not made.stats.cache_hits
        again: Any = compiled(twice(place), SIGNATURE)
        assert works(again) and again.stats.cache_hits  # it was written anew


def test_nothing_need_be_written() -> None:
    made: Any = compiled(twice("<no file>"), SIGNATURE)
    assert works(made)
    assert not made.stats.cache_path


def test_code_is_kept_in_the_users_cache_folder_not_beside_the_module(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What pip does not know of would outlive the package."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    assert works(compiled(twice(place), SIGNATURE))
    assert list((tmp_path / "home" / "recli").rglob("*.nbc")) and numba.config.CACHE_DIR == ""
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))  # no folder can be made there
    made: Any = compiled(twice(place), SIGNATURE)
    assert works(made) and not made.stats.cache_path
    assert not list(tmp_path.glob("__pycache__"))
