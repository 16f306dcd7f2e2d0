"""What `recli train-cf` takes: `als` beside implicit by hand, models in closed form beside what one would write.

    python tests/benchmarks/train_speed.py [--run RUN] [--only als|closed] [--factors D,...] [--threads N,...]
                                           [--rounds N] [--algorithms NAME,...] [--no-peers]

RUN: a prepared run (its training rows; it is not written to); without it the synthetic log of ials_speed.py, 31,668
users, 38,048 items, 1.2 million interactions. Both sides get the same matrix, options, precision (float32) and threads.

als: 15 iterations, CPU seconds of the process, the median over rounds in which both take their turn. `outside`: what
of recli's fit is not implicit's own `fit`, taken inside the same runs, which tells a small share better than the
difference of two noisy runs. With --run also the command itself: imports, reading, judging and writing included.

closed: models without iterations, each fit in a process of its own: CPU and wall seconds of the fit, and the peak
memory of that process with the data and all libraries. Peers, on equal terms: `sklearn`: NearestNeighbors (cosine,
brute), as many neighbors; `scipy`: a product of sparse matrices and argpartition by blocks; `svds`: scipy's, of the
normalized matrix, as many vectors; `inv`: numpy's inverse of X'X + l2 I; `solve`: numpy's, item by item, of X'X cut to
the item's neighbors, which it is given. Their recommendations are not compared here. ease is on the 10,000 most
popular items; user-knn, which trains nothing, finds the neighbors of 2,000 users.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

if __package__:
    from benchmarks.datasets import measured
    from benchmarks.ials_speed import synthetic
else:
    from datasets import measured
    from ials_speed import synthetic

_BLOCK = 512  # rows that peers hold densely
_ASKED = 2000  # users whose neighbors are sought


@dataclass(frozen=True)
class Case:
    """A model in closed form, its options, and the peer beside it."""

    algorithm: str
    options: dict[str, Any] = field(default_factory=dict)
    peer: str = ""
    width: int = 0  # neighbors or vectors that the peer is asked for
    items: int = 0  # the most popular ones that are kept; 0: all


CASES = {
    "item-knn": Case("item-knn", peer="sklearn", width=400),
    "rp3beta": Case("rp3beta", peer="scipy", width=500),
    "user-knn": Case("user-knn", peer="sklearn", width=300),
    "sequential-rules": Case("sequential-rules"),
    "gf-cf": Case("gf-cf", {"rank": 256}, peer="svds", width=256),
    "bspm": Case("bspm", {"rank": 384}, peer="svds", width=384),
    "ease": Case("ease", peer="inv", items=10_000),
    "ease-200": Case("ease", {"neighbors": 200}, peer="solve", width=200, items=10_000),
}


# --- als


@contextmanager
def timed_fit(kept: list[float]) -> Iterator[None]:
    """Note the CPU seconds of implicit's own `fit` calls."""
    from implicit.cpu.als import AlternatingLeastSquares

    theirs = AlternatingLeastSquares.fit

    def fit(*given: Any, **options: Any) -> None:
        started = time.process_time()
        theirs(*given, **options)
        kept.append(time.process_time() - started)

    with mock.patch.object(AlternatingLeastSquares, "fit", fit):
        yield


def als_by_recli(matrix: Any, factors: int, threads: int) -> tuple[float, float]:
    """CPU seconds of the fit, and of what in it is not implicit's."""
    from recli.models.als import AlsConfig, fit
    from recli.models.base import Training

    inside: list[float] = []
    with timed_fit(inside):
        started = time.process_time()
        fit(AlsConfig(factors=factors), Training(matrix, threads=threads))
        took = time.process_time() - started
    return took, took - sum(inside)


def als_by_hand(matrix: Any, factors: int, threads: int) -> float:
    """CPU seconds of what implicit's manual says: one BLAS thread, its own threads, the same options."""
    from implicit.cpu.als import AlternatingLeastSquares
    from threadpoolctl import threadpool_limits

    from recli.models.als import AlsConfig

    config = AlsConfig(factors=factors)
    with threadpool_limits(1, "blas"):
        started = time.process_time()
        AlternatingLeastSquares(
            factors=factors,
            regularization=config.regularization,
            alpha=config.alpha,
            iterations=config.iterations,
            num_threads=threads,
            random_state=0,
        ).fit(matrix, show_progress=False)
        return time.process_time() - started


def print_als(matrix: Any, factors: list[int], threads: list[int], rounds: int, run: Path | None) -> None:
    print(
        "\n| factors | threads | implicit, CPU s | recli, CPU s | recli / implicit | outside, CPU s | share |"
    )
    print("|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    for d in factors:
        for number in threads:
            hand, ours = [], []
            for _ in range(rounds):
                hand.append(als_by_hand(matrix, d, number))
                ours.append(als_by_recli(matrix, d, number))
            by_hand = statistics.median(hand)
            took, outside = (statistics.median(values) for values in zip(*ours, strict=True))
            print(
                f"| {d} | {number} | {by_hand:.2f} | {took:.2f} | {took / by_hand:.3f} | {outside:.2f} "
                f"| {outside / (took - outside):.1%} |",
                flush=True,
            )
    if run is not None:
        print_command(run, factors, threads, rounds)


def print_command(run: Path, factors: list[int], threads: list[int], rounds: int) -> None:
    """Print what the whole command takes, on a copy of the run."""
    print("\n| command | CPU s | wall s | peak MB |\n|---|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "run")
        shutil.copytree(run / "interactions", copy / "interactions")
        for d in factors:
            for number in threads:
                command = f"train-cf {copy} --quiet --algorithm als --factors {d} --threads {number}"
                took = [measured(command.split()) for _ in range(rounds)]
                cpu, wall, peak = (
                    statistics.median(getattr(m, name) for m in took)
                    for name in ("cpu_seconds", "seconds", "peak_mb")
                )
                print(
                    f"| `recli {command.replace(str(copy), 'RUN')}` | {cpu:.1f} | {wall:.1f} | {peak:.0f} |",
                    flush=True,
                )


# --- models in closed form: each runs in a process of its own


def popular(matrix: Any, items: int) -> Any:
    """The columns of the `items` most popular items; 0: all."""
    if not items or items >= matrix.shape[1]:
        return matrix
    kept = np.sort(np.argsort(-matrix.getnnz(axis=0), kind="stable")[:items])
    return matrix[:, kept].tocsr()


def closed_by_recli(case: Case, matrix: Any, threads: int) -> None:
    import polars as pl

    from recli.models.base import Training, algorithms

    cells = matrix.tocoo()
    times = np.random.default_rng(0).permutation(matrix.nnz)
    rows = pl.DataFrame({"user": cells.row, "item": cells.col, "value": cells.data, "timestamp": times})
    chosen = algorithms[case.algorithm]
    model: Any = chosen.fit(chosen.config(**case.options), Training(matrix, rows=rows, threads=threads))
    if case.algorithm == "user-knn":  # its work is in the asking
        model.neighbors(matrix[:_ASKED], np.arange(min(_ASKED, matrix.shape[0])))


def closed_by_peer(case: Case, matrix: Any, threads: int) -> None:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(threads):
        PEERS[case.peer](case, matrix, threads)


def by_sklearn(case: Case, matrix: Any, threads: int) -> None:
    from sklearn.neighbors import NearestNeighbors

    rows = matrix if case.algorithm == "user-knn" else matrix.T.tocsr()
    asked = rows[:_ASKED] if case.algorithm == "user-knn" else rows
    width = min(case.width, rows.shape[0])
    model = NearestNeighbors(n_neighbors=width, metric="cosine", algorithm="brute", n_jobs=threads)
    model.fit(rows).kneighbors(asked)


def by_scipy(case: Case, matrix: Any, threads: int) -> None:
    from sklearn.preprocessing import normalize

    left, right = normalize(matrix.T.tocsr(), "l1"), normalize(matrix, "l1")
    width = min(case.width, left.shape[0] - 1)
    for start in range(0, left.shape[0], _BLOCK):
        walks = (left[start : start + _BLOCK] @ right).toarray()
        chosen = np.argpartition(-walks, width, axis=1)[:, :width]
        np.take_along_axis(walks, chosen, axis=1)


def by_svds(case: Case, matrix: Any, threads: int) -> None:
    from scipy.sparse import diags
    from scipy.sparse.linalg import svds

    users, items = (1 / np.sqrt(np.maximum(matrix.getnnz(axis=a), 1)) for a in (1, 0))
    graph = (diags(users) @ matrix @ diags(items)).astype(np.float32)
    svds(graph, k=min(case.width, min(matrix.shape) - 1))


def by_inv(case: Case, matrix: Any, threads: int) -> None:
    gram = (matrix.T @ matrix).toarray()
    gram[np.diag_indices_from(gram)] += 200.0
    inverse = np.linalg.inv(gram)
    np.fill_diagonal(inverse / -np.diag(inverse), 0.0)


def by_solve(case: Case, matrix: Any, threads: int) -> None:
    gram = (matrix.T @ matrix).tocsr()
    for j in range(gram.shape[0]):
        row = gram[j]
        near = row.indices[np.argsort(-row.data)[: case.width]]
        near = near[near != j]
        np.linalg.solve(
            gram[near][:, near].toarray() + 200.0 * np.eye(near.size, dtype=np.float32),
            gram[near, j].toarray(),
        )


PEERS: dict[str, Callable[[Case, Any, int], None]] = {
    "sklearn": by_sklearn,
    "scipy": by_scipy,
    "svds": by_svds,
    "inv": by_inv,
    "solve": by_solve,
}


def child(side: str, name: str, threads: int, stored: Path) -> None:
    """Run one side of one case; prints its CPU seconds, wall seconds and peak memory in MB as JSON."""
    import scipy.sparse.linalg
    import sklearn.neighbors  # noqa: F401

    from recli.models.base import algorithms

    case = CASES[name]
    algorithms[case.algorithm]  # its imports are not what is timed
    matrix = popular(scipy.sparse.load_npz(stored), case.items)
    run = closed_by_recli if side == "recli" else closed_by_peer
    cpu, wall = time.process_time(), time.perf_counter()
    run(case, matrix, threads)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    peak = int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    print(json.dumps([cpu, wall, peak]))


def one(side: str, name: str, threads: int, stored: Path) -> list[float]:
    command = [sys.executable, __file__, "--one", side, name, str(threads), str(stored)]
    result = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout
    made: list[float] = json.loads(result)
    return made


def print_closed(matrix: Any, names: list[str], threads: list[int], rounds: int, peers: bool) -> None:
    from scipy.sparse import save_npz

    print(
        "\n| algorithm | threads | CPU s | wall s | peak MB | peer | CPU s | wall s | peak MB | peer / recli, CPU |"
    )
    print("|---|---:|---:|---:|---:|---|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        stored = Path(folder, "matrix.npz")
        save_npz(stored, matrix, compressed=False)
        for name in names:
            for number in threads:
                sides = ["recli"] + ["peer"] * (peers and bool(CASES[name].peer))
                took: dict[str, list[list[float]]] = {side: [] for side in sides}
                for _ in range(rounds):
                    for side in sides:
                        took[side].append(one(side, name, number, stored))
                medians = {s: [statistics.median(v) for v in zip(*t, strict=True)] for s, t in took.items()}
                print(f"| {name} | {number} {closed_cells(medians, CASES[name].peer)}", flush=True)


def closed_cells(medians: dict[str, list[float]], peer: str) -> str:
    ours, theirs = medians["recli"], medians.get("peer")
    cells = "".join(f"| {value:.{digits}f} " for value, digits in zip(ours, (2, 2, 0), strict=True))
    if theirs is None:
        return cells + "| | | | | |"
    cells += f"| {peer} " + "".join(f"| {v:.{n}f} " for v, n in zip(theirs, (2, 2, 0), strict=True))
    return cells + f"| {theirs[0] / ours[0]:.1f} |"


def training_matrix(run: Path | None) -> Any:
    """The training interactions, csr float32 (n_users, n_items)."""
    if run is None:
        return synthetic()
    from recli.storage.runs import read_interactions

    return read_interactions(run).matrix("train")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path)
    parser.add_argument("--only", choices=("als", "closed"))
    parser.add_argument("--factors", default="64,128", metavar="D,...")
    parser.add_argument("--threads", default="1,2", metavar="N,...")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--algorithms", default=",".join(CASES), metavar="NAME,...")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        side, name, number, stored = given.one
        child(side, name, int(number), Path(stored))
        return
    from recli.compute.threads import load_openmp
    from recli.models.kernels.ials_cpu import compiled_kernel

    load_openmp()
    compiled_kernel()  # so that it is kept, and a process need not compile it
    matrix = training_matrix(given.run)
    threads = [int(number) for number in given.threads.split(",")]
    n_users, n_items = matrix.shape
    print(f"{n_users:,} users, {n_items:,} items, {matrix.nnz:,} interactions; float32")
    if given.only != "closed":
        print_als(matrix, [int(d) for d in given.factors.split(",")], threads, given.rounds, given.run)
    if given.only != "als":
        print_closed(matrix, given.algorithms.split(","), threads, given.rounds, not given.no_peers)


if __name__ == "__main__":
    main()
