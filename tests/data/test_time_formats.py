"""Formats derived from values: the common notations of dates and clocks, and none where nothing fits."""

import polars as pl
import pytest

from recli.data.readers.time_formats import fitting_formats, is_read, reading_all
from recli.data.readers.times import find_notation, microseconds


@pytest.mark.parametrize(
    ("value", "form", "expected"),
    [
        ("13/12/2023 04:39", "%d/%m/%Y %H:%M", "2023-12-13 04:39:00"),
        ("12/13/2023 4:39 PM", "%m/%d/%Y %I:%M %p", "2023-12-13 16:39:00"),
        ("12/13/2023, 4:39:53 PM", "%m/%d/%Y, %I:%M:%S %p", "2023-12-13 16:39:53"),
        ("13/Dec/2023:04:39:53 +0000", "%d/%b/%Y:%H:%M:%S %z", "2023-12-13 04:39:53"),
        ("[13/Dec/2023:04:39:53 +0100]", "[%d/%b/%Y:%H:%M:%S %z]", "2023-12-13 03:39:53"),
        ("Wed, 13 Dec 2023 04:39:53 GMT", "%a, %d %b %Y %H:%M:%S GMT", "2023-12-13 04:39:53"),
        ("Wed Dec 13 04:39:53 +0000 2023", "%a %b %d %H:%M:%S %z %Y", "2023-12-13 04:39:53"),
        ("Wed Dec 13 04:39:53 2023", "%a %b %d %H:%M:%S %Y", "2023-12-13 04:39:53"),
        ("Sunday, December 10, 2023", "%A, %B %d, %Y", "2023-12-10 00:00:00"),
        ("Dec 13, 2023 at 4:39pm", "%b %d, %Y at %I:%M%p", "2023-12-13 16:39:00"),
        ("09 13, 2009", "%m %d, %Y", "2009-09-13 00:00:00"),
        ("2023-7-4", "%Y-%m-%d", "2023-07-04 00:00:00"),
        ("2023/12/13", "%Y/%m/%d", "2023-12-13 00:00:00"),
        ("2023.12.13 4:39", "%Y.%m.%d %H:%M", "2023-12-13 04:39:00"),
        ("20231213T043953Z", "%Y%m%dT%H%M%SZ", "2023-12-13 04:39:53"),
        ("13-DEC-23 04.39.53.000000 PM", "%d-%b-%y %I.%M.%S%.f %p", "2023-12-13 16:39:53"),
        ("13.12.2023 04:39:53,250", "%d.%m.%Y %H:%M:%S,%3f", "2023-12-13 04:39:53.250"),
        ("13DEC2023", "%d%b%Y", "2023-12-13 00:00:00"),
        ("2023年12月13日", "%Y年%m月%d日", "2023-12-13 00:00:00"),
        ("04:39 13/12/2023", "%H:%M %d/%m/%Y", "2023-12-13 04:39:00"),
    ],
)
def test_the_format_of_a_value(value: str, form: str, expected: str) -> None:
    best = fitting_formats(pl.Series([value, None, f" {value}"]))[0]
    assert (best.form, best.share, best.unread) == (form, 1, None)
    read = pl.DataFrame({"t": [value]}).select(pl.from_epoch(microseconds(pl.col("t"), form), time_unit="us"))
    assert str(read.item())[:23].removesuffix("000") == expected.removesuffix("000")


def test_values_without_a_format() -> None:
    for value in ("yesterday", "04:39", "2023", "", "13-12-2023 4:39 p.m.", "13/dic/2023", "99/99/2023"):
        assert fitting_formats(pl.Series([value])) == []


def test_formats_that_both_fit_are_ordered_by_how_close_the_times_lie() -> None:
    days = pl.Series([f"{day}/01/2023" for day in range(1, 13)])
    assert [fit.form for fit in fitting_formats(days)] == ["%d/%m/%Y", "%m/%d/%Y"]
    months = pl.Series([f"01/{day}/2023" for day in range(1, 13)])
    assert [fit.form for fit in fitting_formats(months)] == ["%m/%d/%Y", "%d/%m/%Y"]
    more = fitting_formats(pl.Series(["13/01/2023", "01/02/2023", "14/01/2023", "02/02/2023"]))
    assert [(fit.form, fit.share, fit.unread) for fit in more] == [
        ("%d/%m/%Y", 1, None),
        ("%m/%d/%Y", 0.5, "13/01/2023"),
    ]


def test_several_formats_together() -> None:
    values = pl.Series(["13/12/2023", "13/12/2023 04:39", "14/12/2023"])
    together = reading_all(values, fitting_formats(values))
    assert together is not None and set(together.split("|")) == {"%d/%m/%Y", "%d/%m/%Y %H:%M"}
    assert is_read(values, together).all()
    unknown = pl.Series(["13/12/2023", "yesterday"])
    assert reading_all(unknown, fitting_formats(unknown)) is None


@pytest.mark.parametrize(
    "values",
    [
        range(100, 1_300),  # some are days and months
        range(199_001, 210_013),  # some are months
        range(20_230_101, 20_231_232),
        range(30_000, 60_000, 7),
        [20_231_299] * 30,
        [1102, 1103, 1104] * 10,  # one month
        [2019.5] * 30,
    ],
)
def test_numbers_that_are_no_dates(values: object) -> None:
    found = find_notation(pl.Series(list(values)))  # type: ignore[call-overload]
    assert found is not None and (found.unit, found.dates) == ("s", False)


def test_few_numbers_do_not_tell() -> None:
    for value, unit in ((829, "MMDD"), (202_312, "YYYYMM"), (231_213, "YYMMDD"), (2023, "YYYY")):
        assert find_notation(pl.Series([value] * 5)).unit == "s"  # type: ignore[union-attr]
        many = find_notation(pl.Series([value, value + 101 if unit == "MMDD" else value] * 30))
        assert many is not None and many.unit == unit
