"""Who asks: ids, new users with histories, users with a profile."""

import io
from collections.abc import Iterable

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recli.data.weights import WeightTransform
from recli.errors import InvalidDataError, RecliError
from recli.steps.recommend.users import COMMAND_LINE, UserQueries, all_users, lines_of, parse

USERS = {"u0": 0, "u1": 1, "007": 2}
ITEMS = {"a": 0, "b": 1, "c": 2}


def asked(*lines: str, skip_unknown: bool = False, needs: str | None = None) -> UserQueries:
    numbered: Iterable[tuple[str, str]] = ((f"f line {n}", line) for n, line in enumerate(lines, start=1))
    return parse(numbered, USERS, ITEMS, skip_unknown=skip_unknown, needs=needs)


def test_plain_ids_and_json_ids() -> None:
    found = asked("u1", "", '{"user_id": "007"}', "  u0  ")
    assert found.user_ids == ["u1", "007", "u0"]
    assert found.rows.tolist() == [1, 2, 0]


def test_histories_of_ids_and_of_values() -> None:
    found = asked(
        '{"user_id": "n", "history": ["c", "a"]}',
        '{"history": [{"item_id": "b", "value": 2.5}, {"item_id": "a"}, "a"]}',
        '{"user_id": "u1", "history": ["b"]}',
    )
    assert found.user_ids == ["n", "new-2", "u1"]
    assert found.rows.tolist() == [-1, -1, -1], "a given history replaces what is known of u1"
    assert [found.histories[0][0].tolist(), found.histories[0][1].tolist()] == [[0, 2], [1.0, 1.0]]
    assert [found.histories[1][0].tolist(), found.histories[1][1].tolist()] == [
        [0, 1],
        [2.0, 2.5],
    ]  # a: 1 + 1


def test_values_are_weights_as_in_the_log() -> None:
    """The run's transform makes of them what models learned from; ids alone count 1, the mean value."""
    log = WeightTransform("log", scale=2.0)
    lines = [
        '{"history": [{"item_id": "a", "value": 3}, {"item_id": "c", "value": 8}]}',
        '{"history": ["a", "c"]}',
    ]
    queries = parse([("f", line) for line in lines], USERS, ITEMS, weights=log)
    np.testing.assert_allclose(queries.histories[0].values, np.log([4, 9]) / 2, rtol=1e-6)
    np.testing.assert_array_equal(queries.histories[1].values, [1, 1])
    shares = WeightTransform("per-user")
    queries = parse([("f", lines[0])], USERS, ITEMS, weights=shares)
    assert queries.histories[0].values.mean() == pytest.approx(1)


def test_a_profile_counts_where_no_item_of_the_history_is_known() -> None:
    found = asked(
        '{"user_id": "p", "profile": " likes a "}',
        '{"user_id": "q", "profile": "likes b", "history": ["b"]}',
        '{"user_id": "r", "profile": "likes c", "history": ["zzz"]}',
        '{"user_id": "s", "profile": "  "}',
    )
    assert found.profiles == {0: "likes a", 2: "likes c"}
    assert found.unused_profiles == 1, "q's, whose history says more"
    assert list(found.histories) == [1]
    assert found.unknown_items == ["zzz"]


def test_repeated_and_unknown_users() -> None:
    found = asked("u0", "u1", "u0", "u9", skip_unknown=True)
    assert (found.user_ids, found.repeated, found.skipped) == (["u0", "u1"], 1, ["u9"])
    with pytest.raises(RecliError, match="f line 2: there is no user 'u00'") as raised:
        asked("u0", "u00")
    assert "did you mean u0" in str(raised.value.fix)
    assert raised.value.code == 2
    with pytest.raises(RecliError, match="no file of that name"):
        parse([(COMMAND_LINE, "xyz.txt")], USERS, ITEMS)


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ('{"user_id": "n", "history": [}', "f line 2 is not JSON"),
        ('{"user_id": 7}', '"user_id" must be a string, not 7'),
        ('{"user_id": "n", "history": "a"}', '"history" must be a list'),
        ('{"user_id": "n", "history": [7]}', "not 7"),
        ('{"user_id": "n", "history": [{"item": "a"}]}', "item ids are strings"),
        (
            '{"user_id": "n", "history": [{"item_id": "a", "value": NaN}]}',
            "item 'a' must be a number, not nan",
        ),
        ('{"user_id": "n", "history": [{"item_id": "a", "value": true}]}', "not True"),
        ('{"user_id": "n", "history": [{"item_id": "a", "value": "2"}]}', "not '2'"),
        ('{"user_id": "n", "profile": ["x"]}', '"profile" must be a text'),
        ('{"user_id": "n", "histroy": ["a"]}', 'unknown field "histroy"'),
        ('{"user_id": "\\ud800"}', "lone surrogate"),
        (
            '{"user_id": "n", "history": ' + "[" * 9 + "]" * 9 + "}",
            "f line 2: lists or objects nested more than 8",
        ),
        (
            '{"user_id": "n", "history": ' + "[" * 90_000 + "]" * 90_000 + "}",
            "nested more than 8 levels deep",
        ),
        ("{}", 'neither "user_id"'),
        ('{"user_id": "u0", "history": ["a"]}', "user 'u0' came before"),
    ],
)
def test_bad_lines_say_where(line: str, what: str) -> None:
    with pytest.raises(InvalidDataError) as raised:
        asked("u0", line)
    assert raised.value.what.startswith("f line 2")
    assert what in raised.value.what
    assert raised.value.code == 3


def test_what_each_line_needs() -> None:
    with pytest.raises(InvalidDataError, match='no "history" in it'):
        asked('{"user_id": "n", "profile": "x"}', needs="history")
    with pytest.raises(InvalidDataError, match='no "profile" in it'):
        asked("u0", needs="profile")


def test_rows_of_known_and_new_users_come_in_the_order_asked() -> None:
    known = csr_matrix(np.asarray([[1, 0, 0], [0, 2, 0], [0, 0, 3]], dtype=np.float32))
    assert all_users(["u0", "u1", "007"]).rows_of(known).toarray().tolist() == known.toarray().tolist()
    found = asked(
        "007",
        '{"history": ["a", "b"]}',
        "u1",
        '{"profile": "x"}',
        '{"history": [{"item_id": "c", "value": 5}]}',
    )
    expected = [[0, 0, 3], [1, 1, 0], [0, 2, 0], [0, 0, 0], [0, 0, 5]]
    assert found.rows_of(known).toarray().tolist() == expected


def test_lines_of_a_file() -> None:
    assert list(lines_of(io.BytesIO("\ufeffu0\r\n\né\n".encode()), "f")) == [
        ("f line 1", "u0"),
        ("f line 2", ""),
        ("f line 3", "é"),
    ]
    with pytest.raises(InvalidDataError, match="f line 2 is not UTF-8"):
        list(lines_of(io.BytesIO(b"u0\n\xff\xfe\n"), "f"))
    with pytest.raises(InvalidDataError, match="f line 1 has a NUL"):
        list(lines_of(io.BytesIO(b"PAR1\0"), "f"))
