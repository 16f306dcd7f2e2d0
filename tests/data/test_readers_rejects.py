"""Rows that cannot be used: each is reported with its line, column, reason and text; none is lost."""

import io
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from recli.data.readers import EventLog, ReadOptions, read_events, streams
from recli.data.readers.delimited import parse_block
from recli.data.readers.malformed_lines import LineFormat, parse_lines
from recli.errors import RecliError

HEADER = b"user,item,rating,ts\n"


def read(
    content: bytes, name: str = "log.csv", **options: Any
) -> tuple[list[tuple[Any, ...]], EventLog, pl.DataFrame]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        log = read_events([str(path)], ReadOptions(**options), Path(folder) / "spool")
        events, rejects = log.events.collect(), log.rejects.collect()
    assert log.rows == events.height + rejects.height
    assert log.rejected == dict(sorted(rejects["reason"].value_counts().rows()))
    return events.rows(), log, rejects


@pytest.mark.parametrize(
    ("bad", "column", "reason", "raw"),
    [
        (b",i,1,5", "user", "missing user", ",i,1,5"),
        (b"  ,i,1,5\r", "user", "missing user", "  ,i,1,5"),
        (b"u,,1,5", "item", "missing item", "u,,1,5"),
        (b'u,"",1,5', "item", "missing item", 'u,"",1,5'),
        (b"u,i,,5", "rating", "missing rating", "u,i,,5"),
        (b"u,i,four,5", "rating", "unparsable number", "u,i,four,5"),
        (b'"u","i","4,5","5"', "rating", "unparsable number", '"u","i","4,5","5"'),
        (b"u,i,0x10,5", "rating", "unparsable number", "u,i,0x10,5"),
        (b"u,i,nan,5", "rating", "number is not finite", "u,i,nan,5"),
        (b"u,i,-inf,5", "rating", "number is not finite", "u,i,-inf,5"),
        (b"u,i,1e999,5", "rating", "number is not finite", "u,i,1e999,5"),
        (b"u,i,1,", "ts", "missing time", "u,i,1,"),
        (b"u,i,1,yesterday", "ts", "unparsable time", "u,i,1,yesterday"),
        (b"u,i,1,2020-01-01", "ts", "time in another format", "u,i,1,2020-01-01"),  # among seconds
        (b"u,i,1,nan", "ts", "unparsable time", "u,i,1,nan"),
        (b"u,i,1,1500000000000", "ts", "time out of range", "u,i,1,1500000000000"),  # ms among s
        (b"u,i,1,99999999999999999999", "ts", "time out of range", "u,i,1,99999999999999999999"),
        (b"u,i,x,y", "rating", "unparsable number", "u,i,x,y"),  # the first bad column
        (b"u,i,1", None, "too few fields", "u,i,1"),
        (b"nothing", None, "too few fields", "nothing"),
        (b"u,i,1,5,6", None, "too many fields", "u,i,1,5,6"),
        (b'"u",i,1,"5",""', None, "too many fields", '"u",i,1,"5",""'),
        (b"u\xff,i,1,5", None, "broken UTF-8", "u\\xff,i,1,5"),
        (b'"u\xc3",i,1,5', None, "broken UTF-8", '"u\\xc3",i,1,5'),
        (b"u,i\0,1,5", None, "NUL byte", "u,i\0,1,5"),
        (b'u,"i,1,5', None, "unterminated quote", 'u,"i,1,5'),
        (b'u,"i"x,1,5', None, "broken quotes", 'u,"i"x,1,5'),
        (b"u," + b"x" * 3000 + b",z,5", "rating", "unparsable number", "u," + "x" * 1998),  # 2,000 in all
        (b'u,"' + b"x" * 140_000 + b'""",z,5', None, "field too long", 'u,"' + "x" * 1997),
    ],
)
def test_a_bad_row_is_reported_and_its_neighbors_are_kept(
    bad: bytes, column: str | None, reason: str, raw: str
) -> None:
    good = [b"a,b,1,5\n", b"c,d,2,6\n"]
    rows, log, rejects = read(HEADER + b"\n" + good[0] + bad + b"\n" + good[1])
    assert rows == [("a", "b", 1.0, 5_000_000), ("c", "d", 2.0, 6_000_000)]
    # header 1, blank 2, good 3, bad 4, good 5
    assert rejects.drop("value").rows() == [("log.csv", 4, column, reason, raw)]
    assert (log.rows, log.rejected) == (3, {reason: 1})


@pytest.mark.parametrize(
    ("bad", "column", "reason"),
    [
        (b'{"user": "u", "item": "i", "rating": 1', None, "invalid JSON"),
        (b"[" * 100_000, None, "invalid JSON"),
        (b"u,i,1,5", None, "invalid JSON"),
        (b"[1, 2]", None, "not a JSON object"),
        (b'"u"', None, "not a JSON object"),
        (b'{"user": "u\xff", "item": "i", "rating": 1, "ts": 5}', None, "broken UTF-8"),
        (b'{"user": "u\\ud83d", "item": "i", "rating": 1, "ts": 5}', "user", "broken UTF-8"),
        (b'{"user": "u\\u0000", "item": "i", "rating": 1, "ts": 5}', "user", "NUL byte"),
        (b'{"user": ["u"], "item": "i", "rating": 1, "ts": 5}', "user", "wrong type"),
        (b'{"user": true, "item": "i", "rating": 1, "ts": 5}', "user", "wrong type"),
        (b'{"user": "u", "item": 1.5, "rating": 1, "ts": 5}', "item", "wrong type"),
        (b'{"user": "u", "item": "i", "rating": {}, "ts": 5}', "rating", "wrong type"),
        (b'{"user": "u", "item": "i", "rating": false, "ts": 5}', "rating", "unparsable number"),
        (b'{"user": "u", "item": "i", "rating": NaN, "ts": 5}', "rating", "number is not finite"),
        (b'{"user": "u", "item": "i", "rating": null, "ts": 5}', "rating", "missing rating"),
        (b'{"user": "u", "rating": 1, "ts": 5}', "item", "missing item"),
        (b"{}", "user", "missing user"),
    ],
)
def test_a_bad_json_line_is_reported(bad: bytes, column: str | None, reason: str) -> None:
    good = b'{"user": 7, "item": "i", "rating": "4.5", "ts": 5}\n'
    rows, _, rejects = read(good + b"\n" + bad + b"\r\n" + good, "log.jsonl")
    assert rows == [("7", "i", 4.5, 5_000_000)] * 2
    raw = bad.decode(errors="backslashreplace")[:2000]
    assert rejects.drop("value").rows() == [("log.jsonl", 3, column, reason, raw)]


def test_a_bad_parquet_row_is_reported_with_its_number_and_all_its_columns() -> None:
    nan = float("nan")
    frame = pl.DataFrame(
        {
            "user": ["a", None, "c", "d\0", " ", "f"],
            "item": [1, 2, 3, 4, 5, None],
            "rating": [1.0, 2.0, nan, 4.0, 5.0, 6.0],
            "other": list("uvwxyz"),
        }
    )
    file = io.BytesIO()
    frame.write_parquet(file)
    rows, _, rejects = read(file.getvalue(), "log.parquet")
    assert rows == [("a", "1", 1.0)]
    found = rejects.select("line", "column", "reason").rows()
    assert found == [
        (2, "user", "missing user"),
        (3, "rating", "number is not finite"),
        (4, "user", "NUL byte"),
        (5, "user", "missing user"),
        (6, "item", "missing item"),
    ]
    assert rejects["raw"][0] == '{"user": null, "item": 2, "rating": 2.0, "other": "v"}'


def test_a_quoted_field_may_go_on_over_lines_but_an_open_quote_costs_one_row() -> None:
    open_quote = b'u,"i,1,5\n' + b"a,b,1,5\n" * 300
    rows, _, rejects = read(HEADER + open_quote)
    assert len(rows) == 300
    assert rejects.drop("value").rows() == [("log.csv", 2, None, "unterminated quote", 'u,"i,1,5')]
    # two stray quotes make one long field between them: a key with a line break in it is none
    stray = b'u,"i,1,5\n' + b"a,b,1,5\n" * 30 + b'c",d,1,5\n' + b"a,b,1,5\n"
    rows, _, rejects = read(HEADER + stray)
    assert len(rows) == 32
    assert rows[30] == ('c"', "d", 1.0, 5_000_000)
    assert rejects["line"].to_list() == [2]
    # a text over several lines is one row
    rows, log, rejects = read(b'user,item,type\nu,i,"a\n\nb"\nv,j,"c\nd\n')
    assert rows == [("u", "i", "a\n\nb")]
    assert rejects["line"].to_list() == [5, 6]
    assert rejects["reason"].to_list() == ["unterminated quote", "too few fields"]
    assert log.rows == 3


def test_broken_bytes_inside_a_quoted_field_end_it() -> None:
    rows, _, rejects = read(b'user,item,type\nu,i,"a\n\xff\nb"\nv,j,c\n')
    assert rows == [("v", "j", "c")]
    assert rejects.select("line", "reason").rows() == [
        (2, "unterminated quote"),
        (3, "broken UTF-8"),
        (4, "too few fields"),
    ]


def test_rejects_of_several_files_name_their_file(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text(f"user,item\n{name},1\n,2\n")
    log = read_events([str(tmp_path / "*.csv")], ReadOptions(), tmp_path / "spool")
    assert log.rejects.select("file", "line").collect().rows() == [("a.csv", 3), ("b.csv", 3)]
    assert log.rejected == {"missing user": 2}


PIECES = [
    b"a",
    b"7",
    b"4.5",
    b",",
    b",",
    b",",
    b"\n",
    b"\n",
    b'"',
    b"\r\n",
    b"\0",
    b"\xff",
    b" ",
    b"\t",
    b"\xc3\xa9",
]
dirty = st.lists(st.sampled_from(PIECES), max_size=60).map(b"".join)


@pytest.mark.slow
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=dirty, block=st.sampled_from([8, 64, 1 << 20]))
@example(text=b'a,"7\n', block=8)
def test_dirty_text_never_breaks_the_reader_nor_loses_a_row(
    monkeypatch: pytest.MonkeyPatch, text: bytes, block: int
) -> None:
    monkeypatch.setattr(streams, "BLOCK", block)
    monkeypatch.setattr(streams, "_READ", 8)
    try:
        rows, log, rejects = read(b"user,item,rating\n" + text)  # it also checks rows = kept + rejected
    except RecliError:
        return
    lines = text.split(b"\n")
    filled = [n for n, line in enumerate(lines, 2) if line.removesuffix(b"\r").strip(b" \t")]
    assert set(rejects["line"]) <= set(filled)
    if b'"' not in text:
        assert log.rows == len(filled)
    assert all(user.strip() and item.strip() for user, item, _ in rows)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(
    text=dirty
    | st.lists(st.sampled_from([b"a,b\n", b"a,,\n", b",\n", b"\n", b"c\n"]), max_size=9).map(b"".join),
    width=st.integers(2, 4),
    separator=st.sampled_from([",", "\t"]),
    last_wanted=st.booleans(),
)
@example(text=b"a,b\na,b,c,d\na,b,c\n", width=3, separator=",", last_wanted=False)
@example(text=b"a,b,c,d\na,b\na,b,c\n", width=3, separator=",", last_wanted=False)
@example(text=b",\n\n,,", width=2, separator=",", last_wanted=False)
def test_the_fast_path_and_the_careful_one_agree(
    text: bytes, width: int, separator: str, last_wanted: bool
) -> None:
    wanted = {"user": 0, "item": 1, "rating": width - 1 if last_wanted else 0}
    form = LineFormat(separator, width)
    fast, taken, rest = parse_block(text, 5, True, form, wanted)
    slow, taken_slow, rest_slow = parse_lines(text, 5, True, form, wanted)
    assert (taken, rest) == (taken_slow, rest_slow) == (taken, b"")
    empty_is_null = pl.all().replace("", None) if fast.frame.height else pl.all()
    assert fast.frame.select("line").equals(slow.frame.select("line"))
    texts = pl.col("user", "item", "rating")
    assert (
        fast.frame.select(texts).select(empty_is_null).equals(slow.frame.select(texts).select(empty_is_null))
    )
    assert fast.rejects == slow.rejects
    lines = fast.frame["line"].to_list()
    assert fast.raw(lines) == slow.raw(lines)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=2), inner, max_size=2),
    max_leaves=3,
)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(
    rows=st.lists(
        st.fixed_dictionaries({"user": json_values, "item": json_values, "ts": json_values}), max_size=6
    )
)
def test_any_json_values_are_kept_or_rejected(rows: list[dict[str, Any]]) -> None:
    import json

    text = '{"user": "u", "item": "i", "ts": 1}\n' * 7 + "".join(json.dumps(row) + "\n" for row in rows)
    _, log, _ = read(text.encode(), "log.jsonl")  # lists are not most of it: they are no list of ids
    assert log.rows == len(rows) + 7


@pytest.mark.parametrize(
    ("bad", "value"),
    [
        (b"u,i,four,5", "four"),
        (b"u,i,1,10.07.2024 01:42", "10.07.2024 01:42"),
        (b"u,i,,5", None),  # nothing there
        (b",i,1,5", None),  # an id is no value
        (b"u,i,1", None),
    ],
)
def test_a_bad_number_or_time_is_kept_apart(bad: bytes, value: str | None) -> None:
    _, _, rejects = read(HEADER + b"\na,b,1,5\n" + bad + b"\nc,d,2,6\n")
    assert rejects["value"].to_list() == [value]
