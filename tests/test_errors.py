"""Exit codes, and the names that may be meant by an unknown one."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from recli.errors import (
    EXIT_CODES,
    RecliError,
    UsageError,
    closest,
    did_you_mean,
    near_file,
    quoted,
    unknown_name,
)


def subclasses(cls: type[RecliError]) -> Iterator[type[RecliError]]:
    for below in cls.__subclasses__():
        yield below
        yield from subclasses(below)


def test_every_error_has_a_code_of_the_table_and_says_what_it_is_for() -> None:
    found = [RecliError, *subclasses(RecliError)]
    assert {error.code for error in found} == {1, 2, 3, 4, 5}
    for error in found:
        assert error.code in EXIT_CODES and error.__doc__


def test_close_names() -> None:
    known = [f"user{i:03d}" for i in range(300)]
    assert closest("USER007", known, 3) == ["user007"]
    assert "user007" in closest("user0077", known, 3)
    assert did_you_mean("zzz", known) is None
    assert did_you_mean("user007x", known) == f"did you mean {' or '.join(closest('user007x', known, 3))}?"
    assert closest("min_ratng", ["min-rating", "max-rejects"]) == ["min-rating"]
    assert closest("MinRating", ["min-rating", "min-ratings"]) == ["min-rating"]
    assert closest("--json", ["--version", "--help"]) == []
    assert closest("--quite", ["--quiet", "--tune", "--items"], 3) == ["--quiet"]
    assert closest("NDGC", ["ndcg", "mrr"]) == ["ndcg"]
    assert closest("", ["a", "b"]) == closest("--", ["a", "b"]) == []


def test_close_names_look_at_few_of_very_many() -> None:
    known = [f"u{i}" for i in range(250_000)]
    assert "u249999" in closest("u2499999", known, 3)


def test_an_unknown_name_is_repeated_with_those_there_are() -> None:
    error = unknown_name("run has no model", "esae", ["ease", "ials"], "or train it")
    assert isinstance(error, UsageError)
    assert error.what == "run has no model 'esae'; there are: ease, ials"
    assert error.fix == "did you mean ease? or train it"
    assert unknown_name("there is no topic", "x", []).what == "there is no topic 'x'"
    many = unknown_name("there is no item", "x", [f"i{n}" for n in range(1000)])
    assert len(many.what) < 300 and many.what.endswith(", ...")


def test_near_files_are_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "my ratings.csv").touch()
    (tmp_path / "items.csv").touch()
    assert near_file(str(tmp_path / "item.csv")) == str(tmp_path / "items.csv")
    assert near_file(str(tmp_path / "nothing/items.csv")) is None
    monkeypatch.chdir(tmp_path)
    assert near_file("my_rating.csv") == "'my ratings.csv'"
    assert near_file("zzzz") is None
    assert quoted("a b") == "'a b'"
