"""Figures of an evaluation as SVG, for papers and slides; drawn with matplotlib, the extra `plots`."""

import io
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Summary = Mapping[str, Any]
Row = Mapping[str, Any]
COLORS = ("#1f6fb8", "#d9822b", "#2e8b57", "#8e5bb5", "#c0504d", "#7a6a58", "#4b9ca6", "#9a9a2f")


def figures(summary: Summary) -> dict[str, str]:
    """SVG text by name: `metrics` (each metric with its intervals), `slices` and `differences` of the main one.

    The same summary gives the same bytes: no clock and no random ids are written.
    """
    made = {"metrics": _metrics(summary)}
    primary = summary["primary"]
    if primary is not None:
        made["slices"] = _slices(summary, primary)
        rows = [r for r in summary["comparisons"] if _label(r) == primary]
        if rows:
            made["differences"] = _differences(rows, primary, summary["baseline"])
    return {name: _svg(figure) for name, figure in made.items()}


def _label(row: Row) -> str:
    return str(row["metric"]) if row["k"] is None else f"{row['metric']}@{row['k']}"


def _svg(figure: "Figure") -> str:
    import matplotlib

    with matplotlib.rc_context({"svg.hashsalt": "recli", "svg.fonttype": "none"}):
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure  # not pyplot: no window system, no global state

    return Figure(figsize=(width, height), layout="constrained")


def _clean(axes: "Axes") -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _errors(rows: Sequence[Row], key: str) -> list[list[float]]:
    """Lengths of the whiskers below and above each value; 0 where there is no interval."""
    below = [0.0 if r["low"] is None else max(0.0, r[key] - r["low"]) for r in rows]
    above = [0.0 if r["high"] is None else max(0.0, r["high"] - r[key]) for r in rows]
    return [below, above]


def _metrics(summary: Summary) -> "Figure":
    """A panel for each metric, a dot with its interval for each model."""
    models = summary["models"]
    labels = list(dict.fromkeys(label for found in models.values() for label in found))
    across = min(4, max(1, len(labels)))
    down = -(-len(labels) // across)
    figure = _figure(3 * across, down * (0.9 + 0.28 * len(models)))
    for i, label in enumerate(labels):
        axes = figure.add_subplot(down, across, i + 1)
        for place, found in enumerate(models.values()):
            row = found.get(label)
            if row is not None and row["value"] is not None:
                axes.errorbar(
                    [row["value"]],
                    [place],
                    xerr=_errors([row], "value"),
                    fmt="o",
                    color=COLORS[place % len(COLORS)],
                )
        axes.set_yticks(
            range(len(models)), [_plain(name) for name in models] if i % across == 0 else [""] * len(models)
        )
        axes.set_ylim(len(models) - 0.5, -0.5)
        axes.set_title(label, fontsize=10)
        _clean(axes)
    return figure


def _slices(summary: Summary, primary: str) -> "Figure":
    """The main metric by slice, bars side by side for the models."""
    rows = [r for r in summary["slices"] if _label(r) == primary and r["value"] is not None]
    parts = list(dict.fromkeys((r["slice_kind"], r["slice"]) for r in rows))
    models = list(summary["models"])
    figure = _figure(max(6.0, 0.35 * len(parts) * (len(models) + 1)), 4)
    axes = figure.add_subplot()
    width = 0.8 / max(1, len(models))
    for place, model in enumerate(models):
        mine = [r for r in rows if r["model"] == model]
        at = [
            parts.index((r["slice_kind"], r["slice"])) + (place - (len(models) - 1) / 2) * width for r in mine
        ]
        color = COLORS[place % len(COLORS)]
        axes.bar(
            at,
            [r["value"] for r in mine],
            width,
            yerr=_errors(mine, "value"),
            label=_plain(model),
            color=color,
        )
    axes.set_xticks(
        range(len(parts)), [f"{kind}\n{name}" for kind, name in parts], rotation=45, ha="right", fontsize=8
    )
    axes.set_ylabel(primary)
    if models:
        axes.legend(frameon=False, fontsize=8)
    _clean(axes)
    return figure


def _differences(rows: Sequence[Row], primary: str, baseline: str) -> "Figure":
    """Differences to the baseline with their intervals."""
    figure = _figure(6, 0.9 + 0.35 * len(rows))
    axes = figure.add_subplot()
    at = list(range(len(rows)))
    axes.errorbar(
        [r["difference"] for r in rows], at, xerr=_errors(rows, "difference"), fmt="o", color=COLORS[0]
    )
    axes.axvline(0, color="#888888", linewidth=1)
    axes.set_yticks(at, [_plain(r["model"]) for r in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(f"{primary}, difference to {_plain(baseline)}")
    _clean(axes)
    return figure


def _plain(name: str) -> str:
    """A name without meaning to matplotlib, which reads $...$ as a formula."""
    return name.replace("$", r"\$")
