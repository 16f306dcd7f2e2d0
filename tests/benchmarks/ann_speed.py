"""CPU microseconds per user of the 20 best of a million items: exact lists, and `recommend --approximate`.

    python tests/benchmarks/ann_speed.py [--items N,...] [--factors D] [--users N] [--recall R,...] [--rounds N]

Items are drawn from a mixture of Gaussians: a cluster for each 100 items, around 64 coarse ones, lengths lognormal
(sigma 0.5). A user's vector is the sum of the items in a history of about 17, of three clusters and five random ones;
they are masked. With 38,000 such items .96 of the exact top 20 are in inverted lists with 2.5% of the items, and with
the 64 factors that `ials` learns from yelp2018 (as many items) with 2.1%; norms and spectrum are alike, too. Random
vectors without clusters would be harder, and are no factors.

`recall`: the share of the exact lists that is found, by all users here (the target is met on a sample of them). Both
rank the same users, on one thread; runs alternate, CPU seconds of the process, the median over the rounds. `product`:
the product of the factors by itself, in fp32, what no exact list goes below. `index, s`: CPU seconds to make it, once
for a model. `index, MB`: its bytes, on disk and in memory, beside the factors. `pays from`: the number of users from
which the index, made anew, has paid. Not measured: new users' fold-in, which is the same for both.
"""

import argparse
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

COLUMNS = (
    "items",
    "target",
    "lists searched",
    "recall@20",
    "approximate, us",
    "exact, us",
    "exact / approximate",
    "product, us",
    "index, s",
    "index, MB",
    "pays from",
)
PART = 1 << 16


@dataclass(frozen=True)
class Work:
    """Factors (n, d) and (m, d) of users and items, and what is masked, csr (n, m); all float32."""

    users: Any
    items: Any
    seen: Any


def work(n_items: int, n_users: int, d: int) -> Work:
    from scipy.sparse import csr_matrix

    rng = np.random.default_rng(0)
    fading = (np.arange(d) + 1.0) ** -0.3
    n_clusters = max(64, n_items // 100)
    coarse = rng.normal(size=(64, d))
    centers = (coarse[rng.integers(0, 64, n_clusters)] + rng.normal(size=(n_clusters, d))) * fading
    share = (np.arange(n_clusters) + 20.0) ** -0.5
    share /= share.sum()
    cluster = np.sort(rng.choice(n_clusters, n_items, p=share))
    items = np.empty((n_items, d), dtype=np.float32)
    for start in range(0, n_items, PART):
        of = cluster[start : start + PART]
        around = centers[of] + 0.6 * rng.normal(size=(of.size, d)) * fading
        items[start : start + PART] = around * np.exp(0.5 * rng.normal(size=(of.size, 1)))
    first = np.searchsorted(cluster, np.arange(n_clusters + 1))
    histories = []
    for _ in range(n_users):
        mine = [rng.integers(0, n_items, 5)]
        for one in rng.choice(n_clusters, 3, p=share):
            if first[one] < first[one + 1]:
                mine.append(rng.integers(first[one], first[one + 1], rng.integers(1, 8)))
        histories.append(np.unique(np.concatenate(mine)))
    ends = np.cumsum([0, *(h.size for h in histories)])
    ones = np.ones(ends[-1], dtype=np.float32)
    seen = csr_matrix((ones, np.concatenate(histories), ends), shape=(n_users, n_items))
    return Work(np.asarray(seen @ items, dtype=np.float32), items, seen)


def asked_of(given: Work) -> Any:
    """What `recommend` asks for: the 20 best for each user."""
    from recli.data.history import History
    from recli.models.kernels.factors import Factors
    from recli.ranking.approximate import RankingRequest

    n_items = given.seen.shape[1]
    model = Factors(given.users, given.items, lambda history: np.zeros((history.shape[0], 1)))
    ties = np.random.default_rng(1).permutation(n_items).astype(np.int32)
    return RankingRequest(model, History(given.seen), given.seen, None, 20, ties)


def row(given: Work, asked: Any, index: Any, seconds: float, size: int, target: float, rounds: int) -> str:
    from recli.ranking.approximate import Approximate, recall_of, tuned

    n_users, n_items = given.seen.shape
    all_users = np.arange(n_users)
    search = tuned(asked, Approximate(target, lambda: index))
    if search is None:
        return f"| {n_items:,} | {target:g} | not reached |" + " |" * (len(COLUMNS) - 3)
    runs: dict[str, list[float]] = {"approximate": [], "exact": [], "product": []}
    for _ in range(rounds):
        started = time.process_time()
        found = search(all_users)
        runs["approximate"].append(time.process_time() - started)
        started = time.process_time()
        exact = asked.exact(all_users)
        runs["exact"].append(time.process_time() - started)
        started = time.process_time()
        for start in range(0, n_users, 64):
            given.users[start : start + 64] @ given.items.T
        runs["product"].append(time.process_time() - started)
    ours, full, least = (statistics.median(r) / n_users * 1e6 for r in runs.values())
    cells = (
        f"{n_items:,}",
        f"{target:g}",
        f"{search.n_probe:,} of {index.n_lists:,}",
        f"{recall_of(found, exact):.4f}",
        f"{ours:.0f}",
        f"{full:.0f}",
        f"{full / ours:.1f}",
        f"{least:.0f}",
        f"{seconds:.1f}",
        f"{size / 1e6:.0f}",
        f"{seconds / max(full - ours, 1e-9) * 1e6:,.0f}",
    )
    return "| " + " | ".join(cells) + " |"


def table(sizes: Sequence[int], factors: int, n_users: int, targets: Sequence[float], rounds: int) -> None:
    from recli.ranking import ann

    print("| " + " | ".join(COLUMNS) + " |\n|" + "---:|" * len(COLUMNS), flush=True)
    for n_items in sizes:
        given = work(n_items, n_users, factors)
        started = time.process_time()
        index = ann.build(given.items)
        seconds, size = time.process_time() - started, ann.to_bytes(index).nbytes
        asked = asked_of(given)
        for target in targets:
            print(row(given, asked, index, seconds, size, target, rounds), flush=True)


def main() -> None:
    from recli.compute.threads import load_openmp, one_blas_thread
    from recli.ranking.ann import faiss

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--items", default="100000,1000000,2000000", metavar="N,...")
    parser.add_argument("--factors", type=int, default=64, metavar="D")
    parser.add_argument("--users", type=int, default=512)
    parser.add_argument("--recall", default="0.9,0.95,0.98", metavar="R,...")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    load_openmp()
    faiss().omp_set_num_threads(1)
    sizes, targets = [int(n) for n in asked.items.split(",")], [float(r) for r in asked.recall.split(",")]
    with one_blas_thread():
        table(sizes, asked.factors, asked.users, targets, asked.rounds)


if __name__ == "__main__":
    main()
