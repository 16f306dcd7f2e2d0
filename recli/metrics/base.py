"""The registry of metrics, and their input: evaluated lists with the test set."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from recli.errors import UsageError
from recli.registry import Registry
from recli.schema import CSR, Bool, Float32, Float64, Int32, Int64

DEFAULT_K = 20  # of a metric that is named without @k
MAX_K = 1000


@dataclass(frozen=True)
class TestSet:
    """Test items of the evaluated users and what was known before: the same for all systems that are compared."""

    users: Int64  # (n,), row numbers of the users that are evaluated: those with test items
    relevant: CSR  # (n, n_items), their test items
    seen: CSR  # (n, n_items), what they did before, and models may have been trained on
    counts: Int64  # (n_items,), training users of each item
    n_training_users: int
    cold: Bool  # (n_items,), items without a training event
    ties: Int32  # (n_items,), the fixed order in which equal scores are listed
    allowed: Bool | None = None  # (n_items,), items that may be recommended; None: all
    vectors: Float32 | CSR | None = None  # (n_items, d), l2-normalized or zero rows: for diversity
    filtered: CSR | None = (
        None  # (n, n_items), what they did before, but `prepare` filtered out; None: nothing
    )

    @cached_property
    def masked(self) -> CSR:
        """What models do not recommend again, csr (n, n_items)."""
        if self.filtered is None:
            return self.seen
        masked = self.seen + self.filtered
        masked.sort_indices()
        return masked

    @property
    def n_users(self) -> int:
        return int(self.users.size)

    @property
    def n_items(self) -> int:
        return int(self.cold.size)


@dataclass(frozen=True)
class RatingErrors:
    """Errors of predicted ratings on the test pairs, summed for each evaluated user."""

    squared: Float64  # (n,)
    absolute: Float64  # (n,)
    pairs: Int64  # (n,), test pairs with a prediction


@dataclass(frozen=True)
class EvaluatedLists:
    """One system's lists beside the test items; what a metric function gets.

    `ranked`: int32 (n, k), best first, -1 where there is no item. `hits`: bool (n, k). `relevant`: int64
    (n,), number of test items of each user.
    """

    test_set: TestSet
    ranked: Int32
    hits: Bool
    relevant: Int64
    auc: Float64 | None = None  # (n,); None: only lists are known
    errors: RatingErrors | None = None
    cold_only: EvaluatedLists | None = None  # the cold items ranked among themselves

    @property
    def k(self) -> int:
        return int(self.ranked.shape[1])

    @cached_property
    def hit_positions(self) -> tuple[Int64, Int64]:
        """Each hit's list and its rank from 0, two int64 (hits,), list by list, best first."""
        rows, ranks = np.nonzero(self.hits)
        return rows, ranks

    @cached_property
    def n_hits(self) -> Int64:
        """How many hits each list has, int64 (n,)."""
        return np.bincount(self.hit_positions[0], minlength=self.relevant.size)

    @cached_property
    def nth_hit(self) -> Int64:
        """Beside `hit_positions`: which hit of its list each one is, from 0, int64 (hits,)."""
        rows, _ = self.hit_positions
        before = np.cumsum(self.n_hits) - self.n_hits
        return np.arange(rows.size) - before[rows]

    def cut(self, k: int) -> EvaluatedLists:
        """The same lists, cut at k."""
        return replace(self, ranked=self.ranked[:, :k], hits=self.hits[:, :k])

    def only(self, items: Bool) -> EvaluatedLists:
        """The same lists where only `items`, bool (n_items,), count as relevant."""
        hits = self.hits.copy()
        hits[hits] = items[self.ranked[hits]]
        tests = self.test_set.relevant
        before = np.concatenate(
            [[0], np.cumsum(items[tests.indices])]
        )  # of them, in the order of the entries
        return replace(self, hits=hits, relevant=np.diff(before[tests.indptr]))


Function = Callable[[EvaluatedLists], "Float64 | float | None"]


@dataclass(frozen=True)
class Metric:
    """A registered metric.

    `function` gives float64 (n,), one value per user (NaN: undefined for that user), or one number where
    `whole`: a value of all lists together, which has no value per user and no interval. None: this system
    cannot be measured so.
    """

    name: str
    help: str
    function: Function
    family: str  # "accuracy", "beyond accuracy" or "ratings"
    at: bool  # is cut at k
    better: int  # 1: higher is better; -1: lower; 0: neither
    whole: bool
    weight: Callable[[EvaluatedLists], Float64] | None  # of users in the mean; None: all alike
    root: bool  # the square root of the mean


def ratio(top: Float64 | Int64, bottom: Float64 | Int64, empty: float = float("nan")) -> Float64:
    """top / bottom element by element, float64; `empty` where bottom is not positive."""
    out = np.full(np.shape(top), empty, dtype=np.float64)
    np.divide(top, bottom, out=out, where=bottom > 0)
    return out


metrics: Registry[Metric] = Registry("metric", "recli.metrics", "recli.metrics")


def metric(
    name: str,
    *,
    help: str,
    family: str = "accuracy",
    at: bool = True,
    better: int = 1,
    whole: bool = False,
    weight: Callable[[EvaluatedLists], Float64] | None = None,
    root: bool = False,
) -> Callable[[Function], Function]:
    """Register the decorated function as a metric; see `Metric`."""

    def register(function: Function) -> Function:
        metrics.add(name, Metric(name, help, function, family, at, better, whole, weight, root))
        return function

    return register


@dataclass(frozen=True)
class MetricSpec:
    """A metric with its cut, as `ndcg@10` names it."""

    metric: Metric
    k: int | None

    @property
    def label(self) -> str:
        return self.metric.name if self.k is None else f"{self.metric.name}@{self.k}"


_OTHER_NAMES = {
    "hr": "hit-rate", "hit": "hit-rate", "hitrate": "hit-rate", "prec": "precision", "rec": "recall",
    "mean-average-precision": "map", "p": "precision", "r": "recall",
}  # fmt: skip


def _named(name: str) -> Metric:
    """The metric of this name. Raises `UsageError`, which names those that look like it."""
    known = metrics.names()
    if name in known:
        return metrics[name]
    plain = name.lower().replace("_", "-").replace(" ", "-")
    cut = re.fullmatch(r"([a-z-]+?)-?(\d+)", plain)  # ndcg10
    word, at = (cut[1], f"@{cut[2]}") if cut else (plain, "")
    close = [_OTHER_NAMES[word]] if word in _OTHER_NAMES else difflib.get_close_matches(word, known, n=2)
    alike = [f"{match}{at}" for match in close]
    raise UsageError(
        f"unknown metric {name!r}; known: {', '.join(known)}",
        f"did you mean {' or '.join(alike)}?" if alike else None,
    )


def parse_metric(text: str) -> MetricSpec:
    """The metric that `ndcg@10` or `auc` names. Raises `UsageError`."""
    name, _, cut = text.strip().partition("@")
    registered = _named(name.strip())
    if not registered.at:
        if cut:
            raise UsageError(f"{name} has no cut: write {name} instead of {text.strip()!r}")
        return MetricSpec(registered, None)
    if not cut and "@" not in text:
        return MetricSpec(registered, DEFAULT_K)
    if not cut.isdecimal() or not 1 <= int(cut) <= MAX_K:
        raise UsageError(
            f"{text.strip()!r} is no metric: write {name}@K with K from 1 to {MAX_K}, e.g. {name}@10"
        )
    return MetricSpec(registered, int(cut))


def parse_metrics(texts: Sequence[str]) -> tuple[MetricSpec, ...]:
    """The metrics named in `texts`, each a name or several with commas; doubles are dropped."""
    specs = [parse_metric(part) for text in texts for part in text.split(",") if part.strip()]
    return tuple({s.label: s for s in specs}.values())
