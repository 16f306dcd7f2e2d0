"""`recli evaluate --seeds` and `--folds`: the same as separate runs, and nothing is left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import edit_manifest

import recli
from recli.errors import RecliError, UsageError
from recli.steps.train_cf import step as train_cf_step

Recli = Callable[..., tuple[int, str, str]]


def write_log(folder: Path) -> Path:
    """60 users with two tastes, 4 to 12 events each; some are views only."""
    lines = ["user_id,item_id,event,timestamp"]
    for user in range(60):
        for step in range(4 + user % 9):
            item = 2 * ((user * 5 + step * step * 3 + step) % 15) + user % 2
            event = ("view", "like", "purchase", "skip")[(user + step) % 4]
            lines.append(f"u{user:02d},i{item:02d},{event},{1_600_000_000 + user * 50 + step * 1000}")
    path = folder / "events.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def make_run(folder: Path, log: Path, seed: int = 0, **options: Any) -> Path:
    """A run with two models, ials and a hybrid of ials and user-knn."""
    options = {"event_weights": "view=1,like=3,purchase=5,skip=0"} | options
    run = Path(recli.prepare(log, out=folder, seed=seed, **options))
    recli.train_cf(run, algorithm="ials", iterations=3, factors=8, seed=seed)
    recli.train_hybrid(run, sources="ials,user-knn", history_half_life=0, seed=seed)
    return run


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_log(tmp_path)


@pytest.fixture
def run(tmp_path: Path, log: Path) -> Path:
    return make_run(tmp_path / "run", log)


def contents(run: Path) -> dict[str, tuple[int, bytes]]:
    """Times and bytes of all files of a run, but of its metrics."""
    files = (p for p in run.rglob("*") if p.is_file() and p.parent.name != "metrics")
    return {str(p.relative_to(run)): (p.stat().st_mtime_ns, p.read_bytes()) for p in files}


def overall(evaluation: Any, metric: str = "ndcg") -> dict[str, dict[str, Any]]:
    rows = evaluation.metrics.filter(
        (pl.col("slice") == "all") & (pl.col("metric") == metric) & (pl.col("k") == 10)
    )
    return {row["model"]: row for row in rows.to_dicts()}


@pytest.mark.parametrize("options", [{}, {"cold_items": 0.1, "cold_users": 0.1}])
def test_the_means_are_those_of_separately_made_runs(
    tmp_path: Path, log: Path, options: dict[str, float]
) -> None:
    runs = [make_run(tmp_path / f"run{seed}", log, seed, **options) for seed in range(3)]
    separate = [overall(recli.evaluate(run, samples=0)) for run in runs]
    evaluation = recli.evaluate(runs[0], seeds=3)
    repeated = overall(evaluation)
    assert set(repeated) == {"ials", "hybrid"}
    for model, row in repeated.items():
        values = [figures[model]["value"] for figures in separate]
        assert len(set(values)) == 3
        assert row["value"] == pytest.approx(sum(values) / 3, abs=1e-12)
        stored = evaluation.repeats.filter(
            (pl.col("model") == model)
            & (pl.col("metric") == "ndcg")
            & (pl.col("k") == 10)
            & (pl.col("slice") == "all")
        )
        assert stored["value"].to_list() == pytest.approx(values, abs=1e-12)


def test_nothing_of_the_run_changes_but_the_metrics(run: Path) -> None:
    before = contents(run)
    evaluation = recli.evaluate(run, seeds=2)
    assert contents(run) == before
    assert sorted(p.name for p in run.iterdir()) == ["interactions", "metrics", "models"]
    assert pl.read_parquet(run / "metrics" / "repeats.parquet").equals(evaluation.repeats)
    manifest = json.loads((run / "metrics" / "manifest.json").read_text())
    assert manifest["config"]["seeds"] == 2 and set(manifest["inputs"]) == {
        "interactions",
        "models/ials",
        "models/hybrid",
    }


def test_folds_are_measured_and_said(run: Path, recli: Recli) -> None:
    _, out, err = recli("evaluate", run, "--folds", 3, "--models", "ials", "--json", "--metrics", "ndcg@10")
    printed = json.loads(out)
    assert printed["data"]["folds"] == 3 and printed["data"]["trainings"] == 3
    assert "3 folds, 1 model (ials): 3 trainings" in err and "fold 2 of 3, training ials" in err
    assert "The folds have training events in common" in " ".join(printed["protocol"])
    figures = printed["models"]["ials"]["ndcg@10"]
    assert figures["low"] < figures["value"] < figures["high"]


def test_models_that_a_hybrid_is_made_from_are_trained_too(run: Path, recli: Recli) -> None:
    _, out, err = recli("evaluate", run, "--seeds", 2, "--models", "hybrid", "--json")
    assert "2 models (ials, hybrid): 4 trainings" in err
    assert list(json.loads(out)["models"]) == ["hybrid"]


def test_a_hybrid_takes_no_model_that_it_was_not_made_from(tmp_path: Path, log: Path) -> None:
    """Its ials has the default options, though the run has another ials by now."""
    run = Path(recli.prepare(log, out=tmp_path / "run"))
    recli.train_hybrid(run, sources="ials,user-knn", history_half_life=0)
    alone = overall(recli.evaluate(run, seeds=2))["hybrid"]["value"]
    recli.train_cf(run, algorithm="ials", iterations=1, factors=2)
    assert overall(recli.evaluate(run, seeds=2))["hybrid"]["value"] == alone


def test_a_split_by_time_stays_and_only_the_seed_of_the_training_changes(tmp_path: Path, log: Path) -> None:
    run = make_run(tmp_path / "run", log, split="leave-last-out")
    recli.train_cf(run, algorithm="popularity")
    evaluation = recli.evaluate(run, seeds=2)
    assert evaluation.protocol[0].startswith("2 seeds: the split stays (--split leave-last-out)")
    figures = overall(evaluation)
    assert figures["popularity"]["low"] == figures["popularity"]["high"]  # nothing of it is random
    assert figures["ials"]["low"] < figures["ials"]["high"]
    others = [
        recli.train_cf(run, algorithm="ials", iterations=3, factors=8, seed=s, name=f"s{s}") for s in (0, 1)
    ]
    separate = overall(recli.evaluate(run, models="s0,s1", samples=0))
    assert len(others) == 2
    mean = sum(row["value"] for row in separate.values()) / 2
    assert figures["ials"]["value"] == pytest.approx(mean, abs=1e-12)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--seeds", "2", "--folds", "2"), "give one of them"),
        (("--seeds", "1"), "at least 2"),
        (("--folds", "3", "--split", "validation"), "--split validation"),
        (("--seeds", "2", "--recommendations", "lists.csv"), "was made for one split"),
        (("--seeds", "2", "--models", "alz"), "alz"),
        (("--seeds", "2", "--metrics", "ndgc@10"), "ndgc"),
        (("--seeds", "2", "--compare", "als"), "--compare"),
    ],
)
def test_usage_errors_come_before_any_training(
    run: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], words: str
) -> None:
    monkeypatch.setattr(train_cf_step, "train_cf", lambda *given: pytest.fail("it trained"))
    _, _, err = recli("evaluate", run, *options, code=2)
    assert words in " ".join(err.split())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"split": "temporal"}, "comes after the training in time"),
        ({"split": "leave-last-out"}, "comes after the training in time"),
        ({"cold_items": 0.1}, "cold items"),
    ],
)
def test_folds_are_refused_where_events_cannot_be_dealt(
    tmp_path: Path, log: Path, options: dict[str, Any], words: str
) -> None:
    run = make_run(tmp_path / "run", log, **options)
    with pytest.raises(UsageError, match=words):
        recli.evaluate(run, folds=3)


def test_a_failure_says_the_repeat_and_leaves_nothing_behind(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, train, trained = contents(run), train_cf_step.train_cf, []

    def failing(config: Any, reporter: Any) -> Any:
        trained.append(config)
        if len(trained) == 2:
            raise RecliError(f"{config.run} is full", f"look at {config.run}")
        return train(config, reporter)

    monkeypatch.setattr(train_cf_step, "train_cf", failing)
    with pytest.raises(RecliError) as error:
        recli.evaluate(run, seeds=3)
    assert error.value.what == f"seed 2 of 3: {run} is full" and error.value.fix == f"look at {run}"
    assert contents(run) == before
    assert sorted(p.name for p in run.iterdir()) == ["interactions", "models"]


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C is another thing there")
def test_ctrl_c_leaves_nothing_behind(run: Path) -> None:
    command = [sys.executable, "-m", "recli", "evaluate", str(run), "--seeds", "500"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        while "seed 2 of 500" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert sorted(p.name for p in run.iterdir()) == ["interactions", "models"]


def test_a_hybrid_of_an_earlier_version_is_to_be_trained_again(run: Path) -> None:
    edit_manifest(run / "models" / "hybrid", lambda manifest: manifest["summary"].pop("given"))
    with pytest.raises(RecliError, match="did not store all of its options"):
        recli.evaluate(run, seeds=2)
    assert list(overall(recli.evaluate(run, models="ials", seeds=2))) == ["ials"]


def test_gates_and_the_report_are_those_of_the_means(run: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.html"
    evaluation = recli.evaluate(run, seeds=2, fail_under="ials:ndcg@10=0.99", report=report)
    (gate,) = evaluation.gates
    assert not gate.met and gate.value == overall(evaluation)["ials"]["value"]
    assert f"{gate.value:.4f}" in report.read_text()


def test_embeddings_are_taken_as_they_are(tmp_path: Path, log: Path) -> None:
    """With texts the same as separate runs, where vectors are not centered on the items that are trained on."""
    items = tmp_path / "items.csv"
    words = ("space rocket galaxy", "romance wedding love")
    lines = [f"i{i:02d},{words[i % 2]} number{i}" for i in range(30)]
    items.write_text("\n".join(["item_id,title", *lines]) + "\n")
    separate, runs = [], []
    for seed in range(2):
        run = Path(recli.prepare(log, items=items, out=tmp_path / f"run{seed}", seed=seed))
        recli.embed(run, model="tfidf", name="texts", center=False)
        recli.train_hybrid(
            run, sources="user-knn,content-knn", tfidf=False, history_half_life=0, cold_share=0.2, seed=seed
        )
        runs.append(run)
        separate.append(
            {m: overall(recli.evaluate(run), m)["hybrid"]["value"] for m in ("ndcg", "diversity")}
        )
    before = contents(runs[0])
    evaluation = recli.evaluate(runs[0], seeds=2)
    for metric in ("ndcg", "diversity"):
        mean = sum(figures[metric] for figures in separate) / 2
        assert overall(evaluation, metric)["hybrid"]["value"] == pytest.approx(mean, abs=1e-12)
    assert contents(runs[0]) == before
