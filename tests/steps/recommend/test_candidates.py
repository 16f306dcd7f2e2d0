"""Conditions on the catalogue, lists of ids, close matches."""

import polars as pl
import pytest

from recli.errors import UsageError
from recli.steps.recommend.candidates import mask_of, rows_of, where

FILMS = pl.DataFrame(
    {
        "title": ["Alien", "Airplane!", None, "Heat"],
        "year": [1979, 1980, 1995, None],
        "genres": ["Horror|Sci-Fi", "Comedy", "comedy|Crime", "Crime"],
        "my col": ["a", "b", "a", "b"],
    }
)


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ("year >= 1980", [1, 2]),  # a null is no match
        ("year < 1980 OR genres = 'Crime'", [0, 3]),
        ("genres LIKE '%Comedy%'", [1]),
        ("genres ILIKE '%comedy%'", [1, 2]),
        ("title IN ('Alien', 'Heat')", [0, 3]),
        ("NOT (year = 1979)", [1, 2]),
        ("title IS NULL", [2]),
        ("year BETWEEN 1979 AND 1980 and title != 'Alien'", [1]),
        ("\"my col\" = 'a'", [0, 2]),
        ("1 = 1", [0, 1, 2, 3]),
        ("year = 2525", []),
    ],
)
def test_conditions_are_sql(condition: str, kept: list[int]) -> None:
    assert where(FILMS, [condition]).nonzero()[0].tolist() == kept


def test_several_conditions_must_all_hold() -> None:
    assert where(FILMS, ["year >= 1980", "genres LIKE '%Crime%'"]).tolist() == [False, False, True, False]
    assert where(FILMS, []).all()


@pytest.mark.parametrize(
    ("condition", "what", "fix"),
    [
        ("studio = 'Fox'", "no column 'studio'; columns: title, year, genres, my col", None),
        ('genres = "Comedy"', "no column 'Comedy'", "'Comedy'"),
        ("year >=", "year >=", "as after WHERE"),
        ('genres contains "Comedy"', "contains", "LIKE"),
        ("year", "Int64, not a condition", "as after WHERE"),
        ("year = 'new'", "cannot compare", "year is Int64"),
        ("regexp_like(title, '(')", "regex", "title is String"),
        ("year > 1; DROP TABLE films", "found unexpected token", "as after WHERE"),
    ],
)
def test_what_is_no_condition_is_a_usage_error(condition: str, what: str, fix: str | None) -> None:
    with pytest.raises(UsageError) as raised:
        where(FILMS, [condition])
    assert what in raised.value.what
    assert "\n" not in raised.value.what
    assert (raised.value.fix is None) if fix is None else fix in (raised.value.fix or "")


def test_ids_become_rows_once_each_and_in_order() -> None:
    assert rows_of(["c", "x", "a", "c", "y", "x"], {"a": 0, "b": 1, "c": 2}) == ([2, 0], ["x", "y"])
    assert mask_of([2, 0], 4).tolist() == [True, False, True, False]
    assert mask_of([], 2).tolist() == [False, False]
