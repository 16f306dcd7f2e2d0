"""What a shell offers for the value of an option."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from recli.cli.completion import completer
from recli.cli.options import make_command
from recli.steps.recommend.config import RecommendConfig

Recli = Callable[..., tuple[int, str, str]]


def offered(command: str, field: str, incomplete: str, **words: object) -> list[str]:
    context = typer.Context(make_command("recommend", RecommendConfig, lambda config, console: None))
    context.params = words
    complete = completer(command, field)
    assert complete is not None
    return complete(context, incomplete)


def test_names_of_the_run_and_of_the_registries(recli: Recli, board_run: Path) -> None:
    for name in ("popularity", "item-knn"):
        recli("train-cf", board_run, "--algorithm", name)
    recli("embed", board_run, "--model", "tfidf")
    run = {"run": str(board_run)}
    assert offered("recommend", "model", "", **run) == ["item-knn", "popularity"]
    assert offered("evaluate", "models", "popularity,i", **run) == ["popularity,item-knn"]
    assert offered("evaluate", "compare", "p", **run) == ["popularity"]
    assert offered("evaluate", "embeddings", "t", **run) == ["tfidf"]
    assert offered("train-hybrid", "sources", "ials,eas", **run) == ["ials,ease"]
    assert "ndcg@20" in offered("evaluate", "metrics", "ndc", **run)
    assert offered("evaluate", "metrics", "ndcg@10,au", **run) == ["ndcg@10,auc"]
    assert set(offered("recommend", "title_column", "", **run)) == {"title", "block", "year"}
    assert completer("embed", "model") is None and completer("embed", "dim") is None


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "csv.gz"])
def test_columns_of_the_log_and_of_the_catalogue(tmp_path: Path, suffix: str) -> None:
    import gzip

    import polars as pl

    path = tmp_path / f"log.{suffix}"
    frame = pl.DataFrame({"user_id": ["a"], "item_id": ["b"], "watched at": [3]})
    if suffix == "csv.gz":
        path.write_bytes(gzip.compress(frame.write_csv().encode()))
    elif suffix == "tsv":
        frame.write_csv(path, separator="\t")
    else:
        getattr(frame, {"jsonl": "write_ndjson"}.get(suffix, f"write_{suffix}"))(path)
    assert offered("prepare", "time_column", "w", log=[str(path)]) == ["watched at"]
    assert offered("prepare", "item_id_column", "", items=[str(path)]) == frame.columns


def test_where_there_is_nothing_to_offer_nothing_is_offered(tmp_path: Path) -> None:
    missing = str(tmp_path / "nothing")
    assert offered("recommend", "model", "", run=missing) == []
    assert offered("recommend", "model", "") == []
    assert offered("recommend", "title_column", "", run=missing) == []
    assert offered("prepare", "user_column", "", log=[missing]) == []
    assert offered("prepare", "user_column", "", log=["-"]) == offered("prepare", "user_column", "") == []


@pytest.mark.slow
def test_a_shell_gets_them(recli: Recli, board_run: Path) -> None:
    recli("train-cf", board_run, "--algorithm", "popularity")
    for words, found in (
        (f"recli recommend {board_run} --model po", ["popularity"]),
        ("recli train-cf --algorithm ea", ["ease"]),
        ("recli sta", ["status"]),
    ):
        asked = {
            "_RECLI_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(words.count(" ")),
        }
        script = "import sys; sys.argv = ['recli']; from recli.__main__ import main; main()"
        done = subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, **asked}
        )
        assert done.stdout.split() == found, done.stderr
