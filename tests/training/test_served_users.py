"""What is exported is what is served: the stored factors of all users, also of those who are folded in."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from recli.storage import safetensors_file
from recli.storage.runs import read_model

Recli = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize("options", [[], ["--history-half-life", 2], ["--refit"]])
@pytest.mark.parametrize("algorithm", ["ials", "als", "bpr"])
def test_exported_factors_are_those_that_users_are_served_by(
    board_run: Path, recli: Recli, algorithm: str, options: list[object]
) -> None:
    recli("train-cf", board_run, "--algorithm", algorithm, "--factors", 8, *options)
    stored = read_model(board_run / "models" / algorithm)
    arrays = safetensors_file.read(stored.part.file("model.safetensors"))
    data, model = stored.interactions, stored.model
    history = data.history(stored.trained_on)
    trained = data.having(*stored.trained_on)
    rows = np.where(trained, np.arange(data.n_users), -1)
    served = model.score(history, rows)
    np.testing.assert_allclose(arrays["user_factors"] @ arrays["item_factors"].T, served, atol=1e-5)
    folded_in = ~trained & (history.sizes > 0)
    assert folded_in.sum() == 3
    assert arrays["user_factors"][folded_in].any(axis=1).all()
