"""What is filtered out of the splits stays known: it is masked where it lies before the test."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recli import schema
from recli.data.interactions import Interactions
from recli.errors import RecliError
from recli.reporting import Silent
from recli.schema import CSR
from recli.steps.prepare.config import PrepareConfig
from recli.steps.prepare.step import Prepared, prepare
from recli.storage.runs import read_interactions

Recli = Callable[..., tuple[int, str, str]]
Pairs = dict[tuple[str, str], float]


class Heard(Silent):
    """A reporter that keeps what is said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)


def write(path: Path, header: str, *lines: str) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def prepared(tmp_path: Path, log: Path, reporter: Heard | None = None, **options: Any) -> Prepared:
    config = PrepareConfig(log=(str(log),), out=str(tmp_path / "run"), **options)
    return prepare(config, reporter or Heard())


def by_id(data: Interactions, matrix: CSR) -> Pairs:
    coo = matrix.tocoo()
    users, items = data.users[schema.USER_ID], data.items[schema.ITEM_ID]
    return {
        (users[int(u)], items[int(i)]): float(v) for u, i, v in zip(coo.row, coo.col, coo.data, strict=True)
    }


def seen_of(data: Interactions) -> dict[tuple[str, str], tuple[float, str]]:
    users, items = data.users[schema.USER_ID], data.items[schema.ITEM_ID]
    return {(users[u], items[i]): (n, s) for u, i, n, s in data.seen_events.iter_rows()}


RATED = "user_id,item_id,rating,timestamp"


def test_case_17_low_ratings_are_known_but_not_trained_on(tmp_path: Path) -> None:
    rows = [f"u,i{k},5,{1000 + k}" for k in range(6)]
    log = write(
        tmp_path / "log.csv", RATED, *rows, "u,low,1,1001", "v,low,5,1000", "u,late,2,2000", "v,late,4,1"
    )
    data = prepared(tmp_path, log, min_rating=4, split="leave-last-out").interactions
    assert seen_of(data) == {("u", "low"): (0, "train"), ("u", "late"): (0, "test")}
    assert ("u", "low") not in by_id(data, data.matrix(*schema.SPLITS))
    assert ("u", "low") in by_id(data, data.seen())
    assert ("u", "late") not in by_id(data, data.seen())
    assert ("u", "late") in by_id(data, data.known(*schema.SPLITS))


@pytest.mark.parametrize("mask", ["seen", "all", "none"])
def test_case_17_disliked_items_do_not_come_back(tmp_path: Path, recli: Recli, mask: str) -> None:
    rows = [
        f"u{u},i{(u * 7 + k * 3) % 20},{1 + (u + k) % 5},{1000 + 50 * u + k}"
        for u in range(12)
        for k in range(10)
    ]
    log = write(tmp_path / "log.csv", RATED, *rows)
    run, lists = tmp_path / "run", tmp_path / "lists.csv"
    recli("prepare", log, "--min-rating", 4, "--split", "leave-last-out", "--out", run)
    recli("train-cf", run, "--algorithm", "popularity")
    recli("recommend", run, "-k", 20, "--mask", mask, "--format", "csv", "--out", lists)
    listed = pl.read_csv(lists).join(pl.read_csv(log), on=["user_id", "item_id"])
    data = read_interactions(run)
    held_out = {"seen": by_id(data, data.known("test")), "all": {}}
    if mask == "none":
        assert listed.height > 0
    else:
        pairs = set(zip(listed["user_id"], listed["item_id"], strict=True))
        assert pairs == set(held_out[mask])


def test_events_of_weight_zero_or_without_a_weight_stay_known(tmp_path: Path) -> None:
    log = write(
        tmp_path / "log.csv", "user_id,item_id,event",
        "u,a,buy", "u,b,skip", "u,c,view", "v,b,buy", "v,c,buy", "w,a,skip",
    )  # fmt: skip
    found = prepared(
        tmp_path, log, event_weights="buy=2,skip=0", split="random", test_size=0, validation_size=0
    )
    assert seen_of(found.interactions) == {("u", "b"): (0, "train"), ("u", "c"): (0, "train")}
    assert found.summary["seen"] == {
        "pairs": 2, "negatives": 0, "users_with_negatives": 0, "users_left_out": 1,
    }  # fmt: skip


def test_events_of_no_quantity_stay_known(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user_id,item_id,quantity", "u,a,3", "u,b,-2", "v,b,1", "u,a,-1")
    data = prepared(tmp_path, log, weight_column="quantity").interactions
    assert seen_of(data) == {("u", "b"): (0, "train")}  # a is in the training split, at 3


def test_what_the_cap_leaves_out_stays_known(tmp_path: Path) -> None:
    log = write(
        tmp_path / "log.csv",
        "user_id,item_id,timestamp",
        *[f"u,i{k},{k + 1}" for k in range(5)],
        "v,i0,9",
        "v,i1,9",
    )
    data = prepared(tmp_path, log, max_user_events=3, test_size=0, validation_size=0).interactions
    assert seen_of(data) == {("u", "i0"): (0, "train"), ("u", "i1"): (0, "train")}


def test_items_with_filtered_events_alone_are_in_the_run_only_by_the_catalogue(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", "user_id,item_id,rating", "u,a,5", "u,b,1", "u,c,1", "v,a,5")
    items = write(tmp_path / "items.csv", "item_id,title", "a,A", "b,B", "d,D")
    without = prepared(tmp_path, log, min_rating=3).interactions
    assert (without.items["item_id"].to_list(), seen_of(without)) == (["a"], {})
    listed = prepared(tmp_path, log, min_rating=3, items=(str(items),)).interactions
    assert listed.items["item_id"].to_list() == ["a", "b", "d"]
    assert seen_of(listed) == {("u", "b"): (0, "train")}
    only_seen = prepared(tmp_path, log, min_rating=3, items=(str(items),), only_seen_items=True).interactions
    assert seen_of(only_seen) == {}


def test_events_on_items_that_are_too_rare_stay_known_where_the_catalogue_keeps_the_item(
    tmp_path: Path,
) -> None:
    log = write(tmp_path / "log.csv", "user_id,item_id", "u,a", "u,rare", "v,a")
    items = write(tmp_path / "items.csv", "item_id,title", "a,A", "rare,R")
    data = prepared(tmp_path, log, min_item_events=2, items=(str(items),)).interactions
    assert seen_of(data) == {("u", "rare"): (0, "train")}


def test_a_given_split_says_where_filtered_events_are(tmp_path: Path) -> None:
    train = write(
        tmp_path / "train.csv", "user_id,item_id,rating", "u,a,5", "u,b,1", "u,c,5", "v,b,5", "v,d,5"
    )
    test = write(tmp_path / "test.csv", "user_id,item_id,rating", "u,d,1", "u,e,5", "v,e,5", "v,c,1", "v,b,1")
    data = prepared(tmp_path, train, min_rating=3, test_file=(str(test),)).interactions
    assert seen_of(data) == {("u", "b"): (0, "train"), ("u", "d"): (0, "test"), ("v", "c"): (0, "test")}


def test_pseudonyms_hide_who_saw_what(tmp_path: Path) -> None:
    key = write(tmp_path / "key", "0123456789abcdef")
    log = write(
        tmp_path / "log.csv",
        "user_id,item_id,rating",
        *[f"user{u},a,5" for u in range(9)],
        "user3,b,5",
        "user7,b,1",
    )
    plain = prepared(tmp_path, log, min_rating=3, split="random", test_size=0, validation_size=0).interactions
    assert seen_of(plain) == {("user7", "b"): (0, "train")}
    hidden = prepared(
        tmp_path, log, min_rating=3, pseudonymize=True, key_file=str(key), test_size=0, validation_size=0
    ).interactions
    ((user, item),) = seen_of(hidden)
    assert item == "b"
    from recli.steps.prepare.cleaning import pseudonyms

    assert user == pseudonyms(["user7"], key.read_bytes().strip())[0]
    assert b"user7" not in (tmp_path / "run/interactions/seen.parquet").read_bytes()


events = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 7), st.integers(1, 5), st.integers(1, 6)),
    min_size=4,
    max_size=50,
)
plans = st.sampled_from(
    [
        {"split": "random"},
        {"split": "random", "test_size": 0.4, "validation_size": 0.3},
        {"split": "leave-last-out"},
        {"split": "temporal-user", "test_size": 0.3},
        {"split": "temporal", "test_size": 0.3},
        {"split": "temporal-user", "cold_items": 0.2, "cold_users": 0.2},
    ]
)
filters = st.sampled_from(
    [{}, {"min_rating": 3}, {"negatives": ("below:3",)}, {"negatives": ("mean",)}, {"max_user_events": 3},
     {"min_rating": 2, "k_core": 2}, {"negatives": ("below:2",), "min_rating": 3, "max_user_events": 4}]
)  # fmt: skip


@settings(max_examples=120, deadline=None)
@given(events=events, plan=plans, chosen=filters, in_order=st.booleans(), catalogue=st.booleans())
def test_all_that_a_user_did_is_known(
    events: list[tuple[int, int, int, int]],
    plan: dict[str, Any],
    chosen: dict[str, Any],
    in_order: bool,
    catalogue: bool,
) -> None:
    """Under `--mask all` no item is listed that its user has any event with, whatever filters and splits there are;
    under `seen`, none but those whose events all come at or after the user's first test event."""
    with TemporaryDirectory() as folder:
        log = write(Path(folder) / "log.csv", RATED, *[f"u{u},i{i},{r},{t}" for u, i, r, t in events])
        items = write(Path(folder) / "items.csv", "item_id,title", *[f"i{i},t" for i in range(6)])
        options = {**plan, **chosen, "in_order": in_order, **({"items": (str(items),)} if catalogue else {})}
        try:
            data = prepared(Path(folder), log, **options).interactions
        except RecliError:  # nothing is left, or nothing to train on
            return
    users, items_of_run = set(data.users["user_id"]), set(data.items["item_id"])
    did: dict[tuple[str, str], list[int]] = {}
    for u, i, _, t in events:
        if f"u{u}" in users and f"i{i}" in items_of_run:
            did.setdefault((f"u{u}", f"i{i}"), []).append(t)
    split = set(by_id(data, data.matrix(*schema.SPLITS)))
    assert set(by_id(data, data.known(*schema.SPLITS))) == set(did)
    assert not split & set(seen_of(data))
    if plan["split"] == "random" or "cold_items" in plan:
        return
    test = data.splits["test"].select(
        "timestamp", user_id=data.users["user_id"].gather(data.splits["test"]["user"])
    )
    for user, item in set(did) - set(by_id(data, data.known("test"))) - set(by_id(data, data.seen())):
        raise AssertionError(f"{user} did {item}, which is not masked")
    for user, item in (pair for pair, (_, name) in seen_of(data).items() if name == "test"):
        theirs = test if plan["split"] == "temporal" else test.filter(pl.col("user_id") == user)
        assert (
            max(did[user, item]) * 1_000_000 >= theirs["timestamp"].min()
        )  # a merged pair is at its latest time
