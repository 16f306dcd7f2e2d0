"""`recli evaluate` on the terminal: tables of metrics, the evaluation protocol, and exit code 4 for missed gates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from recli.cli.console import Console, run_path
from recli.cli.evaluation_formats import FORMATS, TextTable
from recli.errors import QualityGateError, UsageError
from recli.steps.evaluate.config import EvaluateConfig
from recli.steps.evaluate.numbers import number, p_value

if TYPE_CHECKING:
    from recli.steps.evaluate.results import Evaluation, GateResult, Scorecard

_ANY_WIDTH = 1 << 20  # of tables that do not go to a terminal


def evaluate(config: EvaluateConfig, console: Console) -> None:
    """Measure models, or external recommendations, on the test split: RUN/metrics.

    Prints accuracy, beyond-accuracy metrics, differences with paired bootstrap intervals, and slices: users by
    history length, warm and cold items apart, items by popularity. Writes metrics.parquet, per_user.parquet and
    comparisons.parquet. With --seeds or --folds, models are trained again on other splits, and means are printed.

    Example: recli evaluate sample_data/run --metrics ndcg@10,recall@20 --fail-under ndcg@10=0.01
    """
    from recli.recipes import evaluation as recipe

    if config.run == "-" and any(file.rpartition("=")[2] == "-" for file in config.recommendations):
        raise UsageError("both the run and --recommendations are to come from stdin", "name one of them")
    if console.json and config.format not in (None, "json"):
        raise UsageError(f"--json prints JSON: it does not go with --format {config.format}")
    evaluation = recipe.evaluate(replace(config, run=str(run_path(config.run))), console)
    summary = evaluation.summary
    if config.format is None:
        for table in tables(summary.card, config.confidence, console.width):
            console.table(table.title, table.columns, table.rows)
    for rule in summary.protocol:
        console.paragraph(rule)
    if config.format in (None, "json"):
        console.json = console.json or config.format == "json"
        console.result(evaluation.run, summary.to_json())
    else:
        _print(config.format, evaluation, console)
    _raise_for(summary.gates)


def _raise_for(gates: Sequence[GateResult]) -> None:
    """Raise `QualityGateError` where a gate is not met."""
    missed = [g for g in gates if not g.met]
    if missed:
        values = ["not measured" if g.value is None else f"{g.value:.4f}" for g in missed]
        lines = [
            f"{g.model}: {g.metric} is {v}, below {g.least:g}" for g, v in zip(missed, values, strict=True)
        ]
        raise QualityGateError(
            f"{len(missed)} of {len(gates)} quality gates not met: {'; '.join(lines)}",
            "the figures are written all the same",
        )


def _print(format: str, evaluation: Evaluation, console: Console) -> None:
    """Print the tables on stdout."""
    config, card = evaluation.summary.config, evaluation.summary.card
    if format == "csv":
        console.print(evaluation.metrics.write_csv().rstrip("\n"))
        return
    shown = tables(card, config.confidence, _ANY_WIDTH)
    console.print("\n\n".join(FORMATS[format](table.one_line()) for table in shown))


def tables(card: Scorecard, confidence: float, width: int = 120) -> list[TextTable]:
    """Accuracy, beyond accuracy and ratings, the main metric's differences, its slices.

    A table of more than `width` characters becomes several, one below the other.
    """
    families = dict.fromkeys(s.metric.family for s in card.specs)
    shown = [table for family in families for table in _narrow(_family(card, family), 1, width)]
    if card.primary is not None:
        shown += _narrow(_differences(card, card.primary, confidence), 1, width, together=(2, 4))
        shown += _narrow(_slices(card, card.primary), 2, width)
    return shown


def _narrow(
    table: TextTable, fixed: int, width: int, together: Sequence[int] | None = None
) -> list[TextTable]:
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
        TextTable(
            table.title, [table.columns[i] for i in block], [[row[i] for i in block] for row in table.rows]
        )
        for block in blocks
    ]


def _family(card: Scorecard, family: str) -> TextTable:
    specs = [s for s in card.specs if s.metric.family == family]
    heads = [s.metric.name + ("" if s.k is None else f"\n@{s.k}") for s in specs]
    rows = []
    for system in card.systems:
        values = [system.overall(s.label) for s in specs]
        rows.append([system.name, *(number(None if v is None else v.value) for v in values)])
    return TextTable(family.capitalize(), ["model", *heads], rows)


def _differences(card: Scorecard, label: str, confidence: float) -> TextTable:
    percent = f"{100 * confidence:g}%"
    heads = [
        "model",
        label,
        f"{percent} interval",
        f"against {card.baseline}",
        f"{percent} interval",
        "p",
        "p (Holm)",
    ]
    differences = {c.model: c for c in card.comparisons if c.label == label}
    rows = []
    for name, metrics in card.overall.items():
        if label not in metrics:
            continue
        own, difference = metrics[label], differences.get(name)
        row = [name, number(own.value), _interval(own.low, own.high)]
        if difference is None:
            row += ["", "", "", ""]
        else:
            interval = _interval(difference.low, difference.high, True)
            row += [
                number(difference.difference, True),
                interval,
                p_value(difference.p),
                p_value(difference.p_holm),
            ]
        rows.append(row)
    shown = 3 if not differences else 6 if len(differences) == 1 else 7  # one comparison needs no correction
    heads, rows = heads[:shown], [row[:shown] for row in rows]
    return TextTable(f"{label}: uncertainty", heads, rows)


def _interval(low: float | None, high: float | None, sign: bool = False) -> str:
    return "–" if low is None or high is None else f"[{number(low, sign)}, {number(high, sign)}]"


def _slices(card: Scorecard, label: str) -> TextTable:
    systems = [s.name for s in card.systems]
    rows = []
    for (kind, part), by_system in card.by_slice(label).items():
        users = str(max(row.users for row in by_system.values()))
        values = [number(by_system[s].value) if s in by_system else "–" for s in systems]
        rows.append([part if kind == "all" else f"{kind}: {part}", users, *values])
    return TextTable(f"{label} by slice", ["slice", "users", *systems], rows)
