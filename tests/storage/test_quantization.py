"""Arrays in fewer bytes: what they cost in bytes and in precision, and that they come back."""

import numpy as np
import pytest

from recli.errors import RecliError
from recli.storage.quantization import (
    FLOAT16,
    FLOAT32,
    INT8,
    STORAGE,
    compact,
    compact_blocks,
    compact_state,
    expand,
    expand_state,
)
from recli.storage.safetensors_file import Blocks


def wide(n: int = 300, d: int = 16) -> np.ndarray:
    """Rows of very different sizes, 1e-6 to 1e6."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(n, d)) * 10.0 ** rng.uniform(-6, 6, size=(n, 1))).astype(np.float32)


def test_float32_is_left_alone() -> None:
    array = wide()
    stored = compact("x", array, FLOAT32)
    assert list(stored) == ["x"] and stored["x"] is array
    assert np.array_equal(expand("x", stored), array)


def test_bytes_are_a_half_and_a_quarter_and_the_scales() -> None:
    array = wide(300, 16)  # 300 * 16 * 4 = 19,200 bytes
    sizes = {d: sum(a.nbytes for a in compact("x", array, d).values()) for d in STORAGE}
    assert sizes == {FLOAT32: 19_200, FLOAT16: 9_600 + 4, INT8: 4_800 + 300 * 4}


def test_float16_keeps_11_bits_of_what_is_not_5e8_times_smaller_than_the_largest() -> None:
    array = np.array([[65_504e10, 1.0e10, -3.0e7]], dtype=np.float32)  # far above what float16 itself holds
    found = expand("x", compact("x", array, FLOAT16))
    assert np.all(np.abs(found - array) <= np.abs(array) * 2.0**-11)
    powers = np.array([[2.0**14, -(2.0**-10), 0.0]], dtype=np.float32)  # powers of two stay exact
    assert np.array_equal(expand("x", compact("x", powers, FLOAT16)), powers)


def test_int8_is_within_a_254th_of_each_rows_largest_value() -> None:
    array = wide()
    found = expand("x", compact("x", array, INT8))
    largest = np.abs(array).max(axis=1, keepdims=True)
    assert np.all(np.abs(found - array) <= largest / 254 * 1.001)
    # [1, -127, 63.4] / 127 * 127: a scale of 1, and 63.4 becomes 63.
    stored = compact("x", np.array([[1.0, -127.0, 63.4]], dtype=np.float32), INT8)
    assert stored["x"].tolist() == [[1, -127, 63]]
    assert stored["x.scale"].tolist() == [1.0]


@pytest.mark.parametrize("dtype", STORAGE)
@pytest.mark.parametrize("shape", [(0, 4), (3, 4), (0,), (5,), (1, 1)])
def test_zeros_and_empty_arrays_come_back(dtype: str, shape: tuple[int, ...]) -> None:
    array = np.zeros(shape, dtype=np.float32)
    found = expand("x", compact("x", array, dtype))
    assert found.dtype == np.float32 and np.array_equal(found, array)


def test_a_large_array_is_converted_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    array = wide(50, 16)
    whole = compact("x", array, INT8)
    monkeypatch.setattr("recli.storage.quantization._VALUES_PER_BLOCK", 48)  # three rows at a time
    assert all(np.array_equal(whole[k], a) for k, a in compact("x", array, INT8).items())


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [FLOAT16, INT8])
def test_what_is_no_finite_number_is_refused(value: float, dtype: str) -> None:
    array = wide(3, 4)
    array[1, 2] = value
    with pytest.raises(RecliError, match="not finite numbers"):
        compact("x", array, dtype)


def test_of_a_model_only_what_grows_with_the_data_gets_smaller() -> None:
    rng = np.random.default_rng(1)
    state = {
        "user_factors": rng.normal(size=(7, 4)).astype(np.float32),
        "source/ials/item_factors": rng.normal(size=(9, 4)).astype(np.float32),
        "history_map": rng.normal(size=(10, 4)).astype(np.float32),  # neither 7 users nor 9 items
        "counts": np.arange(9, dtype=np.float32),
        "weights": np.arange(9, dtype=np.float64),
        "similar.data": rng.random(5, dtype=np.float32),
        "similar.indices": np.arange(5, dtype=np.int32),
        "similar.indptr": np.array([0, 5], dtype=np.int64),
        "similar.shape": np.array([1, 9], dtype=np.int64),
    }
    stored = compact_state(state, {7, 9}, INT8)
    changed = {name: a.dtype.name for name, a in stored.items() if a is not state.get(name)}
    assert changed == {
        "user_factors": "int8",
        "user_factors.scale": "float32",
        "source/ials/item_factors": "int8",
        "source/ials/item_factors.scale": "float32",
        "similar.data": "float16",  # not int8: its indices are four bytes each
        "similar.data.scale": "float32",
    }
    back = expand_state(stored)
    assert back.keys() == state.keys()
    for name, array in state.items():
        assert back[name].dtype == array.dtype
        np.testing.assert_allclose(back[name], array, atol=np.abs(array).max() / 250)
    assert all(a is state[name] for name, a in compact_state(state, {7, 9}, FLOAT32).items())


@pytest.mark.parametrize("dtype", STORAGE)
def test_blocks_are_stored_as_the_whole_is(dtype: str) -> None:
    array = np.random.default_rng(4).normal(size=(11, 6)).astype(np.float32)
    array /= np.linalg.norm(array, axis=1, keepdims=True)
    given = Blocks(array.shape, "float32", lambda: (array[at : at + 4] for at in range(0, 11, 4)))
    made = {
        name: np.concatenate(list(one.rows())) if isinstance(one, Blocks) else one
        for name, one in compact_blocks("x", given, dtype).items()
    }
    whole = compact("x", array, dtype)
    assert made.keys() == whole.keys() and {n: a.dtype for n, a in made.items()} == {
        n: a.dtype for n, a in whole.items()
    }
    np.testing.assert_array_equal(expand("x", made), expand("x", whole))
    for name, one in compact_blocks("x", given, dtype).items():
        assert one.shape == made[name].shape and one.dtype == made[name].dtype
