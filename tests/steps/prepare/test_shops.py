"""Exports of shops as they are: columns are recognized, and later rows are filled from the first of an order."""

import csv
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recli.storage import runs

Recli = Callable[..., tuple[int, str, str]]

ORDERS = [
    "Name",
    "Email",
    "Financial Status",
    "Paid at",
    "Currency",
    "Subtotal",
    "Created at",
    "Lineitem quantity",
    "Lineitem name",
    "Lineitem price",
    "Lineitem sku",
    "Billing Name",
    "Vendor",
    "Id",
    "Tags",
]
PRODUCTS = [
    "Handle",
    "Title",
    "Body (HTML)",
    "Vendor",
    "Product Category",
    "Type",
    "Tags",
    "Published",
    "Option1 Name",
    "Option1 Value",
    "Variant SKU",
    "Variant Grams",
    "Variant Price",
    "Image Src",
    "Image Position",
    "Status",
]


def table(path: Path, names: Sequence[str], rows: Iterable[dict[str, Any]]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(rows)
    return path


def lines_of_orders(n: int = 40) -> Iterable[dict[str, Any]]:
    """Orders of three line items each, of 10 customers; what an order has once stands in its first row."""
    for order in range(n):
        for item in range(3):
            first = {
                "Email": f"c{order % 10}@shop.example",
                "Financial Status": "paid",
                "Created at": f"2024-03-{1 + order % 28:02d} 10:11:12 -0500",
                "Id": 5_000_000 + order,
            }
            yield {
                "Name": f"#{1000 + order}",
                **(first if item == 0 else {}),
                "Lineitem quantity": 1 + item,
                "Lineitem name": "a thing",
                "Lineitem sku": f"SKU-{(order * 3 + item * 5) % 16}",
            }


def variants(n: int = 8) -> Iterable[dict[str, Any]]:
    """Products with two variants and an image row each."""
    for k in range(n):
        first = {
            "Title": f"Shirt {k}",
            "Body (HTML)": f"<p>Soft &amp; warm {k}</p>",
            "Vendor": "Weavers",
            "Type": "Shirts",
            "Tags": "cotton, summer",
        }
        for variant in range(2):
            sku = {"Variant SKU": f"SKU-{2 * k + variant}", "Variant Price": f"{10 + k}.50"}
            yield {"Handle": f"shirt-{k}", **(first if variant == 0 else {}), **sku}
        yield {"Handle": f"shirt-{k}", "Image Src": "https://shop.example/x.jpg", "Image Position": 2}


def prepared(recli: Recli, log: Path, *options: object) -> tuple[Any, dict[str, Any], str]:
    run = log.parent / "run"
    _, out, err = recli("prepare", log, "--out", run, "--json", *options)
    return runs.read_interactions(run), json.loads(out), " ".join(err.split())


def test_shopify(recli: Recli, tmp_path: Path) -> None:
    log = table(tmp_path / "orders.csv", ORDERS, lines_of_orders())
    items = table(tmp_path / "products.csv", PRODUCTS, variants())
    found, summary, err = prepared(recli, log, "--items", items, "--items-max-rejects", "40%")
    assert summary["rows"]["in"] == 120 and summary["rows"]["rejected"] == {}
    assert found.users["user_id"].to_list() == [f"c{k}@shop.example" for k in range(10)]
    assert set(found.items["item_id"]) == {f"SKU-{k}" for k in range(16)}
    assert "same 'Name': 80 of 'Email', 80 of 'Created at'" in err
    assert summary["catalogue"]["items_without_text"] == 0
    texts = dict(found.items.select("item_id", "text").iter_rows())
    expected = "Shirt 3. Weavers. Shirts. cotton, summer. Soft & warm 3"
    assert texts["SKU-6"] == texts["SKU-7"] == expected  # the second variant's row has no title
    assert "of the same 'Handle': 16 of 'Title'" in err
    assert summary["catalogue"]["rejected"] == {"missing item": 8}
    values = found.splits["train"]["value"]
    assert values.max() < 10  # quantities count where they are asked for only
    weighed, _, _ = prepared(
        recli, log, "--items", items, "--items-max-rejects", "40%", "--weight-column", "Lineitem quantity",
        "--weight-transform", "none",
    )  # fmt: skip
    assert weighed.splits["train"]["value"].sum() > values.sum()


def test_shopify_products_by_handle(recli: Recli, tmp_path: Path) -> None:
    rows = [{"user_id": f"u{k % 9}", "product": f"shirt-{(k * k) % 8}"} for k in range(60)]
    log = table(tmp_path / "log.csv", ["user_id", "product"], rows)
    items = table(tmp_path / "products.csv", PRODUCTS, variants())
    found, summary, err = prepared(recli, log, "--items", items)
    assert "item = product of the log, Handle of the catalogue" in err
    assert summary["catalogue"]["rejected"] == {} and summary["catalogue"]["duplicates"] == 16
    assert found.items["text"][0].startswith("Shirt ")


def test_an_order_is_filled_across_batches_and_never_from_another(tmp_path: Path) -> None:
    from recli.data.readers import fill_down
    from recli.data.readers.table import Batch, Table

    parts = [
        pl.DataFrame({"line": [2, 3], "user": ["a@x", None], "key": ["#1", "#1"]}),
        pl.DataFrame({"line": [4, 5, 6], "user": [" ", None, "b@x"], "key": ["#1", "#2", "#3"]}),
        pl.DataFrame({"line": [7], "user": [None], "key": ["#3"]}, schema_overrides={"user": pl.String}),
    ]

    def batches(numbers: Any) -> Iterable[Batch]:
        key = next(name for name, k in numbers.items() if k == 0)
        for part in parts:
            yield Batch(part.rename({"key": key}), lambda lines: [])

    read = fill_down.orders(Table(["Name", "Email", "Lineitem sku"], batches), "orders.csv")  # type: ignore[arg-type]
    frames = pl.concat([batch.frame for batch in read.batches({"user": 1})])
    assert frames["user"].to_list() == ["a@x", "a@x", "a@x", None, "b@x", "b@x"]
    assert frames.columns == ["line", "user"]
    assert read.notes == [
        "orders.csv: empty cells filled from the row before of the same 'Name': 3 of 'Email'"
    ]


def test_woocommerce(recli: Recli, tmp_path: Path) -> None:
    names = [
        "ID",
        "Type",
        "SKU",
        "Name",
        "Published",
        "Short description",
        "Description",
        "Categories",
        "Tags",
        "Regular price",
        "Parent",
    ]
    rows = [
        {
            "ID": 100 + k,
            "Type": "simple",
            "SKU": f"W{k}",
            "Name": f"Mug {k}",
            "Short description": "A mug",
            "Description": "It holds tea",
            "Categories": "Kitchen > Mugs",
        }
        for k in range(8)
    ]
    items = table(tmp_path / "items.csv", names, rows)
    events = [{"Customer ID": k % 9, "sku": f"W{(k * k) % 8}", "Email": "x@y"} for k in range(60)]
    log = table(tmp_path / "log.csv", ["Email", "Customer ID", "sku"], events)
    found, _, err = prepared(recli, log, "--items", items)
    assert "item = sku of the log, SKU of the catalogue" in err
    assert set(found.users["user_id"]) == {str(k) for k in range(9)}  # the customer, not the address
    text = dict(found.items.select("item_id", "text").iter_rows())["W4"]
    assert text == "Mug 4. Kitchen > Mugs. A mug. It holds tea"


@pytest.mark.parametrize("key", ["id", "ID", "Handle", "Variant SKU", "SKU"])
def test_ids_of_a_catalogue(recli: Recli, tmp_path: Path, key: str) -> None:
    rows = [
        {key: f"G{k}", "title": f"Lamp {k}", "product_type": "Home > Lamps", "brand": "Lux"} for k in range(8)
    ]
    items = table(tmp_path / "feed.tsv.csv", [key, "title", "product_type", "brand"], rows)
    log = table(
        tmp_path / "log.csv",
        ["email", "Lineitem sku"],
        [{"email": f"u{k % 9}", "Lineitem sku": f"G{(k * k) % 8}"} for k in range(60)],
    )
    found, _, _ = prepared(recli, log, "--items", items)
    assert dict(found.items.select("item_id", "text").iter_rows())["G4"] == "Lamp 4. Lux. Home > Lamps"


def test_names_of_google_analytics(recli: Recli, tmp_path: Path) -> None:
    rows = [
        {
            "event_date": "20240301",
            "event_timestamp": 1_709_280_000_000_000 + k * 60_000_000,
            "event_name": "purchase" if k % 3 else "view_item",
            "user_pseudo_id": f"{k % 9}.17",
            "item_id": f"G{(k * k) % 8}",
        }
        for k in range(60)
    ]
    log = table(tmp_path / "ga.csv", list(rows[0]), rows)
    found, summary, _ = prepared(recli, log)
    assert summary["columns"]["user"] == "user_pseudo_id"
    assert (summary["columns"]["event"], summary["columns"]["time"]) == ("event_name", "event_timestamp")
    assert found.splits["train"]["timestamp"].min() >= 1_709_280_000_000_000

    for k, row in enumerate(rows):  # users that are signed in have an id, too
        row["user_id"] = "" if k % 5 else f"u{k}"
    log = table(tmp_path / "ga.csv", list(rows[0]), rows)
    _, _, err = recli("prepare", log, "--out", tmp_path / "run", code=3)
    assert "48 missing user in user_id" in err
    assert "--user-column user_pseudo_id has an id in nearly all rows" in " ".join(err.split())
    prepared(recli, log, "--user-column", "user_pseudo_id")


def test_ordinary_tables_are_as_before(recli: Recli, tmp_path: Path) -> None:
    rows = [
        {
            "user_id": f"u{k % 9}",
            "item_id": f"i{(k * k) % 8}",
            "email": "",
            "name": f"n{k % 2}",
            "handle": "@x",
        }
        for k in range(60)
    ]
    log = table(tmp_path / "log.csv", list(rows[0]), rows)
    items = table(
        tmp_path / "items.csv",
        ["item_id", "handle", "type", "title"],
        [{"item_id": f"i{k}", "handle": "@x", "type": "movie", "title": f"T {k}"} for k in range(8)],
    )
    found, summary, err = prepared(recli, log, "--items", items)
    assert summary["columns"] == {"user": "user_id", "item": "item_id"}
    assert "filled" not in err
    assert found.items["text"].to_list()[0].startswith("T ")  # a bare `type` is no text
