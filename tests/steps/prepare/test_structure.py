"""`recli prepare` on logs that are not one event a row: lists, impressions, blocks, matrices, joined and nested."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from recli.storage import runs

Recli = Callable[..., tuple[int, str, str]]
Prepare = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture
def prepared(tmp_path: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch) -> Prepare:
    """Write files and prepare the first: `summary, messages = prepared({"log.csv": text}, *options)`."""
    monkeypatch.chdir(tmp_path)

    def call(files: dict[str, str], *options: object, code: int = 0) -> tuple[dict[str, Any], str]:
        for name, text in files.items():
            (tmp_path / name).write_text(text, encoding="utf-8")
        _, out, err = recli("prepare", next(iter(files)), "--out", "run", "--json", *options, code=code)
        return (json.loads(out) if code == 0 else {}), " ".join(err.split())

    return call


def account(summary: dict[str, Any]) -> int:
    """The rows that are accounted for."""
    rows = summary["rows"]
    return int(
        rows["kept"] + rows["merged"] + sum(rows["filtered"].values()) + sum(rows["rejected"].values())
    )


def mind() -> str:
    """40 impressions of 5 users: one click and two items that were not clicked in each, and a history of 3."""
    lines = []
    for k in range(40):
        shown = " ".join(f"N{(k * n) % 17}-{int(n == 1 + k % 3)}" for n in (1, 2, 3))
        history = " ".join(f"N{20 + (k % 5 + n) % 7}" for n in range(3))
        lines.append(f"{k}\tU{k % 5}\t2019-11-{1 + k % 28:02} 10:00:00\t{history}\t{shown}")
    return "\n".join(lines) + "\n"


MIND = ("--no-header", "--columns", "id,user_id,time,history,impressions", "--item-column", "impressions")


def test_case_09_impressions_read_as_one_id_are_warned_of_also_quietly(prepared: Prepare) -> None:
    _, messages = prepared({"behaviors.tsv": mind()}, *MIND, "-q")
    assert (
        "warning: impressions looks like lists: 40 different ids in 40 rows, most with blanks in them"
        in messages
    )
    assert (
        "--explode impressions:blank makes 120 impressions, clicked (-1) or not (-0), of 17 ids" in messages
    )


def test_case_09_clicks_are_events_and_other_impressions_are_counted(prepared: Prepare) -> None:
    summary, messages = prepared({"behaviors.tsv": mind()}, *MIND, "--explode", "impressions:blank")
    assert summary["exploded"] == {"rows": 40, "events": 120, "empty": 0}
    assert summary["rows"]["in"] == account(summary) == 120
    assert summary["rows"]["filtered"] == {"impressions": 80}
    assert "lists in impressions (blanks): 40 rows are 120 events" in messages
    assert (
        "80 impressions that were not clicked (-0) are left out; --event-weights click=1,impression=0.1"
        in messages
    )
    assert all(item.startswith("N") and "-" not in item for item in items())


def items() -> list[str]:
    return runs.read_interactions(Path("run")).items["item_id"].to_list()


def test_case_09_weights_keep_impressions_and_histories_come_first(prepared: Prepare) -> None:
    weights = ("--event-weights", "click=1,impression=0.1")
    summary, _ = prepared({"behaviors.tsv": mind()}, *MIND, "--explode", "impressions", *weights)
    assert summary["rows"]["filtered"] == {} and summary["rows"]["in"] == account(summary) == 120
    more = ("--explode", "impressions", "--explode", "history", "--split", "leave-last-out")
    summary, messages = prepared({"behaviors.tsv": mind()}, *MIND, *more)
    assert summary["exploded"] == {
        "rows": 40,
        "events": 135,
        "empty": 0,
    }  # 3 different items for each of 5 users
    assert summary["rows"]["in"] == account(summary) == 135
    assert (
        "history: 120 items, 15 different ones of their users, just before the first row that has them"
        in messages
    )
    train = runs.read_interactions(Path("run")).splits["train"]
    assert train.height == summary["splits"]["train"] >= 15


def test_case_25_netflix_blocks_are_read_and_said(prepared: Prepare) -> None:
    text = "".join(
        f"{m}:\n" + "".join(f"{u},{1 + u % 5},2011-06-{1 + u:02}\n" for u in range(6)) for m in range(8)
    )
    summary, messages = prepared({"combined_data_1.txt": text})
    assert summary["rows"]["kept"] == 48 and summary["users"] == 6 and summary["items"] == 8
    assert "has blocks of events below the item_id, '0:': read as --format netflix" in messages


def test_case_25_a_matrix_is_named_and_read_by_its_format(prepared: Prepare) -> None:
    cells = [[(u * j) % 9 - 4.5 if (u + j) % 3 == 0 else 99 for j in range(12)] for u in range(9)]
    text = "".join(",".join(map(str, [sum(c != 99 for c in row), *row])) + "\n" for row in cells)
    _, messages = prepared({"jester.csv": text}, code=3)
    assert "13 numbers in each line and no header" in messages and "read it so: --format matrix" in messages
    summary, messages = prepared({"jester.csv": text}, "--format", "matrix")
    assert summary["rows"]["in"] == account(summary) == sum(c != 99 for row in cells for c in row)
    assert "the first column counts its ratings, 99 is no rating" in messages


def test_case_25_lines_of_a_user_and_its_items_are_read_also_as_test(prepared: Prepare) -> None:
    train = "".join(f"{u} {' '.join(str((u + n) % 13) for n in range(6))}\n" for u in range(8))
    test = "".join(f"{u} {' '.join(str((u + n) % 13) for n in range(6, 9 + u % 2))}\n" for u in range(8))
    options = ("--no-header", "--columns", "user_id,item_id", "--separator", " ")
    summary, messages = prepared({"train.txt": train, "test.txt": test}, *options, "--test-file", "test.txt")
    assert summary["splits"]["train"] == 48 and summary["splits"]["test"] == 28
    assert summary["exploded"] == {"rows": 16, "events": 76, "empty": 0}
    assert "train.txt has the items of a user in each line" in messages


def shop() -> dict[str, str]:
    lines = "order_id,product_id,add_to_cart_order\n"
    lines += "".join(f"{o},{(o * n) % 11},{n}\n" for o in range(30) for n in range(1, 4))
    orders = "order_id,user_id,order_date\n" + "".join(
        f"{o},u{o % 6},2020-01-{1 + o % 28:02}\n" for o in range(30)
    )
    products = "product_id,product_name\n" + "".join(f"{p},Milk {p}\n" for p in range(11))
    return {"order_products.csv": lines, "orders.csv": orders, "products.csv": products}


def test_case_26_the_order_table_is_found_and_joined(prepared: Prepare) -> None:
    _, messages = prepared(shop(), "--items", "products.csv", code=3)
    assert "no column for the user; columns: order_id, product_id" in messages
    assert "orders.csv beside it has order_id and user_id: --join orders.csv:order_id, or name it" in messages
    joined = ("--join", "orders.csv:order_id", "--time-column", "order_date")
    summary, _ = prepared(shop(), "--items", "products.csv", *joined)
    assert summary["users"] == 6 and summary["rows"]["in"] == account(summary) == 90
    assert summary["columns"]["time"] == "order_date" and summary["catalogue"]["items_without_text"] == 0
    stored = json.loads(Path("run/interactions/manifest.json").read_text())
    assert stored["config"]["join"] == ["orders.csv:order_id"]


def test_case_26_orders_as_users_are_said(prepared: Prepare) -> None:
    _, messages = prepared(shop(), "--user-column", "order_id")
    assert "each order_id is a user; orders.csv beside it has order_id and user_id: --join" in messages


def test_case_26_rows_without_an_order_stop_above_the_limit(prepared: Prepare) -> None:
    files = shop()
    files["orders.csv"] = "".join(files["orders.csv"].splitlines(keepends=True)[:20])
    _, messages = prepared(files, "--join", "orders.csv:order_id", code=3)
    assert "33 of 90 rows cannot be used" in messages and "33 not in orders.csv" in messages
    assert "33 not in orders.csv in order_id (order_products.csv:59 '19')" in messages


def test_case_27_nested_events_by_dotted_paths(prepared: Prepare) -> None:
    rows = [
        {"event": "view", "properties": {"user_id": k % 7, "item": {"id": k % 5}}, "ts": k} for k in range(35)
    ]
    files = {"nested.jsonl": "".join(json.dumps(row) + "\n" for row in rows)}
    _, messages = prepared(files, code=3)
    assert "name them: --user-column properties.user_id --item-column properties.item.id" in messages
    options = ("--user-column", "properties.user_id", "--item-column", "properties.item.id")
    assert prepared(files, *options)[0]["rows"]["kept"] == 35
    _, messages = prepared(files, *options[:3], "properties.item", code=3)
    assert (
        "the column 'properties.item' is an object with the fields id, which cannot be the item" in messages
    )


def test_case_27_arrays_of_items_become_events(prepared: Prepare) -> None:
    rows = [
        {
            "user_pseudo_id": f"1.{k % 6}",
            "items": [{"item_id": f"S{(k + n) % 9}", "quantity": n + 1} for n in range(2)],
        }
        for k in range(30)
    ]
    files = {"ga4.jsonl": "".join(json.dumps(row) + "\n" for row in rows)}
    user = ("--user-column", "user_pseudo_id")
    _, messages = prepared(files, *user, "--item-column", "items", code=3)
    assert "'items' is a list of objects with the fields item_id, quantity" in messages
    assert "name one of the fields: --item-column items.item_id" in messages
    for explode in ((), ("--explode", "items")):
        summary, messages = prepared(files, *user, "--item-column", "items.item_id", *explode)
        assert summary["exploded"] == {"rows": 30, "events": 60, "empty": 0}
        assert summary["rows"]["in"] == account(summary) == 60


def test_case_27_object_ids_are_unwrapped_and_said(prepared: Prepare) -> None:
    rows = [{"user_id": {"$oid": f"{k % 5}"}, "item_id": k % 7, "rating": 1 + k % 5} for k in range(35)]
    summary, messages = prepared({"mongo.jsonl": "".join(json.dumps(row) + "\n" for row in rows)})
    assert summary["rows"]["kept"] == 35
    assert 'the values of user_id are taken out of their wrappers, such as {"$oid": "0"}' in messages


def test_a_common_log_is_read_without_a_word_of_lists(prepared: Prepare) -> None:
    text = "user_id,item_id\n" + "".join(f"u{k % 7},{k % 5}\n" for k in range(35))
    summary, messages = prepared({"log.csv": text})
    assert "exploded" not in summary
    assert not {"warning", "lists", "read as", "join"} & set(messages.split())
