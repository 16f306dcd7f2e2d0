"""Lists of ids."""

from recli.steps.recommend.candidates import mask_of, rows_of


def test_ids_become_rows_once_each_and_in_order() -> None:
    assert rows_of(["c", "x", "a", "c", "y", "x"], {"a": 0, "b": 1, "c": 2}) == ([2, 0], ["x", "y"])
    assert mask_of([2, 0], 4).tolist() == [True, False, True, False]
    assert mask_of([], 2).tolist() == [False, False]
