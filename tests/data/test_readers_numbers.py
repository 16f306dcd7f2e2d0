"""Numbers with separators of thousands, with a comma for the point, and words for true and false."""

import polars as pl
import pytest

from recli.data.readers import ReadOptions
from recli.data.readers.numbers import Numbers, are_booleans, number
from recli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "thousands", "decimal_comma", "expected"),
    [
        ("1,234", ",", False, 1234.0),
        ("1,234,567.25", ",", False, 1234567.25),
        ("-1,234", ",", False, -1234.0),
        ("12,34,567", ",", False, 1234567.0),  # as in India
        ("234", ",", False, 234.0),
        ("2.5", ",", False, 2.5),
        ("1,23", ",", False, None),
        ("1234,567", ",", False, None),
        (",123", ",", False, None),
        ("1.234,5", ".", True, 1234.5),
        ("1.234", ".", False, 1234.0),
        ("1.5", ".", False, None),
        ("2,5", ".", True, 2.5),
        ("1 234 567,5", " ", True, 1234567.5),
        ("1\u202f234", " ", False, 1234.0),
        ("1’234.5", "'", False, 1234.5),
        ("1_000", "_", False, 1000.0),
        ("2,5", None, True, 2.5),
        ("2.5", None, True, None),
        ("x", ",", False, None),
    ],
)  # fmt: skip
def test_numbers(text: str, thousands: str | None, decimal_comma: bool, expected: float | None) -> None:
    frame = pl.DataFrame({"n": [text]}).select(number(pl.col("n"), Numbers(decimal_comma, thousands)))
    assert frame.to_series().to_list() == [expected]


def test_booleans_are_all_words_for_true_and_false() -> None:
    assert are_booleans(pl.Series(["true", "FALSE", "", None, "1"]))
    assert are_booleans(pl.Series(["y", "n"]))
    assert not are_booleans(pl.Series(["1", "0"]))
    assert not are_booleans(pl.Series(["true", "2"]))
    assert not are_booleans(pl.Series(["true"] * 2000 + ["maybe"]))
    assert not are_booleans(pl.Series(["", None], dtype=pl.String))


def test_separators_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(UsageError, match="both say what a comma is"):
        ReadOptions(thousands=",", decimal_comma=True)
    with pytest.raises(UsageError, match="--thousands-separator must be one of"):
        ReadOptions(thousands="x")
