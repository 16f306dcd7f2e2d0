"""Lists in cells: which separator they have, which ids look like them, and the events they become."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recli.data.readers import EventLog, ReadOptions, lists, read_events, streams
from recli.errors import InvalidDataError, UsageError

Read = Callable[..., EventLog]
PAIRS = [("u1", "a"), ("u1", "b"), ("u2", "c"), ("u3", "a")]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """`read(text, name="log.csv", **options)` writes the file and reads it."""

    def call(content: str, name: str = "log.csv", **options: Any) -> EventLog:
        (tmp_path / name).write_text(content, encoding="utf-8")
        return read_events([str(tmp_path / name)], ReadOptions(**options), tmp_path / f"spool {name}")

    return call


def pairs(log: EventLog) -> list[tuple[Any, ...]]:
    assert log.rows == log.events.collect().height + sum(log.rejected.values())
    return log.events.select("user_id", "item_id").collect().rows()


@pytest.mark.parametrize(
    ("cells", "separator", "elements"),
    [
        (["a|b", "c", None, " a | b ", "a||b", "a|"], "|", ["a b", "c", "", "a b", "a - b", "a"]),
        (["a, b", "c,d"], ",", ["a b", "c d"]),  # not blanks, though they hold as many
        (["1 2  3", "4"], "blank", ["1 2 3", "4"]),
        (["a\tb", ""], "tab", ["a b", ""]),
        (['["a", 1]', "[]", "x"], "json", ["a 1", "", "x"]),
        (["['a', \"b\"]", "[1 2]", "['a' 'b']", "{1,2}", "[007, 1.50]", "('a', 'b')"], "json",
         ["a b", "1 2", "a b", "1 2", "007 1.50", "a b"]),
        (["[12345678901234567890123]", "[[1], [2, NaN]]", '["a", null]'], "json",
         ["12345678901234567890123", "1 2 NaN", "a -"]),
        (["x", "y"], None, ["x", "y"]),
    ],
)  # fmt: skip
def test_cells_are_split_at_the_separator_they_have(
    cells: list[str | None], separator: str | None, elements: list[str]
) -> None:
    column = pl.Series("c", cells, dtype=pl.String)
    assert lists.find_separator(column) == separator
    found = [" ".join(e or "-" for e in cell) for cell in lists.split(column, separator).to_list()]
    assert found == elements


def test_objects_are_no_lists() -> None:
    column = pl.Series("c", ['{"a": 1}', '[{"a": 1}]', "[1]", '["\\ud83d"]'])
    assert lists.split(column, "json").to_list() == [None, None, ["1"], None]  # the last is half a character


BASKETS = [[f"i{(k * n) % 11}" for n in range(1, 3 + k % 3)] for k in range(1, 30)]


@pytest.mark.parametrize(
    ("separator", "found"), [("|", "|"), (", ", ","), (";", ";"), (" ", "blank"), ("::", "::"), ("#", "#")]
)
def test_ids_that_look_like_lists_are_recognized(separator: str, found: str) -> None:
    assert (
        lists.recognized(pl.Series([f"{k}x{separator}" + separator.join(b) for k, b in enumerate(BASKETS)]))
        is None
    )
    longer = [[*basket, f"i{k % 5}", f"i{k % 6}"] for k, basket in enumerate(BASKETS)]
    assert lists.recognized(pl.Series([separator.join(basket) for basket in longer])) == found


@pytest.mark.parametrize(
    "ids",
    [
        [f"The {a} of {b}" for a in ("Cat", "Dog", "Man", "House") for b in ("Rome", "Paris", "the Dog")],  # titles
        [f"store{k % 3}|sku{k}" for k in range(50)],  # keys of two parts
        [f"2020-01-{k:02} 10:00" for k in range(1, 29)],
        [f"{k % 5}|{k % 4}" for k in range(200)],  # each comes again and again: ids
        ["a|b", "b|a"],  # two are too few to tell
        [f"sku-{k}" for k in range(50)],
    ],
)  # fmt: skip
def test_other_ids_are_no_lists(ids: list[str]) -> None:
    assert lists.recognized(pl.Series(ids)) is None


def test_a_log_of_lists_is_warned_of_with_the_option_that_reads_it(read: Read) -> None:
    text = "user_id,item_id\n" + "".join(
        f"u{k},{'|'.join([*b, 'i0', 'i1'])}\n" for k, b in enumerate(BASKETS)
    )
    (warning,) = read(text).warnings
    assert "--explode 'item_id:|' makes 146 elements of 11 ids" in warning
    log = read(text, explode=("item_id:|",))
    assert log.warnings == () and log.events.collect().height == log.rows == 146
    assert read(text, explode=("item_id:;",)).warnings == (warning,)  # no list has that separator
    assert read("user_id,item_id\n" + "u,i\n" * 50).warnings == ()


@pytest.mark.parametrize("explode", ["item_id", "item_id:|", "item_id: "])
def test_each_element_becomes_an_event_and_empty_lists_are_counted(read: Read, explode: str) -> None:
    separator = " " if explode.endswith(" ") else "|"
    text = f"user_id,item_id,rating\nu1,a{separator}b,4\nu2,c,3\nu4,,5\nu3,a,x\nu3,a,2\n"
    log = read(text, explode=(explode,))
    assert pairs(log) == PAIRS
    assert log.exploded == (5, 5, 1)
    assert log.rejects.select("line", "reason").collect().rows() == [(5, "unparsable number")]
    assert any("5 rows, 1 of them empty are 5 events" in note for note in log.notes)


def test_lists_of_items_and_times_go_together(read: Read) -> None:
    text = 'user_id,item_id,timestamp\nu1,a|b,"[5, 6]"\nu2,c,[7]\nu3,a|b,[8]\nu3,a,[8]\n'
    log = read(text, explode=("item_id", "timestamp"))
    assert pairs(log) == PAIRS
    assert log.events.collect()["timestamp"].to_list() == [5_000_000, 6_000_000, 7_000_000, 8_000_000]
    assert log.rejected == {"lists of different lengths": 1}


def test_lists_of_users_of_an_item(read: Read) -> None:
    assert pairs(read("item_id,user_id\na,u1 u3\nb,u1\n", explode=("user_id:blank",))) == [
        ("u1", "a"), ("u3", "a"), ("u1", "b"),
    ]  # fmt: skip


def test_lists_of_json_and_parquet_need_no_option(read: Read, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"user_id": "u1", "item_id": ["a", "b"], "tags": ["x"]},
        {"user_id": "u2", "item_id": ["c"], "tags": []},
        {"user_id": "u3", "item_id": ["a"], "tags": []},
    ]
    log = read("".join(json.dumps(row) + "\n" for row in rows), "log.jsonl")
    assert pairs(log) == PAIRS and log.exploded == (3, 4, 0)
    pl.DataFrame(rows).write_parquet(tmp_path / "log.parquet")
    log = read_events([str(tmp_path / "log.parquet")], ReadOptions(), tmp_path / "spool")
    assert pairs(log) == PAIRS and log.exploded == (3, 4, 0)
    array = pl.DataFrame(
        {"user_id": ["u"], "item_id": [[1, 2]]}, schema_overrides={"item_id": pl.Array(pl.Int64, 2)}
    )
    array.write_parquet(tmp_path / "array.parquet")
    log = read_events([str(tmp_path / "array.parquet")], ReadOptions(), tmp_path / "spool2")
    assert pairs(log) == [("u", "1"), ("u", "2")]


def test_an_odd_list_among_ids_is_a_reject_and_an_odd_id_among_lists_is_one_event(read: Read) -> None:
    ids = '{"user_id": "u1", "item_id": "a"}\n' * 3 + '{"user_id": "u1", "item_id": ["a"]}\n'
    assert read(ids, "ids.jsonl").rejected == {"wrong type": 1}
    some = '{"user_id": "u1", "item_id": ["a"]}\n' * 3 + '{"user_id": "u1", "item_id": "a b"}\n'
    log = read(some + '{"user_id": "u1", "item_id": [{"x": 1}]}\n', "lists.jsonl")
    assert pairs(log) == [("u1", "a")] * 3 + [("u1", "a b")]
    assert log.rejected == {"not a list of plain values": 1}


def test_lists_across_blocks_and_files_keep_the_first_separator(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(streams, "BLOCK", 20)
    monkeypatch.setattr(streams, "_READ", 20)
    (tmp_path / "a.csv").write_text("user_id,item_id\n" + "u1,a|b\n" * 40)
    (tmp_path / "b.csv").write_text("user_id,item_id\nu2,x y\n")
    log = read_events([str(tmp_path / "*.csv")], ReadOptions(explode=("item_id",)), tmp_path / "spool")
    assert pairs(log) == [("u1", "a"), ("u1", "b")] * 40 + [("u2", "x y")]
    assert log.exploded == (41, 81, 0)


def test_impressions_become_clicks_and_impressions(read: Read) -> None:
    text = "user_id,item_id\nu1,a-1 b-0 c-0\nu2,a-0 b-1\nu3,a\nu4,\n" + "u5,c-1\n" * 5
    log = read(text, explode=("item_id",))
    assert log.impressions and log.columns["event"] == "item_id"
    assert log.events.collect().rows() == [
        ("u1", "a", "click"), ("u1", "b", "impression"), ("u1", "c", "impression"),
        ("u2", "a", "impression"), ("u2", "b", "click"), *[("u5", "c", "click")] * 5,
    ]  # fmt: skip
    assert log.rejected == {"impression without -1 or -0": 1}
    plain = read("user_id,item_id\nu1,a-1 b-2\n", explode=("item_id",))
    assert not plain.impressions and pairs(plain) == [("u1", "a-1"), ("u1", "b-2")]


def test_a_history_column_comes_before_its_rows_and_each_item_once(read: Read) -> None:
    text = "user_id,item_id,history,time\nu1,c-1 d-0,a b,10\nu1,d-1,a b c,20\nu2,a-1,,5\n"
    log = read(text, explode=("item_id", "history"))
    assert log.rows == 4 + 3 and log.exploded == (3, 7, 0)
    assert log.events.collect().rows() == [
        ("u1", "a", "click", 9_999_998), ("u1", "b", "click", 9_999_999), ("u1", "c", "click", 19_999_999),
        ("u1", "c", "click", 10_000_000), ("u1", "d", "impression", 10_000_000), ("u1", "d", "click", 20_000_000),
        ("u2", "a", "click", 5_000_000),
    ]  # fmt: skip
    assert log.notes[0].endswith("just before the first row that has them")
    log = read("user_id,item_id,history,rating\nu1,c,a b,4\nu1,d,a b c,5\n", explode=("history",))
    assert log.notes[0] == (
        "history: 5 items, 3 different ones of their users, before all others, with that row's rating"
    )
    assert pairs(log) == [("u1", "a"), ("u1", "b"), ("u1", "c"), ("u1", "c"), ("u1", "d")]


def test_options_that_do_not_fit_name_the_columns(read: Read) -> None:
    with pytest.raises(UsageError, match=r"no column 'items' \(--explode\); columns: user_id, item_id"):
        read("user_id,item_id\nu,i\n", explode=("items",))
    with pytest.raises(UsageError, match="--explode more adds items, but the time is a list too"):
        read("user_id,item_id,time,more\nu,i,5,x\n", explode=("time", "more"))
    objects = '{"user_id": 1, "items": [{"id": "a", "n": 1}]}\n' * 3
    with pytest.raises(InvalidDataError, match="'items' is a list of objects with the fields id, n") as error:
        read(objects, "o.jsonl", item_column="items")
    assert error.value.fix == "name one of the fields: --item-column items.id"
    with pytest.raises(InvalidDataError, match="no column for the item") as missing:
        read(objects, "o.jsonl")
    assert missing.value.fix == "name it: --item-column items.id"
    colon = "user_id,ids:token_seq\nu1,a b\n"  # a column may have the separator's sign in its name
    assert len(pairs(read(colon, item_column="ids:token_seq", explode=("ids:token_seq",)))) == 2
