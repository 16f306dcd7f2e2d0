"""The training-free graph models against their closed forms on small dense matrices."""

import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import block_diag, csr_matrix
from scipy.sparse import random as random_csr

from recli.data.history import History
from recli.models.base import Model, Training, algorithms
from recli.models.bspm import BspmConfig
from recli.models.bspm import fit as fit_bspm
from recli.models.gf_cf import GfCfConfig
from recli.models.gf_cf import fit as fit_gf_cf
from recli.models.kernels import spectral
from recli.models.kernels.spectral import default_rank, top_singular
from recli.models.rp3beta import Rp3betaConfig
from recli.models.rp3beta import fit as fit_rp3beta


def matrix(n_users: int = 40, n_items: int = 25, density: float = 0.2, seed: int = 1) -> csr_matrix:
    made = random_csr(n_users, n_items, density, format="csr", dtype=np.float32, random_state=seed)
    made.data = np.ceil(made.data * 3).astype(np.float32)  # weights 1, 2, 3
    made.sort_indices()
    return made


def with_gaps() -> csr_matrix:
    """As `matrix`, but user 3 did nothing and nobody chose item 5."""
    keep = np.ones((40, 25), dtype=np.float32)
    keep[3], keep[:, 5] = 0, 0
    made = csr_matrix(matrix().multiply(keep))
    made.eliminate_zeros()
    return made


def closed_form(
    given: csr_matrix, config: GfCfConfig | BspmConfig
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The linear filter P, the ideal filter D^-b V V' D^b and singular values, by numpy in float64."""
    r = given.toarray().astype(np.float64)
    users, items = r.sum(axis=1), r.sum(axis=0)
    users[users == 0], items[items == 0] = np.inf, np.inf  # one over infinity: nothing comes of them
    graph = r / users[:, None] ** config.user_power / items**config.item_power
    graph /= np.linalg.norm(graph, 2)
    _, s, vt = np.linalg.svd(graph, full_matrices=False)
    v = vt[: config.rank][s[: config.rank] > 1e-6].T
    items[np.isinf(items)] = 1.0
    return (
        graph.T @ graph,
        np.diag(items**-config.item_power) @ v @ v.T @ np.diag(items**config.item_power),
        s,
    )


# --- gf-cf


@pytest.mark.parametrize("rank", [1, 6, 25])
@pytest.mark.parametrize("shape", ["more users", "more items"])
def test_gf_cf_equals_its_closed_form(rank: int, shape: str) -> None:
    given = with_gaps() if shape == "more users" else matrix(25, 40)
    config = GfCfConfig(rank=rank, low_pass_weight=0.7, user_power=0.3, item_power=0.6)
    model = fit_gf_cf(config, Training(given))
    linear, ideal, _ = closed_form(given, config)
    new = matrix(10, given.shape[1], seed=5)
    np.testing.assert_allclose(
        model.score(History(new)), new.toarray() @ (linear + 0.7 * ideal), rtol=1e-4, atol=1e-5
    )


def test_gf_cf_by_hand() -> None:
    # Users 0: a b, 1: b. R~ = [[1/sqrt(2*1), 1/sqrt(2*2)], [0, 1/sqrt(1*2)]], P = R~'R~.
    config = GfCfConfig(
        low_pass_weight=0.0, user_power=0.5, item_power=0.5
    )  # the paper's: no scale is needed
    model = fit_gf_cf(config, Training(csr_matrix(np.array([[1.0, 1], [0, 1]]))))
    found = model.score(History(csr_matrix(np.array([[1.0, 0]], dtype=np.float32))))
    np.testing.assert_allclose(found, [[1 / 2, 1 / 2**0.5 * 1 / 2]], rtol=1e-6)


# --- bspm


def published(given: csr_matrix, history: csr_matrix, config: BspmConfig) -> np.ndarray:
    """Early merge, one Euler step, mean of both points in time: the paper's steps one by one."""
    linear, ideal, _ = closed_form(given, config)
    r = history.toarray().astype(np.float64)
    blurred = r @ linear
    merged = blurred + config.low_pass_weight * r @ ideal
    sharpened = merged - config.sharpening * merged @ linear
    return (blurred + sharpened) / 2


@pytest.mark.parametrize("shape", ["more users", "more items"])
def test_bspm_equals_its_steps_when_all_signals_are_kept(shape: str) -> None:
    given = with_gaps() if shape == "more users" else matrix(25, 40)
    config, new = (
        BspmConfig(rank=25, low_pass_weight=0.4, sharpening=1.2),
        matrix(10, given.shape[1], seed=5),
    )
    found = fit_bspm(config, Training(given)).score(History(new))
    np.testing.assert_allclose(found, published(given, new, config), rtol=1e-4, atol=1e-5)


def test_bspm_with_fewer_signals_differs_by_what_its_line_misses() -> None:
    given, new, config = matrix(60, 40), matrix(10, 40, seed=5), BspmConfig(rank=8, sharpening=2.0)
    found = fit_bspm(config, Training(given)).score(History(new))
    _, _, s = closed_form(given, config)
    # |x^2 - 3/4 a x| on [0, a] is largest at x = a, a^2 / 4; times T / 2 = 1, times the history's length.
    bound = s[7] ** 4 / 4 * np.linalg.norm(new.toarray(), axis=1)
    missed = np.linalg.norm(found - published(given, new, config), axis=1)
    assert (missed < bound).all() and missed.max() > 1e-4


def test_bspm_without_sharpening_is_gf_cf_with_half_the_weight() -> None:
    given = Training(matrix())
    unwrap = fit_bspm(BspmConfig(rank=6, low_pass_weight=0.8, sharpening=0.0), given)
    other = fit_gf_cf(GfCfConfig(rank=6, low_pass_weight=0.4), given)
    np.testing.assert_allclose(
        unwrap.score(History(given.matrix)), other.score(History(given.matrix)), rtol=1e-4, atol=1e-6
    )


def test_few_users_are_scored_without_the_map_of_many() -> None:
    model = fit_bspm(BspmConfig(rank=6, sharpening=1.2), Training(matrix()))
    new = matrix(20, 25, seed=5)
    few = model.score(History(new[:3]))
    assert "_map" not in model.__dict__
    many = model.score(History(new))
    assert "_map" in model.__dict__
    np.testing.assert_allclose(few, many[:3], rtol=1e-4, atol=1e-6)


# --- rp3beta


def test_rp3beta_equals_its_closed_form() -> None:
    given, config = with_gaps(), Rp3betaConfig(alpha=0.7, beta=0.4, neighbors=1000)
    r = given.toarray().astype(np.float64)
    users, items = np.maximum(r.sum(axis=1), 1e-9), np.maximum(r.sum(axis=0), 1e-9)
    walks = (r / items).T ** 0.7 @ (r / users[:, None]) ** 0.7 / items**0.4
    np.fill_diagonal(walks, 0.0)
    model = fit_rp3beta(config, Training(given))
    np.testing.assert_allclose(model.score(History(given)), r @ walks, rtol=1e-4, atol=1e-6)


def test_rp3beta_by_hand() -> None:
    # Item b: users 0 and 1, each a half. From 0 to a: a half; from 1 to c: a third, as to d.
    given = Training(csr_matrix(np.array([[1.0, 1, 0, 0], [0, 1, 1, 1]], dtype=np.float32)))
    unwrap = Rp3betaConfig(alpha=1.0, beta=0.0)
    first = fit_rp3beta(unwrap, given).similar.toarray()[1]
    np.testing.assert_allclose(first, [1 / 2 * 1 / 2, 0.0, 1 / 2 * 1 / 3, 1 / 2 * 1 / 3], rtol=1e-6)
    one = fit_rp3beta(replace(unwrap, neighbors=1), given).similar.toarray()[1]
    np.testing.assert_allclose(one, [1 / 4, 0.0, 0.0, 0.0], rtol=1e-6)
    rooted = fit_rp3beta(replace(unwrap, alpha=0.5), given).similar.toarray()[1]
    np.testing.assert_allclose(rooted[0], (1 / 2) ** 0.5 * (1 / 2) ** 0.5, rtol=1e-6)
    punished = fit_rp3beta(replace(unwrap, beta=1.0), given).similar.toarray()
    np.testing.assert_allclose(punished[0, 1], 1 / 2 / 2, rtol=1e-6)  # two have chosen b


def test_rp3beta_does_not_depend_on_its_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    given = Training(matrix(50, 40))
    whole = fit_rp3beta(Rp3betaConfig(neighbors=5), given).similar
    monkeypatch.setattr("recli.models.kernels.neighbors._ROWS_PER_BLOCK", 7)
    assert (fit_rp3beta(Rp3betaConfig(neighbors=5), given).similar != whole).nnz == 0


# --- all three


@pytest.mark.parametrize(
    ("name", "option", "value"),
    [
        ("gf-cf", "rank", 5),
        ("gf-cf", "low_pass_weight", 2.0),
        ("gf-cf", "user_power", 0.1),
        ("gf-cf", "item_power", 0.1),
        ("bspm", "rank", 5),
        ("bspm", "low_pass_weight", 2.0),
        ("bspm", "sharpening", 0.5),
        ("bspm", "user_power", 0.1),
        ("bspm", "item_power", 0.1),
        ("rp3beta", "alpha", 1.5),
        ("rp3beta", "beta", 0.9),
        ("rp3beta", "neighbors", 2),
    ],
)
def test_every_option_changes_the_scores(name: str, option: str, value: float) -> None:
    given, algorithm = Training(matrix(60, 40)), algorithms[name]
    usual = algorithm.fit(algorithm.config(), given).score(History(given.matrix))
    other = algorithm.fit(algorithm.config(**{option: value}), given).score(History(given.matrix))
    assert np.abs(other - usual).max() > 1e-3 * np.abs(usual).max()


@pytest.mark.parametrize("name", ["gf-cf", "bspm", "rp3beta"])
def test_scores_are_linear_in_the_history_and_know_no_users(name: str) -> None:
    given = matrix(60, 40)
    model: Model = algorithms[name].fit(algorithms[name].config(), Training(given))
    one, other = given[:30], given[30:]
    together = model.score(History(csr_matrix(one + 2 * other)))
    np.testing.assert_allclose(
        together, model.score(History(one)) + 2 * model.score(History(other)), rtol=1e-4, atol=1e-5
    )
    assert np.array_equal(model.score(History(one), np.arange(30)), model.score(History(one)))


def test_a_filter_does_not_depend_on_how_many_histories_it_takes_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given = matrix()
    model = fit_bspm(BspmConfig(rank=8), Training(given))
    whole = model.score(History(given))
    monkeypatch.setattr(spectral, "_USERS_PER_BLOCK", 7)
    np.testing.assert_allclose(model.score(History(given)), whole, rtol=1e-6)


# --- the spectrum


def test_few_users_or_items_have_few_default_rank() -> None:
    shapes = [(5000, 4000), (610, 9000), (9000, 610), (3, 3)]
    assert [default_rank(csr_matrix(shape), 256) for shape in shapes] == [256, 101, 101, 1]
    given = Training(matrix(60, 40))  # 40 // 6 = 6
    usual = fit_gf_cf(GfCfConfig(), given).score(History(given.matrix))
    assert np.array_equal(fit_gf_cf(GfCfConfig(rank=6), given).score(History(given.matrix)), usual)
    assert fit_bspm(BspmConfig(), given).basis.values.size == 6


@pytest.mark.parametrize("shape", [(90, 60), (60, 90)])
@pytest.mark.parametrize("dense", [True, False])
def test_singular_vectors_equal_numpys(
    shape: tuple[int, int], dense: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = matrix(*shape)
    monkeypatch.setattr(spectral, "_DENSE_SIZE", 1000 if dense else 0)
    values, vectors = top_singular(given, 7, seed=0)
    _, s, vt = np.linalg.svd(given.toarray().astype(np.float64))
    np.testing.assert_allclose(values, s[:7], rtol=1e-5)
    np.testing.assert_allclose(np.abs(np.sum(vectors.T * vt[:7], axis=1)), 1.0, rtol=1e-4)
    assert vectors.dtype == np.float32 and vectors.flags.c_contiguous
    largest = vectors[np.abs(vectors).argmax(axis=0), np.arange(7)]
    assert (largest > 0).all()


def test_one_seed_one_spectrum_whatever_the_method(monkeypatch: pytest.MonkeyPatch) -> None:
    given = matrix(90, 60)
    monkeypatch.setattr(spectral, "_DENSE_SIZE", 0)
    one, same, other = (top_singular(given, 7, seed)[1] for seed in (3, 3, 4))
    assert one.tobytes() == same.tobytes() != other.tobytes()
    np.testing.assert_allclose(one, other, atol=1e-4)  # signs included


SPECTRUM_OF_A_FRESH_PROCESS = """
import hashlib, numpy as np
from scipy.sparse import random as random_csr
from recli.models.kernels.spectral import top_singular
given = random_csr(4000, 4100, 0.002, format="csr", dtype=np.float32, random_state=1)
print(hashlib.sha256(top_singular(given, 40, seed=0)[1].tobytes()).hexdigest())
"""


@pytest.mark.slow
def test_the_spectrum_has_the_same_bytes_with_any_number_of_threads() -> None:
    """In processes that have not loaded scipy's BLAS before: what is not loaded yet cannot be limited."""
    made = [
        subprocess.run(
            [sys.executable, "-c", SPECTRUM_OF_A_FRESH_PROCESS],
            env=os.environ | {"OMP_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for threads in ("1", "2")
    ]
    assert made[0] == made[1] and len(made[0]) == 65


@pytest.mark.parametrize("dense", [True, False])
def test_there_are_no_more_signals_than_the_rank(dense: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spectral, "_DENSE_SIZE", 1000 if dense else 0)
    blocks = csr_matrix(block_diag([np.full((12, 8), n) for n in (1.0, 2.0, 3.0)]), dtype=np.float32)
    values, vectors = top_singular(blocks, 6, seed=0)  # 3 blocks of rank 1: singular values n * sqrt(12 * 8)
    np.testing.assert_allclose(values, np.array([3, 2, 1]) * 96**0.5, rtol=1e-5)
    assert vectors.shape == (24, 3)
