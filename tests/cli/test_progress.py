"""Progress: bars on a terminal, lines elsewhere; words are never cut."""

import io
import os
import pty
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console as RichConsole

from recli.cli import progress
from recli.cli.console import Console, column_blocks

Recli = Callable[..., tuple[int, str, str]]


def screen(width: int = 80) -> tuple[Console, io.StringIO]:
    console, text = Console(), io.StringIO()
    console._rich = RichConsole(
        file=text, force_terminal=True, width=width, soft_wrap=True, color_system=None
    )
    return console, text


def plain(text: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.getvalue())


def test_a_finished_bar_shows_the_time_it_took() -> None:
    console, text = screen()
    for total, steps in ((3, 3), (None, 5), (None, 0), (10, 4)):  # the last stops early
        with console.progress("training", total, "steps") as advance:
            for _ in range(steps):
                advance(1, "loss 0.5")
        last = plain(text).splitlines()[-1]
        assert "0:00:00" in last and "?" not in last and "-:--" not in last
        assert ("steps" in last) == bool(steps) and ("loss 0.5" in last) == bool(steps)


def test_a_bar_breaks_at_blanks_in_80_columns() -> None:
    console, text = screen()
    what = "training bspm on train + validation"
    note = "loss 0.7663 best validation ndcg@20 0.2599 at iteration 12"
    with console.progress(what, 20, "iterations") as advance:
        advance(20, note)
    shown = plain(text)
    assert max(map(len, shown.splitlines())) <= 80
    for word in (*what.split(), *note.split(), "20 of 20 iterations"):
        assert word in shown


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "EVERY", 0.05)
    console = Console()
    with console.progress("training ials", 15, "iterations") as advance:
        time.sleep(0.12)  # also where nothing is reported
        advance(3, "loss 0.5")
        time.sleep(0.12)
    lines = capsys.readouterr().err.splitlines()
    assert re.fullmatch(r"training ials: 0 of 15 iterations, 0 s so far", lines[0])
    assert "training ials: 3 of 15 iterations, 0 s so far, loss 0.5" in lines
    assert re.fullmatch(r"training ials: done in 0\.\d s, loss 0\.5", lines[-1])
    console = Console(quiet=True)
    with console.progress("training ials", 15, "iterations"):
        time.sleep(0.12)
    assert capsys.readouterr().err == ""


def test_no_line_after_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    console = Console()
    with pytest.raises(ZeroDivisionError), console.progress("training", 3):
        raise ZeroDivisionError
    assert capsys.readouterr().err == ""


def test_force_color_gives_colors_and_moves_no_cursor(board_run: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "recli",
        "train-cf",
        str(board_run),
        "--algorithm",
        "popularity",
        "--tune",
        "1",
    ]
    environment = {**os.environ, "TERM": "xterm-256color", "FORCE_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "searching popularity: done in" in done.stderr
    assert set(re.findall(r"\x1b\[[0-9;?]*([A-Za-z])", done.stderr)) <= {"m"}
    done = subprocess.run([*command, "--no-such"], capture_output=True, text=True, env=environment)
    assert "\x1b[31merror: no such option --no-such" in done.stderr


def test_messages_break_at_blanks_on_a_terminal() -> None:
    console, text = screen(40)
    long = "columns not used: " + ", ".join(f"column-number-{n}" for n in range(12))
    console.say(long)
    console.warn(long)
    console.error(long, "name one of them: --user-column NAME, or leave them all out of the log")
    lines = plain(text).splitlines()
    assert max(map(len, lines)) <= 40
    words = " ".join(lines).split()
    assert all(words.count(word) == 3 for word in long.split()[3:])
    assert words.count("error:") == 1 and "--user-column" in words


def test_wide_tables_become_several() -> None:
    console, text = screen(60)
    columns = ["trial", *(f"option-number-{n}" for n in range(6))]
    console.table("Trials", columns, [["1 best", *(f"{n}.123456" for n in range(6))]], "a note")
    shown = plain(text)
    assert max(len(line.rstrip()) for line in shown.splitlines()) <= 60
    for column in columns[1:]:
        assert column in shown
    assert shown.count("1 best") == 3 and shown.count("a note") == 1
    assert column_blocks(["a", "b"], [["x" * 90, "y" * 90]], 80) == [[0, 1]]


def on_terminal(command: list[str], columns: int = 80) -> str:
    """What a command writes to a terminal."""
    main, terminal = pty.openpty()
    environment = {**os.environ, "COLUMNS": str(columns), "TERM": "xterm"}
    process = subprocess.Popen(command, stdout=terminal, stderr=terminal, env=environment)
    os.close(terminal)
    output = b""
    try:
        while chunk := os.read(main, 4096):
            output += chunk
    except OSError:  # how Linux says that the other side is closed
        pass
    os.close(main)
    process.wait()
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output.decode())


@pytest.mark.slow
def test_no_line_of_a_session_is_wider_than_the_terminal(board_run: Path) -> None:
    python = [sys.executable, "-m", "recli"]
    for words in (
        ["train-cf", str(board_run), "--algorithm", "ials", "--patience", "2"],
        ["train-cf", str(board_run), "--algorithm", "item-knn", "--tune", "3"],
        ["train-hybrid", str(board_run), "--sources", "ials,item-knn"],
        ["evaluate", str(board_run), "--samples", "5"],
        ["train-cf", str(board_run), "--algorithm", "esae"],
        ["status", str(board_run)],
        ["help"],
        ["help", "exit-codes"],
    ):
        lines = [
            line.rstrip() for text in on_terminal(python + words).splitlines() for line in text.split("\r")
        ]
        too_long = [line for line in lines if len(line) > 80 and str(board_run) not in line]
        assert too_long == []
