"""The benchmarks' commands are ones that recli takes, and their tables say what was measured. Nothing is trained."""

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import datasets, recommend_speed
from benchmarks.datasets import (
    DATASETS,
    EMBED,
    Benchmark,
    DataSet,
    Failed,
    Measured,
    Published,
    Row,
    Run,
    chosen_rows,
    shown,
    verdict,
)

import recli
from recli.cli.console import Console
from recli.cli.options import make_command
from recli.config import validate
from recli.models.base import algorithms
from recli.steps.train_cf.config import TrainCfConfig, given_options

COMMANDS = sorted(
    {
        command
        for dataset in DATASETS.values()
        for command in (dataset.prepare, *(c for row in dataset.rows for c in (row.train, *row.needs)))
    }
)


def parsed(command: str) -> Any:
    """The config that recli makes of a command; it is checked, and not run. Fails where it is refused."""
    name, *arguments = command.format(data="data", run="somewhere").split()
    module = name.replace("-", "_")
    config = getattr(
        importlib.import_module(f"recli.cli.{module}"),
        "".join(w.title() for w in module.split("_")) + "Config",
    )
    made: list[Any] = []

    def run(config: Any, console: Console) -> None:
        """Keep what would be run.

        Example: recli
        """
        made.append(config)

    with pytest.raises(SystemExit) as stop:
        make_command(name, config, run)(arguments)
    assert stop.value.code in (0, None), command
    if isinstance(made[0], TrainCfConfig):
        algorithm = algorithms[made[0].algorithm]
        validate(algorithm.config(**given_options(made[0], algorithm)))
    return made[0]


@pytest.mark.parametrize("command", COMMANDS)
def test_recli_takes_every_command(command: str) -> None:
    config = parsed(command)
    place = config.out if command.startswith("prepare") else config.run
    assert place == "somewhere"


def test_a_command_that_recli_refuses_would_be_found() -> None:
    with pytest.raises(AssertionError, match="no-such-option"):
        parsed("train-cf {run} --no-such-option 1")


@pytest.mark.slow
def test_every_row_is_named_as_its_model_in_the_run() -> None:
    for name, dataset in DATASETS.items():
        assert dataset.rows, name
        names = [row.name for row in dataset.rows]
        assert len(set(names)) == len(names), f"{name}: two rows would be one model"
        for row in dataset.rows:
            config = parsed(row.train)
            assert row.name == (config.name or {"fusion": "hybrid"}.get(config.algorithm, config.algorithm))


def test_a_hybrid_is_trained_before_its_sources_and_with_embeddings_where_there_are_texts() -> None:
    for name, dataset in DATASETS.items():
        for place, row in enumerate(dataset.rows):
            if row.name == "hybrid":
                assert place == 0, name
            if row.train.startswith("train-hybrid"):
                assert (EMBED in row.needs) == ("--items" in dataset.prepare), name


def test_refit_goes_with_a_validation_split() -> None:
    for name, dataset in DATASETS.items():
        prepare = parsed(dataset.prepare)
        holds_out = not prepare.test_file or bool(prepare.validation_size)
        assert holds_out or not any(parsed(row.train).refit for row in dataset.rows), name


def test_verdicts_compare_what_is_printed() -> None:
    published = Published(0.0657, 0.0552, "somebody")
    assert verdict(0.06565, 0.05516, published) == "reached"  # .0657 (up) and .0552
    assert verdict(0.0700, 0.0551, published) == "**short**: ndcg -0.0001"
    assert verdict(0.0600, 0.0540, published) == "**short**: recall -0.0057, ndcg -0.0012"
    assert verdict(0.1, 0.1, None) == ""
    exact = replace(published, exact=True)
    assert verdict(0.06571, 0.05524, exact) == "equal"
    assert verdict(0.0660, 0.0552, exact) == "**differs**: recall +0.0003"


def test_commands_are_shown_as_they_are_typed_beside_the_files() -> None:
    result = shown("prepare {data}/a.csv --items {data}/b.csv --out {run}")
    assert result == "recli prepare a.csv --items b.csv --out run"


class FakeRecli:
    """Stands for the recli process: keeps the commands; figures of evaluate by model; `broken` ones fail."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, figures: dict[str, float], broken: str = "(none)"
    ) -> None:
        self.figures, self.broken = figures, broken
        self.commands: list[str] = []
        monkeypatch.setattr(datasets, "measured", self)

    def __call__(self, command: list[str]) -> Measured:
        result = " ".join(command)
        self.commands.append(result)
        if self.broken in result:
            raise Failed(f"exit code 1: recli {result}")
        if command[0] == "prepare":
            Path(command[-1]).mkdir()
        return Measured(
            2.0, 1.5, 100.0, json.dumps(self.evaluation(command)) if "--models" in command else ""
        )

    def evaluation(self, command: list[str]) -> dict[str, Any]:
        names = command[command.index("--models") + 1].split(",")
        ndcg = {name: self.figures[name] for name in names}
        alone = 0.01 if "--candidates" in command else 0.0  # more for warm items where there are no cold ones
        return {
            "models": {
                n: {"recall@20": {"value": 2 * v, "users": 5}, "ndcg@20": {"value": v, "users": 5}}
                for n, v in ndcg.items()
            },
            "slices": [
                {"model": n, "metric": "ndcg", "slice": "warm in all", "value": v + alone, "users": 5}
                for n, v in ndcg.items()
            ],
            "comparisons": [
                {"model": n, "metric": "ndcg", "difference": v - ndcg["hybrid"], "low": -0.03, "high": -0.01}
                for n, v in ndcg.items()
                if n != "hybrid" and "hybrid" in ndcg
            ],
        }


TOY = DataSet(
    "toy",
    "a toy",
    "prepare {data}/log.csv --out {run}",
    (
        Row("hybrid", "train-hybrid {run}", Published(0.2, 0.1, "Somebody (1999)"), ("embed {run}",)),
        Row("als", "train-cf {run} --algorithm als"),
        Row("popularity", "train-cf {run} --algorithm popularity"),
    ),
    others=(Published(0.3, 0.2, "Another (2001)"),),
    lead=0.5,
)


def table(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    dataset: DataSet = TOY,
    rows: str | None = None,
    keep: bool = False,
) -> tuple[bool, str, list[dict[str, Any]]]:
    """Run the benchmark of a toy: whether it succeeded, what it printed, what it noted."""
    run = Run(tmp_path / "toy", tmp_path)
    run.start(keep)
    with (tmp_path / "out.jsonl").open("w") as out:
        succeeded = Benchmark("toy", dataset, run, chosen_rows(dataset, rows), out)()
    noted = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    return succeeded, capsys.readouterr().out, noted


def test_a_row_shows_figures_what_is_published_and_what_it_took(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeRecli(monkeypatch, {"hybrid": 0.08, "als": 0.06, "popularity": 0.02})
    succeeded, printed, noted = table(tmp_path, capsys)
    assert succeeded
    # Recall is twice NDCG here: .16 against .2, .08 against .1.
    assert (
        "| hybrid | 0.1600 | 0.0800 | 0.2000 / 0.1000 Somebody (1999) | **short**: recall -0.0400, ndcg -0.0200 "
        "| `recli train-hybrid run` | 2.0 | 100 |" in printed
    )
    assert "| Another (2001) | | | 0.3000 / 0.2000 | | | | |" in printed
    # als is the best other: .08 - .06 = .02, a third of .06, and half was asked; als - hybrid has [-.03, -.01].
    assert (
        "hybrid - als, the best other: ndcg@20 +0.0200 [+0.0100, +0.0300], +33.3% **short** of +50%"
        in printed
    )
    (hybrid,) = (line for line in noted if line.get("row") == "hybrid")
    assert (hybrid["ndcg@20"], hybrid["seconds"], hybrid["cpu_seconds"], hybrid["peak_mb"]) == (
        0.08,
        2.0,
        1.5,
        100.0,
    )
    assert [line["step"] for line in noted if "step" in line] == [
        "recli prepare log.csv --out run",
        "recli embed run",
    ]


def test_warm_and_cold_items_are_apart(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeRecli(monkeypatch, {"hybrid": 0.08, "als": 0.06, "popularity": 0.02})
    printed = table(tmp_path, capsys, replace(TOY, lead=None, slices={"warm in all": 0.15}))[1]
    assert "- warm in all: hybrid 0.0800, als, the best other, 0.0600: +33.3%\n" in printed
    # .09 without cold items in the lists: 1 - .08 / .09 = 11.1%.
    assert "warm items without cold ones in the lists: 0.0900, so they lose 11.1%, **short**" in printed


def test_rows_run_only_the_steps_they_need(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeRecli(monkeypatch, {"als": 0.06})
    printed = table(tmp_path, capsys, rows="als")[1]
    assert [command.split()[0] for command in fake.commands] == ["prepare", "train-cf", "evaluate"]
    assert "| popularity |" not in printed


def test_keep_runs_no_command_twice(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = FakeRecli(monkeypatch, {"hybrid": 0.08, "als": 0.06, "popularity": 0.02})
    table(tmp_path, capsys, rows="als")
    fake.commands.clear()
    printed = table(tmp_path, capsys, rows="als,popularity", keep=True)[1]
    assert [c.split()[0] for c in fake.commands] == ["evaluate", "train-cf", "evaluate"]  # als's is kept
    assert "| als | 0.1200 | 0.0600 |  |  | `recli train-cf run --algorithm als` | 2.0 | 100 |" in printed
    fake.commands.clear()
    (tmp_path / "toy" / "old").mkdir()
    table(tmp_path, capsys, rows="als")
    assert [c.split()[0] for c in fake.commands] == ["prepare", "train-cf", "evaluate"]
    assert not (tmp_path / "toy" / "old").exists()


def test_a_row_that_fails_says_so_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeRecli(monkeypatch, {"hybrid": 0.08, "als": 0.06, "popularity": 0.02}, broken="--algorithm als")
    succeeded, printed, noted = table(tmp_path, capsys)
    assert not succeeded
    assert "| als | | | | **failed** | `recli train-cf run --algorithm als` | | |" in printed
    assert "| popularity | 0.0400 | 0.0200 |" in printed
    assert any(line.get("row") == "als" and "exit code 1" in line["failed"] for line in noted)


def test_a_hybrid_does_not_join_models_that_a_kept_run_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    FakeRecli(monkeypatch, {})
    run = Run(tmp_path / "toy", tmp_path)
    (run.path / "models").mkdir(parents=True)
    with pytest.raises(Failed, match="would take models of the run toy: run without --keep"):
        run.once("train-hybrid {run}")
    assert run.once("train-hybrid {run} --algorithm content-knn").seconds == 2.0


@pytest.mark.slow
def test_a_process_is_measured() -> None:
    took = datasets.measured(["--version"])
    assert took.printed.startswith("recli ")
    assert took.seconds > 0
    assert took.peak_mb > 5
    with pytest.raises(Failed, match="exit code 2: recli --no-such-option"):
        datasets.measured(["--no-such-option"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["data", "nowhere"], "no such data set: nowhere"),
        (["data", "--rows", "als,nobody"], "no such row: nobody"),
    ],
)
def test_unknown_names_are_refused(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["datasets.py", *arguments])
    with pytest.raises(SystemExit) as stop:
        datasets.main()
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_both_rankings_list_the_same(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--users", "30", "--items", "400", "--factors", "8", "--rounds", "2", "-k", "7"]
    monkeypatch.setattr("sys.argv", ["recommend_speed.py", *options])
    recommend_speed.main()
    row = capsys.readouterr().out.splitlines()[-1].split("|")
    assert row[1].strip() == "8" and row[-2].strip() == "100.0000%"
    given = recommend_speed.work(30, 400, 8)
    listed = recommend_speed.by_recli(given, 7)
    assert listed.shape == (30, 7)
    scores = given.users @ given.items.T
    assert not np.take_along_axis(given.seen.toarray(), listed, axis=1).any()
    scores[given.seen.toarray() > 0] = -np.inf
    assert np.array_equal(listed[:, 0], scores.argmax(axis=1))


def test_every_model_of_a_run_is_timed(
    board_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("popularity", "item-knn"):
        recli.train_cf(board_run, algorithm=name)
    capsys.readouterr()
    options = ["--run", str(board_run), "--most", "7", "--rounds", "1", "-k", "3"]
    monkeypatch.setattr("sys.argv", ["recommend_speed.py", *options])
    recommend_speed.main()
    rows = [[cell.strip() for cell in line.split("|")] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[1:5] for row in rows] == [
        ["item-knn", "item-knn", "30", "7"],
        ["popularity", "popularity", "30", "7"],
    ]
    assert all(float(row[5]) > 0 for row in rows)
