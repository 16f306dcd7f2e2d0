"""EASE against its closed form, dense and sparse; what it costs is said, and refused where memory is short."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse import random as random_csr

from recli.compute.memory import available_memory
from recli.data.history import History
from recli.errors import RecliError
from recli.models.base import Training, algorithms
from recli.models.ease import SPARSE, Ease, EaseConfig, cost, fit, gram, inverse_in_place, load
from recli.models.item_knn import ItemKnn, ItemKnnConfig
from recli.models.item_knn import fit as fit_item_knn
from recli.models.kernels.ease_sparse import local_gram, solve_columns

GIB = 2**30


def matrix(n_users: int = 40, n_items: int = 25, density: float = 0.2, seed: int = 1) -> csr_matrix:
    made = random_csr(n_users, n_items, density, format="csr", dtype=np.float32, random_state=seed)
    made.data = np.ceil(made.data * 3).astype(np.float32)  # weights 1, 2, 3
    made.sort_indices()
    return made


def closed_form(given: csr_matrix, l2: float) -> np.ndarray:
    x = given.toarray().astype(np.float64)
    p = np.linalg.inv(x.T @ x + l2 * np.eye(x.shape[1]))
    return np.eye(x.shape[1]) - p / np.diag(p)  # column by column


def sparse(given: csr_matrix, neighbors: int, l2: float = 7.0, threads: int = 1) -> ItemKnn:
    made = fit(EaseConfig(l2=l2, neighbors=neighbors), Training(given, threads=threads))
    assert isinstance(made, ItemKnn)
    return made


# --- dense


def test_dense_equals_the_closed_form() -> None:
    given = matrix(200, 40)
    model, b = fit(EaseConfig(l2=7.0), Training(given)), closed_form(given, 7.0)
    assert isinstance(model, Ease)
    np.testing.assert_allclose(model.weights, b, atol=2e-5)
    assert not np.diag(model.weights).any()
    assert model.weights.flags.c_contiguous
    np.testing.assert_allclose(model.score(History(given)), given.toarray() @ b, atol=2e-4)


def test_dense_does_not_depend_on_its_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    given = matrix(50, 40)
    whole = fit(EaseConfig(), Training(given)).state()["weights"]
    monkeypatch.setattr("recli.models.ease._ROWS_PER_BLOCK", 7)
    assert np.array_equal(gram(given), (given.T @ given).toarray())
    assert np.array_equal(fit(EaseConfig(), Training(given)).state()["weights"], whole)


def test_inverse_in_place_uses_no_second_matrix_and_refuses_what_has_none() -> None:
    given = gram(matrix(200, 30)) + 5.0 * np.eye(30, dtype=np.float32)
    expected = np.linalg.inv(given.astype(np.float64))
    found = inverse_in_place(given)
    assert np.shares_memory(found, given)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6)
    with pytest.raises(RecliError, match="cannot be inverted"):
        inverse_in_place(-np.eye(3, dtype=np.float32))


# --- sparse


def test_with_all_items_as_neighbors_sparse_equals_the_closed_form() -> None:
    given = matrix(300, 40, 0.3)
    assert (given.T @ given).nnz == 40 * 40  # every pair of items is met: none is out of reach
    model = sparse(given, 39)
    np.testing.assert_allclose(model.similar.toarray(), closed_form(given, 7.0), atol=2e-6)
    np.testing.assert_allclose(
        model.score(History(given)), given.toarray() @ closed_form(given, 7.0), atol=2e-5
    )


def test_each_column_is_a_ridge_regression_on_its_nearest_items() -> None:
    given, l2 = matrix(200, 30), 7.0
    x, weights = given.toarray().astype(np.float64), sparse(given, 4, l2).similar.toarray()
    lengths = np.linalg.norm(x, axis=0)
    cosine = x.T @ x / (lengths[:, None] * lengths)
    np.fill_diagonal(cosine, -1.0)
    for j in range(30):
        near = np.argsort(-cosine[:, j])[:4]
        expected = np.zeros(30)
        expected[near] = np.linalg.solve(x[:, near].T @ x[:, near] + l2 * np.eye(4), x[:, near].T @ x[:, j])
        np.testing.assert_allclose(weights[:, j], expected, atol=1e-5)


def test_sparse_by_hand() -> None:
    # Items a, b, c; G = [[2, 2, 0], [2, 3, 1], [0, 1, 1]]. a's only neighbor is b: w_ba = 2 / (3 + 1).
    given = csr_matrix(np.array([[1, 1, 0], [1, 1, 0], [0, 1, 1]], dtype=np.float32))
    weights = sparse(given, 1, l2=1.0).similar.toarray()
    assert weights[:, 0].tolist() == [0.0, pytest.approx(2 / 4), 0.0]
    assert weights[:, 1].tolist() == [pytest.approx(2 / 3), 0.0, 0.0]  # b's nearest is a: 2 / (2 + 1)
    assert weights[:, 2].tolist() == [0.0, pytest.approx(1 / 4), 0.0]  # 1 / (3 + 1)
    both = sparse(given, 2, l2=1.0).similar.toarray()  # b on a and c: (2 + 1) w = 2 and (1 + 1) w = 1
    assert both[:, 1].tolist() == [pytest.approx(2 / 3), 0.0, pytest.approx(1 / 2)]


def test_local_gram_gathers_the_cells_of_one_regression_and_leaves_its_slots_clean() -> None:
    given = matrix(60, 20, 0.3)
    items, whole = given.T.tocsr(), (given.T @ given).toarray()
    members = np.array([3, 7, 11, 15, 5], dtype=np.int32)  # the last one is the target
    slots, made = np.zeros(60, np.int32), np.full((4, 4), 9, np.float32)
    right = np.full(4, 9, np.float32)
    cells = (items.indptr.astype(np.int64), items.indices.astype(np.int32), items.data)
    local_gram(members, *cells, slots, made, right)  # as Python: what numba compiles
    near = members[:4]
    assert np.array_equal(made, np.tril(whole[np.ix_(near, near)]))
    assert np.array_equal(right, whole[near, 5])
    assert not slots.any()


def test_items_without_events_or_companions_get_no_weights() -> None:
    rows = np.array([[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], dtype=np.float32)  # c alone, d never
    weights = sparse(csr_matrix(rows), 3).similar.toarray()
    assert not weights[:, 2:].any() and not weights[2:].any()
    assert weights[0, 1] == pytest.approx(2 / (2 + 7))
    assert np.isfinite(sparse(csr_matrix(rows), 3).score(History(csr_matrix((1, 4), dtype=np.float32)))).all()


def test_sparse_has_the_same_bytes_with_any_threads_and_spans(monkeypatch: pytest.MonkeyPatch) -> None:
    given = matrix(100, 60)
    one = sparse(given, 5).state()
    monkeypatch.setattr("recli.models.kernels.ease_sparse._ITEMS_PER_TASK", 7)
    for threads in (1, 3):
        other = sparse(given, 5, threads=threads).state()
        assert all(other[name].tobytes() == one[name].tobytes() for name in one)


def test_a_regression_without_a_solution_is_an_error() -> None:
    twins = csr_matrix(np.array([[1, 1, 1]] * 3, dtype=np.float32))
    chosen = fit_item_knn(ItemKnnConfig(weighting="cosine"), Training(twins)).similar
    with pytest.raises(RecliError, match="has no solution"):
        solve_columns(twins, chosen, -10.0, 1)


def test_a_stored_model_of_either_form_comes_back() -> None:
    given = matrix()
    for config in (EaseConfig(), EaseConfig(neighbors=3)):
        model = fit(config, Training(given))
        again = load(config, model.state())
        assert type(again) is type(model)
        assert np.array_equal(again.score(History(given)), model.score(History(given)))


# --- which form, and what it costs


def test_larger_catalogues_are_sparse_by_themselves_and_say_so() -> None:
    given, said = matrix(60, SPARSE + 60, 0.6), []
    training = Training(given, threads=1, say=said.append)
    assert isinstance(fit(EaseConfig(max_items=SPARSE + 60), training), Ease) and not said
    model = fit(EaseConfig(max_items=SPARSE + 59), training)
    assert isinstance(model, ItemKnn)
    assert np.diff(model.similar.tocsc().indptr).max() == SPARSE
    assert len(said) == 1 and "--max-items" in said[0] and str(SPARSE) in said[0]
    fit(EaseConfig(neighbors=5), training)
    assert len(said) == 1  # what was asked for needs no explanation


def test_memory_and_time_are_said_before_a_long_inversion(monkeypatch: pytest.MonkeyPatch) -> None:
    assert cost(40_000, 1) == "40,000 items: a matrix of 6.0 GiB, in roughly 11 minutes"  # 6.4e13 / 1e11 s
    assert cost(10_000, 2) == "10,000 items: a matrix of 0.4 GiB, in roughly 5 seconds"
    monkeypatch.setattr("recli.models.ease._LARGE_ITEMS", 24)
    said: list[str] = []
    fit(EaseConfig(), Training(matrix(40, 25), say=said.append))
    assert said == [cost(25, 1)]


@pytest.mark.parametrize("name", ["ease", "cease"])
def test_what_does_not_fit_in_memory_is_refused_before_it_starts(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = Training(matrix(40, 25), features=np.eye(25, dtype=np.float32))
    needed = 25 * 25 * (4 + 12)  # the matrix, and a block of all 25 rows of it: values, columns, dense
    monkeypatch.setattr("recli.models.ease.available_memory", lambda: needed)
    algorithms[name].fit(algorithms[name].config(), given)
    monkeypatch.setattr("recli.models.ease.available_memory", lambda: needed - 1)
    with pytest.raises(RecliError, match=r"25 items need 0\.0 GiB of memory; 0\.0 GiB are free") as caught:
        algorithms[name].fit(algorithms[name].config(), given)
    assert ("--neighbors 200" if name == "ease" else "content-knn") in str(caught.value.fix)
    monkeypatch.setattr("recli.models.ease.available_memory", lambda: None)  # unknown: it is tried
    algorithms[name].fit(algorithms[name].config(), given)


def test_sparse_needs_no_memory_for_all_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recli.models.ease.available_memory", lambda: 0)
    assert isinstance(fit(EaseConfig(neighbors=3), Training(matrix(), threads=1)), ItemKnn)


def test_collective_ease_refuses_more_than_max_items() -> None:
    config: Any = algorithms["cease"].config
    given = Training(matrix(40, 25), features=np.eye(25, dtype=np.float32))
    with pytest.raises(RecliError, match="25 items: a matrix of") as caught:
        algorithms["cease"].fit(config(max_items=24), given)
    assert "--max-items 25" in str(caught.value.fix)
    algorithms["cease"].fit(config(max_items=25), given)


# --- memory


def files(folder: Path, texts: dict[str, str]) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_memory_is_the_least_of_machine_and_control_groups(tmp_path: Path) -> None:
    proc = files(tmp_path / "proc", {"meminfo": f"MemTotal: 9 kB\nMemAvailable: {8 * 2**20} kB\n"})
    groups = tmp_path / "groups"
    assert available_memory(proc, groups) == 8 * GIB
    files(proc, {"self/cgroup": "0::/job/step\n"})
    files(groups, {"job/step/memory.max": "max\n", "job/step/memory.current": "5\n"})
    assert available_memory(proc, groups) == 8 * GIB  # no limit there, and none is known above
    files(
        groups,
        {
            "job/memory.max": f"{6 * GIB}\n",
            "job/memory.current": f"{4 * GIB}\n",
            "job/memory.stat": f"anon 1\ninactive_file {GIB}\n",
        },
    )
    assert available_memory(proc, groups) == 6 * GIB - 4 * GIB + GIB


def test_memory_of_control_groups_of_version_1(tmp_path: Path) -> None:
    proc = files(
        tmp_path / "proc",
        {"meminfo": f"MemAvailable: {8 * 2**20} kB\n", "self/cgroup": "9:cpu:/\n4:memory:/a\n0::/\n"},
    )
    groups = files(
        tmp_path / "groups",
        {"memory/memory.limit_in_bytes": f"{3 * GIB}", "memory/memory.usage_in_bytes": f"{GIB}"},
    )
    assert available_memory(proc, groups) == 2 * GIB


def test_this_machine_has_some_memory() -> None:
    found = available_memory()
    assert found is not None and found > 2**20


def test_numba_is_loaded_only_for_the_sparse_form() -> None:
    code = "import sys, recli.models.ease; print([m for m in ('numba', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
