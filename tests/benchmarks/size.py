"""What models cost on disk in float32, float16 and int8 (`--storage-dtype`), and what the smaller ones lose.

    python tests/benchmarks/size.py RUN [--algorithms A,...] [--rounds N] [--users N]

RUN needs a validation split; nothing is written into it. Each algorithm is trained once, with its defaults, and the
model is stored three times. MB: `model.safetensors`; a half and a quarter are the limits, but sparse matrices have 4
bytes of index beside each value, which stay. load: CPU seconds of reading the model with its tables, checksums and
all. us per user: CPU microseconds to rank the 20 best for validation users; scores are computed in float32 whatever
was stored, so this should not differ. NDCG@20 on validation; same: share of the 20 best that float32 names, too.
One thread; the formats alternate, the median over the rounds. Not measured: training, and wall time.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

DTYPES = ("float32", "float16", "int8")
COLUMNS = ("algorithm", "stored as", "MB", "share", "load, s", "us per user", "NDCG@20", "lost", "same")


@dataclass
class Stored:
    """One model in one format: where it is, and what was measured."""

    path: Path
    size: int  # bytes
    load: list[float] = field(default_factory=list)  # CPU seconds of each round
    rank: list[float] = field(default_factory=list)
    items: Any = None  # int32 (n_users, 20)
    ndcg: float = 0.0


def stored(run: Path, made: Any, name: str, folder: Path) -> dict[str, Stored]:
    """The model `made` (of `training.train`) in all formats, under `folder`."""
    from recli.config import to_dict
    from recli.storage import runs

    if not (folder / "interactions").exists():
        (folder / "interactions").symlink_to((run / "interactions").resolve())
    found = {}
    for dtype in DTYPES:
        path = runs.write_model(
            folder, f"{name}-{dtype}", name, to_dict(made.config), made.model, seed=0, storage_dtype=dtype
        )
        found[dtype] = Stored(path, (path / "model.safetensors").stat().st_size)
    return found


def measure(one: Stored, validator: Any, users: int) -> None:
    """One round: load the model, and rank for the first `users` of the validator's."""
    from recli.metrics import ndcg_at
    from recli.ranking import topk
    from recli.storage import runs

    started = time.process_time()
    model = runs.read_model(one.path).model
    one.load.append(time.process_time() - started)
    history, who = validator.history[:users], validator.users[:users]
    topk.rank(
        model, history[:64], who[:64], k=20, ties=validator.ties
    )  # what is computed once, when first needed
    started = time.process_time()
    ranked = topk.rank(model, history, who, k=20, ties=validator.ties, seen=history.values)
    one.rank.append((time.process_time() - started) / len(who) * 1e6)
    one.items = ranked.items
    one.ndcg = float(ndcg_at(ranked.items, validator.relevant[:users]).mean())


def row(algorithm: str, dtype: str, one: Stored, exact: Stored) -> str:
    same = np.mean([np.isin(a, b).mean() for a, b in zip(one.items, exact.items, strict=True)])
    cells = (
        algorithm,
        dtype,
        f"{one.size / 1e6:.1f}",
        f"{one.size / exact.size:.3f}",
        f"{statistics.median(one.load):.2f}",
        f"{statistics.median(one.rank):.0f}",
        f"{one.ndcg:.4f}",
        f"{1 - one.ndcg / exact.ndcg:.2%}",
        f"{same:.3f}",
    )
    return "| " + " | ".join(cells) + " |"


def table(run: Path, algorithms: Sequence[str], rounds: int, users: int, folder: Path) -> None:
    from recli.compute.threads import load_openmp, one_blas_thread
    from recli.models.base import algorithms as known
    from recli.storage import runs
    from recli.training import fit, validation

    load_openmp()
    interactions = runs.read_interactions(run)
    validator = validation.validator_of(interactions)
    print("| " + " | ".join(COLUMNS) + " |\n|---|---|" + "---:|" * (len(COLUMNS) - 2), flush=True)
    for name in algorithms:
        made = fit.train(known[name], known[name].config(), interactions)
        models = stored(run, made, name, folder)
        with one_blas_thread():
            for _ in range(rounds):
                for one in models.values():
                    measure(one, validator, users)
        for dtype, one in models.items():
            print(row(name, dtype, one, models["float32"]), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--algorithms", default="ials,als,bpr,lmf,gf-cf,bspm,ease,item-knn", metavar="A,...")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--users", type=int, default=10_000)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.run.resolve().parent) as folder:
        table(asked.run, asked.algorithms.split(","), asked.rounds, asked.users, Path(folder))


if __name__ == "__main__":
    main()
