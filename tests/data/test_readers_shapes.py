"""Files that are not one event a row: blocks below an id, a user and its items a line, matrices."""

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recli.data.readers import EventLog, ReadOptions, read_events, streams
from recli.errors import InvalidDataError, UsageError

Read = Callable[..., EventLog]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """`read(text, name="log.txt", **options)` writes the file and reads it."""

    def call(content: str | bytes, name: str = "log.txt", **options: Any) -> EventLog:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        log = read_events([str(tmp_path / name)], ReadOptions(**options), tmp_path / "spool")
        assert log.rows == log.events.collect().height + sum(log.rejected.values())
        return log

    return call


BLOCKS = "1:\n7,4,2011-06-03\n8,5,2011-03-23\n2:\n7,1,2011-06-04\n"


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_blocks_are_recognized(read: Read, end: str) -> None:
    log = read(BLOCKS.replace("\n", end))
    assert log.columns == {"user": "user_id", "item": "item_id", "rating": "rating", "time": "date"}
    assert [row[:3] for row in log.events.collect().rows()] == [
        ("7", "1", 4.0),
        ("8", "1", 5.0),
        ("7", "2", 1.0),
    ]
    assert "blocks of events below the item_id, '1:': read as --format netflix" in log.notes[0]
    assert read(gzip.compress(BLOCKS.encode()), "log.txt.gz").rows == 3


def test_blocks_of_users_and_of_bare_ids(read: Read) -> None:
    log = read("u1:\na\t5\nb\t4\nu2:\na\t3\n", columns=("user_id", "item_id", "rating"))
    assert log.events.collect().rows() == [("u1", "a", 5.0), ("u1", "b", 4.0), ("u2", "a", 3.0)]
    assert read("1:\n7\n8\n2:\n7\n").events.collect().rows() == [("7", "1"), ("8", "1"), ("7", "2")]
    with pytest.raises(UsageError, match="2 fields in a line, 'a,5', and 1 names for them"):
        read("1:\na,5\n", columns=("user_id", "item_id"))


def test_bad_lines_of_blocks_are_rejects_with_their_number(
    read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BLOCK", 10)
    monkeypatch.setattr(streams, "_READ", 10)
    log = read("7,4\n1:\n7,4\n8\n\n8,x\n2:\n3:\n9,5\n", format="netflix")
    assert log.events.collect().rows() == [("7", "1", 4.0), ("9", "3", 5.0)]
    assert log.rejects.select("line", "reason", "raw").collect().rows() == [
        (1, "no line with an id before it", "7,4"),
        (4, "wrong number of fields", "8"),
        (6, "unparsable number", "8,x"),
    ]


ITEMS = [("1", "26"), ("1", "19"), ("1", "27"), ("2", "18"), ("3", "16"), ("3", "26")]


@pytest.mark.parametrize(
    "text",
    ["1 26 19 27\n2 18\n3 16 26\n4\n", "1\t26 19 27\n2\t18\n3\t16 26\n4\n", "1: 26 19 27\n2: 18\n3: 16 26\n4:\n"],
)  # fmt: skip
def test_a_user_and_its_items_in_a_line_are_recognized(read: Read, text: str) -> None:
    log = read(text)
    assert log.events.collect().rows() == ITEMS
    assert log.exploded == (4, 6, 1)
    assert "read as --format adjacency; the user is the first of each line" in log.notes[0]
    assert read(text, columns=("item_id", "user_id"), header=False).columns["user"] == "user_id"


def test_lines_of_one_length_are_lists_where_two_columns_are_named_for_them(read: Read) -> None:
    text = "1 26 19 27\n2 18 23 26\n3 16 27 7\n"
    assert read(text, columns=("user_id", "item_id"), header=False, separator=" ").exploded == (3, 9, 0)
    with pytest.raises(InvalidDataError, match="no known column name"):
        read(text)
    events = "1 26 4 100\n1 27 4 101\n3 16 5 102\n"  # a user twice: a row is an event
    assert (
        read(events, columns=("user_id", "item_id", "rating", "time"), header=False, separator=" ").exploded
        is None
    )


def test_adjacency_by_its_option(read: Read) -> None:
    log = read("ann,a,b\nbob,c\n", format="adjacency")
    assert log.events.collect().rows() == [("ann", "a"), ("ann", "b"), ("bob", "c")]
    with pytest.raises(InvalidDataError, match="no known column name: ann,a,b") as error:
        read("ann,a,b\nbob,c\n")
    assert (error.value.fix or "").startswith("a user and its items in each line? --format adjacency")
    with pytest.raises(UsageError, match="has two columns"):
        read("a b c\n", format="adjacency", columns=("a", "b", "c"))


@pytest.mark.parametrize(
    "text",
    [
        "ann\tcitrus fruit,bread\nbob\ttea\n",
        "ann: citrus fruit, bread\nbob: tea\n",
        "ann,citrus fruit,bread\nbob,tea,\n",
        "ann;citrus fruit;bread\nbob;tea\n",
    ],
)
def test_items_with_blanks_in_them(read: Read, text: str) -> None:
    given = {} if text.count(",") + text.count(";") > 1 else {"separator": ","}
    log = read(text, format="adjacency", **given)
    assert log.events.collect().rows() == [("ann", "citrus fruit"), ("ann", "bread"), ("bob", "tea")]


@pytest.mark.parametrize("separator", ["\t", "::", "~"])
def test_lists_with_their_own_separator(read: Read, separator: str) -> None:
    text = separator.join(["u", "a", "b"]) + "\n" + separator.join(["v", "c"]) + "\n"
    log = read(text, format="adjacency", separator=separator)
    assert log.events.collect().rows() == [("u", "a"), ("u", "b"), ("v", "c")]


def test_text_that_is_no_utf8_is_a_reject(read: Read) -> None:
    log = read(b"1 2 3\n2 \xff 4\n3 5\n", format="adjacency")
    assert log.events.collect().height == 3 and log.rejected == {"broken UTF-8": 1}
    log = read(b"1:\n7,4\n\xff,5\n", format="netflix")
    assert log.rejects.select("line", "reason", "raw").collect().rows() == [(3, "broken UTF-8", "\\xff,5")]


def test_columns_that_list_items(read: Read) -> None:
    text = "user_id,item_1,item_2,item_3\nu,a,b,\nv,c,,\n"
    with pytest.raises(InvalidDataError, match="no column for the item") as error:
        read(text)
    assert (error.value.fix or "").endswith(
        "where the cells are a user's items: --format adjacency; where they are ratings: --format matrix"
    )
    assert read(text, format="adjacency").events.collect().rows() == [("u", "a"), ("u", "b"), ("v", "c")]


def test_lists_without_an_element_are_no_log(read: Read) -> None:
    with pytest.raises(InvalidDataError, match="has rows, but no list with an element in it"):
        read("1\n2\n", format="adjacency")


def test_lines_that_begin_with_the_number_of_their_items(read: Read) -> None:
    log = read("2 26 19\n1 18\n0\n3 16 26 5\n")
    assert log.events.collect().rows() == [
        ("0", "26"),
        ("0", "19"),
        ("1", "18"),
        ("3", "16"),
        ("3", "26"),
        ("3", "5"),
    ]
    assert "the user is the line's number" in log.notes[0]


RATINGS = [
    ("1", "1", 6.5),
    ("1", "3", -2.0),
    ("2", "2", 1.0),
    ("3", "1", 0.0),
    ("3", "2", -9.5),
    ("3", "3", 4.0),
]


def test_a_matrix_with_counts_and_99_for_none(read: Read) -> None:
    log = read("2,6.5,99,-2\n1,99,1,99\n3,0,-9.5,4\n", "jester.csv", format="matrix")
    assert log.events.collect().rows() == RATINGS
    assert log.exploded == (3, 6, 0)
    assert "a line is a user, the first column counts its ratings, 99 is no rating" in log.notes[0]


@pytest.mark.parametrize("none", ["", "NaN", "0", "-1"])
def test_a_matrix_with_a_header_has_its_users_in_the_first_column(read: Read, none: str) -> None:
    text = f",a,b,c,d\nu,4,{none},{none},{none}\nv,{none},{none},5,{none}\nw,{none},3,{none},{none}\n"
    log = read(text, "matrix.csv", format="matrix")
    assert log.events.collect().rows() == [("u", "a", 4.0), ("v", "c", 5.0), ("w", "b", 3.0)]


def test_zeros_among_ones_are_none(read: Read) -> None:
    log = read(",a,b\nu,1,1\nv,0,1\n", format="matrix")
    assert log.events.collect().rows() == [("u", "a", 1.0), ("u", "b", 1.0), ("v", "b", 1.0)]


def test_a_matrix_of_items_and_users(read: Read) -> None:
    log = read("movieId,u,v\n7,4,3.5\n8,,5\n", format="matrix")
    assert log.events.select("user_id", "item_id", "rating").collect().rows() == [
        ("u", "7", 4.0), ("v", "7", 3.5), ("v", "8", 5.0),
    ]  # fmt: skip
    assert "2 columns are the users, movieId is the item" in log.notes[0]


@pytest.mark.parametrize("corner", ["userId", ""])
def test_a_header_of_numbers(read: Read, corner: str) -> None:
    log = read(f"{corner},1,2,3\nu,4,,5\nv,,2,\n", format="matrix")
    assert log.events.collect().rows() == [("u", "1", 4.0), ("u", "3", 5.0), ("v", "2", 2.0)]


def test_ratings_beside_the_items_of_a_line(read: Read) -> None:
    text = "".join(
        f"{u} " + " ".join(f"{(u + n) % 7}:{1 + n % 3}.5" for n in range(u % 4)) + "\n" for u in range(9)
    )
    log = read(text, format="adjacency")
    assert log.events.collect().rows()[:3] == [("1", "1", 1.5), ("2", "2", 1.5), ("2", "3", 2.5)]
    assert log.columns["rating"] == "item_id" and "of items with ratings, such as 26:4.5" in log.notes[1]
    plain = read("ann track:71 track:72\nbob track:73\n", format="adjacency")
    assert "rating" not in plain.columns


def test_a_matrix_without_a_sentinel_keeps_every_number(read: Read) -> None:
    text = "u,5,4,5\nv,5,1,5\nw,2,5,x\n"
    log = read(text, format="matrix")
    assert log.events.collect().height == 8 and log.rejected == {"unparsable number": 1}
    assert log.rejects.select("line", "value").collect().rows() == [(3, "x")]


def test_a_file_that_may_be_a_matrix_is_refused_with_the_option(read: Read) -> None:
    text = "".join(",".join(["3", *(["99"] * 8), "1", "2", str(k)]) + "\n" for k in range(5))
    with pytest.raises(InvalidDataError, match="12 numbers in each line and no header") as error:
        read(text)
    assert (error.value.fix or "").startswith("read it so: --format matrix; or name its columns")
    header = ",".join(["user", *(f"i{k}" for k in range(12))]) + "\n" + ",".join(["1"] * 13) + "\n"
    with pytest.raises(InvalidDataError, match="no column for the item") as missing:
        read(header)
    assert (missing.value.fix or "").endswith("where each column is that of one item: --format matrix")


def test_a_matrix_without_columns_of_ratings_is_an_error(read: Read) -> None:
    with pytest.raises(InvalidDataError, match=r"no column of ratings in 'user_id::i1'.*not a matrix"):
        read("user_id::i1\na::3\nb::4\n", format="matrix")
