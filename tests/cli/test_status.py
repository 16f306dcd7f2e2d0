"""`recli status`: the parts of a run, what of them is stale or damaged, and what to type."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recli.cli.app import run as run_recli

Recli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id\n" + "".join(f"u{n % 17},i{n * n % 13}\n" for n in range(300)))
    (tmp_path / "items.csv").write_text(
        "item_id,title\n" + "".join(f"i{n},Word{n} of thing{n % 3}\n" for n in range(13))
    )
    return path


@pytest.fixture
def full(recli: Recli, log: Path, tmp_path: Path) -> Path:
    """A run with all kinds of parts."""
    run = tmp_path / "run"
    recli("prepare", log, "--items", tmp_path / "items.csv", "--out", run)
    recli("embed", run, "--model", "tfidf", "--dim", 4)
    recli("train-cf", run, "--algorithm", "item-knn", "--neighbors", 5, "--seed", 3)
    recli("train-hybrid", run, "--sources", "item-knn,content-knn", "--refit")
    recli("evaluate", run, "--samples", 5)
    recli("recommend", run, "--save", "-k", 4)
    return run


def status(recli: Recli, run: Path, *more: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(recli("status", run, "--json", *more)[1])
    return found


def states(found: dict[str, Any]) -> dict[str, str]:
    return {part["name"]: part["state"] for part in found["parts"]}


def part(found: dict[str, Any], name: str) -> dict[str, Any]:
    return next(p for p in found["parts"] if p["name"] == name)


def test_a_whole_run(recli: Recli, full: Path) -> None:
    found = status(recli, full)
    names = [
        "interactions",
        "embeddings/tfidf",
        "models/hybrid",
        "models/item-knn",
        "metrics",
        "recommendations",
    ]
    assert list(states(found)) == names and set(states(found).values()) == {"good"}
    assert found["commands"] == []
    model = part(found, "models/item-knn")
    assert model["options"] == ["--algorithm", "item-knn", "--neighbors", "5", "--seed", "3"]
    assert 0 < model["figures"]["validation ndcg@20"] <= 1
    assert part(found, "interactions")["figures"] == {"users": 17, "items": 13, "events": 221} | {
        "events": part(found, "interactions")["figures"]["events"]
    }
    assert part(found, "embeddings/tfidf")["options"] == ["--model", "tfidf", "--dim", "4"]
    sources = ["--sources", "item-knn,content-knn", "--embeddings", "tfidf"]
    assert part(found, "models/hybrid")["options"] == [*sources, "--refit"]
    assert part(found, "metrics")["options"] == ["--samples", "5"]
    files = [p for p in full.rglob("*") if p.is_file()]
    assert 0 < found["bytes"] <= sum(p.stat().st_size for p in files)
    text = recli("status", full)[1]
    for words in ("models/item-knn: ", "--neighbors 5", "ndcg@20", " kB", "17 users"):
        assert words in text


def test_what_is_stale_is_made_again_by_the_commands(
    recli: Recli, full: Path, log: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recli("prepare", log, "--items", log.parent / "items.csv", "--seed", 1, "--out", full)
    found = status(recli, full)
    assert set(states(found).values()) == {"good", "stale"}
    assert [name for name, state in states(found).items() if state == "good"] == ["interactions"]
    assert "made from other interactions than the run has now" in part(found, "models/hybrid")["why"]
    commands = [shlex.split(command["command"])[1] for command in found["commands"]]
    assert commands == ["embed", "train-cf", "train-hybrid", "evaluate", "recommend"]
    for command in found["commands"]:
        with pytest.raises(SystemExit) as stop:
            run_recli(shlex.split(command["command"])[1:])
        assert not stop.value.code, command
    found = status(recli, full)
    assert set(states(found).values()) == {"good"} and found["commands"] == []
    assert part(found, "models/item-knn")["options"][2:] == ["--neighbors", "5", "--seed", "3"]


def test_what_is_made_from_a_stale_model_is_stale_too(recli: Recli, full: Path) -> None:
    recli("train-cf", full, "--algorithm", "item-knn", "--neighbors", 6)
    found = status(recli, full)
    assert part(found, "models/hybrid")["why"] == ["made from other model item-knn than the run has now"]
    assert "model hybrid is stale" in part(found, "recommendations")["why"]
    assert states(found)["embeddings/tfidf"] == states(found)["models/item-knn"] == "good"
    shutil.rmtree(full / "models/item-knn")
    assert part(status(recli, full), "models/hybrid")["why"] == ["the run has no model item-knn now"]


@pytest.mark.parametrize(
    ("file", "text", "why"),
    [
        ("manifest.json", None, "manifest.json is missing"),
        ("manifest.json", "{", "manifest.json is not a manifest"),
        ("manifest.json", "[]", "manifest.json is not a manifest"),
        ("manifest.json", '{"kind": "models"}', "manifest.json is not a manifest"),
        ("model.safetensors", None, "model.safetensors is missing"),
        ("train.parquet", None, "train.parquet is missing"),
    ],
)
def test_a_damaged_part_is_shown_with_what_is_wrong(
    recli: Recli, full: Path, file: str, text: str | None, why: str
) -> None:
    path = full / "models/item-knn" / file
    path.unlink()
    if text is not None:
        path.write_text(text)
    found = status(recli, full)
    damaged = part(found, "models/item-knn")
    assert damaged["state"] == "damaged" and why in damaged["why"][0]
    assert part(found, "models/hybrid")["why"] == ["model item-knn is damaged"]
    assert found["commands"][0]["command"].startswith(f"recli train-cf {full} --algorithm")
    assert why in recli("status", full)[1]


def test_odd_manifests_never_end_in_a_traceback(recli: Recli, full: Path) -> None:
    path = full / "models/item-knn/manifest.json"
    manifest = json.loads(path.read_text())
    manifest.pop("sha256", None)
    for key, value in (
        ("config", {}),
        ("config", {"algorithm": "nothing-known", "options": {}, "trained_on": ["train"]}),
        ("config", {"algorithm": ["ease"], "options": 3, "trained_on": {}}),
        (
            "config",
            {"algorithm": "item-knn", "options": {"neighbors": {}}, "trained_on": ["train"], "seed": "x"},
        ),
        ("summary", {"validation": {"ndcg@20": "x"}}),
        ("summary", {"validation": [1]}),
        ("inputs", {"models/../../x": "y", "": "z"}),
        ("recli", 7),
        ("format", 99),
        ("files", {"../../x": "y"}),
    ):
        path.unlink()
        path.write_text(json.dumps({**manifest, key: value}))
        found = status(recli, full)
        assert part(found, "models/item-knn")["kind"] == "models"
        recli("status", full)
    (full / "models/item-knn/manifest.json").unlink()
    (full / "models/item-knn/manifest.json").mkdir()
    assert states(status(recli, full))["models/item-knn"] == "damaged"


def test_changed_files_are_found_with_check(recli: Recli, full: Path) -> None:
    path = full / "embeddings/tfidf/vectors.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert states(status(recli, full))["embeddings/tfidf"] == "good"
    found = status(recli, full, "--check")
    assert "sha256 differs" in part(found, "embeddings/tfidf")["why"][0]


def test_without_parts_it_says_what_to_type_first(recli: Recli, tmp_path: Path, log: Path) -> None:
    run = tmp_path / "my run"
    _, _, err = recli("status", run, code=1)
    assert f"recli prepare LOG --out '{run}'" in err
    run.mkdir()
    assert f"recli prepare LOG --out '{run}'" in recli("status", run)[1]
    recli("prepare", log, "--out", run)
    commands = [command["command"] for command in status(recli, run)["commands"]]
    assert [shlex.split(command)[1] for command in commands] == ["train-hybrid", "evaluate", "recommend"]
    recli("prepare", log, "--items", tmp_path / "items.csv", "--out", run)
    commands = [command["command"] for command in status(recli, run)["commands"]]
    assert commands[0] == f"recli embed '{run}'"


def test_a_hybrid_is_made_again_as_it_was(recli: Recli, full: Path) -> None:
    run = ("train-hybrid", full, "--sources", "item-knn,popularity")
    recli(*run, "--name", "a", "--fusion", "rrf", "--rrf-k", 7, "--cold-boost", -1)
    recli(*run, "--name", "b", "--fusion", "weighted", "--weights", "item-knn=0.5,log-popularity=0.25")
    recli("train-hybrid", full, "--algorithm", "content-knn", "--neighbors", 3)
    found = status(recli, full)
    assert part(found, "models/a")["options"][2:] == ["--fusion", "rrf", "--rrf-k", "7", "--cold-boost", "-1"]
    weights = ["--fusion", "weighted", "--weights", "item-knn=0.5,log-popularity=0.25"]
    assert part(found, "models/b")["options"][2:] == weights
    assert part(found, "models/content-knn")["options"] == ["--algorithm", "content-knn", "--neighbors", "3"]


def test_a_part_is_not_a_run(recli: Recli, full: Path) -> None:
    _, _, err = recli("status", full / "models/hybrid", code=1)
    assert "is a part of a run, not a run" in err


def test_metrics_of_any_name_are_shown(recli: Recli, full: Path) -> None:
    recli("evaluate", full, "--samples", 5, "--name", "weekly")
    assert states(status(recli, full))["weekly"] == "good"


def test_status_is_light_and_help_names_it(full: Path) -> None:
    script = (
        f"import sys\nfrom recli.__main__ import main\nsys.argv = ['recli', 'status', {str(full)!r}]\n"
        f"try:\n    main()\nexcept SystemExit:\n    pass\nprint(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "models/hybrid" in done.stdout
    heavy = {"torch", "polars.dataframe", "scipy", "numba", "transformers", "implicit", "optuna", "sklearn"}
    assert heavy & set(done.stderr.split()) == set()
