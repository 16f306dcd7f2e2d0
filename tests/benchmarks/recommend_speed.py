"""CPU microseconds per user of the 100 best of 20,000 items by factors: `recli`'s ranking and implicit's `recommend`.

    python tests/benchmarks/recommend_speed.py [--factors D,...] [--users N] [--items N] [--rounds N] [-k K]
    python tests/benchmarks/recommend_speed.py --run RUN [--most N] [--rounds N] [-k K]

Random factors and histories of 50 items, which are masked: what is ranked does not change the work. Both rank all users
in batches, on one thread; runs alternate, CPU seconds of the process, the median over the rounds. `product` is the
product of the factors by itself, in float32 and in bfloat16: what no ranking of all items goes below. `equal`: the
share of places in which both name the same item; sums in another order part scores that are equal to 7 digits.

With `--run`: of every model in a run, CPU seconds for 100,000 users as `recommend` ranks for them, measured with at
most N of its users. Nothing is read or written while it is timed.
"""

import argparse
import os
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

BATCH = 1000  # users that implicit is given at a time
HISTORY = 50


@dataclass(frozen=True)
class Work:
    """Factors (n, d) and (m, d) of users and items, and what is masked, csr (n, m); all float32."""

    users: Any
    items: Any
    seen: Any


def work(n_users: int, n_items: int, factors: int) -> Work:
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(n_users), HISTORY)
    chances = (np.arange(n_items) + 20.0) ** -0.6
    pairs = np.unique(rows * n_items + rng.choice(n_items, rows.size, p=chances / chances.sum()))
    ones = np.ones(pairs.size, dtype=np.float32)
    seen = csr_matrix((ones, (pairs // n_items, pairs % n_items)), shape=(n_users, n_items))
    users, items = (rng.normal(size=(n, factors)).astype(np.float32) for n in (n_users, n_items))
    return Work(users, items, seen)


def by_recli(given: Work, k: int) -> Any:
    """Items of all lists, int32 (n_users, k)."""
    from recli.data.history import History
    from recli.models.kernels.factors import Factors
    from recli.ranking.topk import rank

    n_users, n_items = given.seen.shape
    model = Factors(
        given.users, given.items, lambda history: np.zeros((history.shape[0], given.users.shape[1]))
    )
    ties = np.random.default_rng(1).permutation(n_items).astype(np.int32)
    return rank(model, History(given.seen), np.arange(n_users), k=k, ties=ties, seen=given.seen).items


def by_implicit(given: Work, k: int) -> Any:
    """The same by implicit."""
    from implicit.cpu.als import AlternatingLeastSquares

    model = AlternatingLeastSquares(factors=given.users.shape[1], num_threads=1)
    model.user_factors, model.item_factors = given.users, given.items
    batches = [np.arange(s, min(s + BATCH, len(given.users))) for s in range(0, len(given.users), BATCH)]
    return np.concatenate(
        [
            model.recommend(batch, given.seen[batch], N=k, filter_already_liked_items=True)[0]
            for batch in batches
        ]
    )


def product(given: Work, k: int) -> None:
    for start in range(0, len(given.users), BATCH // 2):
        given.users[start : start + BATCH // 2] @ given.items.T


def rough_product(given: Work, k: int) -> None:
    import torch

    users, items = (torch.from_numpy(factors).bfloat16() for factors in (given.users, given.items.T.copy()))
    made = torch.empty((BATCH // 2, items.shape[1]), dtype=torch.bfloat16)
    for start in range(0, len(users), BATCH // 2):
        part = users[start : start + BATCH // 2]
        torch.mm(part, items, out=made[: len(part)])


@contextmanager
def one_core() -> Iterator[None]:
    """All that counts cores finds one."""
    import torch

    mine, threads = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, {min(mine)})
    torch.set_num_threads(1)
    yield
    os.sched_setaffinity(0, mine)
    torch.set_num_threads(threads)


def microseconds(run: Callable[[Work, int], Any], given: Work, k: int) -> tuple[float, Any]:
    started = time.process_time()
    made = run(given, k)
    return (time.process_time() - started) / len(given.users) * 1e6, made


def of_run(path: Path, k: int, most: int, rounds: int) -> None:
    """Print CPU seconds per 100,000 users of all models in a run."""
    from recli.compute.threads import one_blas_thread
    from recli.steps.recommend.recommender import RecommendOptions, recommend_batches
    from recli.steps.recommend.users import all_users
    from recli.storage import parts
    from recli.storage import runs as artifacts

    print("| model | algorithm | items | users | CPU s per 100,000 users |")
    print("|---|---|---:|---:|---:|", flush=True)
    for name in parts.part_names(path, "models"):
        stored = artifacts.read_model(path / "models" / name)
        whole = all_users(stored.interactions.users["user_id"].to_list())
        asked = replace(whole, user_ids=whole.user_ids[:most], rows=whole.rows[:most])
        seconds = []
        with one_core(), one_blas_thread():
            for _ in range(rounds):
                started = time.process_time()
                made = sum(
                    lists.positions.size for lists in recommend_batches(stored, asked, RecommendOptions(k=k))
                )
                seconds.append((time.process_time() - started) / len(asked.rows) * 1e5)
        n_items = stored.interactions.n_items
        print(
            f"| {name} | {stored.algorithm} | {n_items:,} | {made:,} | {statistics.median(seconds):.1f} |",
            flush=True,
        )


def main() -> None:
    from recli.compute.threads import load_openmp, one_blas_thread

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--factors", default="64,128", metavar="D,...")
    parser.add_argument("--users", type=int, default=60_000)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("-k", type=int, default=100)
    parser.add_argument("--run", type=Path)
    parser.add_argument("--most", type=int, default=100_000, metavar="N")
    asked = parser.parse_args()
    load_openmp()
    if asked.run is not None:
        of_run(asked.run, asked.k, asked.most, asked.rounds)
        return
    print("| factors | recli, us | implicit, us | implicit / recli | product, us | in bfloat16, us | equal |")
    print("|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    for factors in map(int, asked.factors.split(",")):
        given = work(asked.users, asked.items, factors)
        runs = {run: [0.0] * asked.rounds for run in (by_recli, by_implicit, product, rough_product)}
        made: dict[Any, Any] = {}
        with one_core(), one_blas_thread():
            for turn in range(asked.rounds):
                for run, seconds in runs.items():
                    seconds[turn], made[run] = microseconds(run, given, asked.k)
        ours, theirs, least, rough = (statistics.median(seconds) for seconds in runs.values())
        equal = float((made[by_recli] == made[by_implicit]).mean())
        print(
            f"| {factors} | {ours:.0f} | {theirs:.0f} | {theirs / ours:.2f} | {least:.0f} | {rough:.0f} "
            f"| {equal:.4%} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
