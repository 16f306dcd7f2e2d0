"""How weights of any shape, such as play counts, become the values that models learn from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recli.schema import Float32, Float64, Int32, Int64

KINDS = ("none", "log", "sqrt", "binary", "cap", "percentile", "per-user")
_LARGEST, _SMALLEST = 3.4e38, 1.2e-38  # what float32 holds, a little less: values stay above 0


@dataclass(frozen=True)
class WeightTransform:
    """value = f(weight) / scale, f by `kind`; `prepare` fits it on what is not held out for the test.

    none: the weight. log: log(1 + weight / unit). sqrt, binary (1), cap: at most `cap`. percentile: the share of
    weights below, ties half, read off `points` and `shares`. per-user: the log over the user's mean of it.
    """

    kind: str = "none"
    unit: float = 1.0
    cap: float = 0.0
    scale: float = 1.0
    points: tuple[float, ...] = ()  # ascending weights
    shares: tuple[float, ...] = ()  # of all weights, up to each point

    def __call__(
        self, weights: Float64 | Float32, users: Int64 | Int32, means: Float64 | None = None
    ) -> Float32:
        """Values, float32 (n,), of weights (n,) > 0 of `users` (n,), numbers from 0.

        `means`: for per-user, each user's mean of f (`user_means`); None: that of these weights.
        """
        if self.kind == "none":
            return weights.astype(np.float32)
        shaped = self.shaped(weights)
        if self.kind == "per-user":
            shaped = shaped / (user_means(shaped, users.astype(np.int64)) if means is None else means)[users]
        return np.clip(shaped / self.scale, _SMALLEST, _LARGEST).astype(np.float32)

    def shaped(self, weights: Float64 | Float32) -> Float64:
        """f of the weights, before the user's mean and the scale, float64 (n,)."""
        shapes: dict[str, Callable[[Float64], Float64]] = {
            "log": lambda w: np.log1p(w / self.unit),
            "per-user": lambda w: np.log1p(w / self.unit),
            "sqrt": np.sqrt,
            "binary": np.ones_like,
            "cap": lambda w: np.minimum(w, self.cap),
            "percentile": lambda w: np.interp(w, self.points, self.shares),
        }
        return shapes[self.kind](weights.astype(np.float64))

    def of_history(self, weights: Float64) -> Float32:
        """Values of one user's weights, (n,)."""
        return self(weights, np.zeros(weights.size, dtype=np.int64))

    def described(self) -> dict[str, Any]:
        """What the manifest stores, and `stored_transform` reads."""
        fields = {"kind": self.kind, "unit": self.unit, "cap": self.cap, "scale": self.scale}
        points = {"points": list(self.points), "shares": list(self.shares)} if self.points else {}
        return fields | points


AS_THEY_ARE = WeightTransform()


def stored_transform(described: Mapping[str, Any]) -> WeightTransform:
    """The transform of `WeightTransform.described`; of an empty mapping one that changes nothing.

    Raises `ValueError` or `TypeError` for what is none.
    """
    kind = described.get("kind", "none")
    if kind not in KINDS:
        raise ValueError(f"unknown transform {kind!r}")
    numbers = {name: float(described[name]) for name in ("unit", "cap", "scale") if name in described}
    points, shares = (tuple(map(float, described.get(name, ()))) for name in ("points", "shares"))
    return WeightTransform(kind, **numbers, points=points, shares=shares)


def user_means(shaped: Float64, users: Int64, n_users: int = 0) -> Float64:
    """Each user's mean, float64 (n_users,); the mean of all for users who have none."""
    counts = np.bincount(users, minlength=n_users)
    sums = np.bincount(users, shaped, minlength=n_users)
    overall = float(shaped.mean()) if shaped.size else 1.0
    means: Float64 = np.where(counts > 0, sums / np.maximum(counts, 1), overall)
    return means
