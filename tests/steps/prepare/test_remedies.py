"""Too many unusable rows: the message counts them by reason, and the option it names mends them if typed."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from event_logs import Cells, write_log

from recli.storage import runs

Recli = Callable[..., tuple[int, str, str]]
HEADER = "user_id,item_id,rating,timestamp"


@pytest.fixture
def mended(tmp_path: Path, recli: Recli) -> Callable[..., str]:
    """The message of a log that fails, after its first option was typed and has worked."""

    def call(cells: Cells, *options: str, header: str = HEADER, repeat: bool = True) -> str:
        log, run = write_log(tmp_path / "log.csv", cells, header), tmp_path / "run"
        _, _, err = recli("prepare", log, "--out", run, "-q", *options, code=3)
        message = " ".join(err.split())
        if repeat:
            fix = " ".join(err.strip().splitlines()[1:])
            recli("prepare", log, "--out", run, "-q", *options, *_options(fix))
            assert sum(f.height for f in runs.read_interactions(run).splits.values()) > 200
        return message

    return call


def _options(fix: str) -> list[str]:
    """The options that a remedy names first, of each cause."""
    options = []
    for cause in fix.split("; read them all")[0].split("; then "):
        words = shlex.split(cause)
        while words[0].startswith("--"):
            n = 1 if words[0] == "--decimal-comma" else 2
            options, words = [*options, *words[:n]], words[n:]
    return options


def timed(write: Any) -> Cells:
    return lambda event: [event.user, event.item, event.rating, write(event)]


@pytest.mark.parametrize(
    "form",
    [
        "%d/%m/%Y %H:%M",
        "%d/%b/%Y:%H:%M:%S +0000",
        "%m/%d/%Y %I:%M %p",
        "%d.%m.%Y",
        "%Y/%m/%d %H:%M:%S",
        "%d-%b-%y",
        "%B %d %Y",
        "%a %b %d %H:%M:%S +0000 %Y",
        "%m/%d/%y %H:%M",
    ],
)
def test_case_22_the_format_of_times_is_proposed(mended: Callable[..., str], form: str) -> None:
    message = mended(timed(lambda e: f"{e.time:{form}}"))
    assert (
        "300 of 300 rows cannot be used" in message
        and "300 unparsable time in timestamp (log.csv:2 '" in message
    )
    proposed = form.replace("+0000", "%z")
    assert f"--time-format {proposed!r} reads these times" in message
    assert "read them all with --rejects FILE.csv" in message


def test_case_22_quoted_formats_with_commas(mended: Callable[..., str]) -> None:
    message = mended(timed(lambda e: f'"{e.time:%a, %d %b %Y %H:%M:%S} GMT"'))
    assert "--time-format '%a, %d %b %Y %H:%M:%S GMT'" in message


def test_case_22_a_value_decides_between_two_formats_or_both_are_shown(mended: Callable[..., str]) -> None:
    message = mended(timed(lambda e: f"{e.time:%d/%m/%Y}"))
    assert re.search(r"'%m/%d/%Y' does not read '(1[3-9]|2\d|3\d)/", message)
    message = mended(timed(lambda e: f"{e.time.day % 12 + 1}/{e.time.month}/{e.time.year}"), repeat=False)
    assert "--time-format '%d/%m/%Y' and '%m/%d/%Y' both read all of these times: say which" in message


def test_case_22_several_formats_in_one_column(mended: Callable[..., str]) -> None:
    message = mended(timed(lambda e: f"{e.time:%d/%m/%Y}" if e.k % 2 else f"{e.time:%Y-%m-%d}"))
    assert "--time-format '%d/%m/%Y|iso'" in message
    message = mended(timed(lambda e: f"{e.time:%d/%m/%Y}" if e.k % 2 else e.seconds))
    assert "--time-format '%d/%m/%Y|s'" in message
    message = mended(timed(lambda e: f"{e.time:%d/%m/%Y}" if e.k % 2 else f"{e.time:%d/%m/%Y %H:%M}"))
    assert "|" in message and "%d/%m/%Y %H:%M" in message


def rated(write: Any) -> Cells:
    return lambda event: [event.user, event.item, write(event), event.seconds]


@pytest.mark.parametrize(
    ("write", "option"),
    [
        (lambda e: f'"{e.rating},5"', "--decimal-comma"),
        (lambda e: f'"{e.rating},234"', "--thousands-separator ,"),
        (lambda e: f'"{e.rating},234.5"', "--thousands-separator ,"),
        (lambda e: f'"{e.rating}.234,5"', "--decimal-comma --thousands-separator ."),
        (lambda e: f"{e.rating} 234", "--thousands-separator ' '"),
        (lambda e: f"{e.rating}\u00a0234", "--thousands-separator ' '"),
        (lambda e: f"{e.rating}'234", '--thousands-separator "\'"'),
        (lambda e: f"{e.rating}.234.567", "--thousands-separator ."),
        (lambda e: ["bad", "good", "so so"][e.k % 3], '--rating-column "" --event-column rating'),
        (lambda e: e.rating if e.k % 3 else "", '--rating-column ""'),
    ],
)
def test_case_23_the_option_that_reads_the_numbers_is_named(
    mended: Callable[..., str], write: Any, option: str
) -> None:
    assert f" {option} " in mended(rated(write))


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda e: f"${e.rating}.99", "the numbers have a currency's sign: take it out"),
        (lambda e: f"{e.rating}.99 €", "the numbers have a currency's sign: take it out"),
        (lambda e: f"{e.rating}0%", "take the % out"),
        (lambda e: f"{e.rating}/5", "take what comes after the first number out"),
        (lambda e: "★" * e.rating, "the numbers are stars"),
        (lambda e: "N/A" if e.k % 2 else e.rating, "'N/A' stands for no rating"),
    ],
)
def test_case_23_what_no_option_reads_is_explained(mended: Callable[..., str], write: Any, told: str) -> None:
    message = mended(rated(write), repeat=False)
    assert told in message and '--rating-column "" goes without ratings' in message


def test_case_23_weights(mended: Callable[..., str], tmp_path: Path) -> None:
    def cells(event: Any) -> list[Any]:
        return [event.user, event.item, '"1,234"' if event.k % 2 else event.rating]

    message = mended(cells, "--weight-column", "plays", header="user_id,item_id,plays")
    assert "150 unparsable number in plays (log.csv:3 '1,234')" in message
    assert "--thousands-separator , reads these numbers, or leave out --weight-column" in message
    weights = runs.read_interactions(tmp_path / "run").splits["train"]["value"]
    assert weights.max() >= 1234  # type: ignore[operator]


def test_case_23_a_point_that_may_be_one_of_thousands(tmp_path: Path, recli: Recli) -> None:
    def warning(write: Any, *options: str) -> str:
        log = write_log(tmp_path / "log.csv", lambda e: [e.user, e.item, write(e)], "user_id,item_id,plays")
        command = ("prepare", log, "--out", tmp_path / "run", "-q", "--weight-column", "plays", *options)
        return " ".join(recli(*command)[2].split())

    def thousands(event: Any) -> str:
        return str(event.k) if event.k % 2 else f"1.{event.k:03d}"

    assert "such as 1.002 have three decimals" in warning(thousands)
    assert warning(thousands).endswith("if 1.002 is 1002, say --thousands-separator .")
    assert not warning(thousands, "--thousands-separator", ".")
    for sane in (
        lambda e: e.k,
        lambda e: e.k / 2,
        lambda e: f"{e.k / 7:.3f}",
        lambda e: 1 + e.k * 50 if e.k % 2 else 1.234,
    ):
        assert not warning(sane)


def test_a_column_of_text_has_the_columns_of_numbers_named(mended: Callable[..., str]) -> None:
    message = mended(
        lambda e: [e.user, e.item, f"nice thing {e.k}", e.seconds, e.rating],
        header=f"{HEADER},stars_given",
        repeat=False,
    )
    assert "columns of numbers: --rating-column stars_given;" in message


def test_several_causes_are_mended_one_after_the_other(mended: Callable[..., str]) -> None:
    message = mended(lambda e: [e.user, e.item, f'"{e.rating},5"', f"{e.time:%d.%m.%Y}"])
    assert "--decimal-comma reads these numbers" in message and "; then --time-format '%d.%m.%Y'" in message


def test_pseudonymized_values_are_not_shown(mended: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "key").write_text("0123456789abcdef")
    for cells in (rated(lambda e: f"{e.user} said {e.k}"), timed(lambda e: f"{e.time:%d/%m/%Y} {e.user}")):
        message = mended(cells, "--pseudonymize", "--key-file", str(tmp_path / "key"), repeat=False)
        assert "300 unparsable" in message and "(log.csv:2)" in message and "u0" not in message


def test_reasons_are_counted_with_an_example_each(mended: Callable[..., str]) -> None:
    def cells(event: Any) -> list[Any]:
        bad = event.k % 10
        return [
            "" if bad == 1 else event.user,
            event.item,
            "x" if bad == 2 else event.rating,
            *(["more"] if bad == 3 else []),
            "" if bad in (4, 5) else event.seconds,
        ]

    message = mended(cells, repeat=False)
    assert "150 of 300 rows cannot be used" in message
    for told in (
        "60 missing time in timestamp (log.csv:6)",
        "30 missing user in user_id (log.csv:3)",
        "30 unparsable number in rating (log.csv:4 'x')",
        "30 too many fields (log.csv:5)",
    ):
        assert told in message
    assert message.index("60 missing time") < message.index("30 missing user")
    assert '--time-column "" goes without times' in message
    assert "or leave them out with --max-rejects 50%" in message


def test_fields_for_which_there_are_no_names(mended: Callable[..., str]) -> None:
    message = mended(lambda e: [e.k, e.user, e.item, e.rating, e.seconds], repeat=False)
    assert "these lines have 5 fields separated by ',', for 4 names" in message
    assert "--no-header --columns NAME,NAME,NAME,NAME,NAME" in message


@pytest.mark.parametrize("words", ["true false", "TRUE FALSE", "yes no", "t f", "1 false"])
def test_case_33_booleans_are_1_and_0(tmp_path: Path, recli: Recli, words: str) -> None:
    yes, no = words.split()
    log = write_log(tmp_path / "log.csv", rated(lambda e: yes if e.rating > 2 else no), HEADER)
    _, _, err = recli("prepare", log, "--out", tmp_path / "run")
    told = (
        "rating is true or false in 300 rows: read as 1 and 0; --min-rating 1 leaves out those that are false"
    )
    assert told in " ".join(err.split())
    ratings = runs.read_interactions(tmp_path / "run").splits["train"]["rating"]
    assert sorted(ratings.unique().to_list()) == [0, 1]


def test_case_33_booleans_of_parquet_and_json(tmp_path: Path, recli: Recli) -> None:
    import polars as pl

    frame = pl.DataFrame({"user_id": [k % 9 for k in range(90)], "item_id": range(90)})
    frame = frame.with_columns(rating=pl.col("item_id") % 2 == 0, plays=pl.col("item_id") % 3 > 0)
    frame.write_parquet(tmp_path / "log.parquet")
    frame.write_ndjson(tmp_path / "log.jsonl")
    for name in ("log.parquet", "log.jsonl"):
        options = ("--min-rating", 1, "--weight-column", "plays")
        recli("prepare", tmp_path / name, "--out", tmp_path / "run", *options)
        kept = sum(f.height for f in runs.read_interactions(tmp_path / "run").splits.values())
        assert kept == 30


def test_words_among_numbers_are_not_booleans(tmp_path: Path, recli: Recli) -> None:
    log = write_log(tmp_path / "log.csv", rated(lambda e: "true" if e.k % 9 == 0 else e.rating), HEADER)
    _, _, err = recli("prepare", log, "--out", tmp_path / "run", code=3)
    assert "34 unparsable number in rating (log.csv:2 'true')" in " ".join(err.split())
