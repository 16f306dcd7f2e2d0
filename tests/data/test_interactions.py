"""Events that are known but not trained on: what is masked, what was disliked, and how it comes to the models."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import write_board

from recli import schema
from recli.data.interactions import Interactions, no_seen_events
from recli.errors import RecliError
from recli.schema import CSR
from recli.steps.recommend.users import parse
from recli.storage import runs


def seen_frame(*rows: tuple[int, int, float, str]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=no_seen_events().schema, orient="row")


def entries(matrix: CSR) -> dict[tuple[int, int], float]:
    coo = matrix.tocoo()
    return {(int(u), int(i)): float(v) for u, i, v in zip(coo.row, coo.col, coo.data, strict=True)}


SEEN = seen_frame(
    (0, 20, 0.0, "train"), (0, 21, 2.0, "train"), (0, 22, 1.0, "test"), (1, 20, 0.5, "validation"),
    (11, 25, 3.0, "history"),
)  # fmt: skip


@pytest.fixture
def data(board: Interactions) -> Interactions:
    return replace(board, seen_events=SEEN)


def test_seen_events_before_the_test_are_masked_with_the_others(
    board: Interactions, data: Interactions
) -> None:
    added = set(entries(data.seen())) - set(entries(board.seen()))
    assert added == {(0, 20), (0, 21), (1, 20), (11, 25)}
    everything = set(entries(data.known(*schema.SPLITS))) - set(entries(board.matrix(*schema.SPLITS)))
    assert everything == added | {(0, 22)}


def test_no_model_is_trained_on_seen_events(board: Interactions, data: Interactions) -> None:
    assert entries(data.matrix(*schema.SPLITS)) == entries(board.matrix(*schema.SPLITS))


def test_negatives_are_strengths_by_split(data: Interactions) -> None:
    assert entries(data.negatives("train")) == {(0, 21): 2.0}
    assert entries(data.negatives("train", "validation")) == {(0, 21): 2.0, (1, 20): 0.5}
    assert entries(data.negatives("test", "history")) == {(0, 22): 1.0, (11, 25): 3.0}
    assert data.negatives("train").shape == (data.n_users, data.n_items)
    assert data.negatives("train").dtype == np.float32


@pytest.mark.parametrize("in_order", [True, False])
def test_histories_carry_what_was_disliked_in_their_splits(data: Interactions, in_order: bool) -> None:
    history = data.history(in_order=in_order)
    assert (history.steps is not None) == in_order
    assert history.negatives is not None
    assert entries(history.negatives) == {(0, 21): 2.0, (11, 25): 3.0}
    chosen = history[np.array([11, 0])]
    assert chosen.negatives is not None
    assert entries(chosen.negatives) == {(0, 25): 3.0, (1, 21): 2.0}
    kept = chosen.keep(np.ones(chosen.nnz, dtype=bool)).negatives
    assert kept is not None and kept.nnz == 2


def test_histories_know_what_else_is_masked(board: Interactions, data: Interactions) -> None:
    for history in (
        data.history(),
        data.history()[np.arange(data.n_users)],
        data.history_of("train", "history"),
    ):
        assert set(entries(history.seen)) - set(entries(history.values)) == {(0, 20), (0, 21), (11, 25)}
    assert board.history().seen is not None
    assert board.history().also_seen is None


def test_a_history_without_dislikes_has_no_negatives(board: Interactions) -> None:
    merely_seen = replace(board, seen_events=seen_frame((0, 20, 0.0, "train"), (0, 22, 1.0, "test")))
    assert merely_seen.history().negatives is None
    assert board.history().negatives is None


def test_new_users_beside_known_ones_have_no_negatives(data: Interactions) -> None:
    lines = [("-", '{"user_id": "new", "history": ["i000"]}'), ("-", "u000")]
    queries = parse(lines, {"u000": 0}, {"i000": 0})
    negatives = queries.histories_of(data.history()).negatives
    assert negatives is not None
    assert entries(negatives) == {(1, 21): 2.0}
    assert set(entries(queries.rows_of(data.seen()))) >= {(0, 0), (1, 20), (1, 21)}


def test_what_new_users_dislike_is_masked(data: Interactions) -> None:
    history = [
        "i000", {"item_id": "i001", "value": -2}, {"item_id": "i002", "value": 0},
        {"item_id": "i003", "value": -1}, "i003",  # liked in the end
        "i004", {"item_id": "i004", "value": -1},  # disliked in the end
    ]  # fmt: skip
    lines = [("-", json.dumps({"user_id": "new", "history": history})), ("-", "u000"),
             ("-", json.dumps({"user_id": "cross", "history": [{"item_id": "i000", "value": -1}]}))]  # fmt: skip
    queries = parse(lines, {"u000": 0}, {f"i{k:03d}": k for k in range(5)})
    found = queries.histories_of(data.history())
    assert found.negatives is not None
    assert entries(found.values).keys() >= {(0, 0), (0, 3)}
    assert entries(found.negatives) == {(0, 1): 2, (0, 4): 1, (1, 21): 2, (2, 0): 1}
    assert {pair for pair in entries(found.values) if pair[0] == 2} == set()
    for masked in (found.seen, queries.rows_of(data.seen())):
        assert {item for row, item in entries(masked) if row == 0} == {0, 1, 2, 3, 4}
        assert {item for row, item in entries(masked) if row == 2} == {0}


@pytest.mark.parametrize("users", [[0], [0, 11]])
def test_the_events_of_others_are_left_out(data: Interactions, users: list[int]) -> None:
    only = data.only(np.array(users)).seen_events
    assert only.equals(SEEN.filter(pl.col("user").is_in(users)))


def test_seen_events_are_stored_and_read_again(tmp_path: Path, data: Interactions) -> None:
    run = write_board(tmp_path / "run", data)
    assert runs.read_interactions(run).seen_events.equals(SEEN)


def test_a_run_without_seen_events_has_no_table(board_run: Path) -> None:
    assert not (board_run / "interactions" / "seen.parquet").exists()
    assert runs.read_interactions(board_run).seen_events.equals(no_seen_events())


def test_a_table_of_seen_events_without_a_column_is_reported(tmp_path: Path, data: Interactions) -> None:
    run = write_board(tmp_path / "run", replace(data, seen_events=SEEN.drop("negative")))
    with pytest.raises(RecliError, match=r"seen\.parquet.*no column 'negative'"):
        runs.read_interactions(run)
