"""The sample is what it says it is, and its Makefile makes all of it once."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recli.encoders import tfidf
from recli.storage import parts

SAMPLE = Path(__file__).parent.parent / "sample_data"
FILES = ("events.csv", "items.csv", "events_bad.csv")


@pytest.mark.slow
def test_the_generator_makes_the_files_that_are_in_the_repository(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(SAMPLE / "generate.py"), "--out", str(tmp_path)], check=True)
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (SAMPLE / name).read_bytes(), name
    assert sum((SAMPLE / name).stat().st_size for name in FILES) < 3_000_000


def test_its_users_items_events_and_texts(tmp_path: Path) -> None:
    events = pl.read_csv(SAMPLE / "events.csv")
    items = pl.read_csv(SAMPLE / "items.csv")
    assert (events.height, events["user_id"].n_unique(), items.height) == (30_000, 600, 400)
    assert set(events["event"]) == {"view", "like", "purchase"}
    assert items["genre"].n_unique() == 8
    seconds = events["timestamp"]
    assert 360 * 86_400 < int(seconds.max()) - int(seconds.min()) < 367 * 86_400  # type: ignore[call-overload]
    assert items["description"].n_unique() > 390
    sentences = items["description"].str.count_matches(r"\.( |$)")
    assert (sentences.min(), sentences.max()) == (2, 4)
    late = int(seconds.min()) + 0.89 * 365 * 86_400  # type: ignore[call-overload]
    first = events.group_by("item_id").agg(pl.col("timestamp").min()).filter(pl.col("timestamp") > late)
    assert 35 <= first.height <= 45  # a tenth of the items are new
    first = events.group_by("user_id").agg(pl.col("timestamp").min()).filter(pl.col("timestamp") > late)
    assert 28 <= first.height <= 40  # a twentieth of the users, and whoever came back late


def test_texts_find_the_genre() -> None:
    items = pl.read_csv(SAMPLE / "items.csv")
    vectors = tfidf.encode(items["description"].to_list(), items["description"].to_list(), 100, 0)
    vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similar = vectors @ vectors.T
    np.fill_diagonal(similar, -1)
    genres = items["genre"].to_numpy()
    assert np.mean(genres[similar.argmax(axis=1)] == genres) > 0.9  # by chance: 1/8


def test_behavior_beats_popularity(recli: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    run = tmp_path / "run"
    recli("prepare", SAMPLE / "events.csv", "--out", run)
    for algorithm in ("als", "popularity"):
        recli("train-cf", run, "--algorithm", algorithm)
    recli("evaluate", run, "--metrics", "ndcg@10", "--samples", 0)
    metrics = pl.read_parquet(run / "metrics" / "metrics.parquet").filter(pl.col("slice") == "all")
    ndcg = dict(metrics.select("model", "value").rows())
    assert ndcg["als"] > 1.5 * ndcg["popularity"]


def test_the_bad_rows_are_rejected_each_for_its_reason(
    recli: Callable[..., tuple[int, str, str]], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    _, _, err = recli("prepare", SAMPLE / "events_bad.csv", "--out", run, code=3)
    assert "13 of 20 rows cannot be used, more than --max-rejects 1%" in " ".join(err.split())
    assert not run.exists()
    recli("prepare", SAMPLE / "events.csv", SAMPLE / "events_bad.csv", "--out", run)
    rejects = parts.open_part(run / "interactions", "interactions").table("rejects")
    assert set(rejects["file"]) == {"events_bad.csv"}
    assert rejects["line"].to_list() == [3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16]
    assert rejects["reason"].n_unique() == 9


def make(folder: Path, *arguments: str, recli: str = "") -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "RECLI": recli or f"{sys.executable} -m recli", "COLUMNS": "120"}
    return subprocess.run(
        ["make", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.slow
def test_make_runs_all_steps_once_and_again_what_has_changed(tmp_path: Path) -> None:
    folder = tmp_path / "sample_data"
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("*run", "__pycache__"))
    first = make(folder)
    assert first.returncode == 0, first.stderr
    assert "because of:" in first.stdout  # the recommendations with their reasons
    assert "hybrid" in first.stderr.rpartition("Accuracy")[2]  # and the table at the end
    again = make(folder)
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout
    os.utime(folder / "items.csv")
    planned = make(folder, "-n").stdout
    assert [step for step in ("prepare", "embed", "train-hybrid", "recommend") if f" {step} " in planned] == [
        "prepare", "embed", "train-hybrid", "recommend",
    ]  # fmt: skip
    touched = make(folder).stdout  # the same file at another time: prepare says so, and no other step runs
    assert " prepare " in touched and " embed " not in touched
    rejected = make(folder, "rejects")
    assert rejected.returncode == 0, rejected.stderr
    assert "13 of 20 rows" in " ".join(rejected.stderr.split())
    assert make(folder, "clean").returncode == 0
    assert not (folder / "run").exists()


@pytest.mark.slow
def test_the_targets_for_published_data_read_the_published_layouts(tmp_path: Path) -> None:
    """Small files in the layouts of ml-latest, ml-1m, ml-100k, MovieTweetings and the yelp2018 split."""
    folder = tmp_path / "sample_data"
    shutil.copytree(SAMPLE, folder, ignore=shutil.ignore_patterns("*run", "__pycache__"))
    prepare_only = tmp_path / "recli"  # the later steps do not depend on the layout: they are only told
    prepare_only.write_text(
        f'#!/bin/sh\nif [ "$1" = prepare ]; then exec "{sys.executable}" -m recli "$@"; fi\necho "$@" "(told)"\n'
    )
    prepare_only.chmod(0o755)
    rng = np.random.default_rng(0)
    ratings = [(u, (u % 3) * 20 + i, 3 + int(rng.integers(3)), 1_300_000_000 + 97 * u + i)
               for u in range(1, 61) for i in rng.permutation(20)[:12]]  # fmt: skip
    words = ("space rocket alien", "wedding love kiss", "kitchen recipe soup")
    films = [(i, f"Amélie {i} {words[i // 20]} (1995)", "Drama|War") for i in range(60)]
    layouts = {
        "latest": {"ratings.csv": ("userId,movieId,rating,timestamp\r\n", ",", ratings, "\r\n"),
                   "movies.csv": ("movieId,title,genres\r\n", ",", films, "\r\n")},
        "1m": {"ratings.dat": ("", "::", ratings, "\n"), "movies.dat": ("", "::", films, "\n")},
        "100k": {"u.data": ("", "\t", ratings, "\n"),
                 "u.item": ("", "|", [(i, t, "01-Jan-1995", "", "u", *[0] * 19) for i, t, _ in films], "\n")},
    }  # fmt: skip
    for name, files in layouts.items():
        data = tmp_path / name
        data.mkdir()
        for file, (header, separator, rows, end) in files.items():
            text = header + "".join(separator.join(map(str, row)) + end for row in rows)
            (data / file).write_bytes(text.encode("utf-8" if name == "latest" else "latin-1"))
        done = make(folder, "movielens", f"DATA={data}", recli=str(prepare_only))
        assert done.returncode == 0, done.stderr
        part = parts.open_part(folder / "movielens-run/interactions", "interactions")
        assert part.summary["rows"]["kept"] == 720
        assert part.table("items")["text"][0].startswith("Amélie 0 space")
        told = [line for line in done.stdout.splitlines() if line.endswith("(told)")]
        steps = [line.split()[0] for line in told]
        assert steps == ["embed", "train-cf", "train-cf", "train-hybrid", "evaluate"]
    tweets = tmp_path / "tweets"
    shutil.copytree(tmp_path / "1m", tweets)
    (tweets / "movies.dat").write_text("".join("::".join(map(str, film)) + "\n" for film in films))
    done = make(folder, "movietweetings", f"DATA={tweets}")
    assert done.returncode == 0, done.stderr
    yelp = tmp_path / "yelp"
    yelp.mkdir()
    (yelp / "train.txt").write_text("".join(f"{u} {u % 7} {u % 7 + 7} {u % 5 + 14}\n" for u in range(40)))
    (yelp / "test.txt").write_text("".join(f"{u} {u % 7 + 19}\n" for u in range(39)) + "39\n")
    done = make(folder, "yelp2018", f"DATA={yelp}")
    assert done.returncode == 0, done.stderr
    summary = parts.open_part(folder / "yelp2018-run/interactions", "interactions").summary
    assert summary["splits"] == {"history": 0, "test": 39, "train": 80, "validation": 40}
    usage = make(folder, "movielens", "DATA=/nowhere")
    assert usage.returncode == 2
    assert "usage: make movielens" in usage.stdout
