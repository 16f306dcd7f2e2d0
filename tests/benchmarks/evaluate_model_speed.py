"""CPU seconds of the whole `recli evaluate` of a factor model, and of the ranking in it: what everything else costs.

    python tests/benchmarks/evaluate_model_speed.py [--users N] [--items N] [--events N] [--rounds N] [--run DIR]

A synthetic log (50 topics, activity and popularity fall with a power of the rank), `recli prepare`, `recli train-cf
--algorithm ials` with 64 factors; `--run`: a run that is there, with its model `ials`. Then in turn, each in a fresh
process, on one thread: `rank`, the ranking alone, 20 items for all users with test items, what they had masked; `recli
recommend` of the same lists, which reads and writes too; `recli evaluate` with its default metrics; the same and `auc`,
the one metric for which lists are not enough. CPU seconds of the process, medians over the rounds; the command's are
also by part. Limit: the command cannot take less than the ranking; `start` is what Python, numpy, scipy and polars
take to be imported, and does not grow with users.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

TOPICS = 50
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
ENVIRONMENT = os.environ | ONE_THREAD | {"POLARS_MAX_THREADS": "1"}
PARTS = (  # what of the command is timed, and what it is called
    ("recli.storage.runs", "read_interactions", "reading"),
    ("recli.storage.runs", "read_model", "reading"),
    ("recli.steps.evaluate.step", "make_test_set", "the test set"),
    ("recli.steps.evaluate.evaluator", "Evaluator._before", "histories"),
    ("recli.steps.evaluate.evaluator", "evaluate_model", "ranking, measuring"),
    ("recli.steps.evaluate.test_set", "auc_of", "auc"),
    ("recli.metrics.positions", "_compiled", "compiling"),
    ("recli.steps.evaluate.step", "diversity_vectors", "metrics, slices"),
    ("recli.steps.evaluate.evaluator", "measure", "metrics, slices"),
    ("recli.steps.evaluate.step", "resample", "bootstrap"),
    ("recli.steps.evaluate.step", "scorecard", "bootstrap"),
    ("recli.steps.evaluate.step", "per_user_frame", "writing"),
    ("recli.steps.evaluate.step", "write", "writing"),
)


def write_log(path: Path, n_users: int, n_items: int, n_events: int) -> None:
    """Distinct pairs of users and items with times; of a user's events 7 in 10 are in one topic."""
    import polars as pl

    rng = np.random.default_rng(0)

    def drawn(n: int, size: int) -> Any:
        chances = (np.arange(n) + 20.0) ** -0.6
        return np.minimum(np.searchsorted(np.cumsum(chances) / chances.sum(), rng.random(size)), n - 1)

    size = int(1.3 * n_events)
    users, topics = drawn(n_users, size), rng.integers(0, TOPICS, size)
    topics = np.where(rng.random(size) < 0.7, users % TOPICS, topics)
    items = np.minimum(drawn(max(n_items // TOPICS, 1), size) * TOPICS + topics, n_items - 1)
    pairs = rng.permutation(np.unique(users * n_items + items))[:n_events]
    times = rng.integers(1_600_000_000, 1_700_000_000, pairs.size)
    columns = {"user_id": pairs // n_items, "item_id": pairs % n_items, "timestamp": times}
    pl.DataFrame(columns).write_parquet(path)


def recli(*arguments: str) -> None:
    command = [sys.executable, "-m", "recli", *arguments, "--quiet"]
    subprocess.run(command, check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL)


def make_run(folder: Path, n_users: int, n_items: int, n_events: int) -> Path:
    write_log(folder / "log.parquet", n_users, n_items, n_events)
    recli("prepare", str(folder / "log.parquet"), "--out", str(folder / "run"))
    recli("train-cf", str(folder / "run"), "--factors", "64", "--iterations", "2", "--device", "cpu")
    return folder / "run"


def ranking(run: Path) -> dict[str, float]:
    """CPU seconds of the ranking alone, and the users."""
    from recli.ranking.topk import rank
    from recli.steps.evaluate.test_set import make_test_set
    from recli.storage import runs

    test_set, _ = make_test_set(runs.read_interactions(run), "test")
    stored = runs.read_model(run / "models" / "ials")
    history = stored.interactions.history(stored.trained_on)[test_set.users]
    started = time.process_time()
    rank(stored.model, history, test_set.users, k=20, ties=test_set.ties, seen=test_set.seen)
    return {"ranking": time.process_time() - started, "users": test_set.n_users}


def listing(run: Path) -> dict[str, float]:
    """CPU seconds of `recli recommend`: the lists of all users of the run."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["recommend", str(run), "--model", "ials", "-k", "20", "--quiet"]
        arguments += ["--out", f"{folder}/lists.parquet"]
        importlib.import_module("recli.cli.app").app(arguments, standalone_mode=False)
    return {"all": time.process_time()}


def command(run: Path, *options: str) -> dict[str, float]:
    """CPU seconds of the command by part; `all`: from the start of the process."""
    spent: dict[str, float] = {}
    for module, name, part in PARTS:
        _clock(importlib.import_module(module), name, part, spent)
    arguments = ["evaluate", str(run), "--models", "ials", "--name", "speed", "--quiet", *options]
    importlib.import_module("recli.cli.app").app(arguments, standalone_mode=False)
    return spent | {"all": time.process_time()}


def _clock(module: Any, name: str, part: str, spent: dict[str, float]) -> None:
    """Add up the CPU seconds of a module's function, or a class's method (`Class.method`), as those of `part`."""
    *owners, name = name.split(".")
    for owner in owners:
        module = getattr(module, owner)
    timed: Callable[..., Any] = getattr(module, name)

    def clocked(*args: Any, **options: Any) -> Any:
        started = time.process_time()
        made = timed(*args, **options)
        spent[part] = spent.get(part, 0.0) + time.process_time() - started
        return made

    setattr(module, name, clocked)


def measured(what: str, run: Path, *options: str) -> dict[str, float]:
    """What `what` (`ranking` or `command`) tells, from a process of its own."""
    call = [
        sys.executable,
        __file__,
        "--inside",
        what,
        "--run",
        str(run),
        *(f"--option={o}" for o in options),
    ]
    result = subprocess.run(call, check=True, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True).stdout
    found: dict[str, float] = json.loads(result.splitlines()[-1])
    return found


def medians(rounds: Sequence[dict[str, float]]) -> dict[str, float]:
    return {part: statistics.median(one.get(part, 0.0) for one in rounds) for part in rounds[0]}


def table(
    alone: dict[str, float], lists: dict[str, float], short: dict[str, float], whole: dict[str, float]
) -> list[str]:
    """Lines of Markdown: microseconds per user and share of the ranking, of the command without and with auc."""
    users, ranking = alone["users"], alone["ranking"]
    lines = [
        "| part | default metrics, us | of the ranking | and auc, us | of the ranking |",
        "|:--|---:|---:|---:|---:|",
    ]

    def line(name: str, *seconds: float) -> None:
        cells = (f"{s / users * 1e6:.1f} | {s / ranking:.1%}" for s in seconds)
        lines.append(f"| {name} | {' | '.join(cells)} |")

    line("ranking alone", ranking, ranking)
    both = (short, whole)
    line(
        "ranking and measuring, on top",
        *(b["ranking, measuring"] - b.get("auc", 0.0) - ranking for b in both),
    )
    line("auc, machine code made before", *(b.get("auc", 0.0) - b.get("compiling", 0.0) for b in both))
    line("making it", *(b.get("compiling", 0.0) for b in both))
    parts = [
        p for p in dict.fromkeys(p for *_, p in PARTS) if p not in ("ranking, measuring", "auc", "compiling")
    ]
    for part in parts:
        line(part, *(b[part] for b in both))
    line("start, imports", *(b["all"] - b["ranking, measuring"] - sum(b[p] for p in parts) for b in both))
    line("**the command, on top**", *(b["all"] - ranking for b in both))
    line("`recli recommend`, on top", *(lists["all"] - ranking for _ in both))
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--inside", choices=("ranking", "listing", "command"), help=argparse.SUPPRESS)
    parser.add_argument("--option", action="append", default=[], help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.inside:
        inside = {"ranking": ranking, "listing": listing, "command": command}
        print(json.dumps(inside[asked.inside](asked.run, *asked.option)))
        return
    with tempfile.TemporaryDirectory() as folder:
        run = asked.run or make_run(Path(folder), asked.users, asked.items, asked.events)
        from recli.steps.evaluate.config import DEFAULT

        rounds: list[list[dict[str, float]]] = [[], [], [], []]
        for _ in range(asked.rounds):
            rounds[0].append(measured("ranking", run))
            rounds[1].append(measured("listing", run))
            rounds[2].append(measured("command", run))
            rounds[3].append(measured("command", run, "--metrics", f"{DEFAULT},auc"))
    alone, lists, short, whole = map(medians, rounds)
    print(
        f"{alone['users']:,.0f} users; ranking alone {alone['ranking']:.2f} CPU s, "
        f"`recli recommend` {lists['all']:.2f}, `recli evaluate` {short['all']:.2f}, with auc {whole['all']:.2f}\n"
    )
    print("\n".join(table(alone, lists, short, whole)))


if __name__ == "__main__":
    main()
