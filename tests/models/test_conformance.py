"""What every algorithm must do, whichever it is: each one that is registered is put through all of this."""

import numpy as np
import pytest

from recli.config import from_dict, to_dict
from recli.data.history import History
from recli.data.interactions import Interactions
from recli.errors import RecliError
from recli.models.base import Algorithm, Model, Training, algorithms
from recli.models.wrappers import ModelWrapper, WithFallback, item_counts
from recli.ranking import topk

FOR_BOARD = {  # what differs from the defaults, which are made for thousands of users
    "als": {"factors": 8, "alpha": 10.0, "regularization": 1.0},
    "ials": {"factors": 8, "unobserved_weight": 1.0},
    "bpr": {"factors": 8, "iterations": 100, "learning_rate": 0.1},
    "lmf": {"factors": 8, "learning_rate": 1.0},
    "ease": {"l2": 5.0},
    "user-knn": {"neighbors": 8},
}
SAME_FOR_ALL = ("popularity", "bias")  # they recommend everybody the same
SAMPLED = ("bpr", "lmf")  # trained by random draws in the order of the rows
NAMES = algorithms.names(lambda a: a.family == "cf")


def config_of(name: str) -> object:
    return algorithms[name].config(**FOR_BOARD.get(name, {}))


def training_of(board: Interactions, seed: int = 3, threads: int = 1) -> Training:
    return Training(board.matrix("train"), rows=board.splits["train"], seed=seed, threads=threads)


def fit(name: str, board: Interactions, seed: int = 3) -> Model:
    return algorithms[name].fit(config_of(name), training_of(board, seed))


def known_users(board: Interactions) -> np.ndarray:
    return np.flatnonzero(board.matrix("train").getnnz(axis=1)).astype(np.int64)


def lists(model: Model, board: Interactions, users: np.ndarray, known: bool, k: int = 2) -> np.ndarray:
    history = board.history()[users]
    rows = users if known else np.full(len(users), -1)
    ties = board.ties
    return topk.rank(model, history, rows, k=k, ties=ties, seen=history.values).items


def test_the_algorithms_of_the_issue_are_there() -> None:
    assert {"als", "ials", "bpr", "lmf", "item-knn", "user-knn", "ease", "popularity", "bias"} <= set(NAMES)


@pytest.mark.parametrize("name", [n for n in NAMES if n not in SAME_FOR_ALL])
@pytest.mark.parametrize("known", [True, False], ids=["stored", "folded-in"])
def test_a_user_gets_the_rest_of_his_block(name: str, known: bool, board: Interactions) -> None:
    users = known_users(board) if known else np.arange(board.n_users)  # the cold ones by their history
    found = lists(fit(name, board), board, users, known)
    in_block = found // 10 == (users // 12)[:, None]
    assert in_block.mean() >= 0.9  # by chance: 1/3


@pytest.mark.parametrize("name", NAMES)
def test_folding_a_known_history_in_ranks_like_the_stored_user(name: str, board: Interactions) -> None:
    model, users = fit(name, board), known_users(board)
    stored, folded = lists(model, board, users, True, k=3), lists(model, board, users, False, k=3)
    shared = [len(set(a) & set(b)) / 3 for a, b in zip(stored, folded, strict=True)]
    assert np.mean(shared) >= (0.8 if name in SAMPLED else 0.97)


@pytest.mark.parametrize("name", NAMES)
def test_seen_items_never_come_back(name: str, board: Interactions) -> None:
    users = np.arange(board.n_users)
    found = lists(fit(name, board), board, users, False, k=board.n_items)
    history = board.history().values
    for user, row in zip(users, found, strict=True):
        assert not set(row[row >= 0]) & set(history[user].indices)
        assert (row >= 0).sum() == board.n_items - history[user].nnz


@pytest.mark.parametrize("name", NAMES)
def test_scores_have_their_shape_and_are_finite_for_an_empty_history(name: str, board: Interactions) -> None:
    model = fit(name, board)
    history = board.history()[:4]
    history = history.keep(np.zeros(history.nnz, dtype=bool))
    for users in (None, np.array([-1, -1, 0, 1])):
        scores = model.score(history, users)
        assert scores.shape == (4, board.n_items)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert scores.flags.writeable  # masks are written into them


@pytest.mark.parametrize("name", NAMES)
def test_without_a_history_popularity_stands_in_unless_all_get_the_same(
    name: str, board: Interactions
) -> None:
    model, history = fit(name, board), board.history()[:4]
    history = history.keep(np.zeros(history.nnz, dtype=bool))
    assert model.handles_empty_history == (name in SAME_FOR_ALL)
    counts = item_counts(board.matrix("train"))
    users = np.full(4, -1)
    scores, silent = WithFallback(model, counts).filled(history, users)
    expected = model.score(history, users) if name in SAME_FOR_ALL else np.tile(counts, (4, 1))
    assert np.array_equal(scores, expected)
    assert silent.tolist() == [name not in SAME_FOR_ALL] * 4


@pytest.mark.parametrize("name", NAMES)
def test_scoring_changes_neither_the_history_nor_later_scores(name: str, board: Interactions) -> None:
    model, history, users = fit(name, board), board.history(), np.arange(board.n_users)
    users[~np.isin(users, known_users(board))] = -1
    before = history.values.copy()
    first = model.score(history, users)
    kept = first.copy()
    first[:] = -np.inf  # what masking does to a batch
    assert (history.values != before).nnz == 0
    assert np.array_equal(model.score(history, users), kept)


@pytest.mark.parametrize("name", NAMES)
def test_a_stored_model_scores_bit_for_bit_the_same(name: str, board: Interactions) -> None:
    algorithm: Algorithm = algorithms[name]
    config, model = config_of(name), fit(name, board)
    state = {key: array.copy() for key, array in model.state().items()}
    loaded = algorithm.load(from_dict(algorithm.config, to_dict(config)), state)
    history, users = board.history(), np.arange(board.n_users)
    for rows in (np.where(users % 2, users, -1), None):
        assert np.array_equal(model.score(history, rows), loaded.score(history, rows))
    assert loaded.state().keys() == state.keys()
    assert all(np.array_equal(loaded.state()[key], state[key]) for key in state)


@pytest.mark.parametrize("name", NAMES)
def test_one_seed_one_model(name: str, board: Interactions) -> None:
    first, second = fit(name, board).state(), fit(name, board).state()
    assert all(first[key].tobytes() == second[key].tobytes() for key in first)


@pytest.mark.parametrize("name", ["als", "ials", "bpr", "lmf"])
def test_another_seed_another_model(name: str, board: Interactions) -> None:
    first, second = fit(name, board, seed=0).state(), fit(name, board, seed=1).state()
    assert not np.array_equal(first["item_factors"], second["item_factors"])


@pytest.mark.parametrize("name", [n for n in NAMES if n not in SAMPLED])
def test_the_order_of_users_changes_nothing(name: str, board: Interactions) -> None:
    config, matrix = config_of(name), board.matrix("train")
    order = np.random.default_rng(1).permutation(board.n_users)  # row i is now user order[i]
    rows = board.splits["train"]
    place = np.argsort(order)  # where each user went
    moved = rows.with_columns(user=place[rows["user"].to_numpy()].astype(np.int32))
    one = algorithms[name].fit(config, Training(matrix, rows=rows, seed=3, threads=1))
    other = algorithms[name].fit(config, Training(matrix[order], rows=moved, seed=3, threads=1))
    history = board.history()
    users = np.where(matrix.getnnz(axis=1) > 0, np.arange(board.n_users), -1)
    expected, found = (
        one.score(history, users),
        other.score(history[order], np.where(users >= 0, place[users], -1)[order]),
    )
    if name == "als":  # its start is random by row: the same lists, not the same numbers
        assert (
            np.mean(
                np.argsort(-expected[order], axis=1)[:, :7] // 10 == np.argsort(-found, axis=1)[:, :7] // 10
            )
            > 0.9
        )
    else:
        np.testing.assert_allclose(found, expected[order], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_progress_adds_up_to_what_was_announced(name: str, board: Interactions) -> None:
    from recli.training.fit import total_steps

    steps = []
    config = config_of(name)
    training = Training(
        board.matrix("train"), rows=board.splits["train"], threads=1, advance=lambda n, text: steps.append(n)
    )
    algorithms[name].fit(config, training)
    assert sum(steps) == total_steps(config)


@pytest.mark.parametrize("name", NAMES)
def test_what_a_model_says_it_can_do_it_can(name: str, board: Interactions) -> None:
    model, history = fit(name, board), board.history()
    users = np.where(np.arange(board.n_users) % 2, np.arange(board.n_users), -1)
    scores, factors = model.score(history, users), model.item_embeddings()
    if factors is not None:
        vectors, whole_rows = model.user_embeddings(history, users)
        assert np.array_equal(vectors @ factors.T, scores) and not whole_rows.any()
        assert model.item_vectors() is factors
    else:
        assert model.item_vectors() is None
        with pytest.raises(NotImplementedError, match="dot products"):
            model.user_embeddings(history, users)
    predicted = model.predict_ratings(np.array([0, -1]), np.array([1, 1]))
    if predicted is not None:
        assert predicted.dtype == np.float32 and predicted.shape == (2,)
    assert (factors is not None) == (name in ("als", "ials", "bpr", "lmf"))
    assert (predicted is not None) == (name == "bias")


@pytest.mark.parametrize("name", NAMES)
def test_a_model_says_whether_it_uses_order_and_values(name: str, board: Interactions) -> None:
    model, history = fit(name, board), board.history()
    unordered, binary = History(history.values), History(history.values.sign(), history.steps)
    doubled = History(history.values * 2, history.steps)
    assert np.array_equal(model.score(unordered), model.score(history)) == (not model.uses_order)
    assert model.uses_order == (name == "sequential-rules")
    assert model.ignores_values == (name == "bpr")
    if model.ignores_values:
        assert np.array_equal(model.score(doubled), model.score(history))
        assert np.array_equal(model.with_values().score(binary), model.score(binary))
        assert not np.array_equal(model.with_values().score(doubled), model.score(doubled))
    else:
        assert np.array_equal(model.with_values().score(doubled), model.score(doubled))


@pytest.mark.parametrize("name", NAMES)
def test_a_wrapper_does_what_its_model_does(name: str, board: Interactions) -> None:
    model, history, users = fit(name, board), board.history(), np.full(board.n_users, -1)
    wrapper = ModelWrapper(model)
    assert np.array_equal(wrapper.score(history, users), model.score(history, users))
    assert wrapper.state().keys() == model.state().keys()
    assert wrapper.item_embeddings() is model.item_embeddings()
    assert wrapper.item_vectors() is model.item_vectors()
    assert wrapper.source_scores(history) is model.source_scores(history) is None
    for asked in ("uses_order", "handles_empty_history", "ignores_values", "text_dim", "text_space"):
        assert getattr(wrapper, asked) == getattr(model, asked)
    assert wrapper.with_values().ignores_values is False and isinstance(wrapper.with_values(), ModelWrapper)
    with pytest.raises(RecliError, match="by a text about them"):
        wrapper.score_text(np.zeros((1, 2), dtype=np.float32))
