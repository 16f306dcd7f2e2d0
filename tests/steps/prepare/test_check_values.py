"""What is said of ratings, weights and event types, and what is warned of; sane data is silent."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from test_seen import Heard, prepared, write

from recli.steps.prepare.checks.event_names import says_no


def heard_of(
    tmp_path: Path, name: str, values: Iterable[object], **options: Any
) -> tuple[Heard, dict[str, Any]]:
    """What `prepare` reports of a log with these values of the column `name`, in turn."""
    lines = [f"u{k % 7},i{k // 7},{value}" for k, value in enumerate(values)]
    heard = Heard()
    found = prepared(
        tmp_path, write(tmp_path / "log.csv", f"user_id,item_id,{name}", *lines), heard, **options
    )
    return heard, found.summary


def of_counts(counts: dict[float, int]) -> list[float]:
    return [value for value, count in counts.items() for _ in range(count)]


STARS = {1: 5, 2: 7, 3: 20, 4: 30, 5: 38}
TEN = {1: 12, 2: 11, 3: 18, 4: 33, 5: 67, 6: 129, 7: 222, 8: 241, 9: 140, 10: 124}


def test_case_16_ratings_are_described(tmp_path: Path) -> None:
    heard, summary = heard_of(tmp_path, "rating", of_counts(STARS))
    line = next(text for text in heard.said if text.startswith("ratings"))
    assert line == (
        "ratings 1 to 5 (median 4; 12% below 3): each counts 1 whatever its rating, see --min-rating, --negatives"
    )
    assert summary["ratings"] == {"min": 1, "median": 4, "max": 5}
    assert heard.warned == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"min_rating": 4.0}, "32% are below --min-rating 4, and merely seen; each other one counts 1"),
        ({"negatives": ("below:3",)}, "12% are dislikes, below 3; each other one counts 1"),
        ({"negatives": ("mean",)}, "those below the user's mean are dislikes"),
    ],
)
def test_what_ratings_count_follows_the_options(
    tmp_path: Path, options: dict[str, Any], expected: str
) -> None:
    heard, _ = heard_of(tmp_path, "rating", of_counts(STARS), **options)
    line = next(text for text in heard.said if text.startswith("ratings"))
    assert expected in line and "see --min-rating" not in line


MARKS = {
    "-1 of 1 to 10": ({-1: 190} | TEN, "-1", "--min-rating 1"),
    "-1 of 1 to 5": ({-1: 20} | STARS, "-1", "--min-rating 1"),
    "0 of Book-Crossing": ({0: 1600} | TEN, "0", "--min-rating 1"),
    "0 of recipes": ({0: 16} | STARS, "0", "--min-rating 1"),
    "-99": ({-99: 9} | dict.fromkeys(range(-10, 11), 10), "-99", "--min-rating -10"),
    "99 of Jester": (dict.fromkeys(range(-10, 11), 10) | {99: 60}, "99", "leave these rows out"),
    "999": (STARS | {999: 3}, "999", "leave these rows out"),
    "-1 of half stars": ({-1: 9} | {k / 2: 10 for k in range(1, 11)}, "-1", "--min-rating 0.5"),
}


@pytest.mark.parametrize("name", MARKS)
def test_case_16_marks_of_no_rating_are_pointed_out(tmp_path: Path, name: str) -> None:
    counts, value, remedy = MARKS[name]
    heard, _ = heard_of(tmp_path, "rating", of_counts(counts))
    (warning,) = (text for text in heard.warned if "often stands for 'not rated'" in text)
    assert f"are {value}, " in warning and remedy in warning


def test_the_remedy_for_a_mark_removes_the_warning(tmp_path: Path) -> None:
    heard, summary = heard_of(tmp_path, "rating", of_counts({-1: 20} | STARS), min_rating=1.0)
    assert heard.warned == []
    assert summary["rows"]["filtered"] == {"min_rating": 20}


def test_a_mark_that_becomes_a_dislike_is_asked_about(tmp_path: Path) -> None:
    heard, _ = heard_of(tmp_path, "rating", of_counts({-1: 20} | STARS), negatives=("below:3",))
    assert any("here for a dislike, by --negatives below:3" in text for text in heard.warned)


SANE = {
    "half stars": {0.5: 14, 1: 28, 1.5: 18, 2: 75, 2.5: 55, 3: 200, 3.5: 131, 4: 268, 4.5: 85, 5: 132},
    "0 to 10, 0 rare": {0: 1} | TEN,
    "0 to 5, 0 as others": {0: 8} | STARS,
    "j-shaped": {1: 60, 2: 5, 3: 6, 4: 10, 5: 90},
    "few levels": {1: 5, 3: 5, 4: 9, 5: 30},
    "two levels": {1: 5, 5: 30},
    "one level": {5: 30},
    "plays": {1: 50, 2: 25, 3: 12, 7: 4, 40: 1, 900: 1},
    "percent": dict.fromkeys(range(0, 101, 5), 3),
    "a typing error": STARS | {55: 1},
}


@pytest.mark.parametrize("name", SANE)
def test_sane_ratings_are_not_warned_of(tmp_path: Path, name: str) -> None:
    heard, _ = heard_of(tmp_path, "rating", of_counts(SANE[name]))
    assert heard.warned == []


@pytest.mark.parametrize(
    "counts", [{k / 2: 4 for k in range(-19, 20)}, {-1: 20, 1: 40}, {-1: 9, 0: 5, 1: 40}]
)
def test_case_16_ratings_below_zero_count_as_likes(tmp_path: Path, counts: dict[float, int]) -> None:
    heard, _ = heard_of(tmp_path, "rating", of_counts(counts))
    (warning,) = heard.warned
    assert "below 0" in warning and "--negatives below:0" in warning and "--min-rating 0" in warning
    for options in ({"negatives": ("below:0",)}, {"min_rating": 0.0}, {"negatives": ("mean",)}):
        assert heard_of(tmp_path, "rating", of_counts(counts), **options)[0].warned == []


def test_labels_of_0_and_1_are_no_likes_both(tmp_path: Path) -> None:
    heard, _ = heard_of(tmp_path, "rating", of_counts({0: 30, 1: 10}))
    (warning,) = heard.warned
    assert "75% that are 0" in warning and "--negatives below:1" in warning
    assert heard_of(tmp_path, "rating", of_counts({0: 30, 1: 10}), min_rating=1.0)[0].warned == []


def test_weights_are_described_and_negative_ones_warned_of(tmp_path: Path) -> None:
    heard, summary = heard_of(tmp_path, "quantity", [6, 2, 1, -2, 6, 12, 6, 40], weight_column="quantity")
    assert "weights 1 to 40, median 6: taken as they are; see --weight-transform" in heard.said
    assert summary["weights"] == {"min": -2, "median": 6, "max": 40}
    (warning,) = heard.warned
    assert "1 event (12%) has a weight below 0 (the lowest is -2" in warning
    assert heard_of(tmp_path, "quantity", [6, 2, 1], weight_column="quantity")[0].warned == []


def test_case_18_event_types_that_say_no_are_warned_of(tmp_path: Path) -> None:
    types = ["like"] * 5 + ["dislike"] * 2 + ["view", "thumbs down"]
    heard, _ = heard_of(tmp_path, "event", types)
    (warning,) = heard.warned
    assert "dislike (2), thumbs down (1)" in warning
    assert "--negatives 'event:dislike,thumbs down'" in warning
    assert heard_of(tmp_path, "event", types, negatives=("event:dislike,thumbs down",))[0].warned == []


def test_case_18_a_weight_above_zero_for_a_no_is_warned_of(tmp_path: Path) -> None:
    types = ["like"] * 5 + ["dislike"] * 2 + ["view"]
    heard, _ = heard_of(tmp_path, "event", types, event_weights="like=3,view=1,dislike=2")
    assert any("--event-weights like=3,view=1,dislike=-1" in text for text in heard.warned)
    for weight in ("0", "-2"):
        options = {"event_weights": f"like=3,view=1,dislike={weight}"}
        assert heard_of(tmp_path, "event", types, **options)[0].warned == []


def test_names_of_types_that_the_log_does_not_have_are_warned_of(tmp_path: Path) -> None:
    heard, _ = heard_of(tmp_path, "event", ["view"] * 4, negatives=("event:skip",))
    assert heard.warned == ["--negatives names types that the log does not have: skip"]


NO = (
    "dislike", "Disliked", "SKIP", "skipped", "song_skip", "remove_from_cart", "removeFromCart", "refund", "refunded",
    "return", "returned", "item_return", "unsubscribe", "Unsubscribed", "hide", "hidden", "block", "blocked", "report",
    "thumbs_down", "thumbsDown", "thumbsdown", "downvote", "uninstall", "cancel", "cancelled", "order-canceled",
    "cancellation_cancel", "bounce", "bounced", "not_interested", "notInterested", "unlike", "unfollow", "reject",
    "dismissed", "deleted", "muted", "-1", "👎", "negative", "不喜欢", "点踩", "取消收藏", "退货", "no me gusta",
    "No me gusta", "eliminar", "devolución", "gefällt mir nicht", "überspringen", "Löschen", "storniert", "Rückgabe",
    "je n'aime pas", "supprimer", "не нравится", "don't like",
)  # fmt: skip
YES = (
    "view", "click", "like", "purchase", "add_to_cart", "addtocart", "transaction", "rating", "share", "save", "follow",
    "subscribe", "play", "complete", "wishlist", "pv", "buy", "cart", "fav", "1", "0", "listen", "watch",
    "return_visit",
    "report_view", "block_view", "flagship_view", "unique_view", "download", "install", "thumbs_up", "upvote",
    "checkout", "begin_checkout", "preview", "page_view", "hideout_view", "skippy_view", "bandcamp", "收藏", "购买",
    "me gusta", "gefällt mir", "comprar", "kaufen", "search", "impression", "candidate", "open", "understand", "hatch",
)  # fmt: skip


@pytest.mark.parametrize("name", NO)
def test_names_that_say_no(name: str) -> None:
    assert says_no(name)


@pytest.mark.parametrize("name", YES)
def test_names_that_say_yes(name: str) -> None:
    assert not says_no(name)
