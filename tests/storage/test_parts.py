"""Parts are written whole or not at all, and what is read is what was written."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import edit_manifest

from recli import schema
from recli.data.history import History
from recli.data.interactions import Interactions
from recli.errors import RecliError
from recli.models.base import Training, algorithms
from recli.storage import atomic, exchange, parts, runs


def write_numbers(path: Path, numbers: list[int]) -> None:
    with parts.write_part(path, "numbers", {"n": len(numbers)}) as writer:
        writer.table("numbers", pl.DataFrame({"x": numbers}))
        writer.tensors("squares", {"squares": np.array(numbers, dtype=np.float32) ** 2})


def read_numbers(path: Path) -> list[int]:
    return parts.open_part(path, "numbers").table("numbers")["x"].to_list()


def hidden(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.name.startswith(".")]


def test_a_part_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_numbers(tmp_path / "part", [1, 2, 3])
    part = parts.open_part(tmp_path / "part", "numbers")
    assert part.config == {"n": 3}
    assert part.table("numbers")["x"].to_list() == [1, 2, 3]
    assert part.tensors("squares")["squares"].tolist() == [1, 4, 9]
    assert hidden(tmp_path) == []


def test_the_same_content_gives_the_same_bytes_and_no_trace_of_the_machine(tmp_path: Path) -> None:
    write_numbers(tmp_path / "a" / "part", [1, 2])
    write_numbers(tmp_path / "b" / "part", [1, 2])
    names = sorted(p.name for p in (tmp_path / "a" / "part").iterdir())
    assert names == ["manifest.json", "numbers.parquet", "squares.safetensors"]
    for name in names:
        assert (tmp_path / "a/part" / name).read_bytes() == (tmp_path / "b/part" / name).read_bytes()
    assert str(tmp_path) not in (tmp_path / "a/part/manifest.json").read_text()


def test_files_have_the_modes_that_the_umask_leaves(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_numbers(tmp_path / "part", [1])
    finally:
        os.umask(before)
    assert {p.stat().st_mode & 0o777 for p in (tmp_path / "part").iterdir()} == {0o640}


def test_arrays_that_are_not_contiguous_are_stored_right(tmp_path: Path) -> None:
    matrix = np.arange(6, dtype=np.float32).reshape(2, 3)
    with parts.write_part(tmp_path / "part", "numbers", {}) as writer:
        writer.tensors("m", {"transposed": matrix.T, "strided": matrix[:, ::2]})
    found = parts.open_part(tmp_path / "part", "numbers").tensors("m")
    assert found["transposed"].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert found["strided"].tolist() == [[0, 2], [3, 5]]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, SystemExit])
def test_a_failure_while_writing_leaves_the_previous_part(tmp_path: Path, error: type[BaseException]) -> None:
    write_numbers(tmp_path / "part", [1])
    with pytest.raises(error), parts.write_part(tmp_path / "part", "numbers", {}) as writer:
        writer.table("numbers", pl.DataFrame({"x": [9]}))
        raise error
    assert read_numbers(tmp_path / "part") == [1]
    assert hidden(tmp_path) == []


def test_a_kill_between_the_two_renames_is_undone(tmp_path: Path) -> None:
    write_numbers(tmp_path / "part", [1])
    (tmp_path / "part").rename(tmp_path / ".part.old")
    assert read_numbers(tmp_path / "part") == [1]


def test_what_a_killed_writer_left_is_removed_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    """Process numbers say nothing: in another container they are of other processes."""
    (tmp_path / ".part.1.tmp").mkdir()  # of an earlier version, which named folders by process
    (tmp_path / ".part.0badcafe.tmp").mkdir()
    with atomic.temporary_folder(tmp_path / "part") as living:
        in_another_process(f"write_numbers({str(tmp_path / 'part')!r})")
        assert hidden(tmp_path) == [living.name]
    assert hidden(tmp_path) == []


def in_another_process(call: str, prelude: str = "") -> subprocess.CompletedProcess[str]:
    """Run `write_numbers(path)` or `read_numbers(path)` of a process of its own."""
    script = f"""
        import polars as pl
        from recli.storage import exchange, locks, parts
        def write_numbers(path, n=1):
            with parts.write_part(path, "numbers", {{"n": n}}) as writer:
                writer.table("numbers", pl.DataFrame({{"x": list(range(n))}}))
        {prelude}
        {call}
    """
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True, check=True
    )


@pytest.mark.parametrize("exchange_is_there", [True, False])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_exchange_waits_for_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, exchange_is_there: bool
) -> None:
    write_numbers(tmp_path / "part", [1])
    name = "_exchange" if exchange_is_there else "remove"
    before = getattr(exchange, name)

    def interrupted(*paths: Path) -> Any:
        os.kill(os.getpid(), number)
        return before(*paths)

    monkeypatch.setattr(exchange, name, interrupted)
    if not exchange_is_there:
        monkeypatch.setattr(exchange, "_exchange", lambda one, other: False)
    handler = signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)):
            write_numbers(tmp_path / "part", [2])
    finally:
        signal.signal(signal.SIGTERM, handler)
    monkeypatch.undo()
    assert read_numbers(tmp_path / "part") == [2]
    assert hidden(tmp_path) == []


def test_missing_foreign_newer_and_broken_parts_say_so(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with pytest.raises(RecliError, match="there is no interactions part") as missing:
        runs.read_interactions(run)
    assert missing.value.fix == f"make it with: recli prepare LOG --out {run}"
    write_numbers(tmp_path / "part", [1])
    with pytest.raises(RecliError, match="of kind 'numbers', not 'models'"):
        parts.open_part(tmp_path / "part", "models")
    manifest = tmp_path / "part" / "manifest.json"
    newer = json.loads(manifest.read_text()) | {"format": schema.FORMAT + 1}
    manifest.write_text(json.dumps(newer))
    with pytest.raises(RecliError, match="newer than this recli") as version:
        parts.open_part(tmp_path / "part", "numbers")
    assert version.value.fix == "upgrade recli"
    for broken in ("", "{", "[]", '{"kind": "numbers"}', "\x00"):
        manifest.write_text(broken)
        with pytest.raises(RecliError, match=r"manifest\.json is not a manifest"):
            parts.open_part(tmp_path / "part", "numbers")


@pytest.mark.parametrize("name", ["numbers.parquet", "squares.safetensors"])
def test_truncated_changed_and_missing_files_are_refused(tmp_path: Path, name: str) -> None:
    write_numbers(tmp_path / "part", list(range(50)))
    part = parts.open_part(tmp_path / "part", "numbers")
    file = tmp_path / "part" / name
    whole = file.read_bytes()

    def read() -> None:
        part.table("numbers")
        part.tensors("squares")

    read()
    flipped = whole[:60] + bytes([whole[60] ^ 1]) + whole[61:]
    for damaged in (whole[:-7], flipped, b""):
        file.write_bytes(damaged)
        with pytest.raises(RecliError, match=f"{name} is not what was written"):
            read()
    file.unlink()
    with pytest.raises(RecliError, match=f"{name} is missing"):
        read()


def test_a_truncated_file_with_a_matching_hash_is_still_one_line(tmp_path: Path) -> None:
    for name in ("numbers.parquet", "squares.safetensors"):
        write_numbers(tmp_path / "part", [1, 2])
        file = tmp_path / "part" / name
        file.write_bytes(file.read_bytes()[:-7])
        sha256 = atomic.sha256_file(file)
        edit_manifest(
            tmp_path / "part", lambda m, name=name, sha256=sha256: m["files"].update({name: sha256})
        )
        part = parts.open_part(tmp_path / "part", "numbers")
        with pytest.raises(RecliError, match="cannot be read") as error:
            part.table("numbers") and part.tensors("squares") if "parquet" in name else part.tensors(
                "squares"
            )
        assert "\n" not in error.value.what


def test_interactions_survive_the_disk(board: Interactions, board_run: Path) -> None:
    found = runs.read_interactions(board_run)
    assert found.users.equals(board.users)
    assert found.items.equals(board.items)
    for name in schema.SPLITS:
        assert found.splits[name].equals(board.splits[name])
    catalogue = runs.read_catalogue(board_run)
    assert catalogue is not None
    assert catalogue["title"][3] == "Title 3"
    assert (
        found.seen() != board.matrix("train") + board.matrix("validation") + board.matrix("history")
    ).nnz == 0


def save_popularity(run: Path, name: str = "popularity") -> Path:
    interactions = runs.read_interactions(run)
    algorithm = algorithms["popularity"]
    model = algorithm.fit(algorithm.config(), Training(interactions.matrix("train")))
    return runs.write_model(run, name, "popularity", {"count": "users"}, model, seed=0)


def test_a_model_is_self_contained(board_run: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere" / "model"
    shutil.copytree(save_popularity(board_run), copy)
    shutil.rmtree(board_run)
    stored = runs.read_model(copy)
    assert stored.algorithm == "popularity"
    assert stored.trained_on == ("train",)
    assert stored.interactions.n_items == 30
    assert stored.catalogue is not None and stored.catalogue.columns == ["title", "block", "year"]
    scores = stored.model.score(History(stored.interactions.history().values[:2]))
    counts = stored.interactions.matrix("train").getnnz(axis=0)
    assert scores.tolist() == [counts.tolist()] * 2


def test_preparing_again_does_not_change_a_model_and_makes_it_foreign(
    board_run: Path, board: Interactions
) -> None:
    part = parts.open_part(save_popularity(board_run), schema.MODELS)
    fewer = Interactions(board.users, board.items, {**board.splits, "test": board.splits["test"].head(3)})
    runs.write_interactions(board_run, fewer, {"seed": 1}, {})
    assert runs.read_model(part.path).interactions.splits["test"].height == board.splits["test"].height
    now = runs.read_interactions(board_run).sha256
    with pytest.raises(RecliError, match="made from other interactions") as error:
        parts.check_same_input(part, schema.INTERACTIONS, now, "recli train-cf run")
    assert error.value.fix == "make it again: recli train-cf run"


def test_names_of_parts_leave_out_what_is_not_finished(board_run: Path) -> None:
    save_popularity(board_run, "b")
    save_popularity(board_run, "a")
    (board_run / "models" / "half").mkdir()
    (board_run / "models" / ".c.1.tmp").mkdir()
    assert parts.part_names(board_run, schema.MODELS) == ["a", "b"]
    assert parts.part_names(board_run, schema.EMBEDDINGS) == []


@pytest.mark.parametrize("kind", ["table", "lazy", "tensors"])
def test_a_full_disk_is_one_line_and_the_previous_part_stays(tmp_path: Path, kind: str) -> None:
    """A limit on the size of files stands for the disk: the kernel refuses the write in the same place."""
    write_numbers(tmp_path / "part", [1])
    write = {
        "table": "writer.table('t', pl.DataFrame({'x': x}))",
        "lazy": "writer.table('t', pl.DataFrame({'x': x}).lazy())",
        "tensors": "writer.tensors('t', {'x': x})",
    }[kind]
    script = f"""
        import signal, numpy as np, polars as pl
        from recli.storage import parts
        from recli.cli.console import Console
        from recli.cli.options import guarded
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        x = np.random.default_rng(0).random(200_000)
        def work():
            with parts.write_part({str(tmp_path / "part")!r}, "numbers", {{}}) as writer:
                {write}
        import typer
        try:
            guarded(work, Console())
        except typer.Exit as stop:
            raise SystemExit(stop.exit_code)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert f"{tmp_path}: the file size limit is reached; earlier results are untouched" in done.stderr
    assert "Traceback" not in done.stderr
    assert read_numbers(tmp_path / "part") == [1]
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("to", [("--save",), ("--out", "lists.parquet"), ("--out", "lists.csv")])
def test_a_full_disk_while_lists_are_written_is_one_line(board_run: Path, to: tuple[str, ...]) -> None:
    save_popularity(board_run)
    done = subprocess.run(
        [sys.executable, "-m", "recli", "recommend", "run", "-k", "20", "-q", *to],
        cwd=board_run.parent,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert "the file size limit is reached; earlier results are untouched" in " ".join(done.stderr.split())
    assert hidden(board_run) == hidden(board_run.parent) == []
    assert not (board_run / "recommendations").exists()


def test_a_link_stays_a_link_and_a_pipe_is_written_to_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real.txt")
    with atomic.write_file(tmp_path / "link") as made:
        made.write_text("whole")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real.txt").read_text() == "whole"

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with atomic.write_file(pipe) as made:
        made.write_text("through")
    assert os.read(reader, 100) == b"through"
    os.close(reader)
    assert pipe.is_fifo()  # as root, /dev/null would be gone otherwise
    assert sorted(p.name for p in tmp_path.iterdir()) == ["link", "pipe", "real.txt"]
