"""Splits: counts with their arithmetic, the invariants of every kind, independence of order and chunks."""

import hashlib
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recli.data.event_columns import Rows, blocks, starts
from recli.steps.prepare.splitting import (
    HISTORY,
    PARTS,
    TEST,
    TIMED,
    TRAIN,
    VALIDATION,
    Plan,
    assign,
    hash_ranks,
    id_keys,
    pair_keys,
    time_ranks,
)
from recli.steps.prepare.splitting.assign import held_out


def rows_of(pairs: set[tuple[int, int]], seed: int = 0, tied: bool = False) -> Rows:
    """One row per pair, with random times (or times that often tie), sorted by user, time, item."""
    rng = np.random.default_rng(seed)
    users, items = (np.array(sorted(pairs), dtype=np.int32).reshape(-1, 2)[:, c] for c in (0, 1))
    times = rng.integers(0, 4 if tied else 10**9, users.size)
    order = np.lexsort((items, times, users))
    return Rows(
        {
            "user": users[order],
            "item": items[order],
            "value": np.ones(users.size, np.float32),
            "timestamp": times[order].astype(np.int64),
            "part": rng.integers(0, 3, users.size).astype(np.uint8)[order],
        }
    )


def keys_of(rows: Rows, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    n_users, n_items = int(rows.user.max()) + 1, int(rows.item.max()) + 1
    return (
        id_keys((f"u{u}" for u in range(n_users)), seed, "user"),
        id_keys((f"i{i}" for i in range(n_items)), seed, "item"),
    )


def full(n_users: int, n_items: int) -> Rows:
    return rows_of({(u, i) for u in range(n_users) for i in range(n_items)})


def counts(part: np.ndarray, rows: Rows, user: int) -> tuple[int, int, int, int]:
    mine = part[rows.user == user]
    return tuple(int((mine == p).sum()) for p in (TRAIN, VALIDATION, TEST, HISTORY))  # type: ignore[return-value]


some_pairs = st.sets(st.tuples(st.integers(0, 8), st.integers(0, 12)), min_size=1, max_size=80)


def test_id_keys_are_blake2b_keyed_with_the_seed() -> None:
    expected = hashlib.blake2b(b"007", key=b"5", person=b"user", digest_size=8).digest()
    assert id_keys(["007"], 5, "user").tolist() == [int.from_bytes(expected, "little")]
    assert id_keys(["007"], 5, "user") != id_keys(["007"], 5, "item")
    assert id_keys(["007"], 5, "user") != id_keys(["007"], 6, "user")
    assert id_keys(["7"], 5, "user") != id_keys(["007"], 5, "user")


def test_pair_keys_are_splitmix64() -> None:
    """The first output of splitmix64 seeded with 0 is a published constant; a pair mixes twice."""
    mixed = 0xE220A8397B1DCDAF

    def mix(x: int) -> int:
        x = (x + 0x9E3779B97F4A7C15) % 2**64
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB % 2**64
        return x ^ (x >> 31)

    assert mix(0) == mixed
    zero, five = np.array([0], np.uint64), np.array([5], np.uint64)
    assert pair_keys(zero, five).tolist() == [mix((mixed + 5) % 2**64)]
    assert pair_keys(five, zero) != pair_keys(zero, five)


def test_ranks_do_not_depend_on_blocks() -> None:
    rows = full(7, 11)
    keys = keys_of(rows)
    whole = hash_ranks(rows.user, rows.item, *keys)
    for size in (1, 5, 11, 30, 1000):
        assert np.array_equal(hash_ranks(rows.user, rows.item, *keys, block=size), whole)
    for user in range(7):
        assert sorted(whole[rows.user == user]) == list(range(11))
    assert np.array_equal(time_ranks(rows.user), np.tile(np.arange(11), 7))


@given(st.lists(st.integers(0, 5), max_size=40), st.integers(1, 10))
def test_blocks_cover_all_rows_and_cut_no_user(users: list[int], size: int) -> None:
    user = np.array(sorted(users), dtype=np.int32)
    found = list(blocks(user, size))
    assert [r for s in found for r in range(s.start, s.stop)] == list(range(user.size))
    for before, after in pairwise(found):
        assert user[before][-1] < user[after][0]
    assert np.diff(starts(user)).tolist() == [users.count(u) for u in sorted(set(users))]


@pytest.mark.parametrize(
    ("n", "validation_size", "test_size", "expected"),
    [
        (2, 0.1, 0.1, (0, 0)),  # fewer than 3: all for training
        (3, 0.1, 0.1, (1, 1)),  # floor(0.3) = 0, but at least 1
        (10, 0.1, 0.1, (1, 1)),
        (19, 0.1, 0.1, (1, 1)),  # floor(1.9)
        (20, 0.1, 0.1, (2, 2)),
        (100, 0.0, 0.29, (0, 29)),  # 0.29 * 100 = 28.999999999999996 is meant to be 29
        (3, 0.45, 0.5, (1, 1)),
        (4, 0.1, 0.9, (1, 2)),  # floor(3.6) = 3 would leave none to train
        (5, 0.2, 0.0, (1, 0)),
        (10, 0.5, 0.4, (5, 4)),
    ],
)
def test_how_many_are_held_out(
    n: int, validation_size: float, test_size: float, expected: tuple[int, int]
) -> None:
    validation, test = held_out(np.array([n]), validation_size, test_size)
    assert (int(validation[0]), int(test[0])) == expected


def test_random_split_of_twenty_items_each() -> None:
    rows = full(30, 20)
    part = assign(rows, Plan("random", 0.1, 0.2), *keys_of(rows))
    assert {counts(part, rows, u) for u in range(30)} == {(14, 2, 4, 0)}  # 20 * .1 = 2, 20 * .2 = 4
    other = assign(rows, Plan("random", 0.1, 0.2), *keys_of(rows, seed=1))
    assert (part != other).any()
    test_items = np.bincount(rows.item[part == TEST], minlength=20)
    assert test_items.max() < 20  # 120 test events over 20 items: not always the same ones
    assert test_items.min() > 0


def test_leave_last_out_takes_the_last_and_the_one_before() -> None:
    rows = rows_of({(0, 1), (0, 2), (0, 3), (0, 4), (1, 1), (1, 2), (2, 5)})
    part = assign(rows, Plan("leave-last-out"), *keys_of(rows))
    assert part[rows.user == 0].tolist() == [TRAIN, TRAIN, VALIDATION, TEST]  # rows are in order of time
    assert part[rows.user == 1].tolist() == [TRAIN, TRAIN]
    assert part[rows.user == 2].tolist() == [TRAIN]
    part = assign(rows, Plan("leave-last-out", validation_size=0), *keys_of(rows))
    assert part[rows.user == 0].tolist() == [TRAIN, TRAIN, TRAIN, TEST]


def test_temporal_user_holds_out_the_latest_of_each_user() -> None:
    rows = full(5, 10)
    part = assign(rows, Plan("temporal-user", 0.2, 0.3), *keys_of(rows))
    assert part.reshape(5, 10).tolist() == [[0, 0, 0, 0, 0, 1, 1, 2, 2, 2]] * 5


def test_temporal_cuts_everybody_at_the_same_moment() -> None:
    times = np.array([1, 2, 3, 4, 5, 6, 7, 8, 8, 8], dtype=np.int64)
    rows = Rows(
        {
            "user": np.arange(10, dtype=np.int32),
            "item": np.zeros(10, np.int32),
            "value": np.ones(10, np.float32),
            "timestamp": times,
        }
    )
    part = assign(rows, Plan("temporal", 0.3, 0.1), *keys_of(rows))
    # the last tenth is one event at 8, and equal times stay together; 4 events are held out: from 7 on
    assert part.tolist() == [0, 0, 0, 0, 0, 0, 1, 2, 2, 2]
    part = assign(rows, Plan("temporal", 0.0, 0.5), *keys_of(rows))
    assert part.tolist() == [0, 0, 0, 0, 0, 2, 2, 2, 2, 2]
    part = assign(rows, Plan("temporal", 0.5, 0.0), *keys_of(rows))
    assert part.tolist() == [0, 0, 0, 0, 0, 1, 1, 1, 1, 1]


def test_given_parts_stay_and_validation_is_carved_from_train_if_asked() -> None:
    rows = full(4, 15)
    rows.columns["part"] = np.where(rows.item < 10, TRAIN, TEST).astype(np.uint8)
    assert np.array_equal(assign(rows, Plan("given", 0, 0), *keys_of(rows)), rows.columns["part"])
    part = assign(rows, Plan("given", 0.2, 0), *keys_of(rows))
    assert {counts(part, rows, u) for u in range(4)} == {(8, 2, 5, 0)}  # 10 training events * .2 = 2
    assert np.array_equal(part == TEST, rows.columns["part"] == TEST)


@pytest.mark.parametrize("split", PARTS)
def test_cold_items_have_test_events_only(split: str) -> None:
    rows = full(12, 20)
    part = assign(rows, Plan(split, 0.1, 0.1, cold_items=0.25), *keys_of(rows))
    trained = set(rows.item[part != TEST].tolist())
    assert len(trained) == 15  # 20 - 0.25 * 20
    cold = set(range(20)) - trained
    assert all((part[rows.item == i] == TEST).all() for i in cold)


@pytest.mark.parametrize("split", PARTS)
def test_cold_users_have_history_instead_of_training_events(split: str) -> None:
    rows = full(20, 12)
    unwrap = assign(rows, Plan(split, 0.1, 0.1), *keys_of(rows))
    part = assign(rows, Plan(split, 0.1, 0.1, cold_users=0.2), *keys_of(rows))
    cold = sorted(set(rows.user[part == HISTORY].tolist()))
    assert len(cold) == 4  # 0.2 * 20
    mine = np.isin(rows.user, cold)
    assert np.array_equal(part[~mine], unwrap[~mine])
    assert np.array_equal(part[mine] == TEST, unwrap[mine] == TEST)
    assert set(part[mine].tolist()) <= {TEST, HISTORY}


def test_a_share_of_cold_items_is_at_least_one() -> None:
    rows = full(3, 4)
    part = assign(rows, Plan("random", 0, 0, cold_items=0.01), *keys_of(rows))
    assert len(set(rows.item[part == TRAIN].tolist())) == 3


def _at_most_three_held_out(part: np.ndarray, rows: Rows) -> None:
    for user in set(rows.user.tolist()):
        train, validation, test, _ = counts(part, rows, user)
        n = train + validation + test
        assert train >= 1
        assert (validation, test) == ((0, 0) if n < 3 else (max(1, n // 10), max(1, n // 10)))


def _in_order(part: np.ndarray, rows: Rows) -> None:
    for user in set(rows.user.tolist()):
        assert (np.diff(part[rows.user == user].astype(int)) >= 0).all()


def _by_moment(part: np.ndarray, rows: Rows) -> None:
    order = np.argsort(rows.columns["timestamp"], kind="stable")
    assert (np.diff(part[order].astype(int)) >= 0).all()
    times = rows.columns["timestamp"]
    for time in set(times.tolist()):
        assert len(set(part[times == time].tolist())) == 1


INVARIANTS: dict[str, list[Callable[[np.ndarray, Rows], None]]] = {
    "random": [_at_most_three_held_out],
    "leave-last-out": [_in_order],
    "temporal-user": [_at_most_three_held_out, _in_order],
    "temporal": [_by_moment],
    "given": [],
}


def test_every_kind_has_its_invariants() -> None:
    assert set(INVARIANTS) == set(PARTS)
    assert set(TIMED) <= set(PARTS)


@pytest.mark.parametrize("split", PARTS)
@settings(max_examples=40, deadline=None)
@given(pairs=some_pairs, seed=st.integers(0, 3), tied=st.booleans())
def test_invariants(split: str, pairs: set[tuple[int, int]], seed: int, tied: bool) -> None:
    rows = rows_of(pairs, seed, tied)
    keys = keys_of(rows, seed)
    part = assign(rows, Plan(split, 0.1, 0.1), *keys)
    assert part.shape == (len(pairs),)
    assert set(part.tolist()) <= {TRAIN, VALIDATION, TEST}
    for invariant in INVARIANTS[split]:
        invariant(part, rows)


@settings(max_examples=40, deadline=None)
@given(pairs=some_pairs, more=some_pairs)
def test_random_order_of_a_users_events_does_not_depend_on_other_users(
    pairs: set[tuple[int, int]], more: set[tuple[int, int]]
) -> None:
    """The keyed order of two of a user's items stays when other rows come or go."""
    small, large = rows_of(pairs), rows_of(pairs | more)
    keys = keys_of(large)
    places = {
        (int(u), int(i)): int(r)
        for u, i, r in zip(large.user, large.item, hash_ranks(large.user, large.item, *keys), strict=True)
    }
    ranks = hash_ranks(small.user, small.item, *keys)
    for user in set(small.user.tolist()):
        mine = small.user == user
        ordered = small.item[mine][np.argsort(ranks[mine])]
        assert [places[user, int(i)] for i in ordered] == sorted(places[user, int(i)] for i in ordered)
