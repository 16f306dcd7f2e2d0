"""`--dry-run`: what a step would write, and why; nothing is done."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest

Recli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id\n" + "".join(f"u{n % 17},i{n % 13}\n" for n in range(300)))
    return path


def plan(recli: Recli, *words: object) -> tuple[str, str]:
    """State and reasons."""
    found = json.loads(recli(*words, "--dry-run", "--json")[1])
    assert found["would_write"] == (found["state"] != "unchanged")
    return found["state"], "; ".join(found["why"])


def test_prepare(recli: Recli, log: Path, tmp_path: Path) -> None:
    words = ("prepare", log, "--out", tmp_path / "run")
    assert plan(recli, *words) == ("missing", "")
    assert not (tmp_path / "run").exists()
    recli(*words)
    assert plan(recli, *words) == ("unchanged", "")
    assert plan(recli, *words, "--k-core", 2) == ("changed", "k-core was None, now 2")
    (tmp_path / "run/interactions/train.parquet").unlink()
    assert plan(recli, *words) == ("damaged", "train.parquet is missing")


def test_input_files_that_changed(recli: Recli, log: Path, tmp_path: Path) -> None:
    """By their sha256 in the manifest."""
    words = ("prepare", log, "--out", tmp_path / "run")
    recli(*words)
    path = tmp_path / "run/interactions/manifest.json"
    manifest = json.loads(path.read_text())
    manifest.pop("sha256", None)
    digest = hashlib.sha256(log.read_bytes()).hexdigest()
    for inputs, state in (
        ({}, "unchanged"),
        ({"log/log.csv": digest}, "unchanged"),
        ({"log/log.csv": "0"}, "changed"),
    ):
        path.unlink()
        path.write_text(json.dumps({**manifest, "inputs": inputs}))
        found, why = plan(recli, *words)
        assert found == state and why == (f"{log} has changed" if state == "changed" else "")


def test_the_other_steps(recli: Recli, log: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    recli("prepare", log, "--out", run)
    train = ("train-cf", run, "--algorithm", "item-knn", "--neighbors", 5)
    steps = {
        train: ("--neighbors", 6),
        ("train-hybrid", run, "--sources", "item-knn"): ("--refit",),
        ("evaluate", run): ("--samples", 7),
        ("recommend", run, "--save"): ("-k", 3),
    }
    for words in steps:
        assert plan(recli, *words) == ("missing", "")
    for words in steps:
        recli(*words)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    for words, other in steps.items():
        assert plan(recli, *words) == ("unchanged", ""), words
        assert plan(recli, *words, *other)[0] == "changed"
    assert plan(recli, *train, "--seed", 1) == ("changed", "seed was 0, now 1")
    recli("prepare", log, "--out", run, "--seed", 1)
    for words in steps:
        state, why = plan(recli, *words)
        assert (state, "made from other interactions than the run has now" in why) == ("stale", True)
    assert {p: t for p, t in before.items() if "interactions" not in str(p)}.items() <= {
        path: path.stat().st_mtime_ns for path in run.rglob("*")
    }.items()


def test_it_says_so_in_a_line(recli: Recli, board_run: Path) -> None:
    assert recli("train-cf", board_run, "--dry-run")[1] == f"would write {board_run}/models/ials: missing\n"
    recli("train-cf", board_run, "--algorithm", "popularity")
    out = recli("train-cf", board_run, "--algorithm", "popularity", "--dry-run")[1]
    assert out.startswith(f"{board_run}/models/popularity is there") and "would stay" in out
    assert "without --save" in recli("recommend", board_run, "--dry-run")[1]


def test_embeddings_and_damaged_models(recli: Recli, board_run: Path) -> None:
    words = ("embed", board_run, "--model", "tfidf")
    assert plan(recli, *words) == ("missing", "")
    recli(*words)
    assert plan(recli, *words) == ("unchanged", "")
    assert plan(recli, *words, "--no-center") == ("changed", "center was True, now False")
    (board_run / "embeddings/tfidf/manifest.json").write_text("{")
    assert plan(recli, *words)[0] == "damaged"


def test_errors_are_those_of_the_step(recli: Recli, tmp_path: Path, board_run: Path) -> None:
    _, _, err = recli("train-cf", tmp_path / "nothing", "--dry-run", code=1)
    assert "recli prepare" in err
    _, _, err = recli("train-cf", board_run, "--algorithm", "ease", "--factors", 3, "--dry-run", code=2)
    assert "--factors is not an option of ease" in err
