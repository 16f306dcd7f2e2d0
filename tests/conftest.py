"""Small interactions that every test can reason about."""

import dataclasses
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

# Two workers on two cores: a thread for each. Read when the libraries are loaded, so set before.
if "PYTEST_XDIST_WORKER" in os.environ:
    for _library in ("OMP", "OPENBLAS", "MKL"):
        os.environ.setdefault(f"{_library}_NUM_THREADS", "1")

if not os.access(
    Path.home(), os.W_OK
):  # libraries that tests use write there: ir_datasets (of ranx), transformers
    _LIBRARIES = TemporaryDirectory(prefix="recli-tests-")
    for _name in ("IR_DATASETS_HOME", "HF_MODULES_CACHE"):
        os.environ.setdefault(_name, _LIBRARIES.name)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else each of a few hundred commands compiles recli anew

import numpy as np
import polars as pl
import pytest

from recli.cli import app, options
from recli.config import choices_of, spec_of
from recli.data.interactions import Interactions
from recli.storage import manifests, runs

WORDS = ("space rocket galaxy alien", "romance wedding love kiss", "kitchen recipe chef soup")


def rows_of(users: list[int], items: list[int], start: int = 0) -> pl.DataFrame:
    """Rows of one split; the k-th event happens k seconds after `start`."""
    n = len(users)
    return pl.DataFrame(
        {
            "user": pl.Series(users, dtype=pl.Int32),
            "item": pl.Series(items, dtype=pl.Int32),
            "value": pl.Series([1.0] * n, dtype=pl.Float32),
            "rating": pl.Series(
                [1.0 + (u + i) % 5 for u, i in zip(users, items, strict=True)], dtype=pl.Float32
            ),
            "timestamp": pl.Series([(start + k) * 1_000_000 for k in range(n)], dtype=pl.Int64),
        }
    ).sort("user", "timestamp", "item")


def checkerboard(
    n_blocks: int = 3, users_per_block: int = 12, items_per_block: int = 10, seed: int = 7
) -> Interactions:
    """Users of block b like items of block b only; two items per user are held out, for validation and test.

    The last item of each block is cold (test events only), the last user of each block is cold (history).
    Texts of a block share their words, so content finds the block too.
    """
    rng = np.random.default_rng(seed)
    parts: dict[str, tuple[list[int], list[int]]] = {
        s: ([], []) for s in ("train", "validation", "test", "history")
    }
    cold_items = {(b + 1) * items_per_block - 1 for b in range(n_blocks)}
    cold_users = {(b + 1) * users_per_block - 1 for b in range(n_blocks)}
    for user in range(n_blocks * users_per_block):
        block = user // users_per_block
        mine = rng.permutation(np.arange(block * items_per_block, (block + 1) * items_per_block - 1))
        known = "history" if user in cold_users else "train"
        for place, item in enumerate(mine[:7]):
            split = "test" if place == 0 else "validation" if place == 1 and known == "train" else known
            parts[split][0].append(user)
            parts[split][1].append(int(item))
        if user % 3 == 0:
            parts["test"][0].append(user)
            parts["test"][1].append((block + 1) * items_per_block - 1)
    n_users, n_items = n_blocks * users_per_block, n_blocks * items_per_block
    users = pl.DataFrame(
        {"user_id": [f"u{u:03d}" for u in range(n_users)], "cold": [u in cold_users for u in range(n_users)]}
    )
    texts = [f"{WORDS[i // items_per_block % 3]} number {i}" for i in range(n_items)]
    items = pl.DataFrame(
        {
            "item_id": [f"i{i:03d}" for i in range(n_items)],
            "text": texts,
            "cold": [i in cold_items for i in range(n_items)],
        }
    )
    starts = {"train": 0, "history": 0, "validation": 10_000, "test": 20_000}
    return Interactions(users, items, {s: rows_of(*parts[s], start=starts[s]) for s in parts})


@pytest.fixture(scope="session", autouse=True)
def _no_wait_for_the_disk() -> Iterator[None]:
    """Files of tests need not outlive a power cut."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", lambda descriptor: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _commands_made_once() -> Iterator[None]:
    """Typer's command of a step is made again only when its config, its function or its choices change."""
    commands: dict[Any, Any] = {}

    def make(name: str, config: type[Any], run: options.Run, steps: tuple[str, ...] = ()) -> Any:
        choices = tuple(choices_of(spec_of(field)) for field in dataclasses.fields(config))
        key = (name, config, run, choices)
        if key not in commands:
            commands[key] = options.make_command(name, config, run, steps)
        return commands[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(app, "make_command", make)
        yield


def edit_manifest(part: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    """Change a part's manifest and sign it anew, as one who writes parts by hand would."""
    file = part / "manifest.json"
    manifest = json.loads(file.read_text())
    edit(manifest)
    manifest.pop("sha256", None)
    try:
        text = manifests.digested(manifest)
    except ValueError:  # NaN: not for a digest
        text = json.dumps(manifest)
    file.unlink()
    file.write_text(text)


@pytest.fixture
def board() -> Interactions:
    """Three blocks of users and items; see `checkerboard`."""
    return checkerboard()


@pytest.fixture
def board_run(tmp_path: Path, board: Interactions) -> Path:
    """A run on disk with the part `interactions` of `board` and a catalogue (title, block, year)."""
    return write_board(tmp_path / "run", board)


def write_board(run: Path, board: Interactions) -> Path:
    catalogue = pl.DataFrame(
        {
            "title": [f"Title {i}" for i in range(board.n_items)],
            "block": [f"b{i // 10}" for i in range(board.n_items)],
            "year": [1990 + i for i in range(board.n_items)],
        }
    )
    config = {"split": "given", "seed": 0}
    runs.write_interactions(run, board, config, {"events": 0}, catalogue)
    return run


@pytest.fixture
def recli(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run the command line in this process: `code, stdout, stderr = recli("evaluate", run)`."""

    def call(*arguments: object, code: int | None = 0) -> tuple[int, str, str]:
        capfd.readouterr()
        try:
            app.run([str(a) for a in arguments])
            found = 0
        except SystemExit as stop:
            found = int(stop.code or 0)
        out, err = capfd.readouterr()
        if code is not None:
            assert found == code, f"exit code {found}, expected {code}\n{out}\n{err}"
        return found, out, err

    return call
