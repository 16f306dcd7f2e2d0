"""Paired bootstrap over users: intervals and p-values of metrics.

Efron (1979); for rankings, Sakai (2006). All systems see the same resampled users, so their differences are paired.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recli.reporting import Advance, no_progress
from recli.schema import Bool, Float64, Int64
from recli.steps.evaluate.slices import MetricValue

GROUPS = 16_384  # that are drawn at most
_WEIGHTS = 1 << 20  # weights held at a time: 8 MiB
_DIGITS = 10  # BLAS may add in another order on another machine: what is stored is rounded


@dataclass(frozen=True)
class Resampled:
    """Metrics of one system under `samples` draws of users, float64 (samples, metrics), NaN if undefined."""

    means: Float64

    def interval(self, confidence: float) -> tuple[Float64, Float64]:
        """Percentile interval of each metric, two float64 (metrics,); NaN where a metric has none."""
        return interval(self.means, confidence)


def resample(
    systems: Sequence[Sequence[MetricValue]],
    samples: int,
    seed: int,
    advance: Advance = no_progress,
) -> list[Resampled]:
    """Draw users with replacement `samples` times; all systems' metrics under the same draws.

    Of more than `GROUPS` users, so many random groups are drawn instead, which bounds time and memory: the variance
    over groups is that over users, known to 1.1% of itself, where 1000 draws leave 4.5%.
    """
    n_users = max((f.values.size for metrics in systems for f in metrics if f.values is not None), default=0)
    n, rng = min(n_users, GROUPS), np.random.default_rng(seed)
    groups = None if n_users <= GROUPS else rng.permutation(n_users) % n
    packed = [_pack(metrics, n, groups) for metrics in systems]
    means = [np.full((samples, len(metrics)), np.nan) for metrics in systems]
    step = max(1, _WEIGHTS // max(n, 1))
    for start in range(0, samples if n else 0, step):
        size = min(step, samples - start)
        drawn = rng.integers(0, n, size=(size, n), dtype=np.int64) + n * np.arange(size)[:, None]
        times = np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(np.float64)
        for (top, bottom, which, root), mean in zip(packed, means, strict=True):
            part = mean[start : start + size]
            below = (times @ bottom)[:, which]
            np.divide(times @ top, below, out=part, where=below > 0)
            part[:, root] = np.sqrt(part[:, root])
        advance(size, "")
    return [Resampled(m) for m in means]


def _pack(
    metrics: Sequence[MetricValue], n: int, groups: Int64 | None
) -> tuple[Float64, Float64, list[int], Bool]:
    """Weighted values, float64 (n, metrics); the different weights, float64 (n, w), and which of them are a metric's;
    which metrics are roots. Summed over each of the `groups`, int64 (users,), if any.

    Metrics without users have weight 0 throughout.
    """
    top, zeros = np.zeros((n, len(metrics))), np.zeros(n)
    which: list[int] = []
    columns: dict[bytes, tuple[int, Float64]] = {}
    for i, metric in enumerate(metrics):
        weights = zeros
        if metric.values is not None and metric.weights is not None:
            top[:, i] = _sums(np.where(metric.weights > 0, metric.values * metric.weights, 0.0), n, groups)
            weights = _sums(metric.weights.astype(np.float64), n, groups)
        which.append(columns.setdefault(weights.tobytes(), (len(columns), weights))[0])
    bottom = np.stack([weights for _, weights in columns.values()], axis=1) if columns else zeros[:, None]
    return top, bottom, which, np.array([f.spec.metric.root for f in metrics], dtype=bool)


def _sums(values: Float64, n: int, groups: Int64 | None) -> Float64:
    return values if groups is None else np.bincount(groups, values, n).astype(np.float64)


def interval(drawn: Float64, confidence: float) -> tuple[Float64, Float64]:
    """The middle `confidence` of each column of `drawn`, float64 (samples, c)."""
    low, high = np.full(drawn.shape[1], np.nan), np.full(drawn.shape[1], np.nan)
    defined = ~np.isnan(drawn).all(axis=0) if drawn.size else np.zeros(drawn.shape[1], dtype=bool)
    if defined.any():
        ends = [(1 - confidence) / 2, (1 + confidence) / 2]
        low[defined], high[defined] = np.nanquantile(drawn[:, defined], ends, axis=0).round(_DIGITS)
    return low, high


def p_values(differences: Float64) -> Float64:
    """Two-sided p of each column of resampled differences, float64 (samples, c): twice the smaller tail.

    (count + 1) / (samples + 1): a bootstrap with finitely many draws never shows p = 0.
    Davison and Hinkley (1997), section 4.2.
    """
    settled = np.where(np.abs(differences) < 1e-12, 0.0, differences)  # equal systems differ in the last bit
    samples = (~np.isnan(settled)).sum(axis=0)
    smaller = np.minimum((settled <= 0).sum(axis=0), (settled >= 0).sum(axis=0))
    p = np.minimum(1.0, 2 * (smaller + 1) / (samples + 1))
    return np.asarray(np.where(samples > 0, p, np.nan))


def holm(p: Sequence[float | None]) -> list[float | None]:
    """The p-values corrected for their number, so that one of several is wrongly small no more often than one alone.

    The smallest of m is multiplied by m, the next by m - 1, ..., and none is below the one before; None is not counted.
    Holm (1979).
    """
    order = sorted((value, i) for i, value in enumerate(p) if value is not None)
    corrected: list[float | None] = [None] * len(p)
    largest = 0.0
    for rank, (value, i) in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * value))
        corrected[i] = largest
    return corrected
