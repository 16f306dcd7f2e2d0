"""Ids: names of nothing are left out, floats are integers, spellings of one id are pointed out; sane ids are silent."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
from event_logs import Cells, Prepare, events, prepare_files, preparing, write_log

from recli.errors import UsageError

SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def prepared(tmp_path: Path) -> Prepare:
    return preparing(tmp_path)


def named(user: Any, item: Any = lambda e: e.item) -> Cells:
    return lambda event: [user(event), item(event), event.seconds]


def users(outcome: Any) -> set[str]:
    return set(outcome.events["user_id"])


def test_plain_ids_are_silent_and_as_they_are(prepared: Prepare) -> None:
    names = ["anna", "Bob", "nan", "Nil", "zoe", "Guest", "eve", "max", "tom"]
    codes = ["dQw4w9WgXcQ", "dQw4w9WgXcq", "aBcDeFgH", "AbCdEfGh", "x7Yz_Q1wE"]
    for made in (
        named(lambda e: e.user),
        named(lambda e: e.k % 30),  # 0 among them
        named(lambda e: names[e.k % 9]),
        named(lambda e: e.user, lambda e: ["None", "Alien", "Heat", "Up", "Unknown"][e.k % 5]),  # titles
        named(lambda e: e.user, lambda e: codes[e.k % 5]),  # case tells codes apart
        named(lambda e: f"{e.k % 30 / 2}"),  # not all end in .0
        named(lambda e: f"{e.k % 30:03d}"),
    ):
        outcome = prepared(made)
        assert not outcome.warned
        assert outcome.said == ["times: 2023-11-01 to 2024-02-08"]
        assert users(outcome) == {str(made(event)[0]) for event in events()}


NOTHING = ["nan", "NaN", "NULL", "null", "None", "undefined", "(not set)", "N/A", "<NA>", "nil"]


@pytest.mark.parametrize("name", [*NOTHING, "-1", "00000000-0000-0000-0000-000000000000"])
def test_case_30_ids_that_stand_for_none_are_left_out(prepared: Prepare, name: str) -> None:
    outcome = prepared(named(lambda e: name if e.k % 10 == 3 else e.user))
    assert outcome.prepared.summary["rows"]["filtered"] == {"missing_ids": 30}
    assert name not in users(outcome)
    (warning,) = outcome.warned
    assert f"30 events are left out because the user id stands for none: {name} (30)" in warning
    assert "--missing-ids none keeps them" in warning
    kept = prepared(named(lambda e: name if e.k % 10 == 3 else e.user), missing_ids="none")
    assert name in users(kept) and not kept.warned


def test_case_30_names_among_names_need_far_more_events_than_others(prepared: Prepare) -> None:
    def made(share: int) -> Cells:
        return named(lambda e: "nan" if e.k % share == 0 else "abcdefghijklmnop"[e.k % 16] * 3)

    assert not prepared(made(15)).warned
    assert "nan (100)" in prepared(made(3)).warned[0]


@pytest.mark.parametrize("name", ["guest", "anonymous", "Unknown"])
def test_case_30_names_of_many_are_asked_about(prepared: Prepare, name: str) -> None:
    cells = named(lambda e: name if e.k % 5 == 0 else e.user)
    outcome = prepared(cells)
    assert name in users(outcome)
    (warning,) = outcome.warned
    assert f"{name} (60)" in warning and f"--missing-ids 'auto,{name}'" in warning
    left_out = prepared(cells, missing_ids=f"auto,{name}")
    assert name not in users(left_out)


def test_case_30_an_item_of_the_catalogue_is_one(tmp_path: Path) -> None:
    log = write_log(
        tmp_path / "log.csv",
        named(lambda e: e.user, lambda e: "None" if e.k % 9 == 0 else e.item),
        "user,item,time",
    )
    items = tmp_path / "items.csv"
    items.write_text("item,title\n" + "".join(f"i{i},Title {i}\n" for i in range(50)) + "None,None\n")
    outcome = prepare_files(tmp_path / "run", (str(log),), items=(str(items),))
    assert "None" in set(outcome.events["item_id"])
    items.write_text("item,title\n" + "".join(f"i{i},Title {i}\n" for i in range(50)))
    outcome = prepare_files(tmp_path / "run", (str(log),), items=(str(items),))
    assert "None" not in set(outcome.events["item_id"])


def test_case_30_rows_of_a_catalogue_without_an_id_are_left_out(tmp_path: Path) -> None:
    log = write_log(tmp_path / "log.csv", named(lambda e: e.user), "user,item,time")
    items = tmp_path / "items.csv"
    items.write_text(
        "item,title\n" + "".join(f"i{i},Title {i}\n" for i in range(50)) + "nan,A\nN/A,B\nNone,C\n"
    )
    outcome = prepare_files(tmp_path / "run", (str(log),), items=(str(items),))
    (warning,) = outcome.warned
    assert "2 rows of the catalogue left out because the id stands for none: nan, N/A" in warning
    summary = outcome.prepared.summary["catalogue"]
    assert summary["rejected"] == {"id that stands for none": 2}
    assert outcome.prepared.interactions.n_items == 51
    kept = prepare_files(tmp_path / "run", (str(log),), items=(str(items),), missing_ids="none")
    assert kept.prepared.interactions.n_items == 53


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_case_20_float_ids_are_integers_in_log_and_catalogue(tmp_path: Path, kind: str) -> None:
    made = [(13_000.0 + event.k % 30, 7.0 + event.k % 9, event.seconds) for event in events()]
    frame = pl.DataFrame(made, schema=["user_id", "item_id", "timestamp"], orient="row")
    catalogue = pl.DataFrame(
        {"item_id": [7.0 + i for i in range(9)], "title": [f"Title {i}" for i in range(9)]}
    )
    whole = catalogue.with_columns(pl.col("item_id").cast(pl.Int64))
    for n, table in enumerate((catalogue, whole)):
        log, items = tmp_path / f"log{n}.{kind}", tmp_path / f"items{n}.{kind}"
        for found, path in ((frame, log), (table, items)):
            {"csv": found.write_csv, "parquet": found.write_parquet, "jsonl": found.write_ndjson}[kind](path)
        outcome = prepare_files(tmp_path / f"run{n}", (str(log),), items=(str(items),))
        assert users(outcome) == {str(13_000 + k) for k in range(30)}
        assert outcome.prepared.summary["catalogue"]["items_not_in_catalogue"] == 0
        assert ("read as integers" in outcome.all_said) == (kind != "jsonl")  # JSON has one kind of numbers
        assert not outcome.warned


def test_spellings_of_one_id_are_pointed_out_and_made_one(prepared: Prepare) -> None:
    spellings = {
        "lower": (lambda e: e.user.upper() if e.k >= 150 else e.user, "60 in case ('U0' and 'u0')"),
        "trim": (
            lambda e: f"{e.user}\u200b" if e.k >= 150 else e.user,
            "60 in blanks or invisible characters",
        ),
        "unicode": (
            lambda e: f"e\u0301{e.user}" if e.k >= 150 else f"\u00e9{e.user}",
            "60 in the form of char",
        ),
        "integer": (
            lambda e: f"{e.k % 30}.0" if e.k >= 150 else e.k % 30,
            "60 in a .0 at the end ('0' and '0.0')",
        ),
    }
    for mode, (user, told) in spellings.items():
        outcome = prepared(named(user))
        (warning,) = outcome.warned
        assert told in warning and f"--normalize-ids {mode} makes them one" in warning
        assert len(users(outcome)) == 60
        mended = prepared(named(user), normalize_ids=mode)
        assert len(users(mended)) == 30 and not mended.warned


def test_normalized_ids_meet_in_the_catalogue(tmp_path: Path) -> None:
    log = write_log(
        tmp_path / "log.csv", named(lambda e: e.user, lambda e: f"{e.k % 5:04d} a"), "user,item,time"
    )
    items = tmp_path / "items.csv"
    items.write_text(
        "item,title\n0  A,First\n0000 a,Again\n1 a,Second\n02 A,Third\n3\u00a0A,Fourth\n4 a,Fifth\n"
    )
    outcome = prepare_files(tmp_path / "run", (str(log),), items=(str(items),), normalize_ids="lower,trim")
    assert outcome.prepared.summary["catalogue"]["items_not_in_catalogue"] == 4
    log = write_log(
        tmp_path / "log.csv", named(lambda e: e.user, lambda e: f"{e.k % 3:04d}"), "user,item,time"
    )
    items.write_text("item,title\n0,First\n00,Again\n1.0,Second\n2,Third\n")
    outcome = prepare_files(tmp_path / "run", (str(log),), items=(str(items),), normalize_ids="integer")
    summary = outcome.prepared.summary["catalogue"]
    assert (summary["items_not_in_catalogue"], summary["duplicates"]) == (0, 1)
    assert set(outcome.events["item_id"]) == {"0", "1", "2"}


def test_pseudonymized_users_are_not_named(prepared: Prepare, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    secret = {"pseudonymize": True, "key_file": str(tmp_path / "key")}
    outcome = prepared(named(lambda e: f"{e.k % 30}.0"), **secret)
    assert "all user ids end in .0: they are read as integers" in outcome.said
    outcome = prepared(named(lambda e: e.user.upper() if e.k >= 150 else e.user), **secret)
    assert "U0" not in outcome.warned[0] and "60 in case;" in outcome.warned[0]


def test_unknown_ways_to_normalize_are_refused(prepared: Prepare) -> None:
    with pytest.raises(UsageError, match="'upper' is not one of lower, trim, integer, unicode"):
        prepared(named(lambda e: e.user), normalize_ids="lower,upper")
