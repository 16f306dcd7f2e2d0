"""The benchmarks of training print what was measured. Nothing is timed here."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks import ials_speed, train_speed
from scipy.sparse import csr_matrix


def small() -> csr_matrix:
    """Two blocks of users who share half of their block's items, float32 (60, 40)."""
    rng = np.random.default_rng(0)
    block = (np.arange(60)[:, None] % 2 == np.arange(40) % 2) & (rng.random((60, 40)) < 0.5)
    return csr_matrix(block.astype(np.float32))


def rows(printed: str) -> list[list[str]]:
    """The cells of the tables' rows, without their heads."""
    lines = [line for line in printed.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_the_loss_is_that_of_the_definition() -> None:
    given, rng = small(), np.random.default_rng(1)
    users, items = (rng.normal(size=(n, 3)).astype(np.float32) for n in given.shape)
    dense, scores = given.toarray(), users.astype(np.float64) @ items.T
    weights = np.where(dense > 0, ials_speed.ALPHA, 1.0)
    expected = (weights * (dense - scores) ** 2).sum()
    expected += ials_speed.REGULARIZATION * float((users**2).sum() + (items**2).sum())
    found = ials_speed.loss_of(given)(users, items)
    assert found == pytest.approx(expected / (ials_speed.ALPHA * given.nnz), rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "torch"])
def test_both_come_down_to_one_loss(
    device: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ials_speed, "REGULARIZATION", 2.0)
    ials_speed.compare(small(), 2, rounds=2, iterations=200, device=device)
    printed = capsys.readouterr().out
    _, *curves = rows(printed)
    assert [row[:2] for row in curves] == [["2", str(n)] for n in range(1, 201)]
    for column in (3, 5):
        losses = [float(row[column]) for row in curves]
        assert losses == sorted(losses, reverse=True)
        assert losses[-1] < 0.07
    assert float(curves[-1][3]) == pytest.approx(float(curves[-1][5]), rel=1e-4)
    assert re.search(r"2 factors: to the loss 0\.\d+ ials takes .* times; product ", printed)


def test_a_curve_leaves_the_loss_out_and_is_read_between_iterations() -> None:
    now = iter([10.0, 11.0, 14.0, 15.5, 19.0])
    losses = iter([0.9, 0.5])
    curve = ials_speed.Curve(lambda users, items: next(losses), lambda: next(now)).start()
    for _ in range(2):
        curve.note(lambda: (None, None))
    assert curve.seconds == [1.0, 2.5]  # 11 - 10, 15.5 - 10 - (14 - 11)
    assert curve.seconds_to(0.7) == pytest.approx(1.75)  # half way from .9 to .5


def test_a_missing_gpu_is_said(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    from recli.compute import devices

    def missing() -> Any:
        return "no NVIDIA driver was found", "use --device cpu"

    monkeypatch.setattr(devices, "gpu_problem", missing)
    monkeypatch.setattr("sys.argv", ["ials_speed.py", "--device", "cuda"])
    with pytest.raises(SystemExit) as stop:
        ials_speed.main()
    assert stop.value.code == 5
    assert "no NVIDIA driver was found" in capsys.readouterr().err


@pytest.mark.slow
def test_als_is_set_beside_implicit_and_what_is_outside_its_fit_is_told(
    capsys: pytest.CaptureFixture[str],
) -> None:
    train_speed.print_als(small(), [4], [1, 2], rounds=2, run=None)
    _, *table = rows(capsys.readouterr().out)
    assert [row[:2] for row in table] == [["4", "1"], ["4", "2"]]
    took, outside = train_speed.als_by_recli(small(), 4, 1)
    assert 0 < outside < took  # implicit's fit was called, and is not all


@pytest.mark.slow
def test_the_command_is_measured_on_a_copy(board_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    train_speed.print_command(board_run, [4], [1], rounds=1)
    (_, row) = rows(capsys.readouterr().out)
    assert row[0] == "`recli train-cf RUN --quiet --algorithm als --factors 4 --threads 1`"
    assert float(row[1]) > 0 and float(row[3]) > 20
    assert not (board_run / "models").exists()


@pytest.mark.slow
def test_a_closed_form_runs_beside_its_peer(capsys: pytest.CaptureFixture[str]) -> None:
    train_speed.print_closed(small(), ["item-knn"], [1], rounds=1, peers=True)
    _, row = rows(capsys.readouterr().out)
    assert row[:2] == ["item-knn", "1"] and row[5] == "sklearn"
    assert all(float(row[at]) >= 0 for at in (2, 3, 6, 7)) and float(row[4]) > 20


@pytest.mark.slow
@pytest.mark.parametrize("name", list(train_speed.CASES))
def test_every_case_and_its_peer_run(name: str) -> None:
    case = replace(train_speed.CASES[name], items=20)
    matrix = train_speed.popular(small(), case.items)
    assert matrix.shape == (60, 20)
    assert matrix.getnnz(axis=0).min() >= np.sort(small().getnnz(axis=0))[-20]  # the most popular stayed
    case = replace(case, options={k: min(v, 5) for k, v in case.options.items()}, width=min(case.width, 5))
    train_speed.closed_by_recli(case, matrix, 1)
    if case.peer:
        train_speed.closed_by_peer(case, matrix, 1)
