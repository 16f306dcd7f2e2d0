"""The benchmark of prepare: the same events by all sides, of the same log in any format; medians and ratios."""

import json
from pathlib import Path

import polars as pl
import pytest
from benchmarks import prepare_log, prepare_peers, prepare_speed
from benchmarks.prepare_speed import Took


def test_the_log_is_the_same_in_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare_log, "CHUNK", 1000)  # three chunks
    for name in ("log.csv.gz", "log.jsonl"):
        prepare_log.write(tmp_path / name, 2500)
    log = pl.read_csv(tmp_path / "log.csv.gz")
    assert log.equals(pl.read_ndjson(tmp_path / "log.jsonl"))
    assert log.columns == ["user_id", "item_id", "rating", "timestamp"]
    assert log.height == 2500
    assert log["timestamp"].is_sorted()
    assert log["user_id"].n_unique() <= 25 and log.select("user_id", "item_id").n_unique() < 2500


@pytest.mark.slow
def test_all_sides_come_to_the_same_events(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [
        "--sizes",
        "3k",
        "--formats",
        "csv.gz,jsonl",
        "--sides",
        "recli,polars,packed,scan",
        "--rounds",
        "1",
    ]
    notes, plot = tmp_path / "notes.jsonl", tmp_path / "plot.png"
    monkeypatch.setattr("sys.argv", ["x", *options, "--notes", str(notes), "--plot", str(plot)])
    prepare_speed.main()
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines()[2:]]
    assert [(n.strip(), f.strip(), s.strip()) for n, f, s, *_ in rows] == [
        ("3,000", form, side)
        for form in ("csv.gz", "jsonl")
        for side in ("recli", "polars", "packed", "scan")
    ]
    assert [bool(ratio.strip()) for *_, ratio in rows] == [False, True, True, False] * 2
    assert len(notes.read_text().splitlines()) == 8
    assert plot.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_other_events_than_the_others_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = iter([{"train": [5, 100]}, {"train": [5, 101]}])
    monkeypatch.setattr(prepare_speed, "figures", lambda side, out: next(found))
    options = ["--sizes", "1k", "--formats", "csv.gz", "--sides", "recli,polars", "--folder", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["x", *options, "--rounds", "1"])
    with pytest.raises(SystemExit, match="they do not come to the same events"):
        prepare_speed.main()


@pytest.mark.slow
def test_a_side_above_the_memory_is_stopped_and_not_tried_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ["--sizes", "1k,2k", "--formats", "csv.gz", "--sides", "polars", "--memory", "0.00001"]
    monkeypatch.setattr("sys.argv", ["x", *options, "--rounds", "1", "--folder", str(tmp_path)])
    prepare_speed.main()
    (row,) = capsys.readouterr().out.splitlines()[2:]
    assert row.startswith("| 1,000 | csv.gz | polars |  |  | over ")


def test_figures_are_medians_and_ratios_are_recli_s(capsys: pytest.CaptureFixture[str]) -> None:
    made = [Took(10, "csv.gz", "recli", cpu, 3.0, 2.0, False) for cpu in (9.0, 1.0, 2.0)]
    made.append(Took(10, "csv.gz", "polars", 4.0, 2.0, 8.0, False))
    prepare_speed.table(prepare_speed.medians(made))
    assert capsys.readouterr().out.splitlines()[2:] == [
        "| 10 | csv.gz | recli | 2.0 | 3.0 | 2.00 |  |  |  |",
        "| 10 | csv.gz | polars | 4.0 | 2.0 | 8.00 | 0.50 | 1.50 | 0.25 |",  # 2 / 4, 3 / 2, 2 / 8
    ]


def test_times_of_either_unit_are_one_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, factor in {"train": 1, "validation": 1_000_000, "test": 1}.items():
        times = [(1_600_000_000 + n) * factor for n in (5, 7)]
        pl.DataFrame({"timestamp": times}).write_parquet(tmp_path / f"{name}.parquet")
    prepare_peers.figures(tmp_path)
    assert json.loads(capsys.readouterr().out) == {name: [2, 12] for name in ("train", "validation", "test")}
