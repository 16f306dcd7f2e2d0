"""The tables of sizes and of approximate lists say what was measured. No time is asserted."""

from pathlib import Path

import pytest
from benchmarks import ann_speed, size


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_each_algorithm_is_stored_in_each_format(
    board_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sorted(p.name for p in board_run.iterdir())
    size.table(board_run, ["gf-cf", "item-knn"], 1, 20, tmp_path)
    header, _, *rows = capsys.readouterr().out.splitlines()
    assert tuple(cells(header)) == size.COLUMNS
    found = [dict(zip(size.COLUMNS, cells(row), strict=True)) for row in rows]
    assert [(f["algorithm"], f["stored as"]) for f in found] == [
        (name, dtype) for name in ("gf-cf", "item-knn") for dtype in size.DTYPES
    ]
    exact = found[0]
    assert (exact["share"], exact["lost"], exact["same"]) == ("1.000", "0.00%", "1.000")
    assert all(float(f["same"]) > 0.9 and float(f["share"]) <= 1 for f in found)
    assert sorted(p.name for p in board_run.iterdir()) == before  # nothing is written into the run


def test_approximate_lists_are_compared_with_exact_ones(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("faiss")
    ann_speed.table([4000], 8, 60, [0.5, 0.999], 1)
    header, _, one, other = capsys.readouterr().out.splitlines()
    assert tuple(cells(header)) == ann_speed.COLUMNS
    found = dict(zip(ann_speed.COLUMNS, cells(one), strict=True))
    assert found["items"] == "4,000" and found["lists searched"].endswith(" of 252")  # 4 sqrt(4000)
    assert 0.5 <= float(found["recall@20"]) <= 1
    assert cells(other)[2] == "not reached" or float(cells(other)[3]) >= 0.999
    assert len(cells(other)) == len(ann_speed.COLUMNS)


def test_histories_are_what_users_are_made_of_and_is_masked() -> None:
    given = ann_speed.work(2000, 10, 4)
    assert given.items.shape == (2000, 4) and given.users.shape == (10, 4)
    assert (given.seen.getnnz(axis=1) >= 5).all()
    mine = given.seen[3].indices
    assert abs(given.users[3] - given.items[mine].sum(axis=0)).max() < 1e-4
