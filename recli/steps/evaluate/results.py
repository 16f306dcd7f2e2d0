"""Results of an evaluation: metrics with intervals, differences to the baseline, frames, and all of it as JSON."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recli.config import to_dict
from recli.metrics.base import MetricSpec
from recli.reporting import StepResult
from recli.schema import Float64
from recli.steps.evaluate.bootstrap import Resampled, holm, interval, p_values
from recli.steps.evaluate.config import EvaluateConfig
from recli.steps.evaluate.numbers import label_of
from recli.steps.evaluate.slices import ALL, MetricValue


@dataclass(frozen=True)
class EvaluatedSystem:
    """A model or a file of recommendations with its metrics."""

    name: str
    source: str  # "als model", "lists, by score"
    values: list[MetricValue]
    notes: dict[str, int] = field(default_factory=dict)  # irregularities of lists, users unknown to a model

    def overall(self, label: str) -> MetricValue | None:
        """The value of the metric `ndcg@10` over all users; None where it cannot be measured."""
        return next((v for v in self.values if v.part is ALL and v.spec.label == label), None)


@dataclass(frozen=True)
class MetricRow:
    """A metric of one system on one slice, with its interval: a row of metrics.parquet."""

    model: str
    metric: str
    k: int | None
    slice_kind: str
    slice: str
    value: float | None
    low: float | None
    high: float | None
    users: int

    @property
    def label(self) -> str:
        return label_of(self.metric, self.k)


@dataclass(frozen=True)
class ComparisonRow:
    """The difference of one system to the baseline in one metric: a row of comparisons.parquet."""

    model: str
    baseline: str
    metric: str
    k: int | None
    difference: float
    low: float | None
    high: float | None
    p: float | None
    p_holm: float | None  # corrected for the number of systems that are compared in this metric
    users: int

    @property
    def label(self) -> str:
        return label_of(self.metric, self.k)


@dataclass(frozen=True)
class GateResult:
    """Whether a system reached the number that `--fail-under` names. `value` None: not measured."""

    model: str
    metric: str
    least: float
    value: float | None
    met: bool


@dataclass(frozen=True)
class Scorecard:
    """All systems' metrics with their intervals, and differences to the baseline."""

    systems: list[EvaluatedSystem]
    specs: tuple[MetricSpec, ...]
    primary: str | None  # label of the metric that decides which system is best
    baseline: str | None
    rows: list[MetricRow]
    comparisons: list[ComparisonRow]

    @property
    def overall(self) -> dict[str, dict[str, MetricRow]]:
        """Metrics over all users, by system and label."""
        by_system: dict[str, dict[str, MetricRow]] = {s.name: {} for s in self.systems}
        for row in self.rows:
            if row.slice_kind == ALL.kind:
                by_system[row.model][row.label] = row
        return by_system

    @property
    def slices(self) -> list[MetricRow]:
        return [row for row in self.rows if row.slice_kind != ALL.kind]

    def by_slice(self, label: str) -> dict[tuple[str, str], dict[str, MetricRow]]:
        """Rows of the metric `label` by (kind, name) of their slice and by system, all users first."""
        slices: dict[tuple[str, str], dict[str, MetricRow]] = {}
        for row in self.rows:
            if row.label == label:
                slices.setdefault((row.slice_kind, row.slice), {})[row.model] = row
        return slices

    @property
    def better(self) -> dict[str, int]:
        """By label, 1: higher is better; -1: lower; 0: neither."""
        return {s.label: s.metric.better for s in self.specs}


@dataclass(frozen=True)
class EvaluationSummary:
    """An evaluation in numbers and words: what `--json` prints, and what the report is made from."""

    config: EvaluateConfig
    card: Scorecard
    models: list[str]  # of the run; the other systems are external recommendations
    data: dict[str, int]  # sizes: users, items, events
    protocol: list[str]
    gates: list[GateResult]

    @property
    def settings(self) -> dict[str, Any]:
        """The config as plain JSON values, with the metrics and models that it resolved to."""
        return to_dict(self.config) | {"metrics": list(self.card.better), "models": self.models}

    @property
    def definitions(self) -> dict[str, str]:
        return {s.metric.name: s.metric.help for s in self.card.specs}

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        measured = ("value", "low", "high", "users")
        models = {
            name: {label: {key: getattr(row, key) for key in measured} for label, row in rows.items()}
            for name, rows in self.card.overall.items()
        }
        return {
            "settings": self.settings,
            "data": self.data,
            "protocol": self.protocol,
            "primary": self.card.primary,
            "baseline": self.card.baseline,
            "definitions": self.definitions,
            "better": self.card.better,
            "systems": [{"name": s.name, "source": s.source, "notes": s.notes} for s in self.card.systems],
            "models": models,
            "slices": [vars(row) for row in self.card.slices],
            "comparisons": [vars(row) for row in self.card.comparisons],
            "gates": [vars(gate) for gate in self.gates],
        }


@dataclass(frozen=True)
class Evaluation(StepResult):
    """The result of `evaluate`, as it was written to `path`.

    `metrics`: model, metric, k, slice_kind, slice, value, low, high, users. `per_user`: model, user_id, metric, k,
    value (null: undefined). `comparisons`: model, baseline, metric, k, difference, low, high, p, p_holm,
    users. `repeats`, with `seeds` or `folds`: repeat (1, 2, ...), model, metric, k, slice_kind, slice, value, users;
    `metrics` are their means then, and `per_user` is empty.
    """

    run: Path
    path: Path
    summary: EvaluationSummary
    metrics: pl.DataFrame
    per_user: pl.DataFrame
    comparisons: pl.DataFrame
    repeats: pl.DataFrame | None = None

    @property
    def protocol(self) -> list[str]:
        """The evaluation protocol, one sentence per rule."""
        return self.summary.protocol

    @property
    def gates(self) -> list[GateResult]:
        return self.summary.gates


def scorecard(
    systems: list[EvaluatedSystem],
    specs: tuple[MetricSpec, ...],
    resampled: Sequence[Resampled],
    confidence: float,
    baseline: str | None = None,
) -> Scorecard:
    """Put metrics and their resamples together. `baseline`: a system's name; None: the best one."""
    primary = next((s.label for s in specs if s.metric.better and not s.metric.whole), None)
    baseline = baseline or best_system(systems, primary)
    rows: list[MetricRow] = []
    for system, resamples in zip(systems, resampled, strict=True):
        low, high = resamples.interval(confidence)
        rows += [_row(system, value, low[i], high[i]) for i, value in enumerate(system.values)]
    comparisons = _comparisons(systems, resampled, confidence, baseline)
    return Scorecard(systems, specs, primary, baseline, rows, comparisons)


def best_system(systems: Sequence[EvaluatedSystem], primary: str | None) -> str | None:
    """The name of the best one in the metric of this label; None: it cannot be said."""
    if primary is None:
        return None
    primary_values = [(s.name, v) for s in systems if (v := s.overall(primary)) and v.value is not None]
    scored = [(v.spec.metric.better * (v.value or 0.0), name) for name, v in primary_values]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def _row(system: EvaluatedSystem, value: MetricValue, low: float, high: float) -> MetricRow:
    spec, part = value.spec, value.part
    ends = _number_or_none(low), _number_or_none(high)
    return MetricRow(
        system.name, spec.metric.name, spec.k, part.kind, part.name, value.value, *ends, value.users
    )


def _number_or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _comparisons(
    systems: Sequence[EvaluatedSystem],
    resampled: Sequence[Resampled],
    confidence: float,
    baseline: str | None,
) -> list[ComparisonRow]:
    means = {s.name: _overall_means(s, resamples) for s, resamples in zip(systems, resampled, strict=True)}
    rows: list[ComparisonRow] = []
    for name, own in means.items():
        if baseline is None or name == baseline:
            continue
        labels = [label for label in own if label in means[baseline]]
        if not labels:
            continue
        drawn = np.stack([own[label][1] - means[baseline][label][1] for label in labels], axis=1)
        (low, high), p = interval(drawn, confidence), p_values(drawn)
        for i, label in enumerate(labels):
            value, base = own[label][0], means[baseline][label][0]
            difference = (value.value or 0.0) - (base.value or 0.0)
            ends = _number_or_none(low[i]), _number_or_none(high[i]), _number_or_none(p[i])
            users = min(value.users, base.users)
            spec = value.spec
            rows.append(
                ComparisonRow(name, baseline, spec.metric.name, spec.k, difference, *ends, None, users)
            )
    return corrected(rows)


def corrected(rows: Sequence[ComparisonRow]) -> list[ComparisonRow]:
    """The rows with p-values corrected by Holm's method among the systems that are compared in one metric."""
    by_label: dict[str, list[int]] = {}
    for i, row in enumerate(rows):
        by_label.setdefault(row.label, []).append(i)
    with_holm = list(rows)
    for places in by_label.values():
        for i, p in zip(places, holm([rows[i].p for i in places]), strict=True):
            with_holm[i] = replace(rows[i], p_holm=p)
    return with_holm


def _overall_means(system: EvaluatedSystem, resamples: Resampled) -> dict[str, tuple[MetricValue, Float64]]:
    """Metrics over all users that have values per user, by label, with their resampled means (samples,)."""
    return {
        v.spec.label: (v, resamples.means[:, i])
        for i, v in enumerate(system.values)
        if v.part is ALL and v.values is not None and v.value is not None
    }


_ID = {"model": pl.String, "metric": pl.String, "k": pl.Int64}
_INTERVAL = {"low": pl.Float64, "high": pl.Float64}


def metrics_frame(card: Scorecard) -> pl.DataFrame:
    types = _ID | {"slice_kind": pl.String, "slice": pl.String, "value": pl.Float64} | _INTERVAL
    return pl.DataFrame([vars(row) for row in card.rows], schema=types | {"users": pl.Int64})


def comparisons_frame(card: Scorecard) -> pl.DataFrame:
    types = {"model": pl.String, "baseline": pl.String, "metric": pl.String, "k": pl.Int64}
    types |= (
        {"difference": pl.Float64} | _INTERVAL | {"p": pl.Float64, "p_holm": pl.Float64, "users": pl.Int64}
    )
    return pl.DataFrame([vars(row) for row in card.comparisons], schema=types)


def per_user_frame(card: Scorecard, user_ids: pl.Series) -> pl.DataFrame:
    """Each evaluated user's own values: model, user_id, metric, k, value (null: undefined)."""
    types = {
        "model": pl.String,
        "user_id": pl.String,
        "metric": pl.String,
        "k": pl.Int64,
        "value": pl.Float64,
    }
    frames = [pl.DataFrame(schema=types)]
    for system in card.systems:
        for value in system.values:
            if value.part is not ALL or value.values is None or value.weights is None:
                continue
            metric = value.spec.metric
            own = np.where(value.weights, np.sqrt(value.values) if metric.root else value.values, np.nan)
            columns = {"user_id": user_ids, "value": own}
            constant = pl.lit(system.name).alias("model"), pl.lit(metric.name).alias("metric")
            k = pl.lit(value.spec.k, dtype=pl.Int64).alias("k")
            frames.append(pl.DataFrame(columns, nan_to_null=True).with_columns(*constant, k).select(*types))
    return pl.concat(frames)
