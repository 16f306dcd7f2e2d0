"""All steps on public data sets as they are published: seconds, peak memory and metrics of each.

    python tests/benchmarks/datasets.py DATA [NAME ...] [--runs FOLDER]

DATA holds the folders ml-latest-small (ratings.csv, movies.csv), movietweetings-100k (ratings.dat, movies.dat),
amazon-beauty (interactions.csv.gz, items.csv.gz) and yelp2018 (train.csv.gz, test.csv.gz); NAME: only these.
Prints Markdown: the README's tables are made of it. Absolute times are of one machine; compare within a run.
"""

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

SHARED = ["embed {run}", "train-cf {run} --algorithm popularity", "train-cf {run} --algorithm als"]
TEXT = [*SHARED, "train-cf {run} --algorithm user-knn", "train-hybrid {run}"]
CONTENT = "train-hybrid {run} --model content-knn"
EVALUATE = "evaluate {run} --report {run}/report.html"
RECOMMEND = "recommend {run} --model hybrid -k 20 --save"

COLUMNS = ["recall@10", "ndcg@10", "recall@20", "ndcg@20"]
DATASETS: dict[str, list[str]] = {
    "ml-latest-small": [
        "prepare {data}/ratings.csv --items {data}/movies.csv --out {run}", *TEXT, "train-cf {run} --algorithm ease",
        EVALUATE, RECOMMEND,
    ],
    "movietweetings-100k": [
        "prepare {data}/ratings.dat --no-header --columns user_id,movie_id,rating,timestamp --items {data}/movies.dat"
        " --items-no-header --items-columns movie_id,title,genres --split temporal --out {run}",
        *TEXT, EVALUATE, RECOMMEND,
    ],
    "amazon-beauty": [
        "prepare {data}/interactions.csv.gz --items {data}/items.csv.gz --out {run}",
        *TEXT, CONTENT, EVALUATE, RECOMMEND,
    ],
    "yelp2018": [
        "prepare {data}/train.csv.gz --test-file {data}/test.csv.gz --out {run}",
        "train-cf {run} --algorithm popularity", "train-cf {run} --algorithm als",
        "train-cf {run} --algorithm user-knn", "train-cf {run} --algorithm item-knn",
        EVALUATE, "recommend {run} --model als -k 20 --save",
    ],
}  # fmt: skip


def measured(command: list[str]) -> tuple[float, float]:
    """Run a step; seconds and peak MB of the process. Stops the benchmark where the step fails."""
    started = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "recli", *command], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"failed: recli {' '.join(command)}")
    return time.monotonic() - started, usage.ru_maxrss / 1024


def evaluation(run: Path) -> None:
    """Print the metrics by model and the paired comparisons that `evaluate` wrote."""
    import polars as pl

    every = pl.read_parquet(run / "metrics" / "metrics.parquet").filter(pl.col("slice") == "all")
    wanted = every.with_columns(column=pl.format("{}@{}", "metric", "k")).filter(
        pl.col("column").is_in(COLUMNS)
    )
    table = wanted.pivot("column", index="model", values="value").select("model", *COLUMNS)
    print(f"\n| model | {' | '.join(COLUMNS)} |\n|---|{'---:|' * len(COLUMNS)}")
    for model, *values in table.iter_rows():
        print(f"| {model} | {' | '.join(f'{value:.4f}' for value in values)} |")
    print()
    compared = pl.read_parquet(run / "metrics" / "comparisons.parquet")
    for row in compared.filter(metric="ndcg", k=20).iter_rows(named=True):
        interval = f"[{row['low']:+.4f}, {row['high']:+.4f}]"
        print(
            f"- {row['model']} - {row['baseline']}: ndcg@20 {row['difference']:+.4f} {interval}, p {row['p']:.3f}"
        )


def benchmark(name: str, data: Path, run: Path) -> None:
    shutil.rmtree(run, ignore_errors=True)
    print(f"\n### {name}\n\n| step | seconds | peak MB |\n|---|---:|---:|", flush=True)
    for step in DATASETS[name]:
        command = [part.format(data=data, run=run) for part in step.split()]
        seconds, memory = measured(command)
        shown = step.replace("{data}/", "").replace("{run}", "run")
        print(f"| `{shown}` | {seconds:.1f} | {memory:.0f} |", flush=True)
    evaluation(run)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(DATASETS)}")
    parser.add_argument("--runs", type=Path, default=Path("benchmark-runs"))
    given = parser.parse_args()
    for name in given.names or DATASETS:
        benchmark(name, given.data / name, given.runs / name)


if __name__ == "__main__":
    main()
