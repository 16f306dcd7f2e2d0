"""What ends a command: the exit code, one line and a remedy on stderr, and with `--json` JSON on stdout."""

import errno
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recli.cli.app import COMMANDS
from recli.errors import (
    EXIT_CODES,
    ConfigError,
    DeviceError,
    InvalidDataError,
    QualityGateError,
    RecliError,
    UsageError,
)

Recli = Callable[..., tuple[int, str, str]]
STEPS = list(COMMANDS)


def check(done: tuple[int, str, str], code: int, *words: str) -> None:
    """One `error:` line, perhaps one with a remedy, and the code of the table."""
    found, _, err = done
    lines = err.splitlines()
    errors = [i for i, line in enumerate(lines) if line.startswith("error: ")]
    assert found == code and code in EXIT_CODES
    assert len(errors) == 1 and len(lines) - errors[0] <= 2, err
    assert all(line.startswith("  ") for line in lines[errors[0] + 1 :])
    for word in words:
        assert word in err


def error_of(out: str) -> dict[str, Any]:
    """The error in the last line of stdout."""
    printed = json.loads(out.splitlines()[-1])
    assert printed["schema"] == "recli/error/1"
    error: dict[str, Any] = printed["error"]
    return error


def failing(
    monkeypatch: pytest.MonkeyPatch, command: str, error: BaseException, tmp_path: Path
) -> tuple[Any, ...]:
    """Makes the step raise `error`; returns what to type to run it."""

    def raises(*_: Any, **__: Any) -> Any:
        raise error

    step = command.replace("-", "_")
    monkeypatch.setattr(importlib.import_module(f"recli.steps.{step}.step"), step, raises)
    return command, tmp_path / "run"


ERRORS = [
    (RecliError("it is so", "type this"), 1, "error: it is so\n  type this\n"),
    (UsageError("it is so", "type this"), 2, "error: it is so\n  type this\n"),
    (ConfigError("it is so"), 2, "error: it is so\n"),
    (InvalidDataError("it is so", "type this"), 3, "error: it is so\n  type this\n"),
    (QualityGateError("it is so", "type this"), 4, "error: it is so\n  type this\n"),
    (DeviceError("it is so", "type this"), 5, "error: it is so\n  type this\n"),
    (OSError(errno.ENOSPC, "full", "/run"), 1, "error: /run: the disk is full"),
    (MemoryError("8 GiB"), 1, "error: out of memory: 8 GiB"),
    (KeyboardInterrupt(), 130, "error: interrupted"),
    (SystemExit(143), 143, "error: terminated"),
]


@pytest.mark.parametrize("command", STEPS)
@pytest.mark.parametrize(("error", "code", "said"), ERRORS, ids=lambda value: type(value).__name__)
def test_every_error_has_one_code_and_one_shape_in_every_command(
    recli: Recli,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    command: str,
    error: BaseException,
    code: int,
    said: str,
) -> None:
    words = failing(monkeypatch, command, error, tmp_path)
    done = recli(*words, code=code)
    check(done, code)
    assert done[2].startswith(said) and done[1] == ""
    code, out, err = recli(*words, "--json", code=code)
    assert err.startswith(said)
    printed = error_of(out)
    assert printed["code"] == code and f"error: {printed['what']}" == err.splitlines()[0]
    assert out.count("\n") == 1


@pytest.mark.parametrize("command", STEPS)
def test_a_bug_keeps_its_traceback_and_is_an_error_in_json(
    recli: Recli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: str, capfd: Any
) -> None:
    words = failing(monkeypatch, command, ZeroDivisionError("by zero"), tmp_path)
    with pytest.raises(ZeroDivisionError):
        recli(*words, "--json")
    error = error_of(capfd.readouterr().out)
    assert error["what"] == "ZeroDivisionError: by zero" and "bug" in error["fix"]


@pytest.mark.parametrize("command", STEPS)
def test_wrong_usage_is_code_2_in_every_command(recli: Recli, board_run: Path, command: str) -> None:
    run = board_run if command != "prepare" else "log.csv"
    check(recli(command, run, "--no-such-option", code=2), 2, "no such option --no-such-option")
    check(recli(command, run, "--quite", code=2), 2, "no such option --quite", "did you mean --quiet?")
    check(recli(command, "--quiet", code=2), 2, "is missing", f"see recli {command} --help")
    number = {"embed": "--dim", "recommend": "-k"}.get(command, "--seed")
    check(recli(command, run, number, "x", code=2), 2, f"{number} must be a whole number, not 'x'")
    check(recli(command, run, number, "-7", code=2), 2, f"{number} must be at least", "not -7")
    check(recli(command, run, number, code=2), 2, number)
    choice = {
        "prepare": "--split",
        "embed": "--pooling",
        "train-cf": "--algorithm",
        "train-hybrid": "--fusion",
        "evaluate": "--split",
        "recommend": "--mask",
    }[command]
    check(recli(command, run, choice, "x%", code=2), 2, f"{choice} must be one of", "not 'x%'")
    if command != "prepare":
        check(recli(command, run, "more", code=2), 2, "more")
    error = error_of(recli(command, run, "--quite", "--json", code=2)[1])
    assert error == {"code": 2, "what": "no such option --quite", "fix": "did you mean --quiet?"}


@pytest.mark.parametrize("command", STEPS)
def test_what_is_not_there_is_code_1_in_every_command(recli: Recli, tmp_path: Path, command: str) -> None:
    check(recli(command, tmp_path / "nothing here", code=1), 1, "nothing here")


@pytest.mark.parametrize(
    ("words", "near"),
    [
        (("train-cf", "RUN", "--algorithm", "esae"), "did you mean ease?"),
        (("train-hybrid", "RUN", "--sources", "ials,item-knm"), "did you mean item-knn?"),
        (("train-hybrid", "RUN", "--cf", "populraity"), "did you mean popularity?"),
        (("train-hybrid", "RUN", "--fusion", "lienar"), "did you mean linear?"),
        (("train-hybrid", "RUN", "--embeddings", "tfdf"), "did you mean tfidf?"),
        (("evaluate", "RUN", "--models", "populraity"), "did you mean popularity?"),
        (("evaluate", "RUN", "--metrics", "ndgc@10"), "did you mean ndcg?"),
        (("evaluate", "RUN", "--compare", "populraity"), "did you mean popularity?"),
        (("evaluate", "RUN", "--embeddings", "tfdf"), "did you mean tfidf?"),
        (("recommend", "RUN", "--model", "populraity"), "did you mean popularity?"),
        (("train-cf", "RUN", "--algorithm", "ials", "--device", "cdua"), "did you mean cuda?"),
        (("recommend", "RUN", "--users", "U-001"), "did you mean u001?"),
        (("recommend", "RUN", "--where", "yaer > 2000"), "did you mean year"),
        (("recommend", "RUN", "--title-column", "titel"), "did you mean title?"),
        (("prepare", "LOG", "--user-column", "userid"), "did you mean --user-column user_id?"),
        (("prepare", "LOG", "--items", "ITEMS", "--text", "{titel}"), "did you mean {title}?"),
        (("help", "fusoin"), "did you mean fusion?"),
        (("statsu", "RUN"), "did you mean status?"),
        (("train-fc", "RUN"), "did you mean train-cf?"),
    ],
)
def test_a_mistyped_name_is_repeated_with_what_it_may_mean(
    recli: Recli, board_run: Path, tmp_path: Path, words: tuple[str, ...], near: str
) -> None:
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    log.write_text("user_id,item_id\nu1,i1\nu2,i2\nu2,i1\n")
    items.write_text("item_id,title\ni1,One\ni2,Two\n")
    recli("train-cf", board_run, "--algorithm", "popularity")
    recli("embed", board_run, "--model", "tfidf")
    places = {"RUN": board_run, "LOG": log, "ITEMS": items}
    done = recli(*(places.get(word, word) for word in words), code=2)
    typed = words[-1].strip("{}").split(",")[-1].split("@")[0].split()[0]
    check(done, 2, near, typed if typed != "RUN" else words[0])


def test_a_mistyped_file_is_answered_with_one_of_the_folder(recli: Recli, tmp_path: Path) -> None:
    (tmp_path / "my ratings.csv").write_text("user_id,item_id\nu1,i1\n")
    done = recli("prepare", tmp_path / "my rating.csv", "--out", tmp_path / "run", code=1)
    check(done, 1, f"did you mean '{tmp_path}/my ratings.csv'?")


def test_mistyped_runs_models_and_event_types(recli: Recli, board_run: Path, tmp_path: Path) -> None:
    typed = board_run.with_name("rnu")
    for command in ("embed", "train-cf", "train-hybrid", "evaluate", "recommend", "status"):
        check(recli(command, typed, code=1), 1, f"there is no run at {typed}", f"did you mean {board_run}?")
    assert "did you mean tfidf?" in recli("embed", board_run, "--model", "tfdif", code=None)[2]
    (tmp_path / "model").mkdir()
    (tmp_path / "model/config.json").touch()
    done = recli("embed", board_run, "--model", tmp_path / "modle", code=1)
    check(done, 1, "there is no such folder", f"did you mean {tmp_path / 'model'}?")
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id,event\n" + "".join(f"u{n % 9},i{n % 7},view\n" for n in range(60)))
    words = ("--event-weights", "veiw=1,view=1", "--out", tmp_path / "run")
    assert "does not have: veiw" in recli("prepare", log, *words)[2]
    words = ("--event-weights", "veiw=1,buy=2", "--out", tmp_path / "run")
    assert "(did you mean view?)" in recli("prepare", log, *words, code=3)[2]


def test_a_mistyped_source_is_found_before_texts_are_read(recli: Recli, board_run: Path) -> None:
    recli("embed", board_run, "--model", "tfidf")
    _, _, err = recli("train-hybrid", board_run, "--sources", "content-knn,esae", code=2)
    assert "did you mean ease?" in err and "features:" not in err


def test_remedies_quote_paths(recli: Recli, tmp_path: Path, board_run: Path) -> None:
    run = tmp_path / "my run"
    board_run.rename(run)
    check(recli("recommend", run, code=1), 1, f"recli train-cf '{run}'")
    recli("train-cf", run, "--algorithm", "popularity")
    check(recli("recommend", run, "--model", "x", code=2), 2, f"recli train-cf '{run}'")


def test_the_result_on_stdout_stays_one_json_document(recli: Recli, board_run: Path) -> None:
    recli("train-cf", board_run, "--algorithm", "popularity")
    gates = ("--fail-under", "ndcg@10=0.999", "--samples", 5)
    _, out, err = recli("evaluate", board_run, "--json", "-q", *gates, code=4)
    assert json.loads(out)["gates"][0]["met"] is False and "quality gates not met" in err


def test_late_checks_come_first(recli: Recli, board_run: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """The catalogue's faults, files that are not there and folders without permission, before anything is read."""
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id\nu1,i1\n")
    (tmp_path / "items.csv").write_text("item_id,title\ni1,One\n")
    out = ("--out", tmp_path / "out")
    for more, said in (
        (("--items", tmp_path / "items.cs"), "items.csv"),
        (("--items", tmp_path / "items.csv", "--text", "{titel}"), "{title}"),
        (("--items", tmp_path / "items.csv", "--item-id-column", "id"), "item_id"),
        (("--test-file", tmp_path / "tset.csv"), "tset.csv"),
        (("--rejects", log / "rejects.csv"), "is not a folder"),
    ):
        _, _, err = recli("prepare", log, *more, *out, code=None)
        assert said in err and "reading events" not in err, err
    recli("train-cf", board_run, "--algorithm", "popularity")
    _, _, err = recli("evaluate", board_run, "--recommendations", tmp_path / "lsts.csv", code=1)
    assert "lsts.csv" in err and "popularity: done" not in err
    monkeypatch.setattr("os.access", lambda *_: False)
    for words in (
        ("prepare", log, *out),
        ("train-cf", board_run),
        ("train-hybrid", board_run),
        ("embed", board_run, "--model", "tfidf"),
        ("evaluate", board_run),
        ("recommend", board_run, "--save"),
        ("recommend", board_run, "--out", tmp_path / "x.csv"),
    ):
        _, _, err = recli(*words, code=1)
        assert "cannot be written: no permission" in err and "done in" not in err


@pytest.mark.slow
def test_a_signal_is_an_error_in_json(tmp_path: Path) -> None:
    pipe = tmp_path / "log"
    os.mkfifo(pipe)
    command = [sys.executable, "-m", "recli", "prepare", str(pipe), "--out", str(tmp_path / "run"), "--json"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(3)  # it waits for the pipe
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 143, err
    assert error_of(out)["code"] == 143
