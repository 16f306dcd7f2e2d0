"""Times: what they are taken for is said, what cannot be right is warned of, and one event far off scales nothing."""

from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from event_logs import Cells, Event, Prepare, preparing

from recli.errors import InvalidDataError
from recli.steps.prepare.time_range import time_range

DAY = 86_400_000_000
FIRST, LAST = datetime(2023, 11, 1), datetime(2024, 2, 9)  # all events lie between them


@pytest.fixture
def prepared(tmp_path: Path) -> Prepare:
    return preparing(tmp_path)


def timed(write: Any) -> Cells:
    return lambda event: [event.user, event.item, write(event)]


def test_plain_times_are_only_shown(prepared: Prepare) -> None:
    for write in (lambda e: e.seconds, lambda e: e.seconds * 1000, lambda e: f"{e.time:%Y-%m-%dT%H:%M:%SZ}"):
        outcome = prepared(timed(write))
        assert outcome.said == ["times: 2023-11-01 to 2024-02-08"]
        assert not outcome.warned
        times = outcome.prepared.summary["times"]
        assert times["first"][:10] == "2023-11-01" and times["last"][:10] == "2024-02-08"
        assert (times["far_before"], times["far_after"]) == (0, 0)


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("%Y%m%d", "YYYYMMDD"),
        ("%Y%m%d%H%M%S", "YYYYMMDDhhmmss"),
        ("%Y%m%d%H%M", "YYYYMMDDhhmm"),
        ("%Y%m%d%H", "YYYYMMDDhh"),
        ("%Y%m%d%H%M%S000", "YYYYMMDDhhmmssfff"),
        ("%d%m%Y", "DDMMYYYY"),
        ("%m%d%Y", "MMDDYYYY"),
        ("%y%m%d", "YYMMDD"),
        ("%Y%m", "YYYYMM"),
        ("%Y%m%d.0", "YYYYMMDD"),
    ],
)
def test_case_11_dates_written_as_numbers(prepared: Prepare, form: str, name: str) -> None:
    outcome = prepared(timed(lambda e: f"{e.time:{form}}"), event_half_life="30d")
    assert outcome.events["time"].is_between(FIRST, LAST).all()
    assert outcome.events["value"].min() < 0.2  # type: ignore[operator]
    first = outcome.events["time"].min()
    assert isinstance(first, datetime)
    written = f"{first:{form.removesuffix('.0')}}"
    assert f"times such as {written} are read as dates ({name})" in outcome.all_said
    assert outcome.prepared.summary["times"]["units"] == {name: 300}
    literal = prepared(timed(lambda e: f"{e.time:{form}}"), time_unit="s" if len(name) < 12 else "us")
    assert not literal.events["time"].is_between(FIRST, LAST).all()


@pytest.mark.parametrize("digits", [6, 0])
def test_case_12_excels_days(prepared: Prepare, digits: int) -> None:
    outcome = prepared(timed(lambda e: f"{e.seconds / 86_400 + 25_569:.{digits}f}"))
    assert outcome.events["time"].is_between(FIRST, LAST).all()
    assert "Excel's days since 1899-12-30: 45231" in outcome.all_said
    comma = prepared(timed(lambda e: f'"{e.seconds / 86_400 + 25_569:.5f}"'.replace(".", ",")))
    assert comma.events["time"].is_between(FIRST, LAST).all()
    said = prepared(timed(lambda e: e.seconds / 86_400 + 25_569), time_unit="excel")
    assert said.events["time"].is_between(FIRST, LAST).all()


def test_days_since_1970_are_asked_for(prepared: Prepare) -> None:
    outcome = prepared(timed(lambda e: e.seconds // 86_400))
    assert len(outcome.warned) == 1
    assert "1970-01-01" in outcome.warned[0] and "days since 1970 (--time-unit days)?" in outcome.warned[0]
    outcome = prepared(timed(lambda e: e.seconds // 86_400), time_unit="days")
    assert outcome.events["time"].is_between(FIRST, LAST).all() and not outcome.warned


@pytest.mark.parametrize("factor", [1_000, 1_000_000, 1_000_000_000])
def test_case_13_seconds_and_another_unit_in_one_file(prepared: Prepare, factor: int) -> None:
    outcome = prepared(timed(lambda e: e.seconds * (factor if e.k % 2 else 1)), split="temporal")
    assert outcome.events["time"].is_between(FIRST, LAST).all()
    assert "times are written in 2 ways, each read as what it is: 150 " in outcome.all_said
    assert not outcome.warned


def test_dates_and_seconds_in_one_file(prepared: Prepare) -> None:
    outcome = prepared(timed(lambda e: e.seconds if e.k % 3 else f"{e.time:%Y-%m-%d}"))
    assert outcome.events["time"].is_between(FIRST, LAST).all()
    assert "200 seconds, 100 ISO dates" in outcome.all_said


@pytest.mark.parametrize(
    "none",
    ["0", "-1", "-2147483648", "1970-01-01 01:00:00", "0000-00-00 00:00:00", "1900-01-01", "9999-12-31"],
)
def test_case_14_placeholders_are_no_times(prepared: Prepare, none: str) -> None:
    def write(event: Event) -> object:
        if event.k < 2:
            return none
        return f"{event.time:%Y-%m-%d %H:%M:%S}" if "-" in none[1:] else event.seconds

    outcome = prepared(timed(write))
    assert outcome.prepared.summary["rows"]["rejected"] == {"placeholder for no time": 2}
    assert outcome.events["time"].is_between(FIRST, LAST).all()
    assert len(outcome.warned) == 1 and "2 rows without a time" in outcome.warned[0]
    assert "--time-unit" in outcome.warned[0]


def test_case_14_placeholders_are_times_where_the_unit_is_said(prepared: Prepare) -> None:
    outcome = prepared(timed(lambda e: e.seconds if e.k > 1 else 0), time_unit="s")
    assert outcome.events["time"].min() == datetime(1970, 1, 1)
    assert "2 events lie far before all others" in outcome.warned[0]
    with pytest.raises(InvalidDataError) as error:
        prepared(timed(lambda e: e.seconds if e.k > 20 else 0))
    assert "--time-unit s takes them as they are" in error.value.fix  # type: ignore[operator]


@pytest.mark.parametrize("n", [1, 10, 100])
def test_case_14_far_future_events_never_scale_decay(prepared: Prepare, n: int) -> None:
    options = {"event_half_life": "30d", "duplicates": "max"}
    usual = prepared(timed(lambda e: e.seconds), **options)
    far = prepared(timed(lambda e: e.seconds if e.k >= n else 4_102_444_800), split="temporal", **options)
    assert far.events["value"].max() == 1
    assert far.events["value"].min() == pytest.approx(usual.events["value"].min(), rel=0.2)
    (warning,) = far.warned
    assert warning.startswith(
        f"{n} event{'s lie' if n > 1 else ' lies'} far after all others, up to 2100-01-01"
    )
    assert "the others end at 2024-02-08" in warning and "--split temporal makes them the test" in warning
    assert far.prepared.summary["times"]["far_after"] == n


def test_counts_of_two_kinds_are_pointed_out(prepared: Prepare) -> None:
    outcome = prepared(timed(lambda e: e.seconds if e.k % 3 else e.k + 1))
    assert "100 events lie before 1990" in outcome.warned[0]


@pytest.mark.parametrize("form", ["%m%d", "%d%m"])
def test_case_15_month_and_day_without_a_year(prepared: Prepare, form: str) -> None:
    outcome = prepared(timed(lambda e: f"{e.time:{form}}"))
    assert outcome.events["time"].dt.month().is_in([11, 12, 1, 2]).all()
    assert outcome.events["time"].dt.year().unique().to_list() == [2000]
    (warning,) = outcome.warned
    assert "month and day without a year, " in warning and "--time-unit s" in warning


def test_positions_are_an_order(prepared: Prepare) -> None:
    outcome = prepared(timed(lambda e: e.k))
    assert not outcome.warned
    assert outcome.said == [
        "times: 0 to 299, no dates: they order the events, days and half-lives mean nothing"
    ]
    (warning,) = prepared(timed(lambda e: e.k), event_half_life="2d").warned
    assert "no dates but an order: --event-half-life 2d takes them for seconds" in warning
    odd = prepared(timed(lambda e: 5_000 + 7 * e.k))
    assert "times lie between 1970-01-01 01:23:20 and" in odd.warned[0] and "--time-format" in odd.warned[0]


def test_the_range_leaves_out_few_events_far_from_all_others() -> None:
    def of(days: list[int]) -> tuple[int, int, int, int]:
        times = pl.LazyFrame({"timestamp": np.array(days) * DAY})
        found = time_range(times)
        assert found is not None
        return found.first // DAY, found.last // DAY, found.before, found.after

    steady = list(range(15_000, 15_400))
    assert of(steady) == (15_000, 15_399, 0, 0)
    assert of([*steady, 16_000]) == (15_000, 15_399, 0, 1)
    assert of([*steady, 15_700]) == (15_000, 15_700, 0, 0)  # less than a year after the others
    assert of([3, *steady]) == (15_000, 15_399, 1, 0)
    assert of([3, *steady, 47_000, 48_000]) == (15_000, 15_399, 1, 2)
    assert of([*steady, *[16_000] * 30]) == (15_000, 16_000, 0, 0)  # too many to be left out
    assert of([*steady, *[90_000] * 30]) == (15_000, 15_399, 0, 30)  # the year 2216
    assert of([15_000, 16_000]) == (15_000, 16_000, 0, 0)
    long = list(range(8_000, 16_000, 4))
    assert of([*long, 24_000]) == (8_000, 15_996, 0, 1)
    assert of([*long, 17_000]) == (8_000, 17_000, 0, 0)  # as pauses go in 22 years
    assert time_range(pl.LazyFrame({"user_id": ["a"]})) is None


def test_times_of_files_of_ones_own_format(prepared: Prepare, tmp_path: Path) -> None:
    outcome = prepared(
        timed(lambda e: f"{e.time:%d/%m/%Y}" if e.k % 2 else e.seconds), time_format="%d/%m/%Y|s"
    )
    assert outcome.events["time"].is_between(FIRST, LAST).all()
