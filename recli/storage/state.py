"""What a run has: its parts, whether each is whole, and of what it was made from, what is there no more."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from recli import schema
from recli.errors import RecliError, quoted
from recli.storage.atomic import MANIFEST
from recli.storage.parts import Part, open_part, part_names


@dataclass(frozen=True)
class PartState:
    """A part of a run. `name`: its path in the run, `models/ease`."""

    name: str
    kind: str
    path: Path
    part: Part | None  # None: it cannot be opened
    damage: str | None = None  # what is wrong with it
    stale: tuple[str, ...] = ()  # what it was made from that the run has not now, or that is stale itself
    bytes: int = 0  # of its files

    @property
    def good(self) -> bool:
        """Whether it is whole, and made from what the run has now."""
        return self.damage is None and not self.stale


def run_state(run: Path, check_files: bool = False) -> dict[str, PartState]:
    """The parts of a run by name, in the order in which the steps make them.

    `check_files`: the sha256 of every file is compared, which reads all of them. Raises `RecliError` where there is
    no such folder.
    """
    run = Path(run)
    if not run.is_dir():
        raise RecliError(
            f"there is no run at {run}", schema.PART_KINDS[schema.INTERACTIONS].remedy.format(run=quoted(run))
        )
    if (run / MANIFEST).exists():
        raise RecliError(
            f"{run} is a part of a run, not a run", "name the folder that has the folder interactions in it"
        )
    opened = {name: _open(run, name, kind, check_files) for name, kind in _names(run)}
    return _with_stale(opened)


def _names(run: Path) -> Iterator[tuple[str, str]]:
    """Names and kinds of what looks like a part, also where its manifest is gone (of metrics, only with it)."""
    if (run / schema.INTERACTIONS).exists():
        yield schema.INTERACTIONS, schema.INTERACTIONS
    for kind in (schema.EMBEDDINGS, schema.MODELS):
        yield from ((f"{kind}/{name}", kind) for name in _folders(run / kind))
    for name in part_names(run.parent, run.name):  # evaluate --name: metrics are under any name
        if name not in schema.PART_KINDS or name == schema.METRICS:
            yield name, schema.METRICS
    if (run / schema.RECOMMENDATIONS).exists():
        yield schema.RECOMMENDATIONS, schema.RECOMMENDATIONS


def _folders(parent: Path) -> list[str]:
    if not parent.is_dir():
        return []
    return sorted(p.name for p in parent.iterdir() if p.is_dir() and not p.name.startswith("."))


def _open(run: Path, name: str, kind: str, check_files: bool) -> PartState:
    path = run / name
    size = sum(s.st_size for s in _files(path))
    try:
        part = open_part(path, kind)
    except (RecliError, OSError) as error:
        why = error.what if isinstance(error, RecliError) else str(error)
        if not (path / MANIFEST).exists():
            why = f"{MANIFEST} is missing"
        return PartState(name, kind, path, None, why.removeprefix(f"{path} is damaged: "), bytes=size)
    return PartState(name, kind, path, part, _damage(part, check_files), bytes=size)


def _damage(part: Part, check_files: bool) -> str | None:
    """What is wrong with the files of a part."""
    for name in part.manifest["files"]:
        if not (part.path / name).is_file():
            return f"{name} is missing"
        if check_files:
            try:
                part.file(name)
            except RecliError as error:
                return error.what.removeprefix(f"{part.path} is damaged: ")
    return None


def _files(path: Path) -> Iterator[os.stat_result]:
    for folder, _, names in os.walk(path):
        for name in names:
            try:
                yield os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118
            except OSError:  # a dangling link, or a file that goes just now
                continue


def disk_usage(run: Path) -> int:
    """Bytes of all files of a run; those that parts share count once."""
    return sum({(s.st_dev, s.st_ino): s.st_size for s in _files(Path(run))}.values())


def _with_stale(parts: dict[str, PartState]) -> dict[str, PartState]:
    """The parts with what each was made from that is not there now; what is made from stale parts is stale, too."""
    found = {name: replace(state, stale=tuple(_changed(state.part, parts))) for name, state in parts.items()}
    while True:
        more = {name: _from_stale(state.part, found) for name, state in found.items() if not state.stale}
        if not any(more.values()):
            return found
        found |= {name: replace(found[name], stale=reasons) for name, reasons in more.items()}


def _sources(part: Part | None) -> dict[str, str]:
    """The parts of the run that a part was made from, and their sha256; input files are none."""
    kinds = (schema.INTERACTIONS, schema.EMBEDDINGS, schema.MODELS)
    inputs = {} if part is None else part.inputs
    return {name: sha256 for name, sha256 in inputs.items() if name.partition("/")[0] in kinds}


def _changed(part: Part | None, parts: dict[str, PartState]) -> Iterator[str]:
    for name, sha256 in _sources(part).items():
        there = parts.get(name)
        if there is None:
            yield f"the run has no {_words(name)} now"
        elif there.damage is not None:
            yield f"{_words(name)} is damaged"
        elif there.part is not None and there.part.sha256 != sha256:
            yield f"made from other {_words(name)} than the run has now"


def _from_stale(part: Part | None, parts: dict[str, PartState]) -> tuple[str, ...]:
    return tuple(f"{_words(name)} is stale" for name in _sources(part) if name in parts and parts[name].stale)


def _words(name: str) -> str:
    """`models/ease` as `model ease`."""
    kind, _, own = name.partition("/")
    return f"{kind.removesuffix('s')} {own}" if kind == schema.MODELS else name.replace("/", " ")
