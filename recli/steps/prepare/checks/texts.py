"""What was cleaned in the items' texts, and what may be wrong with them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import polars as pl

from recli import schema
from recli.reporting import Reporter, counted

if TYPE_CHECKING:
    from recli.data.readers.text_cleaning import Changes

_SHOWN = 40  # characters of a text
_SAID, _WARNED, _FEW = (
    0.05,
    0.3,
    10,
)  # shares of the items that have one and the same text; fewer items are no share
_BROKEN = 0.01  # share of broken texts from which they are warned of
# UTF-8 read as cp1252: its first byte as a letter, and the others as what cp1252 has there.
_MOJIBAKE = (
    r"[\u00c2-\u00f4][\u0080-\u00bf\u20ac\u201a\u0192\u201e\u2026\u2020\u2021\u02c6\u2030\u0160\u2039\u0152"
    + (r"\u017d\u2018\u2019\u201c\u201d\u2022\u2013\u2014\u02dc\u2122\u0161\u203a\u0153\u017e\u0178]+")
)


def check(catalogue: pl.DataFrame, changes: Changes, encoding: str, reporter: Reporter) -> None:
    """Say what was cleaned in the texts of `catalogue` (item_id, text, ...); warn of broken letters and of one text
    that many items have. `encoding`: which it was read in.
    """
    _say_changes(changes, reporter)
    texts = catalogue[schema.TEXT].drop_nulls()
    if len(texts):
        _check_letters(texts, encoding, reporter)
        _check_repeated(texts, catalogue.height, reporter)


def _say_changes(changes: Changes, reporter: Reporter) -> None:
    words = {
        "empty": ("{n} such as {before} count as empty", "--empty-texts none keeps them"),
        "nested": ("{n} with lists or objects are written as words, {before} as {after}", ""),
        "html": ("HTML is taken out of {n}, {before} becomes {after}", "--html keep leaves it"),
    }
    for kind, change in changes.items():
        what, option = words[kind]
        columns = ", ".join(f"{name} {n:,}" for name, n in change.cells.items())
        said = what.format(
            n=counted(change.n, "cell"), before=_short(change.before), after=_short(change.after)
        )
        reporter.say(f"texts: {said} ({columns}){f'; {option}' if option else ''}")


def _short(text: str) -> str:
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


def _check_letters(texts: pl.Series, encoding: str, reporter: Reporter) -> None:
    """Warn of UTF-8 that was read as another encoding, here or before, and of letters that are lost."""
    suspects = texts.filter(texts.str.contains(_MOJIBAKE)).to_list()
    broken = [text for text in suspects if _mended(text) != text]
    if len(broken) >= max(1, _BROKEN * len(texts)):
        whole = re.search(rf"\S*{_MOJIBAKE}\S*", broken[0])
        word = whole.group() if whole and _mended(whole.group()) != whole.group() else broken[0]
        read_wrong = encoding.lower().replace("_", "-") not in ("utf-8", "utf8", "utf-8-sig")
        fix = (
            "--items-encoding utf-8 reads them"
            if read_wrong
            else "they were saved so; this mends the file: iconv -f utf-8 -t cp1252 FILE > MENDED"
        )
        reporter.warn(
            f"texts: {len(broken):,} of {len(texts):,} have broken letters: {_short(word)} should be "
            f"{_short(_mended(word))}; {fix}"
        )
    lost = texts.filter(texts.str.contains("\ufffd", literal=True))
    if len(lost) >= max(1, _BROKEN * len(texts)):
        reporter.warn(
            f"texts: {len(lost):,} of {len(texts):,} have letters that were lost when the file was made: "
            f"{_short(lost[0])}; make it again, as UTF-8"
        )


def _mended(text: str) -> str:
    """The text with its broken letters whole; other letters stay."""
    return re.sub(_MOJIBAKE, lambda broken: _as_utf8(broken.group()), text)


def _as_utf8(text: str) -> str:
    try:
        return b"".join(_byte(character) for character in text).decode()
    except ValueError:
        return text


def _byte(character: str) -> bytes:
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:
        return character.encode("latin-1")  # five bytes that cp1252 has no character for


def _check_repeated(texts: pl.Series, n_items: int, reporter: Reporter) -> None:
    """Say, or warn, that many items have one text: their vectors are the same."""
    text, count = texts.value_counts().sort("count", descending=True).row(0)
    if count < max(_FEW, _SAID * n_items):
        return
    report = reporter.warn if count >= _WARNED * n_items else reporter.say
    report(
        f"texts: {count:,} of {counted(n_items, 'item')} have the same one, {_short(text)}: nothing tells them apart; "
        "more columns can be in it (--text)"
    )
