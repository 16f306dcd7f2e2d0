"""The command line as a whole: help, start-up, exit codes, signals and pipes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from recli import __version__
from recli.cli.app import COMMANDS

Recli = Callable[..., tuple[int, str, str]]
HEAVY = (
    "torch",
    "transformers",
    "implicit",
    "sklearn",
    "scipy",
    "polars.dataframe",
    "optuna",
    "numba",
    "matplotlib",
    "pydantic",
)


def loaded(*arguments: str) -> set[str]:
    """Names of the heavy modules that are loaded when the command line ends."""
    script = (
        f"import sys\nfrom recli.__main__ import main\nsys.argv = ['recli', *{list(arguments)!r}]\n"
        f"try:\n    main()\nexcept SystemExit:\n    pass\n"
        "print('LOADED', *sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    modules = set(done.stderr.rpartition("LOADED")[2].split())
    return {name for name in (*HEAVY, "numpy._core") if name in modules}  # `numpy` may stand in for itself


def test_help_names_the_six_steps_in_order_and_loads_nothing_heavy(recli: Recli) -> None:
    _, out, _ = recli("--help")
    places = [out.index(f" {name} ") for name in COMMANDS]
    assert list(COMMANDS) == ["prepare", "embed", "train-cf", "train-hybrid", "evaluate", "recommend"]
    assert places == sorted(places)
    assert loaded("--help") == set()


@pytest.mark.parametrize("command", list(COMMANDS))
def test_every_help_is_light_and_ends_with_an_example(recli: Recli, command: str) -> None:
    _, out, _ = recli(command, "--help")
    assert f"Example: recli {command} " in " ".join(out.split())
    assert loaded(command, "--help") == set()
    assert loaded(command, "--no-such-option") == set()


@pytest.mark.slow
def test_a_shell_completes_commands_and_their_options() -> None:
    for words, found in (("recli train", "train-cf\ntrain-hybrid"), ("recli prepare --in", "--in-order")):
        asked = {"_RECLI_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
        environment = {**os.environ, **asked}
        script = "import sys; sys.argv = ['recli']; from recli.__main__ import main; main()"
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
        assert done.stdout.strip() == found


def test_version_and_wrong_commands(recli: Recli) -> None:
    assert recli("--version")[1] == f"recli {__version__}\n"
    _, _, err = recli("trian-cf", code=2)
    assert "did you mean train-cf?" in err


@pytest.mark.parametrize("command", [c for c in COMMANDS if c != "prepare"])
def test_a_run_that_is_not_there_is_one_line_with_the_remedy(
    recli: Recli, command: str, tmp_path: Path
) -> None:
    _, out, err = recli(command, tmp_path / "nothing", code=1)
    assert out == ""
    assert "recli prepare" in err
    assert "Traceback" not in err


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_at_any_moment_the_previous_part_is_whole(
    recli: Recli, tmp_path: Path, number: int, code: int
) -> None:
    """The signal comes at moments spread over the command's life; whenever that is, the run can be read."""
    log = tmp_path / "log.csv"
    log.write_text("user_id,item_id\n" + "".join(f"u{n % 97},i{n % 31}\n" for n in range(20_000)))
    run = tmp_path / "run"
    recli("prepare", log, "--out", run)
    before = (run / "interactions/manifest.json").read_bytes()
    command = [sys.executable, "-m", "recli", "prepare", str(log), "--seed", "1", "--out", str(run)]
    started = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    life = time.monotonic() - started
    after = (run / "interactions/manifest.json").read_bytes()
    assert after != before
    codes = []
    for share in (0.3, 0.5, 0.7, 0.85, 0.95):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        time.sleep(life * share)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        codes.append(process.returncode)
        assert process.returncode in (code, 0, -number), err  # -number: before Python could take the signal
        recli("train-cf", run, "--algorithm", "popularity")
        assert not list(run.glob(".interactions.*.tmp"))
    assert code in codes


@pytest.mark.slow
def test_the_six_steps_chain_in_a_shell_and_stop_at_the_first_failure(tmp_path: Path) -> None:
    sample = Path(__file__).parents[2] / "sample_data"
    python = f"{sys.executable} -m recli"
    pipe = (
        f"{python} prepare {sample}/events.csv --items {sample}/items.csv --out run --quiet"
        f" | {python} embed - --model tfidf -q | {python} train-cf - -q | {python} train-hybrid - -q"
        f" | {python} evaluate - -q | {python} recommend - -k 3 -q --format csv"
    )
    done = subprocess.run(["bash", "-c", pipe], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].startswith("user_id,rank,item_id,score")
    assert len(lines) == 1 + 600 * 3
    broken = pipe.replace("--model tfidf", "--model ./nowhere")
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", broken], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert "no run's path came on stdin" in done.stderr
    assert done.stdout == ""


@pytest.mark.slow
def test_colors_only_on_a_terminal(board_run: Path) -> None:
    command = [sys.executable, "-m", "recli", "train-cf", str(board_run), "--algorithm", "popularity"]
    environment = {**os.environ, "TERM": "xterm-256color"}
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert "\x1b[" not in done.stderr
    assert done.stdout == f"{board_run}\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "code", "said"),
    [
        ("recommend {run} --users - -q <&-", 1, "error: stdin or stdout is closed"),
        ("prepare - --out {run} -q <&-", 1, "error: stdin or stdout is closed"),
        ("embed - -q <&-", 1, "error: stdin or stdout is closed"),
        ("train-cf {run} --algorithm popularity -q >&-", 1, "error: stdin or stdout is closed"),
        ("train-cf {run} --algorithm popularity -q >/dev/full", 1, "error: the disk is full"),
        ("train-cf {run} --algorithm popularity >/dev/null 2>&-", 0, ""),
        ("--help >/dev/full", 1, "error: the disk is full"),
        ("--version >&-", 1, "error: stdin or stdout is closed"),
    ],
)
def test_closed_and_full_streams_are_one_line(board_run: Path, line: str, code: int, said: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "recli", "train-cf", str(board_run), "--algorithm", "popularity"], check=True
    )
    command = f"{sys.executable} -m recli {line.format(run=board_run)}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, len(done.stderr.splitlines())) == (code, bool(said)), done.stderr
    assert done.stderr.startswith(said)


@pytest.mark.slow
def test_paths_that_the_locale_cannot_spell_go_from_step_to_step(board_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "größe 🦊"
    run.symlink_to(board_run)
    me = f"{sys.executable} -m recli"
    line = f"{me} train-cf '{run}' --algorithm popularity | {me} train-cf - --algorithm item-knn"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["bash", "-c", line], capture_output=True, env=environment)
    assert (done.returncode, done.stdout.decode()) == (0, f"{run}\n"), done.stderr


def test_help_into_a_closed_pipe_is_no_error() -> None:
    script = f"(sleep 0.5; exec {sys.executable} -m recli recommend --help) | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("0\n", "")
