"""CPU seconds, wall seconds and peak memory of each step from a log to lists, and of other versions' beside it.

    python tests/benchmarks/pipeline_speed.py LOG [--test-file FILE] [--steps S,...] [--code DIR ...] [--profile N]
    python tests/benchmarks/pipeline_speed.py --synthetic USERS,ITEMS,EVENTS ...

The steps, each a process of its own, start-up included, on all cores: `prepare` (a tenth of what is not test is for
validation; where there is no test file, split by each user's time), `train-cf` (ials), `train-hybrid`, `evaluate` and
`recommend` (of ials: its default metrics; ten items for all users, to Parquet). A synthetic log is that of
`evaluate_model_speed.py`. `--code`: checkouts of recli that are run too, step by step in turn, each in a run of its
own; the first of them, or this one, is what the others are divided by. A step that fails, or takes over `--limit`
seconds, is left out, with those after it that need it. `--profile N`: below, the N functions of recli in which each
step of this checkout spends most, with all that they call, by cProfile, in runs that are not timed.
"""

import argparse
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
STEPS = ("prepare", "train-cf", "train-hybrid", "evaluate", "recommend")


@dataclass(frozen=True)
class Spent:
    """By one process: seconds, and megabytes at most."""

    cpu: float
    wall: float
    peak: float


def arguments(step: str, log: Path, test: Path | None, folder: Path) -> list[str]:
    run = str(folder / "run")
    split = (
        ["--split", "temporal-user"]
        if test is None
        else ["--test-file", str(test), "--validation-size", "0.1"]
    )
    given = {
        "prepare": [str(log), *split, "--out", run],
        "train-cf": [run],
        "train-hybrid": [run],
        "evaluate": [run, "--models", "ials"],
        "recommend": [run, "--model", "ials", "-k", "10", "--out", str(folder / "lists.parquet")],
    }
    return [step, *given[step], "--quiet"]


def spent(code: Path, given: list[str], limit: float) -> Spent | None:
    """What a command of that checkout takes; None where it fails or takes longer than `limit` seconds.

    Linux starts a process's peak at its parent's size: this script imports nothing large, so that it stays below.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "recli", *given],
        env=os.environ | {"PYTHONPATH": str(code)},
        cwd=code,
        stdout=subprocess.DEVNULL,
    )
    while True:
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
        if done:
            break
        if time.monotonic() - started > limit:
            process.kill()
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status:
        return None
    return Spent(usage.ru_utime + usage.ru_stime, time.monotonic() - started, usage.ru_maxrss * 1024 / 1e6)


def profiled(given: list[str], folder: Path, most: int) -> list[str]:
    """The functions of recli in which a command spends most, with what they call: seconds and names."""
    path = folder / "profile"
    call = (
        "import cProfile, json, sys; from recli.cli.app import app; "
        "cProfile.run('app(json.loads(sys.argv[1]), standalone_mode=False)', sys.argv[2])"
    )
    subprocess.run(
        [sys.executable, "-c", call, json.dumps(given), str(path)],
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
    )
    found = pstats.Stats(str(path)).stats.items()  # type: ignore[attr-defined]
    ours = [
        (total, f"{Path(file).relative_to(ROOT / 'recli').with_suffix('')}.{name}".replace("/", "."))
        for (file, _, name), (_, _, _, total, _) in found
        if file.startswith(str(ROOT / "recli")) and not name.startswith("<")
    ]
    story = {"options", "cli"}
    kept = [one for one in sorted(ours, reverse=True) if one[1].split(".")[0] not in story]
    return [f"{total:7.2f} s  {name}" for total, name in kept[:most]]


def table(found: dict[str, dict[str, Spent | None]]) -> list[str]:
    """Lines of Markdown. `found`: by step, by checkout."""
    codes = list(next(iter(found.values())))
    heads = [f"{code}: CPU s | wall s | MB" for code in codes]
    heads += [f"CPU {codes[0]} / {code}" for code in codes[1:]]
    lines = [f"| step | {' | '.join(heads)} |", "|:--|" + "---:|" * (3 * len(codes) + len(codes) - 1)]
    for step, by_code in found.items():
        cells = []
        for one in by_code.values():
            cells += ["", "", ""] if one is None else [f"{one.cpu:.1f}", f"{one.wall:.1f}", f"{one.peak:.0f}"]
        first = by_code[codes[0]]
        for code in codes[1:]:
            other = by_code[code]
            cells.append("" if first is None or other is None else f"{first.cpu / other.cpu:.2f}")
        lines.append(f"| {step} | {' | '.join(cells)} |")
    return lines


def needed(step: str) -> tuple[str, ...]:
    """The steps that one goes on from."""
    return {"prepare": (), "evaluate": ("prepare", "train-cf"), "recommend": ("prepare", "train-cf")}.get(
        step, ("prepare",)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("log", type=Path, nargs="?")
    parser.add_argument("--test-file", type=Path)
    parser.add_argument("--synthetic", metavar="USERS,ITEMS,EVENTS")
    parser.add_argument("--steps", default=",".join(STEPS), metavar="S,...")
    parser.add_argument("--code", type=Path, action="append", default=[], metavar="DIR")
    parser.add_argument("--limit", type=float, default=1800.0, metavar="SECONDS")
    parser.add_argument("--profile", type=int, default=0, metavar="N")
    asked = parser.parse_args()
    if (asked.log is None) == (asked.synthetic is None):
        parser.error("give a log, or --synthetic")
    steps = asked.steps.split(",")
    with tempfile.TemporaryDirectory() as made:
        folder, log = Path(made), asked.log and asked.log.resolve()
        test = asked.test_file and asked.test_file.resolve()
        if log is None:
            log = folder / "log.parquet"
            sizes = ", ".join(asked.synthetic.split(","))
            call = f"from evaluate_model_speed import write_log, Path; write_log(Path({str(log)!r}), {sizes})"
            subprocess.run([sys.executable, "-c", call], check=True, cwd=HERE)
        codes = {code.name: code.resolve() for code in asked.code} or {"recli": ROOT}
        found: dict[str, dict[str, Spent | None]] = {}
        for step in steps:
            found[step] = {}
            for name, code in codes.items():
                (folder / name).mkdir(exist_ok=True)
                if any(found[before][name] is None for before in needed(step)):
                    found[step][name] = None
                    continue
                found[step][name] = spent(code, arguments(step, log, test, folder / name), asked.limit)
                print(f"{step}, {name}: {found[step][name]}", file=sys.stderr, flush=True)
        print("\n".join(table(found)))
        (folder / "again").mkdir()
        for step in steps if asked.profile else ():
            print(f"\n{step}")
            print(
                "\n".join(
                    profiled(arguments(step, log, test, folder / "again"), folder / "again", asked.profile)
                )
            )


if __name__ == "__main__":
    main()
