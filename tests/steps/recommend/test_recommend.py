"""`recli recommend`, end to end: lists are read back in every format, and are what the options say."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
import polars as pl
import pytest
from conftest import checkerboard, edit_manifest, write_board

from recli.config import to_dict
from recli.data.history import History
from recli.data.interactions import Interactions
from recli.errors import RecliError, UsageError
from recli.models.base import Algorithm, Model, Training, algorithms
from recli.ranking.topk import rank
from recli.schema import Float32, Int64, State
from recli.steps.recommend import inputs
from recli.steps.recommend.config import RecommendConfig
from recli.steps.recommend.sinks.base import formats, sink
from recli.steps.recommend.step import ListCounts, recommend
from recli.storage import parts, runs

Call = Callable[..., tuple[int, str, str]]


def train(run: Path, algorithm: str, name: str | None = None, **options: Any) -> Path:
    """Write a model of the run without the command that trains it."""
    known = algorithms[algorithm]
    config = known.config(**options)
    data = runs.read_interactions(run)
    model = known.fit(config, Training(data.matrix("train"), rows=data.splits["train"], threads=1))
    return runs.write_model(run, name or algorithm, algorithm, to_dict(config), model, seed=0)


@pytest.fixture
def als(board_run: Path) -> Path:
    train(board_run, "als", factors=8)
    return board_run


@pytest.fixture
def popular(board_run: Path) -> Path:
    train(board_run, "popularity")
    return board_run


@dataclass(frozen=True)
class NoConfig:
    pass


@dataclass(frozen=True)
class Sum(Model):
    """A hand-made model: item j of a history gives j + 1 times its value to the ten items of its own block.

    Two sources, 3/4 and 1/4 of the score; texts are scored by their first number: all to that block.
    """

    space: State

    @property
    def text_dim(self) -> int:
        return 200

    @property
    def text_space(self) -> State:
        return self.space

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        blocks = history.shape[1] // 10
        weights = np.kron(np.eye(blocks), np.ones((10, 10))) * np.arange(1, history.shape[1] + 1)[:, None]
        return np.asarray(history.values @ weights, dtype=np.float32)

    def source_scores(self, history: History, users: Int64 | None = None) -> dict[str, Float32]:
        scores = self.score(history, users)
        return {"one": np.float32(0.25) * scores, "three": np.float32(0.75) * scores}

    def score_text(self, vectors: Float32) -> Float32:
        return np.asarray(vectors @ self.space["items"].T, dtype=np.float32)

    def state(self) -> State:
        return self.space


@pytest.fixture
def summing(board_run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run with the model `Sum`, whose texts are encoded with TF-IDF."""
    known = dict(algorithms._load())
    known["sum"] = Algorithm("sum", "", NoConfig, lambda c, t: Sum({}), lambda c, s: Sum(s), "test")
    monkeypatch.setattr(algorithms, "_things", known)
    from recli.encoders import tfidf

    data = runs.read_interactions(board_run)
    texts = data.items["text"].to_list()
    vectors = tfidf.encode(texts, texts, 200, 0)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    space = {
        "center": np.zeros(vectors.shape[1], dtype=np.float32),
        "items": (vectors / norms).astype(np.float32),
    }
    encoder = {"config": {"model": "tfidf", "dim": None, "seed": 0}, "summary": {}}
    runs.write_model(board_run, "sum", "sum", {}, Sum(space), seed=0, summary={"encoder": encoder})
    return board_run


def rows_of(out: str) -> list[dict[str, Any]]:
    """JSON lines as one row for each recommendation."""
    return [
        {"user_id": line["user_id"], "source": line["source"], **item}
        for line in map(json.loads, out.splitlines())
        for item in line["items"]
    ]


def lists_of(out: str) -> dict[str, list[str]]:
    return {
        line.get("user_id", line.get("similar_to")): [item["item_id"] for item in line["items"]]
        for line in map(json.loads, out.splitlines())
    }


def seen_by(data: Interactions, user_id: str, *splits: str) -> set[str]:
    row = data.users["user_id"].to_list().index(user_id)
    events = pl.concat([data.splits[s] for s in splits]).filter(pl.col("user") == row)
    return {data.items["item_id"][i] for i in events["item"]}


def test_all_users_of_the_run_are_the_default(als: Path, recli: Call, board: Interactions) -> None:
    _, out, err = recli("recommend", als, "-k", 3)
    found = lists_of(out)
    assert list(found) == board.users["user_id"].to_list()
    assert {len(items) for items in found.values()} == {3}
    assert "masked" in err and "model: als" in err
    blocks = [
        int(item[1:]) // 10 == int(user[1:]) // 12 for user, items in found.items() for item in items[:1]
    ]
    assert np.mean(blocks) > 0.9, "users get items of their own block"


def test_lists_are_what_the_ranking_gives(als: Path, recli: Call) -> None:
    stored = runs.read_model(als / "models" / "als")
    data = stored.interactions
    users = np.where(data.users["cold"].to_numpy(), -1, np.arange(data.n_users))
    expected = rank(stored.model, data.history(), users, k=4, ties=data.ties, seen=data.seen())
    rows = rows_of(recli("recommend", als, "-k", 4)[1])
    ids = data.items["item_id"].to_numpy()
    assert [r["item_id"] for r in rows] == ids[expected.items.ravel()].tolist()
    np.testing.assert_array_equal(np.float32([r["score"] for r in rows]), expected.scores.ravel())
    assert [r["rank"] for r in rows[:8]] == [1, 2, 3, 4, 1, 2, 3, 4]
    assert rows[0]["title"] == f"Title {int(rows[0]['item_id'][1:])}"


def test_every_format_holds_the_same(als: Path, recli: Call, tmp_path: Path) -> None:
    users = "u003,u001"
    made = {}
    for format in ("jsonl", "csv", "parquet", "arrow", "table"):
        recli(
            "recommend",
            als,
            "--users",
            users,
            "-k",
            3,
            "--explain",
            "--format",
            format,
            "--out",
            tmp_path / "x",
        )
        made[format] = (tmp_path / "x").read_bytes()
    rows = rows_of(made["jsonl"].decode())
    assert [r["user_id"] for r in rows] == ["u003"] * 3 + ["u001"] * 3
    flat = list(csv.DictReader(io.StringIO(made["csv"].decode())))
    names = ["user_id", "rank", "item_id", "score", "source", "title", "because"]
    assert list(flat[0]) == names
    assert [[str(r[n]) for n in names if n != "score"] for r in rows] == [
        [r[n] for n in names if n != "score"] for r in flat
    ]
    assert [r["score"] for r in rows] == [float(r["score"]) for r in flat]
    parquet, arrow = pl.read_parquet(made["parquet"]), pl.read_ipc(made["arrow"])
    assert parquet.equals(arrow)
    assert parquet.columns == [*names, "reasons", "sources"]
    assert parquet["score"].to_numpy().tolist() == np.float32([r["score"] for r in rows]).tolist()
    for row, line in zip(parquet.iter_rows(named=True), rows, strict=True):
        assert [r["item_id"] for r in row["reasons"]] == [r["item_id"] for r in line["reasons"]]
        assert [r["share"] for r in row["reasons"]] == pytest.approx(
            [r["share"] for r in line["reasons"]], abs=1e-6
        )
    table = made["table"].decode()
    assert all(r["title"] in table and r["user_id"] in table for r in rows)


def test_the_format_follows_the_name_of_the_file(als: Path, recli: Call, tmp_path: Path) -> None:
    for name in ("a.csv", "a.jsonl", "a.parquet", "a.arrow"):
        assert recli("recommend", als, "--users", "u001", "--out", tmp_path / name)[1] == ""
    assert pl.read_csv(tmp_path / "a.csv").height == pl.read_parquet(tmp_path / "a.parquet").height == 10
    assert pl.read_ipc(tmp_path / "a.arrow").height == len(rows_of((tmp_path / "a.jsonl").read_text())) == 10
    _, _, err = recli("recommend", als, "--out", tmp_path / "a.xls", code=2)
    assert "--format" in err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.arrow", "a.csv", "a.jsonl", "a.parquet", "run"]


def test_the_same_bytes_twice(als: Path, recli: Call, tmp_path: Path) -> None:
    for name in ("one", "two"):
        recli("recommend", als, "--explain", "--format", "parquet", "--out", tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    for name in ("one", "two"):
        recli("recommend", als, "--save")
        shutil.copytree(als / "recommendations", tmp_path / f"saved-{name}")
    manifests = [(tmp_path / f"saved-{name}" / "manifest.json").read_bytes() for name in ("one", "two")]
    assert manifests[0] == manifests[1]


def test_quoting_in_csv(board: Interactions, tmp_path: Path, recli: Call) -> None:
    title = 'He said "no, thanks"\nand left, \x1b[31mred'
    catalogue = pl.DataFrame({"Name": [title] * board.n_items})
    runs.write_interactions(tmp_path / "run", board, {}, {}, catalogue)
    train(tmp_path / "run", "popularity")
    _, out, _ = recli("recommend", tmp_path / "run", "--users", "u000", "-k", 1, "--format", "csv")
    assert [r["title"] for r in csv.DictReader(io.StringIO(out, newline=""))] == [title]
    _, out, _ = recli("recommend", tmp_path / "run", "--users", "u000", "-k", 1)
    assert rows_of(out)[0]["title"] == title
    _, out, _ = recli("recommend", tmp_path / "run", "--users", "u000", "-k", 1, "--format", "table")
    assert "\x1b" not in out


def test_without_a_catalogue_there_are_no_titles(board: Interactions, tmp_path: Path, recli: Call) -> None:
    runs.write_interactions(tmp_path / "run", board, {}, {})
    train(tmp_path / "run", "popularity")
    assert "title" not in rows_of(recli("recommend", tmp_path / "run", "--users", "u000")[1])[0]


@pytest.mark.parametrize("name", ["Title", "name", "headline", "label", "product_name", "product_title"])
def test_which_column_has_the_titles(name: str, board: Interactions, tmp_path: Path, recli: Call) -> None:
    texts = [f"T{i}" for i in range(board.n_items)]
    catalogue = pl.DataFrame({"code": range(board.n_items), name: texts})
    runs.write_interactions(tmp_path / "run", board, {}, {}, catalogue)
    train(tmp_path / "run", "popularity")
    row = rows_of(recli("recommend", tmp_path / "run", "-k", 1, "--users", "u001")[1])[0]
    assert row["title"] == f"T{int(row['item_id'][1:])}"


def test_title_column(summing: Path, recli: Call) -> None:
    asked = '{"user_id": "n", "history": ["i004"]}'
    options = ("recommend", summing, "--users", asked, "-k", 1, "--explain", "--title-column")
    row = rows_of(recli(*options, "year")[1])[0]
    assert row["title"] == str(1990 + int(row["item_id"][1:]))
    assert row["because"].startswith("because of: 1994 (100%)") and row["reasons"][0]["title"] == "1994"
    _, _, err = recli(*options, "yaer", code=2)
    assert "--title-column: there is no column 'yaer'; columns:" in err and "title, block, year" in err
    assert "did you mean year?" in err


def test_title_column_without_a_catalogue_or_with_lists(
    board: Interactions, tmp_path: Path, recli: Call
) -> None:
    runs.write_interactions(tmp_path / "run", board, {}, {})
    train(tmp_path / "run", "popularity")
    _, _, err = recli("recommend", tmp_path / "run", "--title-column", "title", code=2)
    assert "no column 'title'; the run has no catalogue" in err
    lists = pl.DataFrame({"title": [["a", "b"]] * board.n_items})
    runs.write_interactions(tmp_path / "run", board, {}, {}, lists)
    train(tmp_path / "run", "popularity")
    assert "title" not in rows_of(recli("recommend", tmp_path / "run", "-k", 1)[1])[0]
    _, _, err = recli("recommend", tmp_path / "run", "--title-column", "title", code=2)
    assert "--title-column: title is of type List(String), which is no name" in err


def test_a_gpu_that_was_asked_for_must_be_there(
    als: Path, recli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    for device in ("cuda", "cuda:0"):
        _, out, err = recli("recommend", als, "--users", "u001", "--device", device, code=5)
        assert out == "" and f"--device {device}" in err


def test_profiles_beside_a_history_are_said_to_be_unused(summing: Path, recli: Call, tmp_path: Path) -> None:
    file = tmp_path / "who.jsonl"
    lines = [
        '{"user_id": "a", "history": ["i004"], "profile": "space rocket"}',
        '{"user_id": "b", "history": ["i014"], "profile": "kiss"}',
        '{"user_id": "c", "profile": "soup"}',
    ]
    file.write_text("\n".join(lines))
    _, out, err = recli("recommend", summing, "--users", file, "-k", 1)
    assert "warning: 2 profiles were not used: a history says more" in err and err.count("not used") == 1
    assert [int(r["item_id"][1:]) // 10 for r in rows_of(out)] == [0, 1, 2]


def test_save_writes_a_part_of_the_run(als: Path, recli: Call) -> None:
    _, out, _ = recli("recommend", als, "-k", 2, "--save")
    assert out == f"{als}\n"
    part = parts.open_part(als / "recommendations", "recommendations")
    made = part.table("recommendations")
    assert made.columns == ["user_id", "rank", "item_id", "score", "source", "title"]
    assert made.height == 2 * 36
    assert part.config["k"] == 2 and part.config["model"] == "als"
    model = parts.open_part(als / "models" / "als", "models")
    assert part.manifest["inputs"]["models/als"] == model.sha256
    assert str(als) not in json.dumps(part.manifest)
    _, out, _ = recli("recommend", als, "-k", 2, "--save", "--json")
    assert json.loads(out)["lists"] == 36
    assert not [p for p in als.iterdir() if p.name.startswith(".")]


def test_masks(popular: Path, recli: Call, board: Interactions) -> None:
    user = "u000"
    everything = set(board.items["item_id"])
    for mask, splits in (
        ("seen", ("train", "validation")),
        ("all", ("train", "validation", "test")),
        ("none", ()),
    ):
        _, out, err = recli("recommend", popular, "--users", user, "--mask", mask, "-k", 1000)
        left = everything - (seen_by(board, user, *splits) if splits else set())
        assert set(lists_of(out)[user]) == left
        assert "masked" in err
    assert "1 list is shorter than 1000" in err


def test_what_cold_users_did_is_masked_too(als: Path, recli: Call, board: Interactions) -> None:
    _, out, _ = recli("recommend", als, "--users", "u011", "-k", 1000)
    (items,) = lists_of(out).values()
    assert set(items) == set(board.items["item_id"]) - seen_by(board, "u011", "history")
    assert rows_of(out)[0]["source"] == "als", "a history alone is enough"


def test_allow_deny_and_where(popular: Path, recli: Call, tmp_path: Path) -> None:
    (tmp_path / "allowed.txt").write_text("i001\n\ni002\ni003\nzzz\n")

    def left(*options: object, code: int = 0) -> tuple[set[str], str]:
        _, out, err = recli(
            "recommend", popular, "--users", "u035", "--mask", "none", "-k", 99, *options, code=code
        )
        return set(lists_of(out)["u035"]), err

    items, err = left("--allow", tmp_path / "allowed.txt")
    assert items == {"i001", "i002", "i003"}
    assert "--allow: 1 id is not in the catalogue: zzz" in err
    assert left("--allow", "i001,i002", "--allow", "i005")[0] == {"i001", "i002", "i005"}
    assert left("--allow", tmp_path / "allowed.txt", "--deny", "i002")[0] == {"i001", "i003"}
    assert left("--where", "year >= 1990 AND year < 1993")[0] == {"i000", "i001", "i002"}
    assert left("--where", "block = 'b1'", "--where", "year % 2 = 0")[0] == {
        f"i0{n}" for n in (10, 12, 14, 16, 18)
    }
    assert left("--where", "item_id = 'i004' OR text LIKE '%number 7'")[0] == {"i004", "i007"}
    assert left("--where", "cold")[0] == {"i009", "i019", "i029"}
    assert "candidates: 3 of 30 items" in left("--where", "cold")[1]


def test_bad_filters(popular: Path, recli: Call) -> None:
    _, out, err = recli("recommend", popular, "--where", "studio = 'x'", code=2)
    assert (
        "columns: title (text), block (text), year (a number), item_id (text), text (text), cold (true or false)"
        in err
        and out == ""
    )
    recli("recommend", popular, "--where", "year >=", code=2)
    _, _, err = recli("recommend", popular, "--where", "year > 3000", code=1)
    assert "no item is left to recommend: none passes --where" in err
    assert "--where 'year > 3000' holds for none; year is from 1990 to 2019" in err


def test_popularity_stands_in_where_nothing_is_known(als: Path, recli: Call, tmp_path: Path) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_text('u001\n{"user_id": "n1", "history": []}\n{"user_id": "n2", "history": ["zzz"]}\n')
    _, out, err = recli("recommend", als, "--users", asked, "-k", 3, "--explain")
    rows = rows_of(out)
    assert [r["source"] for r in rows] == ["als"] * 3 + ["popularity"] * 6
    assert "2 lists are the most popular items" in err
    assert "1 unknown item in histories left out: zzz" in err
    data = runs.read_interactions(als)
    counts = data.matrix("train").getnnz(axis=0)
    best = np.lexsort((data.ties, -counts))[:3]
    assert [r["item_id"] for r in rows[3:6]] == [data.items["item_id"][int(i)] for i in best]
    assert rows[3]["score"] == counts[best[0]]
    assert rows[3]["because"] == f"popular: {counts[best[0]]} users"
    _, out, err = recli("recommend", als, "--users", asked, "--fallback", "none")
    assert list(lists_of(out)) == ["u001"]
    assert "2 of 3 got no list" in err


def test_popularity_stands_in_where_all_scores_are_equal(board_run: Path, recli: Call) -> None:
    train(board_run, "item-knn")
    alone = '{"user_id": "n", "history": ["i009"]}'  # a cold item: it has no neighbors
    assert rows_of(recli("recommend", board_run, "--users", alone, "-k", 1)[1])[0]["source"] == "popularity"


def test_a_new_user_gets_what_a_known_one_with_that_history_gets(
    als: Path, recli: Call, board: Interactions
) -> None:
    history = sorted(seen_by(board, "u002", "train"))
    asked = json.dumps({"user_id": "twin", "history": history})
    twin = lists_of(recli("recommend", als, "--users", asked, "-k", 5)[1])["twin"]
    known = lists_of(recli("recommend", als, "--users", "u002", "--mask", "none", "-k", 20)[1])["u002"]
    assert twin == [item for item in known if item not in history][:5]
    unmasked = lists_of(recli("recommend", als, "--users", asked, "--mask", "none", "-k", 20)[1])["twin"]
    assert unmasked == known


def test_values_of_a_history_count(summing: Path, recli: Call) -> None:
    asked = (
        '{"user_id": "n", "history": [{"item_id": "i000", "value": 4}, {"item_id": "i001", "value": 0.5}]}'
    )
    rows = rows_of(recli("recommend", summing, "--users", asked, "-k", 1)[1])
    assert rows[0]["score"] == 1 * 4 + 2 * 0.5


def test_users_from_a_file_from_stdin_and_by_name(
    als: Path, recli: Call, tmp_path: Path, monkeypatch: Any
) -> None:
    (tmp_path / "users.txt").write_text("u005\nu004\nu005\n")
    _, by_file, err = recli("recommend", als, "--users", tmp_path / "users.txt")
    assert list(lists_of(by_file)) == ["u005", "u004"]
    assert "1 users were named more than once" in err
    assert recli("recommend", als, "--users", "u005", "--users", "u004")[1] == by_file
    reader, pipe = os.pipe()  # as of --users <(command)
    os.write(pipe, b"u005\nu004\n")
    os.close(pipe)
    assert recli("recommend", als, "--users", f"/dev/fd/{reader}")[1] == by_file
    os.close(reader)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"u005\nu004\n")))
    assert recli("recommend", als, "--users", "-")[1] == by_file
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(f"{als}\n".encode())))
    assert recli("recommend", "-", "--users", "u005,u004")[1] == by_file
    _, _, err = recli("recommend", "-", "--users", "-", code=2)
    assert "stdin (-) can be read only once" in err


def test_unknown_users(als: Path, recli: Call) -> None:
    _, out, err = recli("recommend", als, "--users", "U001", code=2)
    assert "there is no user 'U001'" in err and "did you mean u001?" in err and out == ""
    _, out, err = recli("recommend", als, "--users", "nobody,u001", "--skip-unknown")
    assert list(lists_of(out)) == ["u001"] and "1 unknown user left out: nobody" in err
    recli("recommend", als, "--users", "nobody", "--skip-unknown", code=1)


def test_histories_and_profiles_as_files(summing: Path, recli: Call, tmp_path: Path) -> None:
    (tmp_path / "h.jsonl").write_text('{"user_id": "h", "history": ["i011"]}\n')
    (tmp_path / "p.jsonl").write_text(
        '{"user_id": "p", "profile": "a cosy kitchen, and soup"}\n{"profile": "qwxz"}\n'
    )
    assert rows_of(recli("recommend", summing, "--histories", tmp_path / "h.jsonl")[1])[0]["user_id"] == "h"
    _, out, err = recli("recommend", summing, "--profiles", tmp_path / "p.jsonl", "--explain", "-k", 5)
    rows = rows_of(out)
    assert {r["item_id"][:3] for r in rows if r["user_id"] == "p"} == {"i02"}, "the block of kitchens"
    assert rows[0]["because"] == "fits the profile" and rows[0]["source"] == "sum"
    assert "1 profiles have no word that the encoder knows" in err
    assert {r["source"] for r in rows if r["user_id"] == "new-2"} == {"popularity"}
    recli("recommend", summing, "--histories", tmp_path / "p.jsonl", code=3)
    recli("recommend", summing, "--profiles", tmp_path / "h.jsonl", code=3)
    recli(
        "recommend", summing, "--histories", tmp_path / "h.jsonl", "--profiles", tmp_path / "p.jsonl", code=2
    )
    _, _, err = recli("recommend", summing, "--histories", tmp_path / "none.jsonl", code=1)
    assert "there is no file" in err


def test_a_model_without_texts_refuses_profiles(als: Path, recli: Call) -> None:
    _, _, err = recli("recommend", als, "--users", '{"profile": "kitchens"}', code=1)
    assert "recli train-hybrid" in err


def test_reasons_of_a_linear_model_are_exact(summing: Path, recli: Call) -> None:
    asked = '{"user_id": "n", "history": ["i000", "i002", {"item_id": "i004", "value": 2}, "i010"]}'
    rows = rows_of(
        recli("recommend", summing, "--users", asked, "-k", 1, "--where", "block = 'b0'", "--explain")[1]
    )
    # i000 gives 1, i002 gives 3, i004 gives 5 * 2, i010 nothing to this block: 14 in all
    why = rows[0]["reasons"]
    assert [r["item_id"] for r in why] == ["i004", "i002", "i000"]
    assert [r["share"] for r in why] == pytest.approx([10 / 14, 3 / 14, 1 / 14], abs=1e-6)
    assert why[0]["title"] == "Title 4"
    assert rows[0]["sources"] == [{"source": "three", "share": 0.75}, {"source": "one", "share": 0.25}]
    assert rows[0]["because"] == (
        "because of: Title 4 (71%), Title 2 (21%), Title 0 (7%); sources: three 75%, one 25%"
    )
    options = ("--users", asked, "-k", 1, "--where", "block = 'b0'", "--explain", "--reasons", 1)
    assert len(rows_of(recli("recommend", summing, *options)[1])[0]["reasons"]) == 1


@pytest.mark.parametrize("algorithm", ["als", "item-knn", "user-knn", "ease"])
def test_reasons_of_every_model_are_in_the_block_and_add_up(
    board_run: Path, recli: Call, algorithm: str
) -> None:
    train(board_run, algorithm)
    rows = rows_of(
        recli("recommend", board_run, "--users", "u000,u013", "-k", 2, "--explain", "--reasons", 100)[1]
    )
    for row in rows:
        own = "b0" if row["user_id"] == "u000" else "b1"
        assert {f"b{int(r['item_id'][1:]) // 10}" for r in row["reasons"]} <= {own}
        if row["reasons"]:
            assert sum(r["share"] for r in row["reasons"]) == pytest.approx(1, abs=1e-4)
    assert any(row["reasons"] for row in rows)


def test_reasons_of_long_histories(board_run: Path, recli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    train(board_run, "item-knn")
    monkeypatch.setattr("recli.steps.recommend.explain.MAX_LEFT_OUT", 1)
    monkeypatch.setattr("recli.steps.recommend.explain.most_important.__defaults__", (None, 1))
    rows = rows_of(recli("recommend", board_run, "--users", "u000", "-k", 1, "--explain")[1])
    data = runs.read_interactions(board_run)
    last = data.splits["train"].filter(pl.col("user") == 0)["item"][-1]
    assert [r["item_id"] for r in rows[0]["reasons"]] == [data.items["item_id"][last]]


@pytest.mark.parametrize("algorithm", ["als", "item-knn", "ease"])
def test_similar_items_are_of_the_same_block(board_run: Path, recli: Call, algorithm: str) -> None:
    train(board_run, algorithm)
    _, out, _ = recli("recommend", board_run, "--similar-to", "i003,i014", "-k", 4)
    found = lists_of(out)
    assert list(found) == ["i003", "i014"]
    for item, similar in found.items():
        assert item not in similar and len(similar) == 4
        assert {s[:3] for s in similar} == {item[:3]}
    _, out, _ = recli(
        "recommend", board_run, "--similar-to", "i003", "--where", "block = 'b2'", "--format", "csv"
    )
    rows = list(csv.DictReader(io.StringIO(out)))
    assert list(rows[0])[:2] == ["similar_to", "rank"] and {r["item_id"][:3] for r in rows} == {"i02"}
    assert "similar to i003" in recli("recommend", board_run, "--similar-to", "i003", "--format", "table")[1]


def test_similar_items_by_cosine_of_factors(als: Path, recli: Call) -> None:
    factors = runs.read_model(als / "models" / "als").part.tensors("model")["item_factors"]
    unit = factors / np.maximum(np.linalg.norm(factors, axis=1, keepdims=True), 1e-12)
    cosines = unit @ unit[3]
    cosines[3] = -np.inf
    (line,) = recli("recommend", als, "--similar-to", "i003", "-k", 1)[1].splitlines()
    best = json.loads(line)["items"][0]
    assert cosines[int(best["item_id"][1:])] == pytest.approx(float(cosines.max()), abs=1e-6)
    assert best["score"] == pytest.approx(float(cosines.max()), abs=1e-6)


def test_nothing_is_similar_where_nothing_is_known(board_run: Path, recli: Call, board: Interactions) -> None:
    train = board.splits["train"].filter(pl.col("item") != 3)  # i003 has no event
    run = write_board(board_run.parent / "cold", replace(board, splits={**board.splits, "train": train}))
    recli("train-cf", run, "--algorithm", "ease")
    _, out, err = recli("recommend", run, "--similar-to", "i003,i004", "-k", 2)
    assert list(lists_of(out)) == ["i004"]
    assert "1 of 2 got no list: nothing is known of them" in err
    recli("train-cf", run, "--algorithm", "popularity")
    _, _, err = recli("recommend", run, "--model", "popularity", "--similar-to", "i004", code=2)
    assert "gives all users the same, and has no item similarities" in err


def test_unknown_items_to_be_similar_to(als: Path, recli: Call) -> None:
    _, _, err = recli("recommend", als, "--similar-to", "I003", code=2)
    assert "there is no item 'I003'" in err and "did you mean i003?" in err


def test_diversify(board_run: Path, recli: Call) -> None:
    train(board_run, "als", factors=8)
    train(board_run, "item-knn")
    for model in ("als", "item-knn"):

        def items(*options: object, model: str = model) -> list[str]:
            return lists_of(
                recli("recommend", board_run, "--model", model, "--users", "u001", "-k", 4, *options)[1]
            )["u001"]

        unwrap = items()
        assert items("--diversify", 1) == unwrap
        varied = items("--diversify", 0.1)
        assert varied[0] == unwrap[0] and varied != unwrap
        blocks = [len({i[:3] for i in chosen}) for chosen in (unwrap, varied)]
        assert blocks[1] > blocks[0], "items of other blocks come in"
        assert items("--diversify", 0.1, "--pool", 4) != varied
        assert set(items("--diversify", 0.1, "--pool", 4)) == set(unwrap)


def test_which_model(board_run: Path, recli: Call) -> None:
    _, _, err = recli("recommend", board_run, code=1)
    assert f"recli train-cf {board_run}" in err
    train(board_run, "popularity")
    train(board_run, "item-knn")
    _, out, err = recli("recommend", board_run, "--users", "u001")
    assert rows_of(out)[0]["source"] == "item-knn" and "2 models in the run" in err
    train(board_run, "popularity", "hybrid")
    assert rows_of(recli("recommend", board_run, "--users", "u001")[1])[0]["source"] == "hybrid"
    assert (
        rows_of(recli("recommend", board_run, "--users", "u001", "--model", "popularity")[1])[0]["source"]
        == "popularity"
    )
    _, _, err = recli("recommend", board_run, "--model", "bert", code=2)
    assert "there are: hybrid, item-knn, popularity" in err
    assert f"or train another: recli train-cf {board_run}\n" in err
    _, _, err = recli("recommend", board_run, "--model", "item-nn", code=2)
    assert "did you mean item-knn? or train another" in err


def with_validation(run: Path, name: str, ndcg: float, users: int = 33) -> None:
    """Put a figure on validation into a model's manifest."""
    figures = {"validation": {"ndcg@20": ndcg, "users": users}}
    edit_manifest(run / "models" / name, lambda manifest: manifest["summary"].update(figures))


def test_the_best_model_on_validation_is_taken(board_run: Path, recli: Call) -> None:
    def source() -> tuple[str, str]:
        _, out, err = recli("recommend", board_run, "--users", "u001", "-k", 1)
        return rows_of(out)[0]["source"], err

    for name, ndcg in (("knn", 0.2), ("better", 0.3), ("hybrid", 0.25)):
        train(board_run, "item-knn", name)
        with_validation(board_run, name, ndcg)
    chosen, err = source()
    assert chosen == "better"
    assert "better is the best on validation (NDCG@20 0.3000 of 33 users; hybrid 0.2500)" in err
    with_validation(board_run, "hybrid", 0.25, users=30)
    chosen, err = source()
    assert chosen == "hybrid" and "cannot be compared" in err
    with_validation(board_run, "hybrid", 0.35)
    assert source()[0] == "hybrid"


def test_a_stale_model_is_not_taken_while_there_is_another(board_run: Path, recli: Call) -> None:
    train(board_run, "item-knn", "old")
    with_validation(board_run, "old", 0.9)
    write_board(board_run, checkerboard(seed=8))
    train(board_run, "popularity")
    _, out, err = recli("recommend", board_run, "--users", "u001", "-k", 1)
    assert rows_of(out)[0]["source"] == "popularity"
    assert "the model old is left out: it was made from other interactions" in err
    assert f"recli train-cf {board_run} --algorithm item-knn --name old" in err
    recli("recommend", board_run, "--users", "u001", "--model", "old", code=1)


@pytest.mark.parametrize(
    "options", [("--save",), ("--out", "a.parquet"), ("--out", "a.arrow"), ("--out", "a.csv")]
)
def test_a_full_disk_is_a_message(
    als: Path, recli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...]
) -> None:
    def full(*arguments: Any, **named: Any) -> None:
        raise OSError("No space left on device (os error 28)")  # as polars raises it, without a number

    for name in ("write_ipc", "write_csv"):
        monkeypatch.setattr(pl.DataFrame, name, full)
    monkeypatch.chdir(tmp_path)
    _, _, err = recli("recommend", als, *options, code=1)
    assert "the disk is full; earlier results are untouched" in err
    assert not list(tmp_path.glob("a.*")) and not (als / "recommendations").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux alone has /dev/full")
@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet", "table"])
def test_a_device_that_is_full(als: Path, recli: Call, format: str) -> None:
    _, _, err = recli("recommend", als, "-k", 2, "--out", "/dev/full", "--format", format, code=1)
    assert "the disk is full" in err


def test_a_request_has_its_own_limits(als: Path, recli: Call, tmp_path: Path) -> None:
    def lists(*lines: dict[str, Any]) -> tuple[dict[str, list[str]], str]:
        asked = tmp_path / "asked.jsonl"
        asked.write_text("".join(json.dumps(line) + "\n" for line in lines))
        _, out, err = recli("recommend", als, "--users", asked, "-k", 4)
        return lists_of(out), err

    plain, _ = lists({"user_id": "u001"}, {"user_id": "u002"}, {"user_id": "n", "history": ["i000", "i001"]})
    best, new = plain["u001"], plain["n"]
    found, err = lists(
        {"user_id": "u001", "exclude": [best[0], "i999"], "k": 2},
        {"user_id": "u002"},
        {"user_id": "n", "history": ["i000", "i001"], "allow": [new[3], new[2], new[1]], "exclude": [new[2]]},
    )
    assert found["u001"] == best[1:3], "two, without the excluded one"
    assert found["u002"] == plain["u002"]
    assert found["n"] == [new[1], new[3]]
    assert "1 unknown item in allow or exclude left out: i999" in err
    assert "1 list is shorter" in err


def test_disliked_items_of_a_request_are_masked_and_not_scored(
    als: Path, recli: Call, tmp_path: Path
) -> None:
    def listed(history: list[Any], *options: object) -> list[str]:
        asked = tmp_path / "asked.jsonl"
        asked.write_text(json.dumps({"user_id": "n", "history": history}))
        return lists_of(recli("recommend", als, "--users", asked, "-k", 5, *options)[1])["n"]

    liked = listed(["i000", "i001"])
    for value in (-2, 0):
        disliked = [{"item_id": liked[0], "value": value}, "i000", "i001"]
        assert listed(disliked)[:4] == liked[1:], "the others are as without it"
        assert listed(disliked, "--mask", "none") == listed(["i000", "i001"], "--mask", "none")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"user_id": "u001", "k": 0}', "from 1 to 1,000,000, not 0"),
        ('{"user_id": "u001", "k": true}', "not True"),
        ('{"user_id": "u001", "allow": "i001"}', "must be a list of item ids"),
        ('{"user_id": "u001", "exclude": [1]}', "strings in quotes, not 1"),
        ('{"user_id": "u001", "excluded": ["i001"]}', "did you mean exclude?"),
    ],
)
def test_bad_limits_of_a_request(als: Path, recli: Call, tmp_path: Path, line: str, what: str) -> None:
    asked = tmp_path / "asked.jsonl"
    asked.write_text(line)
    assert what in recli("recommend", als, "--users", asked, code=3)[2]


@pytest.mark.parametrize("format", ["jsonl", "csv", "parquet", "arrow", "table"])
def test_columns_of_the_catalogue_beside_each_item(
    als: Path, recli: Call, tmp_path: Path, format: str
) -> None:
    out = tmp_path / "lists"
    recli(
        "recommend",
        als,
        "--users",
        "u001",
        "-k",
        2,
        "--columns",
        "year,block",
        "--format",
        format,
        "--out",
        out,
    )
    if format == "jsonl":
        item = json.loads(out.read_text())["items"][0]
        assert (
            item["year"] == 1990 + int(item["item_id"][1:])
            and item["block"] == f"b{item['item_id'][1:-1].lstrip('0') or 0}"
        )
    elif format == "table":
        assert "year" in out.read_text() and "block" in out.read_text()
    else:
        readers = {"csv": pl.read_csv, "parquet": pl.read_parquet, "arrow": pl.read_ipc}
        frame = readers[format](out)
        assert frame["year"].to_list() == [1990 + int(id[1:]) for id in frame["item_id"]]
    _, _, err = recli("recommend", als, "--columns", "yaer", code=2)
    assert "--columns: there is no column 'yaer'" in err and "did you mean year?" in err


def test_trec_runs_out_and_in(als: Path, recli: Call, tmp_path: Path) -> None:
    out = tmp_path / "als.trec"
    recli("recommend", als, "--users", "u001,u002", "-k", 3, "--out", out)
    lines = [line.split(" ") for line in out.read_text().splitlines()]
    assert [(line[0], line[1], line[3], line[5]) for line in lines[:3]] == [
        ("u001", "Q0", str(rank), "als") for rank in (1, 2, 3)
    ]
    csv_file = tmp_path / "same.csv"
    recli("recommend", als, "-k", 10, "--out", csv_file)
    recli("recommend", als, "-k", 10, "--out", out)
    options = ("--models", "none", "--metrics", "ndcg@10", "--samples", 0, "--json")
    values = [
        json.loads(recli("evaluate", als, *options, "--recommendations", f"x={file}")[1])["models"]["x"]
        for file in (csv_file, out)
    ]
    assert values[0] == values[1]
    out.write_text("u001 Q0 i001 1 0.5\n")
    _, _, err = recli("evaluate", als, *options, "--recommendations", out, code=3)
    assert "als.trec line 1: not the six fields of a TREC run" in err


@pytest.mark.parametrize("format", ["csv", "parquet", "arrow"])
def test_wide_lists_have_one_row_a_user(als: Path, recli: Call, tmp_path: Path, format: str) -> None:
    long, wide = tmp_path / "long.csv", tmp_path / "wide"
    recli("recommend", als, "-k", 3, "--out", long)
    recli("recommend", als, "-k", 3, "--wide", "--format", format, "--out", wide)
    readers = {"csv": pl.read_csv, "parquet": pl.read_parquet, "arrow": pl.read_ipc}
    frame = readers[format](wide)
    assert frame.columns == ["user_id", "source", "item_1", "item_2", "item_3"]
    rows = pl.read_csv(long)
    for place in (1, 2, 3):
        expected = rows.filter(pl.col("rank") == place)
        assert frame[f"item_{place}"].to_list() == expected["item_id"].to_list()
    assert recli("recommend", als, "-k", 1, "--wide", "--users", "u001")[1].startswith(
        "user_id,source,item_1\n"
    )
    recli("recommend", als, "--wide", "--format", "jsonl", code=2)
    recli("recommend", als, "--wide", "--explain", code=2)


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_histories_from_a_table_of_events(als: Path, recli: Call, tmp_path: Path, suffix: str) -> None:
    events = pl.DataFrame(
        {
            "customer_id": ["n1", "n2", "n1", "n2"],
            "product_id": ["i001", "i010", "i000", "i011"],
            "timestamp": [1_600_000_200, 1_600_000_000, 1_600_000_100, 1_600_000_300],
        }
    )
    table, lines = tmp_path / f"events.{suffix}", tmp_path / "events.jsonl"
    if suffix == "csv":
        events.write_csv(table)
    else:
        events.write_parquet(table)
    lines.write_text(
        '{"user_id": "n1", "history": ["i000", "i001"]}\n{"user_id": "n2", "history": ["i010", "i011"]}\n'
    )
    _, out, err = recli("recommend", als, "--histories", table, "-k", 3)
    assert out == recli("recommend", als, "--histories", lines, "-k", 3)[1]
    assert "user from customer_id, item from product_id, time from timestamp" in err
    events.with_columns(rating=pl.lit(1.0)).write_csv(tmp_path / "rated.csv")
    assert "its ratings are not used" in recli("recommend", als, "--histories", tmp_path / "rated.csv")[2]


def test_a_model_copied_elsewhere(als: Path, recli: Call, tmp_path: Path) -> None:
    expected = lists_of(recli("recommend", als, "-k", 3)[1])
    shutil.copytree(als / "models" / "als", tmp_path / "elsewhere")
    shutil.rmtree(als)
    assert lists_of(recli("recommend", tmp_path / "elsewhere", "-k", 3)[1]) == expected
    recli("recommend", tmp_path / "elsewhere", "--save", code=2)
    recli("recommend", tmp_path / "elsewhere", "--model", "als", code=2)


def test_missing_foreign_and_damaged_models(
    als: Path, recli: Call, board: Interactions, tmp_path: Path
) -> None:
    _, _, err = recli("recommend", tmp_path / "nowhere", code=1)
    assert "recli prepare" in err
    runs.write_interactions(als, board, {"split": "another"}, {})
    _, _, err = recli("recommend", als, code=1)
    assert "other interactions" in err and f"recli train-cf {als} --algorithm als --name als" in err
    file = als / "models" / "als" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-1])
    _, _, err = recli("recommend", als / "models" / "als", code=1)
    assert "damaged" in err


@pytest.mark.parametrize(
    "options",
    [
        ("--similar-to", "i001", "--users", "u001"),
        ("--similar-to", "i001", "--explain"),
        ("--similar-to", "i001", "--save"),
        ("--save", "--out", "x.csv"),
        ("--save", "--format", "csv"),
        ("--json", "--format", "csv"),
        ("-k", "0"),
        ("--diversify", "1.5"),
        ("--reasons", "0"),
        ("--mask", "some"),
    ],
)
def test_options_that_do_not_go_together(als: Path, recli: Call, options: tuple[str, ...]) -> None:
    out = recli("recommend", als, *options, code=2)[1]
    assert out == "" or json.loads(out)["error"]["code"] == 2  # --json: the error, too


def test_json_is_json_lines_and_quiet_is_quiet(als: Path, recli: Call) -> None:
    _, out, err = recli("recommend", als, "--users", "u001", "--json", "--quiet")
    assert list(lists_of(out)) == ["u001"] and err == ""


def test_a_failure_leaves_the_file_as_it_was(
    als: Path, recli: Call, tmp_path: Path, monkeypatch: Any
) -> None:
    target = tmp_path / "out.csv"
    target.write_text("before")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("recli.steps.recommend.sinks.files.Csv.finish", full)
    _, _, err = recli("recommend", als, "--out", target, code=1)
    assert "disk is full" in err
    assert target.read_text() == "before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out.csv", "run"]


def shell(command: str, run: Path) -> subprocess.CompletedProcess[str]:
    python = f"{sys.executable} -m recli"
    text = command.replace("recli ", f"{python} ").replace("RUN", str(run))
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", text],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


@pytest.mark.slow
@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_closed_pipe_is_no_error(popular: Path, format: str, monkeypatch: pytest.MonkeyPatch) -> None:
    many = " ".join(["--users u000"] + [f'--users \'{{"history": ["i00{n % 9}"]}}\'' for n in range(400)])
    done = shell(f"recli recommend RUN -q -k 25 --format {format} {many} | head -1", popular)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and len(done.stdout.splitlines()) == 1


def test_binary_formats_go_through_a_pipe(popular: Path, tmp_path: Path) -> None:
    done = shell(f"recli recommend RUN -q --format parquet | cat > {tmp_path}/a.parquet", popular)
    assert done.returncode == 0, done.stderr
    assert pl.read_parquet(tmp_path / "a.parquet")["user_id"].n_unique() == 36


def test_lists_are_worth_what_their_model_is(als: Path, recli: Call, tmp_path: Path) -> None:
    train(als, "item-knn")
    recli("recommend", als, "--model", "als", "-k", 10, "--save")
    recli("recommend", als, "--model", "als", "-k", 10, "--out", tmp_path / "lists.csv")
    saved = als / "recommendations" / "recommendations.parquet"
    lists = (f"saved={saved}", f"written={tmp_path / 'lists.csv'}")
    recli(
        "evaluate",
        als,
        "--models",
        "als",
        "--metrics",
        "ndcg@10,recall@5",
        *(x for f in lists for x in ("--recommendations", f)),
    )
    users = parts.open_part(als / "metrics", "metrics").table("per_user").sort("user_id", "metric")
    by = {name[0]: part["value"].to_list() for name, part in users.group_by("model")}
    assert set(by) == {"als", "saved", "written"}
    assert by["saved"] == by["written"] == pytest.approx(by["als"])
    assert sum(by["als"]) > 0


def test_explained_lists_come_in_parts(als: Path, recli: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    (als / "users.txt").write_text(
        "\n".join([*(f"u{u:03d}" for u in range(36)), '{"user_id": "n", "history": []}'])
    )
    options = ("--users", als / "users.txt", "--explain", "-k", 40, "--fallback", "none")
    _, whole, err = recli("recommend", als, *options)
    monkeypatch.setattr("recli.steps.recommend.recommender._EXPLAINED", 5)
    _, parts, again = recli("recommend", als, *options)
    assert [x["because"] for x in rows_of(parts)] == [x["because"] for x in rows_of(whole)]
    for text in (err, again):  # what there is to say is counted once
        assert "36 lists are shorter than 40" in text and "1 of 37 got no list" in text


def test_a_hybrid_recommends_explains_and_reads_profiles(board_run: Path, recli: Call) -> None:
    recli("embed", board_run, "--model", "tfidf")
    weights = "ials=1,user-knn=1,content-knn=1,text-factors=1"
    recli("train-hybrid", board_run, "--fusion", "weighted", "--weights", weights)
    rows = rows_of(recli("recommend", board_run, "--users", "u001,u025", "-k", 2, "--explain")[1])
    for row in rows:
        assert row["source"] == "hybrid"
        assert {one["source"] for one in row["sources"]} <= {
            "ials",
            "user-knn",
            "content-knn",
            "text-factors",
            "log-popularity",
            "cold-boost",
        }
        assert sum(one["share"] for one in row["sources"]) == pytest.approx(1, abs=1e-4)
        assert "sources: " in row["because"]
    asked = '{"user_id": "p", "profile": "romance, a wedding, and a kiss"}'
    rows = rows_of(recli("recommend", board_run, "--users", asked, "-k", 4)[1])
    assert {row["item_id"][:3] for row in rows} == {"i01"}, "the block of weddings"
    similar = lists_of(recli("recommend", board_run, "--similar-to", "i024", "-k", 4)[1])["i024"]
    assert {item[:3] for item in similar} == {"i02"}


def test_where_and_by_what_profiles_are_encoded(
    summing: Path, recli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recli.encoders import reencode

    asked: list[dict[str, Any]] = []
    encode = reencode.encode_like

    def watched(*arguments: Any, **options: Any) -> Float32:
        asked.append(options)
        return encode(*arguments, **options)

    monkeypatch.setattr(reencode, "encode_like", watched)
    profile = '{"user_id": "p", "profile": "kitchens"}'
    recli("recommend", summing, "--users", profile)
    recli("recommend", summing, "--users", profile, "--encoder", "some/folder", "--device", "cpu")
    assert asked == [{"model": None, "device": "auto"}, {"model": "some/folder", "device": "cpu"}]


def test_no_users_at_all(als: Path, recli: Call) -> None:
    (als / "nobody.txt").write_text("\n\n")
    _, out, err = recli("recommend", als, "--users", als / "nobody.txt", code=1)
    assert "no user is left" in err and out == ""


def test_nothing_is_left_for_one_user(popular: Path, recli: Call, board: Interactions) -> None:
    seen = sorted(seen_by(board, "u000", "train"))
    _, out, err = recli("recommend", popular, "--users", "u000,u030", "--allow", ",".join(seen), "-k", 2)
    assert list(lists_of(out)) == ["u030"]
    assert "1 of 2 got no list: no item was left" in err
    _, out, _ = recli("recommend", popular, "--users", "u000", "--allow", ",".join(seen), "--format", "csv")
    assert out == "user_id,rank,item_id,score,source,title\n", "a table without rows"


@dataclass
class Lines:
    """A format for tests: `user item` on each line."""

    target: IO[bytes]
    folder: Path

    def add(self, rows: pl.DataFrame) -> None:
        for user_id, item_id in rows.select("user_id", "item_id").iter_rows():
            self.target.write(f"{user_id} {item_id}\n".encode())

    def finish(self) -> None:
        self.target.write(b"end\n")
        self.target.flush()


def test_a_format_registered_elsewhere(
    als: Path, recli: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(formats, "_things", dict(formats._load()))
    sink("lines", suffixes=(".lines",))(Lines)
    expected = lists_of(recli("recommend", als, "--users", "u003,u001", "-k", 2)[1])
    lines = "".join(f"{user} {item}\n" for user, items in expected.items() for item in items) + "end\n"
    options = ("recommend", als, "--users", "u003,u001", "-k", 2)
    assert recli(*options, "--format", "lines")[1] == lines
    recli(*options, "--out", tmp_path / "x.lines")
    assert (tmp_path / "x.lines").read_text() == lines
    assert "lines" in recli("recommend", "--help")[1]


def test_formats_without_the_terminal(als: Path, tmp_path: Path) -> None:
    """The steps know no table: the terminal brings it."""
    code = "from recli.steps.recommend.sinks.base import formats; print(*formats.names())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["arrow", "csv", "jsonl", "parquet", "trec"]
    recommend(RecommendConfig(str(als), users=("u001",), k=3, out=str(tmp_path / "a.parquet")))
    assert pl.read_parquet(tmp_path / "a.parquet").height == 3
    with pytest.raises(UsageError, match="the format is not clear"):
        recommend(RecommendConfig(str(als), out=str(tmp_path / "a.xls")))


def test_from_python_it_returns_a_frame_and_says_nothing(
    als: Path, recli: Call, capfd: pytest.CaptureFixture[str]
) -> None:
    user = '{"user_id": "new", "history": []}'
    config = RecommendConfig(str(als), users=("u003", user), k=5, explain=True)
    result = recommend(config)
    assert capfd.readouterr() == ("", "")
    assert result.model == "als" and result.queries == 2
    assert result.counts == ListCounts(lists=2, short=0, empty=0, popularity=1)
    expected = rows_of(recli("recommend", als, "--users", "u003", "--users", user, "-k", 5, "--explain")[1])
    assert result.frame["item_id"].to_list() == [row["item_id"] for row in expected]
    assert result.frame["because"].to_list() == [row["because"] for row in expected]
    similar = recommend(RecommendConfig(str(als), similar_to=("i003",), k=2)).frame
    assert similar.columns[0] == "similar_to" and similar.height == 2
    saved = recommend(RecommendConfig(str(als), k=2, save=True))
    assert saved.counts.lists == 36 and saved.frame["user_id"].n_unique() == 36
    assert os.fspath(saved) == str(als)


def test_lists_reach_a_sink_batch_by_batch(als: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recli.steps.recommend.recommender._EXPLAINED", 5)
    heights: list[int] = []

    class Heights:
        def add(self, rows: pl.DataFrame) -> None:
            heights.append(rows.height)

        def finish(self) -> None:
            heights.append(0)

    result = recommend(RecommendConfig(str(als), k=2, explain=True), sink=Heights())
    with pytest.raises(RecliError, match="written, not kept"):
        _ = result.frame
    assert heights == [10] * 7 + [2, 0]


def test_requests_with_a_profile_are_answered_by_a_hybrid(board_run: Path, tmp_path: Path) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text('{"user_id": "new", "profile": "red circles"}\n')
    config = RecommendConfig(run=str(board_run), users=(str(file),))
    assert inputs.asks_for_texts(config)
    assert not inputs.asks_for_texts(RecommendConfig(run=str(board_run), users=("u1", "u2")))
