"""Reading catalogues: ids, texts by template, typed columns, duplicates, bad rows."""

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recli.data.readers import ITEMS, Catalogue, ReadOptions, read_catalogue
from recli.errors import InvalidDataError, UsageError

Read = Callable[..., Catalogue]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def call(
        content: str | bytes, text: str | None = None, name: str = "items.csv", **options: Any
    ) -> Catalogue:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return read_catalogue([str(tmp_path / name)], ReadOptions(**options), text)

    return call


def test_a_catalogue_has_ids_texts_and_typed_columns(read: Read) -> None:
    found = read(
        "movieId,title,genres,year,price,code\r\n"
        '007,"Heat, the film",Action|Crime,1995,9.5,007\r\n'
        " 8 ,Up,,2009,,12\r\n"
        "9,,,,7,\r\n"
    )
    assert found.frame.to_dict(as_series=False) == {
        "item_id": ["007", "8", "9"],
        "text": ["Heat, the film. Action, Crime", "Up", None],
        "title": ["Heat, the film", "Up", None],
        "genres": ["Action|Crime", None, None],
        "year": [1995, 2009, None],
        "price": [9.5, None, 7.0],
        "code": ["007", "12", None],  # a number would lose its zeros
    }
    assert found.frame.schema["year"] == pl.Int64
    assert found.frame.schema["price"] == pl.Float64
    assert (found.rows, found.duplicates, found.rejected, found.item_column) == (3, 0, {}, "movieId")
    assert found.text_template == "{title}. {genres}"


def test_the_first_of_several_rows_counts_and_bad_rows_are_reported(read: Read) -> None:
    found = read("item_id,title\na,First\nb,Other\na,Second\n,Nameless\nc\nd,x,y\na,\xff\n".encode("latin-1"))
    assert found.frame["item_id"].to_list() == ["a", "b"]
    assert found.frame["text"].to_list() == ["First", "Other"]
    assert found.duplicates == 1
    assert found.rejects.drop("value").rows() == [
        ("items.csv", 5, "item_id", "missing item", ",Nameless"),
        ("items.csv", 6, None, "too few fields", "c"),
        ("items.csv", 7, None, "too many fields", "d,x,y"),
        ("items.csv", 8, None, "broken UTF-8", "a,\\xff"),
    ]
    assert found.rejected == {"broken UTF-8": 1, "missing item": 1, "too few fields": 1, "too many fields": 1}
    assert found.rows == 2 + 1 + 4  # kept, duplicates, rejected


@pytest.mark.parametrize(
    ("template", "texts"),
    [
        ("{title}. {genres}", ["Heat. Crime", "Up", "Drama", None]),
        ("{title} ({genres})", ["Heat (Crime)", "Up", "(Drama)", None]),
        (
            "Film: {title}, {genres}, {id}",
            ["Film: Heat, Crime, 1", "Film: Up, 2", "Film: Drama, 3", "Film: 4"],
        ),
        ("{{{Title}}}", ["{Heat}", "{Up}", None, None]),
    ],
)
def test_a_template_skips_what_is_empty(read: Read, template: str, texts: list[str | None]) -> None:
    found = read("id,title,genres\n1,Heat,Crime\n2,Up,\n3, ,Drama\n4,,\n", template)
    assert found.frame["text"].to_list() == texts
    assert found.text_template == template


@pytest.mark.parametrize("template", ["{titel}", "{title", "title", "{}", "{title!r}", "{title:>10}", "{0}"])
def test_a_template_that_is_none_is_a_usage_error(read: Read, template: str) -> None:
    with pytest.raises(UsageError, match="--text") as error:
        read("id,title\n1,Heat\n", template)
    assert "title" in str(error.value)


def test_the_default_text_is_title_maker_labels_and_prose_in_that_order(read: Read) -> None:
    found = read("asin,description,Brand,categories,TITLE,name\n1,Long  \u00a0text,Acme,a | b,Soap,other\n")
    assert found.text_template == "{TITLE}. {Brand}. {categories}. {description}"
    assert found.frame["text"].to_list() == ["Soap. Acme. a, b. Long text"]
    none = read("asin,color\n1,red\n")
    assert (none.text_template, none.frame["text"].to_list()) == ("", [None])


def test_a_column_called_text_is_the_text_and_is_kept(read: Read) -> None:
    found = read("item_id,text,other\na,Words,1\n", "{text}!")
    assert found.frame.to_dict(as_series=False) == {
        "item_id": ["a"], "text": ["Words!"], "text_original": ["Words"], "other": [1],
    }  # fmt: skip
    assert read("item_id,text\na,Words\n").frame["text"].to_list() == ["Words"]


def test_the_id_column_is_recognized_or_named(read: Read) -> None:
    books = "book_id,goodreads_book_id,isbn,title\n1,2767052,439023483,Games\n"
    assert read(books).item_column == "book_id"
    named = read(books, item_column="isbn")
    assert named.frame["item_id"].to_list() == ["439023483"]
    assert named.frame.columns == ["item_id", "text", "book_id", "goodreads_book_id", "title"]
    with pytest.raises(InvalidDataError, match="'asin' and 'parent_asin'"):
        read("asin,parent_asin\n1,2\n")
    with pytest.raises(InvalidDataError, match="no column for the item; columns: title, year"):
        read("title,year\nHeat,1995\n")
    other = read("item_id,sku\n1,2\n", item_column="sku")
    assert other.frame.to_dict(as_series=False) == {"item_id": ["2"], "text": [None], "item_id_original": [1]}


def test_a_catalogue_without_a_header(read: Read) -> None:
    names = ("item_id", "title", "genres")
    found = read("0002844::L'ombre::Crime|Drama\n", name="movies.dat", header=False, columns=names)
    assert found.frame["item_id"].to_list() == ["0002844"]
    assert found.frame["text"].to_list() == ["L'ombre. Crime, Drama"]
    with pytest.raises(InvalidDataError, match="no known column name"):
        read("0002844::L'ombre::Crime|Drama\n")


def test_columns_without_or_with_the_same_name_are_told_apart(read: Read) -> None:
    found = read("item_id,,tag,tag\na,1,x,y\n")
    assert found.frame.columns == ["item_id", "text", "column_2", "tag", "tag_2"]


def test_json_lists_are_joined_and_numbers_typed(read: Read) -> None:
    rows: list[dict[str, Any]] = [
        {"asin": 5, "title": "Soap", "categories": [["Beauty", "Bath"], ["Soap"]], "price": 2, "new": True},
        {"asin": "B", "title": None, "categories": [], "price": 2.5, "details": {"a": 1}, "new": False},
        {"asin": True, "title": "x"},
        {"asin": "C", "title": "half \ud83d"},
    ]
    found = read("".join(json.dumps(row) + "\n" for row in rows), name="meta.jsonl")
    assert found.frame.to_dict(as_series=False) == {
        "item_id": ["5", "B"],
        "text": ["Soap. Beauty, Bath, Soap", None],
        "title": ["Soap", None],
        "categories": ["Beauty, Bath, Soap", None],
        "price": [2.0, 2.5],
        "new": ["true", "false"],
        "details": [None, '{"a": "1"}'],
    }
    reasons = found.rejects.select("line", "column", "reason").rows()
    assert reasons == [(3, "asin", "wrong type"), (4, "title", "broken UTF-8")]


def test_parquet_keeps_its_types(read: Read) -> None:
    file = io.BytesIO()
    pl.DataFrame(
        {
            "item_id": [3, 1],
            "title": ["a", "b"],
            "genres": [["x", "y"], None],
            "year": [1.5, 2.0],
            "new": [True, None],
        }
    ).write_parquet(file)
    found = read(file.getvalue(), name="items.parquet")
    assert found.frame.to_dict(as_series=False) == {
        "item_id": ["3", "1"],
        "text": ["a. x, y", "b"],
        "title": ["a", "b"],
        "genres": ["x, y", None],
        "year": [1.5, 2.0],
        "new": [True, None],
    }


def test_several_files_are_one_catalogue(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("item_id,title,year\n1,One,1990\n")
    (tmp_path / "b.jsonl").write_text('{"movieId": 2, "title": "Two"}\n{"movieId": 1, "title": "Again"}\n')
    steps: list[int] = []
    found = read_catalogue(
        [str(tmp_path / "*.*")], ReadOptions(), "{title} {year}", lambda n, text: steps.append(n)
    )
    assert found.frame.to_dict(as_series=False) == {
        "item_id": ["1", "2"],
        "text": ["One 1990", "Two"],
        "title": ["One", "Two"],
        "year": [1990, None],
    }
    assert (found.duplicates, steps) == (1, [1, 2])


@pytest.mark.parametrize("content", ["", "item_id,title\n", "item_id,title\n,x\n"])
def test_a_catalogue_without_items_is_an_error(read: Read, content: str) -> None:
    with pytest.raises(InvalidDataError, match="no items in"):
        read(content)


def test_errors_name_the_options_of_a_catalogue(read: Read) -> None:
    with pytest.raises(InvalidDataError, match="no known column name") as error:
        read("a;b\nc;d\n", advice=ITEMS)
    for option in ("--items-no-header", "--items-columns", "--item-id-column", "--items-separator"):
        assert error.value.fix is not None and option in error.value.fix
    with pytest.raises(InvalidDataError, match="no column for the item") as error:
        read("title,year\nHeat,1995\n", advice=ITEMS)
    assert error.value.fix == "name it: --item-id-column NAME"


def test_a_key_that_only_a_late_line_has_is_a_column(read: Read) -> None:
    lines = [f'{{"item_id": "i{k}", "title": "T"}}' for k in range(1_500)]
    lines.append('{"item_id": "last", "title": "T", "late": "here"}')
    found = read("\n".join(lines), name="items.jsonl").frame
    assert found["late"].drop_nulls().to_list() == ["here"]


def test_decimal_commas_of_a_catalogue(read: Read) -> None:
    text = "item_id;price;size;mixed\na;2,8;7;1,5\nb;3;9;1.250\n"
    found = read(text, decimal_comma=True).frame
    assert found["price"].to_list() == [2.8, 3.0] and found["size"].to_list() == [7, 9]
    assert found["mixed"].to_list() == ["1,5", "1.250"]  # what the point means is not known
    assert read(text).frame["price"].to_list() == ["2,8", "3"]
