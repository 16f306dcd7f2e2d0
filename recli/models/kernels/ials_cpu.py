"""A half-step of iALS on the CPU: conjugate gradients for every row at once, compiled by numba, in threads."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import numpy as np

from recli.compute.compiled import compiled
from recli.compute.threads import cores, one_blas_thread
from recli.schema import CSR, Float32, Float64, Int32, Int64

TOLERANCE = (
    1e-12  # a row is solved when a step would lower its loss by less than this share of the empty one's
)
EXACT = 200  # steps at most, where rows are to be solved exactly: they end by the tolerance
_ROWS_PER_BLOCK = 4096  # rows of a matrix product: fixed, so that sums do not depend on the number of threads
_CELLS_PER_TASK = 50_000  # interactions (and rows) that a thread takes at a time


@dataclass(frozen=True)
class Side:
    """The rows that a half-step solves: users with their items, or items with their users.

    A cell adds goal - 2 goal (x.y) + weight (x.y)^2 to the loss. It is c (1 - x.y)^2 where both are the confidence c.
    """

    starts: Int64  # (n_rows + 1,), where each row's cells start
    others: Int32  # (nnz,), the other side's row of each cell
    weights: Float32  # (nnz,)
    goals: Float32  # (nnz,)
    l2: Float32  # (n_rows,), L2 penalty of each row


def side(matrix: CSR, l2: Float64, weights: Float32 | None = None) -> Side:
    """The rows of a matrix of confidences; `weights`: of its cells, where they are not the confidences.

    A negative number is a cell whose goal is 0.
    """
    goals = np.maximum(matrix.data, 0).astype(np.float32)
    return Side(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32),
        goals if weights is None else weights,
        goals,
        l2.astype(np.float32),
    )


@dataclass(frozen=True)
class CpuEngine:
    """Half-steps on numpy arrays; the same bytes for any number of threads (`run` maps over them)."""

    run: Callable[..., Any]

    def prepare(self, side: Side) -> Side:
        return side

    def array(self, factors: Float32) -> Float32:
        return factors

    def numpy(self, factors: Float32) -> Float32:
        return factors

    def penalty(self, side: Side, factors: Float32) -> float:
        """The loss's term of this side: sum of l2 |x|^2."""
        return float(side.l2.astype(np.float64) @ np.einsum("nd,nd->n", factors, factors, dtype=np.float64))

    def half_step(
        self, side: Side, solved: Float32, others: Float32, unobserved: float, steps: int
    ) -> tuple[Float32, Float32, float]:
        """Improve `solved` (n, d) for the fixed `others` (m, d) by up to `steps` steps from where it is.

        Returns both, rotated into the basis where Y'Y is diagonal (their products stay what they are): there
        the unobserved cells cost d operations per row and not d^2, and dividing by the diagonal makes the few
        steps count. Third: the loss of the solved rows, without the other side's penalty.
        """
        diagonal, basis = np.linalg.eigh(self._gram(others))
        turned, fixed = (self._product(a, basis.astype(np.float32)) for a in (solved, others))
        diagonal = (unobserved * np.maximum(diagonal, 0.0)).astype(np.float32)
        loss = np.empty(len(turned))  # float64 (n,)
        kernel = compiled_kernel()

        def work(span: tuple[int, int]) -> None:
            kernel(
                side.starts, side.others, side.weights, side.goals, side.l2, diagonal, fixed, *span, steps,
                TOLERANCE, turned, loss,
            )  # fmt: skip

        list(self.run(work, _spans(side.starts)))
        return turned, fixed, float(loss.sum())

    def _gram(self, factors: Float32) -> Float64:
        """Y'Y, float64 (d, d), of float32 products of blocks."""
        blocks = [factors[at : at + _ROWS_PER_BLOCK] for at in range(0, len(factors), _ROWS_PER_BLOCK)]
        total: Float64 = sum(
            self.run(lambda block: (block.T @ block).astype(np.float64), blocks),
            np.zeros((factors.shape[1], factors.shape[1])),
        )
        return total

    def _product(self, factors: Float32, basis: Float32) -> Float32:
        out = np.empty_like(factors)

        def work(at: int) -> None:
            np.matmul(factors[at : at + _ROWS_PER_BLOCK], basis, out=out[at : at + _ROWS_PER_BLOCK])

        list(self.run(work, range(0, len(factors), _ROWS_PER_BLOCK)))
        return out


@contextmanager
def cpu_engine(threads: int) -> Iterator[CpuEngine]:
    """An engine with so many threads (0: as many as there are cores). numba and BLAS release the GIL."""
    number = threads or cores()
    with one_blas_thread():
        if number == 1:
            yield CpuEngine(map)
            return
        with ThreadPoolExecutor(number) as pool:
            yield CpuEngine(pool.map)


def _spans(starts: Int64) -> list[tuple[int, int]]:
    """Runs of rows with about the same number of cells each."""
    rows = len(starts) - 1
    effort = starts + np.arange(rows + 1)
    cuts = np.searchsorted(effort, np.arange(0, effort[-1], _CELLS_PER_TASK))
    ends = np.unique(np.append(np.minimum(cuts, rows), rows)).tolist()
    return list(pairwise(ends))


def solve_rows(
    starts: Int64,
    others: Int32,
    weights: Float32,
    goals: Float32,
    l2: Float32,
    diagonal: Float32,  # (d,), of the unobserved weight times Y'Y, which is diagonal
    fixed: Float32,  # (m, d), Y
    first: int,
    last: int,
    steps: int,
    tolerance: float,
    solved: Float32,  # (n, d), written: rows first to last
    loss: Float64,  # (n,), written: its cells' (see `Side`) + unobserved weight sum of (xy)^2 + l2 |x|^2
) -> None:
    """Conjugate gradients on (M + sum of weight y y') x = sum of goal y, preconditioned by M = diag(diagonal + l2).

    Step 0 has the direction x and the target 1, which makes `change` the residual; later ones have the target 0,
    which makes it -A p. A step of length a lowers the loss by a r'z, so the loss costs nothing.
    """
    d = fixed.shape[1]
    m, r = np.empty(d, np.float32), np.empty(d, np.float32)
    direction, change = np.empty(d, np.float32), np.empty(d, np.float32)
    one, zero = np.float32(1), np.float32(0)
    for row in range(first, last):
        start, end = starts[row], starts[row + 1]
        x = solved[row]
        loss[row], empty = 0.0, 0.0
        for at in range(start, end):
            empty += goals[at]
        if empty == 0.0:  # no cells, or none but disliked ones
            x[:] = zero
            continue
        for k in range(d):
            m[k] = diagonal[k] + l2[row]
            direction[k] = x[k]
        target, rz = one, zero
        for step in range(steps + 1):
            for k in range(d):
                change[k] = -m[k] * direction[k]
            errors, at = 0.0, start
            while at + 4 <= end:  # four cells at a time: `change` is read and written once for all
                i0, i1, i2, i3 = others[at], others[at + 1], others[at + 2], others[at + 3]
                s0, s1, s2, s3 = zero, zero, zero, zero
                for k in range(d):
                    s0 += fixed[i0, k] * direction[k]
                    s1 += fixed[i1, k] * direction[k]
                    s2 += fixed[i2, k] * direction[k]
                    s3 += fixed[i3, k] * direction[k]
                g0, g1, g2, g3 = goals[at], goals[at + 1], goals[at + 2], goals[at + 3]
                e0, e1, e2, e3 = s0, s1, s2, s3
                s0 = target * g0 - weights[at] * e0
                s1 = target * g1 - weights[at + 1] * e1
                s2 = target * g2 - weights[at + 2] * e2
                s3 = target * g3 - weights[at + 3] * e3
                errors += g0 * (one - e0) + g1 * (one - e1) + g2 * (one - e2) + g3 * (one - e3)
                errors -= s0 * e0 + s1 * e1 + s2 * e2 + s3 * e3
                for k in range(d):
                    change[k] += s0 * fixed[i0, k] + s1 * fixed[i1, k] + s2 * fixed[i2, k] + s3 * fixed[i3, k]
                at += 4
            while at < end:
                i0, s0 = others[at], zero
                for k in range(d):
                    s0 += fixed[i0, k] * direction[k]
                e0 = s0
                s0 = target * goals[at] - weights[at] * e0
                errors += goals[at] * (one - e0) - s0 * e0
                for k in range(d):
                    change[k] += s0 * fixed[i0, k]
                at += 1
            before, rz = rz, zero
            if step == 0:
                loss[row] = errors
                for k in range(d):
                    loss[row] += m[k] * x[k] * x[k]
                    r[k] = change[k]
                    rz += r[k] * r[k] / m[k]
                beta = zero
            else:
                curvature = zero
                for k in range(d):
                    curvature -= direction[k] * change[k]
                length = before / curvature
                loss[row] -= length * before
                for k in range(d):
                    x[k] += length * direction[k]
                    r[k] += length * change[k]
                    rz += r[k] * r[k] / m[k]
                beta = rz / before
            if rz <= tolerance * empty:
                break
            for k in range(d):
                direction[k] = r[k] / m[k] + beta * direction[k]
            target = zero


@lru_cache(1)
def compiled_kernel() -> Callable[..., None]:
    """`solve_rows`, compiled (numba)."""
    floats, matrix = "float32[::1]", "float32[:, ::1]"
    cells = f"int64[::1], int32[::1], {floats}, {floats}, {floats}"
    signature = f"void({cells}, {floats}, {matrix}, int64, int64, int64, float64, {matrix}, float64[::1])"
    return compiled(solve_rows, signature, fastmath={"reassoc", "contract", "nsz"})
