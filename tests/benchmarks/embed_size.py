"""What smaller embeddings cost: bytes on disk, seconds, and NDCG@20 of `content-knn` on the validation split.

    python tests/benchmarks/embed_size.py RUN [--dims all,D,...] [--model ID]

RUN has interactions with texts; give a copy: parts of its own are made and removed again, and its metrics are replaced.
The model runs once, before anything is timed: `embed` finds its vectors in the run's cache, so that its seconds are
those of loading the program, reading, reducing (PCA) and writing. NDCG@20 is that of `content-knn` of the vectors
alone, without TF-IDF; `lost` is against the first row. Nothing is tuned, and nothing is said about the test split.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

DTYPES = ("float32", "float16", "int8")
NAME = "size-benchmark"


def recli(*command: str) -> tuple[float, str]:
    """Run a command in a process of its own: its seconds and what it printed."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "recli", *command, "--quiet"], check=True, stdout=subprocess.PIPE, text=True
    )
    return time.perf_counter() - started, done.stdout


def ndcg(run: Path) -> float:
    """NDCG@20 of `content-knn` made of the embeddings NAME, on the validation split."""
    recli(
        "train-hybrid",
        str(run),
        "--algorithm",
        "content-knn",
        "--embeddings",
        NAME,
        "--no-tfidf",
        "--name",
        NAME,
    )
    asked = ("--models", NAME, "--split", "validation", "--metrics", "ndcg@20", "--json")
    evaluated: Any = json.loads(recli("evaluate", str(run), *asked)[1])
    return float(evaluated["models"][NAME]["ndcg@20"]["value"])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN")
    parser.add_argument("--dims", default="all,128,64", metavar="D,...")
    parser.add_argument("--model", default="sentence-transformers/all-MiniLM-L6-v2", metavar="ID")
    asked = parser.parse_args()
    made = [asked.run / part / NAME for part in ("embeddings", "models")]
    embed = ("embed", str(asked.run), "--model", asked.model, "--name", NAME)
    recli(*embed)
    print("| format | dimensions | bytes | embed, s | NDCG@20 | lost |")
    print("|---|---:|---:|---:|---:|---:|", flush=True)
    first = 0.0
    for dim in asked.dims.split(","):
        for dtype in DTYPES:
            options = () if dim == "all" else ("--dim", dim)
            seconds, _ = recli(*embed, "--storage-dtype", dtype, *options)
            size = (made[0] / "vectors.safetensors").stat().st_size
            value = ndcg(asked.run)
            first = first or value
            print(
                f"| {dtype} | {dim} | {size:,} | {seconds:.1f} | {value:.4f} | {first - value:+.4f} |",
                flush=True,
            )
    for path in made:
        shutil.rmtree(path)


if __name__ == "__main__":
    main()
