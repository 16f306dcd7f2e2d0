"""Texts per second of MiniLM by `recli` and by sentence-transformers' `encode` with its defaults, on the CPU.

    python tests/benchmarks/embed_speed.py [FILE.csv[.gz] ...] [--texts N] [--threads N,...] [--rounds N]

Texts of 5 to 200 tokens: rows of the files, as many of each, all columns joined by spaces; without a file, random words
of the model's own vocabulary. Both have the same threads; runs alternate, the model is loaded before. CPU seconds are
those of the process with all its threads, medians over the rounds; wall seconds are of a machine that others may use.
`x` says how many times less than sentence-transformers in float32. Fidelity is to that one: cosines of the vectors, and
the share of the ten nearest other texts that both name. `recli` includes compiling, as a command would pay for it in
its first round (later ones do not).

`linear layers alone` is the time of the encoder's matrix products by oneDNN, weights laid out before, for as many
tokens without padding: in its number format no encoder goes below it. Where oneDNN has no bfloat16 on the CPU, they
are torch's. A GPU is not measured.
"""

import argparse
import csv
import gzip
import os
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

LEAST, MOST = 5, 200  # tokens of a text
BLOCK = 2048  # tokens of a product


def rows_of(path: Path) -> list[str]:
    """Rows of a CSV file with a header as texts."""
    with gzip.open(path, "rt") if path.suffix == ".gz" else path.open(encoding="utf-8") as file:
        return [" ".join(row) for row in csv.reader(file)][1:]


def random_rows(vocabulary: list[str], n: int) -> list[str]:
    """Texts of 3 to 150 words, short ones more often."""
    rng = np.random.default_rng(0)
    words = np.array(sorted(w for w in vocabulary if w.isalpha() and len(w) > 2))
    return [" ".join(rng.choice(words, size)) for size in np.geomspace(3, 150, n).astype(int)]


def chosen_texts(files: list[Path], n: int, tokenizer: Any) -> tuple[list[str], int]:
    """`n` texts in random order, and how many tokens they have in all."""
    rng = np.random.default_rng(0)
    sources = [rows_of(path) for path in files] or [random_rows(list(tokenizer.get_vocab()), 2 * n)]
    texts: list[str] = []
    total = 0
    for place, source in enumerate(sources):
        wanted = (place + 1) * n // len(sources) - len(texts)
        counts = [
            len(ids) for ids in tokenizer(source, truncation=False, padding=False, verbose=False)["input_ids"]
        ]
        fit = np.flatnonzero([LEAST <= count <= MOST for count in counts])
        for row in rng.choice(fit, min(wanted, fit.size), replace=False):
            texts.append(source[row])
            total += counts[row]
    rng.shuffle(texts)
    return texts, total


def by_sentence_transformers(dtype: str) -> Callable[[list[str], int], Any]:
    import torch
    from sentence_transformers import SentenceTransformer

    from recli.encoders import source

    folder = str(source.find(source.DEFAULT).folder)
    model = SentenceTransformer(folder, device="cpu", model_kwargs={"dtype": getattr(torch, dtype)})

    def run(texts: list[str], threads: int) -> Any:
        torch.set_num_threads(threads)
        return np.asarray(model.encode(texts), dtype=np.float32)

    return run


def by_recli(dtype: str) -> Callable[[list[str], int], Any]:
    import torch

    from recli.encoders import source, transformer
    from recli.encoders.model_config import read_encoder_config

    found = source.find(source.DEFAULT)
    encoder = transformer.load(
        found, read_encoder_config(found.folder, found.name), dtype, torch.device("cpu")
    )

    def run(texts: list[str], threads: int) -> Any:
        vectors = np.zeros((len(texts), encoder.model.config.hidden_size), dtype=np.float32)
        for batch in transformer.encode(encoder, texts, threads=threads):
            vectors[batch.rows] = batch.vectors
        return vectors

    return run


def linear_layers(dtype: str, tokens: int) -> Callable[[list[str], int], Any]:
    """The products of MiniLM's six layers for so many tokens, by oneDNN where it can, else by torch."""
    import torch

    kind = getattr(torch, dtype)
    shapes = ((384, 1152), (384, 384), (384, 1536), (1536, 384))
    ready = [(torch.randn(BLOCK, i).to(kind), torch.randn(o, i).to(kind)) for i, o in shapes]
    try:
        ready = [(x, torch.ops.mkldnn._reorder_linear_weight(weight)) for x, weight in ready]
        rest: tuple[Any, ...] = (None, "none", [], "")
        product = torch.ops.mkldnn._linear_pointwise
    except RuntimeError:  # oneDNN has no bfloat16 on this CPU
        rest, product = (), torch.nn.functional.linear

    def run(texts: list[str], threads: int) -> Any:
        torch.set_num_threads(threads)
        with torch.inference_mode():
            for _ in range(6 * max(1, round(tokens / BLOCK))):
                for x, weight in ready:
                    product(x, weight, *rest)

    return run


def fidelity(vectors: Any, reference: Any) -> str:
    """Mean and least cosine, and the mean share of the ten nearest that are the same, as cells of the table."""
    ours, theirs = (v / np.linalg.norm(v, axis=1, keepdims=True) for v in (vectors, reference))
    cosine = np.einsum("nd,nd->n", ours, theirs)
    near = []
    for unit in (ours, theirs):
        scores = unit @ unit.T
        np.fill_diagonal(scores, -np.inf)
        near.append(np.argpartition(-scores, min(10, len(scores) - 1) - 1, axis=1)[:, :10])
    overlap = np.mean([len(np.intersect1d(a, b)) / len(a) for a, b in zip(*near, strict=True)])
    return f"{cosine.mean():.5f} | {cosine.min():.5f} | {overlap:.3f}"


def measured(
    run: Callable[[list[str], int], Any], texts: list[str], threads: int
) -> tuple[float, float, Any]:
    """CPU and wall seconds, and what came of it."""
    cpu, wall = time.process_time(), time.perf_counter()
    made = run(texts, threads)
    return time.process_time() - cpu, time.perf_counter() - wall, made


def main() -> None:
    from transformers import AutoTokenizer

    from recli.encoders import source

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE")
    parser.add_argument("--texts", type=int, default=5000)
    parser.add_argument("--threads", default="1,2", metavar="N,...")
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    texts, tokens = chosen_texts(
        asked.files, asked.texts, AutoTokenizer.from_pretrained(source.find(source.DEFAULT).folder)
    )
    runs = {
        "sentence-transformers, float32": by_sentence_transformers("float32"),
        "sentence-transformers, bfloat16": by_sentence_transformers("bfloat16"),
        "recli, float32": by_recli("float32"),
        "recli, bfloat16": by_recli("bfloat16"),
        "linear layers alone, float32": linear_layers("float32", tokens),
        "linear layers alone, bfloat16": linear_layers("bfloat16", tokens),
    }
    print(f"{len(texts):,} texts, {tokens:,} tokens\n")
    print("| threads | | texts/s | CPU s | x | wall s | x | mean cosine | least | top 10 |")
    print("|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|", flush=True)
    for threads in map(int, asked.threads.split(",")):
        os.environ["TOKENIZERS_PARALLELISM"] = "true" if threads > 1 else "false"
        took: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
        made: dict[str, Any] = {}
        for _ in range(asked.rounds):
            for name, run in runs.items():
                cpu, wall, made[name] = measured(run, texts, threads)
                took[name].append((cpu, wall))
        seconds = {
            name: tuple(map(statistics.median, zip(*pairs, strict=True))) for name, pairs in took.items()
        }
        peer = next(iter(runs))
        for name, (cpu, wall) in seconds.items():
            like = fidelity(made[name], made[peer]) if made[name] is not None else " | | "
            print(
                f"| {threads} | {name} | {len(texts) / wall:.0f} | {cpu:.1f} | {seconds[peer][0] / cpu:.2f} "
                f"| {wall:.1f} | {seconds[peer][1] / wall:.2f} | {like} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
