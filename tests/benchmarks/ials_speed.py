"""CPU seconds of an iteration of `ials` and of implicit's ALS, on one thread each.

    python tests/benchmarks/ials_speed.py [DATA] [--factors D,...] [--rounds N] [--iterations N]

DATA: the folder with yelp2018's train.csv.gz; without it a synthetic log of the same size (31,668 users, 38,048 items,
1.2 million interactions, long-tailed). Both solvers take three steps of conjugate gradients a row. Runs alternate, so
that a busy machine slows both alike; CPU seconds of the process, not the clock's; an iteration's median over all
rounds. What comes before the first iteration (reading, transposing, compiling) is in neither.
"""

import argparse
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np

USERS, ITEMS, EVENTS = 31_668, 38_048, 1_237_259


def synthetic() -> Any:
    """A binary csr float32 (USERS, ITEMS): activity and popularity fall with a power of the rank."""
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(0)
    chances = [(np.arange(n) + 20.0) ** -0.6 for n in (USERS, ITEMS)]
    drawn = [
        rng.choice(n, int(1.15 * EVENTS), p=c / c.sum()) for n, c in zip((USERS, ITEMS), chances, strict=True)
    ]
    pairs = np.unique(drawn[0] * ITEMS + drawn[1])
    pairs = np.sort(rng.permutation(pairs)[:EVENTS])
    ones = np.ones(pairs.size, dtype=np.float32)
    return csr_matrix((ones, (pairs // ITEMS, pairs % ITEMS)), shape=(USERS, ITEMS))


def published(data: Path) -> Any:
    """yelp2018's training rows as a binary csr float32 (n_users, n_items)."""
    import polars as pl
    from scipy.sparse import csr_matrix

    rows = pl.read_csv(data / "train.csv.gz").unique()
    users, items = (rows[name].rank("dense").to_numpy().astype(np.int64) - 1 for name in rows.columns[:2])
    return csr_matrix((np.ones(rows.height, dtype=np.float32), (users, items)))


class Clock:
    """CPU seconds between its calls; the first call starts it."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def __call__(self, *_: Any) -> None:
        self.marks.append(time.process_time())

    @property
    def seconds(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.marks, self.marks[1:], strict=False)]


def recli_seconds(matrix: Any, factors: int, iterations: int) -> list[float]:
    """CPU seconds of each iteration of `ials` but the first, which starts the clock."""
    from recli.models import ials
    from recli.models.base import Training

    clock = Clock()
    config = ials.IalsConfig(factors=factors, iterations=iterations + 1)
    ials.fit(config, Training(matrix, threads=1, advance=clock))
    return clock.seconds


def implicit_seconds(matrix: Any, factors: int, iterations: int) -> list[float]:
    """CPU seconds of each iteration of implicit's ALS but the first, which starts the clock."""
    from recli.models.threads import load_openmp, one_blas_thread

    load_openmp()
    from implicit.cpu.als import AlternatingLeastSquares

    clock = Clock()
    with one_blas_thread():
        model = AlternatingLeastSquares(
            factors=factors,
            regularization=50.0,
            alpha=20.0,
            iterations=iterations + 1,
            num_threads=1,
            random_state=0,
        )
        model.fit(matrix, show_progress=False, callback=clock)
    return clock.seconds


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--factors", default="64,128", metavar="D,...")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turn")
    parser.add_argument("--iterations", type=int, default=3, help="that are timed in a run")
    given = parser.parse_args()
    matrix = published(given.data) if given.data else synthetic()
    n_users, n_items = matrix.shape
    print(f"{n_users:,} users, {n_items:,} items, {matrix.nnz:,} interactions\n")
    print("| factors | ials, CPU s | implicit, CPU s | implicit / ials |\n|---:|---:|---:|---:|", flush=True)
    for factors in map(int, given.factors.split(",")):
        ours: list[float] = []
        theirs: list[float] = []
        for _ in range(given.rounds):
            ours += recli_seconds(matrix, factors, given.iterations)
            theirs += implicit_seconds(matrix, factors, given.iterations)
        mine, other = statistics.median(ours), statistics.median(theirs)
        print(f"| {factors} | {mine:.2f} | {other:.2f} | {other / mine:.2f} |", flush=True)


if __name__ == "__main__":
    main()
