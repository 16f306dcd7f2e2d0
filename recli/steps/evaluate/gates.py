"""Quality gates: `ndcg@10=0.1` for all that is evaluated, `hybrid:ndcg@10=0.1` for one."""

from collections.abc import Sequence
from dataclasses import dataclass

from recli.config import parse_pairs
from recli.errors import UsageError
from recli.metrics.base import MetricSpec, parse_metric
from recli.steps.evaluate.results import Row, Scorecard


@dataclass(frozen=True)
class Gate:
    """A metric must be at least `least`, for the system `model` or (None) for all."""

    model: str | None
    asked: MetricSpec
    least: float


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """The gates in `[NAME:]METRIC=NUMBER[,...]`. Raises `UsageError`."""
    gates = []
    for text in texts:
        for key, least in parse_pairs(text, "--fail-under").items():
            model, _, name = key.rpartition(":")
            asked = parse_metric(name)
            if asked.metric.better < 0:
                raise UsageError(f"--fail-under {key}: of {asked.label}, less is better")
            gates.append(Gate(model or None, asked, least))
    return tuple(gates)


def check_gates(gates: Sequence[Gate], card: Scorecard) -> list[Row]:
    """Each gate for each system it is for: model, metric, least, value (None: not measured), met."""
    rows: list[Row] = []
    for gate in gates:
        for system in card.systems:
            if gate.model in (None, system.name):
                figure = system.overall(gate.asked.label)
                value = None if figure is None else figure.value
                met = value is not None and value >= gate.least
                rows.append(
                    {
                        "model": system.name,
                        "metric": gate.asked.label,
                        "least": gate.least,
                        "value": value,
                        "met": met,
                    }
                )
    return rows
