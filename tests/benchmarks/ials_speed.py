"""CPU seconds of `ials` and of implicit's ALS to the same loss: both curves, side by side, on one thread each.

    python tests/benchmarks/ials_speed.py [DATA] [--factors D,...] [--rounds N] [--iterations N] [--device cuda]

DATA: the folder with yelp2018's train.csv.gz; without it a synthetic log of the same size (31,668 users, 38,048 items,
1.2 million interactions, long-tailed). Both take three steps of conjugate gradients a row and lower one objective:
implicit's, which on binary data is that of `ials` with nu 0, an unobserved weight a0 = 1 / (alpha - 1), lambda =
regularization / alpha, and factors that are smaller by (alpha / (alpha - 1))^(1/2). The loss is computed here for both,
as a share of that of no factors at all, and not timed. Seconds count from the call that trains, transposing and the
first half-step of `ials` included, compiling not; runs alternate, so that a busy machine slows both alike; the median
over the rounds. `product`: as many multiplications in a matrix product (BLAS), which no solver goes below.

--device cuda sets implicit's GPU ALS beside the batched torch version, by the clock, each iteration awaited; where
there is no GPU it says why and exits 5, as recli does. --device torch runs that version on the CPU, as a check.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

ALPHA, REGULARIZATION = 20.0, 50.0  # the defaults of `recli train-cf --algorithm als`
_CELLS = 2**16  # whose factors are gathered at a time
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


@dataclass
class Curve:
    """Seconds and losses after each iteration; `note` stops the clock while the loss is computed."""

    loss: Callable[[Any, Any], float]  # of users' and items' factors
    clock: Callable[[], float] = time.process_time
    seconds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)
    left_out: float = 0.0
    started: float = 0.0

    def start(self) -> "Curve":
        self.started = self.clock()
        return self

    def note(self, factors: Callable[[], tuple[Any, Any]]) -> None:
        now = self.clock()
        self.seconds.append(now - self.started - self.left_out)
        self.losses.append(self.loss(*factors()))
        self.left_out += self.clock() - now

    def seconds_to(self, loss: float) -> float:
        """When it came down to a loss, linear between iterations."""
        return float(np.interp(-loss, -np.array(self.losses), self.seconds))


def loss_of(matrix: Any) -> Callable[[Any, Any], float]:
    """What both lower, as a function of implicit's factors: 1 for none, with confidences ALPHA and 1."""
    cells = matrix.tocoo()

    def loss(users: Any, items: Any) -> float:
        gram = [factors.astype(np.float64).T @ factors for factors in (users, items)]
        total = float((gram[0] * gram[1]).sum() + REGULARIZATION * (gram[0].trace() + gram[1].trace()))
        for at in range(0, cells.nnz, _CELLS):
            rows, columns = cells.row[at : at + _CELLS], cells.col[at : at + _CELLS]
            fit = np.einsum("nd,nd->n", users[rows], items[columns]).astype(np.float64)
            total += float((ALPHA * (1 - fit) ** 2 - fit**2).sum())
        return total / (ALPHA * cells.nnz)

    return loss


@dataclass(frozen=True)
class Watched:
    """An engine of `ials` that keeps the factors it has made last."""

    engine: Any
    made: list[Any]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def half_step(self, *given: Any) -> Any:
        self.made[:] = self.engine.half_step(*given)
        return tuple(self.made)


def clock(device: str) -> Callable[[], float]:
    """CPU seconds; on a GPU, which works while the CPU goes on, the time when it has done all it was given."""
    if not device.startswith("cuda"):
        return time.process_time

    def awaited() -> float:
        import torch

        torch.cuda.synchronize()
        return time.perf_counter()

    return awaited


def by_recli(matrix: Any, factors: int, iterations: int, curve: Curve, device: str) -> None:
    from recli.models import ials
    from recli.models.base import Training
    from recli.models.kernels.ials_cpu import cpu_engine
    from recli.models.kernels.ials_torch import torch_engine

    weights = ials.Weights(1 / (ALPHA - 1), REGULARIZATION / ALPHA, nu=0.0)
    scale = np.float32(np.sqrt(ALPHA / (ALPHA - 1)))
    config = ials.IalsConfig(factors=factors, iterations=iterations)
    chosen: Any = cpu_engine(1) if device == "cpu" else torch_engine(device.replace("torch", "cpu"))
    with chosen as engine:
        watched = Watched(engine, [])

        def scaled() -> tuple[Any, Any]:
            users, items = (engine.numpy(made) for made in watched.made[:2])
            return users * scale, items * scale

        curve.start()
        training = Training(matrix, threads=1, advance=lambda *_: curve.note(scaled))
        ials.train(config, weights, training, watched)


def by_implicit(matrix: Any, factors: int, iterations: int, curve: Curve, device: str) -> None:
    from implicit.cpu.als import AlternatingLeastSquares

    from recli.compute.devices import gpu_als
    from recli.compute.threads import one_blas_thread
    from recli.models.als import on_cpu

    options: dict[str, Any] = {"factors": factors, "regularization": REGULARIZATION, "iterations": iterations}
    with one_blas_thread():
        if device.startswith("cuda"):
            model = gpu_als(device, random_state=1, **options)
            matrix = matrix * np.float32(ALPHA)  # its fit ignores alpha
        else:
            model = AlternatingLeastSquares(alpha=ALPHA, num_threads=1, random_state=0, **options)
        curve.start()
        model.fit(
            matrix,
            show_progress=False,
            callback=lambda *_: curve.note(lambda: (on_cpu(model.user_factors), on_cpu(model.item_factors))),
        )


def median_of(curves: list[Curve]) -> Curve:
    """One curve of several rounds: all have the same losses."""
    seconds = [statistics.median(times) for times in zip(*(c.seconds for c in curves), strict=True)]
    return Curve(curves[0].loss, curves[0].clock, seconds, curves[0].losses)


def product_seconds(matrix: Any, factors: int) -> float:
    """CPU seconds of as many multiplications as an iteration's, by BLAS: two for each cell, factor, pass and side."""
    from recli.compute.threads import one_blas_thread
    from recli.models.ials import STEPS

    square = np.ones((2048, 2048), dtype=np.float32)
    with one_blas_thread():
        square @ square
        started = time.process_time()
        square @ square
        seconds = time.process_time() - started
    return seconds * (2 * matrix.nnz * factors * (STEPS + 1) * 2) / 2048**3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--factors", default="64,128", metavar="D,...")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turn")
    parser.add_argument("--iterations", type=int, default=15)
    parser.add_argument("--device", default="cpu", help="cpu, cuda, cuda:N or torch")
    given = parser.parse_args()
    from recli.compute.devices import choose_device
    from recli.compute.threads import load_openmp
    from recli.errors import RecliError
    from recli.models.kernels.ials_cpu import compiled_kernel

    device = given.device
    if device != "torch":
        try:
            device, _ = choose_device(device, "als", "implicit")
        except RecliError as error:
            print(error, file=sys.stderr)
            sys.exit(error.code)
    load_openmp()
    compiled_kernel()
    matrix = published(given.data) if given.data else synthetic()
    n_users, n_items = matrix.shape
    print(f"{n_users:,} users, {n_items:,} items, {matrix.nnz:,} interactions; {device}, one thread, float32")
    for factors in map(int, given.factors.split(",")):
        compare(matrix, factors, given.rounds, given.iterations, device)


def compare(matrix: Any, factors: int, rounds: int, iterations: int, device: str) -> None:
    """Print both curves, and how much sooner `ials` comes to the loss that both reach."""
    loss = loss_of(matrix)
    curves: dict[Any, list[Curve]] = {by_recli: [], by_implicit: []}
    if device.startswith("cuda"):  # the first launches of a process load their kernels
        for run in curves:
            run(matrix, factors, 1, Curve(loss), device)
    for _ in range(rounds):
        for run, kept in curves.items():
            kept.append(Curve(loss, clock(device)))
            run(matrix, factors, iterations, kept[-1], device)
    ours, theirs = map(median_of, curves.values())
    product = "" if device.startswith("cuda") else f"; product {product_seconds(matrix, factors):.2f} s"
    unit = "s" if device.startswith("cuda") else "CPU s"
    print(f"\n| factors | iteration | ials, {unit} | loss | implicit, {unit} | loss |")
    print("|---:|---:|---:|---:|---:|---:|")
    for at in range(iterations):
        print(
            f"| {factors} | {at + 1} | {ours.seconds[at]:.2f} | {ours.losses[at]:.5f} "
            f"| {theirs.seconds[at]:.2f} | {theirs.losses[at]:.5f} |"
        )
    level = max(ours.losses[-1], theirs.losses[-1])
    mine, other = (curve.seconds_to(level) for curve in (ours, theirs))
    each, its = (
        statistics.median(np.diff(curve.seconds).tolist() or curve.seconds) for curve in (ours, theirs)
    )
    print(
        f"\n{factors} factors: to the loss {level:.5f} ials takes {mine:.2f} s, implicit {other:.2f} s: "
        f"{other / mine:.2f} times. An iteration: {each:.2f} and {its:.2f} s, {its / each:.2f} times{product}.",
        flush=True,
    )


if __name__ == "__main__":
    main()
