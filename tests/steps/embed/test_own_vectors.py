"""`recli embed --vectors`: vectors from a file, matched with the items by id."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import write_board
from safetensors.numpy import save_file

from recli.data.interactions import Interactions
from recli.errors import UsageError
from recli.steps.embed.config import EmbedConfig
from recli.storage import runs

Recli = Callable[..., tuple[int, str, str]]


def ids_of(board: Interactions) -> list[str]:
    ids: list[str] = board.items["item_id"].to_list()
    return ids


@pytest.fixture
def raw(board: Interactions) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(board.n_items, 6)).astype(np.float32)


@pytest.fixture
def own(tmp_path: Path, board: Interactions, raw: np.ndarray) -> Path:
    """own.npy and ids.txt, in another order than the run's."""
    order = np.random.default_rng(1).permutation(board.n_items)
    np.save(tmp_path / "own.npy", raw[order])
    (tmp_path / "ids.txt").write_text("".join(f"{ids_of(board)[k]}\n" for k in order))
    return tmp_path


def test_rows_are_matched_by_id_and_normalized(
    recli: Recli, board_run: Path, board: Interactions, own: Path, raw: np.ndarray
) -> None:
    words = ("embed", board_run, "--vectors", own / "own.npy", "--ids", own / "ids.txt", "--name", "x")
    _, out, err = recli(*words, "--no-center", "--json")
    made, part = runs.read_embeddings(board_run, "x")
    np.testing.assert_allclose(made, raw / np.linalg.norm(raw, axis=1, keepdims=True), rtol=1e-5)
    assert "30 vectors of 6 dimensions; 30 of 30 items have one" in err
    found = json.loads(out)
    assert (found["with_vector"], found["without_vector"], found["not_in_run"]) == (30, 0, 0)
    assert part.config["vectors"] == "own.npy" and part.config["ids"] == "ids.txt"
    assert "model" not in part.config and str(own) not in json.dumps(part.manifest)

    recli(*words[:-1], "centered", "--storage-dtype", "float16", "--dim", "4")
    centered, part = runs.read_embeddings(board_run, "centered")
    trained = board.splits["train"]["item"].unique().to_numpy()
    assert centered.shape == (30, 4) and part.summary["reduction"] == "pca"
    assert np.abs(part.tensors("vectors")["center"]).max() > 0
    np.testing.assert_allclose(np.linalg.norm(centered, axis=1), 1, atol=2e-3)
    assert len(trained) < 30
    recli("embed", board_run, "--vectors", own / "own.npy", "--ids", own / "ids.txt")
    assert runs.read_embeddings(board_run, "own")[0].shape == (30, 6)  # named by the file


@pytest.mark.parametrize(
    "kind", ["list", "array", "columns", "float64", "float16", "safetensors", "parquet+ids"]
)
def test_formats_give_the_same_vectors(
    recli: Recli, board_run: Path, board: Interactions, own: Path, raw: np.ndarray, kind: str
) -> None:
    ids, file, more = ids_of(board), own / f"{kind}.parquet", []
    frames = {
        "list": lambda: pl.DataFrame({"ItemID": ids, "vec": raw.tolist()}),
        "array": lambda: pl.DataFrame({"vec": raw, "item_id": ids}),
        "columns": lambda: pl.DataFrame(
            raw.astype(np.float64), schema=[f"d{k}" for k in range(6)]
        ).insert_column(2, pl.Series("item_id", ids)),
        "parquet+ids": lambda: pl.DataFrame({"vec": raw}),
    }
    (own / "same.txt").write_text("\n".join(ids))
    if kind in frames:
        frames[kind]().write_parquet(file)
    elif kind == "safetensors":
        file = own / "own.safetensors"
        save_file({"weight": raw, "bias": raw[0]}, file)
    else:
        file = own / f"{kind}.npy"
        np.save(file, raw.astype(kind))
    if kind not in ("list", "array", "columns"):
        more = ["--ids", own / "same.txt"]
    recli("embed", board_run, "--vectors", file, *more, "--name", "x", "--no-center")
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    tolerance = 2e-3 if kind == "float16" else 1e-6
    np.testing.assert_allclose(runs.read_embeddings(board_run, "x")[0], expected, atol=tolerance)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet", "npy", "one-column.csv", "headed.txt"])
def test_ids_from_a_table(
    recli: Recli, board_run: Path, board: Interactions, own: Path, raw: np.ndarray, kind: str
) -> None:
    np.save(own / "own.npy", raw)
    file = own / f"these.{kind}"
    table = pl.DataFrame({"title": [f"t {k}" for k in range(30)], "item_id": ids_of(board)})
    if kind == "npy":
        np.save(file, np.array(ids_of(board)))
    elif kind == "parquet":
        table.write_parquet(file)
    elif kind == "jsonl":
        table.write_ndjson(file)
    elif kind in ("csv", "tsv"):
        table.write_csv(file, separator="," if kind == "csv" else "\t")
    else:
        file.write_text("\n".join(["item_id", *ids_of(board)]) + "\n\n")
    recli("embed", board_run, "--vectors", own / "own.npy", "--ids", file, "--name", "x", "--no-center")
    expected = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    np.testing.assert_allclose(runs.read_embeddings(board_run, "x")[0], expected, rtol=1e-5)


def test_whole_floats_are_integers_as_in_a_catalogue(recli: Recli, tmp_path: Path) -> None:
    lines = "".join(f"u{u},{i}\n" for u in range(12) for i in range(1, 9) if (u + i) % 3)
    (tmp_path / "log.csv").write_text("user_id,item_id\n" + lines)
    recli("prepare", tmp_path / "log.csv", "--out", tmp_path / "run")
    frame = pl.DataFrame({"item_id": [float(k) for k in range(1, 9)], "vec": np.eye(8)})
    frame.write_parquet(tmp_path / "own.parquet")
    _, _, err = recli(
        "embed", tmp_path / "run", "--vectors", tmp_path / "own.parquet"
    )  # a run without any text
    assert "8 of 8 items have one" in err


def test_a_run_without_texts_uses_them(recli: Recli, tmp_path: Path) -> None:
    lines = "".join(f"u{u},i{i}\n" for u in range(40) for i in range(30) if (u + 3 * i) % 4 == u % 3)
    (tmp_path / "log.csv").write_text("user_id,item_id\n" + lines)
    run = tmp_path / "run"
    recli("prepare", tmp_path / "log.csv", "--out", run, "--cold-items", "0.1")
    vectors = np.random.default_rng(0).normal(size=(30, 5)).tolist()
    pl.DataFrame({"item_id": [f"i{k}" for k in range(30)], "vec": vectors}).write_parquet(
        tmp_path / "own.parquet"
    )
    recli("embed", run, "--vectors", tmp_path / "own.parquet")
    _, _, err = recli("train-hybrid", run)
    assert "features: own, 5 dimensions" in err
    manifest = json.loads((run / "models/hybrid/manifest.json").read_text())
    names = {source["name"] for source in manifest["config"]["options"]["sources"]}
    assert "embeddings/own" in manifest["inputs"]
    assert names & {"content-knn", "text-factors", "cease"}
    recli("evaluate", run)  # cold items are scored by their vectors
    recli("recommend", run, "--model", "hybrid")


def test_items_without_and_ids_of_no_item(
    recli: Recli, board_run: Path, board: Interactions, own: Path, raw: np.ndarray
) -> None:
    np.save(own / "own.npy", np.concatenate([raw[:25], raw[:2], raw[:1]]))
    (own / "ids.txt").write_text("\n".join([*ids_of(board)[:25], "nobody", "none either", ids_of(board)[0]]))
    _, out, err = recli("embed", board_run, "--vectors", own / "own.npy", "--ids", own / "ids.txt", "--json")
    text = " ".join(err.split())
    assert (
        "25 of 30 items have one, 5 without get a zero vector; 2 are of ids that are not in the run" in text
    )
    assert "1 are the same as an earlier one of their id" in text
    made = runs.read_embeddings(board_run, "own")[0]
    assert not made[25:].any() and made[:25].any(axis=1).all()
    assert json.loads(out)["zero_vectors"] == 5 and json.loads(out)["repeated"] == 1

    (own / "ids.txt").write_text("\n".join([*ids_of(board)[:9], *(f"other{k}" for k in range(19))]))
    _, _, err = recli("embed", board_run, "-q", "--vectors", own / "own.npy", "--ids", own / "ids.txt")
    assert (
        f"only 9 of 30 items have a vector: own.npy has 'other0', the run {ids_of(board)[9]!r}"
        in " ".join(err.split())
    )


def refusal(recli: Recli, run: Path, folder: Path, code: int = 3, *more: Any) -> str:
    words = ("--vectors", folder / "own.npy", "--ids", folder / "ids.txt", *more)
    return " ".join(recli("embed", run, *words, code=code)[2].split())


def test_what_is_refused(
    recli: Recli, board_run: Path, board: Interactions, own: Path, raw: np.ndarray
) -> None:
    ids = ids_of(board)
    (own / "ids.txt").write_text("\n".join(ids))
    for bad in (np.nan, np.inf, 1e39):
        wrong = raw.astype(np.float64)
        wrong[7, 2] = bad
        np.save(own / "own.npy", wrong)
        assert f"in the vector of {ids[7]!r} (row 8)" in refusal(recli, board_run, own)
    np.save(own / "own.npy", raw)
    (own / "ids.txt").write_text("\n".join(ids[:-1]))
    assert "29 ids" in refusal(recli, board_run, own) and "30 vectors" in refusal(recli, board_run, own)
    (own / "ids.txt").write_text("\n".join([*ids[:-1], ids[3]]))
    assert f"{ids[3]!r} has two vectors, in the rows 4 and 30" in refusal(recli, board_run, own)
    (own / "ids.txt").write_text("\n".join([*ids[:4], "", *ids[5:]]))
    assert "missing item in row 5" in refusal(recli, board_run, own)
    (own / "ids.txt").write_text("\n".join(f"{item}X" for item in ids))
    assert f"none of the ids of {own / 'own.npy'} is an item of the run" in refusal(recli, board_run, own)
    (own / "ids.txt").write_text("\n".join(item.upper() for item in ids))
    assert "more would match in lower case" in refusal(recli, board_run, own)
    (own / "ids.txt").write_text("\n".join(ids))
    np.save(own / "own.npy", raw[0])
    assert "of the shape [6]" in refusal(recli, board_run, own)
    np.save(own / "own.npy", np.array([{"a": 1}] * 30))
    assert "holds Python objects" in refusal(recli, board_run, own)
    (own / "own.npy").write_bytes(b"no array")
    refusal(recli, board_run, own)
    assert not (board_run / "embeddings" / "own").exists()


def test_parquet_files_that_are_refused(
    recli: Recli, board_run: Path, board: Interactions, tmp_path: Path
) -> None:
    def refused(columns: dict[str, Any], code: int = 3) -> str:
        pl.DataFrame(columns).write_parquet(tmp_path / "own.parquet")
        return " ".join(
            recli("embed", board_run, "--vectors", tmp_path / "own.parquet", code=code)[2].split()
        )

    ids = ids_of(board)
    assert "no column for the item" in refused({"vec": [[1.0]] * 30})  # rows have no ids: no guess by order
    assert "has no vectors" in refused({"item_id": ids, "title": ids})
    assert "the vector of row 3 in 'vec' has 1 dimensions" in refused(
        {"item_id": ids, "vec": [[1.0, 2.0]] * 2 + [[1.0]] + [[1.0, 2.0]] * 27}
    )
    assert "2 columns of lists: a, b" in refused({"item_id": ids, "a": [[1.0]] * 30, "b": [[1.0]] * 30})
    pl.DataFrame({"item_id": ids, "year": [1990] * 30, "v1": [1.0] * 30, "v2": [0.5] * 30}).write_parquet(
        tmp_path / "own.parquet"
    )
    _, _, err = recli("embed", board_run, "--vectors", tmp_path / "own.parquet")
    assert "also 'year': leave out of the file what is none" in " ".join(err.split())


@pytest.mark.parametrize(
    "options",
    [
        {"vectors": "own.npy"},
        {"vectors": "own.csv", "ids": "ids.txt"},
        {"ids": "ids.txt"},
        {"vectors": "own.parquet", "model": "tfidf"},
        {"vectors": "own.parquet", "max_tokens": 32},
        {"vectors": "own.parquet", "seed": 1},
        {"vectors": "own.parquet", "resume": False},
        {"vectors": "own.parquet", "device": "cpu"},
    ],
)
def test_options_that_make_no_sense_together(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        EmbedConfig(run="run", **options)


def test_status_and_dry_run_know_them(recli: Recli, board_run: Path, own: Path, raw: np.ndarray) -> None:
    words = ("embed", board_run, "--vectors", own / "own.npy", "--ids", own / "ids.txt", "--name", "x")

    def planned() -> dict[str, Any]:
        plan: dict[str, Any] = json.loads(recli(*words, "--dry-run", "--json")[1])
        return plan

    assert planned()["state"] == "missing"
    recli(*words)
    before = (board_run / "embeddings/x/manifest.json").stat().st_mtime_ns
    recli(*words)
    assert (board_run / "embeddings/x/manifest.json").stat().st_mtime_ns == before
    assert planned()["state"] == "unchanged"
    np.save(own / "own.npy", raw + 1)
    assert planned()["state"] == "changed" and "own.npy has changed" in planned()["why"][0]
    found = json.loads(recli("status", board_run, "--json")[1])
    assert [p["state"] for p in found["parts"] if p["name"] == "embeddings/x"] == ["good"]

    manifest = board_run / "interactions" / "manifest.json"
    recli("train-cf", board_run, "--algorithm", "popularity")
    log = own / "log.csv"
    log.write_text("user_id,item_id\n" + "".join(f"u{u},i{i}\n" for u in range(9) for i in range(9)))
    assert manifest.exists()
    recli("prepare", log, "--out", board_run)
    _, out, _ = recli("status", board_run, "--json")
    stale = next(p for p in json.loads(out)["parts"] if p["name"] == "embeddings/x")
    assert stale["state"] == "stale"
    again = f"recli embed {board_run} --vectors own.npy --ids ids.txt --name x"
    assert again in out
    _, _, err = recli("train-hybrid", board_run, "--embeddings", "x", code=1)
    assert again in " ".join(err.split())


def lists(recli: Recli, run: Path) -> list[str]:
    return recli("recommend", run, "--model", "hybrid", "--format", "jsonl")[1].splitlines()


def test_an_encoders_vectors_fed_back_give_the_same_hybrid(
    recli: Recli, tmp_path: Path, board: Interactions
) -> None:
    first, second = write_board(tmp_path / "a", board), write_board(tmp_path / "b", board)
    recli("embed", first, "--model", "tfidf", "--name", "x")
    exported = runs.read_embeddings(first, "x")[0]
    np.save(tmp_path / "own.npy", exported[::-1])
    (tmp_path / "ids.txt").write_text("\n".join(reversed(ids_of(board))))
    recli(
        "embed",
        second,
        "--vectors",
        tmp_path / "own.npy",
        "--ids",
        tmp_path / "ids.txt",
        "--name",
        "x",
        "--no-center",
    )
    np.testing.assert_allclose(runs.read_embeddings(second, "x")[0], exported, atol=1e-6)
    found = []
    for run in (first, second):
        recli("train-hybrid", run, "--no-tfidf", "--sources", "item-knn,content-knn,text-factors")
        recli("evaluate", run)
        found.append([json.loads(line) for line in lists(recli, run)])
    assert [[i["item_id"] for i in user["items"]] for user in found[0]] == [
        [i["item_id"] for i in user["items"]] for user in found[1]
    ]
    (tmp_path / "p.jsonl").write_text('{"user_id": "p", "profile": "space rocket"}\n')
    _, _, err = recli("recommend", second, "--model", "hybrid", "--profiles", tmp_path / "p.jsonl", code=1)
    assert "vectors of your own (own.npy): recli does not know how to make one of a text" in " ".join(
        err.split()
    )
