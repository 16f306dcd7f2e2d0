"""What weights of events are worth: NDCG@20 of each algorithm with them, as prepared by default, and without.

    python tests/benchmarks/weights.py [--data DATA] [--logs NAME,...] [--algorithms NAME,...] [--raw]

One log is real, the play counts of Last.fm's listeners (DATA/lastfm-kg/user_artists.dat.gz: userID, artistID, weight).
The others are made, with tails of other shapes (`LOGS`), from 8 factors of taste; they need no DATA. Random split, test
part, all options at their defaults, so models choose the strength of weights on validation. A difference comes with
twice its standard error over the users. `--raw` adds the column of weights that nothing tames:
`--weight-transform none` and `--weight-strength 1`.
"""

import argparse
import gzip
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import polars as pl

import recli

CF = (
    "popularity",
    "als",
    "ials",
    "ease",
    "item-knn",
    "user-knn",
    "rp3beta",
    "bspm",
    "gf-cf",
    "bpr",
    "lmf",
    "hybrid",
)
LOGS = {
    "zipf": "play counts with a tail of infinite variance; taste says little",
    "listeners": "heavy and light listeners: a user's scale varies more than taste",
    "bounded": "whole numbers from 1 to 10 that follow taste",
    "signal": "counts that follow taste closely",
    "repeats": "no weights: repeated events, over-dispersed",
    "events": "view, cart and purchase as 1, 3 and 5",
    "noise": "counts with a heavy tail that say nothing",
}


def made_log(name: str, users: int = 1500, items: int = 1500) -> pl.DataFrame:
    """user_id, item_id, weight."""
    random = np.random.default_rng(0)
    tastes, traits = random.normal(size=(users, 8)), random.normal(size=(items, 8))
    match = tastes @ traits.T / np.sqrt(8)
    popular = 1.1 * random.normal(size=items)
    sizes = np.maximum(5, (35 * np.exp(0.7 * random.normal(size=users) - 0.25)).astype(int))
    rows = []
    for user in range(users):
        drawn = 2.2 * match[user] + popular + random.gumbel(size=items)
        chosen = np.argsort(-drawn)[: sizes[user]]
        taste = match[user, chosen] - match[user, chosen].mean()
        for item, weight in zip(chosen, _weights(name, taste, random), strict=True):
            rows.append((user, int(item), int(weight)))
    return pl.DataFrame(rows, ["user_id", "item_id", "weight"], orient="row")


def _weights(name: str, taste: np.ndarray, random: np.random.Generator) -> np.ndarray:
    error, n = random.normal(size=taste.size), taste.size
    if name == "zipf":
        return np.floor(random.pareto(0.9, n) * np.exp(0.7 * taste) + 1)
    if name == "listeners":
        return np.ceil(10 * np.exp(1.5 * random.normal() + 0.8 * taste + 0.6 * error))
    if name == "bounded":
        return np.clip(np.round(5 + 2.2 * taste + 1.5 * error), 1, 10)
    if name == "signal":
        return np.maximum(1, np.round(np.exp(2.5 + 1.6 * taste + 0.3 * error)))
    if name == "repeats":
        return 1 + random.negative_binomial(0.25, 0.25 / (0.25 + 2 * np.exp(0.8 * taste)))
    if name == "events":
        return np.where(taste + error > 1.2, 5, np.where(taste + error > 0.4, 3, 1))
    return np.floor(random.pareto(1.0, n) + 1)


def write_log(name: str, data: Path, folder: Path) -> Path:
    """The log as a file that `prepare` reads."""
    if name == "lastfm":
        path = folder / "lastfm.tsv"
        path.write_bytes(gzip.decompress((data / "lastfm-kg" / "user_artists.dat.gz").read_bytes()))
        return path
    log, path = made_log(name), folder / f"{name}.csv"
    if name == "repeats":  # one row an event
        log = log.select(pl.col("user_id", "item_id").repeat_by("weight").explode())
    log.write_csv(path)
    return path


def per_user(run: Path, algorithm: str, **options: object) -> dict[str, float]:
    """NDCG@20 of each test user."""
    if algorithm == "hybrid":
        recli.train_hybrid(run)
    else:
        recli.train_cf(run, algorithm=algorithm, **options)
    figures = recli.evaluate(run, models=algorithm, metrics=("ndcg@20",), samples=0).per_user
    return dict(figures.select("user_id", "value").iter_rows())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--logs", default=",".join(["lastfm", *LOGS]))
    parser.add_argument("--algorithms", default=",".join(CF))
    parser.add_argument("--raw", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name in given.logs.split(","):
            compare(
                name,
                write_log(name, given.data, Path(folder)),
                Path(folder),
                given.algorithms.split(","),
                given.raw,
            )


def compare(name: str, log: Path, folder: Path, names: Iterable[str], raw: bool) -> None:
    """Print the rows of one log."""
    column = {} if name == "repeats" else {"weight_column": "weight"}
    runs = {
        "without": {"weight_transform": "binary"} | column,
        "with": column,
        **({"raw": {"weight_transform": "none"} | column} if raw else {}),
    }
    for how, options in runs.items():
        recli.prepare(log, out=folder / f"{name}-{how}", **options)
    print(f"\n{name}: {LOGS.get(name, 'play counts of listeners')}\n")
    print(
        "| model | " + " | ".join(runs) + " | with - without | |\n|---|" + "---:|" * (len(runs) + 1) + "---|"
    )
    for algorithm in names:
        figures = {}
        for how in runs:
            strength = {"weight_strength": 1.0} if how == "raw" and algorithm not in UNWEIGHTED else {}
            figures[how] = per_user(folder / f"{name}-{how}", algorithm, **strength)
        gains = np.array([figures["with"][user] - figures["without"][user] for user in figures["with"]])
        error = 2 * gains.std(ddof=1) / np.sqrt(gains.size)
        verdict = "better" if gains.mean() > error else "**worse**" if gains.mean() < -error else "as good"
        shown = " | ".join(f"{np.mean(list(of.values())):.4f}" for of in figures.values())
        print(f"| {algorithm} | {shown} | {gains.mean():+.4f} ± {error:.4f} | {verdict} |", flush=True)


UNWEIGHTED = ("popularity", "bpr", "hybrid")

if __name__ == "__main__":
    main()
