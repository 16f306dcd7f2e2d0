"""Events that say that a user dislikes an item: which ones they are, how strong, and against likes of the same item."""

from pathlib import Path
from typing import Any

import pytest
from test_seen import Heard, by_id, prepared, seen_of, write

from recli import schema
from recli.data.interactions import Interactions
from recli.errors import RecliError, UsageError
from recli.steps.prepare.config import PrepareConfig

NOTHING_HELD_OUT = {"test_size": 0.0, "validation_size": 0.0}
EVENTS = "user_id,item_id,event"
RATINGS = "user_id,item_id,rating"


def made(tmp_path: Path, header: str, *lines: str, **options: Any) -> Interactions:
    log = write(tmp_path / "log.csv", header, *lines)
    return prepared(tmp_path, log, **NOTHING_HELD_OUT, **options).interactions


def strengths(data: Interactions) -> dict[tuple[str, str], float]:
    return by_id(data, data.negatives(*schema.SPLITS))


def test_case_18_an_event_weight_below_zero_is_a_dislike_of_that_strength(tmp_path: Path) -> None:
    lines = ("u,a,like", "u,b,dislike", "u,c,view", "u,d,report", "v,b,like", "v,d,like")
    data = made(tmp_path, EVENTS, *lines, event_weights="like=3,view=1,dislike=-2,report=0")
    assert by_id(data, data.matrix("train")) == {("u", "a"): 3, ("u", "c"): 1, ("v", "b"): 3, ("v", "d"): 3}
    assert strengths(data) == {("u", "b"): 2}
    assert seen_of(data) == {("u", "b"): (2, "train"), ("u", "d"): (0, "train")}


def test_types_of_events_can_be_named_as_dislikes(tmp_path: Path) -> None:
    lines = ("u,a,like", "u,b,skip", "u,c,hide", "v,b,like", "v,c,like")
    data = made(tmp_path, EVENTS, *lines, negatives=("event:skip, hide",))
    assert strengths(data) == {("u", "b"): 1, ("u", "c"): 1}
    assert made(tmp_path, EVENTS, *lines, negatives=("event:skip",)).matrix("train").nnz == 4


def test_ratings_below_a_number_are_dislikes(tmp_path: Path) -> None:
    lines = ("u,a,5", "u,b,2.5", "u,c,3", "v,b,4", "v,c,1")
    data = made(tmp_path, RATINGS, *lines, negatives=("below:3",))
    assert strengths(data) == {("u", "b"): 1, ("v", "c"): 1}
    assert by_id(data, data.matrix("train")).keys() == {("u", "a"), ("u", "c"), ("v", "b")}


def test_between_a_dislike_and_the_least_rating_an_event_is_merely_seen(tmp_path: Path) -> None:
    lines = ("u,a,5", "u,b,2", "u,c,3", "v,b,4", "v,c,4")
    data = made(tmp_path, RATINGS, *lines, negatives=("below:3",), min_rating=4.0)
    assert seen_of(data) == {("u", "b"): (1, "train"), ("u", "c"): (0, "train")}


def test_ratings_below_the_mean_of_the_user_are_dislikes(tmp_path: Path) -> None:
    lines = ("u,a,5", "u,b,4", "v,a,2", "v,b,1", "w,a,3", "w,b,3")
    assert strengths(made(tmp_path, RATINGS, *lines, negatives=("mean",))) == {("u", "b"): 1, ("v", "b"): 1}


def test_rules_add_up(tmp_path: Path) -> None:
    lines = ("u,a,view,5", "u,b,skip,5", "u,c,view,1", "v,b,view,5", "v,c,view,5")
    data = made(tmp_path, f"{EVENTS},rating", *lines, negatives=("event:skip", "below:2"))
    assert strengths(data) == {("u", "b"): 1, ("u", "c"): 1}


def test_a_dislike_is_weighed_as_events_are(tmp_path: Path) -> None:
    lines = ("u,a,like,1,864000", "u,b,dislike,3,864000", "u,c,dislike,4,0", "u,d,dislike,-1,864000",
             "v,b,like,1,864000", "v,c,like,1,864000", "v,d,like,1,864000")  # fmt: skip
    data = made(
        tmp_path, f"{EVENTS},plays,timestamp", *lines, event_weights="like=1,dislike=-2", weight_column="plays",
        event_half_life="10d",
    )  # fmt: skip
    assert strengths(data) == {
        ("u", "b"): 6,
        ("u", "c"): 4,
    }  # half of 2 * 4; and one of no plays is merely seen
    assert ("u", "d") in by_id(data, data.seen())


@pytest.mark.parametrize(("how", "strength"), [("sum", 7), ("max", 5), ("last", 2)])
def test_repeated_dislikes_are_merged_as_events_are(tmp_path: Path, how: str, strength: float) -> None:
    lines = ("u,a,like,1", "u,b,hate,1", "u,b,dislike,2", "v,b,like,1")
    weights = "like=1,hate=-5,dislike=-2"
    data = made(tmp_path, f"{EVENTS},timestamp", *lines, event_weights=weights, duplicates=how)
    assert strengths(data) == {("u", "b"): strength}


@pytest.mark.parametrize(
    ("lines", "disliked"),
    [
        (("u,b,like,1", "u,b,dislike,2"), True),
        (("u,b,dislike,1", "u,b,like,2"), False),
        (("u,b,like,2", "u,b,dislike,2"), True),  # at the same time
        (("u,b,like,1", "u,b,dislike,2", "u,b,like,3"), False),
        (("u,b,dislike,3", "u,b,like,1", "u,b,like,2"), True),
    ],
)
def test_of_a_like_and_a_dislike_the_later_one_counts(
    tmp_path: Path, lines: tuple[str, ...], disliked: bool
) -> None:
    log = write(tmp_path / "log.csv", f"{EVENTS},timestamp", "u,a,like,1", "v,b,like,1", *lines)
    heard = Heard()
    options = {"event_weights": "like=1,dislike=-1", **NOTHING_HELD_OUT}
    found = prepared(tmp_path, log, heard, **options)
    data = found.interactions
    assert (("u", "b") in strengths(data)) == disliked
    assert (("u", "b") in by_id(data, data.matrix("train"))) == (not disliked)
    assert any(
        "1 pair of user and item both liked and disliked: the later event counts" in s for s in heard.said
    )
    rows = found.summary["rows"]
    assert rows["in"] == rows["kept"] + rows["merged"] + sum(rows["filtered"].values())


@pytest.mark.parametrize(
    ("lines", "disliked"),
    [
        (("u,b,view", "u,b,view", "u,b,view", "u,b,dislike"), False),
        (("u,b,view", "u,b,dislike"), True),
        (("u,b,view", "u,b,view", "u,b,dislike"), True),  # 2 against 2
    ],
)
def test_without_times_the_larger_sum_counts(tmp_path: Path, lines: tuple[str, ...], disliked: bool) -> None:
    data = made(tmp_path, EVENTS, "u,a,view", "v,b,view", *lines, event_weights="view=1,dislike=-2")
    assert (("u", "b") in strengths(data)) == disliked
    assert (("u", "b") in by_id(data, data.matrix("train"))) == (not disliked)


@pytest.mark.parametrize(
    ("train", "test", "found"),
    [
        ("u,b,like", "u,b,dislike", "train"),  # what is trained on does not know the test
        ("u,b,dislike", "u,b,like", "disliked"),
    ],
)
def test_of_a_given_split_the_earlier_part_counts(tmp_path: Path, train: str, test: str, found: str) -> None:
    log = write(tmp_path / "log.csv", EVENTS, "u,a,like", "v,b,like", train)
    held_out = write(tmp_path / "test.csv", EVENTS, "v,a,like", test)
    data = prepared(tmp_path, log, event_weights="like=1,dislike=-1", test_file=(str(held_out),)).interactions
    where = {name: ("u", "b") in by_id(data, data.matrix(name)) for name in ("train", "test")}
    assert where == {"train": found == "train", "test": False}
    assert (("u", "b") in by_id(data, data.negatives("train"))) == (found == "disliked")


def test_a_dislike_is_no_hit_and_belongs_to_the_test_if_it_comes_then(tmp_path: Path) -> None:
    lines = [f"u,i{k},like,{k + 1}" for k in range(5)]
    log = write(tmp_path / "log.csv", f"{EVENTS},timestamp", *lines, "u,early,dislike,1", "u,late,dislike,9",
                "v,early,like,1", "v,late,like,1")  # fmt: skip
    data = prepared(tmp_path, log, event_weights="like=1,dislike=-1", split="leave-last-out").interactions
    assert by_id(data, data.matrix("test")).keys() == {("u", "i4")}
    assert by_id(data, data.negatives("train")).keys() == {("u", "early")}
    assert by_id(data, data.negatives("test")).keys() == {("u", "late")}


def test_the_summary_counts_dislikes(tmp_path: Path) -> None:
    log = write(tmp_path / "log.csv", RATINGS, "u,a,5", "u,b,1", "u,c,1", "v,b,5", "v,c,5", "w,a,1")
    found = prepared(tmp_path, log, negatives=("below:3",), **NOTHING_HELD_OUT)
    assert found.summary["seen"] == {
        "pairs": 2, "negatives": 2, "users_with_negatives": 1, "users_left_out": 1,
    }  # fmt: skip
    assert found.summary["rows"]["filtered"] == {"negatives": 3}


@pytest.mark.parametrize("text", ["below", "below:x", "below:nan", "mean:3", "event:", "event", "3", ""])
def test_other_rules_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--negatives"):
        PrepareConfig(log=("log.csv",), negatives=(text,))


@pytest.mark.parametrize(
    ("rule", "role"), [("below:3", "ratings"), ("mean", "ratings"), ("event:x", "event types")]
)
def test_a_rule_needs_its_column(tmp_path: Path, rule: str, role: str) -> None:
    log = write(tmp_path / "log.csv", "user_id,item_id", "u,a")
    with pytest.raises(RecliError, match=f"--negatives.* needs a column of {role}"):
        prepared(tmp_path, log, negatives=(rule,))


def test_weights_below_zero_alone_leave_nothing_to_like() -> None:
    with pytest.raises(UsageError, match="leaves every event out"):
        PrepareConfig(log=("log.csv",), event_weights="dislike=-1,skip=0")
