"""JSON lines that are parsed all at once are what they are line by line; where that is not sure, they are not."""

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recli.data.readers.column_roles import EVENT, ITEM, RATING, TIME, USER
from recli.data.readers.jsonl import _parse_alike, parse_objects
from recli.data.readers.options import ReadOptions
from recli.data.readers.values import Written, normalize

KEYS = {"user": "u", "item": "i", "rating": "r", "event": "e", "time": "t"}
ROLES = (USER, ITEM, RATING, EVENT, TIME)
PLAIN = '{"u": "a", "i": 7, "r": 4.5, "e": "view", "t": 1600000000}\n'


def agree(data: bytes) -> bool:
    """Whether all lines could be parsed at once; then they must be what they are one by one."""
    fast = _parse_alike(data, 5, KEYS)
    if fast is None:
        return False
    slow, taken = parse_objects(data, 5, KEYS)
    assert not slow.rejects
    assert fast["line"].to_list() == slow.frame["line"].to_list() == list(range(5, 5 + taken))
    options = ReadOptions(time_unit="s")
    (some, faults), (others, found) = (normalize(f, ROLES, Written(options)) for f in (fast, slow.frame))
    assert some.equals(others)
    assert [fault[:3] for fault in faults] == [fault[:3] for fault in found]
    return True


def test_plain_lines_are_parsed_at_once() -> None:
    assert agree(PLAIN.encode() * 3)
    assert agree(PLAIN.encode() + PLAIN.strip().encode())  # no line end at the end
    assert agree(PLAIN.replace('"e"', '"more": [{"x": "ü"}], "e"').encode() + PLAIN.encode())
    assert agree(PLAIN.replace("1600000000", '"2020-09-13"').encode() * 2)
    frame = _parse_alike(PLAIN.replace('"a"', '" é\\n"').encode(), 1, KEYS)
    assert frame is not None
    assert frame.rows() == [(1, " é\n", 7, 4.5, "view", 1600000000)]


@pytest.mark.parametrize(
    "line",
    [
        PLAIN.replace('"a"', "1"),  # another type than the first: an id all the same
        PLAIN.replace('"a"', "1.5"),  # no id
        PLAIN.replace('"a"', "true"),
        PLAIN.replace('"a"', "null"),
        PLAIN.replace('"a"', '["a"]'),
        PLAIN.replace('"a"', '"\\ud83d"'),  # half a pair: polars would make it NUL
        PLAIN.replace('"a"', '"a", "u": "b"'),  # JSON's last one counts, polars takes the first
        PLAIN.replace('"u"', '"x": {"u": 1}, "u"'),
        PLAIN.replace('"u"', '"v"'),
        PLAIN.replace("7", "-0"),  # polars makes it 0
        PLAIN.replace("7", "18446744073709551616"),
        PLAIN.replace("4.5", "NaN"),
        PLAIN.replace("4.5", '"4.5"'),
        PLAIN.replace("1600000000", "1.6e9"),
        PLAIN.replace("}", ""),
        PLAIN.replace("a", "a\tb"),
        "[1]\n",
        "\n",
        "  \n",
    ],
)
def test_anything_else_is_looked_at_line_by_line(line: str) -> None:
    assert not agree((PLAIN + line + PLAIN).encode())


def test_bytes_that_are_no_text_are_looked_at_line_by_line() -> None:
    assert not agree(PLAIN.encode() + PLAIN.encode().replace(b"a", b"\xff"))


kinds = st.sampled_from(
    [
        st.text(max_size=4) | st.sampled_from([" ", "2020-09-13", "u", "1.5"]),
        st.integers(-2, 2) | st.sampled_from([1600000000, 2**63, 10**30]),
        st.floats() | st.integers(-2, 2),
    ]
)
odd = st.sampled_from([None, True, "a", 7, 4.5, [1], {"u": 1}, "\ud83d", "\0"])


@pytest.mark.slow
@settings(max_examples=200, deadline=None)
@given(
    data=st.data(),
    kind=st.fixed_dictionaries(dict.fromkeys("uiret", kinds)),
    n=st.integers(1, 4),
    ascii_only=st.booleans(),
)
def test_both_ways_agree_whatever_the_values_and_damage(
    data: st.DataObject, kind: dict[str, Any], n: int, ascii_only: bool
) -> None:
    rows = [data.draw(st.fixed_dictionaries(kind)) for _ in range(n)]
    damage = data.draw(st.sampled_from(["none", "none", "value", "text"]))
    if damage == "value":
        rows[-1][data.draw(st.sampled_from("uiretx"))] = data.draw(odd)
    text = "".join(json.dumps(row, ensure_ascii=ascii_only) + "\n" for row in rows)
    if damage == "text":
        at = data.draw(st.integers(0, len(text)))
        instead = data.draw(st.sampled_from(["", '"', "}", "\n", "-", "u", "\r", " ", "0", "{}"]))
        text = text[:at] + instead + text[at + data.draw(st.integers(0, 3)) :]
    agree(text.encode(errors="surrogatepass"))


def test_a_block_of_each_kind_is_one_table() -> None:
    frames = [_parse_alike(PLAIN.encode(), 1, KEYS), parse_objects(PLAIN.encode(), 2, KEYS)[0].frame]
    read = [
        normalize(frame, ROLES, Written(ReadOptions(time_unit="s")))[0]
        for frame in frames
        if frame is not None
    ]
    assert pl.concat(read).rows() == [("a", "7", 4.5, "view", 1_600_000_000_000_000)] * 2
