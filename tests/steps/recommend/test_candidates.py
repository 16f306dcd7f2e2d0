"""Lists of ids, close matches."""

from recli.steps.recommend.candidates import close_matches, did_you_mean, mask_of, rows_of


def test_ids_become_rows_once_each_and_in_order() -> None:
    assert rows_of(["c", "x", "a", "c", "y", "x"], {"a": 0, "b": 1, "c": 2}) == ([2, 0], ["x", "y"])
    assert mask_of([2, 0], 4).tolist() == [True, False, True, False]
    assert mask_of([], 2).tolist() == [False, False]


def test_close_matches() -> None:
    known = [f"user{i:03d}" for i in range(300)]
    assert close_matches("USER007", known) == ["user007"]
    assert "user007" in close_matches("user0077", known)
    assert did_you_mean("zzz", known) is None
    assert (
        did_you_mean("user007x", known)
        == "did you mean " + " or ".join(close_matches("user007x", known)) + "?"
    )


def test_close_matches_look_at_few_of_very_many_ids() -> None:
    known = [f"u{i}" for i in range(250_000)]
    assert "u249999" in close_matches("u2499999", known)
