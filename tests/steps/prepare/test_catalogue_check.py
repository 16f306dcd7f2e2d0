"""Catalogues that share few ids, or none, with the log: what `prepare` says, asks and refuses."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest

from recli.storage import runs

Recli = Callable[..., tuple[int, str, str]]
Prepare = Callable[..., tuple[int, str]]


@pytest.fixture
def prepare(tmp_path: Path, recli: Recli) -> Prepare:
    """Prepare a log of the item ids and a catalogue of these, quietly: the exit code and what is said."""

    def call(
        log: Sequence[str], catalogue: Sequence[str], *options: object, code: int = 0
    ) -> tuple[int, str]:
        rows = [f"u{user},{item}" for item in log for user in range(4)]
        (tmp_path / "log.csv").write_text("\n".join(["user_id,item_id", *rows]) + "\n")
        titles = [f"{item},Title {i}" for i, item in enumerate(catalogue)]
        (tmp_path / "items.csv").write_text("\n".join(["item_id,title", *titles]) + "\n")
        _, _, err = recli(
            "prepare", tmp_path / "log.csv", "--items", tmp_path / "items.csv", "-q",
            "--out", tmp_path / "run", *options, code=code,
        )  # fmt: skip
        return code, err

    return call


NUMBERS = [str(i) for i in range(1, 31)]


@pytest.mark.parametrize(
    ("log", "catalogue", "beside", "advice"),
    [
        (NUMBERS, [f"{int(i):04d}" for i in NUMBERS], "'1' beside '0001'", "--normalize-ids integer"),
        ([f"{int(i):04d}" for i in NUMBERS], NUMBERS, "'0001' beside '1'", "--normalize-ids integer"),
        ([f"sku-{i}" for i in NUMBERS], [f"SKU-{i}" for i in NUMBERS], "beside 'SKU-", "--normalize-ids lower"),
        ([f"a{i}" for i in NUMBERS], [f"a{i}\u200b" for i in NUMBERS], "beside 'a1\\u200b'", "--normalize-ids"),
        ([f"tt{int(i):07d}" for i in NUMBERS], NUMBERS, "'tt0000001' beside '1'", "'tt' cut from the log's ids"),
        (NUMBERS, [f"gid://shop/Product/{i}" for i in NUMBERS], "beside 'gid://shop/Product/1'", "cut from the cat"),
        (["a", "b", "c"], ["x", "y", "z"], "'a' beside 'x'", "--item-id-column"),
    ],
)  # fmt: skip
def test_case_07_a_catalogue_that_shares_no_id_is_an_error(
    prepare: Prepare, log: list[str], catalogue: list[str], beside: str, advice: str
) -> None:
    _, err = prepare(log, catalogue, code=3)
    assert f"none of the {len(log)} items of the log is in the catalogue" in err
    assert beside in err
    assert advice in err


def test_case_07_a_catalogue_that_has_few_of_the_items_is_a_warning_with_figures(prepare: Prepare) -> None:
    _, err = prepare(NUMBERS, ["1", "2", *(f"x{c}" for c in "abcdefgh")])
    assert "only 2 of 30 items of the log (7%, with 7% of the events) are in it: '10' beside 'xa'" in err
    assert "--normalize-ids" not in err  # would not help


def test_case_07_a_form_of_the_ids_that_adds_some_is_a_warning(prepare: Prepare) -> None:
    zeros = [f"{int(i):02d}" for i in NUMBERS]  # only 1 to 9 have got a zero
    _, err = prepare(NUMBERS, zeros)
    assert "21 of 30 items of the log (70%, with 70% of the events) are in it: '1' beside '01'" in err
    assert "with --normalize-ids integer: 100%" in err


@pytest.mark.parametrize(
    "catalogue",
    [
        NUMBERS,
        NUMBERS[:20],  # a third unknown: no other form has them
        [*NUMBERS, "A1", "a1"],
        [*NUMBERS, *(f"0{i}" for i in NUMBERS)],  # 1 and 01 are two items
    ],
)
def test_case_07_a_catalogue_that_fits_is_no_warning(prepare: Prepare, catalogue: list[str]) -> None:
    assert prepare(NUMBERS, catalogue)[1] == ""


def test_the_match_rate_is_printed(tmp_path: Path, recli: Recli) -> None:
    (tmp_path / "log.csv").write_text(
        "user_id,item_id\n" + "".join(f"u{u},{i}\n" for u in range(4) for i in "abc")
    )
    (tmp_path / "items.csv").write_text("item_id,title\na,A\nb,B\n")
    _, _, err = recli(
        "prepare", tmp_path / "log.csv", "--items", tmp_path / "items.csv", "--out", tmp_path / "run"
    )
    assert "catalogue: 2 of 3 items of the log (67%, with 67% of the events) are in it" in err


def test_case_07_the_column_of_the_catalogue_that_has_the_ids_is_named(tmp_path: Path, recli: Recli) -> None:
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    log.write_text("user_id,item_id\n" + "".join(f"u{u},p{i}\n" for u in range(4) for i in range(9)))
    items.write_text("item_id,title,article code\n" + "".join(f"{i},T{i},p{i}\n" for i in range(9)))
    _, _, err = recli("prepare", log, "--items", items, "--out", tmp_path / "run", "-q", code=3)
    assert "with --item-id-column 'article code': 100%" in err
    recli(
        "prepare", log, "--items", items, "--item-id-column", "article code", "--out", tmp_path / "run", "-q"
    )  # fmt: skip
    assert runs.read_interactions(tmp_path / "run").items["text"].to_list() == [f"T{i}" for i in range(9)]


def _amazon(folder: Path, parents: int = 30) -> tuple[Path, Path]:
    """Reviews with asin and parent_asin, and metadata by parent_asin."""
    reviews = [
        {"user_id": f"u{u}", "asin": f"B{i:03d}V", "parent_asin": f"B{i:03d}", "rating": 5.0}
        for u in range(4)
        for i in range(30)
    ]
    meta = [{"title": f"Card {i}", "parent_asin": f"B{i:03d}"} for i in range(parents)]
    log, items = folder / "log.jsonl", folder / "meta.jsonl"
    log.write_text("\n".join(map(json.dumps, reviews)))
    items.write_text("\n".join(map(json.dumps, meta)))
    return log, items


def test_case_05_of_two_columns_that_fit_the_one_that_the_catalogue_has_is_the_item(
    tmp_path: Path, recli: Recli
) -> None:
    log, items = _amazon(tmp_path)
    _, _, err = recli("prepare", log, "--items", items, "--out", tmp_path / "run")
    assert "item = parent_asin of the log" in err
    assert "0% of the values of 'asin'" in err
    assert runs.read_interactions(tmp_path / "run").items["text"].null_count() == 0


def test_case_05_a_column_that_shares_no_id_is_refused_with_the_one_that_does(
    tmp_path: Path, recli: Recli
) -> None:
    log, items = _amazon(tmp_path)
    _, _, err = recli(
        "prepare", log, "--items", items, "--item-column", "asin", "-q", "--out", tmp_path / "run", code=3
    )
    assert "'B000V' beside 'B000'" in err
    assert "--item-column parent_asin: 100%" in err


def test_case_05_without_a_catalogue_both_columns_are_named(tmp_path: Path, recli: Recli) -> None:
    log, _ = _amazon(tmp_path)
    _, _, err = recli("prepare", log, "--out", tmp_path / "run", code=3)
    assert "--item-column asin or --item-column parent_asin" in err


def test_case_05_of_two_columns_of_the_catalogue_the_one_with_the_ids_is_taken(
    tmp_path: Path, recli: Recli
) -> None:
    log = pl.DataFrame({"user": [f"u{k % 5}" for k in range(60)], "item": [f"p{k % 20}" for k in range(60)]})
    items = pl.DataFrame(
        {"track_id": range(20), "song_id": [f"p{k}" for k in range(20)], "name": [f"S{k}" for k in range(20)]}
    )
    log.write_csv(tmp_path / "log.csv")
    items.write_parquet(tmp_path / "items.parquet")
    _, _, err = recli(
        "prepare", tmp_path / "log.csv", "--items", tmp_path / "items.parquet", "--out", tmp_path / "run"
    )
    assert "song_id of the catalogue" in err


def test_case_05_where_the_values_do_not_tell_all_columns_are_named(tmp_path: Path, recli: Recli) -> None:
    log, items = tmp_path / "log.csv", tmp_path / "items.csv"
    log.write_text("user,track_id,song_id\n" + "".join(f"u{k % 5},{k % 20},{k % 20}\n" for k in range(60)))
    items.write_text("item_id,title\n" + "".join(f"{k},T{k}\n" for k in range(20)))
    _, _, err = recli("prepare", log, "--items", items, "--out", tmp_path / "run", code=3)
    assert "--item-column track_id or --item-column song_id" in err
    assert "100% of the values of 'track_id'" in err


@pytest.mark.parametrize(
    ("log", "items"),
    [
        ("user_id,item_id\na,x\nb,y\n", "item_id,item_id,title\nx,1,T\ny,2,U\n"),
        ("user_id,item_id,item_id\na,x,1\nb,y,2\n", "item_id,title\nx,T\ny,U\n"),
    ],
)
def test_two_item_columns_of_one_name_are_an_error(
    tmp_path: Path, recli: Recli, log: str, items: str
) -> None:
    (tmp_path / "log.csv").write_text(log)
    (tmp_path / "items.csv").write_text(items)
    _, _, err = recli(
        "prepare", tmp_path / "log.csv", "--items", tmp_path / "items.csv", "--out", tmp_path / "run", code=3
    )
    assert "'item_id' and 'item_id'" in err and "rename or remove one of them" in err
