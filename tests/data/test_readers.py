"""Reading event logs: formats, compressions, separators, headers, column names, several inputs."""

import gzip
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import zstandard

from recli.data.readers import LISTS, EventLog, ReadOptions, read_events, read_pairs, streams
from recli.errors import InvalidDataError, RecliError, UsageError

ROWS = [
    ("007", "1e5", 4.0, 1_500_000_000),
    ("u b", "ä,1", 3.5, 1_500_000_001),
    ("u b", "x|y", 0.5, 1_500_000_002),
]
EXPECTED = [(u, i, r, t * 1_000_000) for u, i, r, t in ROWS]  # microseconds


Read = Callable[..., EventLog]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """`read(text_or_bytes, name="log.csv", **options)` writes the file and reads it."""
    count = 0

    def call(content: str | bytes, name: str = "log.csv", **options: Any) -> EventLog:
        nonlocal count
        count += 1
        folder = tmp_path / str(count)
        folder.mkdir()
        (folder / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return read_events([str(folder / name)], ReadOptions(**options), folder / "spool")

    return call


def rows_of(log: EventLog) -> list[tuple[Any, ...]]:
    return log.events.drop("file", strict=False).collect().rows()


def as_csv(separator: str) -> str:
    quote = '"' if len(separator) == 1 else ""
    cell = lambda v: f"{quote}{v}{quote}"  # noqa: E731
    lines = [separator.join(("userId", "movieId", "rating", "timestamp"))]
    lines += [separator.join(cell(v) for v in row) for row in ROWS]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("separator", [",", ";", "\t", "|", "::", " ~ "])
def test_every_separator_gives_the_same_rows(read: Read, separator: str) -> None:
    given = {"separator": separator} if separator == " ~ " else {}
    log = read(as_csv(separator), "log.txt", **given)
    assert rows_of(log) == EXPECTED
    assert log.columns == {"user": "userId", "item": "movieId", "rating": "rating", "time": "timestamp"}
    assert (log.rows, log.rejected) == (3, {})
    schema = {"user_id": pl.String, "item_id": pl.String, "rating": pl.Float64, "timestamp": pl.Int64}
    assert dict(log.events.collect_schema()) == schema


def test_a_tab_can_be_typed_as_backslash_t(read: Read) -> None:
    assert rows_of(read("user\titem\na,b\tc\n", separator="\\t")) == [("a,b", "c")]


def test_a_separator_that_is_in_every_title_does_not_win(read: Read) -> None:
    assert rows_of(read("user;item;rating\na;b;1\nc,d;e,f;2\n")) == [("a", "b", 1.0), ("c,d", "e,f", 2.0)]


def jsonl(rows: list[tuple[str, str, float, int]] = ROWS) -> bytes:
    keys = ("user_id", "item_id", "rating", "timestamp")
    return b"".join(json.dumps(dict(zip(keys, row, strict=True))).encode() + b"\n" for row in rows)


def parquet() -> bytes:
    keys = ["user_id", "item_id", "rating", "timestamp"]
    file = io.BytesIO()
    pl.DataFrame(ROWS, schema=keys, orient="row").write_parquet(file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (jsonl(), "log.jsonl"),
        (jsonl(), "log"),  # by its first character
        (parquet(), "log.parquet"),
        (parquet(), "log"),  # by its magic bytes
        (gzip.compress(as_csv(",").encode()), "log.csv.gz"),
        (gzip.compress(as_csv(",").encode()), "log.csv"),  # gzip, whatever its name says
        (gzip.compress(jsonl()), "log.jsonl.gz"),
        (zstandard.compress(as_csv("\t").encode()), "log.tsv.zst"),
        (zstandard.compress(jsonl()), "log"),
        (gzip.compress(parquet()), "log.parquet.gz"),
    ],
)
def test_every_format_and_compression_gives_the_same_rows(read: Read, content: bytes, name: str) -> None:
    log = read(content, name)
    assert rows_of(log) == EXPECTED
    assert (log.rows, log.rejected) == (3, {})


def test_the_format_can_be_said(read: Read) -> None:
    assert rows_of(read(jsonl(), "log.csv", format="jsonl")) == EXPECTED
    with pytest.raises(UsageError, match="must be one of auto, csv, jsonl, parquet"):
        ReadOptions(format="xml")


def test_gzip_of_several_members_is_read_to_its_end(read: Read) -> None:
    content = gzip.compress(b"user,item\na,b\n") + gzip.compress(b"c,d\n") + b"\0" * 512
    assert rows_of(read(content, "log.gz")) == [("a", "b"), ("c", "d")]


@pytest.mark.parametrize(
    "content", [gzip.compress(as_csv(",").encode() * 99), zstandard.compress(as_csv(",").encode() * 99)]
)
def test_a_cut_off_or_damaged_archive_is_an_error(read: Read, content: bytes) -> None:
    with pytest.raises(InvalidDataError, match="is cut off"):
        read(content[:-9])
    with pytest.raises(InvalidDataError, match="is damaged"):
        read(content + b"\x1f\x8b garbage that is no member")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04....", "ZIP archive or spreadsheet"),
        (b"BZh91AY", "is bzip2"),
        ("user,item\na,b\n".encode("utf-16"), "UTF-16"),
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (b"user_id,item_id\n", "has a header and no rows"),
        (b'[{"user": 1}]', "JSON array"),
        (parquet()[:-20], "cannot be read as Parquet"),
    ],
)
def test_files_that_cannot_be_read_say_why(read: Read, content: bytes, message: str) -> None:
    with pytest.raises(InvalidDataError, match=message):
        read(content, "log")


def test_ids_stay_as_they_are_written(read: Read) -> None:
    ids = ["007", "1e5", "1.0", "-0", "NA", "null", "nan", "18446744073709551616", "é"]
    log = read("user,item\n" + "".join(f" {i} ,{i}\r\n" for i in ids))
    assert rows_of(log) == [(i, i) for i in ids]
    assert rows_of(read("user,item\n" + "".join(f'"{i}","{i}"\n' for i in ids))) == [(i, i) for i in ids]
    numbers = read('{"user": 18446744073709551616, "item": "007"}\n{"user": -0, "item": 5}\n', "a.jsonl")
    assert rows_of(numbers) == [("18446744073709551616", "007"), ("-0", "5")]


def test_parquet_ids_of_integers_and_categories_become_strings(read: Read, tmp_path: Path) -> None:
    frame = pl.DataFrame({"user": [2**63 - 1, -5], "item": ["a", "b"]}).with_columns(
        pl.col("item").cast(pl.Categorical)
    )
    frame.write_parquet(tmp_path / "p.parquet")
    assert rows_of(read((tmp_path / "p.parquet").read_bytes())) == [(str(2**63 - 1), "a"), ("-5", "b")]


def test_parquet_ids_of_decimals_are_refused(read: Read) -> None:
    file = io.BytesIO()
    pl.DataFrame({"user": [1.0], "item": ["a"]}).write_parquet(file)
    with pytest.raises(InvalidDataError, match="'user' is of type Float64, which cannot be the user"):
        read(file.getvalue())


def test_parquet_is_read_in_batches_in_order(read: Read, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recli.data.readers.parquet.ROWS", 7)
    file = io.BytesIO()
    pl.DataFrame({"user": range(50), "item": [None if i == 30 else i for i in range(50)]}).write_parquet(file)
    log = read(file.getvalue())
    assert rows_of(log) == [(str(i), str(i)) for i in range(50) if i != 30]
    assert log.rejects.collect().drop("value").rows() == [
        ("log.csv", 31, "item", "missing item", '{"user": 30, "item": null}')
    ]


@pytest.mark.parametrize("block", [64, 100, 1 << 20])
def test_blocks_of_any_size_give_the_same_rows(
    read: Read, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(streams, "BLOCK", block)
    monkeypatch.setattr(streams, "_READ", 16)
    text = "user,item,type\n" + "".join(
        f'u{i},"i\n{i}"x,a\n' if i % 40 == 7 else f'u{i},i{i},"x ""\n\n,{i}"\n' if i % 3 else f"u{i},i{i},\n"
        for i in range(1, 3000)
    )
    log = read(text)
    events = log.events.collect()
    good = [i for i in range(1, 3000) if i % 40 != 7 and i % 3]
    assert events["user_id"].to_list() == [f"u{i}" for i in good]
    assert events["event"].to_list() == [f'x "\n\n,{i}' for i in good]
    n_broken = sum(
        i % 40 == 7 for i in range(1, 3000)
    )  # text after a closing quote; its second line on its own
    n_missing = sum(i % 40 != 7 and i % 3 == 0 for i in range(1, 3000))
    assert log.rejected == {
        "broken quotes": n_broken,
        "too few fields": n_broken,
        "missing event": n_missing,
    }
    assert log.rows == events.height + sum(log.rejected.values())
    reads = log.rejects.collect()
    lines = text.split("\n")
    assert all(lines[n - 1] == raw for n, raw in reads.select("line", "raw").rows())


def test_line_ends_and_a_byte_order_mark_do_not_matter(read: Read) -> None:
    unwrap = "user,item,rating\na,b,1\nc,d,2"
    for text in (
        unwrap,
        unwrap + "\n",
        unwrap.replace("\n", "\r\n"),
        "\ufeff" + unwrap,
        "\n\n" + unwrap.replace("\n", "\n\n"),
    ):
        log = read(text)
        assert rows_of(log) == [("a", "b", 1.0), ("c", "d", 2.0)]
        assert (log.rows, log.rejected) == (2, {})


@pytest.mark.parametrize(
    ("header", "role"),
    [
        ("userId,movieId", {"user": "userId", "item": "movieId"}),
        ("reviewerID,asin,overall,unixReviewTime", {"rating": "overall", "time": "unixReviewTime"}),
        ("user_id:token,item_id:token,rating:float,timestamp:float", {"user": "user_id:token"}),
        ("timestamp,visitorid,event,itemid", {"user": "visitorid", "item": "itemid", "event": "event"}),
        ("User-ID,ISBN,Book-Rating", {"user": "User-ID", "item": "ISBN"}),
        ("USER ID,Track_Id,plays", {"weight": "plays"}),
        ("user_id,business_id,stars,date", {"item": "business_id", "rating": "stars", "time": "date"}),
        ("user_id,item_id,position", {"time": "position"}),
        # an earlier name wins: the canonical one, an id before a code, a time before a position
        ("user_id,item_id,asin,session", {"user": "user_id", "item": "item_id"}),
        ("user_id,book_id,goodreads_book_id,isbn", {"item": "book_id"}),
        ("user_id,item_id,timestamp,date,position", {"time": "timestamp"}),
    ],
)
def test_common_names_are_recognized(read: Read, header: str, role: dict[str, str]) -> None:
    log = read(header + "\n" + ",".join("1" for _ in header.split(",")) + "\n")
    assert role.items() <= log.columns.items()


def test_two_columns_that_fit_are_an_error_that_names_both(read: Read) -> None:
    text = "user_id,asin,parent_asin\na,b,c\n"
    with pytest.raises(InvalidDataError) as error:
        read(text)
    assert "'asin' and 'parent_asin'" in error.value.what
    assert "columns: user_id, asin, parent_asin" in error.value.what
    assert error.value.fix == "say which: --item-column asin"
    assert rows_of(read(text, item_column="parent_asin")) == [("a", "c")]


@pytest.mark.parametrize("role", ["rating", "event", "weight", "time"])
def test_an_optional_column_can_be_named_or_left_out(read: Read, role: str) -> None:
    name = {"rating": "stars", "event": "action", "weight": "plays", "time": "ts"}[role]
    text = f"user,item,{name},other\na,b,1,2\n"
    option = f"{role}_column"
    assert read(text).columns[role] == name
    assert read(text, **{option: "other"}).columns[role] == "other"
    assert role not in read(text, **{option: ""}).columns
    assert rows_of(read(text, **{option: ""})) == [("a", "b")]


def test_the_user_and_the_item_can_be_named(read: Read) -> None:
    log = read("who,what,user,item\na,b,c,d\n", user_column="who", item_column="what")
    assert rows_of(log) == [("a", "b")]


def test_a_named_column_that_is_not_there_is_a_usage_error(read: Read) -> None:
    with pytest.raises(UsageError, match=r"no column 'Stars' .--rating-column.; columns: user, item, stars"):
        read("user,item,stars\na,b,1\n", rating_column="Stars")


def test_a_missing_role_names_the_columns_seen_and_the_option(read: Read) -> None:
    with pytest.raises(InvalidDataError, match="no column for the item; columns: user_id, thing") as error:
        read("user_id,thing\na,b\n")
    assert error.value.fix == "name it: --item-column NAME"


def test_one_column_cannot_be_two_things(read: Read) -> None:
    with pytest.raises(UsageError, match="'user' cannot be both the user and the item"):
        read("user,item\na,b\n", item_column="user")


def test_data_without_a_header_is_an_error_that_shows_the_row(read: Read) -> None:
    text = "1::1074638::7::1365029107\n"
    with pytest.raises(InvalidDataError, match="no known column name: 1::1074638::7::1365029107") as error:
        read(text, "ratings.dat")
    assert "--no-header --columns" in str(error.value.fix)
    names = ("user_id", "item_id", "rating", "timestamp")
    for header in (False, None):
        log = read(text, "ratings.dat", header=header, columns=names)
        assert rows_of(log) == [("1", "1074638", 7.0, 1365029107_000_000)]
        assert log.columns["time"] == "timestamp"


def test_an_unknown_header_is_one_where_its_columns_are_named(read: Read) -> None:
    text = "cliente,producto\na,b\n"
    with pytest.raises(InvalidDataError, match="no known column name: cliente,producto"):
        read(text)
    assert rows_of(read(text, user_column="cliente", item_column="producto")) == [("a", "b")]
    assert rows_of(read("1,2\na,b\n", header=True, user_column="1", item_column="2")) == [("a", "b")]


def test_header_options_that_contradict_are_usage_errors(read: Read) -> None:
    with pytest.raises(UsageError, match="needs the columns' names"):
        ReadOptions(header=False)
    with pytest.raises(UsageError, match="without a header"):
        ReadOptions(header=True, columns=("user", "item"))
    with pytest.raises(UsageError, match="names a column twice"):
        ReadOptions(columns=("user", "user "))
    with pytest.raises(UsageError, match="the first line is one"):
        read("user,item\na,b\n", columns=("user", "item"))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-16"])
def test_another_encoding_gives_the_same_ids(read: Read, encoding: str) -> None:
    content = "user,item\nJosé,Amélie\n".encode(encoding)
    assert rows_of(read(content, encoding=encoding)) == [("José", "Amélie")]


def test_bytes_that_the_encoding_does_not_have_are_rejected_with_their_line(read: Read) -> None:
    log = read(b"user,item\nJos\xe9,1\na\x81b,2\n", encoding="cp1252")
    assert rows_of(log) == [("José", "1")]
    assert log.rejects.collect().select("line", "reason").rows() == [(3, "broken UTF-8")]
    with pytest.raises(UsageError, match="unknown encoding 'klingon'"):
        ReadOptions(encoding="klingon")


def test_several_files_and_globs_are_read_in_order(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text("user,item\nb,1\n")
    (tmp_path / "a.csv").write_text("user,item\na,1\n")
    (tmp_path / "c.jsonl").write_text('{"user_id": "c", "item_id": 1}\n')
    (tmp_path / "empty.csv").write_text("")
    sources = [str(tmp_path / "c.jsonl"), str(tmp_path / "*.csv")]
    log = read_events(sources, ReadOptions(), tmp_path / "spool")
    assert rows_of(log) == [("c", "1"), ("a", "1"), ("b", "1")]
    files = log.events.select("file").collect()["file"]
    assert [log.files[number] for number in files] == ["c.jsonl", "a.csv", "b.csv"]
    steps: list[int] = []
    read_events(sources, ReadOptions(), tmp_path / "spool2", lambda n, text: steps.append(n))
    assert sum(steps) == log.rows == 3


def test_files_that_differ_in_roles_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("user,item\na,1\n")
    (tmp_path / "b.csv").write_text("user,item,rating\nb,1,1\n")
    both = [str(tmp_path / "a.csv"), str(tmp_path / "b.csv")]
    with pytest.raises(
        InvalidDataError, match=r"b\.csv has a column for the rating, the files before it have not"
    ):
        read_events(both, ReadOptions(), tmp_path / "spool")
    log = read_events(both, ReadOptions(rating_column=""), tmp_path / "spool2")
    assert rows_of(log) == [("a", "1"), ("b", "1")]


def test_names_without_a_file_say_so(tmp_path: Path) -> None:
    for name, message in (
        ("no.csv", "there is no file"),
        ("*.csv", "no file matches"),
        ("", "is a directory"),
    ):
        with pytest.raises(RecliError, match=message):
            read_events([str(tmp_path / name)], ReadOptions(), tmp_path / "spool")
    (tmp_path / "a.csv").write_text("user,item\na,1\n")
    with pytest.raises(UsageError, match="named twice"):
        read_events([str(tmp_path / "a.csv"), str(tmp_path / "*.csv")], ReadOptions(), tmp_path / "spool")


@pytest.mark.parametrize("content", [as_csv("\t").encode(), jsonl(), gzip.compress(jsonl()), parquet()])
def test_stdin_is_read_and_left_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(content))
    monkeypatch.setattr(sys, "stdin", stdin)
    assert rows_of(read_events(["-"], ReadOptions(), tmp_path / "spool")) == EXPECTED
    assert not stdin.buffer.closed


def test_pairs_have_scores_or_ranks(tmp_path: Path) -> None:
    (tmp_path / "scores.csv").write_text("user_id,item_id,score\nb,1,0.5\na,2,-1e-3\na,3,x\n")
    pairs, rejects = read_pairs([str(tmp_path / "scores.csv")], ReadOptions())
    assert pairs.rows() == [("b", "1", 0.5), ("a", "2", -0.001)]
    assert rejects.rows() == [("scores.csv", 4, "score", "unparsable number", "a,3,x", "x")]
    (tmp_path / "ranks.jsonl").write_text('{"user": "a", "item": "b", "rank": 1}\n')
    assert read_pairs([str(tmp_path / "ranks.jsonl")], ReadOptions())[0].rows() == [("a", "b", 1.0)]
    assert read_pairs([str(tmp_path / "scores.csv")], ReadOptions(), extra=())[0].columns == [
        "user_id",
        "item_id",
    ]


def test_lists_name_the_columns_that_are_recognized(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_text("user_id,thing\na,b\n")
    with pytest.raises(InvalidDataError, match="no column for the item") as error:
        read_pairs([str(tmp_path / "x.csv")], ReadOptions(advice=LISTS))
    assert error.value.fix is not None and "itemid" in error.value.fix and "--" not in error.value.fix
    (tmp_path / "x.csv").write_text("a,b\nc,d\n")
    with pytest.raises(InvalidDataError, match="no known column name") as error:
        read_pairs([str(tmp_path / "x.csv")], ReadOptions(advice=LISTS))
    assert (
        error.value.fix is not None and "user_id,item_id" in error.value.fix and "--" not in error.value.fix
    )


def test_columns_without_a_role_are_listed(read: Read) -> None:
    assert read("user,item,color,play_count,rating\na,b,red,3,4\n", "x.csv", weight_column="").unused == (
        "color",
        "play_count",
    )


def test_decimal_commas(read: Read) -> None:
    found = read("user;item;rating\na;b;2,8\na;c;3\na;d;1.250\n", "x.csv", decimal_comma=True)
    assert found.events.collect()["rating"].to_list() == [2.8, 3.0]
    assert found.rejects.collect().select("line", "value").rows() == [(4, "1.250")]
