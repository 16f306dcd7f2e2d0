"""`recli status`: the parts of a run, how they were made, what of them is out of date, and what to type."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recli import schema
from recli.cli.console import Console, run_path
from recli.cli.json_schemas import schema_of
from recli.cli.remake import command_of, options_of
from recli.config import Config, argument, option
from recli.errors import RecliError, quoted
from recli.reporting import counted
from recli.storage.state import PartState, disk_usage, run_state


@dataclass(frozen=True)
class StatusConfig(Config):
    run: str = argument(..., "The run's directory; - reads its path from stdin.", metavar="RUN")
    check: bool = option(False, "Also compare the sha256 of every file, which reads all of them.")


def status(config: StatusConfig, console: Console) -> None:
    """Show what a run has, what of it is out of date, and what to type next.

    A part is stale where what it was made from has changed since: other interactions, embeddings or models. A damaged
    part is shown with what is wrong with it. The commands are in the order in which they are to be typed.

    Example: recli status sample_data/run
    """
    run = run_path(config.run)
    parts = run_state(run, config.check)
    described = [_described(state) for state in parts.values()]
    commands = _commands(parts, run)
    if console.json:
        console.print_json(
            {
                "schema": schema_of("status"),
                "run": str(run),
                "bytes": disk_usage(run),
                "parts": described,
                "commands": commands,
            }
        )
        return
    console.print(f"{run}: {counted(len(parts), 'part')}, {_size(disk_usage(run))}")
    for part in described:
        for line in _lines(part):
            console.print_wrapped(line, indent=4)
    if commands:
        console.print("\nto type:")
    for command in commands:
        console.print_wrapped(f"  {command['command']}  # {command['why']}", indent=4)


def _described(state: PartState) -> dict[str, Any]:
    """A part as `--json` shows it."""
    part = state.part
    described: dict[str, Any] = {
        "name": state.name,
        "kind": state.kind,
        "state": "damaged" if state.damage is not None else "stale" if state.stale else "good",
        "why": [state.damage] if state.damage is not None else list(state.stale),
        "bytes": state.bytes,
        "made_by": None,
        "options": [],
        "figures": {},
    }
    if part is not None:
        described["made_by"] = part.made_by
        described["figures"] = _figures(state.kind, part.summary)
        try:
            described["options"] = options_of(part)
        except (RecliError, ValueError, TypeError, KeyError, AttributeError) as error:
            # the manifest of another version, or of an algorithm that is not installed
            described["why"].append(f"its options cannot be read: {str(error).splitlines()[0]}")
    return described


def _figures(kind: str, summary: dict[str, Any]) -> dict[str, Any]:
    """The figures of a part that its summary has: sizes, and NDCG@20 on validation."""
    names = {
        schema.INTERACTIONS: ("users", "items", "events"),
        schema.EMBEDDINGS: ("items", "dimensions"),
    }.get(kind, ())
    figures = {name: summary[name] for name in names if isinstance(summary.get(name), int)}
    validation = summary.get("validation")
    if isinstance(validation, dict) and isinstance(validation.get("ndcg@20"), float):
        figures["validation ndcg@20"] = validation["ndcg@20"]
    return figures


def _lines(part: dict[str, Any]) -> list[str]:
    figures = [
        f"{name} {value:.4f}" if isinstance(value, float) else f"{value:,} {name}"
        for name, value in part["figures"].items()
    ]
    facts = [_size(part["bytes"]), *figures, f"recli {part['made_by']}" if part["made_by"] else ""]
    lines = ["", f"{part['name']}: {', '.join(filter(None, facts))}"]
    if part["options"]:
        lines.append(f"  {shlex.join(part['options'])}")
    if part["state"] != "good":
        lines.append(f"  {part['state']}: {'; '.join(part['why'])}")
    elif part["why"]:
        lines.append(f"  {'; '.join(part['why'])}")
    return lines


def _size(size: float) -> str:
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            return f"{size:,.0f} {unit}" if unit == "bytes" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError


def _commands(parts: dict[str, PartState], run: Path) -> list[dict[str, str]]:
    """What to type, in order: first what is damaged or stale again, then the steps that have not been taken."""
    if schema.INTERACTIONS not in parts:
        return [_command(f"recli prepare LOG --out {quoted(run)}", "there are no interactions yet")]
    broken = [state for state in parts.values() if not state.good]
    commands = [_again(state, run) for state in sorted(broken, key=_order)]
    kinds = {state.kind for state in parts.values()}
    steps = {
        schema.EMBEDDINGS: ("embed", "", "there are no vectors of the texts yet"),
        schema.MODELS: ("train-hybrid", "", "there is no model yet"),
        schema.METRICS: ("evaluate", "", "nothing is measured yet"),
        schema.RECOMMENDATIONS: ("recommend", " --save", "no lists are saved yet"),
    }
    for kind, (step, more, why) in steps.items():
        wanted = kind != schema.EMBEDDINGS or (_has_texts(parts) and schema.MODELS not in kinds)
        if kind not in kinds and wanted:
            commands.append(_command(f"recli {step} {quoted(run)}{more}", why))
    return commands


def _order(state: PartState) -> tuple[int, bool]:
    """The place of a part among those that are made again: models that are made from models come after these."""
    from_models = state.part is not None and any(n.startswith(f"{schema.MODELS}/") for n in state.part.inputs)
    return list(schema.PART_KINDS).index(state.kind), from_models


def _again(state: PartState, run: Path) -> dict[str, str]:
    why = f"{state.name}: {state.damage if state.damage is not None else state.stale[0]}"
    command = None
    if state.part is not None:
        try:
            command = command_of(state.part, str(run))
        except (RecliError, ValueError, TypeError, KeyError, AttributeError):
            command = None
    if command is None:
        steps = {
            schema.INTERACTIONS: f"recli prepare LOG --out {quoted(run)}",
            schema.EMBEDDINGS: f"recli embed {quoted(run)} --name {quoted(state.path.name)}",
            schema.MODELS: f"recli train-cf {quoted(run)} --algorithm NAME --name {quoted(state.path.name)}",
            schema.METRICS: f"recli evaluate {quoted(run)}",
            schema.RECOMMENDATIONS: f"recli recommend {quoted(run)} --save",
        }
        command = steps[state.kind]
    return _command(command, why)


def _command(command: str, why: str) -> dict[str, str]:
    return {"command": command, "why": why}


def _has_texts(parts: dict[str, PartState]) -> bool:
    """Whether the items have texts, as far as the manifest says."""
    part = parts[schema.INTERACTIONS].part
    catalogue = None if part is None else part.summary.get("catalogue")
    return isinstance(catalogue, dict) and bool(catalogue.get("text"))
