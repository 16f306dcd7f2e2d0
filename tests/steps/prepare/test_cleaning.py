"""Cleaning on columns: values with their arithmetic, merging, bots, cap, core, pseudonyms, the account."""

import hashlib
import hmac
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recli.data.event_columns import Rows
from recli.errors import InvalidDataError
from recli.steps.prepare import cleaning
from recli.steps.prepare.cleaning import EventWeighting, RowCounts

DAY = 86_400_000_000  # microseconds


def log(**columns: list[Any]) -> pl.LazyFrame:
    n = len(columns["user_id"])
    frame = pl.DataFrame({"item_id": [f"i{k}" for k in range(n)], **columns})
    return frame.lazy()


def values(frame: pl.LazyFrame, weighting: EventWeighting) -> list[float]:
    return cleaning.index_events(frame, weighting).rows.columns["value"].tolist()


def rows_of(events: list[tuple[int, ...]], names: str) -> Rows:
    types = {"value": np.float32, "rating": np.float32, "timestamp": np.int64, "part": np.uint8}
    return Rows(
        {
            name: np.array([e[k] for e in events], dtype=types.get(name, np.int32))
            for k, name in enumerate(names.split())
        }
    )


def table(rows: Rows) -> list[tuple[float, ...]]:
    return list(zip(*(c.tolist() for c in rows.columns.values()), strict=True))


def test_ids_are_numbered_in_binary_order_and_stay_strings() -> None:
    found = cleaning.index_events(log(user_id=["b", "007", "7", "B", "é", "7"]), EventWeighting())
    assert found.user_ids.to_list() == ["007", "7", "B", "b", "é"]
    assert found.rows.user.tolist() == [3, 0, 1, 2, 4, 1]
    assert found.rows.user.dtype == np.int32
    assert found.rows.columns["value"].tolist() == [1.0] * 6


def test_event_weights_and_weight_column_multiply() -> None:
    frame = log(user_id=["u"] * 4, event=["view", "buy", "like", "buy"], weight=[3.0, 2.0, 7.0, 0.0])
    weighting = EventWeighting(event_weights={"view": 1.0, "buy": 5.0, "skip": 0.0}, weighted=True)
    found = cleaning.index_events(frame, weighting)
    assert found.rows.columns["value"].tolist() == [1 * 3, 5 * 2]
    assert found.filtered == {"event_weights": 1, "weight_column": 1}  # the like; the buy of weight 0
    assert found.event_types == {"buy": 2, "like": 1, "view": 1}


def test_an_event_type_of_weight_zero_is_left_out() -> None:
    found = cleaning.index_events(
        log(user_id=["u", "u"], event=["view", "buy"]),
        EventWeighting(event_weights={"view": 0.0, "buy": 2.0}),
    )
    assert (found.rows.columns["value"].tolist(), found.filtered) == ([2.0], {"event_weights": 1})


def test_half_life_counts_from_the_latest_event_of_the_whole_log() -> None:
    frame = log(user_id=["u"] * 4, rating=[5.0, 5.0, 5.0, 1.0], timestamp=[0, 10 * DAY, 15 * DAY, 20 * DAY])
    found = values(frame, EventWeighting(half_life=10 * 86400, min_rating=2))
    # ages 20, 10 and 5 days; the latest event, at day 20, is filtered by its rating but is the clock
    assert found == pytest.approx([0.5**2, 0.5**1, 0.5**0.5])


def test_however_old_an_event_is_its_value_stays_above_zero() -> None:
    assert min(values(log(user_id=["u", "u"], timestamp=[0, 10_000 * DAY]), EventWeighting(half_life=60))) > 0


def test_min_rating_keeps_the_threshold_itself() -> None:
    found = cleaning.index_events(
        log(user_id=["a", "b", "c"], rating=[3.5, 4.0, 4.5]), EventWeighting(min_rating=4)
    )
    assert found.rows.columns["rating"].tolist() == [4.0, 4.5]
    assert found.user_ids.to_list() == ["b", "c"]  # a is no user of this log any more
    assert found.filtered == {"min_rating": 1}


def test_an_event_is_filtered_for_one_reason_only() -> None:
    frame = log(user_id=["u"] * 3, event=["x", "x", "y"], rating=[1.0, 5.0, 1.0])
    found = cleaning.index_events(frame, EventWeighting(min_rating=3, event_weights={"y": 1.0}))
    assert found.filtered == {"event_weights": 2, "min_rating": 1}
    assert len(found.rows) == 0


def test_a_value_beyond_float32_is_an_error() -> None:
    with pytest.raises(InvalidDataError, match="32-bit"):
        values(log(user_id=["u"], weight=[1e300]), EventWeighting(weighted=True))


@pytest.mark.parametrize(
    ("how", "expected"),
    [
        ("sum", [(0, 1, 1 + 2 + 4, 3.0, 30), (0, 0, 1, 5.0, 40), (1, 1, 1, 2.0, 5)]),
        ("max", [(0, 1, 4, 3.0, 30), (0, 0, 1, 5.0, 40), (1, 1, 1, 2.0, 5)]),
        ("last", [(0, 1, 2, 3.0, 30), (0, 0, 1, 5.0, 40), (1, 1, 1, 2.0, 5)]),
    ],
)
@pytest.mark.parametrize("block", [1, 2, 100])
def test_merging_one_user_and_item(how: str, expected: list[tuple[float, ...]], block: int) -> None:
    """Rating and time are the latest event's, here (value 2, rating 3, at 30); rows end in order of time."""
    events = [(1, 1, 1, 2, 5), (0, 1, 2, 3, 30), (0, 1, 1, 1, 10), (0, 0, 1, 5, 40), (0, 1, 4, 4, 20)]
    rows = rows_of(events, "user item value rating timestamp")
    assert cleaning.merge(rows, how, n_users=2, block=block) == (2, 0)
    assert table(rows) == expected


def test_without_times_the_last_is_the_last_row() -> None:
    rows = rows_of([(0, 0, 5, 1), (0, 0, 2, 3)], "user item value rating")
    cleaning.merge(rows, "last", n_users=1)
    assert table(rows) == [(0, 0, 2.0, 3.0)]


def test_times_that_tie_are_ordered_by_item() -> None:
    rows = rows_of([(0, 2, 1, 7), (0, 1, 1, 7), (0, 3, 1, 6)], "user item value timestamp")
    cleaning.merge(rows, "sum", n_users=1)
    assert rows.item.tolist() == [3, 1, 2]


def test_a_pair_in_two_given_parts_stays_in_the_first() -> None:
    rows = rows_of(
        [(0, 0, 1, 2), (0, 0, 1, 0), (0, 0, 1, 0), (0, 1, 1, 2), (0, 1, 1, 2)], "user item value part"
    )
    assert cleaning.merge(rows, "sum", n_users=1) == (
        2,
        1,
    )  # one merged in each of train and test, one repeated
    assert table(rows) == [(0, 0, 2.0, 0), (0, 1, 2.0, 2)]


some_events = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(1, 3), st.integers(1, 5), st.integers(0, 6)),
    min_size=1,
    max_size=60,
)


@settings(max_examples=60, deadline=None)
@given(events=some_events, how=st.sampled_from(cleaning.DUPLICATES), block=st.sampled_from([1, 3, 1000]))
def test_merging_like_a_plain_loop_whatever_the_order(
    events: list[tuple[int, ...]], how: str, block: int
) -> None:
    groups: dict[tuple[int, int], list[tuple[int, ...]]] = {}
    for event in sorted(events, key=lambda e: (e[4], e[2], e[3])):
        groups.setdefault(event[:2], []).append(event)
    value = {
        "sum": lambda g: sum(e[2] for e in g),
        "distinct": lambda g: sum(e[2] for e in g),  # identical rows are dropped before
        "max": lambda g: max(e[2] for e in g),
        "last": lambda g: g[-1][2],
    }
    expected = [(u, i, value[how](g), *g[-1][3:]) for (u, i), g in groups.items()]
    expected.sort(key=lambda e: (e[0], e[4], e[1]))
    for order in (events, events[::-1]):
        rows = rows_of(order, "user item value rating timestamp")
        merged, _ = cleaning.merge(rows, how, n_users=6, block=block)
        assert table(rows) == expected
        assert merged == len(events) - len(expected)


def test_bots_are_far_outside_and_floors_hold() -> None:
    counts = np.array([0] * 50 + [8, 10, 12] * 30 + [150, 101, 100])
    found = cleaning.bots(counts)
    # median 10; the deviation of log(8, 10, 12) is below the floor of 10 medians, and that is 100
    assert found.above == pytest.approx(100)
    assert found.users.tolist() == [140, 141]
    assert found.events.tolist() == [150, 101]
    assert cleaning.bots(np.array([5] * 100 + [90])).users.size == 0  # 18 medians, but fewer than 100 events
    wide = np.exp(np.linspace(0, 8, 101)).astype(int)  # 1 .. 2,980 events: an even spread has no outliers
    assert cleaning.bots(wide).users.size == 0
    assert cleaning.bots(np.zeros(3, int)).users.size == 0


def test_the_robust_deviations_decide_where_they_are_the_stricter() -> None:
    counts = np.array([20, 40, 80] * 20 + [1200, 1500])
    # log-median log 40, median absolute deviation log 2: 40 * exp(5 * 1.4826 * log 2) = 40 * 2 ** 7.413 = 6,817
    found = cleaning.bots(counts)
    assert found.above == pytest.approx(40 * 2 ** (5 * 1.4826))
    assert found.users.size == 0


def test_cap_keeps_the_highest_ranks() -> None:
    user = np.array([0, 0, 0, 1, 2, 2], dtype=np.int32)
    ranks = np.array([0, 2, 1, 0, 1, 0], dtype=np.int32)
    assert cleaning.cap(user, ranks, 2).tolist() == [False, True, True, True, True, True]
    assert cleaning.cap(user, ranks, 1).tolist() == [False, True, False, True, True, False]


def test_core_is_repeated_to_the_fixed_point() -> None:
    """A chain: leaving out one user takes an item below 2, which takes the next user, and so on."""
    chain = [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3)]
    square = [(8, 8), (8, 9), (9, 8), (9, 9)]
    rows = rows_of([(*pair, 1) for pair in chain + square], "user item value")
    for_user, for_item = cleaning.core(rows, 2, 2, 10, 10)
    assert table(rows) == [(8, 8, 1.0), (8, 9, 1.0), (9, 8, 1.0), (9, 9, 1.0)]
    assert for_user + for_item == 6
    rows = rows_of([(*pair, 1) for pair in chain + square], "user item value")
    assert cleaning.core(rows, 2, 1, 10, 10) == (0, 0)
    rows = rows_of([(*pair, 1) for pair in chain + square], "user item value")
    assert cleaning.core(rows, 1, 2, 10, 10) == (0, 2)  # items 0 and 3
    assert len(rows) == 8


@settings(max_examples=60, deadline=None)
@given(
    st.sets(st.tuples(st.integers(0, 7), st.integers(0, 7)), min_size=1), st.integers(1, 3), st.integers(1, 3)
)
def test_core_is_the_largest_set_with_enough_events(
    pairs: set[tuple[int, int]], least_user: int, least_item: int
) -> None:
    left = set(pairs)
    while True:
        fewer = {
            (u, i)
            for u, i in left
            if sum(p[0] == u for p in left) >= least_user and sum(p[1] == i for p in left) >= least_item
        }
        if fewer == left:
            break
        left = fewer
    rows = rows_of([(u, i, 1) for u, i in sorted(pairs)], "user item value")
    for_user, for_item = cleaning.core(rows, least_user, least_item, 8, 8)
    assert {(u, i) for u, i, _ in table(rows)} == left
    assert for_user + for_item == len(pairs) - len(left)


def test_pseudonyms_are_hmac_sha256_cut_to_128_bits() -> None:
    whole = hmac.new(b"secret", b"alice", hashlib.sha256).hexdigest()
    assert cleaning.pseudonyms(["alice"], b"secret") == [whole[:32]]
    rows = rows_of([(0, 0, 1), (1, 0, 1), (2, 0, 1)], "user item value")
    names = cleaning.pseudonymize(pl.Series("user_id", ["a", "b", "c"]), b"key", rows)
    assert names.is_sorted()
    assert [names[int(u)] for u in rows.user] == cleaning.pseudonyms(["a", "b", "c"], b"key")


def test_renumber_leaves_ids_without_rows_out() -> None:
    rows = rows_of([(0, 1, 1), (3, 1, 1)], "user item value")
    assert cleaning.renumber(rows, "user", pl.Series("user_id", ["a", "b", "c", "d"])).to_list() == ["a", "d"]
    assert rows.user.tolist() == [0, 1]


def test_catalogue_items_join_in_order_of_ids() -> None:
    catalogue = pl.DataFrame(
        {"item_id": ["c", "a", "b"], "text": ["see", None, "  "], "year": [3, 1, 2], "text_": ["x", "y", "z"]}
    )
    rows = rows_of([(0, 0, 1), (0, 1, 1), (1, 1, 1)], "user item value")
    found = cleaning.join_catalogue(rows, pl.Series("item_id", ["b", "bb"]), catalogue, only_seen=False)
    assert found.frame.rows() == [("a", None), ("b", None), ("bb", None), ("c", "see")]
    assert found.catalogue is not None
    assert found.catalogue.rows() == [(1, "y"), (2, "z"), (None, None), (3, "x")]
    assert rows.item.tolist() == [1, 2, 2]
    assert (found.without_events, found.not_in_catalogue, found.events_not_in_catalogue) == (2, 1, 2)

    rows = rows_of([(0, 0, 1), (0, 1, 1)], "user item value")
    found = cleaning.join_catalogue(rows, pl.Series("item_id", ["b", "bb"]), catalogue, only_seen=True)
    assert found.frame["item_id"].to_list() == ["b", "bb"]
    assert rows.item.tolist() == [0, 1]


def test_the_account_must_add_up() -> None:
    account = RowCounts(10, {"missing user id": 2})
    account.merged = 3
    account.filter("min_rating", 1)
    account.filter("min_rating", 1)
    account.filter("bots", 0)
    assert account.summary(3) == {
        "in": 10,
        "kept": 3,
        "merged": 3,
        "filtered": {"min_rating": 2},
        "rejected": {"missing user id": 2},
    }
    with pytest.raises(RuntimeError, match="10 rows came in, but 11"):
        account.check(4)
