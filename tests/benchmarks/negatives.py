"""What dislikes are worth as a signal: NDCG@20 and Recall@20 of models that learn from them, against masking alone.

    python tests/benchmarks/negatives.py [--data DATA] [--logs NAME,...] [--models NAME,...] [--seeds N] [--weights ...]

Logs: ml-latest-small with `--min-rating 4 --negatives below:3` and with `--negatives mean`, movietweetings-100k with
`--negatives below:6`. Both sides mask the same items, so that a gain is not one of masking. Random splits, test part,
defaults; `chosen` is what `train-cf` and `train-hybrid` do by themselves: the weight that is surely better on
validation, or 0. A difference comes with twice its standard error over users and seeds.
"""

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

import recli
from recli.storage import runs

LOGS = {
    "ml-below": ("ml-latest-small/ratings.csv", {"min_rating": 4.0, "negatives": ("below:3",)}),
    "ml-mean": ("ml-latest-small/ratings.csv", {"negatives": ("mean",)}),
    "movietweetings": (
        "movietweetings-100k/ratings.dat",
        {"negatives": ("below:6",), "columns": "user_id,item_id,rating,timestamp"},
    ),
}
METRICS = ("ndcg@20", "recall@20")
CHOSEN = "chosen"
Figures = dict[str, dict[str, float]]


def per_user(run: Path, model: str, weight: str) -> Figures:
    """The metrics of each test user."""
    if model == "hybrid":
        recli.train_hybrid(run, sources="ials,ease,user-knn,bspm")
    else:
        options = {} if weight == CHOSEN else {"negative_weight": float(weight)}
        recli.train_cf(run, algorithm=model, **options)
    frame = recli.evaluate(run, models=model, metrics=METRICS, samples=0).per_user
    named = frame.with_columns(name=frame["metric"] + "@" + frame["k"].cast(str))
    return {
        metric: dict(named.filter(named["name"] == metric).select("user_id", "value").iter_rows())
        for metric in METRICS
    }


def without_signal(run: Path, folder: Path) -> Figures:
    """The hybrid of the same run where dislikes are merely seen."""
    masked = folder / "masked"
    data = runs.read_interactions(run)
    seen = data.seen_events.with_columns(pl.lit(0.0, pl.Float32).alias("negative"))
    runs.write_interactions(masked, replace(data, seen_events=seen), {}, {})
    return per_user(masked, "hybrid", CHOSEN)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--logs", default=",".join(LOGS))
    parser.add_argument("--models", default="als,ials,ease,bpr,hybrid")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--weights", default="0.2,1")
    given = parser.parse_args()
    for name in given.logs.split(","):
        print(f"\n{name}\n\n| model | weight | NDCG@20 | - masked alone | Recall@20 | - masked alone |")
        print("|---|---|---:|---:|---:|---:|")
        for model in given.models.split(","):
            compare(name, model, given)


def compare(name: str, model: str, given: argparse.Namespace) -> None:
    """Print the rows of one model."""
    path, options = LOGS[name]
    weights = [CHOSEN] if model == "hybrid" else [*given.weights.split(","), CHOSEN]
    values: dict[str, dict[str, list[float]]] = {w: {m: [] for m in METRICS} for w in ("0", *weights)}
    for seed in range(given.seeds):
        with tempfile.TemporaryDirectory() as folder:
            run = Path(folder) / "run"
            recli.prepare(given.data / path, out=run, seed=seed, **options)
            for weight in values:
                if weight == "0" and model == "hybrid":
                    figures = without_signal(run, Path(folder))
                else:
                    figures = per_user(run, model, weight)
                for metric in METRICS:
                    users = sorted(figures[metric])
                    values[weight][metric] += [figures[metric][user] for user in users]
    for weight, of in values.items():
        cells = []
        for metric in METRICS:
            gains = np.subtract(of[metric], values["0"][metric])
            error = 2 * gains.std(ddof=1) / np.sqrt(gains.size)
            difference = "" if weight == "0" else f"{gains.mean():+.4f} ± {error:.4f}"
            cells += [f"{np.mean(of[metric]):.4f}", difference]
        print(
            f"| {model} | {'0: masked alone' if weight == '0' else weight} | {' | '.join(cells)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
