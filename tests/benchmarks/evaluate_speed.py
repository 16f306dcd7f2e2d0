"""CPU seconds of ten metrics of 20 recommendations for each of many users: `recli`, ranx and RecTools.

    python tests/benchmarks/evaluate_speed.py [--users N] [--items N] [--ranx-users N] [--rounds N] [--rectools PYTHON]

Synthetic lists, and 1 to 10 test items a user, so that all divide a list's average precision by the same number
(`recli` by min(k, test items), the peers by test items). Everybody starts from what it takes, in memory, and ends with
ten means; one thread each; medians over rounds, one side after the other.

- recli: int32 lists (users, 20) and a csr matrix of test items; `evaluate_lists` and the metrics' functions.
- ranx: `evaluate` of a `Run` and `Qrels`, which are made of dictionaries (`ranx, made`: that takes apart); machine code
  is compiled before. It is asked about `--ranx-users` of the users, as a dictionary takes about 4 KB a user.
  `ranx, arrays`: its compiled metrics alone, on the numbers that it makes of the ids.
- RecTools: `calc_metrics` of two frames of integer ids, NDCG with `divide_by_achievable`; in its own Python, as it
  needs numpy 1: PYTHON, with rectools installed; without the option it is left out.

`largest difference` is that of any of the ten means from recli's over the same users. `recli evaluate` is the whole
command in a process of its own: Python's start, a run and a Parquet file of lists with ids as text read, ten metrics in
all slices, 1000 bootstrap draws, all users' figures written. The physical limit of ten metrics is one pass over lists
and test items: `pass` is numpy's sum of both.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

K = 20
NAMES = {  # of recli: ranx's, RecTools'
    "ndcg": ("ndcg", "NDCG"),
    "recall": ("recall", "Recall"),
    "map": ("map", "MAP"),
    "mrr": ("mrr", "MRR"),
    "precision": ("precision", "Precision"),
    "hit-rate": ("hit_rate", "HitRate"),
}
CUTS = [(name, k) for name in NAMES for k in (10, 20) if k == 10 or name not in ("precision", "hit-rate")]
METRICS = {f"{name}@{k}": (f"{NAMES[name][0]}@{k}", NAMES[name][1], k) for name, k in CUTS}
ONE_THREAD = {f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL", "NUMBA")}
ENVIRONMENT = os.environ | ONE_THREAD | {"POLARS_MAX_THREADS": "1"}
RECTOOLS = """
import json, sys, time
import numpy as np, pandas as pd
from rectools import metrics
folder, rounds, asked = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3])
lists, users, items = (np.load(f"{folder}/{name}.npy") for name in ("lists", "users", "items"))
n, k = lists.shape
reco = pd.DataFrame({"user_id": np.repeat(np.arange(n), k), "item_id": lists.ravel()})
reco["rank"] = np.tile(np.arange(1, k + 1), n)
tests = pd.DataFrame({"user_id": users, "item_id": items})
more = {"NDCG": {"divide_by_achievable": True}}
made = {label: getattr(metrics, name)(k=k, **more.get(name, {})) for label, (_, name, k) in asked.items()}
seconds = []
for _ in range(rounds):
    started = time.process_time()
    values = metrics.calc_metrics(made, reco, tests)
    seconds.append(time.process_time() - started)
print(json.dumps({"seconds": seconds, "values": values}))
"""


def synthetic(n_users: int, n_items: int) -> tuple[Any, Any, Any]:
    """Lists, int32 (n_users, K), and the pairs of users and their test items, of which one in four is listed."""
    rng = np.random.default_rng(0)
    lists = np.empty((n_users, K), dtype=np.int32)
    for start in range(0, n_users, 50_000):  # distinct items: each in a stretch of the catalogue of its own
        rows = min(50_000, n_users - start)
        stretch = rng.permuted(np.tile(np.arange(K, dtype=np.int32), (rows, 1)), axis=1)
        width = n_items // K
        lists[start : start + rows] = stretch * width + (rng.random((rows, K)) ** 3 * width).astype(np.int32)
    users = np.repeat(np.arange(n_users), rng.integers(1, 11, n_users))
    listed = lists[users, rng.integers(0, K, users.size)]
    items = np.where(rng.random(users.size) < 0.25, listed, rng.integers(0, n_items, users.size))
    pairs = np.unique(users * n_items + items)
    return lists, pairs // n_items, (pairs % n_items).astype(np.int32)


def by_recli(lists: Any, users: Any, items: Any, n_items: int) -> dict[str, float]:
    """The ten means by recli's metrics on arrays."""
    from scipy.sparse import csr_matrix

    from recli.metrics.base import TestSet, parse_metrics
    from recli.steps.evaluate.test_set import evaluate_lists

    n = len(lists)
    ends = np.searchsorted(users, np.arange(n + 1))
    relevant = csr_matrix((np.ones(items.size, dtype=np.float32), items, ends), shape=(n, n_items))
    nothing, counts = csr_matrix((n, n_items), dtype=np.float32), np.ones(n_items, dtype=np.int64)
    ties = np.arange(n_items, dtype=np.int32)
    evaluated = evaluate_lists(TestSet(np.arange(n), relevant, nothing, counts, n, counts == 0, ties), lists)
    cuts = {k: evaluated.cut(k) for k in (10, 20)}
    return {
        one.label: float(np.mean(one.metric.function(cuts[one.k]))) for one in parse_metrics(list(METRICS))
    }


def ranx_inputs(lists: Any, users: Any, items: Any) -> tuple[Any, Any]:
    """The dictionaries that `Qrels` and `Run` are made of."""
    tests: dict[str, dict[str, int]] = {f"u{user}": {} for user in range(len(lists))}
    for user, item in zip(users.tolist(), items.tolist(), strict=True):
        tests[f"u{user}"][f"i{item}"] = 1
    scores = [float(K - place) for place in range(K)]
    names = (dict(zip((f"i{item}" for item in row), scores, strict=True)) for row in lists.tolist())
    return tests, {f"u{user}": listed for user, listed in enumerate(names)}


def ranx_seconds(given: tuple[Any, Any, Any], rounds: int) -> tuple[dict[str, list[float]], dict[str, float]]:
    """CPU seconds of making a run, of `evaluate`, and of its metrics on its own arrays; the ten means."""
    from ranx import Qrels, Run, evaluate

    asked = [theirs for theirs, *_ in METRICS.values()]
    lists, users, items = given
    few = users < 100
    tests, listed = ranx_inputs(lists[:100], users[few], items[few])
    evaluate(Qrels(tests), Run(listed), asked)  # compiles
    tests, listed = ranx_inputs(*given)
    making, (qrels, run) = timed(lambda: (Qrels(tests), Run(listed)))
    tries = [timed(lambda: evaluate(qrels, run, asked, save_results_in_run=False)) for _ in range(rounds)]
    arrays = qrels.to_typed_list(), run.to_typed_list()
    alone = [timed(lambda: evaluate(*arrays, asked))[0] for _ in range(rounds)]
    spent = {"made": [making], "evaluate": [seconds for seconds, _ in tries], "arrays": alone}
    return spent, {ours: float(tries[0][1][theirs]) for ours, (theirs, *_) in METRICS.items()}


def rectools_seconds(python: str, folder: Path, rounds: int) -> tuple[list[float], dict[str, float]]:
    call = [python, "-c", RECTOOLS, str(folder), str(rounds), json.dumps(METRICS)]
    result = json.loads(subprocess.run(call, check=True, env=ENVIRONMENT, stdout=subprocess.PIPE).stdout)
    return result["seconds"], result["values"]


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    started = time.process_time()
    made = work()
    return time.process_time() - started, made


def recli(*arguments: str) -> float:
    """CPU seconds of a command, its process's start included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "recli", *arguments, "--quiet"]
    subprocess.run(command, check=True, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def command_seconds(
    folder: Path, lists: Any, users: Any, items: Any, n_items: int, rounds: int
) -> list[float]:
    """CPU seconds of `recli evaluate` of these lists in a Parquet file; everybody has 5 training events."""
    import polars as pl

    n, rng = len(lists), np.random.default_rng(1)

    def table(name: str, users: Any, items: Any, **more: Any) -> str:
        ids = (pl.format(f"{column[0]}{{}}", column).alias(column) for column in ("user_id", "item_id"))
        pl.DataFrame({"user_id": users, "item_id": items, **more}).with_columns(*ids).write_parquet(
            folder / name
        )
        return str(folder / name)

    train = table("log.parquet", np.repeat(np.arange(n), 5), rng.integers(0, n_items, 5 * n))
    test, run = table("test.parquet", users, items), str(folder / "run")
    ranks = np.tile(np.arange(1, K + 1, dtype=np.int32), n)
    listed = table("lists.parquet", np.repeat(np.arange(n), K), lists.ravel(), rank=ranks)
    recli("prepare", train, "--test-file", test, "--out", run)
    asked = ("--models", "none", "--recommendations", listed, "--metrics", ",".join(METRICS))
    return [recli("evaluate", run, *asked) for _ in range(rounds)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--ranx-users", type=int, default=200_000)
    parser.add_argument("--items", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rectools", metavar="PYTHON", help="a Python that has RecTools")
    asked = parser.parse_args()
    os.environ.update(ONE_THREAD)  # before anything is loaded that asks for it
    given = synthetic(asked.users, asked.items)
    lists, users, items = given
    some = min(asked.ranx_users, asked.users)
    few = users < some
    part = (lists[:some], users[few], items[few])
    print(
        "| what | users | CPU s | us a user | of recli | largest difference |\n|:--|---:|---:|---:|---:|---:|"
    )
    ours: dict[int, tuple[float, dict[str, float]]] = {}

    def row(what: str, n: int, seconds: list[float], values: dict[str, float] | None = None) -> None:
        middle = statistics.median(seconds)
        cells = [what, f"{n:,}", f"{middle:.3g}", f"{middle / n * 1e6:.3g}", f"{middle / ours[n][0]:.3g}"]
        apart = None if values is None else max(abs(values[name] - ours[n][1][name]) for name in METRICS)
        print(f"| {' | '.join(cells)} | {'' if apart is None else format(apart, '.0e')} |", flush=True)

    for n, lot in {asked.users: given, some: part}.items():
        tries = [timed(lambda lot=lot: by_recli(*lot, asked.items)) for _ in range(2 * asked.rounds)]
        ours[n] = statistics.median(seconds for seconds, _ in tries), tries[0][1]
        row("recli", n, [ours[n][0]])
        row("pass", n, [timed(lambda lot=lot: (lot[0].sum(), lot[2].sum()))[0] for _ in range(asked.rounds)])
    with tempfile.TemporaryDirectory() as folder:
        if asked.rectools:
            for name, array in zip(("lists", "users", "items"), given, strict=True):
                np.save(Path(folder) / f"{name}.npy", array)
            row("RecTools", asked.users, *rectools_seconds(asked.rectools, Path(folder), asked.rounds))
        row("recli evaluate", asked.users, command_seconds(Path(folder), *given, asked.items, asked.rounds))
    spent, values = ranx_seconds(part, asked.rounds)
    row("ranx", some, spent["evaluate"], values)
    row("ranx, arrays", some, spent["arrays"])
    row("ranx, made", some, spent["made"])


if __name__ == "__main__":
    main()
