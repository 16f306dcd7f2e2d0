"""Quotes, comments, `sep=` lines and Python dicts: no row disappears within another one."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from recli.data.readers import EventLog, ReadOptions, read_catalogue, read_events, streams
from recli.errors import InvalidDataError

Rows = list[tuple[Any, ...]]


def read(text: str, name: str = "log.csv", **options: Any) -> tuple[Rows, EventLog]:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_text(text, newline="")
        log = read_events([str(Path(folder) / name)], ReadOptions(**options), Path(folder) / "spool")
        rows, rejects = log.events.collect().rows(), log.rejects.collect()
    assert log.rows == len(rows) + rejects.height
    lines = log.lines
    assert lines["read"] == sum(n for kind, n in lines.items() if kind != "read") == text.count("\n")
    return rows, log


def table(n: int, separator: str, odd: dict[int, str], header: bool = True) -> str:
    """`n` rows of user, item, artist, plays; `odd`: artists by row."""
    names = separator.join(("user_id", "item_id", "artist", "plays")) + "\n"
    rows = (f"u{i // 10},i{i % 7},{odd.get(i, f'Artist {i}')},{i}" for i in range(n))
    return (names if header else "") + "".join(row.replace(",", separator) + "\n" for row in rows)


PLAIN = {"weight_column": "plays"}


@pytest.mark.parametrize("separator", ["\t", "|", "::", " "])
def test_case_01_open_quotes_swallow_no_rows_where_fields_are_not_quoted(separator: str) -> None:
    odd = {100: '"Open', 160: '"Again', 161: 'Twelve"', 200: '7"'}
    rows, log = read(
        table(1000, separator, odd).replace("Artist ", "Artist_"), "log.tsv", separator=separator, **PLAIN
    )
    assert len(rows) == 1000
    if separator != "::":
        assert "quotes are plain characters, as in line 102" in log.notes[0]
        assert "--quoting standard" in log.notes[0]


def test_case_01_two_stray_quotes_of_a_csv_cost_two_rows_not_those_between() -> None:
    text = table(1000, ",", {100: '"Open', 160: 'Close"'})
    rows, log = read(text, **PLAIN)
    assert len(rows) == 999
    assert log.rejected == {"unterminated quote": 1}
    # two lines that are rows by themselves
    rows, log = read('user,item,event\na,b,"x\nc,d,y"\ne,f,z\n')
    assert [row[0] for row in rows] == ["c", "e"]
    assert log.rejected == {"unterminated quote": 1}


def test_case_01_standard_quoting_is_taken_at_its_word_and_long_records_are_said() -> None:
    rows, log = read(table(1000, ",", {100: '"Open', 160: 'Close"'}), quoting="standard", **PLAIN)
    assert len(rows) == 940
    assert log.lines["continued"] == 60
    assert log.notes[-1].endswith("the longest record has 61 lines, from log.csv:102")


def test_case_02_fields_that_begin_with_a_quote_keep_it() -> None:
    odd = {i: f'"weird" al {i % 5}' for i in range(320)} | {7: '"open', 8: '"Heroes"'}
    rows, _ = read(table(320, "\t", odd), "plays.tsv", item_column="artist", **PLAIN)
    assert len(rows) == 320
    assert [row[1] for row in rows[6:10]] == ['"weird" al 1', '"open', '"Heroes"', '"weird" al 4']


def test_quoting_none_keeps_the_quotes_of_a_csv() -> None:
    text = 'user,item\na,"weird" al\nb,"x"\n'
    assert read(text, quoting="none")[0] == [("a", '"weird" al'), ("b", '"x"')]
    rows, log = read(text)
    assert rows == [("b", "x")]
    assert log.rejected == {"broken quotes": 1}


@pytest.mark.parametrize(
    "text",
    [
        '"user_id"\t"item_id"\n"a"\t"x"\n"b"\t"y"\n',  # the header
        'user_id\titem_id\n"a"\t"x"\n"b"\t"y"\n',  # whole columns
        'user_id\titem_id\na\t"x ""y"""\nb\tz\n',  # doubled quotes
        'user_id\titem_id\na\t"x\ty"\nb\tz\n',  # a separator within
    ],
)
def test_quotes_count_in_a_tsv_that_proves_them(text: str) -> None:
    rows, log = read(text, "log.tsv")
    assert [row[0] for row in rows] == ["a", "b"]
    assert not any(row[1].startswith('"') for row in rows)
    assert not any("plain characters" in note for note in log.notes)


def test_quotes_are_judged_where_they_first_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "BLOCK", 1 << 12)
    plain = "".join(f"u{i}\ti{i}\n" for i in range(30_000))
    rows, log = read("user\titem\n" + plain + 'v\t"a ""b"""\n', "log.tsv")
    assert rows[-1] == ("v", 'a "b"')
    assert "line 30002" in log.notes[0]


def test_a_text_over_lines_is_one_record_of_a_tsv_that_proves_quotes() -> None:
    rows, log = read('user\titem\tevent\na\tb\t"x\n\ny ""z"""\nc\td\te\n', "log.tsv")
    assert rows == [("a", "b", 'x\n\ny "z"'), ("c", "d", "e")]
    assert log.lines == {"read": 5, "rows": 2, "before": 1, "blank": 0, "continued": 2, "comments": 0}


@pytest.mark.parametrize(
    ("first", "separator"),
    [("sep=;\n", ";"), ('"sep=,"\n', ","), ("SEP=|\r\n", "|"), ("sep=\t\n", "\t"), ("\ufeffsep=;\n\n", ";")],
)
def test_case_34_excels_line_says_what_separates_columns(first: str, separator: str) -> None:
    text = first + separator.join(("user_id", "item_id")) + "\n" + separator.join(("a;b"[:1], "x")) + "\n"
    rows, log = read(text)
    assert rows == [("a", "x")]
    assert "says what separates the columns" in log.notes[0]


def test_case_34_comments_before_the_header_and_among_the_rows_are_counted() -> None:
    rows, log = read("# exported 2024-01-01\n#\nuser_id,item_id\na,x\n# end of page 1\n#b,y\n")
    assert rows == [("a", "x"), ("#b", "y")]
    assert (log.lines["before"], log.lines["comments"]) == (3, 1)
    assert "lines that begin with # are comments: # exported" in log.notes[0]


def test_case_34_a_header_may_begin_as_a_comment_does() -> None:
    assert read("#user_id\titem_id\na\tx\n", "log.tsv")[0] == [("a", "x")]
    rows, _ = read("# no header\n#a,x\nb,y\n", header=False, columns=("user_id", "item_id"))
    assert rows == [("#a", "x"), ("b", "y")]


def test_case_34_a_title_before_the_header_is_shown_with_the_option_that_leaves_it_out() -> None:
    text = "Sales of 2024\n\nuser_id,item_id\na,x\n"
    with pytest.raises(InvalidDataError) as error:
        read(text)
    assert "line 3 is one: user_id,item_id" in error.value.what
    assert str(error.value.fix).endswith("--skip-lines 2")
    assert read(text, skip_lines=2)[0] == [("a", "x")]


def test_case_24_lines_of_python_dicts_are_read() -> None:
    text = (
        "{u'user_id': u'a', 'item_id': 12345678901234567890, 'early': True, 'note': \"it's\"}\n"
        "{'user_id': 'b', 'item_id': 7, 'early': None, 'tags': ['x', ('y',)]}\n"
        "{'user_id': 'c', 'item_id': __import__('os')}\n"
        "{'user_id': 'd'\n"
    )
    rows, log = read(text, "log.json")
    assert rows == [("a", "12345678901234567890"), ("b", "7")]
    assert log.rejected == {"invalid JSON": 2}
    assert log.notes == (next(n for n in log.notes if "Python dicts are read" in n),)


def test_case_24_a_catalogue_of_python_dicts(tmp_path: Path) -> None:
    (tmp_path / "meta.json").write_text("{'asin': 'i1', 'title': 'A'}\n{'asin': 'i2', 'title': \"B's\"}\n")
    read = read_catalogue([str(tmp_path / "meta.json")], ReadOptions(), None)
    assert read.frame["text"].to_list() == ["A", "B's"]


def test_quotes_after_a_backslash_are_part_of_the_field() -> None:
    rows, _ = read('user,item,event\na,b,"say \\"hi\\", x"\nc,d,"e"\n')
    assert rows == [("a", "b", 'say "hi", x'), ("c", "d", "e")]


def test_a_header_that_comes_again_is_no_event() -> None:
    rows, log = read("user_id,item_id\na,x\nuser_id,item_id\nb,y\n user_id,item_id\n")
    assert rows == [("a", "x"), ("b", "y")]
    assert log.rejected == {"header again": 2}


@pytest.mark.parametrize(
    "text",
    [
        " user_id | item_id \n---------+---------\n a       | x\n b       | y\n",
        "| user_id | item_id |\n|---|---|\n| a | x |\n| b | y |\n",
    ],
)
def test_tables_of_database_shells_and_markdown(text: str) -> None:
    rows, log = read(text)
    assert rows == [("a", "x"), ("b", "y")]
    assert log.lines["before"] == 2


def test_lines_that_end_in_a_carriage_return_alone() -> None:
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "log.csv").write_bytes(b"user,item\ra,x\rb,y\r")
        log = read_events([f"{folder}/log.csv"], ReadOptions(), Path(folder) / "spool")
        assert log.events.collect().rows() == [("a", "x"), ("b", "y")]


def test_objects_over_several_lines_are_named_with_what_makes_lines_of_them() -> None:
    with pytest.raises(InvalidDataError, match="over several lines") as error:
        read('{\n "user_id": "a"\n}\n', "log.json")
    assert "jq -c . log.json" in str(error.value.fix)


def test_lines_of_an_array_may_end_in_a_comma() -> None:
    text = '{"user_id": "a", "item_id": "x"},\n{"user_id": "b", "item_id": "y"}\n'
    assert read(text, "log.json")[0] == [("a", "x"), ("b", "y")]
