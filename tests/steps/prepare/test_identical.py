"""Rows that are the same in all columns: warned of across files, and counted once by `--duplicates distinct`."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_seen import Heard, by_id, write

from recli.data.event_columns import Rows
from recli.steps.prepare.cleaning import find_identical
from recli.steps.prepare.config import PrepareConfig
from recli.steps.prepare.step import Prepared, prepare

TIMED = "user_id,item_id,event,timestamp"
NOTHING_HELD_OUT = {"test_size": 0.0, "validation_size": 0.0}


def made(tmp_path: Path, header: str, *files: list[str], **options: Any) -> tuple[Prepared, Heard]:
    logs = [write(tmp_path / f"{'abc'[k]}.csv", header, *lines) for k, lines in enumerate(files)]
    heard = Heard()
    config = PrepareConfig(
        log=tuple(map(str, logs)), out=str(tmp_path / "run"), **{**NOTHING_HELD_OUT, **options}
    )
    return prepare(config, heard), heard


JANUARY = ["u,x,view,1", "u,y,view,5", "v,x,view,7"]
FEBRUARY = ["v,x,view,7", "u,y,view,5", "u,x,view,9", "u,x,buy,9"]


def test_overlapping_exports_are_warned_of(tmp_path: Path) -> None:
    found, heard = made(tmp_path, TIMED, JANUARY, FEBRUARY)
    (warning,) = heard.warned
    assert "2 rows of 4 in later files repeat rows of other files" in warning
    assert "(user 'u' with item 'y' is in a.csv and b.csv)" in warning
    assert "--duplicates distinct" in warning
    data = found.interactions
    assert by_id(data, data.matrix("train"))["v", "x"] == 2


def test_identical_rows_count_once_with_distinct(tmp_path: Path) -> None:
    found, heard = made(tmp_path, TIMED, JANUARY, FEBRUARY, duplicates="distinct")
    data = found.interactions
    assert by_id(data, data.matrix("train")) == {("u", "x"): 3, ("u", "y"): 1, ("v", "x"): 1}
    assert found.summary["rows"]["merged"] == 4  # two identical rows, two other events of u with x
    assert heard.warned == []
    assert any("2 rows the same as others in all columns" in text for text in heard.said)


def test_distinct_is_what_one_export_gives(tmp_path: Path) -> None:
    whole = made(tmp_path, TIMED, JANUARY)[0].interactions
    twice = made(tmp_path, TIMED, JANUARY, JANUARY, duplicates="distinct")[0].interactions
    for name, rows in whole.splits.items():
        assert rows.equals(twice.splits[name])


@pytest.mark.parametrize("how", ["last", "max"])
def test_where_repeats_do_not_add_up_nothing_is_said(tmp_path: Path, how: str) -> None:
    assert made(tmp_path, TIMED, JANUARY, FEBRUARY, duplicates=how)[1].warned == []


def test_files_that_do_not_overlap_are_silent(tmp_path: Path) -> None:
    assert made(tmp_path, TIMED, JANUARY, ["u,x,view,2", "u,y,buy,5", "w,x,view,7"])[1].warned == []


def test_rows_repeated_in_one_file_are_events(tmp_path: Path) -> None:
    assert made(tmp_path, TIMED, [*JANUARY, *JANUARY])[1].warned == []


def test_without_times_a_repeat_may_be_chance(tmp_path: Path) -> None:
    plays = ["u,x", "u,x", "u,y", "v,x"]
    assert made(tmp_path, "user_id,item_id", plays, ["u,x", "u,z", "v,z", "w,z"])[1].warned == []
    (warning,) = made(tmp_path, "user_id,item_id", plays, plays)[1].warned
    assert "4 rows of 4 in later files" in warning


def test_ratings_and_weights_tell_rows_apart(tmp_path: Path) -> None:
    header = "user_id,item_id,rating,plays,timestamp"
    first, second = ["u,x,5,1,1", "u,y,5,1,1", "u,z,5,1,1"], ["u,x,4,1,1", "u,y,5,2,1", "u,z,5,1,1"]
    (warning,) = made(tmp_path, header, first, second, weight_column="plays")[1].warned
    assert "1 row of 3 in later files" in warning and "item 'z'" in warning


def test_a_test_file_does_not_repeat_the_log(tmp_path: Path) -> None:
    test = write(tmp_path / "test.csv", TIMED, *FEBRUARY)
    _, heard = made(
        tmp_path, TIMED, JANUARY, ["w,x,view,1"], test_file=(str(test),), test_size=None, validation_size=None
    )
    assert not any("later files" in text for text in heard.warned)


def test_pseudonyms_are_in_the_warning(tmp_path: Path) -> None:
    key = write(tmp_path / "key", "0123456789abcdef")
    (warning,) = made(tmp_path, TIMED, JANUARY, FEBRUARY, pseudonymize=True, key_file=str(key))[1].warned
    assert ("'u'" not in warning and "item 'y'" in warning) or "item 'x'" in warning


rows_of_files = st.lists(
    st.tuples(st.integers(0, 3), st.integers(0, 3), st.integers(1, 2), st.integers(0, 2), st.integers(0, 2))
)


@given(events=rows_of_files, drop=st.booleans(), block=st.sampled_from([1, 3, 1000]))
def test_identical_rows_are_counted_exactly(events: list[tuple[int, ...]], drop: bool, block: int) -> None:
    names = ("user", "item", "value", "timestamp", "file")
    types = (np.int32, np.int32, np.float32, np.int64, np.uint32)
    columns = {n: np.array([e[k] for e in events], dtype=types[k]) for k, n in enumerate(names)}
    rows = Rows(columns)
    found = find_identical(rows, 4, drop, block)
    counts = Counter(event[:4] for event in events)
    assert found.rows == len(events) - len(counts)
    assert len(rows) == (len(counts) if drop else len(events))
    first = {event[:4]: event[4] for event in reversed(events)}
    assert found.across == sum(event[4] != first[event[:4]] for event in events)
    assert "file" not in rows
