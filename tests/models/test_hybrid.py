"""Content models and the fusion: arithmetic by hand, and what every model must do (see test_conformance.py)."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recli.config import from_dict, to_dict
from recli.data.history import History
from recli.data.interactions import Interactions
from recli.errors import RecliError
from recli.models.base import Model, Training, algorithms
from recli.models.content_knn import ContentKnnConfig, nearest
from recli.models.fusion import (
    LOG_POPULARITY,
    UNKNOWN,
    Fusion,
    FusionConfig,
    block_of,
    normalized_scores,
    profile_map,
    ranks,
    standard_logs,
    standardize,
)
from recli.models.text_factors import TextFactors, TextFactorsConfig, fit_ridge, predict_factors
from recli.ranking import topk
from recli.steps.train_hybrid.sources import cold_items
from recli.steps.train_hybrid.texts import join_features

CONTENT = ("content-knn", "text-factors", "cease")


def features_of(board: Interactions, seed: int = 3) -> np.ndarray:  # type: ignore[type-arg]
    """Three directions, one for each block of items, and some noise: float32 (n_items, 8), of length 1."""
    rng = np.random.default_rng(seed)
    made = rng.normal(scale=0.15, size=(board.n_items, 8))
    made[np.arange(board.n_items), np.arange(board.n_items) // 10] += 1
    return join_features([made.astype(np.float32)])


def als_of(board: Interactions) -> Model:
    algorithm = algorithms["als"]
    return algorithm.fit(
        algorithm.config(factors=8, alpha=10.0, regularization=0.1), Training(board.matrix("train"))
    )


ALS_OPTIONS = {"factors": 8, "alpha": 10.0, "regularization": 0.1}


def config_of(name: str) -> Any:
    if name == "text-factors":
        return TextFactorsConfig(base="als", base_options=ALS_OPTIONS)
    config = algorithms[name].config
    return config(l2=10.0, text_weight=2.0) if name == "cease" else config()


def trained(board: Interactions, name: str, config: Any = None) -> Model:
    matrix = board.matrix("train")
    training = Training(
        matrix, features=features_of(board), cold=cold_items(matrix), models={"als": als_of(board)}
    )
    return algorithms[name].fit(config or config_of(name), training)


def fusion_of(board: Interactions, **changes: Any) -> Fusion:
    """als and the two default content sources, equal weights."""
    models = {"als": als_of(board)}
    matrix = board.matrix("train")
    training = Training(matrix, features=features_of(board), cold=cold_items(matrix), models=models)
    models |= {n: algorithms[n].fit(config_of(n), training) for n in ("content-knn", "text-factors")}
    sources = (
        {"name": "als", "algorithm": "als", "options": ALS_OPTIONS, "base": None},
        {"name": "content-knn", "algorithm": "content-knn", "options": {}, "base": None},
        {
            "name": "text-factors",
            "algorithm": "text-factors",
            "options": to_dict(config_of("text-factors")),
            "base": "als",
        },
    )
    config = FusionConfig(
        sources=sources,
        weights={"als": 0.4, "content-knn": 0.3, "text-factors": 0.2, LOG_POPULARITY: 0.1},
        cold_weights={"content-knn": 0.5, "text-factors": 0.5},
    )
    made = algorithms["fusion"].fit(replace(config, **changes), Training(matrix, models=models))
    assert isinstance(made, Fusion)
    return made


def made_by(board: Interactions, name: str) -> Model:
    return fusion_of(board) if name == "fusion" else trained(board, name)


ALL = (*CONTENT, "fusion")


def users_of(board: Interactions) -> np.ndarray:  # type: ignore[type-arg]
    """Row numbers of the training users, -1 for the cold ones."""
    return np.where(board.users["cold"].to_numpy(), -1, np.arange(board.n_users))


@pytest.mark.parametrize("name", ALL)
def test_the_block_is_recommended_and_seen_items_never(board: Interactions, name: str) -> None:
    model, history = made_by(board, name), board.history()
    ties = board.ties
    top = topk.rank(model, history, users_of(board), k=4, ties=ties, seen=history.values).items
    for user in range(board.n_users):
        assert (top[user] // 10 == user // 12).all(), (user, top[user])
        assert not np.isin(top[user], history.values[user].indices).any()


@pytest.mark.parametrize("name", ALL)
def test_the_cold_item_of_the_block_is_the_best_of_the_cold_ones(board: Interactions, name: str) -> None:
    scores = made_by(board, name).score(board.history(), users_of(board))
    cold = np.array([9, 19, 29])
    assert (scores[:, cold].argmax(axis=1) == np.arange(board.n_users) // 12).all()


@pytest.mark.parametrize("name", ALL)
def test_shapes_empty_histories_and_fold_in(board: Interactions, name: str) -> None:
    model, history = made_by(board, name), board.history().values
    known = model.score(History(history), users_of(board))
    assert known.shape == (board.n_users, board.n_items)
    assert known.dtype == np.float32
    folded = model.score(History(history))
    np.testing.assert_allclose(folded, known, rtol=1e-3, atol=1e-3)
    assert np.isfinite(model.score(History(csr_matrix((2, board.n_items), dtype=np.float32)))).all()
    order = np.random.default_rng(0).permutation(board.n_users)
    np.testing.assert_allclose(
        model.score(History(history[order]), users_of(board)[order]), known[order], atol=1e-5
    )


@pytest.mark.parametrize("name", ALL)
def test_a_state_makes_an_equal_model(board: Interactions, name: str) -> None:
    model, algorithm = made_by(board, name), algorithms[name]
    config = model.config if isinstance(model, Fusion) else config_of(name)
    again = algorithm.load(from_dict(algorithm.config, to_dict(config)), model.state())
    history = board.history().values
    assert np.array_equal(again.score(History(history)), model.score(History(history)))
    assert {k: v.tobytes() for k, v in again.state().items()} == {
        k: v.tobytes() for k, v in model.state().items()
    }


@pytest.mark.parametrize("name", CONTENT)
def test_no_vectors_is_an_error_that_names_embed(board: Interactions, name: str) -> None:
    empty = np.zeros((board.n_items, 4), dtype=np.float32)
    for features in (None, empty):
        training = Training(board.matrix("train"), features=features, models={"als": als_of(board)})
        with pytest.raises(RecliError, match="recli embed"):
            algorithms[name].fit(config_of(name), training)


# content-knn

FOUR = np.array([[1, 0], [0.8, 0.6], [0, 1], [-1, 0]], dtype=np.float32)  # cosines 0-1: .8, 1-2: .6, 0-2: 0


def quiet(steps: int, text: str) -> None: ...


def test_content_knn_sums_powers_of_cosines() -> None:
    warm = np.zeros(4, dtype=bool)
    found = nearest(FOUR, warm, 10, 2.0, quiet).toarray()
    expected = np.zeros((4, 4))
    expected[0, 1] = expected[1, 0] = 0.8**2
    expected[1, 2] = expected[2, 1] = 0.6**2  # negative cosines (item 3) and an item's own count nothing
    np.testing.assert_allclose(found, expected, atol=1e-6)
    cubed = nearest(FOUR, warm, 10, 3.0, quiet).toarray()
    assert cubed[0, 1] == pytest.approx(0.8**3)


def test_content_knn_keeps_the_nearest_of_warm_and_of_cold_items_apart() -> None:
    one = nearest(FOUR, np.zeros(4, dtype=bool), 1, 1.0, quiet)
    assert one[1].indices.tolist() == [0]
    cold = np.array([False, False, True, False])
    both = nearest(FOUR, cold, 1, 1.0, quiet)
    assert both[1].indices.tolist() == [0, 2]


def test_content_knn_ignores_how_often() -> None:
    model = algorithms["content-knn"].fit(ContentKnnConfig(), Training(csr_matrix((1, 4)), features=FOUR))
    once = model.score(History(csr_matrix(np.array([[1, 0, 1, 0]], dtype=np.float32))))
    often = model.score(History(csr_matrix(np.array([[5, 0, 1, 0]], dtype=np.float32))))
    np.testing.assert_array_equal(once, often)
    assert once[0, 1] == pytest.approx(0.8**2 + 0.6**2)


# text-factors


def test_ridge_agrees_with_sklearn() -> None:
    from sklearn.linear_model import Ridge

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 6)).astype(np.float32), rng.normal(size=(50, 3)).astype(np.float32)
    weights, mean_x, mean_y = fit_ridge(x, y, 2.0)
    expected = Ridge(alpha=2.0).fit(x.astype(np.float64), y)
    np.testing.assert_allclose((x - mean_x) @ weights + mean_y, expected.predict(x), atol=1e-5)


def test_items_without_text_get_the_mean_factors() -> None:
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(20, 4)).astype(np.float32), rng.normal(size=(20, 2)).astype(np.float32)
    x[0] = 0
    known = np.ones(20, dtype=bool)
    known[0] = False
    factors = predict_factors(x, y, known, 1.0)
    np.testing.assert_allclose(factors[0], y[1:].mean(axis=0), atol=1e-6)


def test_ridge_option_shrinks_the_map(board: Interactions) -> None:
    weak = trained(board, "text-factors", TextFactorsConfig(ridge=0.01, base="als", base_options=ALS_OPTIONS))
    strong = trained(
        board, "text-factors", TextFactorsConfig(ridge=1e6, base="als", base_options=ALS_OPTIONS)
    )
    assert isinstance(weak, TextFactors)
    assert isinstance(strong, TextFactors)
    assert np.ptp(strong.item_factors, axis=0).max() < 1e-3 < np.ptp(weak.item_factors, axis=0).max()


def test_cold_items_take_no_part_in_the_ridge(board: Interactions) -> None:
    model = trained(board, "text-factors")
    assert isinstance(model, TextFactors)
    known = ~cold_items(board.matrix("train"))
    als: Any = als_of(board)
    expected = predict_factors(features_of(board), als.item_factors, known, TextFactorsConfig().ridge)
    np.testing.assert_array_equal(model.item_factors, expected)


def test_text_factors_without_factors_says_so(board: Interactions) -> None:
    training = Training(board.matrix("train"), features=features_of(board))
    with pytest.raises(RecliError, match="ials or als"):
        algorithms["text-factors"].fit(TextFactorsConfig(), training)


# cease


def test_cease_is_the_closed_form(board: Interactions) -> None:
    x, c = board.matrix("train").toarray().astype(np.float64), features_of(board).astype(np.float64)
    inverse = np.linalg.inv(x.T @ x + 2.0 * c @ c.T + 10.0 * np.eye(board.n_items))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    model: Any = trained(board, "cease")
    np.testing.assert_allclose(model.weights, expected, atol=1e-4)


def test_cease_options(board: Interactions) -> None:
    config = algorithms["cease"].config
    first: Any = trained(board, "cease", config(l2=1.0, text_weight=2.0))
    assert not np.allclose(first.weights, trained(board, "cease", config(l2=2.0, text_weight=2.0)).weights)  # type: ignore[attr-defined]
    assert not np.allclose(first.weights, trained(board, "cease", config(l2=1.0, text_weight=4.0)).weights)  # type: ignore[attr-defined]
    with pytest.raises(RecliError, match="--max-items"):
        trained(board, "cease", config(max_items=29))


# fusion

EMPTY = History(csr_matrix((1, 4), dtype=np.float32))
ALL_FOUR = np.arange(4)


def test_z_scores_by_hand() -> None:
    # Mean 2.5, deviations -1.5 -.5 .5 1.5, variance (2.25 + .25) / 2 = 1.25.
    z, deviation = standardize(np.array([[1, 2, 3, 4]], dtype=np.float32), block_of(ALL_FOUR, EMPTY.values))
    assert deviation[0] == pytest.approx(1.25**0.5)
    np.testing.assert_allclose(z[0], np.array([-1.5, -0.5, 0.5, 1.5]) / 1.25**0.5, rtol=1e-6)


def test_z_scores_leave_the_history_out() -> None:
    history = csr_matrix(np.array([[0, 0, 0, 1]], dtype=np.float32))
    z, deviation = standardize(np.array([[1, 2, 3, 1000]], dtype=np.float32), block_of(ALL_FOUR, history))
    assert deviation[0] == pytest.approx((2 / 3) ** 0.5)
    np.testing.assert_allclose(z[0, :3], np.array([-1, 0, 1]) / (2 / 3) ** 0.5, rtol=1e-5)


def test_equal_scores_become_zeros() -> None:
    z, deviation = standardize(np.full((1, 4), 0.1, dtype=np.float32), block_of(ALL_FOUR, EMPTY.values))
    assert z.tolist() == [[0, 0, 0, 0]]
    assert deviation.tolist() == [0]


def test_a_block_knows_its_items_only() -> None:
    history = csr_matrix(np.array([[1, 0, 1, 0]], dtype=np.float32))
    block = block_of(np.array([2, 3]), history)
    assert block.columns.tolist() == [0]
    assert block.candidates(1).tolist() == [1]
    assert block.of(np.array([[5, 6, 7, 8]], dtype=np.float32)).tolist() == [[7, 8]]


def test_normalized_scores_by_rank() -> None:
    scores, block = np.array([[3, 9, 3, 1]], dtype=np.float32), block_of(ALL_FOUR, EMPTY.values)
    assert ranks(scores, block).tolist() == [[2.5, 1, 2.5, 4]]
    rrf = normalized_scores("rrf", scores, block, 60)
    np.testing.assert_allclose(rrf, [[1 / 62.5, 1 / 61, 1 / 62.5, 1 / 64]], rtol=1e-6)
    np.testing.assert_allclose(
        normalized_scores("borda", scores, block, 60), [[1 - 2.5 / 4, 0.75, 1 - 2.5 / 4, 0]]
    )
    assert normalized_scores("rrf", scores, block, 1)[0, 1] == pytest.approx(1 / 2)


def test_places_put_the_history_last() -> None:
    history = csr_matrix(np.array([[0, 1, 0, 0]], dtype=np.float32))
    scores = np.array([[3, 9, 2, 1]], dtype=np.float32)
    assert ranks(scores, block_of(ALL_FOUR, history)).tolist() == [[1, 4, 2, 3]]


class Fixed(Model):
    """A model whose scores are given."""

    def __init__(self, *scores: float) -> None:
        self.scores = np.array([scores], dtype=np.float32)

    def score(self, history: History, users: Any = None) -> Any:
        return np.repeat(self.scores, history.shape[0], axis=0)

    def state(self) -> dict[str, Any]:
        return {"scores": self.scores}


def small(fusion: str = "weighted", **weights: float) -> Fusion:
    models = {"a": Fixed(1, 2, 3, 4), "b": Fixed(4, 4, 0, 0)}
    config = FusionConfig(fusion=fusion, weights=weights)
    counts = np.array([1, 1, 3, 3], dtype=np.float32)
    return Fusion(config, models, counts, np.zeros(4, dtype=bool))


def test_weighted_fusion_by_hand() -> None:
    za, zb = np.array([-1.5, -0.5, 0.5, 1.5]) / 1.25**0.5, np.array([1, 1, -1, -1])
    total = 0.75 * za + 0.25 * zb
    np.testing.assert_allclose(small(a=0.75, b=0.25).score(EMPTY)[0], total / total.std(), rtol=1e-5)


def test_the_prior_is_standardized_log_popularity() -> None:
    # log 2, log 2, log 4, log 4: two values at equal distance from the mean.
    np.testing.assert_allclose(small(a=1).prior, [-1, -1, 1, 1], rtol=1e-6)
    np.testing.assert_allclose(small(**{LOG_POPULARITY: 1.0}).score(EMPTY)[0], [-1, -1, 1, 1], rtol=1e-5)
    cold = np.array([True, False, False, False])
    assert standard_logs(np.array([0, 1, 3, 3]), cold)[0] == 0


class Silent(Fixed):
    """A model that has nothing to say to those without a history."""

    def score(self, history: History, users: Any = None) -> Any:
        known = (history.sizes > 0).astype(np.float32)
        return super().score(history, users) * known[:, None]


@pytest.mark.parametrize("method", ["weighted", "rrf", "borda"])
def test_where_no_source_has_anything_to_say_popularity_does(method: str) -> None:
    config = FusionConfig(fusion=method, weights={"a": 1.0}, cold_weights={"a": 1.0}, cold_boost=-3.0)
    counts = np.array([1, 3, 1, 3, 0, 0], dtype=np.float32)
    cold = counts == 0
    model = Fusion(config, {"a": Silent(1, 2, 3, 4, 5, 6)}, counts, cold)
    history = History(csr_matrix(np.array([[0] * 6, [1, 0, 0, 0, 0, 0]], dtype=np.float32)))
    scores = model.score(history)
    # log 2, log 4, log 2, log 4: two values at equal distance from the mean; cold items have no popularity, and
    # all have the boost
    np.testing.assert_allclose(scores[0], [-1, 1, -1, 1, -3, -3], rtol=1e-5)
    assert scores[1, 1] < scores[1, 2] < scores[1, 3], "the other is served by the source"
    shares = model.source_scores(history)
    assert set(shares) == {"a", LOG_POPULARITY, "cold-boost"}
    np.testing.assert_allclose(sum(shares.values()), scores, atol=1e-5)
    np.testing.assert_allclose(shares[LOG_POPULARITY], [[-1, 1, -1, 1, 0, 0], [0] * 6], atol=1e-5)
    assert not shares["a"][0].any() and shares["a"][1, 1:].any()


def test_a_source_that_speaks_to_everybody_is_heard_without_a_history() -> None:
    model = replace(small(b=1.0), sources={"b": Fixed(4, 4, 0, 0)})
    # popularity would be -1, -1, 1, 1
    np.testing.assert_allclose(model.score(EMPTY)[0], [1, 1, -1, -1], rtol=1e-5)
    assert LOG_POPULARITY not in model.source_scores(EMPTY)


def test_voting_by_hand() -> None:
    # Places of a: 4 3 2 1; of b: 1.5 1.5 3.5 3.5.
    total = 0.5 / (60 + np.array([4, 3, 2, 1])) + 0.5 / (60 + np.array([1.5, 1.5, 3.5, 3.5]))
    expected = (total - total.mean()) / total.std()
    np.testing.assert_allclose(small("rrf", a=0.5, b=0.5).score(EMPTY)[0], expected, rtol=1e-3)
    borda = -(np.array([4, 3, 2, 1]) + np.array([1.5, 1.5, 3.5, 3.5]))
    expected = (borda - borda.mean()) / borda.std()
    np.testing.assert_allclose(small("borda", a=0.5, b=0.5).score(EMPTY)[0], expected, rtol=1e-5)


@pytest.mark.parametrize("method", ["linear", "rrf", "borda"])
def test_the_sources_add_up_to_the_score(board: Interactions, method: str) -> None:
    model, history = fusion_of(board, fusion=method, cold_boost=0.7), board.history()
    shares = model.source_scores(history, users_of(board))
    assert set(shares) == {"als", "content-knn", "text-factors", LOG_POPULARITY, "cold-boost"}
    np.testing.assert_allclose(sum(shares.values()), model.score(history, users_of(board)), atol=2e-4)
    cold = cold_items(board.matrix("train"))
    assert not shares["als"][:, cold].any()
    assert (shares["cold-boost"][:, cold] == np.float32(0.7)).all()
    assert not shares["cold-boost"][:, ~cold].any()


def test_blocks_are_standardized_apart_and_the_boost_moves_the_cold_one(board: Interactions) -> None:
    history, cold = board.history().values, cold_items(board.matrix("train"))
    unwrap, raised = (
        fusion_of(board).score(History(history)),
        fusion_of(board, cold_boost=2.0).score(History(history)),
    )
    np.testing.assert_array_equal(raised[:, ~cold], unwrap[:, ~cold])
    np.testing.assert_allclose(raised[:, cold], unwrap[:, cold] + 2.0, rtol=1e-6)
    np.testing.assert_allclose(unwrap[:, cold].mean(axis=1), 0, atol=1e-5)
    np.testing.assert_allclose(unwrap[:, cold].std(axis=1), 1, rtol=1e-4)


def test_more_boost_means_more_cold_items_in_lists(board: Interactions) -> None:
    history, users = board.history(), users_of(board)
    ties, cold = board.ties, cold_items(board.matrix("train"))
    shares = []
    for boost in (-10.0, 0.0, 1.0, 10.0):
        model = fusion_of(board, cold_boost=boost)
        top = topk.rank(model, history, users, k=3, ties=ties, seen=history.values).items
        shares.append(cold[top].mean())
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[-1] == 1  # all three places


def test_cold_items_come_last_where_no_source_knows_them(board: Interactions) -> None:
    model = fusion_of(board, cold_weights={}, cold_boost=5.0)
    cold = cold_items(board.matrix("train"))
    scores = model.score(board.history())
    assert (scores[:, cold] == np.float32(UNKNOWN)).all()
    assert scores[:, ~cold].min() > UNKNOWN


def test_the_factors_are_stored_once(board: Interactions) -> None:
    names = set(fusion_of(board).state())
    assert "source/als/item_factors" in names
    assert not [n for n in names if n.startswith("source/text-factors/base")]
    alone = fusion_of(board)
    by_itself = replace(
        alone.config,
        sources=({**alone.config.sources[2], "base": None},),
        weights={"text-factors": 1.0},
        cold_weights={"text-factors": 1.0},
    )
    lonely = Fusion(by_itself, {"text-factors": alone.sources["text-factors"]}, alone.popularity, alone.cold)
    assert "source/text-factors/base/item_factors" in lonely.state()
    again = algorithms["fusion"].load(by_itself, lonely.state())
    assert np.array_equal(again.score(board.history()), lonely.score(board.history()))


def test_a_fusion_without_its_sources_is_refused() -> None:
    config = FusionConfig(sources=({"name": "als", "algorithm": "als", "options": {}, "base": None},))
    for wanted in (config, FusionConfig()):
        with pytest.raises(RecliError, match="sources"):
            algorithms["fusion"].fit(wanted, Training(csr_matrix((2, 3), dtype=np.float32)))


# users with only a text


def with_profile(board: Interactions) -> Fusion:
    model = fusion_of(board)
    text = model.text_factors
    assert text is not None
    history, vectors = board.matrix("train"), features_of(board)
    space = {"center": np.zeros(vectors.shape[1], dtype=np.float32)}
    return replace(
        model, profile=profile_map(vectors, space, history, text.user_embeddings(History(history))[0], 0.1)
    )


def test_a_text_about_a_block_finds_its_items(board: Interactions) -> None:
    model = with_profile(board)
    assert model.text_dim == 8
    assert model.text_space["center"].shape == (8,)
    scores = model.score_text(np.eye(8, dtype=np.float32)[:3])  # the three blocks' directions
    assert scores.shape == (3, board.n_items)
    cold = np.array([9, 19, 29])
    for block in range(3):
        warm = np.setdiff1d(np.argsort(-scores[block]), cold, assume_unique=True)
        assert (warm[:7] // 10 == block).all()
        assert scores[block, cold].argmax() == block


def test_the_profile_map_is_part_of_the_state(board: Interactions) -> None:
    model = with_profile(board)
    again = algorithms["fusion"].load(model.config, model.state())
    assert isinstance(again, Fusion)
    vectors = np.eye(8, dtype=np.float32)[:2]
    assert np.array_equal(again.score_text(vectors), model.score_text(vectors))
    assert again.text_space.keys() == {"center"}


def test_without_a_profile_map_a_text_is_refused(board: Interactions) -> None:
    model = fusion_of(board)
    assert model.text_dim == 0
    assert model.text_space == {}
    with pytest.raises(RecliError, match="train-hybrid"):
        model.score_text(np.ones((1, 8), dtype=np.float32))


def test_item_vectors_join_behavior_and_texts_in_equal_parts(board: Interactions) -> None:
    model = fusion_of(board)
    vectors = model.item_vectors()
    assert vectors is not None
    assert vectors is not None
    assert vectors.shape == (30, 16)  # 8 factors from behavior, 8 predicted from texts
    halves = np.linalg.norm(vectors[:, :8], axis=1), np.linalg.norm(vectors[:, 8:], axis=1)
    assert np.allclose(halves[1], 1)
    assert np.allclose(halves[0], np.where(model.cold, 0, 1))  # of a cold item only its text speaks
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = unit @ unit.T - 2 * np.eye(30)
    assert (
        cosines.argmax(axis=1) // 10 == np.arange(30) // 10
    ).all()  # the nearest item is of the same block
    assert small(a=1.0).item_vectors() is None
