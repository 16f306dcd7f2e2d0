"""The collaborative-filtering models against small cases worked out by hand or by a second implementation."""

import math
import subprocess
import sys
import types
import warnings
from dataclasses import fields, replace

import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_csr

from recli.compute import devices
from recli.data.history import History, ordered_pairs
from recli.data.interactions import Interactions
from recli.errors import DeviceError, RecliError, UsageError
from recli.models.als import AlsConfig
from recli.models.als import fit as fit_als
from recli.models.base import BestState, Model, Training, algorithms, train_epochs
from recli.models.bias import BiasConfig
from recli.models.bias import fit as fit_bias
from recli.models.bpr import BprConfig
from recli.models.bpr import fit as fit_bpr
from recli.models.item_knn import ItemKnnConfig
from recli.models.item_knn import fit as fit_item_knn
from recli.models.kernels import neighbors
from recli.models.kernels.factors import Factors, HistoryMap, confidence_fold_in, learn_map
from recli.models.kernels.neighbors import mean_history
from recli.models.lmf import LmfConfig
from recli.models.lmf import fit as fit_lmf
from recli.models.popularity import PopularityConfig
from recli.models.popularity import fit as fit_popularity
from recli.models.user_knn import UserKnnConfig
from recli.models.user_knn import fit as fit_user_knn


def matrix(n_users: int = 40, n_items: int = 25, density: float = 0.2, seed: int = 1) -> csr_matrix:
    made = random_csr(n_users, n_items, density, format="csr", dtype=np.float32, random_state=seed)
    made.data = np.ceil(made.data * 3).astype(np.float32)  # weights 1, 2, 3
    made.sort_indices()
    return made


def binary(made: csr_matrix) -> csr_matrix:
    made = made.copy()
    made.data[:] = 1.0
    return made


def csr(rows: list[list[float]]) -> csr_matrix:
    return csr_matrix(np.array(rows, dtype=np.float32))


# --- popularity


def test_popularity_counts_users_or_sums_weights() -> None:
    given = Training(csr([[1, 5, 0], [2, 0, 0]]))
    assert fit_popularity(PopularityConfig(), given).counts.tolist() == [2, 1, 0]
    assert fit_popularity(PopularityConfig(count="weights"), given).counts.tolist() == [1 + 2, 5, 0]


# --- als


@pytest.mark.parametrize(
    ("factors", "alpha", "regularization"),
    [(6, 4.0, 0.7), (24, 4.0, 0.7), (24, 0.3, 0.7), (24, 4.0, 0.0), (24, 4.0, 1e-12)],
)
def test_als_folds_in_by_the_normal_equations(factors: int, alpha: float, regularization: float) -> None:
    """Histories of more and of fewer items than factors; confidences below 1; hardly any regularization."""
    rng = np.random.default_rng(0)
    items = rng.normal(size=(25, factors)).astype(np.float32)
    history = matrix()
    found = confidence_fold_in(items, alpha, regularization)(history)
    y = items.astype(np.float64)
    for user in range(history.shape[0]):
        r = history[user].toarray().ravel().astype(np.float64)
        c = np.where(r > 0, alpha * r, 1.0)  # confidence: alpha * value, 1 for what is not there
        p = (r > 0).astype(float)
        expected = np.linalg.solve(y.T @ np.diag(c) @ y + regularization * np.eye(factors), y.T @ (c * p))
        np.testing.assert_allclose(found[user], expected, rtol=1e-4, atol=1e-6)


def test_als_stores_users_as_they_are_folded_in_and_no_history_gives_zeros() -> None:
    given = matrix()
    given = csr_matrix(given.multiply((np.arange(40) > 0)[:, None]))  # user 0 did nothing
    given.data = given.data.astype(np.float32)
    given.eliminate_zeros()
    for alpha in (20.0, 0.3):  # 0.3: confidences below that of what is not there
        model = fit_als(AlsConfig(factors=5, alpha=alpha, regularization=1.0), Training(given, threads=1))
        np.testing.assert_allclose(model.user_factors, model.fold_in(given), rtol=0, atol=1e-5)
        assert np.abs(model.user_factors).max() > 0.5
        assert not model.user_factors[0].any()


def test_als_nears_a_local_minimum_of_its_loss() -> None:
    given = matrix()
    config = AlsConfig(factors=5, iterations=60, alpha=3.0, regularization=0.5)
    model = fit_als(config, Training(given, threads=1))
    r = given.toarray().astype(np.float64)
    c, p = np.where(r > 0, 3.0 * r, 1.0), (r > 0).astype(float)

    def loss(x: np.ndarray, y: np.ndarray) -> float:
        return float((c * (p - x @ y.T) ** 2).sum() + 0.5 * ((x**2).sum() + (y**2).sum()))

    x, y = model.user_factors.astype(np.float64), model.item_factors.astype(np.float64)
    rng, at = np.random.default_rng(0), loss(x, y)
    for _ in range(20):
        step = rng.normal(size=y.shape)
        assert loss(x, y + 0.05 * step) > at
        assert loss(x + 0.05 * rng.normal(size=x.shape), y) > at


def test_als_has_the_same_bytes_with_any_number_of_threads() -> None:
    made = [
        fit_als(AlsConfig(factors=16), Training(matrix(200, 80), seed=4, threads=threads)).state()
        for threads in (1, 2, 3)
    ]
    for other in made[1:]:
        assert all(other[name].tobytes() == made[0][name].tobytes() for name in made[0])


# --- bpr and lmf


@pytest.mark.parametrize(
    ("fit", "config"), [(fit_bpr, BprConfig(factors=8)), (fit_lmf, LmfConfig(factors=8))]
)
def test_sampled_models_keep_their_constant_columns_when_folding_in(fit: object, config: object) -> None:
    model: Factors = fit(config, Training(matrix(100, 60), threads=1))  # type: ignore[operator]
    constant = np.flatnonzero(np.ptp(model.user_factors, axis=0) == 0)  # multiplies the items' biases
    assert constant.size == 1
    folded = model.fold_in(matrix(30, 60, seed=9))
    np.testing.assert_allclose(folded[:, constant], 1.0, atol=1e-5)


def test_a_history_map_learns_a_linear_relation_exactly() -> None:
    rng = np.random.default_rng(2)
    given, items = matrix(400, 30, 0.3), rng.normal(size=(30, 4)).astype(np.float32)
    size = np.maximum(np.asarray(given.sum(axis=1)), 1)
    users = (3.0 + 2.0 * np.asarray(given @ items) / size).astype(np.float32)  # 3 + 2 * mean item
    learned = learn_map(given, users, items, binary=False)
    new = matrix(20, 30, 0.3, seed=8)
    expected = 3.0 + 2.0 * np.asarray(new @ items) / np.maximum(np.asarray(new.sum(axis=1)), 1)
    assert np.abs(learned(new) - expected).mean() < 0.05 * np.abs(expected).mean()


def test_a_binary_history_map_ignores_weights() -> None:
    items = np.random.default_rng(2).normal(size=(30, 4)).astype(np.float32)
    weights = np.random.default_rng(3).normal(size=(10, 4)).astype(np.float32)
    given = matrix(20, 30)
    blind, seeing = HistoryMap(items, weights, True), HistoryMap(items, weights, False)
    assert np.array_equal(blind(given), blind(binary(given)))
    assert not np.array_equal(seeing(given), seeing(binary(given)))


def test_lmf_trains_in_one_go_whether_watched_or_not() -> None:
    """Its AdaGrad sums would start anew in a second fit: patience must not change what is learned."""
    given, config = matrix(80, 40), LmfConfig(factors=4, iterations=8)
    unwrap = fit_lmf(config, Training(given, seed=1, threads=1))
    scores = iter(np.arange(100.0))
    watched = fit_lmf(
        config, Training(given, seed=1, threads=1, patience=3, validate=lambda model: next(scores))
    )
    assert np.array_equal(unwrap.item_factors, watched.item_factors)


# --- item-knn


def test_item_knn_cosine_equals_sklearn() -> None:
    from sklearn.metrics.pairwise import cosine_similarity

    given = matrix()
    config = ItemKnnConfig(neighbors=1000, weighting="cosine", shrinkage=0.0)
    similar = fit_item_knn(config, Training(given)).similar.toarray()
    expected = cosine_similarity(given.T.toarray().astype(np.float64))
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(similar, expected, atol=1e-6)


def test_item_knn_by_hand() -> None:
    # Items: a = {0, 1}, b = {0, 1, 2}, c = {2}. Users' activity: 2, 2, 2.
    given = Training(csr([[1, 1, 0], [1, 1, 0], [0, 1, 1]]))

    def similar(**options: object) -> np.ndarray:
        return fit_item_knn(ItemKnnConfig(**options), given).similar.toarray()  # type: ignore[arg-type]

    unwrap = similar(weighting="cosine", shrinkage=0.0)
    assert unwrap[0, 1] == pytest.approx(2 / (2**0.5 * 3**0.5))
    assert unwrap[1, 2] == pytest.approx(1 / (3**0.5 * 1))
    shrunk = similar(weighting="cosine", shrinkage=4.0)
    assert shrunk[0, 1] == pytest.approx(2 / (2**0.5 * 3**0.5 + 4))
    damped = similar(weighting="damped", shrinkage=0.0)
    assert damped[0, 1] == pytest.approx((2 / 2**0.5) / (2**0.5 * 3**0.5))  # each vote counts 1/sqrt(2)
    one = similar(weighting="cosine", shrinkage=0.0, neighbors=1)
    assert one[1].tolist() == [pytest.approx(unwrap[1, 0]), 0.0, 0.0]  # b keeps a, its nearest, and drops c


@pytest.mark.parametrize("weighting", ["tfidf", "bm25"])
def test_item_knn_weights_as_implicit_does(weighting: str) -> None:
    from implicit.nearest_neighbours import bm25_weight, normalize, tfidf_weight

    given = matrix()
    config = ItemKnnConfig(neighbors=1000, weighting=weighting, shrinkage=0.0)
    similar = fit_item_knn(config, Training(given)).similar.toarray()
    counts = given.T.tocoo().astype(np.float64)
    weighted = tfidf_weight(counts) if weighting == "tfidf" else bm25_weight(counts, K1=1.2, B=0.75)
    vectors = normalize(weighted).toarray()
    expected = vectors @ vectors.T
    np.fill_diagonal(expected, 0.0)
    np.testing.assert_allclose(similar, expected, atol=1e-5)


def histories(n: int, each: int) -> csr_matrix:
    """`n` users with `each` events among 3 `each` items."""
    rows = np.stack([np.random.default_rng(u).permutation(3 * each) < each for u in range(n)])
    return csr_matrix(rows.astype(np.float32))


def test_the_mean_history_is_of_users_who_have_one() -> None:
    assert mean_history(csr([[1, 1, 0], [0, 0, 0], [5, 1, 1]])) == 5 / 2  # events, whatever they weigh
    assert mean_history(csr_matrix((3, 4), dtype=np.float32)) == 1.0


@pytest.mark.parametrize(
    ("name", "options", "each", "given"),
    [
        ("item-knn", ("shrinkage",), 4, 2000 / 4**1.5),
        ("item-knn", ("shrinkage",), 25, 2000 / 25**1.5),
        ("rp3beta", ("alpha", "beta"), 4, 0.2),
        ("rp3beta", ("alpha", "beta"), 25, 0.15 + 25 / 100),
        ("rp3beta", ("alpha", "beta"), 60, 0.5),
        ("user-knn", ("similarity_power",), 4, 1.0),
        ("user-knn", ("similarity_power",), 25, 2.0),  # log 25 / log 5
        ("user-knn", ("similarity_power",), 200, 3.0),
        ("bspm", ("sharpening",), 4, 0.0),
        ("bspm", ("sharpening",), 12, 1.2 * math.log(2) / math.log(5)),
        ("bspm", ("sharpening",), 60, 1.2),
    ],
)
def test_what_is_not_given_goes_by_the_length_of_histories(
    name: str, options: tuple[str, ...], each: int, given: float
) -> None:
    training, algorithm = Training(histories(40, each), threads=1), algorithms[name]
    usual = algorithm.fit(algorithm.config(), training).score(History(training.matrix))
    told = algorithm.config(**dict.fromkeys(options, given))
    np.testing.assert_allclose(
        algorithm.fit(told, training).score(History(training.matrix)), usual, rtol=1e-5, atol=1e-6
    )
    other = algorithm.config(**dict.fromkeys(options, 1.3 * given + 0.3))
    assert not np.allclose(algorithm.fit(other, training).score(History(training.matrix)), usual, rtol=1e-3)
    for option in options:  # each of them alone, too
        other = algorithm.config(**{option: 1.3 * given + 0.3})
        assert not np.allclose(
            algorithm.fit(other, training).score(History(training.matrix)), usual, rtol=1e-3
        )


def test_one_shrinkage_means_the_same_for_every_weighting() -> None:
    """A shrinkage as large as a usual denominator about halves similarities, whatever the weighting's scale."""
    given = matrix(300, 60, 0.1)
    usual = float(np.diff(given.tocsc().indptr).mean())  # the mean squared length of a binary column
    for weighting in ("cosine", "tfidf", "bm25", "damped"):
        config = ItemKnnConfig(neighbors=1000, weighting=weighting, shrinkage=0.0)
        free = fit_item_knn(config, Training(binary(given))).similar
        shrunk = fit_item_knn(replace(config, shrinkage=usual), Training(binary(given))).similar
        assert 0.4 < shrunk.data.sum() / free.data.sum() < 0.6


def test_item_knn_does_not_depend_on_its_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Training(matrix(50, 40))
    whole = fit_item_knn(ItemKnnConfig(neighbors=5), given).similar
    monkeypatch.setattr("recli.models.kernels.neighbors._ROWS_PER_BLOCK", 7)
    assert (fit_item_knn(ItemKnnConfig(neighbors=5), given).similar != whole).nnz == 0


# --- user-knn


def test_user_knn_by_hand() -> None:
    given = csr([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 0]])
    model = fit_user_knn(UserKnnConfig(weighting="cosine"), Training(given))
    scores = model.score(History(given[:1]), np.array([0]))[0]
    near, far = 2 / (2**0.5 * 3**0.5), 1 / 2**0.5  # to user 1, to user 3; none to user 2
    np.testing.assert_allclose(scores, [near + far, near, near, 0.0], rtol=1e-6)
    cubed = fit_user_knn(UserKnnConfig(weighting="cosine", similarity_power=3.0), Training(given))
    np.testing.assert_allclose(
        cubed.score(History(given[:1]), np.array([0]))[0],
        [near**3 + far**3, near**3, near**3, 0.0],
        rtol=1e-6,
    )
    nearest = fit_user_knn(UserKnnConfig(weighting="cosine", neighbors=1), Training(given))
    np.testing.assert_allclose(
        nearest.score(History(given[:1]), np.array([0]))[0], [near, near, near, 0.0], rtol=1e-6
    )


def test_user_knn_weighs_rare_items_by_their_idf() -> None:
    given = csr([[1, 1, 0], [1, 0, 1], [0, 1, 0], [1, 0, 0]])
    model = fit_user_knn(UserKnnConfig(weighting="idf"), Training(given))
    idf = np.log(4 / np.array([3, 2, 1]))
    np.testing.assert_allclose(model.weights, idf)
    weighted = given.toarray() * idf
    unit = weighted / np.linalg.norm(weighted, axis=1, keepdims=True)
    expected = np.delete(unit @ unit[0], 0) @ np.delete(given.toarray(), 0, axis=0)
    np.testing.assert_allclose(model.score(History(given[:1]), np.array([0]))[0], expected, rtol=1e-5)


def test_user_knn_leaves_the_user_himself_out_even_when_only_his_history_is_known() -> None:
    given = binary(matrix(60, 30))
    model = fit_user_knn(UserKnnConfig(neighbors=3), Training(given))
    stored = model.neighbors(given, np.arange(60))
    assert not stored.diagonal().any()
    assert (stored != model.neighbors(given)).nnz == 0
    grown = given[:1].copy()
    grown = csr_matrix(grown + csr([[0] * 29 + [1]]))  # what he did since: still not his own neighbor
    assert model.neighbors(grown, np.array([0]))[0, 0] == 0


# --- neighbors


def test_nearest_rows_are_the_largest_products_in_any_number_of_threads(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(neighbors, "_ROWS_PER_BLOCK", 7)  # of 25 rows: four blocks, the last of 4
    given = matrix(40, 25, density=0.4)
    dense = (given.T @ given).toarray().astype(np.float64)
    np.fill_diagonal(dense, 0.0)
    halved = dense / (1.0 + np.arange(25)[:, None])  # by the row's number

    def fit_weights(rows: np.ndarray, products: csr_matrix) -> None:
        products.data /= (1.0 + rows).astype(np.float32)

    for threads in (1, 3):
        unwrap = neighbors.nearest(given.T.tocsr(), given, 24, threads)
        np.testing.assert_array_equal(unwrap.toarray(), dense)  # all but the item itself
        largest = neighbors.nearest(given.T.tocsr(), given, 3, threads, fit_weights)
        assert np.diff(largest.indptr).tolist() == [3] * 25
        expected = np.sort(halved, axis=1)[:, -3:]
        np.testing.assert_allclose(np.sort(largest.data.reshape(25, 3), axis=1), expected, rtol=1e-6)


def test_keep_largest_keeps_positive_values_and_breaks_ties_by_column() -> None:
    given = csr([[3, 1, 2, 0], [5, 5, 5, 5], [0, 0, 0, 0], [-1, 2, -3, 0]])
    kept = neighbors.keep_largest(given, 2).toarray().tolist()
    assert kept == [[3, 0, 2, 0], [5, 5, 0, 0], [0, 0, 0, 0], [0, 2, 0, 0]]
    shuffled = given.copy()
    for row in range(4):  # the same matrix, its columns stored in another order
        start, end = shuffled.indptr[row], shuffled.indptr[row + 1]
        shuffled.indices[start:end] = shuffled.indices[start:end][::-1].copy()
        shuffled.data[start:end] = shuffled.data[start:end][::-1].copy()
    assert neighbors.keep_largest(shuffled, 2).toarray().tolist() == kept


# --- bias


def rated(*rows: tuple[int, int, float | None]) -> Training:
    frame = pl.DataFrame(
        rows, schema={"user": pl.Int32, "item": pl.Int32, "rating": pl.Float32}, orient="row"
    )
    return Training(csr_matrix((2, 3), dtype=np.float32), rows=frame)


def test_bias_by_arithmetic() -> None:
    given = rated((0, 0, 5.0), (0, 1, 3.0), (1, 0, 4.0))
    model = fit_bias(BiasConfig(item_damping=2.0, user_damping=1.0), given)
    assert model.mean == 4.0  # (5 + 3 + 4) / 3
    b0, b1 = (1 + 0) / (2 + 2), -1 / (2 + 1)  # sum of deviations / (damping + count)
    np.testing.assert_allclose(model.item_bias, [b0, b1, 0.0], rtol=1e-6)
    u0, u1 = ((1 - b0) + (-1 - b1)) / (1 + 2), (0 - b0) / (1 + 1)
    np.testing.assert_allclose(model.user_bias, [u0, u1], rtol=1e-6)
    predicted = model.predict_ratings(np.array([0, 1, -1]), np.array([1, 2, 0]))
    np.testing.assert_allclose(predicted, [4 + u0 + b1, 4 + u1, 4 + b0], rtol=1e-6)
    scores = model.score(History(csr([[0, 0, 0]] * 2)), np.array([0, -1]))
    np.testing.assert_allclose(scores, [[4 + u0 + b0, 4 + u0 + b1, 4 + u0], [4 + b0, 4 + b1, 4.0]], rtol=1e-6)


def test_bias_without_damping_leaves_unrated_items_at_the_mean() -> None:
    model = fit_bias(
        BiasConfig(item_damping=0.0, user_damping=0.0), rated((0, 0, 5.0), (1, 1, 3.0), (1, 2, None))
    )
    np.testing.assert_allclose(model.item_bias, [1.0, -1.0, 0.0])


def test_bias_needs_ratings(board: Interactions) -> None:
    rows = board.splits["train"].drop("rating")
    with pytest.raises(RecliError, match="needs ratings"):
        fit_bias(BiasConfig(), Training(board.matrix("train"), rows=rows))


# --- every option changes something


OTHER = {
    "factors": 7, "iterations": 2, "regularization": 0.5, "alpha": 2.0, "learning_rate": 0.3, "negatives": 2,
    "neighbors": 2, "weighting": "cosine", "shrinkage": 1.0, "similarity_power": 2.0, "l2": 3.0,
    "item_damping": 1.0, "user_damping": 1.0, "count": "weights",
    "unobserved_weight": 3.0, "nu": 0.5, "init_std": 0.4,
    "rank": 3, "low_pass_weight": 1.5, "sharpening": 0.7, "user_power": 0.2, "item_power": 0.3, "beta": 0.1,
    "window": 2, "backward": 0.9, "recency": 0.1, "popularity_power": 1.0, "popularity_half_life": 3.0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "option"),
    [
        (name, field.name)
        for name in algorithms.names(lambda a: a.family == "cf")
        for field in fields(algorithms[name].config)
        if field.name != "max_items"  # a limit: test_models_ease
    ],
)
def test_every_option_changes_the_model(name: str, option: str, board: Interactions) -> None:
    algorithm, given = algorithms[name], matrix(60, 30, 0.3)
    coo = given.tocoo()
    days = np.random.default_rng(0).permutation(given.nnz).astype(np.int64)
    columns = {"user": coo.row, "item": coo.col, "rating": coo.data, "timestamp": days * 86_400_000_000}
    training = Training(given, rows=pl.DataFrame(columns), threads=1)
    history = History(given, ordered_pairs(coo.row, coo.col, days)[1])
    default = algorithm.fit(algorithm.config(), training)
    other = algorithm.fit(algorithm.config(**{option: OTHER[option]}), training)
    scores = [model.score(history, np.arange(60)) for model in (default, other)]
    assert not np.array_equal(*scores)


# --- patience


class Constant:
    """A stand-in for a model that remembers when it was taken."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch


def watched(scores: list[float], patience: int, total: int) -> tuple[int, int, list[str]]:
    """The epoch of the model that is returned, the epochs run, the texts shown."""
    ran: list[int] = []
    texts: list[str] = []

    def step(epoch: int) -> str:
        ran.append(epoch)
        return ""

    training = Training(
        csr([[1.0]]),
        patience=patience,
        validate=lambda model: scores[model.epoch],  # type: ignore[attr-defined]
        advance=lambda steps, text: texts.append(text),
    )
    model = train_epochs(training, total, step, lambda: Constant(ran[-1]))  # type: ignore[type-var]
    return model.epoch, len(ran), texts


def test_patience_stops_after_so_many_epochs_without_a_better_score_and_returns_the_best() -> None:
    scores = [0.1, 0.3, 0.2, 0.3, 0.25, 0.9]
    assert watched(scores, patience=2, total=6)[:2] == (1, 4)  # 2 and 3 are not better than 1 (equal is not)
    assert watched(scores, patience=4, total=6)[:2] == (5, 6)
    assert watched(scores, patience=0, total=3)[:2] == (2, 3)
    best = f"best validation ndcg@20 {scores[1]:.4f} at iteration 2"  # the best score, not the last
    assert best in watched(scores, patience=2, total=6)[2][-1]
    assert best in watched(scores, patience=9, total=3)[2][-1]  # where it did not stop, too


def test_the_best_state_does_not_change_as_training_goes_on() -> None:
    given, scores = matrix(80, 40), iter([0.1, 0.9, 0.2, 0.3, 0.4])
    config = AlsConfig(factors=4, iterations=5, regularization=1.0)
    stopped = fit_als(config, Training(given, threads=1, patience=9, validate=lambda model: next(scores)))
    two = fit_als(replace(config, iterations=2), Training(given, threads=1))
    assert np.array_equal(stopped.item_factors, two.item_factors)


def test_als_is_judged_as_the_model_that_is_kept() -> None:
    """Users solved exactly, not as the solver left them: else the figure judged is not that of the result."""
    given, all_users, judged = matrix(80, 40), np.arange(80), []

    def validate(model: Model) -> float:
        judged.append(model.score(History(given), all_users))
        return float(len(judged))

    config = AlsConfig(factors=4, iterations=3, regularization=1.0)
    kept = fit_als(config, Training(given, threads=1, patience=9, validate=validate))
    assert np.array_equal(judged[-1], kept.score(History(given), all_users))


def test_best_state_reports_every_epoch() -> None:
    steps: list[int] = []
    training = Training(csr([[1.0]]), advance=lambda n, text: steps.append(n))
    best = BestState(training, lambda: Constant(0))  # type: ignore[type-var]
    assert [best.after(0), best.after(1)] == [False, False]
    assert steps == [1, 1]


# --- devices


def pretend(
    monkeypatch: pytest.MonkeyPatch,
    *,
    driver: bool = True,
    cuda: str | None = "13.0",
    available: bool = True,
    rmm: bool = True,
    has_cuda: bool = True,
    warning: str = "",
) -> None:
    """Make the machine look as if these libraries were (not) there."""
    import torch

    def load(name: str) -> None:
        if not driver:
            raise OSError(name)

    fake = types.ModuleType("implicit.gpu")
    fake.HAS_CUDA = has_cuda  # type: ignore[attr-defined]

    def module(name: str) -> types.ModuleType:
        if warning:
            warnings.warn(warning, stacklevel=1)
        return fake

    monkeypatch.setattr(devices.ctypes, "CDLL", load)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    monkeypatch.setattr(devices.importlib.util, "find_spec", lambda name: object() if rmm else None)
    monkeypatch.setattr(devices.importlib, "import_module", module)
    monkeypatch.setattr(devices.importlib, "reload", lambda found: module("implicit.gpu"))


@pytest.mark.parametrize(
    ("missing", "what", "fix"),
    [
        ({"driver": False}, "no NVIDIA driver", "install the driver"),
        ({"cuda": None}, "built without CUDA", "install a CUDA build of torch"),
        ({"available": False}, "torch finds no NVIDIA GPU", "nvidia-smi"),
        ({"rmm": False}, "rmm (RAPIDS memory manager) is missing", "pip install 'recli[gpu]'"),
        (
            {
                "has_cuda": False,
                "warning": "Disabling GPU support because of 'librmm.so: undefined symbol: _ZN3'",
            },
            "the installed rmm does not fit implicit",
            "pip install 'recli[gpu]'",
        ),
        (
            {"has_cuda": False, "warning": "because of 'libcurand.so.10: cannot open shared object file'"},
            "curand is missing",
            "pip install 'recli[gpu]'",
        ),
        ({"has_cuda": False, "warning": "something else"}, "something else", "pip install 'recli[gpu]'"),
        ({"has_cuda": False}, "implicit gives no reason", "pip install 'recli[gpu]'"),
    ],
)
def test_the_library_that_is_missing_is_named(
    missing: dict[str, object], what: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pretend(monkeypatch, **missing)  # type: ignore[arg-type]
    with pytest.raises(DeviceError) as caught:
        devices.choose_device("cuda", "als", "implicit")
    assert what in caught.value.what and fix in str(caught.value.fix)
    device, note = devices.choose_device("auto", "als", "implicit")
    assert device == "cpu" and what in note  # auto falls back, and says why


def test_a_usable_gpu_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    pretend(monkeypatch)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert devices.choose_device("auto", "als", "implicit") == ("cuda", "")
    assert devices.choose_device("cuda:1", "als", "implicit") == ("cuda:1", "")
    assert devices.choose_device("cpu", "als", "implicit") == ("cpu", "")
    assert devices.choose_device("auto", "bpr", "") == ("cpu", "")


def test_devices_that_make_no_sense_are_usage_errors() -> None:
    with pytest.raises(UsageError, match="auto, cpu, cuda or cuda:N"):
        devices.choose_device("gpu", "als", "implicit")
    with pytest.raises(UsageError, match="bpr trains on the CPU only"):
        devices.choose_device("cuda", "bpr", "")
    with pytest.raises(UsageError, match="at most 1023 on a GPU"):
        devices.gpu_als("cuda", factors=1024)


class FakeGpuAls:
    """implicit's GPU class as its source has it: matrices with to_numpy, alpha ignored, callback per iteration."""

    def __init__(self, **options: object) -> None:
        self.options = options
        self.user_factors: FakeMatrix | None = None
        self.item_factors: FakeMatrix | None = None
        FakeGpuAls.last = self

    last: "FakeGpuAls"

    def fit(self, user_items: csr_matrix, show_progress: bool, callback: object) -> None:
        from implicit.cpu.als import AlternatingLeastSquares

        assert self.options["random_state"] != 0
        self.data = user_items.data.copy()
        cpu = AlternatingLeastSquares(**self.options, alpha=1.0, num_threads=1)  # type: ignore[arg-type]
        cpu.fit(user_items, show_progress=False)
        for epoch in range(int(self.options["iterations"])):  # type: ignore[call-overload]
            self.user_factors, self.item_factors = FakeMatrix(cpu.user_factors), FakeMatrix(cpu.item_factors)
            callback(epoch, 0.0, None)  # type: ignore[operator]


class FakeMatrix:
    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def to_numpy(self) -> np.ndarray:
        return self.array


def test_gpu_als_gets_weighted_data_a_seed_that_is_not_the_clock_and_returns_arrays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake = types.SimpleNamespace(AlternatingLeastSquares=FakeGpuAls)
    monkeypatch.setattr(devices.importlib, "import_module", lambda name: fake)
    given = matrix()
    before = given.data.copy()
    config = AlsConfig(factors=4, alpha=5.0, regularization=0.5)
    model = fit_als(config, Training(given, device="cuda", seed=0, threads=1))
    assert np.array_equal(FakeGpuAls.last.data, 5.0 * before)
    assert np.array_equal(given.data, before)  # the caller's matrix is untouched
    assert model.item_factors.dtype == np.float32 and model.item_factors.shape == (25, 4)
    cpu = fit_als(config, Training(given, seed=1, threads=1))
    np.testing.assert_allclose(model.score(History(given)), cpu.score(History(given)), atol=1e-5)


def test_a_gpu_number_that_is_not_there_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="there are 1 GPUs"):
        devices.gpu_als("cuda:1", factors=4)


# --- imports


def test_the_registry_loads_without_heavy_libraries() -> None:
    code = (
        "import sys; from recli.cli.lazy_imports import load_when_used; load_when_used('polars');"
        "from recli.models.base import algorithms; algorithms.names(); heavy = ('torch', 'scipy', 'polars.dataframe',"
        "'implicit', 'sklearn', 'optuna'); print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
