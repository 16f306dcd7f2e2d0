"""Quality gates: `ndcg@10=0.1` for all that is evaluated, `hybrid:ndcg@10=0.1` for one."""

from collections.abc import Sequence
from dataclasses import dataclass

from recli.config import parse_pairs
from recli.errors import UsageError
from recli.metrics.base import MetricSpec, parse_metric
from recli.steps.evaluate.results import GateResult, Scorecard


@dataclass(frozen=True)
class Gate:
    """A metric must be at least `least`, for the system `model` or (None) for all."""

    model: str | None
    spec: MetricSpec
    least: float


def parse_gates(texts: Sequence[str]) -> tuple[Gate, ...]:
    """The gates in `[NAME:]METRIC=NUMBER[,...]`. Raises `UsageError`."""
    gates = []
    for text in texts:
        for key, least in _pairs(text).items():
            model, _, name = key.rpartition(":")
            spec = parse_metric(name)
            if spec.metric.better < 0:
                raise UsageError(f"--fail-under {key}: of {spec.label}, less is better")
            gates.append(Gate(model or None, spec, least))
    return tuple(gates)


def _pairs(text: str) -> dict[str, float]:
    try:
        return parse_pairs(text, "--fail-under")
    except UsageError as error:
        what = error.what.replace("a=1,b=0.5", "ndcg@10=0.1").replace("NAME=NUMBER", "[NAME:]METRIC=NUMBER")
        raise UsageError(what, f"for example --fail-under {_example(text)}") from None


def _example(text: str) -> str:
    """A gate that looks like what was typed, where that names a metric."""
    try:
        return f"{parse_metric(text.partition('=')[0].rpartition(':')[2]).label}=0.1"
    except UsageError:
        return "ndcg@10=0.1, or hybrid:ndcg@10=0.1 for one model"


def check_gates(gates: Sequence[Gate], card: Scorecard) -> list[GateResult]:
    """Each gate for each system it is for."""
    results = []
    for gate in gates:
        for system in card.systems:
            if gate.model in (None, system.name):
                overall = system.overall(gate.spec.label)
                value = None if overall is None else overall.value
                met = value is not None and value >= gate.least
                results.append(GateResult(system.name, gate.spec.label, gate.least, value, met))
    return results
