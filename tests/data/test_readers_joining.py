"""Columns of the events in another table: matched by a key, every row without a match counted."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recli.data.readers import EventLog, ReadOptions, read_events, streams
from recli.errors import InvalidDataError, RecliError, UsageError

LINES = "order_id,product_id,n\no1,a,1\no1,b,1\no2,a,2\n"
ORDERS = "order_id,user_id,when,n\no2,v,20,8\n o1 ,u,10,9\no9,w,30,7\n"


def read(folder: Path, join: str | tuple[str, ...], lines: str = LINES, **options: Any) -> EventLog:
    (folder / "lines.csv").write_text(lines)
    joins = tuple(f"{folder}/{text}" for text in ((join,) if isinstance(join, str) else join))
    return read_events([str(folder / "lines.csv")], ReadOptions(join=joins, **options), folder / "spool")


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        (folder / f"{name}.csv").write_text(text)


def test_the_user_and_the_time_come_from_the_joined_table(tmp_path: Path) -> None:
    write(tmp_path, orders=ORDERS)
    log = read(tmp_path, "orders.csv:order_id", time_column="when", weight_column="n")
    assert log.events.collect().rows() == [
        ("u", "a", 1.0, 10_000_000), ("u", "b", 1.0, 10_000_000), ("v", "a", 2.0, 20_000_000),
    ]  # fmt: skip
    assert log.columns == {"user": "user_id", "item": "product_id", "weight": "n", "time": "when"}
    assert log.unused == () and log.rows == 3


def test_rows_without_a_match_are_rejects_with_their_key(tmp_path: Path) -> None:
    write(tmp_path, orders=ORDERS)
    log = read(tmp_path, "orders.csv:order_id", LINES + "o7,a,1\n,b,1\n")
    assert log.rejected == {"not in orders.csv": 2} and log.rows == 5
    rejects = log.rejects.select("file", "line", "column", "raw", "value").collect().rows()
    assert rejects == [
        ("lines.csv", 5, "order_id", "o7,a,1", "o7"),
        ("lines.csv", 6, "order_id", ",b,1", None),
    ]


def test_tables_are_joined_in_turn_and_by_columns_of_other_names(tmp_path: Path) -> None:
    write(tmp_path, orders="id;customer\no1;7\no2;8\n", customers="customer\tuser_id\n7\tu\n8\tv\n")
    log = read(tmp_path, ("orders.csv:order_id=id", "customers.csv:customer"))
    assert log.events.collect().rows() == [("u", "a"), ("u", "b"), ("v", "a")]


@pytest.mark.parametrize("kind", ["jsonl", "parquet", "csv.gz"])
def test_the_joined_table_is_of_any_format(tmp_path: Path, kind: str) -> None:
    orders = pl.DataFrame({"order_id": ["o1", "o2"], "user_id": [1, 2], "x": ["p", "q"]})
    path = tmp_path / f"orders.{kind}"
    if kind == "jsonl":
        orders.write_ndjson(path)
    elif kind == "parquet":
        orders.write_parquet(path)
    else:
        import gzip

        path.write_bytes(gzip.compress(orders.write_csv().encode()))
    assert read(tmp_path, f"orders.{kind}:order_id").events.collect().rows() == [
        ("1", "a"),
        ("1", "b"),
        ("2", "a"),
    ]


def test_keys_and_columns_may_lie_inside_objects(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"order": {"id": 1}, "item_id": "a"}\n' * 3)
    (tmp_path / "orders.jsonl").write_text('{"order": {"no": 1}, "customer": {"id": "u"}}\n')
    options = ReadOptions(user_column="customer.id", join=(f"{tmp_path}/orders.jsonl:order.id=order.no",))
    log = read_events([str(tmp_path / "log.jsonl")], options, tmp_path / "spool")
    assert log.events.collect().rows() == [("u", "a")] * 3


def test_a_large_log_is_joined_block_by_block_and_the_table_read_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "BLOCK", 30)
    monkeypatch.setattr(streams, "_READ", 30)
    write(tmp_path, orders=ORDERS)
    log = read(tmp_path, "orders.csv:order_id", LINES + "o2,c,1\n" * 40)
    assert log.events.collect().height == 43


def test_rows_of_one_key_must_be_alike_in_the_columns_used(tmp_path: Path) -> None:
    write(tmp_path, orders="order_id,user_id,x\no1,u,1\no1,u,2\no2,v,3\n")
    assert read(tmp_path, "orders.csv:order_id").rows == 3
    write(tmp_path, orders="order_id,user_id\no1,u\no1,w\no2,v\n")
    with pytest.raises(
        InvalidDataError, match=r"1 value of 'order_id' in several rows that differ in user_id, .*'o1'"
    ):
        read(tmp_path, "orders.csv:order_id")


def test_a_table_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, orders="order_id,user_id\n1,u\n2,v\n")
    with pytest.raises(
        InvalidDataError, match=r"none of its values of 'order_id', such as 'o1', is in orders.csv.*'1'"
    ):
        read(tmp_path, "orders.csv:order_id")


def test_what_cannot_be_joined_is_said(tmp_path: Path) -> None:
    write(tmp_path, orders=ORDERS)
    with pytest.raises(UsageError, match=r"no column 'id' \(--join\); columns: order_id, user_id, when, n"):
        read(tmp_path, "orders.csv:order_id=id")
    with pytest.raises(
        UsageError, match=r"no column 'id' to join orders.csv by; columns: order_id, product_id, n"
    ):
        read(tmp_path, "orders.csv:id=order_id")
    with pytest.raises(UsageError, match="is not FILE:COLUMN"):
        read(tmp_path, "orders.csv")
    with pytest.raises(RecliError, match=r"there is no file .*order\.csv"):
        read(tmp_path, "order.csv:order_id")
    with pytest.raises(RecliError, match="standard input cannot be joined"):
        read_events([str(tmp_path / "lines.csv")], ReadOptions(join=("-:order_id",)), tmp_path / "spool")


def test_a_table_beside_the_log_is_offered_for_a_missing_user(tmp_path: Path) -> None:
    write(tmp_path, aisles="aisle_id,aisle\n1,x\n", orders=ORDERS)
    with pytest.raises(InvalidDataError, match="no column for the user") as error:
        read(tmp_path, ())
    assert (error.value.fix or "").startswith("orders.csv beside it has order_id and user_id: --join ")
    option = f"{tmp_path}/orders.csv:order_id"
    assert option in (error.value.fix or "") and read(tmp_path, "orders.csv:order_id").rows == 3
    log = read(tmp_path, (), user_column="order_id")
    assert log.notes == (
        f"each order_id is a user; orders.csv beside it has order_id and user_id: --join {option} makes their users "
        "the users",
    )
    with pytest.raises(InvalidDataError, match="no column for the item") as reverse:
        read_events([str(tmp_path / "orders.csv")], ReadOptions(), tmp_path / "spool3")
    assert (
        f"lines.csv beside it has order_id and product_id: name it as the log, with --join {option}"
        in str(reverse.value)
    )
    (tmp_path / "orders.csv").unlink()
    with pytest.raises(InvalidDataError) as alone:
        read(tmp_path, ())
    assert (alone.value.fix or "").endswith("where another file has it: --join FILE:COLUMN_OF_BOTH")
