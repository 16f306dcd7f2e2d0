"""iALS: its loss, its solvers against float64 algebra, its options."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_csr

from recli.errors import DeviceError
from recli.models.base import Training, algorithms
from recli.models.ials import EXACT, FoldIn, IalsConfig, Weights, fit, loss, weights_for
from recli.models.kernels import ials_cpu, ials_torch
from recli.models.kernels.factors import Factors

SMALL = IalsConfig(factors=6, iterations=8, regularization=0.08, unobserved_weight=0.5, nu=0.8)
W = Weights(unobserved=0.2, regularization=0.02, nu=0.8)


def matrix(n_users: int = 60, n_items: int = 40, density: float = 0.2, seed: int = 1) -> csr_matrix:
    """Weights 1, 2, 3; the last user and the last item have nothing."""
    made = random_csr(n_users, n_items, density, format="lil", dtype=np.float32, random_state=seed)
    made[-1, :] = 0
    made[:, -1] = 0
    made = made.tocsr()
    made.data = np.ceil(made.data * 3).astype(np.float32)
    made.sort_indices()
    return made


def factors(rows: int, d: int = 6, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 0.3, (rows, d)).astype(np.float32)


def exactly(weights: Weights, given: csr_matrix, y: np.ndarray) -> np.ndarray:
    """The rows' minimum for fixed y, by dense algebra in float64 with the weights of all cells written out."""
    y, cells = y.astype(np.float64), given.toarray().astype(np.float64)
    a0, ridge = weights.unobserved, weights.penalties(given)
    left = [y.T @ np.diag(a0 + c) @ y + r * np.eye(y.shape[1]) for c, r in zip(cells, ridge, strict=True)]
    return np.array([np.linalg.solve(a, y.T @ c) for a, c in zip(left, cells, strict=True)])


def cpu_step(
    weights: Weights, given: csr_matrix, x: np.ndarray, y: np.ndarray, steps: int, threads: int = 1
) -> tuple[np.ndarray, np.ndarray, float]:
    with ials_cpu.cpu_engine(threads) as engine:
        side = ials_cpu.side(given, weights.penalties(given))
        return engine.half_step(side, x, y, weights.unobserved, steps)


# --- the loss


def test_the_loss_by_arithmetic() -> None:
    # One user, two items, d = 1: x = 2, y = (0.25, 1); he did item 0 with weight 3. Products: 0.5 and 2.
    given = csr_matrix(np.array([[3.0, 0.0]], dtype=np.float32))
    weights = Weights(unobserved=0.5, regularization=0.1, nu=2.0)
    x, y = np.array([[2.0]], dtype=np.float32), np.array([[0.25], [1.0]], dtype=np.float32)
    observed = 3 * (1 - 0.5) ** 2
    everything = 0.5 * (0.5**2 + 2**2)  # the observed cell too
    users = 0.1 * (3 + 0.5 * 2) ** 2 * 2**2  # 2 items
    items = 0.1 * ((3 + 0.5 * 1) ** 2 * 0.25**2 + (0 + 0.5 * 1) ** 2 * 1**2)  # 1 user
    assert loss(weights, given, x, y) == pytest.approx(observed + everything + users + items)


def test_nu_0_pulls_all_rows_alike_and_nu_1_in_proportion_to_their_data() -> None:
    sums = np.array([1.0, 4.0, 10.0])
    weights = Weights(unobserved=0.1, regularization=0.5, nu=0.0)
    assert weights.penalty(sums, 20).tolist() == [0.5, 0.5, 0.5]
    assert replace(weights, nu=1.0).penalty(sums, 20).tolist() == pytest.approx([0.5 * 3, 0.5 * 6, 0.5 * 12])


@pytest.mark.parametrize("engine", ["cpu", "torch"])
def test_the_loss_falls_in_every_exact_half_step_and_is_what_the_solver_says(engine: str) -> None:
    given = matrix()
    sides = [ials_cpu.side(m, W.penalties(m)) for m in (given, given.T.tocsr())]
    x, y = np.zeros((60, 6), dtype=np.float32), factors(40)
    losses = [loss(W, given, x, y)]
    with ials_cpu.cpu_engine(1) if engine == "cpu" else ials_torch.torch_engine("cpu") as of:
        users, items = (of.prepare(s) for s in sides)
        a, b = of.array(x), of.array(y)
        for _ in range(6):
            a, b, of_users = of.half_step(users, a, b, W.unobserved, EXACT)
            losses.append(loss(W, given, of.numpy(a), of.numpy(b)))
            assert of_users + of.penalty(items, b) == pytest.approx(losses[-1], rel=1e-5)
            b, a, of_items = of.half_step(items, b, a, W.unobserved, EXACT)
            losses.append(loss(W, given, of.numpy(a), of.numpy(b)))
            assert of_items + of.penalty(users, a) == pytest.approx(losses[-1], rel=1e-5)
    assert losses[0] > given.sum()  # a start with no users: all of the weight, and the items' penalty
    assert (np.diff(losses) < 1e-6 * losses[0]).all()
    assert losses[-1] < 0.7 * losses[0]


def test_training_says_the_loss_relative_to_that_of_all_zeros() -> None:
    given, texts = matrix(), []
    model = fit(SMALL, Training(given, threads=1, advance=lambda steps, text: texts.append(text)))
    assert len(texts) == SMALL.iterations
    at_last = loss(weights_for(SMALL, given), given, model.user_factors, model.item_factors) / given.sum()
    said = [float(text.removeprefix("loss ")) for text in texts]
    assert said[-1] == pytest.approx(at_last, abs=2e-3)  # but for the users' last, exact half-step
    assert said == sorted(said, reverse=True)


# --- the options, relative to the data


def test_the_weight_of_all_cells_is_so_many_times_that_of_the_interactions() -> None:
    given = csr_matrix(np.array([[3.0, 0.0, 0.0], [0.0, 1.0, 0.0]], dtype=np.float32))
    found = weights_for(IalsConfig(unobserved_weight=12.0), given)
    assert found.unobserved == pytest.approx(12 * (3 + 1) / (2 * 3))


def test_the_regularization_is_a_share_of_what_leaves_nothing() -> None:
    # One cell of value c: loss c (1 - xy)^2 + a0 (xy)^2 + lambda p (x^2 + y^2), p = c + a0, is least at
    # x = y = 0 from lambda p = c on.
    given = csr_matrix(np.array([[3.0]], dtype=np.float32))
    config = IalsConfig(unobserved_weight=0.5, regularization=0.25)
    assert weights_for(config, given).regularization == pytest.approx(0.25 * 3 / (3 + 0.5 * 3))


@pytest.mark.parametrize("nu", [0.0, 1.0])
def test_just_below_the_largest_regularization_something_is_left_and_just_above_nothing(nu: float) -> None:
    given = matrix()
    at = weights_for(replace(SMALL, regularization=1.0, nu=nu), given)
    scaled = given.toarray().astype(np.float64)
    unit = replace(at, regularization=1.0)
    scaled /= np.sqrt(np.outer(unit.penalties(given), unit.penalties(given.T)))
    assert at.regularization == pytest.approx(np.linalg.norm(scaled, 2), rel=1e-3)
    for share, left in ((0.9, True), (1.05, False)):
        config = replace(SMALL, nu=nu, iterations=200)
        object.__setattr__(config, "regularization", share)  # beyond the option's bounds
        model = fit(config, Training(given, threads=1))
        assert bool(np.abs(model.item_factors).max() > 1e-2) is left


@pytest.mark.parametrize("scale", [0.1, 7.0])
def test_the_scale_of_the_values_changes_nothing(scale: float) -> None:
    given, config = matrix(), replace(SMALL, nu=1.0)
    scaled = given.copy()
    scaled.data *= np.float32(scale)
    one, other = (fit(config, Training(m, threads=1)) for m in (given, scaled))
    np.testing.assert_allclose(
        one.user_factors @ one.item_factors.T, other.user_factors @ other.item_factors.T, atol=1e-4
    )


# --- the solvers


def test_half_steps_equal_dense_algebra_in_float64() -> None:
    given, x, y = matrix(), factors(60, seed=3), factors(40)
    solved, fixed, _ = cpu_step(W, given, x, y, EXACT)
    np.testing.assert_allclose(fixed @ fixed.T, y @ y.T, atol=1e-5)  # rotated, no more
    np.testing.assert_allclose(solved @ fixed.T, exactly(W, given, y) @ y.T, atol=2e-5)
    assert not solved[-1].any()  # nothing done: zeros, wherever it started


def test_a_training_of_exact_half_steps_equals_dense_algebra_in_float64(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("recli.models.ials.STEPS", EXACT)
    given = matrix()
    model = fit(SMALL, Training(given, seed=5, threads=1))
    weights = weights_for(SMALL, given)
    start = np.random.default_rng(5).standard_normal((40, 6))
    y = SMALL.init_std / np.sqrt(6) * start
    x = exactly(weights, given, y)
    for _ in range(SMALL.iterations):
        y = exactly(weights, given.T.tocsr(), x)
        x = exactly(weights, given, y)
    np.testing.assert_allclose(model.user_factors @ model.item_factors.T, x @ y.T, atol=1e-4)
    assert loss(weights_for(SMALL, given), given, model.user_factors, model.item_factors) == pytest.approx(
        loss(weights, given, x, y), rel=1e-5
    )


def test_three_steps_a_time_end_at_the_loss_of_an_exact_training(monkeypatch: pytest.MonkeyPatch) -> None:
    given, config = matrix(200, 90), replace(SMALL, factors=16, iterations=15)
    few = fit(config, Training(given, threads=1))
    monkeypatch.setattr("recli.models.ials.STEPS", EXACT)
    exact = fit(config, Training(given, threads=1))
    losses = [loss(weights_for(config, given), given, m.user_factors, m.item_factors) for m in (few, exact)]
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)


@pytest.mark.parametrize("steps", [0, 1, 3, EXACT])
def test_torch_does_the_same_half_step(steps: int) -> None:
    given, x, y = matrix(), factors(60, seed=3), factors(40)
    solved, fixed, lost = cpu_step(W, given, x, y, steps)
    engine = ials_torch.TorchEngine("cpu")
    side = engine.prepare(ials_cpu.side(given, W.penalties(given)))
    a, b, of_torch = engine.half_step(side, engine.array(x), engine.array(y), W.unobserved, steps)
    np.testing.assert_allclose(engine.numpy(a) @ engine.numpy(b).T, solved @ fixed.T, atol=1e-4)
    assert of_torch == pytest.approx(lost, rel=1e-4)
    np.testing.assert_array_equal(x, factors(60, seed=3))  # what was given has not changed
    np.testing.assert_array_equal(y, factors(40))


@pytest.mark.parametrize("cells", [1, 7, 64, 2**20])
def test_batches_hold_every_cell_once(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ials_torch, "_CELLS_PER_BATCH", cells)
    given = matrix()
    prepared = ials_torch.TorchEngine("cpu").prepare(ials_cpu.side(given, W.penalties(given)))
    again = np.zeros(given.shape, dtype=np.float32)
    for batch in prepared.batches:
        assert batch.weights.numel() <= cells or len(batch.rows) == 1
        assert (batch.weights > 0).float().mean() >= 0.75
        np.add.at(again, (batch.rows[:, None], batch.others), batch.weights)
    assert np.array_equal(again, given.toarray())
    assert prepared.empty.tolist() == np.flatnonzero(given.getnnz(axis=1) == 0).tolist()


def test_training_with_torch_ends_where_the_cpu_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    given = matrix()
    on_cpu = fit(SMALL, Training(given, seed=2, threads=1))
    monkeypatch.setattr("recli.models.kernels.ials_torch.torch_engine", lambda device: _entered())
    by_torch = fit(SMALL, Training(given, seed=2, device="cuda"))
    assert by_torch.user_factors.dtype == np.float32
    np.testing.assert_allclose(
        by_torch.user_factors @ by_torch.item_factors.T,
        on_cpu.user_factors @ on_cpu.item_factors.T,
        atol=1e-3,
    )


def _entered() -> object:
    from contextlib import nullcontext

    return nullcontext(ials_torch.TorchEngine("cpu"))


def test_a_gpu_that_is_not_there_is_a_device_error(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(DeviceError, match="there are 1 GPUs"):
        fit(SMALL, Training(matrix(), device="cuda:1"))


# --- the model


def test_new_users_are_solved_exactly_and_stored_ones_equal_them() -> None:
    given = matrix()
    model, weights = fit(SMALL, Training(given, threads=1)), weights_for(SMALL, given)
    np.testing.assert_allclose(model.fold_in(given), exactly(weights, given, model.item_factors), atol=1e-5)
    np.testing.assert_allclose(model.user_factors, model.fold_in(given), atol=1e-4)
    loaded = algorithms["ials"].load(SMALL, model.state())
    assert isinstance(loaded, Factors)
    assert np.array_equal(loaded.fold_in(given), model.fold_in(given))
    empty = csr_matrix((1, 40), dtype=np.float32)
    assert not model.fold_in(empty).any()


def test_the_same_bytes_with_any_number_of_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ials_cpu, "_ROWS_PER_BLOCK", 32
    )  # many pieces of work, so that their order could matter
    monkeypatch.setattr(ials_cpu, "_CELLS_PER_TASK", 50)
    given, config = matrix(200, 80), replace(SMALL, factors=16)
    made = [fit(config, Training(given, seed=4, threads=threads)).state() for threads in (1, 2, 5)]
    for other in made[1:]:
        assert all(other[name].tobytes() == made[0][name].tobytes() for name in made[0])


def test_chunks_of_rows_cover_all_rows_once() -> None:
    starts = np.array([0, 0, 60_000, 60_001, 60_001, 160_001, 160_005])
    spans = ials_cpu._spans(starts)
    assert [a for a, _ in spans] == [0] + [b for _, b in spans[:-1]]
    assert spans[-1][1] == 6
    assert len(spans) > 1


def test_patience_returns_the_best_iteration() -> None:
    scores = iter([0.1, 0.3, 0.2, 0.2, 0.9])
    seen: list[Factors] = []

    def validate(model: Factors) -> float:
        seen.append(model)
        return next(scores)

    model = fit(SMALL, Training(matrix(), threads=1, patience=2, validate=validate))  # type: ignore[arg-type]
    assert len(seen) == 4
    assert model is seen[1]  # what was validated is what is kept
    stopped = fit(replace(SMALL, iterations=2), Training(matrix(), threads=1))
    assert np.array_equal(model.user_factors, stopped.user_factors)


def test_a_seed_is_a_start() -> None:
    first, again, other = (fit(SMALL, Training(matrix(), seed=s, threads=1)).item_factors for s in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert not np.array_equal(first, other)


def test_fold_in_without_a_weight_of_the_unobserved_sees_the_history_alone() -> None:
    weights = replace(W, unobserved=0.0)
    given, y = matrix()[:-1], factors(40)  # who has done nothing has nothing to solve
    np.testing.assert_allclose(FoldIn(weights, y)(given), exactly(weights, given, y), atol=1e-5)
    solved, fixed, _ = cpu_step(weights, given, factors(59, seed=3), y, EXACT)
    np.testing.assert_allclose(solved @ fixed.T, exactly(weights, given, y) @ y.T, atol=1e-4)
