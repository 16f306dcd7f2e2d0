"""The benchmark of the whole pipeline: every step of every checkout, and what a step that fails takes with it."""

import sys
from pathlib import Path

import pytest
from benchmarks import pipeline_speed
from benchmarks.pipeline_speed import Spent

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_steps_follow_each_other_and_are_profiled(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--synthetic", "60,40,800", "--steps", "prepare,train-cf,evaluate,recommend", "--profile", "2"]
    monkeypatch.setattr(sys, "argv", ["x", *options])
    pipeline_speed.main()
    lines = capsys.readouterr().out.splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines[2:6]]
    assert [row[0] for row in rows] == ["prepare", "train-cf", "evaluate", "recommend"]
    assert all(float(cell) > 0 for row in rows for cell in row[1:])
    assert [line for line in lines[6:] if line and not line.startswith(" ")] == [row[0] for row in rows]
    named = [line.split()[-1] for line in lines[6:] if line.startswith(" ")]
    assert len(named) == 8 and {"steps.train_cf.step.train_cf", "steps.evaluate.step.evaluate"} < set(named)


def test_what_fails_is_left_out_with_what_needs_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[tuple[str, str]] = []

    def spent(code: Path, given: list[str], limit: float) -> Spent | None:
        asked.append((code.name, given[0]))
        assert limit == 7.5
        if given[0] == "prepare":
            assert given[1:4] == [str(tmp_path / "log.csv"), "--test-file", str(tmp_path / "test.csv")]
        return None if given[0] == "train-cf" and code.name == "old" else Spent(2.0, 1.0, 300.0)

    monkeypatch.setattr(pipeline_speed, "spent", spent)
    for name in ("new", "old"):
        (tmp_path / name).mkdir()
    codes = ["--code", str(tmp_path / "new"), "--code", str(tmp_path / "old")]
    given = ["--test-file", str(tmp_path / "test.csv"), "--limit", "7.5"]
    monkeypatch.setattr(sys, "argv", ["x", str(tmp_path / "log.csv"), *given, *codes])
    pipeline_speed.main()
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [[c.strip() for c in row[4:]] for row in rows] == [
        ["2.0", "1.0", "300", "1.00"],
        ["", "", "", ""],
        ["2.0", "1.0", "300", "1.00"],  # train-hybrid needs no other model
        ["", "", "", ""],
        ["", "", "", ""],
    ]
    assert ("old", "evaluate") not in asked and ("new", "evaluate") in asked


@pytest.mark.slow
def test_a_step_over_its_limit_is_stopped(tmp_path: Path) -> None:
    assert pipeline_speed.spent(ROOT, ["--help"], 60.0) is not None
    assert pipeline_speed.spent(ROOT, ["--help"], 0.0) is None
    assert pipeline_speed.spent(ROOT, ["prepare", str(tmp_path / "none.csv")], 60.0) is None
