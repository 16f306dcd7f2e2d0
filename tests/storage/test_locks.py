"""One writer at a time; readers find the old part or the new one; what a killed writer left is undone."""

import os
import platform
import shutil
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import edit_manifest

from recli import schema
from recli.errors import RecliError
from recli.storage import exchange, locks, parts, runs


def write_numbers(path: Path, numbers: list[int]) -> bool:
    """Write a part; whether it was there already."""
    with parts.write_part(path, "numbers", {"n": len(numbers)}) as writer:
        writer.table("numbers", pl.DataFrame({"x": numbers}))
        writer.table("squares", pl.DataFrame({"x": [n * n for n in numbers]}))
    return writer.unchanged


def read_numbers(path: Path) -> list[int]:
    return parts.open_part(path, "numbers").table("numbers")["x"].to_list()


def hidden(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if p.name.startswith("."))


@pytest.fixture
def by_renames(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that cannot exchange two names in one step."""
    monkeypatch.setattr(exchange, "_exchange", lambda one, other: False)


@pytest.fixture
def other_writer(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes tmp_path/part, until its stdin ends."""
    script = f"""
        import sys
        from recli.storage import parts
        with parts.write_part({str(tmp_path / "part")!r}, "numbers", {{}}):
            print("writing", flush=True)
            sys.stdin.read()
    """
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stdout.readline() == "writing\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


def test_a_second_writer_waits_and_says_for_whom(
    tmp_path: Path, other_writer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    with pytest.raises(RecliError, match="is being written by recli on") as error:
        write_numbers(tmp_path / "part", [1])
    assert f"{platform.node()} (pid {other_writer.pid})" in error.value.what
    assert error.value.fix == "wait for its end, or stop it"
    monkeypatch.setattr(locks, "PATIENCE", 60)
    threading.Timer(0.2, other_writer.stdin.close).start()
    write_numbers(tmp_path / "part", [1])
    assert read_numbers(tmp_path / "part") == [1] and hidden(tmp_path) == []


def test_a_killed_writer_holds_nothing(tmp_path: Path, other_writer: Any) -> None:
    other_writer.kill()
    other_writer.wait()
    assert len(hidden(tmp_path)) == 2  # its folder and its lock
    write_numbers(tmp_path / "part", [1])
    assert hidden(tmp_path) == []


def test_without_locks_writers_do_not_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Network mounts without locks, Windows: folders have random names, and only old ones count as abandoned."""
    monkeypatch.setattr(locks, "_module", lambda: None)
    for name, age in ((".part.0.tmp", 0), (".part.1.tmp", 2 * 86400)):
        (tmp_path / name).mkdir()
        then = (tmp_path / name).stat().st_mtime - age
        os.utime(tmp_path / name, (then, then))
    with parts.write_part(tmp_path / "part", "numbers", {}) as one:
        one.table("numbers", pl.DataFrame({"x": [1]}))
        write_numbers(tmp_path / "part", [2])
    assert read_numbers(tmp_path / "part") == [1]
    assert hidden(tmp_path) == [".part.0.tmp"]


@pytest.mark.parametrize("in_one_step", [True, False])
def test_readers_never_find_a_damaged_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_one_step: bool
) -> None:
    if not in_one_step:
        monkeypatch.setattr(exchange, "_exchange", lambda one, other: False)
    write_numbers(tmp_path / "part", [0])
    stop = threading.Event()

    def write() -> None:
        n = 0
        while not stop.is_set():
            n += 1
            write_numbers(tmp_path / "part", [n])

    @parts.again_if_replaced
    def read() -> tuple[list[int], list[int]]:
        part = parts.open_part(tmp_path / "part", "numbers")
        return part.table("numbers")["x"].to_list(), part.table("squares")["x"].to_list()

    writer = threading.Thread(target=write)
    writer.start()
    found = set()
    try:
        for _ in range(100):
            try:
                numbers, squares = read()
            except parts.PartReplaced:
                continue  # too often in a row: said, not taken for damage
            assert squares == [n * n for n in numbers]
            found.add(numbers[0])
            assert parts.part_names(tmp_path.parent, tmp_path.name) == ["part"]
    finally:
        stop.set()
        writer.join()
    assert len(found) > 1


def test_a_part_replaced_while_it_is_read_is_called_so(tmp_path: Path) -> None:
    write_numbers(tmp_path / "part", [1])
    part = parts.open_part(tmp_path / "part", "numbers")
    write_numbers(tmp_path / "part", [2])
    with pytest.raises(parts.PartReplaced, match="was replaced or removed while it was read") as error:
        part.table("numbers")
    assert error.value.fix == "run the command again"
    part = parts.open_part(tmp_path / "part", "numbers")
    with pytest.raises(parts.PartReplaced), part.opened("numbers.parquet"):
        write_numbers(tmp_path / "part", [3])


def save_popularity(run: Path, name: str) -> None:
    from recli.models.base import Training, algorithms

    algorithm = algorithms["popularity"]
    training = Training(runs.read_interactions(run).matrix("train"))
    model = algorithm.fit(algorithm.config(), training)
    runs.write_model(run, name, "popularity", {"count": "users"}, model, seed=0)


def test_a_kill_between_two_renames_is_undone_where_parts_are_listed(board_run: Path) -> None:
    """Else the lists would come from another model, without a word."""
    for name in ("a", "b"):
        save_popularity(board_run, name)
    models = board_run / "models"
    (models / "b").rename(models / ".b.old")
    assert parts.part_names(board_run, schema.MODELS) == ["a", "b"]
    assert runs.read_model(models / "b").name == "b" and hidden(models) == []
    (models / "b").rename(models / ".b.old")
    with locks.writing(models / "b"):  # a living writer is between the two renames
        assert parts.part_names(board_run, schema.MODELS) == ["a", "b"]
        assert (models / ".b.old").is_dir()


def test_what_a_kill_after_two_renames_left_is_not_taken_back(tmp_path: Path) -> None:
    write_numbers(tmp_path / "part", [1])
    shutil.copytree(tmp_path / "part", tmp_path / ".part.old")
    write_numbers(tmp_path / "part", [2])
    assert read_numbers(tmp_path / "part") == [2] and hidden(tmp_path) == []


@pytest.mark.usefixtures("by_renames")
def test_two_renames_do_where_names_cannot_be_exchanged(tmp_path: Path) -> None:
    for numbers in ([1], [2], [3]):
        write_numbers(tmp_path / "part", numbers)
        assert read_numbers(tmp_path / "part") == numbers
    assert hidden(tmp_path) == []


def test_a_part_that_would_not_change_is_left_alone(tmp_path: Path) -> None:
    assert not write_numbers(tmp_path / "part", [1, 2])
    before = {p: p.stat() for p in (tmp_path / "part", *(tmp_path / "part").iterdir())}
    assert write_numbers(tmp_path / "part", [1, 2])
    for path, then in before.items():
        assert (path.stat().st_ino, path.stat().st_mtime_ns) == (then.st_ino, then.st_mtime_ns)
    (tmp_path / "part" / "numbers.parquet").write_bytes(b"damaged")
    assert not write_numbers(tmp_path / "part", [1, 2])
    assert read_numbers(tmp_path / "part") == [1, 2]


def test_whether_a_part_is_made_of_this(tmp_path: Path) -> None:
    path, inputs = tmp_path / "part", {"log/a.csv": "0" * 64}
    with parts.write_part(path, "numbers", {"sizes": (1, 2)}, inputs) as writer:
        writer.text("numbers.txt", "1\n")
    assert parts.unchanged(path, "numbers", {"sizes": (1, 2)}, inputs)
    assert not parts.unchanged(path, "numbers", {"sizes": (1, 3)}, inputs)
    assert not parts.unchanged(path, "numbers", {"sizes": (1, 2)}, {"log/a.csv": "1" * 64})
    assert not parts.unchanged(tmp_path / "none", "numbers", {}, {})
    edit_manifest(path, lambda m: m.update(recli="0.0.1"))
    assert not parts.unchanged(path, "numbers", {"sizes": (1, 2)}, inputs)
    (path / "numbers.txt").write_text("2\n")
    assert not parts.unchanged(path, "numbers", {"sizes": (1, 2)}, inputs)


@pytest.mark.parametrize("in_one_step", [True, False])
def test_a_linked_part_is_read_through_and_its_link_replaced(
    board_run: Path, monkeypatch: pytest.MonkeyPatch, in_one_step: bool
) -> None:
    """DVC links folders, git-annex files: both belong to the other tool."""
    if not in_one_step:
        monkeypatch.setattr(exchange, "_exchange", lambda one, other: False)
    save_popularity(board_run, "a")
    model, elsewhere = board_run / "models" / "a", board_run.parent / "cache"
    model.rename(elsewhere)
    model.symlink_to(elsewhere)
    before = {p.name: p.read_bytes() for p in elsewhere.iterdir()}
    assert runs.read_model(model).name == "a"
    save_popularity(board_run, "a")
    assert model.is_symlink()  # nothing changed
    edit_manifest(elsewhere, lambda m: m.update(summary={"other": 1}))
    before["manifest.json"] = (elsewhere / "manifest.json").read_bytes()
    save_popularity(board_run, "a")
    assert model.is_dir() and not model.is_symlink()
    assert {p.name: p.read_bytes() for p in elsewhere.iterdir()} == before
    assert hidden(board_run / "models") == []


@pytest.mark.parametrize("linked", ["folder", "files"])
def test_what_is_behind_a_link_is_copied_into_new_parts(board_run: Path, linked: str) -> None:
    interactions, elsewhere = board_run / "interactions", board_run.parent / "annex"
    interactions.rename(elsewhere)
    if linked == "folder":
        interactions.symlink_to(elsewhere)
    else:
        interactions.mkdir()
        for file in elsewhere.iterdir():
            (interactions / file.name).symlink_to(file)
    save_popularity(board_run, "a")
    copies = [p for p in (board_run / "models" / "a").iterdir() if p.suffix == ".parquet"]
    assert len(copies) > 3
    assert all(p.stat().st_nlink == 1 and not p.is_symlink() for p in copies)


def test_a_link_to_nothing_says_so(board_run: Path) -> None:
    save_popularity(board_run, "a")
    file = board_run / "models" / "a" / "train.parquet"
    file.unlink()
    file.symlink_to("../../gone")
    with pytest.raises(RecliError, match=r"train\.parquet is missing: it is a link to \.\./\.\./gone"):
        runs.read_model(file.parent)
    (board_run / "models" / "b").symlink_to("../gone")
    assert parts.part_names(board_run, schema.MODELS) == ["a", "b"]
    with pytest.raises(RecliError, match=r"models/b is a link to \.\./gone, which is not there"):
        runs.read_model(board_run / "models" / "b")


def test_what_is_no_part_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    write_numbers(tmp_path / "part", [1])  # an empty folder may be
    (tmp_path / "part" / "manifest.json").unlink()
    with pytest.raises(RecliError, match=r"is not a part of a run .* would be replaced"):
        write_numbers(tmp_path / "part", [2])
    assert (tmp_path / "part" / "numbers.parquet").exists()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(RecliError, match="is a file, and in the way"):
        write_numbers(tmp_path / "file", [2])
    assert (tmp_path / "file").read_text() == "mine" and hidden(tmp_path) == []
