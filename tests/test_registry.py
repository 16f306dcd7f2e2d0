"""Registries: sub-packages, and what installed packages add through entry points."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from recli.errors import UsageError
from recli.models.base import algorithms
from recli.registry import DuplicateNameError, Registry

OWN = '''
"""One of each kind, in one file outside of recli."""

from dataclasses import dataclass

import numpy as np

from recli.config import Config, option
from recli.encoders.base import encoder, fitted
from recli.metrics.base import metric
from recli.models.base import Model, algorithm
from recli.ranking.rerankers.base import reranker
from recli.ranking.ranked import Ranked


@dataclass(frozen=True)
class LastItemsConfig(Config):
    base: float = option(0.5, "Score of item 0.", min=0, max=1)


@dataclass(frozen=True)
class LastItems(Model):
    scores: np.ndarray

    def score(self, history, users=None):
        return np.repeat(self.scores[None, :], history.shape[0], axis=0)

    @property
    def handles_empty_history(self):
        return True

    def state(self):
        return {"scores": self.scores}


@algorithm(
    "last-items", help="the last items first", config=LastItemsConfig, load=lambda c, s: LastItems(s["scores"])
)
def fit(config, training):
    training.advance(1, "")
    return LastItems((config.base + np.arange(training.matrix.shape[1])).astype(np.float32))


@encoder("word-count", help="words of a text")
def open_word_count(options):
    return fitted(lambda corpus, texts: np.array([[len(text.split())] for text in texts], dtype=np.float32))


@metric("first-hit", help="whether the first item is a hit")
def first_hit(lists):
    return lists.hits[:, 0].astype(np.float64)


@reranker("worst-first", help="the other way round")
def worst_first(weight, inputs):
    return lambda pool, k: Ranked(pool.items[:, ::-1][:, :k], pool.scores[:, ::-1][:, :k])
'''


def installed(folder: Path, name: str, source: str, *groups: str) -> None:
    """A package as an installer leaves it: the module, and its metadata with an entry point for each group."""
    (folder / f"{name}.py").write_text(source)
    metadata = folder / f"{name}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(
        "".join(f"[recli.{group}]\n{name} = {name}\n" for group in groups)
    )


def python(folder: Path, *arguments: object, code: int = 0) -> tuple[str, str]:
    """Standard output and standard error of another Python, for which the packages in `folder` are installed."""
    paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": paths})
    assert done.returncode == code, done.stderr
    return done.stdout, done.stderr


@pytest.mark.slow
def test_an_installed_algorithm_is_trained_evaluated_and_recommends(board_run: Path, tmp_path: Path) -> None:
    packages = tmp_path / "site-packages"
    packages.mkdir()
    installed(packages, "own", OWN, "algorithms", "encoders", "metrics", "rerankers")
    assert "last-items" in python(packages, "-m", "recli", "train-cf", "--help")[0]
    python(packages, "-m", "recli", "train-cf", board_run, "--algorithm", "last-items", "--base", 0.25)
    out, _ = python(
        packages, "-m", "recli", "evaluate", board_run, "--metrics", "first-hit@5", "--samples", 0, "--json"
    )
    assert 0 <= json.loads(out)["models"]["last-items"]["first-hit@5"]["value"] < 1
    recommend = ("-m", "recli", "recommend", board_run, "--users", "u000", "-k", 2, "--format", "jsonl")
    row = json.loads(python(packages, *recommend)[0])
    assert [item["item_id"] for item in row["items"]] == ["i029", "i028"]
    reranked = json.loads(
        python(packages, *recommend, "--reranker", "worst-first", "--diversify", 0.5, "--pool", 3)[0]
    )
    assert [item["item_id"] for item in reranked["items"]] == ["i027", "i028"]
    python(packages, *recommend, "--reranker", "worst-first", code=2)
    python(packages, "-m", "recli", "embed", board_run, "--model", "word-count")
    assert (board_run / "embeddings" / "word-count").is_dir()
    names = "from recli.ranking.rerankers.base import rerankers; print(*rerankers.names())"
    assert python(packages, "-c", names)[0].split() == ["mmr", "worst-first"]


@pytest.mark.slow
def test_an_entry_point_that_cannot_be_loaded_is_skipped_with_a_warning(tmp_path: Path) -> None:
    installed(tmp_path, "broken", "import no_such_library\n", "algorithms")
    taken = OWN.replace('"last-items", help', '"popularity", help')
    installed(tmp_path, "taken", taken, "algorithms")
    installed(tmp_path, "crashes", "raise RuntimeError('no device')\n", "algorithms")
    installed(tmp_path, "unfinished", "def (\n", "algorithms")
    installed(tmp_path, "works", OWN, "algorithms", "metrics")
    script = (
        "from recli.models.base import algorithms; "
        "print(algorithms['popularity'].fit.__module__, 'last-items' in algorithms.names())"
    )
    out, said = python(tmp_path, "-c", script)
    assert out.split() == ["recli.models.popularity", "True"]
    assert "skipped the algorithm 'broken' (broken) of an installed package: No module named" in said
    assert "skipped the algorithm 'crashes' (crashes) of an installed package: no device" in said
    assert "skipped the algorithm 'unfinished' (unfinished) of an installed package: invalid syntax" in said
    assert "skipped the algorithm 'taken' (taken) of an installed package" in said
    assert "algorithm 'popularity' is registered twice" in said


def test_on_the_terminal_a_warning_is_one_line(tmp_path: Path) -> None:
    installed(tmp_path, "broken", "import no_such_library\n", "algorithms")
    _, said = python(tmp_path, "-m", "recli", "train-cf", "--help")
    assert said.splitlines() == [
        "warning: skipped the algorithm 'broken' (broken) of an installed package: No module named 'no_such_library'"
    ]


def test_modules_of_sub_packages_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "things" / "deep"
    deep.mkdir(parents=True)
    (tmp_path / "things" / "__init__.py").write_text(
        'from recli.registry import Registry\nnumbers = Registry("number", "things", "things.numbers")\n'
    )
    (deep / "__init__.py").write_text("")
    (deep / "seven.py").write_text('from things import numbers\nnumbers.add("seven", 7)\n')
    monkeypatch.syspath_prepend(tmp_path)
    from things import numbers  # type: ignore[import-not-found]

    assert numbers.names() == ("seven",) and numbers["seven"] == 7 and list(numbers) == [7]
    with pytest.raises(UsageError, match="unknown number 'eight'; there are: seven"):
        numbers["eight"]


def test_a_name_is_registered_once() -> None:
    registry: Registry[int] = Registry("number", "recli.metrics", "recli.numbers")
    registry.add("one", 1)
    with pytest.raises(DuplicateNameError, match="number 'one' is registered twice"):
        registry.add("one", 2)
    assert "popularity" in algorithms.names()
