"""From figures to what is stored and shown: intervals, differences, frames, tables of text."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from recli.metrics.base import MetricSpec
from recli.schema import Float64
from recli.steps.evaluate.bootstrap import Resampled, interval, p_values
from recli.steps.evaluate.slices import ALL, MetricValue

if TYPE_CHECKING:
    import polars as pl

Row = dict[str, Any]


@dataclass(frozen=True)
class EvaluatedSystem:
    """What is measured of one model or one file of lists."""

    name: str
    source: str  # "als model", "lists (by score)"
    figures: list[MetricValue]
    notes: dict[str, int] = field(default_factory=dict)  # what was found in lists, users unknown to a model

    def overall(self, label: str) -> MetricValue | None:
        """The figure of the metric `ndcg@10` over all users; None where it cannot be measured."""
        return next((f for f in self.figures if f.part is ALL and f.asked.label == label), None)


@dataclass(frozen=True)
class Scorecard:
    """All systems' figures with their intervals, and differences to the baseline. Rows are plain JSON values."""

    systems: list[EvaluatedSystem]
    asked: tuple[MetricSpec, ...]
    primary: str | None  # the metric that decides which system is best
    baseline: str | None
    rows: list[Row]  # model, metric, k, slice_kind, slice, value, low, high, users
    comparisons: list[Row]  # model, baseline, metric, k, difference, low, high, p, users

    def row(self, model: str, label: str, kind: str = "all", part: str = "all") -> Row | None:
        wanted = (model, label, kind, part)
        return next(
            (r for r in self.rows if (r["model"], label_of(r), r["slice_kind"], r["slice"]) == wanted), None
        )


def label_of(row: Row) -> str:
    """`ndcg@10` for a row with the columns metric and k."""
    return str(row["metric"]) if row["k"] is None else f"{row['metric']}@{row['k']}"


def scorecard(
    systems: list[EvaluatedSystem],
    asked: tuple[MetricSpec, ...],
    resampled: Sequence[Resampled],
    confidence: float,
    baseline: str | None = None,
) -> Scorecard:
    """Put figures and their resamples together. `baseline`: a system's name; None: the best one."""
    primary = next((a.label for a in asked if a.metric.better and not a.metric.whole), None)
    baseline = baseline or _best(systems, primary)
    rows: list[Row] = []
    for system, drawn in zip(systems, resampled, strict=True):
        low, high = drawn.interval(confidence)
        rows += [_row(system, f, low[i], high[i]) for i, f in enumerate(system.figures)]
    comparisons = _comparisons(systems, resampled, confidence, baseline)
    return Scorecard(systems, asked, primary, baseline, rows, comparisons)


def _best(systems: Sequence[EvaluatedSystem], primary: str | None) -> str | None:
    if primary is None:
        return None
    found = [(s.name, f) for s in systems if (f := s.overall(primary)) and f.value is not None]
    scored = [(f.asked.metric.better * (f.value or 0.0), name) for name, f in found]
    return max(scored, key=lambda pair: pair[0])[1] if scored else None


def _row(system: EvaluatedSystem, figure: MetricValue, low: float, high: float) -> Row:
    return {
        "model": system.name,
        "metric": figure.asked.metric.name,
        "k": figure.asked.k,
        "slice_kind": figure.part.kind,
        "slice": figure.part.name,
        "value": figure.value,
        "low": _number(low),
        "high": _number(high),
        "users": figure.users,
    }


def _number(value: float) -> float | None:
    return None if np.isnan(value) else float(value)


def _comparisons(
    systems: Sequence[EvaluatedSystem],
    resampled: Sequence[Resampled],
    confidence: float,
    baseline: str | None,
) -> list[Row]:
    means = {s.name: _overall_means(s, drawn) for s, drawn in zip(systems, resampled, strict=True)}
    rows: list[Row] = []
    for system in systems:
        if baseline is None or system.name == baseline:
            continue
        pairs = [
            (f, *means[baseline][label])
            for label, (f, _) in means[system.name].items()
            if label in means[baseline]
        ]
        if not pairs:
            continue
        drawn = np.stack([means[system.name][f.asked.label][1] - theirs for f, _, theirs in pairs], axis=1)
        (low, high), p = interval(drawn, confidence), p_values(drawn)
        for i, (mine, base, _) in enumerate(pairs):
            rows.append(
                {
                    "model": system.name,
                    "baseline": baseline,
                    "metric": mine.asked.metric.name,
                    "k": mine.asked.k,
                    "difference": (mine.value or 0.0) - (base.value or 0.0),
                    "low": _number(low[i]),
                    "high": _number(high[i]),
                    "p": _number(p[i]),
                    "users": min(mine.users, base.users),
                }
            )
    return rows


def _overall_means(system: EvaluatedSystem, drawn: Resampled) -> dict[str, tuple[MetricValue, Float64]]:
    """Figures over all users that have values per user, by label, with their resampled means (samples,)."""
    return {
        f.asked.label: (f, drawn.means[:, i])
        for i, f in enumerate(system.figures)
        if f.part is ALL and f.values is not None and f.value is not None
    }


def metrics_frame(card: Scorecard) -> "pl.DataFrame":
    import polars as pl

    types = {"model": pl.String, "metric": pl.String, "k": pl.Int64}
    types |= {"slice_kind": pl.String, "slice": pl.String, "value": pl.Float64}
    return pl.DataFrame(card.rows, schema=types | {"low": pl.Float64, "high": pl.Float64, "users": pl.Int64})


def comparisons_frame(card: Scorecard) -> "pl.DataFrame":
    import polars as pl

    types = {
        "model": pl.String,
        "baseline": pl.String,
        "metric": pl.String,
        "k": pl.Int64,
        "difference": pl.Float64,
    }
    types |= {"low": pl.Float64, "high": pl.Float64, "p": pl.Float64, "users": pl.Int64}
    return pl.DataFrame(card.comparisons, schema=types)


def per_user_frame(card: Scorecard, user_ids: "pl.Series") -> "pl.DataFrame":
    """Each judged user's own figures: model, user_id, metric, k, value (null: undefined)."""
    import polars as pl

    frames = []
    for system in card.systems:
        for figure in system.figures:
            if figure.part is not ALL or figure.values is None or figure.weights is None:
                continue
            values = np.sqrt(figure.values) if figure.asked.metric.root else figure.values
            values = np.where(figure.weights, values, np.nan)
            frames.append(
                pl.DataFrame({"user_id": user_ids, "value": values}, nan_to_null=True).select(
                    pl.lit(system.name).alias("model"),
                    "user_id",
                    pl.lit(figure.asked.metric.name).alias("metric"),
                    pl.lit(figure.asked.k, dtype=pl.Int64).alias("k"),
                    "value",
                )
            )
    empty = {
        "model": pl.String,
        "user_id": pl.String,
        "metric": pl.String,
        "k": pl.Int64,
        "value": pl.Float64,
    }
    return pl.concat(frames) if frames else pl.DataFrame(schema=empty)


@dataclass(frozen=True)
class Table:
    """A table of text."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def text(value: float | None, sign: bool = False) -> str:
    """A figure for people: four digits after the point, fewer where it is large."""
    if value is None:
        return "–"
    digits = 4 if abs(value) < 10 else 2 if abs(value) < 100 else 1
    return f"{value:{'+' if sign else ''}.{digits}f}"


def text_interval(low: float | None, high: float | None, sign: bool = False) -> str:
    return "–" if low is None or high is None else f"[{text(low, sign)}, {text(high, sign)}]"


def tables(card: Scorecard, confidence: float, width: int = 120) -> list[Table]:
    """What `evaluate` prints: accuracy, beyond accuracy and ratings, the main metric's differences, its slices.

    A table of more than `width` characters becomes several, one below the other.
    """
    families = dict.fromkeys(a.metric.family for a in card.asked)
    made = [one for family in families for one in _narrow(_family(card, family), 1, width)]
    if card.primary is not None:
        made += _narrow(_differences(card, card.primary, confidence), 1, width, together=(2, 3))
        made += _narrow(_slices(card, card.primary), 2, width)
    return made


def _narrow(table: Table, fixed: int, width: int, together: Sequence[int] | None = None) -> list[Table]:
    """The table, or where it is too wide several with the same first `fixed` columns.

    `together`: how many of the other columns belong together, group by group; None: each is its own group. A
    column takes its widest line, two characters of padding and one between columns; the edges take two.
    """
    widths = [
        max(len(line) for cell in (head, *(row[i] for row in table.rows)) for line in cell.split("\n")) + 3
        for i, head in enumerate(table.columns)
    ]
    rest = list(range(fixed, len(table.columns)))
    groups = [[i] for i in rest]
    if together is not None:
        starts = [sum(together[:n]) for n in range(len(together))]
        groups = [rest[s : s + n] for s, n in zip(starts, together, strict=True) if rest[s : s + n]]
    first = list(range(fixed))
    blocks: list[list[int]] = [first]
    for group in groups:
        if sum(widths[i] for i in (*blocks[-1], *group)) + 1 > width and blocks[-1] != first:
            blocks.append(first)
        blocks[-1] = [*blocks[-1], *group]
    return [
        Table(table.title, [table.columns[i] for i in block], [[row[i] for i in block] for row in table.rows])
        for block in blocks
    ]


def _family(card: Scorecard, family: str) -> Table:
    asked = [a for a in card.asked if a.metric.family == family]
    heads = [a.metric.name + ("" if a.k is None else f"\n@{a.k}") for a in asked]
    rows = []
    for system in card.systems:
        found = [system.overall(a.label) for a in asked]
        rows.append([system.name, *(text(None if f is None else f.value) for f in found)])
    return Table(family.capitalize(), ["model", *heads], rows)


def _differences(card: Scorecard, label: str, confidence: float) -> Table:
    percent = f"{100 * confidence:g}%"
    heads = ["model", label, f"{percent} interval", f"against {card.baseline}", f"{percent} interval", "p"]
    rows = []
    for system in card.systems:
        own = card.row(system.name, label)
        if own is None:
            continue
        other = next(
            (c for c in card.comparisons if c["model"] == system.name and label_of(c) == label), None
        )
        line = [system.name, text(own["value"]), text_interval(own["low"], own["high"])]
        if other is None:
            line += ["", "", ""]
        else:
            p = "–" if other["p"] is None else f"{other['p']:.3f}"
            line += [text(other["difference"], True), text_interval(other["low"], other["high"], True), p]
        rows.append(line)
    if not card.comparisons:
        heads, rows = heads[:3], [row[:3] for row in rows]
    return Table(f"{label}: uncertainty", heads, rows)


def _slices(card: Scorecard, label: str) -> Table:
    systems = [s.name for s in card.systems]
    found: dict[tuple[str, str], dict[str, Row]] = {}
    for row in card.rows:
        if label_of(row) == label and row["model"] in systems:
            found.setdefault((row["slice_kind"], row["slice"]), {})[row["model"]] = row
    rows = []
    for (kind, part), by_model in found.items():
        users = str(max(row["users"] for row in by_model.values()))
        values = [text(by_model[s]["value"]) if s in by_model else "–" for s in systems]
        rows.append([part if kind == "all" else f"{kind}: {part}", users, *values])
    return Table(f"{label} by slice", ["slice", "users", *systems], rows)
