"""Cells that become texts: markers of missing values, lists written as code, HTML; what is sane stays."""

from __future__ import annotations

import polars as pl
import pytest

from recli.data.readers.text_cleaning import Change, clean_cells


def clean(
    cells: list[str], empty: tuple[str, ...] | None = None, keep_html: bool = False
) -> list[str | None]:
    return clean_cells({"t": pl.Series("t", cells)}, empty, keep_html)[0]["t"].to_list()


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        ("['Drama', 'Crime']", "Drama, Crime"),
        ('["Drama", "Crime"]', "Drama, Crime"),
        ("['Drama' 'Crime']", "Drama, Crime"),  # numpy's
        ("[{'id': 28, 'name': 'Action'}, {'id': 1, 'name': 'War'}]", "Action, War"),
        ('{"id": 28, "name": "Action"}, {"id": 1, "name": "War"}', "Action, War"),
        ('[["Shoes", "Men"], ["Sale"]]', "Shoes, Men, Sale"),
        ('{"Brand": "S", "Size": null, "Colors": ["red", "blue"]}', "Brand: S, Colors: red, blue"),
        ("{'b', 'a'}", "a, b"),
        ('{Drama,"Sci, Fi"}', "Drama, Sci, Fi"),
        ('c("blueberries", "sugar")', "blueberries, sugar"),
        ("[\"it's\", 'x']", "it's, x"),
        ("[]", None),
        ("character(0)", None),
        ("['nan']", None),
    ],
)
def test_case_28_lists_and_objects_in_a_cell_become_words(cell: str, words: str | None) -> None:
    assert clean([cell]) == [words]


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("<p>Great <b>film</b></p><br/>See <a href='x'>more</a>", "Great film See more"),
        ("Tom &amp; Jerry &#8211; caf&eacute;", "Tom & Jerry – café"),
        ("&lt;p&gt;x&lt;/p&gt;", "x"),
        ("Tom &amp;amp; Jerry", "Tom & Jerry"),
        ("<script>alert(1)</script>Hi<!-- no -->", "Hi"),
        ("<ul><li>one</li><li>two</li></ul>", "one two"),
        ("&nbsp;<br>", None),
    ],
)
def test_case_28_html_is_taken_out(cell: str, text: str | None) -> None:
    assert clean([cell]) == [text]
    assert clean([cell], keep_html=True) == [cell]


@pytest.mark.parametrize(
    "cell",
    [
        "AT&T", "R&D; more", "I <3 U", "a < b > c", "List<String>", "if a <b and c> d", "[Untitled]", "[REC]²", "{x}",
        "(500) Days of Summer", "(What's so funny)", "(1, 2, 3)", "None", "Null", "Nan", "No. 1 & 2", "-", "?", "Nana",
    ],
)  # fmt: skip
def test_case_28_a_sane_text_stays_as_it_is(cell: str) -> None:
    assert clean_cells({"t": pl.Series("t", [cell])}, None, False)[1] == {}
    assert clean([cell]) == [cell]


def test_case_30_markers_of_missing_values_are_empty() -> None:
    cells = ["nan", "None", "Heat", "None", "N/A", "-", "Up"]
    assert clean(cells) == [
        None,
        None,
        "Heat",
        None,
        None,
        "-",
        "Up",
    ]  # one "-" may be a title, two None are not
    assert clean(cells, empty=()) == cells
    assert clean(cells, empty=("Up",)) == [*cells[:-1], None]


def test_case_30_what_was_changed_is_counted_by_column_with_an_example() -> None:
    columns = {
        "title": pl.Series("title", ["nan", "Heat"]),
        "tags": pl.Series("tags", ["['a', 'b']", "NULL"]),
    }
    assert clean_cells(columns, None, False)[1] == {
        "empty": Change({"title": 1, "tags": 1}, "nan"),
        "nested": Change({"tags": 1}, "['a', 'b']", "a, b"),
    }
