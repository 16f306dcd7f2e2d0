"""Figures of an evaluation as SVG, for papers and slides; drawn with matplotlib, the extra `plots`."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recli.steps.evaluate.results import ComparisonRow, MetricRow, Scorecard

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLORS = ("#1f6fb8", "#d9822b", "#2e8b57", "#8e5bb5", "#c0504d", "#7a6a58", "#4b9ca6", "#9a9a2f")


def figures(card: Scorecard) -> dict[str, str]:
    """SVG text by name: `metrics` (each metric with its intervals), `slices` and `differences` of the main one.

    The same scorecard gives the same bytes: no clock and no random ids are written.
    """
    drawn = {"metrics": _metrics(card)}
    if card.primary is not None:
        drawn["slices"] = _slices(card, card.primary)
        rows = [row for row in card.comparisons if row.label == card.primary]
        if rows:
            drawn["differences"] = _differences(rows, card.primary)
    return {name: _svg(figure) for name, figure in drawn.items()}


def _svg(figure: Figure) -> str:
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "recli", "svg.fonttype": "none"}):
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure  # not pyplot: no window system, no global state

    return Figure(figsize=(width, height), layout="constrained")


def _clean(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _whiskers(values: Sequence[float], rows: Sequence[MetricRow | ComparisonRow]) -> list[list[float]]:
    """Lengths of the whiskers below and above each value; 0 where there is no interval."""
    pairs = list(zip(values, rows, strict=True))
    below = [0.0 if r.low is None else max(0.0, v - r.low) for v, r in pairs]
    above = [0.0 if r.high is None else max(0.0, r.high - v) for v, r in pairs]
    return [below, above]


def _metrics(card: Scorecard) -> Figure:
    """A panel for each metric, a dot with its interval for each model."""
    systems = card.overall
    labels = list(dict.fromkeys(label for metrics in systems.values() for label in metrics))
    across = min(4, max(1, len(labels)))
    down = -(-len(labels) // across)
    figure = _figure(3 * across, down * (0.9 + 0.28 * len(systems)))
    for i, label in enumerate(labels):
        axes = figure.add_subplot(down, across, i + 1)
        for index, metrics in enumerate(systems.values()):
            row = metrics.get(label)
            if row is not None and row.value is not None:
                axes.errorbar(
                    [row.value],
                    [index],
                    xerr=_whiskers([row.value], [row]),
                    fmt="o",
                    color=COLORS[index % len(COLORS)],
                )
        axes.set_yticks(
            range(len(systems)),
            [_plain(name) for name in systems] if i % across == 0 else [""] * len(systems),
        )
        axes.set_ylim(len(systems) - 0.5, -0.5)
        axes.set_title(label, fontsize=10)
        _clean(axes)
    return figure


def _slices(card: Scorecard, primary: str) -> Figure:
    """The main metric by slice, bars side by side for the models."""
    rows = [(r, r.value) for r in card.slices if r.label == primary and r.value is not None]
    parts = list(dict.fromkeys((r.slice_kind, r.slice) for r, _ in rows))
    systems = [s.name for s in card.systems]
    figure = _figure(max(6.0, 0.35 * len(parts) * (len(systems) + 1)), 4)
    axes = figure.add_subplot()
    width = 0.8 / max(1, len(systems))
    for index, system in enumerate(systems):
        own = [(r, v) for r, v in rows if r.model == system]
        values = [v for _, v in own]
        shift = (index - (len(systems) - 1) / 2) * width
        x_positions = [parts.index((r.slice_kind, r.slice)) + shift for r, _ in own]
        color = COLORS[index % len(COLORS)]
        axes.bar(
            x_positions,
            values,
            width,
            yerr=_whiskers(values, [r for r, _ in own]),
            label=_plain(system),
            color=color,
        )
    axes.set_xticks(
        range(len(parts)), [f"{kind}\n{name}" for kind, name in parts], rotation=45, ha="right", fontsize=8
    )
    axes.set_ylabel(primary)
    if systems:
        axes.legend(frameon=False, fontsize=8)
    _clean(axes)
    return figure


def _differences(rows: Sequence[ComparisonRow], primary: str) -> Figure:
    """Differences to the baseline with their intervals."""
    figure = _figure(6, 0.9 + 0.35 * len(rows))
    axes = figure.add_subplot()
    x_positions = list(range(len(rows)))
    values = [r.difference for r in rows]
    axes.errorbar(values, x_positions, xerr=_whiskers(values, rows), fmt="o", color=COLORS[0])
    axes.axvline(0, color="#888888", linewidth=1)
    axes.set_yticks(x_positions, [_plain(r.model) for r in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"{primary}, difference to {_plain(rows[0].baseline)}")
    _clean(axes)
    return figure


def _plain(name: str) -> str:
    """A name without meaning to matplotlib, which reads $...$ as a formula."""
    return name.replace("$", r"\$")
