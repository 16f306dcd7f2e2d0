"""A manifest of somebody else names no file outside its part, and stops a command with a line at most."""

import copy
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import edit_manifest

from recli import schema
from recli.errors import RecliError
from recli.models.base import pack_csr, unpack_csr
from recli.storage import atomic, manifests, parts, runs, safetensors_file

Recli = Callable[..., tuple[int, str, str]]

BAD_NAMES = (
    "../x",
    "/etc/passwd",
    "a/b",
    "a\\b",
    "..",
    ".",
    "",
    " ",
    "c:x",
    "nul\0",
    "line\n",
    "x" * 256,
    "*",
)
ODD: tuple[Any, ...] = (None, 0, -1, 1e308, 10**30, "", "x", "../x", [], {}, [1], {"a": 1}, True, [["a"]])


@pytest.mark.parametrize("name", BAD_NAMES)
def test_files_have_plain_names(board_run: Path, name: str) -> None:
    outside = board_run / "x"
    outside.write_text("mine")
    edit_manifest(
        board_run / "interactions", lambda m: m["files"].update({name: atomic.sha256_file(outside)})
    )
    with pytest.raises(RecliError, match="not a plain name"):
        runs.read_interactions(board_run)


def test_inputs_are_plain_names_too(board_run: Path) -> None:
    for name in ("models/../../x", "embeddings/a/b", "models/.."):
        edit_manifest(board_run / "interactions", lambda m, name=name: m.update(inputs={name: "0" * 64}))
        with pytest.raises(RecliError, match="not a part's name"):
            runs.read_interactions(board_run)
    edit_manifest(
        board_run / "interactions", lambda m: m.update(inputs={"models/a": "0", "log/a b (2).csv": "0"})
    )
    runs.read_interactions(board_run)


def test_plain_names() -> None:
    assert not any(map(manifests.is_plain, BAD_NAMES))
    assert all(map(manifests.is_plain, ("a", "a.b", ".a", "ä", "model.safetensors", "a b", "x" * 255)))


def test_a_manifest_has_a_digest_of_itself(board_run: Path) -> None:
    file = board_run / "interactions" / "manifest.json"
    whole = file.read_text()
    file.write_text(whole.replace('"seed": 0', '"seed": 1'))
    with pytest.raises(RecliError, match=r"manifest\.json is not what was written"):
        runs.read_interactions(board_run)
    older = json.loads(whole)
    older.pop("sha256")
    file.write_text(json.dumps(older))
    runs.read_interactions(board_run)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in a manifest."""
    for key in node if isinstance(node, dict) else range(len(node)):
        yield (*path, key)
        if isinstance(node[key], dict | list):
            yield from places(node[key], (*path, key))


@pytest.mark.parametrize("part", ["interactions", "embeddings/v", "models/ials", "models/both"])
def test_no_value_in_a_manifest_ends_in_a_traceback(board_run: Path, recli: Recli, part: str) -> None:
    recli("embed", board_run, "--model", "tfidf", "--name", "v", "-q")
    recli("train-cf", board_run, "--iterations", 1, "--factors", 2, "-q")
    recli("train-hybrid", board_run, "--sources", "ials,content-knn", "--name", "both", "-q")
    manifest = json.loads((board_run / part / "manifest.json").read_text())
    manifest.pop("sha256")
    file, rng = board_run / part / "manifest.json", np.random.default_rng(0)
    commands = {
        "interactions": [lambda: runs.read_interactions(board_run), lambda: runs.read_catalogue(board_run)],
        "embeddings/v": [lambda: runs.read_embeddings(board_run, "v")],
    }.get(part, [lambda: _use_model(board_run / part)])
    tried = 0
    for place in places(manifest):
        for odd in rng.permutation(np.array([*ODD, "delete"], dtype=object))[:4]:
            changed = copy.deepcopy(manifest)
            node = changed
            for key in place[:-1]:
                node = node[key]
            if odd == "delete":
                del node[place[-1]]
            else:
                node[place[-1]] = odd
            file.write_text(json.dumps(changed))
            for command in commands:
                tried += 1
                try:
                    command()
                except RecliError as error:
                    assert "\n" not in error.what
    assert tried > 40


def _use_model(path: Path) -> None:
    stored = runs.read_model(path)
    _ = stored.similar_vectors, stored.item_counts, stored.catalogue
    if stored.model.text_dim:
        _ = stored.encoder


def test_numbers_of_a_model_that_have_no_meaning_are_refused(board_run: Path, recli: Recli) -> None:
    recli("train-cf", board_run, "--algorithm", "popularity", "-q")
    part = board_run / "models" / "popularity"
    for config in ({"history_half_life": -1.0}, {"storage_dtype": "int4"}):
        before = (part / "manifest.json").read_bytes()
        edit_manifest(part, lambda m, config=config: m["config"].update(config))
        with pytest.raises(RecliError, match=f"is damaged.*{next(iter(config))}"):
            runs.read_model(part)
        (part / "manifest.json").write_bytes(before)


CSR_DAMAGES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "a column that is not there": lambda s: s["m.indices"].__setitem__(0, 10**6),
    "a negative column": lambda s: s["m.indices"].__setitem__(0, -1),
    "rows that go back": lambda s: s["m.indptr"].__setitem__(1, 3),
    "rows beyond the values": lambda s: s["m.indptr"].__setitem__(-1, 10**9),
    "a first row that is not the start": lambda s: s["m.indptr"].__setitem__(0, 1),
    "fewer values": lambda s: s.update({"m.data": s["m.data"][:-1]}),
    "fewer rows": lambda s: s.update({"m.indptr": s["m.indptr"][:-1]}),
    "a shape of more": lambda s: s["m.shape"].__setitem__(0, 10**12),
    "a negative shape": lambda s: s["m.shape"].__setitem__(1, -5),
    "columns of floats": lambda s: s.update({"m.indices": s["m.indices"].astype(np.float32)}),
    "two dimensions": lambda s: s.update({"m.data": s["m.data"][None]}),
}


@pytest.mark.parametrize("damage", CSR_DAMAGES)
def test_a_sparse_matrix_is_checked_before_compiled_code_gets_it(damage: str) -> None:
    from scipy.sparse import csr_matrix

    matrix = csr_matrix(np.array([[0, 1, 2], [0, 0, 0], [3, 0, 0]], dtype=np.float32))
    state = {name: array.copy() for name, array in pack_csr("m", matrix).items()}
    assert (unpack_csr("m", state) != matrix).nnz == 0
    CSR_DAMAGES[damage](state)
    with pytest.raises(ValueError, match="m is no sparse matrix"):
        unpack_csr("m", state)


@pytest.mark.parametrize("algorithm", ["ials", "user-knn", "item-knn", "ease", "popularity", "bias"])
def test_a_model_of_other_users_or_items_is_refused(board_run: Path, recli: Recli, algorithm: str) -> None:
    recli("train-cf", board_run, "--algorithm", algorithm, "-q")
    part = board_run / "models" / algorithm
    file = part / "model.safetensors"
    whole = {name: array.copy() for name, array in safetensors_file.read(file).items()}
    for name, array in whole.items():
        if array.ndim and array.shape[0] in (30, 36):  # items, users
            file.unlink()
            safetensors_file.write(file, {**whole, name: np.ascontiguousarray(array[:7])})
            sha256 = atomic.sha256_file(file)
            edit_manifest(part, lambda m, sha256=sha256: m["files"].update({file.name: sha256}))
            with pytest.raises(RecliError, match=r"arrays|damaged"):
                runs.read_model(part)


ROWS: dict[str, Callable[[pl.DataFrame], pl.DataFrame]] = {
    "an item that is not there": lambda t: t.with_columns(item=pl.lit(10**6, pl.Int32)),
    "a negative user": lambda t: t.with_columns(user=pl.lit(-1, pl.Int32)),
    "another order": lambda t: t.reverse(),
    "a missing weight": lambda t: t.with_columns(value=pl.lit(None, pl.Float32)),
    "a weight that is no number": lambda t: t.with_columns(value=pl.lit(float("nan"), pl.Float32)),
    "a weight of 0": lambda t: t.with_columns(value=pl.lit(0, pl.Float32)),
    "users as text": lambda t: t.with_columns(pl.col("user").cast(pl.String)),
    "times as text": lambda t: t.with_columns(pl.col("timestamp").cast(pl.String)),
}


@pytest.mark.parametrize("change", ROWS)
def test_rows_of_interactions_are_checked(board_run: Path, change: str) -> None:
    part = board_run / schema.INTERACTIONS
    file = part / "train.parquet"
    changed = ROWS[change](pl.read_parquet(file))
    changed.write_parquet(file)
    edit_manifest(part, lambda m: m["files"].update({file.name: atomic.sha256_file(file)}))
    with pytest.raises(RecliError, match=r"is damaged: train\.parquet"):
        runs.read_interactions(board_run)


def test_a_catalogue_of_other_items_is_refused(board_run: Path) -> None:
    part = board_run / schema.INTERACTIONS
    file = part / "catalogue.parquet"
    pl.read_parquet(file).head(3).write_parquet(file)
    edit_manifest(part, lambda m: m["files"].update({file.name: atomic.sha256_file(file)}))
    with pytest.raises(RecliError, match="has 3 rows for 30 items"):
        runs.read_catalogue(board_run)


def test_deep_and_strange_manifests(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    file = tmp_path / "part" / "manifest.json"
    for text in (
        "[" * 100_000,
        "9" * 5000,
        '{"kind": NaN}',
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ):
        file.write_text(text, encoding="latin-1")
        with pytest.raises(RecliError, match=r"manifest\.json is not a manifest"):
            parts.open_part(tmp_path / "part", "numbers")
    file.unlink()
    file.mkdir()
    with pytest.raises(RecliError, match=r"manifest\.json is not a file"):
        parts.open_part(tmp_path / "part", "numbers")
