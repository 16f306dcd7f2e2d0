"""Validation as models are served: items that users had, also those that were filtered out, are not listed."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from recli.data.history import History
from recli.data.interactions import Interactions
from recli.models.base import Model
from recli.schema import Float32, Int64, State
from recli.steps.evaluate.test_set import evaluate_model, make_test_set
from recli.training.validation import known_users, validator_of


@dataclass(frozen=True)
class Same(Model):
    """The same scores for everybody."""

    scores: Float32

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        return np.repeat(self.scores[None, :], history.shape[0], axis=0)

    def state(self) -> State:
        return {}


def disliked_first(board: Interactions) -> tuple[Interactions, Model]:
    """Every user saw the 25 items that the model ranks first and that are in none of their splits."""
    scores = np.arange(board.n_items, 0, -1, dtype=np.float32)
    rest = board.matrix("train", "validation", "test", "history").toarray() == 0
    users, items = np.nonzero(rest & (np.arange(board.n_items) < 25))
    seen = pl.DataFrame({"user": users, "item": items}).select(
        pl.col("user", "item").cast(pl.Int32),
        negative=pl.lit(0.0, pl.Float32),
        split=pl.lit("train"),
    )
    return replace(board, seen_events=seen), Same(scores)


def test_what_was_filtered_out_is_not_listed_in_validation(board: Interactions) -> None:
    filtered, model = disliked_first(board)
    before, after = validator_of(board)(model), validator_of(filtered)(model)
    assert after > before
    later = filtered.seen_events.with_columns(split=pl.lit("test"))
    assert validator_of(replace(filtered, seen_events=later))(model) == before


def test_evaluation_masks_the_same(board: Interactions) -> None:
    filtered, model = disliked_first(board)
    test_set, _ = make_test_set(filtered, "validation")
    assert test_set.filtered is not None and test_set.filtered.nnz > 0
    assert test_set.seen.nnz == make_test_set(board, "validation")[0].seen.nnz  # histories stay what they are
    for with_auc in (True, False):
        history = filtered.history()[test_set.users]
        known = known_users(test_set.users, history)
        ranked = evaluate_model(model, test_set, history, known, 20, with_auc=with_auc).ranked
        seen = filtered.known("train", "history")[test_set.users].toarray()
        assert not any(seen[row, item] for row, items in enumerate(ranked) for item in items if item >= 0)
