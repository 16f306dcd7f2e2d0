"""Which of a run's models recommends where none is named: the best on validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recli import schema
from recli.errors import RecliError, quoted
from recli.models.base import algorithms
from recli.reporting import Reporter
from recli.storage import metadata, parts, runs
from recli.storage.parts import Part

PREFERRED = "hybrid"


@dataclass(frozen=True)
class _Candidate:
    """A model with its NDCG@20 on the validation split, and of how many users it is the mean; None: not measured."""

    name: str
    ndcg: float | None
    users: int | None
    is_hybrid: bool = False


def train_command(run: Path, part: Part) -> str:
    """The command that trains a model again."""
    algorithm = metadata.model_meta(part).algorithm
    if algorithm in algorithms.names() and algorithms[algorithm].family == "cf":
        return f"recli train-cf {quoted(run)} --algorithm {algorithm} --name {part.path.name}"
    return f"recli train-hybrid {quoted(run)} --name {part.path.name}"


def best_model(run: Path, names: Sequence[str], interactions: str, for_text: bool, reporter: Reporter) -> str:
    """The name of the model with the highest NDCG@20 on validation among those whose figures can be compared.

    `interactions`: sha256 of the run's interactions; models of other ones are left out with a warning, as are those
    of algorithms that are not installed. Figures are compared where they are means over the same number of users: a
    hybrid's is over warm items alone. A hybrid whose figure cannot be compared comes first, as does one `for_text`.
    Raises `RecliError` where no model is left.
    """
    by_preference = sorted(names, key=lambda name: name != PREFERRED)
    installed = list(runs.models_with_known_algorithms(run, by_preference, reporter.warn))
    if not installed:
        raise RecliError(
            f"{run} has no model whose algorithm is installed", f"train one: recli train-cf {quoted(run)}"
        )
    candidates, stale = [], []
    for name in installed:
        part = parts.open_part(run / schema.MODELS / name, schema.MODELS)
        if part.inputs.get(schema.INTERACTIONS) == interactions:
            candidates.append(_candidate(part))
        else:
            stale.append(part)
    if not candidates:
        return installed[0]  # reading it says that it is of other interactions
    for part in stale:
        reporter.warn(
            f"the model {part.path.name} is left out: it was made from other interactions than the run has now; "
            f"make it again: {train_command(run, part)}"
        )
    chosen, why = _best(candidates, for_text)
    if len(names) > 1:
        reporter.say(
            f"{len(names)} models in the run ({', '.join(names)}): {chosen} {why}; --model names another"
        )
    return chosen


def _candidate(part: Part) -> _Candidate:
    measured = part.summary.get("validation")
    figures = measured if isinstance(measured, dict) else {}
    ndcg, users = figures.get("ndcg@20"), figures.get("users")
    is_hybrid = algorithms[metadata.model_meta(part).algorithm].family == "hybrid"
    if isinstance(ndcg, int | float) and isinstance(users, int):
        return _Candidate(part.path.name, float(ndcg), users, is_hybrid)
    return _Candidate(part.path.name, None, None, is_hybrid)


def _best(candidates: Sequence[_Candidate], for_text: bool) -> tuple[str, str]:
    """The name of the best candidate, and why it is."""
    first = candidates[0]
    preferred = first.name == PREFERRED
    if len(candidates) == 1:
        return first.name, "is the only one that can be used"
    hybrids = [c for c in candidates if c.is_hybrid]
    if for_text and hybrids:
        return hybrids[0].name, "is taken, which scores texts about users"
    measured = [c for c in candidates if c.ndcg is not None]
    if preferred and sum(c.users == first.users for c in measured) < 2:
        return first.name, "is taken first: its figure on validation cannot be compared with the others'"
    counts = [c.users for c in measured]
    users = first.users if preferred else max(counts, key=counts.count, default=None)
    compared = [c for c in measured if c.users == users]
    if len(compared) < 2:
        return first.name, "is taken: no figures on validation can be compared"
    ranked = sorted(compared, key=lambda c: -(c.ndcg or 0.0))
    best, second = ranked[0], ranked[1]
    return best.name, (
        f"is the best on validation (NDCG@20 {best.ndcg:.4f} of {users:,} users; {second.name} {second.ndcg:.4f})"
    )
