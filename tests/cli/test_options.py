"""One declaration of a field gives the option, its bounds, the manifest's entry and the Python API."""

import errno
import io
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console as RichConsole

from recli.cli.console import Console, run_path
from recli.cli.options import make_command
from recli.config import (
    Tune,
    argument,
    canonical_json,
    from_dict,
    option,
    parse_duration,
    parse_pairs,
    to_dict,
    validate,
)
from recli.errors import DeviceError, InvalidDataError, QualityGateError, RecliError, UsageError


@dataclass(frozen=True)
class ToyConfig:
    run: str = argument(..., "The run.", stored=False)
    factors: int = option(8, "Width.", min=1, max=64, names=("--factors", "-f"), tune=Tune(1, 64))
    rate: float | None = option(None, "Rate.", min=0, default_text="the algorithm's own")
    kind: str = option("a", "Kind.", choices=("a", "b-c"))
    tags: tuple[str, ...] = option((), "Tags.", names=("--tag",))
    center: bool = option(True, "Center.")
    drop: bool = option(False, "Drop.")


Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def toy(capfd: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    def call(*arguments: str, work: Callable[[ToyConfig, Console], None] | None = None) -> Any:
        made: list[ToyConfig] = []

        def run(config: ToyConfig, console: Console) -> None:
            """Do a toy thing.

            Example: recli toy run
            """
            made.append(config)
            if work:
                work(config, console)

        code = 0
        try:
            make_command("toy", ToyConfig, run)(list(arguments))
        except SystemExit as stop:
            code = int(stop.code or 0)
        out, err = capfd.readouterr()
        return code, made[0] if made else None, out, err

    return call


def test_fields_become_options_with_their_types(toy: Callable[..., Any]) -> None:
    code, config, _, _ = toy("here")
    assert (code, config) == (0, ToyConfig("here"))
    _, config, _, _ = toy(
        "here",
        "-f",
        "3",
        "--rate",
        "0.5",
        "--kind",
        "b-c",
        "--tag",
        "x",
        "--tag",
        "y",
        "--no-center",
        "--drop",
    )
    assert config == ToyConfig("here", 3, 0.5, "b-c", ("x", "y"), False, True)


def test_help_shows_bounds_choices_defaults_and_ends_with_the_example(
    toy: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "150")
    code, _, out, _ = toy("--help")
    assert code == 0
    for text in ("1<=x<=64", "a|b-c", "the algorithm's own", "--no-center", "Do a toy thing."):
        assert text in out
    assert out.rstrip().splitlines()[-1].strip() == "Example: recli toy run"


@pytest.mark.parametrize(
    "arguments",
    [
        ("here", "-f", "0"),
        ("here", "-f", "x"),
        ("here", "--kind", "z"),
        ("here", "--rate", "-1"),
        ("here", "--nope"),
    ],
)
def test_what_is_out_of_bounds_is_a_usage_error(toy: Callable[..., Any], arguments: tuple[str, ...]) -> None:
    code, config, _, err = toy(*arguments)
    assert (code, config) == (2, None)
    assert "Traceback" not in err


def test_the_python_api_checks_the_same_bounds() -> None:
    validate(ToyConfig("here"))
    for wrong, message in (
        (ToyConfig("r", factors=0), "--factors must be at least 1, not 0"),
        (ToyConfig("r", factors=65), "--factors must be at most 64, not 65"),
        (ToyConfig("r", rate=float("nan")), "--rate must be a finite number"),
        (ToyConfig("r", kind="z"), "--kind must be one of a, b-c, not 'z'"),
    ):
        with pytest.raises(UsageError, match=message):
            validate(wrong)


def test_a_config_goes_into_the_manifest_and_back() -> None:
    config = ToyConfig("run", 3, tags=("x", "y"))
    stored = to_dict(config)
    assert stored == {
        "factors": 3,
        "rate": None,
        "kind": "a",
        "tags": ["x", "y"],
        "center": True,
        "drop": False,
    }
    assert from_dict(ToyConfig, {"run": "run", **stored}) == config
    assert canonical_json({"b": [1.5, "é"], "a": None}) == '{"a":null,"b":[1.5,"é"]}'


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RecliError("it is so", "type this"), 1),
        (UsageError("it is so", "type this"), 2),
        (InvalidDataError("it is so", "type this"), 3),
        (QualityGateError("it is so", "type this"), 4),
        (DeviceError("it is so", "type this"), 5),
    ],
)
def test_errors_become_two_lines_and_their_exit_code(
    toy: Callable[..., Any], error: RecliError, code: int
) -> None:
    def work(config: ToyConfig, console: Console) -> None:
        raise error

    found, _, out, err = toy("here", "--quiet", work=work)
    assert (found, out) == (code, "")
    assert err == "error: it is so\n  type this\n"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (BrokenPipeError(errno.EPIPE, "pipe"), 0, ""),
        (MemoryError("8 GiB"), 1, "out of memory: 8 GiB"),
        (OSError(errno.ENOSPC, "full", "/data/run"), 1, "/data/run: the disk is full"),
        (PermissionError(errno.EACCES, "no", "/data"), 1, "/data: permission denied"),
    ],
)
def test_what_the_system_reports_is_said_in_one_line(
    toy: Callable[..., Any], error: BaseException, code: int, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(config: ToyConfig, console: Console) -> None:
        raise error

    if isinstance(error, BrokenPipeError):
        monkeypatch.setattr("recli.cli.failures.os.dup2", lambda *_: None)
    found, _, _, err = toy("here", work=work)
    assert found == code
    assert text in err
    assert err.count("\n") <= 2


def test_a_bug_keeps_its_traceback(toy: Callable[..., Any]) -> None:
    def work(config: ToyConfig, console: Console) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        toy("here", work=work)


def test_narration_is_on_stderr_and_quiet_keeps_warnings(toy: Callable[..., Any]) -> None:
    def work(config: ToyConfig, console: Console) -> None:
        console.say("hello")
        console.table("Things", ["name", "n"], [["[bold]a[/]", "1"]])
        with console.progress("counting", 2) as advance:
            advance(2, "2 of 2")
        console.warn("careful")
        console.result(Path("run"), {"items": 3})

    _, _, out, err = toy("here", work=work)
    assert out == "run\n"
    assert (
        "hello" in err
        and "Things" in err
        and "[bold]a[/]" in err
        and "counting: done in" in err
        and "2 of 2" in err
    )
    _, _, out, err = toy("here", "--quiet", work=work)
    assert (out, err) == ("run\n", "warning: careful\n")
    _, _, out, _ = toy("here", "--json", work=work)
    assert out == '{\n  "schema": "recli/toy/1",\n  "run": "run",\n  "items": 3\n}\n'


def test_a_run_can_come_from_the_step_before(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_path("run") == Path("run")
    monkeypatch.setattr(sys, "stdin", io.StringIO("some/run\n"))
    assert run_path("-") == Path("some/run")
    for text, message in (("", "no run's path came on stdin"), ('{\n"run"', "JSON came on stdin")):
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        with pytest.raises(RecliError, match=message):
            run_path("-")


def test_time_spans_and_pairs_are_read_or_refused() -> None:
    assert parse_duration("90d", "--event-half-life") == 90 * 86_400
    assert parse_duration("1.5 h", "--event-half-life") == 5400
    assert parse_duration("30", "--event-half-life") == 30
    for wrong in ("", "d", "-3d", "0d", "3 parsecs", "nan"):
        with pytest.raises(UsageError, match="--event-half-life must be a time span"):
            parse_duration(wrong, "--event-half-life")
    assert parse_pairs("view=1, buy=5.5", "--event-weights") == {"view": 1.0, "buy": 5.5}
    for wrong in ("view", "view=", "=1", "view=x", "view=nan", "view=1,"):
        with pytest.raises(UsageError, match="--event-weights must look like"):
            parse_pairs(wrong, "--event-weights")


def test_a_bar_of_unknown_length_ends_full() -> None:
    console, screen = Console(), io.StringIO()
    console._rich = RichConsole(file=screen, force_terminal=True, width=80)
    with console.progress("cleaning", None):
        pass
    with console.progress("reading", None, "rows") as advance:
        advance(30, "")
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.getvalue())
    assert "?" not in shown and "1 rows" not in shown and "30 rows" in shown
    assert "0:00:00" in shown.splitlines()[-1]  # the time it took
