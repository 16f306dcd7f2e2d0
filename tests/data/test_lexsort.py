"""Sorting by packed columns gives what numpy's lexsort gives, for all types and widths."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recli.data.lexsort import lexorder

FLOATS = [0.0, -0.0, 1.0, 1.5, -1.0, 3e-45, -3e-45, np.inf, -np.inf, np.nan, -np.nan]
KINDS = {
    "few": (np.int32, st.integers(0, 2)),
    "part": (np.uint8, st.integers(0, 255)),
    "time": (np.int64, st.integers(-(2**63), 2**63 - 1)),  # 64 bits: more than one sort
    "hash": (np.uint64, st.integers(0, 2**64 - 1)),
    "number": (np.float32, st.sampled_from(FLOATS)),
}


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    kinds=st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5),
    n=st.integers(0, 40),
)
def test_the_order_is_lexsort_s(data: st.DataObject, kinds: list[str], n: int) -> None:
    keys = []
    for kind in kinds:
        dtype, values = KINDS[kind]
        pool = data.draw(
            st.lists(values, min_size=1, max_size=4)
        )  # few of them: rows that are equal keep their order
        keys.append(np.array(data.draw(st.lists(st.sampled_from(pool), min_size=n, max_size=n)), dtype=dtype))
    found = lexorder(keys)
    assert found.dtype == np.int64
    assert found.tolist() == np.lexsort(keys).tolist()


def test_keys_that_do_not_fit_together_are_sorted_in_turn() -> None:
    """1,000 places take 10 bits: 54 are left, and time (50), item (18) and user (10) need 78."""
    rng = np.random.default_rng(0)
    keys = [
        rng.choice(rng.integers(0, 2**50, 30), 1000),
        rng.choice(rng.integers(0, 2**18, 5), 1000).astype(np.int32),
        rng.choice(1000, 1000).astype(np.int32) // 300,
    ]
    assert lexorder(keys).tolist() == np.lexsort(keys).tolist()
