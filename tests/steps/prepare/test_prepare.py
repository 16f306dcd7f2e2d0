"""`recli prepare` from the shell: each option's effect, the account of the rows, what is written and what is not."""

import gzip
import hashlib
import hmac
import io
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recli.config import from_dict
from recli.data.interactions import Interactions
from recli.errors import InvalidDataError, UsageError
from recli.reporting import Silent
from recli.steps.prepare.config import PrepareConfig
from recli.steps.prepare.step import prepare
from recli.storage import parts, runs

Recli = Callable[..., tuple[int, str, str]]

# user, item, rating, event, count, time: ten users, each with the items 0 .. 9, one a day
HEADER = "user_id,item_id,rating,event,count,timestamp"
DAY = 86_400


def line(
    user: object, item: object, rating: object = 4, event: str = "view", count: object = 1, day: float = 0
) -> str:
    return f"{user},{item},{rating},{event},{count},{1_600_000_000 + int(day * DAY)}"


SQUARE = [line(f"u{u}", f"i{i}", 1 + (u + i) % 5, day=i) for u in range(10) for i in range(10)]


def write(path: Path, lines: list[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def made(tmp_path: Path, run: Path, recli: Recli) -> Callable[..., tuple[Interactions, dict[str, Any]]]:
    """Prepare a log of `lines`: `interactions, summary = made(lines, *options)`."""

    def prepare(lines: list[str], *options: object) -> tuple[Interactions, dict[str, Any]]:
        recli("prepare", write(tmp_path / "log.csv", lines), "--out", run, *options)
        return runs.read_interactions(run), summary_of(run)

    return prepare


Made = Callable[..., tuple[Interactions, dict[str, Any]]]


def summary_of(run: Path) -> dict[str, Any]:
    return parts.open_part(run / "interactions", "interactions").summary


def all_rows(found: Interactions) -> pl.DataFrame:
    """Every event with its ids and split."""
    rows = pl.concat([frame.with_columns(split=pl.lit(name)) for name, frame in found.splits.items()])
    ids = (found.users["user_id"], found.items["item_id"])
    return rows.with_columns(user_id=ids[0].gather(rows["user"]), item_id=ids[1].gather(rows["item"]))


def values(found: Interactions) -> dict[tuple[str, str], float]:
    rows = all_rows(found)
    return {(u, i): v for u, i, v in rows.select("user_id", "item_id", "value").iter_rows()}


def sizes(found: Interactions) -> dict[str, int]:
    return {name: frame.height for name, frame in found.splits.items()}


def everything(run: Path) -> dict[str, bytes]:
    return {p.relative_to(run).as_posix(): p.read_bytes() for p in sorted(run.rglob("*")) if p.is_file()}


# What is written


def test_the_part_has_the_tables_the_design_names(made: Made, run: Path) -> None:
    found, summary = made(SQUARE)
    assert found.users["user_id"].to_list() == [f"u{u}" for u in range(10)]
    assert found.items.columns == ["item_id", "text", "cold"]
    train = found.splits["train"]
    assert dict(train.schema) == {
        "user": pl.Int32, "item": pl.Int32, "value": pl.Float32, "rating": pl.Float32, "timestamp": pl.Int64,
    }  # fmt: skip
    assert train.equals(train.sort("user", "timestamp", "item"))
    first = all_rows(found).filter(user_id="u3", item_id="i4").row(0, named=True)
    assert (first["rating"], first["timestamp"]) == (1 + 7 % 5, (1_600_000_000 + 4 * DAY) * 1_000_000)
    # 10 events each: floor(10 * .1) = 1 for validation and 1 for test
    assert sizes(found) == {"train": 80, "validation": 10, "test": 10, "history": 0}
    assert summary["rows"] == {"in": 100, "kept": 100, "merged": 0, "filtered": {}, "rejected": {}}
    assert (summary["users"], summary["items"], summary["density"]) == (10, 10, 1.0)
    assert summary["columns"]["time"] == "timestamp"
    assert not (run / "interactions" / "catalogue.parquet").exists()


def test_stdout_is_the_run_and_json_the_summary(tmp_path: Path, run: Path, recli: Recli) -> None:
    log = write(tmp_path / "log.csv", SQUARE)
    _, out, err = recli("prepare", log, "--out", run)
    assert out == f"{run}\n"
    assert "rows in" in err
    assert "event types: view (100); each counts 1" in err
    _, out, err = recli("prepare", log, "--out", run, "--json", "--quiet")
    assert json.loads(out)["rows"]["kept"] == 100
    assert err == ""


def test_the_same_input_gives_the_same_bytes(tmp_path: Path, recli: Recli) -> None:
    log = write(tmp_path / "log.csv", [*SQUARE, "broken", line("u1", "i1", "x")])
    items = write(tmp_path / "items.csv", [f"i{i},Title {i}" for i in range(12)], "item_id,title")
    for name in ("a", "b"):
        recli("prepare", log, "--items", items, "--max-rejects", "2", "--out", tmp_path / name)
    assert everything(tmp_path / "a") == everything(tmp_path / "b")
    assert str(tmp_path) not in (tmp_path / "a/interactions/manifest.json").read_text()


@pytest.mark.parametrize("split", ["random", "leave-last-out", "temporal-user", "temporal"])
def test_the_order_of_rows_does_not_matter(tmp_path: Path, recli: Recli, split: str) -> None:
    lines = [*SQUARE, *[line(f"u{u}", f"i{u}", 5, "buy", 3, day=3) for u in range(10)]]
    shuffled = random.Random(1).sample(lines, len(lines))
    frames = []
    for name, rows in (("a", lines), ("b", shuffled)):
        recli(
            "prepare", write(tmp_path / f"{name}.csv", rows), "--split", split, "--cold-items", 0.2,
            "--event-weights", "view=1,buy=2.5", "--event-half-life", "3d",
            "--max-user-events", 9, "--out", tmp_path / name,
        )  # fmt: skip
        frames.append(runs.read_interactions(tmp_path / name))
    assert frames[0].users.equals(frames[1].users)
    for name in frames[0].splits:
        assert frames[0].splits[name].equals(frames[1].splits[name]), name


def test_events_come_from_stdin(run: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch) -> None:
    data = "\n".join([HEADER, *SQUARE]).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    recli("prepare", "-", "--out", run)
    assert summary_of(run)["rows"]["kept"] == 100
    assert parts.open_part(run / "interactions", "interactions").config["log"] == ["-"]


def test_several_files_are_one_log(tmp_path: Path, run: Path, recli: Recli) -> None:
    write(tmp_path / "log-1.csv", SQUARE[:50])
    (tmp_path / "log-2.csv.gz").write_bytes(gzip.compress("\n".join([HEADER, *SQUARE[50:]]).encode()))
    recli("prepare", tmp_path / "log-1.csv", tmp_path / "log-2.csv.gz", "--out", run)
    assert summary_of(run)["rows"]["in"] == 100
    recli("prepare", tmp_path / "log-*", "--out", run)
    assert summary_of(run)["rows"]["in"] == 100


# Input options


def test_columns_can_be_named(tmp_path: Path, run: Path, recli: Recli) -> None:
    rows = [f"x{k % 3};a{k};p{k % 4};{k};{k + 1};{k};go" for k in range(12)]
    log = write(tmp_path / "log.txt", rows, "x;who;what;stamp;amount;mark;kind")
    recli(
        "prepare", log, "--format", "csv", "--separator", ";", "--user-column", "x", "--item-column", "what",
        "--rating-column", "mark", "--event-column", "kind", "--weight-column", "amount", "--time-column", "stamp",
        "--time-unit", "ms", "--split", "temporal-user", "--out", run,
    )  # fmt: skip
    found = runs.read_interactions(run)
    assert found.users["user_id"].to_list() == ["x0", "x1", "x2"]
    assert found.items["item_id"].to_list() == ["p0", "p1", "p2", "p3"]
    rows_found = all_rows(found).filter(user_id="x1", item_id="p3").row(0, named=True)  # k = 7
    assert (rows_found["value"], rows_found["rating"], rows_found["timestamp"]) == (8.0, 7.0, 7_000)
    columns = {
        "user": "x",
        "item": "what",
        "rating": "mark",
        "event": "kind",
        "weight": "amount",
        "time": "stamp",
    }
    assert summary_of(run)["columns"] == columns


def test_the_format_can_be_named(tmp_path: Path, run: Path, recli: Recli) -> None:
    log = tmp_path / "log.csv"
    log.write_text('{"user_id": 7, "item_id": "a"}\n')
    recli("prepare", log, "--format", "jsonl", "--out", run)
    assert runs.read_interactions(run).users["user_id"].to_list() == ["7"]
    recli("prepare", log, "--format", "parquet", "--out", run, code=3)


def test_a_log_without_header(tmp_path: Path, run: Path, recli: Recli) -> None:
    log = tmp_path / "ratings.dat"
    log.write_text("1::007::5\n2::7::4\n2::007::3\n")
    recli("prepare", log, "--no-header", "--columns", "user_id, item_id,rating", "--out", run)
    assert runs.read_interactions(run).items["item_id"].to_list() == ["007", "7"]
    recli("prepare", log, "--no-header", "--out", run, code=2)


# Catalogue


def test_the_catalogue_gives_texts_and_further_candidates(tmp_path: Path, run: Path, recli: Recli) -> None:
    lines = ["i1,One,drama,1990", "i2,Two,,1991", "i99,Never seen,comedy,1992", "i1,Again,x,2000"]
    items = write(tmp_path / "items.csv", lines, "movieId,title,genres,year")
    log = write(tmp_path / "log.csv", SQUARE)
    recli("prepare", log, "--items", items, "--text", "{title}. {genres}", "--out", run)
    found = runs.read_interactions(run)
    assert found.items["item_id"].to_list() == [*(f"i{i}" for i in range(10)), "i99"]
    texts = dict(found.items.select("item_id", "text").iter_rows())
    assert texts["i1"] == "One. drama"
    assert texts["i0"] is None
    assert dict(found.items.select("item_id", "cold").iter_rows())["i99"]
    catalogue = parts.open_part(run / "interactions", "interactions").table("catalogue")
    assert catalogue.height == 11
    assert catalogue["year"].to_list() == [None, 1990, 1991, *[None] * 7, 1992]
    counts = summary_of(run)["catalogue"]
    assert counts["duplicates"] == 1
    assert counts["items_without_text"] == 8  # i0, i3 .. i9
    assert counts["items_without_events"] == 1
    assert (counts["items_not_in_catalogue"], counts["events_not_in_catalogue"]) == (8, 80)

    recli("prepare", log, "--items", items, "--only-seen-items", "--out", run)
    assert runs.read_interactions(run).n_items == 10
    assert summary_of(run)["catalogue"]["items_without_events"] == 1


def test_a_catalogue_of_another_shape_than_the_log(tmp_path: Path, run: Path, recli: Recli) -> None:
    items = tmp_path / "movies.dat"
    items.write_text("One::i1::A\nTwo::i2::B\n")
    recli(
        "prepare", write(tmp_path / "log.csv", SQUARE), "--items", items, "--items-separator", "::",
        "--items-no-header", "--items-columns", "title,key,class", "--item-id-column", "key", "--out", run,
    )  # fmt: skip
    texts = dict(runs.read_interactions(run).items.select("item_id", "text").iter_rows())
    assert "One" in texts["i1"]
    assert texts["i3"] is None


def test_catalogue_rows_are_rejected_and_counted(tmp_path: Path, run: Path, recli: Recli) -> None:
    items = write(tmp_path / "items.csv", ["i1,One", ",No id", "i2,Two"], "item_id,title")
    log = write(tmp_path / "log.csv", SQUARE)
    _, _, err = recli("prepare", log, "--items", items, "--out", run, code=3)
    assert "1 of 3 rows" in err
    assert "items.csv:3" in err
    recli("prepare", log, "--items", items, "--out", run, "--max-rejects", "1")
    assert sum(summary_of(run)["catalogue"]["rejected"].values()) == 1
    assert summary_of(run)["rows"]["rejected"] == {}
    assert parts.open_part(run / "interactions", "interactions").table("rejects")["line"].to_list() == [3]


def test_catalogue_rows_without_an_id_have_their_own_limit(tmp_path: Path, run: Path, recli: Recli) -> None:
    rows = [f"i{n // 3},Item {n}" if n % 3 == 0 else f",Image {n}" for n in range(36)]
    items = write(tmp_path / "items.csv", rows, "item_id,title")
    log = write(tmp_path / "log.csv", SQUARE)
    _, _, err = recli("prepare", log, "--items", items, "--out", run, code=3)
    text = " ".join(err.split())
    assert "24 of 36 rows of the catalogue cannot be used, more than --max-rejects 1%" in text
    assert "leave them out with --items-max-rejects 66.7%; if the id stands in another column" in text
    _, _, err = recli("prepare", log, "--items", items, "--out", run, "--items-max-rejects", "66.7%")
    assert "24 rows rejected (24 missing item)" in " ".join(err.split())
    assert summary_of(run)["catalogue"]["rejected"] == {"missing item": 24}
    assert summary_of(run)["catalogue"]["rows"] == 36 and summary_of(run)["rows"]["rejected"] == {}
    assert summary_of(run)["catalogue"]["items_without_events"] == 2

    broken = write(
        tmp_path / "log.csv", [*SQUARE, "broken", "broken", "broken"]
    )  # the log's limit stays as it is
    words = ("prepare", broken, "--items", items, "--out", run)
    _, _, err = recli(*words, "--items-max-rejects", 24, code=3)
    assert "more than --max-rejects 1%" in err
    recli(*words, "--items-max-rejects", 24, "--max-rejects", 3)
    _, _, err = recli(*words, "--items-max-rejects", 23, "--max-rejects", "100%", code=3)
    assert "more than --items-max-rejects 23" in err
    for bad in (("--items-max-rejects", "many"), ("--items-max-rejects", "120%")):
        assert "--items-max-rejects must be" in recli(*words, *bad, code=2)[2]
    assert "needs" in recli("prepare", log, "--text", "{title}", "--out", run, code=2)[2]
    assert "--items FILE" in recli("prepare", log, "--items-max-rejects", "5%", "--out", run, code=2)[2]


# Cleaning


def test_min_rating(made: Made) -> None:
    found, summary = made(SQUARE, "--min-rating", 4)
    assert all_rows(found)["rating"].min() == 4
    assert summary["rows"]["filtered"] == {"min_rating": 60}  # ratings 1, 2 and 3 of 5, evenly


def test_event_weights(made: Made, tmp_path: Path, run: Path, recli: Recli) -> None:
    lines = [
        line("a", "x"),
        line("a", "x", event="buy"),
        line("a", "y", event="wish"),
        line("b", "x", event="spam"),
    ]
    found, summary = made(lines, "--event-weights", "view=1,buy=5,wish=0")
    assert values(found) == {("a", "x"): 1 + 5}
    assert summary["rows"]["filtered"] == {"event_weights": 2}
    assert summary["rows"]["merged"] == 1
    _, _, err = recli("prepare", tmp_path / "log.csv", "--out", run, "--event-weights", "view=1,buy=5,gift=2")
    assert "stay known as seen: spam (1), wish (1)" in err
    assert "gift" in err


def test_weight_column_only_when_asked(made: Made) -> None:
    lines = [line("a", "x", count=3), line("a", "y", count=0), line("b", "x", count=0.5)]
    found, _ = made(lines)
    assert values(found) == {("a", "x"): 1, ("a", "y"): 1, ("b", "x"): 1}
    found, summary = made(lines, "--weight-column", "count")
    assert values(found) == {("a", "x"): 3, ("b", "x"): 0.5}
    assert summary["rows"]["filtered"] == {"weight_column": 1}


def test_half_life(made: Made) -> None:
    found, _ = made(
        [line("a", "x", day=0), line("a", "y", day=30), line("b", "x", day=60)], "--event-half-life", "30d"
    )
    assert values(found) == {("a", "x"): 0.25, ("a", "y"): 0.5, ("b", "x"): 1.0}


@pytest.mark.parametrize(("how", "value"), [("sum", 2 + 7 + 1), ("max", 7), ("last", 1)])
def test_duplicates(made: Made, how: str, value: float) -> None:
    lines = [
        line("a", "x", 5, count=7, day=2), line("a", "x", 2, count=1, day=3), line("a", "x", 1, count=2, day=1),
        line("b", "x", 3),
    ]  # fmt: skip
    found, summary = made(lines, "--duplicates", how, "--weight-column", "count")
    row = all_rows(found).filter(user_id="a").row(0, named=True)
    assert (row["value"], row["rating"]) == (value, 2)
    assert row["timestamp"] == (1_600_000_000 + 3 * DAY) * 1_000_000
    assert summary["rows"] == {"in": 4, "kept": 2, "merged": 2, "filtered": {}, "rejected": {}}


def test_k_core_and_its_two_halves(made: Made) -> None:
    lines = [*SQUARE, line("new", "i1"), line("u1", "rare"), line("new", "rare")]
    for options, left_out in (
        (("--min-user-events", 3), {"min_user_events": 2}),  # new has 2
        (("--min-item-events", 3), {"min_item_events": 2}),  # rare has 2
        (("--k-core", 3), {"min_user_events": 2, "min_item_events": 1}),  # then u1's rare is left
    ):
        found, summary = made(lines, *options)
        assert summary["rows"]["filtered"] == left_out, options
    assert sorted(set(values(found))) == sorted((f"u{u}", f"i{i}") for u in range(10) for i in range(10))


def test_max_user_events_keeps_the_latest(made: Made) -> None:
    found, summary = made(SQUARE, "--max-user-events", 4)
    assert set(all_rows(found)["item_id"]) == {"i6", "i7", "i8", "i9"}
    assert summary["rows"]["filtered"] == {"max_user_events": 60}


def test_max_user_events_without_times_goes_by_keyed_hash(made: Made) -> None:
    options = ("--time-column", "", "--max-user-events", 4)
    one, _ = made(SQUARE, *options)
    again, _ = made(SQUARE[::-1], *options)
    other, _ = made(SQUARE, *options, "--seed", 1)
    assert values(one) == values(again)
    assert set(values(one)) != set(values(other))
    assert len(values(one)) == 40
    assert "timestamp" not in one.splits["train"].columns


def test_bots_are_reported_and_dropped_if_asked(made: Made, run: Path, recli: Recli, tmp_path: Path) -> None:
    lines = [*SQUARE, *[line("bot", f"i{k % 7}", day=k) for k in range(150)]]
    found, summary = made(lines)
    # all others have 10 events: no deviation, so 10 medians, which is not above the floor of 100
    assert summary["bots"] == {"users": 1, "events": 150, "above": 100.0}
    assert found.n_users == 11
    _, _, err = recli("prepare", tmp_path / "log.csv", "--out", run)
    assert "possible bots: 1 user with 150 events" in err and "bot (150)" in err
    found, summary = made(lines, "--bots", "drop")
    assert found.users["user_id"].to_list() == [f"u{u}" for u in range(10)]
    assert summary["rows"] == {
        "in": 250,
        "kept": 100,
        "merged": 0,
        "filtered": {"bots": 150},
        "rejected": {},
    }


def test_every_row_of_a_dirty_log_is_accounted_for(made: Made, run: Path) -> None:
    lines = [
        *SQUARE,
        *SQUARE[:7],  # merged
        ",i1,4,view,1,1600000000",  # no user
        "u1,,4,view,1,1600000000",  # no item
        "u1,i1,four,view,1,1600000000",
        "u1,i1,nan,view,1,1600000000",
        "u1,i1,4,view,1,yesterday",
        "u1,i1,4,view",
        line("u2", "i2", event="spam"),
        line("poor", "i1", 1),
        line("lone", "i1", 5),
        *[line("bot", f"i{k % 10}", 5, day=k / 100) for k in range(200)],
    ]
    found, summary = made(
        lines, "--max-rejects", "0.1", "--event-weights", "view=1", "--min-rating", 2, "--bots", "drop",
        "--max-user-events", 7, "--min-user-events", 2,
    )  # fmt: skip
    rows = summary["rows"]
    assert rows["in"] == len(lines)
    assert rows["in"] == rows["kept"] + rows["merged"] + sum(rows["filtered"].values()) + sum(
        rows["rejected"].values()
    )
    assert sum(rows["rejected"].values()) == 6
    low = sum(r.split(",")[2] == "1" for r in [*SQUARE, *SQUARE[:7]]) + 1
    assert rows["filtered"] == {
        "event_weights": 1,
        "min_rating": low,
        "bots": 200,
        "max_user_events": 10 * (8 - 7),  # each has 8 of 10 items rated 2 or better
        "min_user_events": 1,  # lone
    }
    assert rows["merged"] == sum(r.split(",")[2] != "1" for r in SQUARE[:7])
    assert rows["kept"] == sum(sizes(found).values()) == 70
    rejects = parts.open_part(run / "interactions", "interactions").table("rejects")
    assert rejects["line"].to_list() == list(range(109, 115))  # the header, 107 rows, then these six
    assert rejects["raw"][2] == "u1,i1,four,view,1,1600000000"


# Splits


def test_split_and_sizes(made: Made) -> None:
    found, _ = made(SQUARE, "--split", "temporal-user", "--validation-size", 0.2, "--test-size", 0.3)
    assert sizes(found) == {"train": 50, "validation": 20, "test": 30, "history": 0}
    assert set(all_rows(found).filter(split="test")["item_id"]) == {"i7", "i8", "i9"}
    found, _ = made(SQUARE, "--split", "leave-last-out")
    assert set(all_rows(found).filter(split="validation")["item_id"]) == {"i8"}
    found, _ = made(SQUARE, "--split", "leave-last-out", "--validation-size", 0)
    assert sizes(found) == {"train": 90, "validation": 0, "test": 10, "history": 0}
    found, summary = made([*SQUARE, line("late", "i1", day=30)], "--split", "temporal", "--test-size", 0.05)
    # 101 events: the last floor(5.05) = 5 are from day 9 on, and the other five of that day stay with them
    assert sizes(found)["test"] == 11
    assert found.users.filter(user_id="late")["cold"].to_list() == [True]
    assert summary["cold_users"] == 1


def test_the_seed_changes_the_random_split(made: Made) -> None:
    one, _ = made(SQUARE)
    same, _ = made(SQUARE, "--seed", 0, "--split", "random")
    other, _ = made(SQUARE, "--seed", 1)
    assert one.splits["test"].equals(same.splits["test"])
    assert not one.splits["test"].equals(other.splits["test"])


def test_given_files(tmp_path: Path, run: Path, recli: Recli) -> None:
    log = write(tmp_path / "train.csv", SQUARE[:80])
    validation = write(tmp_path / "validation.csv", SQUARE[80:90])
    test = write(tmp_path / "test.csv", [*SQUARE[90:], SQUARE[0]])  # one is in train already
    recli("prepare", log, "--validation-file", validation, "--test-file", test, "--out", run)
    found = runs.read_interactions(run)
    assert sizes(found) == {"train": 80, "validation": 10, "test": 10, "history": 0}
    rows = summary_of(run)["rows"]
    assert (rows["in"], rows["filtered"]) == (101, {"in_earlier_split": 1})
    config = parts.open_part(run / "interactions", "interactions").config
    assert (config["split"], config["log"], config["test_file"]) == ("given", ["train.csv"], ["test.csv"])

    recli("prepare", log, "--test-file", test, "--validation-size", 0.2, "--out", run)
    assert sizes(runs.read_interactions(run)) == {
        "train": 64,
        "validation": 16,
        "test": 10,
        "history": 0,
    }
    recli("prepare", log, "--test-file", test, "--out", run)
    assert sizes(runs.read_interactions(run)) == {"train": 80, "validation": 0, "test": 10, "history": 0}


def test_given_files_must_have_the_same_columns(tmp_path: Path, run: Path, recli: Recli) -> None:
    log = write(tmp_path / "train.csv", ["u,i,3"], "user_id,item_id,rating")
    test = write(tmp_path / "test.csv", ["u,j"], "user_id,item_id")
    _, _, err = recli("prepare", log, "--test-file", test, "--out", run, code=1)
    assert "same kinds of columns" in err
    recli("prepare", log, "--test-file", test, "--rating-column", "", "--out", run)


def test_cold_items_and_cold_users(made: Made) -> None:
    found, summary = made(SQUARE, "--cold-items", 0.2, "--cold-users", 0.3)
    cold_items = set(found.items.filter("cold")["item_id"])
    assert len(cold_items) == 2  # 0.2 * 10
    rows = all_rows(found)
    assert set(rows.filter(pl.col("item_id").is_in(list(cold_items)))["split"]) == {"test"}
    cold_users = found.users.filter("cold")["user_id"].to_list()
    assert len(cold_users) == 3  # 0.3 * 10
    assert set(rows.filter(pl.col("user_id").is_in(cold_users))["split"]) == {"test", "history"}
    # 8 warm events each: 1 validation, 1 test, 6 train; a cold user's 7 are history; 2 cold items each in test
    assert sizes(found) == {"train": 7 * 6, "validation": 7, "test": 10 * 3, "history": 3 * 7}
    assert (summary["cold_items"], summary["cold_users"]) == (2, 3)


# Order without times


def rows_in_log(found: Interactions, split: str, user: str) -> list[str]:
    """The user's items in the split, in the order that is known."""
    frame = all_rows(found).filter(split=split, user_id=user)
    return list(frame.sort("position")["item_id"])


def test_rows_in_order_stand_for_times(tmp_path: Path, run: Path, recli: Recli) -> None:
    """Items of later rows have lower names, so that neither ids nor the alphabet give the order away."""
    rows = [f"u{u},i{9 - i}" for i in range(10) for u in range(4)]
    log = write(tmp_path / "log.csv", rows, "user_id,item_id")
    recli("prepare", log, "--in-order", "--split", "leave-last-out", "--out", run)
    found = runs.read_interactions(run)
    assert rows_in_log(found, "train", "u2") == [f"i{i}" for i in range(9, 1, -1)]
    assert (rows_in_log(found, "validation", "u2"), rows_in_log(found, "test", "u2")) == (["i1"], ["i0"])
    assert found.has_order and not found.has_times
    history = found.ordered("train")
    assert history.steps is not None  # i2 was the last of the eight: columns are i0, i1, ...
    assert history.values.indices[:8].tolist() == [2, 3, 4, 5, 6, 7, 8, 9]
    assert history.steps[:8].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]

    recli(
        "prepare",
        log,
        "--in-order",
        "--max-user-events",
        3,
        "--test-size",
        0,
        "--validation-size",
        0,
        "--out",
        run,
    )
    assert rows_in_log(runs.read_interactions(run), "train", "u0") == ["i2", "i1", "i0"]

    _, _, err = recli("prepare", log, "--out", run)
    assert "the order of events is unknown; --in-order says" in err
    found = runs.read_interactions(run)
    assert not found.has_order and "position" not in found.splits["train"].columns


def test_a_repeated_event_counts_at_its_last_row(tmp_path: Path, run: Path, recli: Recli) -> None:
    log = write(tmp_path / "log.csv", ["u,a,1", "u,b,2", "u,c,3", "u,a,5"], "user_id,item_id,rating")
    recli("prepare", log, "--in-order", "--split", "leave-last-out", "--out", run)
    found = runs.read_interactions(run)
    assert [rows_in_log(found, s, "u") for s in ("train", "validation", "test")] == [["b"], ["c"], ["a"]]
    assert found.splits["test"]["rating"].to_list() == [5.0]


def test_rows_order_what_is_at_the_same_time(tmp_path: Path, run: Path, recli: Recli) -> None:
    """Times come first, then rows; without --in-order, then ids."""
    rows = ["u,z,200", "u,b,100", "u,y,100", "u,a,100", "u,x,300"]
    log = write(tmp_path / "log.csv", rows, "user_id,item_id,timestamp")
    options = ("--time-unit", "s", "--test-size", 0, "--validation-size", 0, "--out", run)
    recli("prepare", log, "--in-order", *options)
    found = runs.read_interactions(run)
    assert rows_in_log(found, "train", "u") == ["b", "y", "a", "z", "x"]
    assert found.has_times
    recli("prepare", log, *options)
    steps = runs.read_interactions(run).ordered("train").steps
    assert steps is not None  # a, b, x, y, z in the order a, b, y, z, x
    assert steps.tolist() == [4, 3, 0, 2, 1]


def test_what_orders_events_at_the_same_time_is_told(tmp_path: Path, run: Path, recli: Recli) -> None:
    def told(times: list[int], *options: object) -> str:
        rows = [f"u{k // 10},i{k},{time}" for k, time in enumerate(times)]
        log = write(tmp_path / "log.csv", rows, "user_id,item_id,timestamp")
        return " ".join(recli("prepare", log, "--time-unit", "s", "--out", run, *options)[2].split())

    three = [*range(100, 117), 300, 300, 300]  # of 20 events: 15%
    assert "3 events are at the same time as another one of their user: their ids order them" in told(three)
    assert "at the same time" not in told(three, "--in-order")
    assert "at the same time" not in told([*range(100, 118), 300, 300])  # 10%
    assert "at the same time" not in told(list(range(10)) * 2), "those are of two users"


def test_what_is_given_last_was_last(tmp_path: Path, run: Path, recli: Recli) -> None:
    train = write(
        tmp_path / "train.csv", [f"u{u},i{9 - i}" for u in range(3) for i in range(8)], "user_id,item_id"
    )
    test = write(
        tmp_path / "test.csv", [f"u{u},i{1 - i}" for u in range(3) for i in range(2)], "user_id,item_id"
    )
    given = ("prepare", train, "--test-file", test, "--in-order", "--out", run)
    recli(*given, "--split", "temporal-user", "--validation-size", 0.25)
    found = runs.read_interactions(run)
    assert rows_in_log(found, "train", "u1") == ["i9", "i8", "i7", "i6", "i5", "i4"]
    assert rows_in_log(found, "validation", "u1") == ["i3", "i2"]
    assert rows_in_log(found, "test", "u1") == ["i1", "i0"]
    stored = parts.open_part(run / "interactions", "interactions").config
    assert (stored["split"], stored["in_order"], stored["test_size"]) == ("temporal-user", True, 0.0)
    recli(*given, "--split", "leave-last-out")
    assert rows_in_log(runs.read_interactions(run), "validation", "u1") == ["i2"]
    recli(*given, "--split", "random")  # a tenth of 8, at least one, by hash
    assert sizes(runs.read_interactions(run)) == {"train": 21, "validation": 3, "test": 6, "history": 0}


def test_order_is_asked_where_a_split_needs_it(tmp_path: Path, run: Path, recli: Recli) -> None:
    log = write(tmp_path / "log.csv", ["u,a", "u,b", "u,c"], "user_id,item_id")
    _, _, err = recli("prepare", log, "--split", "temporal-user", "--out", run, code=1)
    assert "needs the order of events" in err and "--time-column" in err and "--in-order" in err
    _, _, err = recli("prepare", log, "--split", "temporal", "--in-order", "--out", run, code=1)
    assert "--split temporal needs a column of times" in err
    _, _, err = recli("prepare", log, "--test-file", log, "--split", "temporal", "--out", run, code=1)
    assert "--split temporal needs a column of times" in err
    _, _, err = recli("prepare", log, "--event-half-life", "3d", "--in-order", "--out", run, code=1)
    assert "--event-half-life needs a column of times" in err
    assert not run.exists()


# Privacy


def test_pseudonyms(
    made: Made, run: Path, tmp_path: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "correct horse battery staple"
    (tmp_path / "key").write_text(key + "\n")
    lines = [line(f"person{u}@example.org", f"i{i}", day=i) for u in range(9) for i in range(5)]
    lines += [
        "person3@example.org,i1,bad,view,1,1600000000",
        *[line("robot@example.org", f"i{k}") for k in range(200)],
    ]
    found, _ = made(lines, "--pseudonymize", "--key-file", tmp_path / "key", "--max-rejects", 1)
    expected = hmac.new(key.encode(), b"person3@example.org", hashlib.sha256).hexdigest()[:32]
    assert expected in found.users["user_id"].to_list()
    assert found.users["user_id"].is_sorted()
    mine = all_rows(found).filter(user_id=expected)
    assert sorted(mine["item_id"]) == ["i0", "i1", "i2", "i3", "i4"]

    secrets = (key, hashlib.sha256(key.encode()).hexdigest(), "example.org")
    for path in (p for p in run.rglob("*") if p.is_file()):
        text = path.read_bytes()
        if path.suffix == ".parquet":
            text += pl.read_parquet(path).write_csv().encode()
        assert not [s for s in secrets if s.encode() in text], path
    rejects = parts.open_part(run / "interactions", "interactions").table("rejects")
    assert rejects.select("file", "line", "raw").rows() == [("log.csv", 47, None)]

    monkeypatch.setenv("RECLI_KEY", key)
    _, _, err = recli(
        "prepare", tmp_path / "log.csv", "--pseudonymize", "--max-rejects", 1, "--out", tmp_path / "same"
    )
    assert "example.org" not in err
    assert runs.read_interactions(tmp_path / "same").users.equals(found.users)
    monkeypatch.setenv("RECLI_KEY", key[::-1])
    recli("prepare", tmp_path / "log.csv", "--pseudonymize", "--max-rejects", 1, "--out", tmp_path / "other")
    other = runs.read_interactions(tmp_path / "other")
    assert not set(other.users["user_id"]) & set(found.users["user_id"])
    assert other.n_users == found.n_users


def test_pseudonyms_need_a_key(
    tmp_path: Path, run: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write(tmp_path / "log.csv", SQUARE)
    monkeypatch.delenv("RECLI_KEY", raising=False)
    _, _, err = recli("prepare", log, "--pseudonymize", "--out", run, code=1)
    assert "--key-file" in err
    monkeypatch.setenv("RECLI_KEY", "short")
    _, _, err = recli("prepare", log, "--pseudonymize", "--out", run, code=1)
    assert "5 bytes" in err
    recli("prepare", log, "--pseudonymize", "--key-file", tmp_path / "no", "--out", run, code=1)
    recli("prepare", log, "--key-file", tmp_path / "no", "--out", run, code=2)
    assert not run.exists()


# Failing


def test_too_many_rejects(tmp_path: Path, run: Path, recli: Recli) -> None:
    recli("prepare", write(tmp_path / "good.csv", SQUARE), "--out", run)
    before = everything(run)
    log = write(tmp_path / "log.csv", [*SQUARE, line("u1", "i1", "bad"), line("", "i1")])
    rejects = tmp_path / "rejects.csv"
    _, out, err = recli("prepare", log, "--out", run, "--rejects", rejects, code=3)
    assert out == ""
    assert "2 of 102 rows" in err
    assert "log.csv:102" in err
    assert pl.read_csv(rejects)["line"].to_list() == [102, 103]
    assert everything(run) == before
    for enough in ("2%", "0.02", "2"):
        recli("prepare", log, "--out", run, "--max-rejects", enough)  # 2 / 102 = 1.96%
    for few in ("1.9%", "0.019", "1", "0"):
        recli("prepare", log, "--out", run, "--max-rejects", few, code=3)
    assert summary_of(run)["rows"]["kept"] == 100
    recli("prepare", tmp_path / "good.csv", "--out", run, "--rejects", tmp_path / "none.jsonl")
    assert (tmp_path / "none.jsonl").read_text() == ""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--min-rating", 6), "min_rating (100)"),
        (("--event-weights", "buy=1"), "event_weights (100)"),
        (("--min-user-events", 11), "min_user_events (100)"),
        (("--min-item-events", 11), "min_item_events (100)"),
    ],
)
def test_nothing_left_names_the_step(
    tmp_path: Path, run: Path, recli: Recli, options: tuple[object, ...], expected: str
) -> None:
    _, _, err = recli("prepare", write(tmp_path / "log.csv", SQUARE), "--out", run, *options, code=3)
    assert f"none of 100 rows is left; most went to: {expected}" in err
    assert not run.exists()


def test_nothing_left_to_train_on(tmp_path: Path, run: Path, recli: Recli) -> None:
    log = write(tmp_path / "log.csv", [line("a", "x"), line("b", "x")])  # one moment for all
    _, _, err = recli("prepare", log, "--split", "temporal", "--out", run, code=3)
    assert "train" in err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--min-rating", 3), "--rating-column"),
        (("--event-weights", "a=1"), "--event-column"),
        (("--event-half-life", "9d"), "--time-column"),
        (("--split", "temporal"), "--time-column"),
        (("--split", "temporal-user"), "--time-column"),
        (("--split", "leave-last-out"), "--time-column"),
    ],
)
def test_an_option_whose_column_is_missing(
    tmp_path: Path, run: Path, recli: Recli, options: tuple[object, ...], words: str
) -> None:
    log = write(tmp_path / "log.csv", ["a,x", "b,y"], "reader,isbn")
    _, _, err = recli("prepare", log, "--user-column", "reader", "--out", run, *options, code=1)
    assert words in err
    assert "reader (user), isbn (item)" in err


@pytest.mark.parametrize(
    "options",
    [
        ("--event-weights", "view=-1"),
        ("--event-weights", "view=0"),
        ("--event-weights", "view"),
        ("--event-half-life", "soon"),
        ("--duplicates", "mean"),
        ("--bots", "kill"),
        ("--split", "magic"),
        ("--split", "given"),
        ("--split", "random", "--test-file", "x.csv", "--test-size", 0.2),
        ("--split", "temporal-user", "--test-file", "x.csv", "--validation-file", "y.csv"),
        ("--split", "leave-last-out", "--test-file", "x.csv", "--validation-size", 0.2),
        ("--split", "random", "--validation-file", "x.csv"),
        ("--test-file", "x.csv", "--test-size", 0.1),
        ("--test-file", "x.csv", "--validation-file", "y.csv", "--validation-size", 0.1),
        ("--split", "leave-last-out", "--test-size", 0.2),
        ("--test-size", 0.6, "--validation-size", 0.5),
        ("--cold-items", 0.95),
        ("--cold-users", -0.1),
        ("--max-rejects", "many"),
        ("--max-rejects", "120%"),
        ("--max-rejects", "-1"),
        ("--k-core", 3, "--min-item-events", 2),
        ("--k-core", 0),
        ("--max-user-events", 3, "--min-user-events", 4),
        ("--text", "{title}"),
        ("--items", "x.csv", "--items-no-header"),
        ("--rejects", "rejects.xlsx"),
        ("--seed", -1),
        ("--time-unit", "fortnight"),
        ("--format", "xml"),
    ],
)
def test_usage_errors(tmp_path: Path, run: Path, recli: Recli, options: tuple[object, ...]) -> None:
    recli("prepare", write(tmp_path / "log.csv", SQUARE), "--out", run, *options, code=2)
    assert not run.exists()


def test_a_failure_leaves_the_previous_part_and_no_scratch(tmp_path: Path, run: Path, recli: Recli) -> None:
    recli("prepare", write(tmp_path / "log.csv", SQUARE), "--out", run)
    before = everything(run)
    recli("prepare", tmp_path / "missing.csv", "--out", run, code=1)
    recli("prepare", write(tmp_path / "empty.csv", []), "--out", run, code=3)
    assert everything(run) == before
    assert [p.name for p in run.iterdir()] == ["interactions"]
    recli("prepare", tmp_path / "missing.csv", "--out", tmp_path / "new", code=1)
    assert not (tmp_path / "new").exists()


def test_ctrl_c_leaves_the_previous_part(
    tmp_path: Path, run: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = write(tmp_path / "log.csv", SQUARE)
    recli("prepare", log, "--out", run)
    before = everything(run)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    for step in (
        "recli.steps.prepare.cleaning.index_events",
        "recli.steps.prepare.splitting.assign",
        "recli.storage.parts.sync",
    ):
        with monkeypatch.context() as patched:
            patched.setattr(step, interrupted)
            recli("prepare", log, "--out", run, "--seed", 1, code=130)
        assert everything(run) == before
        assert [p.name for p in run.iterdir()] == ["interactions"]


def test_what_a_killed_command_left_behind_is_removed(tmp_path: Path, run: Path, recli: Recli) -> None:
    left = run / ".interactions.scratch.999999999.tmp"
    left.mkdir(parents=True)
    recli("prepare", write(tmp_path / "log.csv", SQUARE), "--out", run)
    assert [p.name for p in run.iterdir()] == ["interactions"]


def test_a_file_where_the_run_should_be(tmp_path: Path, recli: Recli) -> None:
    log = write(tmp_path / "log.csv", SQUARE)
    _, _, err = recli("prepare", log, "--out", log, code=1)
    assert "in the way" in err


@pytest.mark.parametrize("seed", range(4))
def test_random_dirty_logs_are_accounted_for(tmp_path: Path, run: Path, recli: Recli, seed: int) -> None:
    rng = random.Random(seed)
    choice = rng.choice
    lines = [
        f"{choice(['a', 'b', 'c', 'd', ''])},{choice(['x', 'y', 'z', ' '])},{choice('12345x')},"
        f"{choice(['view', 'buy', 'spam'])},{choice(['1', '0', '2.5', 'nan'])},{choice(['1600000000', '7', '-'])}"
        f"{choice(['', '', '', ',more'])}"
        for _ in range(300)
    ]
    recli(
        "prepare", write(tmp_path / "log.csv", lines), "--out", run, "--max-rejects", "100%", "--weight-column",
        "count", "--event-weights", "view=1,buy=2", "--min-rating", 2, "--max-user-events", 2,
    )  # fmt: skip
    rows = summary_of(run)["rows"]
    assert rows["in"] == 300
    assert (
        rows["kept"] + rows["merged"] + sum(rows["filtered"].values()) + sum(rows["rejected"].values()) == 300
    )
    rejects = parts.open_part(run / "interactions", "interactions").table("rejects")
    assert rejects.height == sum(rows["rejected"].values())
    assert rows["kept"] == sum(sizes(runs.read_interactions(run)).values())


def test_times_and_numbers_as_a_spreadsheet_writes_them(tmp_path: Path, run: Path, recli: Recli) -> None:
    rows = [f"u{u};i{i};2,8;1{i}.07.2024 01:42" for u in range(5) for i in range(5)]
    path = write(tmp_path / "log.csv", rows, "user_id;item_id;rating;Datum")
    named = ("prepare", path, "--out", run, "--time-column", "Datum")
    _, _, err = recli(*named, "--decimal-comma", code=3)
    assert "25 unparsable time in Datum (log.csv:2 '10.07.2024 01:42')" in " ".join(err.split())
    assert "--time-format '%d.%m.%Y %H:%M' reads these times" in " ".join(err.split())
    _, _, err = recli(*named, "--time-format", "%d.%m.%Y %H:%M", code=3)
    assert "25 unparsable number in rating (log.csv:2 '2,8')" in " ".join(err.split())
    assert "--decimal-comma reads these numbers" in err
    recli(*named, "--decimal-comma", "--time-format", "%d.%m.%Y %H:%M")
    events = all_rows(runs.read_interactions(run))
    assert events["rating"].unique().to_list() == [pytest.approx(2.8)]
    assert events["timestamp"].min() == 1_720_575_720_000_000  # 2024-07-10 01:42 UTC


def test_mixed_times_and_unused_columns_are_said(tmp_path: Path, run: Path, recli: Recli) -> None:
    rows = [f"u{u},i{i},{'2024-01-01' if i else 5},7" for u in range(5) for i in range(5)]
    path = write(tmp_path / "log.csv", rows, "user_id,item_id,time,play_count")
    _, _, err = recli("prepare", path, "--out", run, code=3)
    assert "of mixed formats: --time-format 'iso|s' reads both" in " ".join(err.split())
    _, _, err = recli("prepare", path, "--out", run, "--max-rejects", 5)
    assert "columns not used: play_count (see --weight-column)" in err
    _, _, err = recli("prepare", path, "--out", run, "--max-rejects", 5, "--weight-column", "play_count")
    assert "not used" not in err


def test_what_is_said_of_the_catalogue(tmp_path: Path, run: Path, recli: Recli) -> None:
    items = [f"i{i},T" for i in range(9)]
    path = write(tmp_path / "log.csv", SQUARE)
    catalogue = write(tmp_path / "items.csv", [*items, "i0,U", "i1,U"], "item_id,title")
    _, _, err = recli("prepare", path, "--items", catalogue, "--out", run)
    assert "1 item of the log (10 events) not in it; 2 repeated ids: the first row counts" in err
    catalogue = write(tmp_path / "items.csv", [*items, "i9,T"], "item_id,title")
    _, _, err = recli("prepare", path, "--items", catalogue, "--out", run)
    assert "not in it" not in err and "repeated" not in err
    (tmp_path / "artikel.csv").write_text("a;b\nc;d\n")
    _, _, err = recli("prepare", path, "--items", tmp_path / "artikel.csv", "--out", run, code=3)
    assert "--items-no-header --items-columns" in err


# From Python


def test_prepare_returns_what_it_wrote(tmp_path: Path, run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    bot = [line("bot", f"j{i}") for i in range(150)]
    log = write(tmp_path / "log.csv", [*SQUARE, *bot])
    prepared = prepare(PrepareConfig(log=(str(log),), out=str(run)))
    assert capfd.readouterr() == ("", "")  # a step says nothing by itself
    assert (prepared.run, prepared.summary) == (run, summary_of(run))
    assert prepared.largest_bots == (("bot", 150),) and prepared.tied == 150
    assert prepared.unused_columns == ("count",)
    assert prepared.interactions.n_users == prepared.summary["users"] == 11


def test_warnings_go_to_the_reporter_before_an_error(tmp_path: Path, run: Path) -> None:
    warnings: list[str] = []

    class Listener(Silent):
        def warn(self, text: str) -> None:
            warnings.append(text)

    log = write(tmp_path / "log.csv", SQUARE)
    with pytest.raises(InvalidDataError, match="none of 100 rows is left"):
        prepare(PrepareConfig(log=(str(log),), out=str(run), event_weights="buy=1"), Listener())
    assert any("stay known as seen: view (100)" in text for text in warnings)


def test_a_config_checks_its_options_against_each_other() -> None:
    for wrong in ({"text": "{title}"}, {"k_core": 2, "min_user_events": 3}, {"max_rejects": "many"}):
        with pytest.raises(UsageError):
            PrepareConfig(log=("events.csv",), **wrong)


def test_the_former_name_of_bots_is_answered(tmp_path: Path, recli: Recli) -> None:
    log = write(tmp_path / "log.csv", SQUARE)
    assert "--bots" in recli("prepare", log, "--robots", "drop", code=2)[2]
    assert from_dict(PrepareConfig, {"log": ["a.csv"], "robots": "drop"}).bots == "drop"
