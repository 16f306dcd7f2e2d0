"""A half-step of iALS in torch, for GPUs: the same conjugate gradients as `ials_cpu`, in padded batches of rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recli.models.kernels.ials_cpu import TOLERANCE, Side
from recli.schema import Float32, Int64

if TYPE_CHECKING:
    import numpy.typing as npt
    from torch import Tensor

_CELLS_PER_BATCH = 2**20  # of a batch: its gathered factors take 4 MiB for each of their d numbers
_MIN_FILLED_SHARE = 0.75  # the shortest row of a batch over the longest, at least
_ROWS_PER_BLOCK = 65_536  # rows that are float64 at a time


@dataclass(frozen=True)
class PaddedRows:
    """Rows of about the same number of cells; cells that only fill up have weight 0."""

    rows: Tensor  # int64 (b,)
    others: Tensor  # int64 (b, l)
    weights: Tensor  # float32 (b, l)
    targets: Tensor  # float32 (b, l): 1, or 0 where an item was disliked
    l2: Tensor  # float32 (b, 1)


@dataclass(frozen=True)
class Batches:
    batches: list[PaddedRows]
    empty: Tensor  # int64, rows without cells, or with none but disliked ones
    l2: Tensor  # float64 (n_rows,)


@dataclass(frozen=True)
class TorchEngine:
    """Half-steps on tensors of one device; sums have a fixed order, so the same device gives the same factors."""

    device: str

    def prepare(self, side: Side) -> Batches:
        """The rows in batches, for iALS: goals that are the weights, or 0."""
        import torch

        def tensor(values: npt.NDArray[Any]) -> Tensor:
            return torch.from_numpy(values).to(self.device)

        sums = np.concatenate([[0.0], np.cumsum(side.goals, dtype=np.float64)])[side.starts]
        lengths = np.diff(side.starts)
        lengths[np.diff(sums) == 0] = 0
        batches = []
        for rows in _similar(lengths):
            offset = np.arange(lengths[rows].max())  # int64 (l,)
            filled = offset < lengths[rows][:, None]  # bool (b, l)
            cells = np.where(filled, side.starts[rows][:, None] + offset, 0)
            weights = np.where(filled, side.weights[cells], np.float32(0))
            targets = (side.goals[cells] > 0).astype(np.float32)
            others = side.others[cells].astype(np.int64)
            batches.append(
                PaddedRows(
                    tensor(rows),
                    tensor(others),
                    tensor(weights),
                    tensor(targets),
                    tensor(side.l2[rows, None]),
                )
            )
        return Batches(batches, tensor(np.flatnonzero(lengths == 0)), tensor(side.l2.astype(np.float64)))

    def array(self, factors: Float32) -> Tensor:
        import torch

        return torch.from_numpy(factors).to(self.device)

    def numpy(self, factors: Tensor) -> Float32:
        array: Float32 = factors.cpu().numpy()
        return array

    def penalty(self, side: Batches, factors: Tensor) -> float:
        """The loss's term of this side: sum of l2 |x|^2."""
        return float(side.l2 @ (factors**2).sum(1).double())

    def half_step(
        self, side: Batches, solved: Tensor, others: Tensor, unobserved: float, steps: int
    ) -> tuple[Tensor, Tensor, float]:
        """As `ials_cpu.CpuEngine.half_step`."""
        import torch

        gram = torch.zeros((others.shape[1],) * 2, dtype=torch.float64, device=self.device)
        for at in range(0, len(others), _ROWS_PER_BLOCK):
            block = others[at : at + _ROWS_PER_BLOCK].double()
            gram += block.T @ block
        diagonal, basis = torch.linalg.eigh(gram)
        turned, fixed = solved @ basis.float(), others @ basis.float()
        diagonal = (unobserved * diagonal.clamp(min=0)).float()
        turned[side.empty] = 0
        loss = 0.0
        for batch in side.batches:
            turned[batch.rows], lost = _solve(batch, turned[batch.rows], fixed[batch.others], diagonal, steps)
            loss += float(lost.sum(dtype=torch.float64))
        return turned, fixed, loss


def _solve(batch: PaddedRows, x: Tensor, y: Tensor, diagonal: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """x (b, d) after conjugate gradients for the factors y (b, l, d) of its cells, and its loss (b,)."""
    import torch

    m = diagonal + batch.l2  # (b, d)

    def by_cell(v: Tensor) -> Tensor:
        return torch.bmm(y, v.unsqueeze(2)).squeeze(2)  # (b, l)

    def by_factor(cells: Tensor) -> Tensor:
        return torch.bmm((batch.weights * cells).unsqueeze(1), y).squeeze(1)  # (b, d)

    errors = batch.targets - by_cell(x)
    r = by_factor(errors) - m * x
    loss = (batch.weights * errors**2).sum(1) + (m * x**2).sum(1)
    direction = r / m
    rz, enough = (r * direction).sum(1), TOLERANCE * (batch.weights * batch.targets).sum(1)
    for _ in range(steps):
        going = rz > enough
        if not going.any():
            break
        product = m * direction + by_factor(by_cell(direction))
        length = torch.where(going, rz / (direction * product).sum(1), 0.0)
        x = x + length[:, None] * direction
        r = r - length[:, None] * product
        loss = loss - length * rz
        z, before = r / m, rz
        rz = (r * z).sum(1)
        direction = z + torch.where(going, rz / before, 0.0)[:, None] * direction
    return x, loss


def _similar(lengths: Int64) -> Iterator[Int64]:
    """Row numbers in batches, longest first: of similar lengths > 0, and bounded in cells (one row at least)."""
    order = np.argsort(-lengths, kind="stable").astype(np.int64)
    order = order[lengths[order] > 0]
    at = 0
    while at < len(order):
        longest = lengths[order[at]]
        similar = int(np.searchsorted(-lengths[order], -_MIN_FILLED_SHARE * longest, side="right"))
        end = min(similar, at + max(1, int(_CELLS_PER_BATCH // longest)))
        yield order[at:end]
        at = end


@contextmanager
def torch_engine(device: str) -> Iterator[TorchEngine]:
    """An engine on `cpu`, `cuda` or `cuda:N`. Raises `DeviceError` where there is no GPU of that number."""
    from recli.compute.devices import check_number

    check_number(device)
    yield TorchEngine(device)
