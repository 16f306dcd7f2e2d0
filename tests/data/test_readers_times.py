"""Times: seconds, milliseconds, microseconds, nanoseconds, ISO 8601 and Parquet's own are the same microseconds."""

import io
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recli.data.readers import ReadOptions, read_events
from recli.data.readers.column_roles import TIME
from recli.data.readers.native import native_text
from recli.data.readers.times import find_notation, microseconds
from recli.data.readers.values import Written, normalize
from recli.errors import UsageError


def times(content: str | bytes, tmp_path: Path, name: str = "log.csv", **options: Any) -> list[int]:
    (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    log = read_events([str(tmp_path / name)], ReadOptions(**options), tmp_path / "spool")
    return log.events.collect()["timestamp"].to_list()


# 2017-07-14 02:40:00 UTC is 1,500,000,000 s: 17,361 days of 86,400 s and 9,600 s
SECOND = 17_361 * 86_400 + 2 * 3600 + 40 * 60
assert SECOND == 1_500_000_000


@pytest.mark.parametrize(
    "text",
    [
        "1500000000",
        "1.5e9",
        "1500000000.0",
        "1500000000000",
        "1500000000000000",
        "1500000000000000000",
        "2017-07-14T02:40:00Z",
        "2017-07-14 02:40:00",
        "2017-07-14 02:40:00 UTC",
        "2017-07-14T02:40",
        "2017-07-14T04:40:00+02:00",
        "2017-07-14T04:40:00+0200",
        "2017-07-14T04:40+02",
        "2017-07-13T21:10:00.000-05:30",
    ],
)
def test_every_notation_is_the_same_time(tmp_path: Path, text: str) -> None:
    assert times(f"user,item,time\na,b,{text}\n", tmp_path) == [1_500_000_000_000_000]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1500000000.123456", 1_500_000_000_123_456),
        ("1500000000123.5", 1_500_000_000_123_500),
        ("2017-07-14T02:40:00.5Z", 1_500_000_000_500_000),
        ("2017-07-14T02:40:00,123456789", 1_500_000_000_123_456),  # digits below a microsecond are cut off
        ("2017-07-14", 17_361 * 86_400 * 1_000_000),
        ("1969-12-31T23:59:59Z", -1_000_000),
        ("0", 0),
        ("-86400", -86_400_000_000),
        ("12", 12_000_000),  # a position: small numbers are seconds
    ],
)
def test_fractions_days_and_positions(tmp_path: Path, text: str, expected: int) -> None:
    assert times(f'user,item,time\na,b,"{text}"\n', tmp_path) == [expected]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_the_unit_can_be_said(tmp_path: Path, unit: str) -> None:
    factor = {"s": 1_000_000, "ms": 1_000, "us": 1, "ns": 0.001}[unit]
    assert times("user,item,time\na,b,5000\n", tmp_path, time_unit=unit) == [5000 * factor]


def test_the_unit_iso_takes_no_counts(tmp_path: Path) -> None:
    text = "user,item,time\na,b,5\na,b,6\na,b,1970-01-02\n"
    assert times(text, tmp_path, time_unit="iso") == [86_400_000_000]
    assert times(text, tmp_path / "..", name="again.csv") == [5_000_000, 6_000_000]
    with pytest.raises(UsageError, match="one of auto, s, ms, us, ns, iso"):
        ReadOptions(time_unit="fortnights")


def test_the_unit_is_decided_by_the_median_once_per_file(tmp_path: Path) -> None:
    # one broken value, one in other units: neither decides
    text = "user,item,time\n" + "a,b,1500000000000\n" * 3 + "a,b,5\na,b,x\na,b,9e19\n"
    assert times(text, tmp_path) == [1_500_000_000_000_000] * 3 + [5_000]  # 5 ms; 9e19 ms is no year
    (tmp_path / "s.csv").write_text("user,item,time\na,b,1500000000\n")
    log = read_events(
        [str(tmp_path / "log.csv"), str(tmp_path / "s.csv")], ReadOptions(), tmp_path / "spool2"
    )
    assert log.events.collect()["timestamp"][-1] == 1_500_000_000_000_000
    assert log.rejected == {"time out of range": 1, "unparsable time": 1}


def test_the_unit_found_in_the_first_block_holds_for_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recli.data.readers.streams.BLOCK", 256)
    monkeypatch.setattr("recli.data.readers.streams._READ", 16)
    text = "user,item,time\n" + "a,b,1500000000000\n" * 5000 + "a,b,5\n" * 100
    assert times(text, tmp_path)[-1] == 5_000


@pytest.mark.parametrize(
    "text",
    ["2017-02-29", "2017-13-01", "2017-07-14T24:00", "2017-07-14T02:60:00", "2017-07-14T02:40:00+25:00", "2017-7-14",
     "14.07.2017", "2017-07-14T", "2017-07-14T02:40:00Z garbage"],
)  # fmt: skip
def test_times_that_are_none_are_rejected(tmp_path: Path, text: str) -> None:
    (tmp_path / "log.csv").write_text(f"user,item,time\na,b,2017-01-01\na,b,2017-01-01\na,b,{text}\n")
    log = read_events([str(tmp_path / "log.csv")], ReadOptions(), tmp_path / "spool")
    assert log.rejected == {"unparsable time": 1}
    assert log.rejects.collect()["line"].to_list() == [4]


def test_parquet_times_carry_their_unit(tmp_path: Path) -> None:
    moment = datetime(2017, 7, 14, 2, 40, tzinfo=UTC)
    frame = pl.DataFrame({"user": ["a"], "item": ["b"]})
    unwrap = pl.lit(moment.replace(tzinfo=None))
    columns = {
        **{unit: unwrap.cast(pl.Datetime(unit)) for unit in ("ms", "us", "ns")},  # type: ignore[arg-type]
        "zone": unwrap.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC").dt.convert_time_zone("Asia/Tokyo"),
        "int": pl.lit(1_500_000_000_000),
        "float": pl.lit(1_500_000_000.0),
        "text": pl.lit("2017-07-14T02:40:00Z"),
    }
    for name, column in columns.items():
        file = io.BytesIO()
        frame.with_columns(column.alias("time")).write_parquet(file)
        assert times(file.getvalue(), tmp_path, "log.parquet") == [1_500_000_000_000_000], name
    file = io.BytesIO()
    frame.with_columns(pl.lit(date(2017, 7, 14)).alias("time")).write_parquet(file)
    assert times(file.getvalue(), tmp_path, "log.parquet") == [17_361 * 86_400 * 1_000_000]
    file = io.BytesIO()
    frame.with_columns(pl.lit(1_500_000_000.5).alias("time")).write_parquet(file)
    assert times(file.getvalue(), tmp_path, "log.parquet") == [1_500_000_000_500_000]


@settings(max_examples=100, deadline=None)
@given(
    moment=st.datetimes(min_value=datetime(1, 1, 2), max_value=datetime(9999, 12, 30)),
    offset=st.integers(-23 * 60, 23 * 60),
)
def test_iso_times_agree_with_datetime(moment: datetime, offset: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    expected = (zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    frame = pl.DataFrame({"t": [zoned.isoformat()]}).select(microseconds(pl.col("t"), "iso"))
    assert frame.to_series().to_list() == [expected]


def test_nothing_that_looks_like_a_time_has_no_unit() -> None:
    assert find_notation(pl.Series(["x", None, ""])) is None
    assert find_notation(pl.Series([None, None], dtype=pl.Int64)) is None


@pytest.mark.parametrize(
    ("form", "text", "seconds"),
    [
        ("%d.%m.%Y %H:%M", "02.01.1970 00:01", 86_460),
        ("%d.%m.%Y", "02.01.1970", 86_400),
        ("%m/%d/%Y %H:%M:%S %z", "01/02/1970 02:00:00 +0200", 86_400),
    ],
)
def test_a_format_of_ones_own(tmp_path: Path, form: str, text: str, seconds: int) -> None:
    log = f"user,item,time\na,b,{text}\na,b,1970-01-02\na,b,5\n"  # the last two do not match
    assert times(log, tmp_path, time_format=form) == [seconds * 1_000_000]
    with pytest.raises(UsageError, match="holds no year"):
        ReadOptions(time_format="%H:%M")
    with pytest.raises(UsageError, match="give one"):
        ReadOptions(time_format="%Y", time_unit="s")


def test_numbers_among_dates_are_of_another_format(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item,time\na,b,2017-01-01\na,b,2017-01-01\na,b,5\na,b,x\n")
    log = read_events([str(tmp_path / "log.csv")], ReadOptions(), tmp_path / "spool")
    assert log.rejected == {"time in another format": 1, "unparsable time": 1}


def test_cells_in_another_unit_are_read_where_they_are_dates(tmp_path: Path) -> None:
    usual = ["1500000000"] * 3
    for other in ("1500000000000", "1500000000000000", "1500000000000000000", "2017-07-14T02:40:00Z"):
        text = "user,item,time\n" + "".join(f"a,b,{t}\n" for t in (*usual, other, "1500000000.0"))
        assert times(text, tmp_path) == [1_500_000_000_000_000] * 5
        (tmp_path / "log.csv").write_text("user,item,time\n" + "".join(f"a,b,{t}\n" for t in (*usual, other)))
        assert times(text, tmp_path, time_unit="s") == [1_500_000_000_000_000] * 4
    # what is no date in any unit stays in that of the others
    assert times("user,item,time\n" + "a,b,1500000000\n" * 3 + "a,b,12345\n", tmp_path)[-1] == 12_345_000_000


def test_notations_are_counted_by_file(tmp_path: Path) -> None:
    for name, times_of in (("a.csv", (1_500_000_000, 1_500_000_000_000)), ("b.csv", (20170714, 20170715))):
        (tmp_path / name).write_text("user,item,time\n" + "".join(f"a,b,{t}\n" for t in times_of * 20))
    log = read_events([str(tmp_path / "a.csv"), str(tmp_path / "b.csv")], ReadOptions(), tmp_path / "spool")
    assert log.notations == {
        "a.csv": {("time", "s"): 20, ("time", "ms"): 20},
        "b.csv": {("time", "YYYYMMDD"): 40},
    }


def test_parquet_placeholders_are_no_times(tmp_path: Path) -> None:
    moments = [datetime(2023, 1, day) for day in range(1, 30)] + [
        datetime(1970, 1, 1),
        datetime(9999, 12, 31),
    ]
    pl.DataFrame({"user": "a", "item": "b", "time": moments}).write_parquet(tmp_path / "log.parquet")
    log = read_events([str(tmp_path / "log.parquet")], ReadOptions(), tmp_path / "spool")
    assert log.rejected == {"placeholder for no time": 2}
    assert log.events.collect().height == 29


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_dates_as_numbers_in_every_format(tmp_path: Path, kind: str) -> None:
    frame = pl.DataFrame({"user": "a", "item": "b", "time": [20170714, 20170715] * 20})
    path = tmp_path / f"log.{kind}"
    {"csv": frame.write_csv, "parquet": frame.write_parquet, "jsonl": frame.write_ndjson}[kind](path)
    log = read_events([str(path)], ReadOptions(), tmp_path / "spool")
    assert log.events.collect()["timestamp"][0] == 17_361 * 86_400 * 1_000_000


def test_iso_times_may_stop_at_the_hour(tmp_path: Path) -> None:
    text = "user,item,ts\n" + "".join(f"a,{k},2014-12-06 {k:02d}\n" for k in range(24))
    assert times(text, tmp_path)[:3] == [1_417_824_000_000_000 + k * 3_600_000_000 for k in range(3)]


def test_a_batch_without_rows_has_no_times(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("user,item,ts\na,b\n" + "a,b,1600000000\n")
    log = read_events([str(tmp_path / "log.csv")], ReadOptions(), tmp_path / "spool")
    assert log.rows == 2
    frame = pl.DataFrame(schema={"line": pl.Int64, "time": pl.Int64})
    written = Written(ReadOptions(time_unit="s"))
    assert normalize(frame, [TIME], written)[0].height == 0


BEYOND = {
    "us": pl.Datetime("us"),
    "ms": pl.Datetime("ms"),
    "zone": pl.Datetime("ms", "Europe/Paris"),
    "day": pl.Date,
}


@pytest.mark.parametrize("dtype", BEYOND.values(), ids=BEYOND)
def test_native_dates_beyond_the_calendar_are_rejected_with_what_is_stored(
    dtype: pl.DataType, tmp_path: Path
) -> None:
    """Years -144169 and 148108 in a Parquet file: polars panics on some, Python has none of them."""
    far = 2**31 - 1 if dtype == pl.Date else 2**62
    near = 17_361 if dtype == pl.Date else pl.Series([datetime(2017, 7, 14)]).cast(dtype).to_physical()[0]
    stamps = pl.Series([near, far, -far, near], dtype=pl.Int64).cast(
        pl.Int32 if dtype == pl.Date else pl.Int64
    )
    frame = pl.DataFrame({"user_id": [*"abcd"], "item_id": [*"wxyz"], "timestamp": stamps.cast(dtype)})
    frame.write_parquet(tmp_path / "log.parquet")
    log = read_events([str(tmp_path / "log.parquet")], ReadOptions(), tmp_path / "spool")
    assert log.events.collect()["user_id"].to_list() == ["a", "d"]
    rejects = log.rejects.collect()
    assert set(rejects["reason"]) == {"time out of range"}
    assert [str(n) in row for n, row in zip((far, -far), rejects["raw"], strict=True)] == [True, True]


def test_dates_beyond_the_calendar_and_durations_are_texts() -> None:
    dates = pl.Series("date", [0, 2**31 - 1, None], dtype=pl.Int32).cast(pl.Date)
    assert native_text(dates).to_list() == ["1970-01-01", str(2**31 - 1), None]
    assert native_text(pl.Series("d", [5, None], dtype=pl.Duration("us"))).to_list() == ["5", None]
