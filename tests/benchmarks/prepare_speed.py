"""CPU seconds, wall seconds and peak memory of `recli prepare`, of plain polars and of pandas for the same job.

    python tests/benchmarks/prepare_speed.py [--sizes 1M,3M,...] [--formats F,...] [--sides S,...] [--rounds N]
        [--memory GB] [--folder DIR] [--notes FILE.jsonl] [--plot FILE.png]

The job: the last event of each user and item, a 5-core, ids as numbers, a split by each user's time, written as
Parquet, of a log that `prepare_log.py` makes. `polars` and `pandas` are `prepare_peers.py`; `packed` is polars again,
by code that packs each pair of ids into one integer and sorts these. `recli` also checks every value, accounts for
all rows, sorts by user and time, and writes sha256 of it all. Whole processes, start-up included, in turn; all cores;
medians over the rounds (one above 10M events). A side that needs more than `--memory` is stopped, and left out of
larger logs of that format. The physical limit is what reading takes: `scan` counts what is in all columns by polars,
and is in no ratio. gzip is unpacked on one thread, by all sides.

All must come to the same events in each split, and the same sums of times, else this fails. `--notes` adds what is
measured to a file, and the table and the plot are of all that is in it.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SIDES = ("recli", "polars", "packed", "pandas", "scan")
ONCE_ABOVE = 10_000_000  # events


@dataclass(frozen=True)
class Took:
    """Of one process. `peak` in GB; where `over`, it was stopped there and the seconds say nothing."""

    events: int
    form: str
    side: str
    cpu: float
    wall: float
    peak: float
    over: bool


def command(side: str, log: Path, out: Path) -> list[str]:
    if side == "recli":
        options = ["--duplicates", "last", "--k-core", "5", "--split", "temporal-user", "--quiet"]
        return [sys.executable, "-m", "recli", "prepare", str(log), *options, "--out", str(out)]
    return [sys.executable, str(HERE / "prepare_peers.py"), side, str(log), str(out)]


def took(side: str, log: Path, out: Path, most: float) -> tuple[float, float, float, bool]:
    """CPU seconds, wall seconds, peak GB of a process, and whether it was stopped above `most` GB.

    Linux starts a process's peak at its parent's size: this script imports nothing large, so that it stays below.
    """
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    started, over = time.monotonic(), False
    process = subprocess.Popen(command(side, log, out), stdout=subprocess.DEVNULL)
    pages = Path(f"/proc/{process.pid}/statm")
    while True:
        done, status, usage = os.wait4(process.pid, os.WNOHANG)
        if done:
            break
        if int(pages.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") > most * 1e9:
            process.kill()
            over = True
        time.sleep(0.02)
    process.returncode = os.waitstatus_to_exitcode(status)
    if status and not over:
        raise SystemExit(f"exit code {process.returncode}: {' '.join(command(side, log, out))}")
    wall = time.monotonic() - started
    return usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * 1024 / 1e9, over


def figures(side: str, out: Path) -> Any:
    folder = out / "interactions" if side == "recli" else out
    called = [sys.executable, str(HERE / "prepare_peers.py"), "figures", str(folder)]
    return json.loads(subprocess.run(called, check=True, capture_output=True).stdout)


def number(text: str) -> int:
    """`10M` as 10,000,000."""
    for letter, factor in {"k": 1_000, "M": 1_000_000}.items():
        if text.endswith(letter):
            return int(float(text[:-1]) * factor)
    return int(text)


def measure(asked: argparse.Namespace, folder: Path) -> list[Took]:
    """Run all sides in turn. Raises `SystemExit` where they come to other events."""
    measured: list[Took] = []
    too_large: set[tuple[str, str]] = set()
    for events in map(number, asked.sizes.split(",")):
        for form in asked.formats.split(","):
            log, found = folder / f"{events}.{form}", {}
            if not log.exists():
                subprocess.run([sys.executable, HERE / "prepare_log.py", log, str(events)], check=True)
            for _ in range(asked.rounds if events <= ONCE_ABOVE else 1):
                for side in (s for s in asked.sides.split(",") if (s, form) not in too_large):
                    one = Took(events, form, side, *took(side, log, folder / "out", asked.memory))
                    measured.append(one)
                    print(f"{side} {form} {events:,}: {one.cpu:.1f} s CPU", file=sys.stderr, flush=True)
                    if asked.notes:
                        with Path(asked.notes).open("a") as notes:
                            notes.write(json.dumps(asdict(one)) + "\n")
                    if one.over:
                        too_large.add((side, form))
                    elif side != "scan":
                        found[side] = figures(side, folder / "out")
                    shutil.rmtree(folder / "out")
            if any(other != next(iter(found.values())) for other in found.values()):
                raise SystemExit(f"they do not come to the same events: {found}")
    return measured


def medians(measured: list[Took]) -> dict[tuple[int, str, str], Took]:
    """One of each size, format and side."""
    groups: dict[tuple[int, str, str], list[Took]] = {}
    for one in measured:
        groups.setdefault((one.events, one.form, one.side), []).append(one)
    return {
        key: Took(
            *key,
            *(statistics.median(getattr(one, name) for one in group) for name in ("cpu", "wall", "peak")),
            over=any(one.over for one in group),
        )
        for key, group in groups.items()
    }


def table(found: dict[tuple[int, str, str], Took]) -> None:
    print("| events | format | | CPU s | wall s | peak GB | recli / it: CPU | wall | peak |")
    print("|---:|---|---|---:|---:|---:|---:|---:|---:|")
    for (events, form, side), one in sorted(
        found.items(), key=lambda f: (f[0][1], f[0][0], SIDES.index(f[0][2]))
    ):
        ours = found.get((events, form, "recli"))
        cells = [f"{one.cpu:.1f}", f"{one.wall:.1f}", f"{one.peak:.2f}"]
        ratios = ["", "", ""]
        if one.over:
            cells = ["", "", f"over {one.peak:.1f}"]
        elif ours and not ours.over and side not in ("recli", "scan"):
            ratios = [f"{getattr(ours, n) / getattr(one, n):.2f}" for n in ("cpu", "wall", "peak")]
        print(f"| {events:,} | {form} | {side} | {' | '.join(cells + ratios)} |")


def plot(found: dict[tuple[int, str, str], Took], path: Path) -> None:
    """Time and memory against events, both logarithmic; dashed: in proportion to the events, from recli's smallest."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    for axes, name, label in zip(
        figure.subplots(1, 2), ("cpu", "peak"), ("CPU seconds", "peak memory, GB"), strict=True
    ):
        for form, style in zip(sorted({form for _, form, _ in found}), ("-", ":", "-."), strict=False):
            for color, side in enumerate(SIDES):
                line = sorted(
                    (events, getattr(one, name))
                    for (events, f, s), one in found.items()
                    if (f, s) == (form, side) and not one.over
                )
                if line:
                    axes.plot(
                        *zip(*line, strict=True),
                        style,
                        marker="o",
                        ms=3,
                        c=f"C{color}",
                        label=f"{side}, {form}",
                    )
                if line and side == "recli":
                    ends = line[0][0], line[-1][0]
                    axes.plot(ends, [line[0][1] * e / ends[0] for e in ends], "--", c="grey", lw=0.8)
        axes.set(xscale="log", yscale="log", xlabel="events", ylabel=label)
        axes.grid(alpha=0.3)
    figure.axes[0].legend(fontsize=8)
    figure.savefig(path, dpi=120)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1M,3M,10M", metavar="N,...")
    parser.add_argument("--formats", default="parquet,csv.gz", metavar="F,...")
    parser.add_argument("--sides", default=",".join(SIDES), metavar="S,...")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=float, default=16.0, metavar="GB")
    parser.add_argument("--folder", metavar="DIR", help="where logs are made, and kept for the next time")
    parser.add_argument("--notes", metavar="FILE.jsonl")
    parser.add_argument("--plot", metavar="FILE.png")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        measured = measure(asked, Path(asked.folder or temporary))
    if asked.notes:
        measured = [Took(**json.loads(line)) for line in Path(asked.notes).read_text().splitlines()]
    found = medians(measured)
    table(found)
    if asked.plot:
        plot(found, Path(asked.plot))


if __name__ == "__main__":
    main()
