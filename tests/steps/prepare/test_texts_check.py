"""What `prepare` says about the texts of a catalogue: what was cleaned, letters that are broken, one text of many."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from recli.storage import runs

Recli = Callable[..., tuple[int, str, str]]
Prepare = Callable[..., tuple[list[str | None], str]]


@pytest.fixture
def prepare(tmp_path: Path, recli: Recli) -> Prepare:
    """Prepare a catalogue of the columns: the texts, and what is said of them."""

    def call(
        columns: dict[str, list[str]], *options: object, encoding: str = "utf-8"
    ) -> tuple[list[str | None], str]:
        n = len(next(iter(columns.values())))
        log = pl.DataFrame(
            {"user": [f"u{k % 6}" for k in range(4 * n)], "item": [f"i{k % n:03d}" for k in range(4 * n)]}
        )
        log.write_csv(tmp_path / "log.csv")
        items = pl.DataFrame({"item": [f"i{k:03d}" for k in range(n)], **columns})
        (tmp_path / "items.csv").write_bytes(items.write_csv().encode(encoding))
        _, _, err = recli(
            "prepare",
            tmp_path / "log.csv",
            "--items",
            tmp_path / "items.csv",
            "--out",
            tmp_path / "run",
            *options,
        )
        said = [line for line in err.splitlines() if "texts: " in line]
        return runs.read_interactions(tmp_path / "run").items["text"].to_list(), "\n".join(said)

    return call


def test_case_30_texts_that_are_markers_are_empty_and_said(prepare: Prepare) -> None:
    columns = {"title": ["Heat", "nan", "nan", "Up"], "description": ["N/A", "None", "None", "Old"]}
    texts, said = prepare(columns)
    assert texts == ["Heat", None, None, "Up. Old"]
    assert (
        "5 cells such as 'nan' count as empty (title 2, description 3); --empty-texts none keeps them" in said
    )
    assert prepare(columns, "--empty-texts", "none")[0][1] == "nan. None"
    assert prepare(columns, "--empty-texts", "nan,N/A")[0] == ["Heat", "None", "None", "Up. Old"]


def test_case_28_html_and_lists_are_said_with_an_example(prepare: Prepare) -> None:
    columns = {
        "title": ["Heat", "Up"],
        "genres": ["['Crime', 'Drama']", "[]"],
        "summary": ["<p>Old&nbsp;cop</p>", "x"],
    }
    texts, said = prepare(columns)
    assert texts == ["Heat. Crime, Drama. Old cop", "Up. x"]
    assert "2 cells with lists or objects are written as words" in said
    assert "HTML is taken out of 1 cell, '<p>Old&nbsp;cop</p>' becomes 'Old cop' (summary 1)" in said
    assert prepare(columns, "--html", "keep")[0][0] == "Heat. Crime, Drama. <p>Old&nbsp;cop</p>"


def test_case_28_a_template_has_no_gaps_where_a_column_is_empty(prepare: Prepare) -> None:
    columns = {
        "title": ["Title 1", "Title 2", ""],
        "year": ["", "1999", "2001"],
        "genres": ["['Drama']", "", ""],
    }
    texts, _ = prepare(columns, "--text", "{title} ({year}). {genres}")
    assert texts == ["Title 1. Drama", "Title 2 (1999)", "(2001)"]


@pytest.mark.parametrize("word", ["Café", "naïve“x”", "Привет", "日本語", "Łódź"])
def test_case_28_broken_letters_are_a_warning_with_the_remedy(prepare: Prepare, word: str) -> None:
    titles = [f"{word} {i}" for i in range(5)]
    broken = ["".join(_cp1252(byte) for byte in title.encode()) for title in titles]
    texts, said = prepare({"title": broken})
    assert "5 of 5 have broken letters" in said
    assert f"should be '{word}'" in said
    assert "iconv -f utf-8 -t cp1252" in said
    texts, said = prepare({"title": titles}, "--items-encoding", "latin-1")  # a file of UTF-8
    assert "--items-encoding utf-8 reads them" in said
    texts, said = prepare({"title": titles})
    assert (texts, said) == (titles, "")


def _cp1252(byte: int) -> str:
    try:
        return bytes([byte]).decode("cp1252")
    except UnicodeDecodeError:
        return chr(byte)


def test_case_28_one_text_for_many_items_is_said(prepare: Prepare) -> None:
    titles = [f"Film {i}" for i in range(300)]
    assert prepare({"title": titles})[1] == ""
    _, said = prepare({"title": [*titles[:280], *["Coming soon"] * 20]})
    assert "20 of 300 items have the same one, 'Coming soon'" in said
    assert not said.startswith("warning")
    _, said = prepare({"title": [*titles[:150], *["Coming soon"] * 150]}, "-q")
    assert said.startswith("warning")
