"""The evaluation as one HTML file: no scripts, nothing loaded from elsewhere, light and dark.

It is made from an `EvaluationSummary` and from nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from recli.steps.evaluate.numbers import number, p_value
from recli.steps.evaluate.results import (
    ComparisonRow,
    EvaluatedSystem,
    EvaluationSummary,
    GateResult,
    MetricRow,
    Scorecard,
)
from recli.steps.evaluate.slices import ALL

STYLE = """
:root { color-scheme: light dark; --ink: #1c2230; --soft: #5d6678; --line: #dfe3ea; --page: #fff; --card: #f6f7f9;
  --bar: #a9c9ec; --mark: #1f6fb8; --good: #1b7f4b; --bad: #b3362b; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ef; --soft: #9aa3b5; --line: #333a47; --page: #14171d;
  --card: #1d222b; --bar: #2f5a8c; --mark: #6db3f2; --good: #58c48a; --bad: #f08a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.5rem 4rem; max-width: 68rem; background: var(--page); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .25rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.75rem 0 .25rem; }
p { margin: 0 0 .9rem; color: var(--soft); max-width: 48rem; }
.facts { display: flex; flex-wrap: wrap; gap: .6rem; margin: 1.25rem 0 0; padding: 0; list-style: none; }
.facts li { background: var(--card); border-radius: .5rem; padding: .5rem .9rem; }
.facts b { display: block; font-size: 1.15rem; font-variant-numeric: tabular-nums; }
.facts span { color: var(--soft); font-size: .82rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { padding: .4rem .6rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
th { font-weight: 600; color: var(--soft); vertical-align: bottom; }
th:first-child, td:first-child { text-align: left; white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
td small { display: block; color: var(--soft); font-size: .76rem; }
td.best { font-weight: 700; } td.best small { font-weight: 400; }
td.bar { background: linear-gradient(var(--bar), var(--bar)) no-repeat left bottom / var(--share) 4px; }
table.words { width: auto; } table.words th, table.words td { text-align: left; white-space: normal; }
tr.kind td { color: var(--soft); font-weight: 600; padding-top: 1rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
svg { display: block; width: 100%; height: auto; margin: .5rem 0 1rem; }
svg text { fill: var(--ink); font: 13px system-ui, sans-serif; } svg .soft { fill: var(--soft); font-size: 11px; }
svg .grid { stroke: var(--line); } svg .whisker { stroke: var(--mark); stroke-width: 2; }
svg circle { fill: var(--mark); }
details { margin: .35rem 0; } summary { cursor: pointer; color: var(--mark); padding: .2rem 0; }
ul.rules { padding-left: 1.2rem; margin: .5rem 0; } ul.rules li { margin: .3rem 0; max-width: 56rem; }
@media print { body { max-width: none; padding: 0; } details { display: none; } }
"""

KINDS = {
    "history": "Users, by items before the test",
    "items": "Items, with and without a training event",
    "popularity": "Items, by popularity",
}


def html(summary: EvaluationSummary, title: str) -> str:
    """The report, a whole HTML document. `title`: what was evaluated."""
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{_lead(summary)}</p>",
        _facts(summary.data),
        _gates(summary.gates),
        _section(
            "Models",
            "Each metric's mean over users, with its interval. The best of a row is bold.",
            _metrics(summary.card),
        ),
        _uncertainty(summary),
        _slices(summary.card),
        _systems(summary.card.systems),
        _section("Evaluation protocol", "", _list(summary.protocol)),
        _section("Metrics", "", _list(f"{name}: {text}" for name, text in summary.definitions.items())),
        _section("Settings", "", _settings(summary.settings)),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>{escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(part for part in parts if part)
        + "\n</body></html>\n"
    )


def _lead(summary: EvaluationSummary) -> str:
    primary, baseline, systems = summary.card.primary, summary.card.baseline, summary.card.overall
    count = len(systems)
    what = f"{count} model{'s' if count != 1 else ''} evaluated on the {summary.config.split} split."
    if primary is None or baseline is None or baseline not in systems:
        return escape(what)
    value = systems[baseline][primary].value
    named = "Best" if summary.config.compare is None else "Compared with"
    return escape(f"{what} {named}: {baseline}, {primary} {number(value)}.")


def _section(title: str, lead: str, body: str) -> str:
    return f"<h2>{escape(title)}</h2>{f'<p>{escape(lead)}</p>' if lead else ''}{body}"


def _facts(data: Mapping[str, int]) -> str:
    cells = "".join(f"<li><b>{value:,}</b><span>{escape(name)}</span></li>" for name, value in data.items())
    return f'<ul class="facts">{cells}</ul>'


def _gates(gates: Sequence[GateResult]) -> str:
    if not gates:
        return ""
    rows = [
        [
            _cell(escape(g.model)),
            _cell(escape(g.metric)),
            _cell(number(g.value)),
            _cell(f"{g.least:g}"),
            _cell("met" if g.met else "not met", "good" if g.met else "bad"),
        ]
        for g in gates
    ]
    return _section("Quality gates", "", _table(["model", "metric", "value", "at least", ""], rows, "words"))


def _span(row: MetricRow | ComparisonRow, sign: bool = False) -> str:
    if row.low is None or row.high is None:
        return ""
    return f"{number(row.low, sign)} … {number(row.high, sign)}"


def _cell(text: str, kind: str = "", style: str = "") -> str:
    marks = (f' class="{kind}"' if kind else "") + (f' style="{style}"' if style else "")
    return f"<td{marks}>{text}</td>"


def _table(heads: Iterable[str], rows: Iterable[Sequence[str] | str], kind: str = "") -> str:
    head = "".join(f"<th>{escape(h)}</th>" for h in heads)
    body = "".join(f"<tr>{''.join(r)}</tr>" if not isinstance(r, str) else r for r in rows)
    table = f'<table class="{kind}">' if kind else "<table>"
    return f'<div class="wide">{table}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _list(lines: Iterable[str]) -> str:
    return f'<ul class="rules">{"".join(f"<li>{escape(line)}</li>" for line in lines)}</ul>'


def _metrics(card: Scorecard) -> str:
    """Metrics as rows, systems as columns: it grows down the page, and any number of metrics fits."""
    systems, better = card.overall, card.better
    labels = list(dict.fromkeys(label for metrics in systems.values() for label in metrics))
    rows = []
    for label in labels:
        figures = [metrics.get(label) for metrics in systems.values()]
        values = [f.value for f in figures if f is not None and f.value is not None]
        best = {1: max, -1: min}[better[label]](values) if values and better.get(label) else None
        cells = [_cell(escape(label))]
        for figure in figures:
            value = None if figure is None else figure.value
            span = "" if figure is None else _span(figure)
            mark = "best" if value is not None and value == best and len(values) > 1 else ""
            cells.append(_cell(number(value) + (f"<small>{span}</small>" if span else ""), mark))
        rows.append(cells)
    return _table(["metric", *systems], rows)


def _uncertainty(summary: EvaluationSummary) -> str:
    """The main metric with its intervals as a figure, and the differences to the baseline as a table."""
    card, primary = summary.card, summary.card.primary
    if primary is None:
        return ""
    points = {
        name: (value, metrics[primary])
        for name, metrics in card.overall.items()
        if primary in metrics and (value := metrics[primary].value) is not None
    }
    percent = f"{100 * summary.config.confidence:g}%"
    body = _dots(points)
    if card.comparisons:
        body += _comparisons(card, percent)
    return _section(f"{primary}: uncertainty", f"Lines are {percent} intervals, by resampling users.", body)


def _comparisons(card: Scorecard, percent: str) -> str:
    first: list[list[str]] = []
    rest: list[list[str]] = []
    for row in card.comparisons:
        sure = row.low is not None and row.high is not None and (row.low > 0 or row.high < 0)
        gain = row.difference * card.better.get(row.label, 0)
        mark = "" if not sure or not gain else "good" if gain > 0 else "bad"
        line = [
            _cell(escape(row.model)),
            _cell(escape(row.label)),
            _cell(number(row.difference, True), mark),
            _cell(_span(row, True) or "–"),
            _cell(p_value(row.p)),
            _cell(p_value(row.p_holm)),
        ]
        (first if row.label == card.primary else rest).append(line)
    heads = ["model", "metric", f"against {card.baseline}", f"{percent} interval", "p", "p (Holm)"]
    shown = _table(heads, first)
    return shown + (
        f"<details><summary>The other metrics</summary>{_table(heads, rest)}</details>" if rest else ""
    )


def _dots(points: Mapping[str, tuple[float, MetricRow]]) -> str:
    """One line per model: a dot for the value, a whisker for the interval."""
    if not points:
        return ""
    ends = [v for value, row in points.values() for v in (value, row.low, row.high) if v is not None]
    low, high = min(ends), max(ends)
    ticks = _ticks(low, high)
    low, high = ticks[0], ticks[-1]
    left, right, step, width = 190, 850, 34, 880

    def x(value: float) -> float:
        return float(left + (value - low) / (high - low) * (right - left))

    height = step * len(points) + 34
    marks = []
    for tick in ticks:
        marks.append(f'<line class="grid" x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="6" y2="{height - 24}"/>')
        marks.append(
            f'<text class="soft" x="{x(tick):.1f}" y="{height - 8}" text-anchor="middle">{number(tick)}</text>'
        )
    for i, (name, (value, row)) in enumerate(points.items()):
        y = step * i + 24
        short = name if len(name) <= 24 else name[:23] + "…"
        marks.append(f'<text x="{left - 14}" y="{y + 4}" text-anchor="end">{escape(short)}</text>')
        if row.low is not None and row.high is not None:
            marks.append(
                f'<line class="whisker" x1="{x(row.low):.1f}" x2="{x(row.high):.1f}" y1="{y}" y2="{y}"/>'
            )
        marks.append(f'<circle cx="{x(value):.1f}" cy="{y}" r="5"><title>{number(value)}</title></circle>')
    return f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="values with intervals">{"".join(marks)}</svg>'


def _ticks(low: float, high: float) -> list[float]:
    """Four to nine round numbers that enclose the range."""
    span = max(high - low, abs(high) * 0.1, 1e-6)
    power: float = 10 ** math.floor(math.log10(span / 4))
    step = next(power * m for m in (1, 2, 5, 10) if span / (power * m) <= 6)
    first, last = math.floor(low / step), math.ceil(high / step)
    return [step * i for i in range(first, max(last, first + 1) + 1)]


def _slices(card: Scorecard) -> str:
    """The main metric by slice, bars to compare the systems of a row; the other metrics folded away."""
    labels = list(dict.fromkeys(row.label for row in card.slices))
    if not labels:
        return ""
    primary = card.primary if card.primary in labels else labels[0]
    body = _slice_table(card, primary)
    for label in labels:
        if label != primary:
            body += f"<details><summary>{escape(label)}</summary>{_slice_table(card, label)}</details>"
    lead = (
        "Bars compare the models within a row; rows of different slices are not comparable with each other."
    )
    return _section(f"{primary} by slice", lead, body)


def _slice_table(card: Scorecard, label: str) -> str:
    systems = [s.name for s in card.systems]
    rows: list[Sequence[str] | str] = []
    shown_kind = ALL.kind  # all users together are no slice
    for (kind, name), by_system in card.by_slice(label).items():
        if kind == ALL.kind:
            continue
        if kind != shown_kind:
            shown_kind, title = kind, escape(KINDS.get(kind, kind))
            rows.append(f'<tr class="kind"><td colspan="{len(systems) + 2}">{title}</td></tr>')
        top = max((r.value for r in by_system.values() if r.value is not None), default=0) or 1
        cells = [_cell(escape(name)), _cell(f"{max(r.users for r in by_system.values()):,}")]
        cells += [_bar(by_system.get(system), top) for system in systems]
        rows.append(cells)
    return _table(["slice", "users", *systems], rows)


def _bar(row: MetricRow | None, top: float) -> str:
    """A cell with a value, its interval, and a bar of its share of `top`."""
    if row is None or row.value is None:
        return _cell("–")
    share = min(100.0, max(0.0, 100 * row.value / top))
    span = f"<small>{_span(row)}</small>" if _span(row) else ""
    return _cell(number(row.value) + span, "bar", f"--share: {share:.1f}%")


def _systems(systems: Sequence[EvaluatedSystem]) -> str:
    """Where each system comes from, with its notes."""
    rows = []
    for system in systems:
        notes = ", ".join(f"{name} {count:,}" for name, count in system.notes.items() if count)
        rows.append([_cell(escape(system.name)), _cell(escape(system.source)), _cell(escape(notes))])
    return _section("What was evaluated", "", _table(["name", "source", ""], rows, "words"))


def _settings(settings: Mapping[str, Any]) -> str:
    shown = {k: v for k, v in settings.items() if v not in (None, [], "")}
    rows = [
        [_cell(escape(k)), _cell(escape(", ".join(map(str, v)) if isinstance(v, list) else str(v)))]
        for k, v in shown.items()
    ]
    return _table(["option", "value"], rows, "words")
