"""Values inside objects: dotted paths in JSON and Parquet, MongoDB's wrappers, JSON too deep to read."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recli.data.readers import ITEMS, EventLog, ReadOptions, read_catalogue, read_events
from recli.errors import InvalidDataError, UsageError

ROWS = [
    {"who": {"id": f"u{k}", "name": "x"}, "order": {"lines": [{"sku": "a", "n": 2}, {"sku": "b", "n": 1}]}, "ts": k}
    for k in range(3)
]  # fmt: skip
PATHS = {"user_column": "who.id", "item_column": "order.lines.sku"}


def read(folder: Path, rows: Sequence[Any], parquet: bool = False, **options: Any) -> EventLog:
    path = folder / ("log.parquet" if parquet else "log.jsonl")
    if parquet:
        pl.DataFrame(rows).write_parquet(path)
    else:
        path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return read_events([str(path)], ReadOptions(**options), folder / "spool")


@pytest.mark.parametrize("parquet", [False, True])
def test_dotted_paths_go_through_objects_and_lists(tmp_path: Path, parquet: bool) -> None:
    log = read(tmp_path, ROWS, parquet, **PATHS, weight_column="order.lines.n")
    assert log.columns == {
        "user": "who.id",
        "item": "order.lines.sku",
        "weight": "order.lines.n",
        "time": "ts",
    }
    events = log.events.select("user_id", "item_id", "weight").collect().rows()
    assert events == [(f"u{k}", item, n) for k in range(3) for item, n in (("a", 2.0), ("b", 1.0))]
    assert log.exploded == (3, 6, 0) and log.unused == ()


def test_an_object_may_stand_where_others_have_lists(tmp_path: Path) -> None:
    rows = [
        *ROWS,
        {"who": {"id": "v"}, "order": {"lines": {"sku": "c", "n": 5}}},
        {"who": {"id": "w"}, "order": None},
    ]
    log = read(tmp_path, rows, **PATHS, time_column="")
    assert log.events.collect().rows()[-1] == ("v", "c")
    assert log.rows == 7 and log.exploded == (5, 7, 1)


@pytest.mark.parametrize("parquet", [False, True])
def test_an_object_is_named_with_its_fields(tmp_path: Path, parquet: bool) -> None:
    with pytest.raises(
        InvalidDataError, match="'who' is an object with the fields id, name, which cannot be"
    ) as error:
        read(tmp_path, ROWS, parquet, user_column="who", item_column="order.lines.sku")
    assert error.value.fix == "name one of the fields: --user-column who.id"
    with pytest.raises(UsageError, match=r"no column 'who.uid' .*who is an object with the fields id, name"):
        read(tmp_path, ROWS, parquet, user_column="who.uid", item_column="order.lines.sku")


def test_missing_columns_are_looked_for_inside_objects(tmp_path: Path) -> None:
    rows = [{"properties": {"user_id": 1, "item": {"id": 2}}}] * 3
    with pytest.raises(
        InvalidDataError, match=r"properties is an object with the fields user_id, item\.id"
    ) as error:
        read(tmp_path, rows)
    assert error.value.fix == "name them: --user-column properties.user_id --item-column properties.item.id"


def test_a_part_of_the_missing_columns_is_found(tmp_path: Path) -> None:
    with pytest.raises(InvalidDataError, match="no column for the user and the item") as error:
        read(tmp_path, [{"pseudo": 1, "items": [{"item_id": 2}]}] * 3)
    assert error.value.fix == "name them: --user-column NAME --item-column items.item_id"


def test_a_column_with_a_dot_in_its_name_wins(tmp_path: Path) -> None:
    log = read(tmp_path, [{"who.id": "u", "who": {"id": "x"}, "item": "i"}], user_column="who.id")
    assert log.events.collect().rows() == [("u", "i")]


def test_wrappers_of_mongodb_are_taken_off(tmp_path: Path) -> None:
    row = {
        "user_id": {"$oid": "5f"},
        "item_id": {"$numberLong": "12345678901234567890"},
        "rating": {"$numberDouble": "4.5"},
        "date": {"$date": {"$numberLong": "1600000000000"}},
    }
    log = read(tmp_path, [row])
    assert log.events.collect().rows() == [("5f", "12345678901234567890", 4.5, 1_600_000_000_000_000)]
    assert "user_id, item_id, rating, date are taken out of their wrappers" in log.notes[0]
    log = read(tmp_path, [{"user_id": 1, "items": [{"_id": {"$oid": "a"}}]}], item_column="items._id")
    assert log.events.collect().rows() == [("1", "a")]


@pytest.mark.parametrize("depth", [100_000, 900, 300])
@pytest.mark.parametrize("parts", [("[", "]"), ('{"a":', "1", "}")])
def test_deep_json_is_a_reject_or_ignored(tmp_path: Path, depth: int, parts: tuple[str, ...]) -> None:
    deep = parts[0] * depth + (parts[1] if len(parts) > 2 else "") + parts[-1] * depth
    good = '{"user_id": 1, "item_id": 2}'
    assert read(tmp_path, [good, f'{{"user_id": {deep}, "item_id": 2}}'] + [good] * 3).rows == 5
    path = tmp_path / "items.jsonl"
    path.write_text(f'{{"item_id": 1, "title": "x"}}\n{{"item_id": 2, "title": "y", "z": {deep}}}\n')
    catalogue = read_catalogue([str(path)], ReadOptions(advice=ITEMS), None)
    assert catalogue.rows == 2 and set(catalogue.rejected) <= {"invalid JSON", "nested too deeply"}
    assert depth == 900 or (depth == 300) == (catalogue.rejected == {})


def test_numbers_that_no_float_holds_are_rejects(tmp_path: Path) -> None:
    digits = "9" * 400
    rows = [
        f'{{"user_id": 1, "item_id": 2, "rating": {n}}}' for n in ("3e38", "1e39", "-1e39", "1e400", digits)
    ]
    log = read(tmp_path, [*rows, f'{{"user_id": {digits}, "item_id": 2, "rating": 1}}'])
    assert log.rejected == {"number beyond 32-bit floats": 2, "number is not finite": 2}
    assert log.events.collect()["user_id"].to_list() == ["1", digits]


@pytest.mark.parametrize("parquet", [False, True])
def test_a_catalogue_has_dotted_fields_too(tmp_path: Path, parquet: bool) -> None:
    rows = [
        {
            "sku": {"id": "a"},
            "title": "Heat",
            "details": {"brand": "B", "tags": [{"name": "x"}, {"name": "y"}]},
        }
    ]
    path = tmp_path / ("items.parquet" if parquet else "items.jsonl")
    if parquet:
        pl.DataFrame(rows).write_parquet(path)
    else:
        path.write_text(json.dumps(rows[0]) + "\n")
    options = ReadOptions(item_column="sku.id", advice=ITEMS)
    frame = read_catalogue([str(path)], options, "{title} {details.brand} {details.tags.name}").frame
    assert frame.select("item_id", "text").rows() == [("a", "Heat B x, y")]


def test_json_in_the_cells_of_a_text_file_has_paths_too(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    lines = [
        f'"{{""id"": {k % 3}}}","[{{""sku"": ""a"", ""n"": 2}}, {{""sku"": ""b"", ""n"": 1}}]",{k}'
        for k in range(9)
    ]
    path.write_text("\n".join(["who,items,ts", *lines, 'x,"[{""sku"": ""c"", ""n"": 1}]",9']) + "\n")
    named = ReadOptions(user_column="who", item_column="items")
    warnings = read_events([str(path)], named, tmp_path / "spool").warnings
    assert "items is a list of objects with the fields sku, n" in warnings[0]
    assert warnings[0].endswith("name one of them: --item-column items.sku --explode items")
    assert warnings[1].endswith("name one of them: --user-column who.id")
    options = ReadOptions(
        user_column="who.id",
        item_column="items.sku",
        weight_column="items.n",
        explode=("items",),
        time_column="",
    )
    log = read_events([str(path)], options, tmp_path / "spool2")
    assert log.events.collect().rows() == [
        (str(k % 3), *event) for k in range(9) for event in (("a", 2.0), ("b", 1.0))
    ]
    assert log.rejected == {"missing user": 1} and log.exploded == (10, 19, 0)
