"""Conditions on the catalogue: what they hold for, what is refused, what is said about the data."""

import polars as pl
import pytest

from recli.errors import UsageError
from recli.steps.recommend.where.condition import where, why_none

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
        ("(year > 1979) IS TRUE", [1, 2]),
        ("(year > 1979) IS NOT TRUE", [0, 3]),
        ("NULL", []),
        ("TRUE", [0, 1, 2, 3]),
        ("year / 2 = 989.5", [0]),
        ("ROUND(year / 1000, 1) = 2.0 AND CAST(year AS TEXT) LIKE '19_9'", [0]),
        ("title IS NOT NULL IS TRUE", [0, 1, 3]),
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
        ("studio = 'Fox'", "no column 'studio'; columns: title (text), year (a number)", None),
        ("genre = 'Crime'", "no column 'genre'", "did you mean genres?"),
        ('genres = "Comedy"', "no column 'Comedy'", "'Comedy'"),
        ("year >=", "character 8: expected a column or a value, found the end", "as after WHERE"),
        ('genres contains "Comedy"', "contains", "LIKE"),
        ("year", "year is a number (e.g. 1979), not a condition", "write year != 0"),
        ("year = 'new'", "year is a number (e.g. 1979): it cannot be compared with text", "as after WHERE"),
        ("year = '1979'", "cannot be compared with text", "write year = 1979 (it holds for 1 of 4 items)"),
        ("LOWER(year) = 'x'", "LOWER(year) takes text", "CAST(year AS TEXT)"),
        ("year > 1; DROP TABLE films", "character 9: ';' is not understood", "as after WHERE"),
        ("title = 'Alien", "character 9: the quote ' is not closed", "doubled"),
        ("title = ‘Alien’", "no quote in SQL", "straight single quotes"),
        ("title = 'a' && year = 1", "'&' is no operator", "AND or OR"),
        ("year > 1e999", "too large", "as after WHERE"),
        ("title LIKE 'a!' ESCAPE '!'", "escapes nothing", "as after WHERE"),
        ("SELECT * FROM films", "expected AND, OR or the end", "as after WHERE"),
        ("year IN (SELECT 1)", "expected , or )", "as after WHERE"),
        ("read_csv('key.txt') IS NULL", "there is no function 'read_csv'", "functions: CAST"),
        ("(" * 41 + "year = 1" + ")" * 41, "nested deeper than 40 levels", "fewer parentheses"),
        ("NOT " * 6000 + "year = 1", "nested deeper than 40 levels", "fewer parentheses"),
        ("year = " + "1" * 1_000_000, "at most 1,000,000", "--allow FILE"),
    ],
)
def test_what_is_no_condition_is_a_usage_error(condition: str, what: str, fix: str | None) -> None:
    with pytest.raises(UsageError) as raised:
        where(FILMS, [condition])
    assert what in raised.value.what
    assert "\n" not in raised.value.what
    assert (raised.value.fix is None) if fix is None else fix in (raised.value.fix or "")


def test_case_35_a_boolean_compared_with_text_says_how_to_cast() -> None:
    items = pl.DataFrame(
        {"stock": ["TRUE", "FALSE", "TRUE"], "price": ["$9.99", "$20.00", "$7"], "pages": [1, 2, 3]}
    )
    with pytest.raises(UsageError) as raised:
        where(items, ["stock = TRUE"])
    assert "stock is text (e.g. 'TRUE'): it cannot be compared with true or false" in raised.value.what
    assert "CAST(stock AS BOOLEAN) = TRUE (it holds for 2 of 3 items)" in str(raised.value.fix)
    assert where(items, ["CAST(stock AS BOOLEAN) = TRUE"]).tolist() == [True, False, True]
    with pytest.raises(UsageError) as raised:
        where(items, ["pages > 1 AND price < 15"])
    fix = str(raised.value.fix)
    assert fix.startswith("write CAST(REPLACE(price, '$', '') AS DOUBLE) < 15 (it holds for 2 of 3 items)")
    assert fix.endswith("columns that are numbers: pages")
    assert where(items, ["CAST(REPLACE(price, '$', '') AS DOUBLE) < 15"]).tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("values", "cast"),
    [
        (["9.99", "20"], "CAST(v AS DOUBLE)"),
        (["9.99 EUR", "20 EUR"], "CAST(REPLACE(v, 'EUR', '') AS DOUBLE)"),
        (["$1,299.00", "$9.00"], "CAST(REPLACE(REPLACE(v, '$', ''), ',', '') AS DOUBLE)"),
        (["9,99", "12,50"], "CAST(REPLACE(v, ',', '.') AS DOUBLE)"),
        (
            ["1.234,50 €", "9,99 €"],
            "CAST(REPLACE(REPLACE(REPLACE(v, '€', ''), '.', ''), ',', '.') AS DOUBLE)",
        ),
        (["80%", "5%", "unknown"], "CAST(REPLACE(v, '%', '') AS DOUBLE)"),
        (["red", "blue"], None),
    ],
)
def test_a_cast_is_tried_on_the_data_before_it_is_said(values: list[str], cast: str | None) -> None:
    with pytest.raises(UsageError) as raised:
        where(pl.DataFrame({"v": values}), ["v < 15"])
    fix = str(raised.value.fix)
    assert f"write {cast} < 15 (it holds for" in fix if cast else "write" not in fix


@pytest.mark.parametrize(
    ("condition", "line"),
    [
        ("genres = 'comedy'", "no item has 'comedy' in genres; 1 have 'Comedy'"),
        ("title IN ('Heat', 'ALIEN ')", "no item has 'ALIEN ' in title; 1 have 'Alien'"),
        ("title = NULL", "a comparison with NULL is never true"),
        ("CAST(title AS INT) > 1", "CAST(title AS INT) cannot read 3 of 3 values, e.g. 'Alien'"),
        ("number < '15'", "compares texts letter by letter"),
    ],
)
def test_what_can_hardly_be_meant_is_warned_about(condition: str, line: str) -> None:
    warnings: list[str] = []
    where(FILMS.with_columns(number=pl.Series(["9", "10", "100", "7"])), [condition], warnings.append)
    assert len(warnings) == 1
    assert line in warnings[0]


@pytest.mark.parametrize(
    "condition",
    [
        "genres = 'Comedy'",
        "genres = 'Western'",
        "title < 'B'",
        "title IS NULL",
        "CAST(year AS TEXT) LIKE '19%'",
    ],
)
def test_sane_conditions_are_not_warned_about(condition: str) -> None:
    warnings: list[str] = []
    where(FILMS, [condition], warnings.append)
    assert warnings == []


def test_a_condition_without_a_match_shows_what_there_is() -> None:
    assert "year is from 1979 to 1995" in str(why_none(FILMS, ["title IS NULL", "year = 2525"]))
    assert "title has 'Alien', 'Airplane!', 'Heat'" in str(why_none(FILMS, ["title = 'Dune'"]))
    assert why_none(FILMS, ["title = 'Alien'", "year = 1980"]) is None


def test_thousands_of_terms_are_read() -> None:
    assert where(FILMS, [" OR ".join(["year = 1980"] * 6000)]).tolist() == [False, True, False, False]
    assert where(FILMS, ["+".join(["1"] * 6000) + " = 6000"]).all()
    many = ", ".join(["'x'"] * 6000)
    assert where(FILMS, [f"title IN ({many}, 'Heat')"]).tolist() == [False, False, False, True]


def test_nan_is_unknown_and_dates_are_compared_as_dates() -> None:
    frame = pl.DataFrame({"x": [1.0, float("nan")], "day": ["2024-01-31", "2023-12-01"]}).with_columns(
        pl.col("day").str.to_date()
    )
    assert where(frame, ["x > 0 OR x <= 0"]).tolist() == [True, False]
    assert where(frame, ["day >= DATE '2024-01-01'"]).tolist() == [True, False]
    assert where(frame, ["day >= '2024-01-01'"]).tolist() == [True, False]
    assert where(frame, ["day BETWEEN '2023-01-01' AND '2023-12-31'"]).tolist() == [False, True]
