"""How weights become values: each transform, and what a manifest says of it."""

import json

import numpy as np
import pytest

from recli.data.weights import AS_THEY_ARE, WeightTransform, stored_transform
from recli.schema import Float64, Int64

WEIGHTS: Float64 = np.array([1.0, 3.0, 9.0, 99.0])
USERS: Int64 = np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (AS_THEY_ARE, [1, 3, 9, 99]),
        (WeightTransform("log"), np.log([2, 4, 10, 100])),
        (WeightTransform("log", unit=0.5, scale=2.0), np.log([3, 7, 19, 199]) / 2),
        (WeightTransform("sqrt", scale=3.0), np.sqrt(WEIGHTS) / 3),
        (WeightTransform("binary"), [1, 1, 1, 1]),
        (WeightTransform("cap", cap=9.0, scale=2.0), [0.5, 1.5, 4.5, 4.5]),
        (WeightTransform("percentile", points=(1.0, 3.0, 99.0), shares=(0.1, 0.4, 0.9)), [0.1, 0.4, 0.43125, 0.9]),
        (WeightTransform("per-user"), [2 / 3, 4 / 3, 2 / 3, 4 / 3]),  # logs of 2 and 4, and of 10 and 100
    ],
)  # fmt: skip
def test_each_transform(transform: WeightTransform, expected: list[float]) -> None:
    values = transform(WEIGHTS, USERS)
    assert values.dtype == np.float32
    np.testing.assert_allclose(values, expected, rtol=1e-6)
    again = stored_transform(json.loads(json.dumps(transform.described())))
    assert again == transform


def test_a_history_is_one_user() -> None:
    np.testing.assert_allclose(WeightTransform("per-user").of_history(WEIGHTS[:2]), [2 / 3, 4 / 3], rtol=1e-6)


@pytest.mark.parametrize("kind", ["log", "sqrt", "per-user", "percentile", "cap"])
def test_values_stay_above_0_and_finite(kind: str) -> None:
    transform = WeightTransform(kind, cap=1e-44, scale=1e9, points=(1.0, 2.0), shares=(0.0, 1.0))
    values = transform(np.array([1e-44, 3e38]), np.array([0, 1]), np.array([1.0, 1.0]))
    assert (values > 0).all() and np.isfinite(values).all()


def test_what_no_manifest_says_is_no_transform() -> None:
    assert stored_transform({}) == AS_THEY_ARE
    with pytest.raises(ValueError, match="cube"):
        stored_transform({"kind": "cube"})
