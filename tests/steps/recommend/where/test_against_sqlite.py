"""Random conditions hold for the same rows as in SQLite."""

import sqlite3

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from recli.steps.recommend.where.condition import where

ROWS = [
    (a, b, s, t)
    for a, b in ((None, 1.5), (0, None), (3, -2.0), (-7, 0.0), (12, 4.25))
    for s, t in ((None, "Comedy"), ("a%b", None), ("a_b", "x"), ("Abc", "12"), ("", "it's"))
]
FRAME = pl.DataFrame(
    ROWS, schema={"a": pl.Int64, "b": pl.Float64, "s": pl.String, "my col": pl.String}, orient="row"
)

_numbers = st.recursive(
    st.sampled_from(["a", "b", "0", "2", "-3", "1.5", "NULL", "LENGTH(s)", "ABS(a)", "COALESCE(a, 5)"]),
    lambda inner: (
        st.builds("({} {} {})".format, inner, st.sampled_from(["+", "-", "*"]), inner)
        | st.builds("- {}".format, inner)
    ),
    max_leaves=4,
)
_texts = st.sampled_from(
    [
        "s",
        '"my col"',
        "'abc'",
        "'it''s'",
        "LOWER(s)",
        'UPPER("my col")',
        "TRIM(s)",
        "REPLACE(s, 'b', 'c')",
        "NULL",
    ]
)
_patterns = st.sampled_from(["'%'", "'a%'", "'_b_'", "'a!%b' ESCAPE '!'", "'A%'", "'%.%'", "''"])
_compare = st.sampled_from(["=", "!=", "<>", "<", "<=", ">", ">="])
_not = st.sampled_from(["", "NOT "])
_terms = st.one_of(
    st.builds("{} {} {}".format, _numbers, _compare, _numbers),
    st.builds("{} {} {}".format, _texts, _compare, _texts),
    st.builds("{} {}IN ({}, {})".format, _numbers, _not, _numbers, _numbers),
    st.builds("{} {}IN ({}, {})".format, _texts, _not, _texts, _texts),
    st.builds("{} {}BETWEEN {} AND {}".format, _numbers, _not, _numbers, _numbers),
    st.builds("{} {}LIKE {}".format, _texts, _not, _patterns),
    st.builds("{} IS {}NULL".format, st.one_of(_numbers, _texts), _not),
    st.builds(
        "a % {} = {}".format, st.sampled_from(["2", "3", "-2", "0"]), st.sampled_from(["0", "1", "-1"])
    ),
)
_conditions = st.recursive(
    _terms,
    lambda inner: (
        st.builds("({}) {} {}".format, inner, st.sampled_from(["AND", "OR"]), inner)
        | st.builds("NOT ({})".format, inner)
        | st.builds("{} OR {} AND {}".format, inner, inner, inner)
    ),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None)
@given(_conditions)
def test_random_conditions_hold_for_the_same_rows_as_in_sqlite(condition: str) -> None:
    database = sqlite3.connect(":memory:")
    database.execute("PRAGMA case_sensitive_like = ON")
    database.execute('CREATE TABLE items (a, b, s, "my col")')
    database.executemany("INSERT INTO items VALUES (?, ?, ?, ?)", ROWS)
    expected = [bool(row[0]) for row in database.execute(f"SELECT {condition} FROM items")]
    database.close()
    assert where(FRAME, [condition]).tolist() == expected
