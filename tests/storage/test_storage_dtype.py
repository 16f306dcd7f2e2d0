"""Models stored in fewer bytes: every algorithm ranks nearly as before, and files are as small as they should be."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from conftest import rows_of
from scipy.sparse import csr_matrix

from recli import schema
from recli.data.history import History
from recli.data.interactions import Interactions
from recli.models.base import Model, Training, algorithms
from recli.ranking.topk import rank
from recli.storage import parts, runs
from recli.storage.quantization import compact_state, expand_state

Call = Callable[..., tuple[int, str, str]]

USERS, ITEMS, TASTES = 240, 150, 6
SMALL = {  # what differs from the defaults, which are made for thousands of users
    "als": {"factors": 16, "regularization": 1.0},
    "ials": {"factors": 16},
    "bpr": {"factors": 16, "iterations": 40},
    "lmf": {"factors": 16},
    "ease": {"l2": 20.0},
}
PERSONAL = algorithms.names(lambda a: a.family == "cf" and a.personal)
# Shares of the top 10 that are the same, the mean over users; the least found for any algorithm was .999 and .987.
LEAST = {"float16": 0.99, "int8": 0.97}


@pytest.fixture(scope="module")
def log() -> csr_matrix:
    """Users with 8 to 20 items, four fifths of them of one of six tastes; values from 1 to 5."""
    rng = np.random.default_rng(5)
    made = np.zeros((USERS, ITEMS), dtype=np.float32)
    for user in range(USERS):
        n = rng.integers(8, 21)
        of_taste = rng.permutation(np.arange(user % TASTES, ITEMS, TASTES))[: int(0.8 * n)]
        items = np.union1d(of_taste, rng.choice(ITEMS, n - of_taste.size, replace=False))
        made[user, items] = rng.integers(1, 6, items.size)
    return csr_matrix(made)


@pytest.fixture(scope="module")
def trained(log: csr_matrix) -> dict[str, tuple[object, Model]]:
    rows = rows_of(*(part.tolist() for part in log.nonzero()))
    made = {}
    for name in PERSONAL:
        config = algorithms[name].config(**SMALL.get(name, {}))
        made[name] = config, algorithms[name].fit(config, Training(log, rows=rows, threads=1))
    return made


def lists(model: Model, log: csr_matrix, users: np.ndarray) -> np.ndarray:
    ties = np.arange(ITEMS, dtype=np.int32)
    return rank(model, History(log), users, k=10, ties=ties, seen=log).items


@pytest.mark.parametrize("dtype", LEAST)
@pytest.mark.parametrize("name", PERSONAL)
def test_a_smaller_model_ranks_nearly_the_same_known_users_and_new_ones(
    name: str, dtype: str, trained: dict[str, tuple[object, Model]], log: csr_matrix
) -> None:
    config, model = trained[name]
    stored = compact_state(model.state(), {USERS, ITEMS}, dtype)
    assert any(a.dtype.name in (dtype, "float16") for a in stored.values()), "nothing got smaller"
    loaded = algorithms[name].load(config, expand_state(stored))
    for users in (np.arange(USERS), np.full(USERS, -1)):
        one, other = lists(model, log, users), lists(loaded, log, users)
        shared = np.mean([len(set(a) & set(b)) / 10 for a, b in zip(one, other, strict=True)])
        assert shared >= LEAST[dtype]
        assert loaded.score(History(log), users).dtype == np.float32


def stored_model(run: Path, board: Interactions, dtype: str) -> parts.Part:
    factors = algorithms["ials"].config(factors=8)
    model = algorithms["ials"].fit(factors, Training(board.matrix("train"), threads=1))
    kept = {} if dtype == "float32" else {"storage_dtype": dtype}
    path = runs.write_model(run, f"ials-{dtype}", "ials", {"factors": 8}, model, seed=0, **kept)
    return parts.open_part(path, schema.MODELS)


def test_float32_is_stored_as_ever(board_run: Path, board: Interactions) -> None:
    part = stored_model(board_run, board, "float32")
    assert part.manifest["format"] == 1
    assert set(part.config) == {"algorithm", "options", "seed", "trained_on"}
    arrays = part.tensors("model")
    assert set(arrays) == {"user_factors", "item_factors", "weights"}
    assert arrays["user_factors"].dtype == np.float32


@pytest.mark.parametrize(
    ("dtype", "size"),
    [  # 36 users and 30 items by 8 factors; float16 has one scale for each array, int8 one for each row
        ("float16", (36 + 30) * 8 * 2 + 2 * 4),
        ("int8", (36 + 30) * 8 * 1 + (36 + 30) * 4),
    ],
)
def test_files_hold_the_bytes_they_should_and_say_what_they_are(
    dtype: str, size: int, board_run: Path, board: Interactions
) -> None:
    part = stored_model(board_run, board, dtype)
    arrays = part.tensors("model")
    assert sum(a.nbytes for name, a in arrays.items() if name != "weights") == size
    assert arrays["weights"].dtype == np.float64  # three numbers stay exact
    assert part.config["storage_dtype"] == dtype
    assert part.manifest["format"] == 2  # what does not know scales must not read it
    read = runs.read_model(part.path).model.state()
    assert read["user_factors"].dtype == read["item_factors"].dtype == np.float32
    exact = stored_model(board_run, board, "float32").tensors("model")
    for name in ("user_factors", "item_factors"):
        largest = np.abs(exact[name]).max()
        np.testing.assert_allclose(read[name], exact[name], atol=largest / (250 if dtype == "int8" else 2000))


def test_train_cf_stores_what_was_asked_and_judges_what_it_stores(board_run: Path, recli: Call) -> None:
    common = ("train-cf", board_run, "--factors", "8", "--threads", "1", "--json")
    _, _, said = recli(*common, "--name", "plain")
    assert "in float32" not in said
    _, out, said = recli(*common, "--storage-dtype", "int8")
    facts = json.loads(out)
    assert facts["storage_dtype"] == "int8"
    assert f"validation ndcg@20 {facts['validation']['ndcg@20']:.4f} (" in said and " in float32" in said
    part = parts.open_part(board_run / "models" / "ials", schema.MODELS)
    assert part.tensors("model")["item_factors"].dtype == np.int8
    for who in ("u000", '{"user_id": "new", "history": ["i001", "i002"]}'):
        _, out, _ = recli("recommend", board_run, "--model", "ials", "--users", who, "-k", "3")
        assert len(json.loads(out)["items"]) == 3


def test_what_has_nothing_to_store_in_fewer_bytes_is_refused(board_run: Path, recli: Call) -> None:
    _, _, said = recli(
        "train-cf", board_run, "--algorithm", "popularity", "--storage-dtype", "float16", code=2
    )
    assert "--storage-dtype float16: popularity has one number for each item" in said
    recli("train-cf", board_run, "--algorithm", "popularity", "--storage-dtype", "float32")
    recli("train-cf", board_run, "--storage-dtype", "int4", code=2)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_a_hybrid_and_its_saved_sources_are_stored_so_too(board_run: Path, recli: Call, dtype: str) -> None:
    recli("embed", board_run, "--model", "tfidf", "--dim", "8")
    weights = ("--fusion", "weighted", "--weights", "ials=0.4,user-knn=0.3,text-factors=0.3")
    made = ("train-hybrid", board_run, *weights, "--history-half-life", "0")
    recli(*made, "--storage-dtype", dtype, "--save-sources")
    hybrid = parts.open_part(board_run / "models" / "hybrid", schema.MODELS)
    arrays = hybrid.tensors("model")
    kinds = {name: a.dtype.name for name, a in arrays.items() if name.endswith(("_factors", ".data"))}
    assert kinds["source/ials/item_factors"] == kinds["source/text-factors/item_factors"] == dtype
    assert kinds["source/user-knn/matrix.data"] == "float16"
    assert arrays["profile"].dtype == np.float32  # a map, as large for any number of users
    assert parts.open_part(board_run / "models" / "ials", schema.MODELS).config["storage_dtype"] == dtype
    _, out, _ = recli("recommend", board_run, "--users", '{"user_id": "p", "profile": "space rocket"}')
    assert json.loads(out)["items"]
    recli(*made, "--name", "again")  # a source that was stored so is read as any other
