"""Approximate lists: nearly the exact ones, with the model's own scores; and exact ones where that is better."""

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from recli.data.history import History
from recli.models.kernels.factors import Factors
from recli.ranking import ann, approximate
from recli.ranking.ranked import Ranked
from recli.storage import cache

pytest.importorskip("faiss")

Call = Callable[..., tuple[int, str, str]]
ITEMS, USERS, D = 3000, 300, 12


@pytest.fixture(autouse=True)
def small_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LEAST_ITEMS", "LEAST_USERS"):
        monkeypatch.setattr(approximate, name, 1)


def asked(**given: Any) -> approximate.RankingRequest:
    """Lists of 10 for users whose histories lie in one of 60 clusters of items; item lengths differ fivefold."""
    rng = np.random.default_rng(2)
    centers = rng.normal(size=(60, D))
    items = centers[np.arange(ITEMS) % 60] + rng.normal(size=(ITEMS, D))
    items = (items * rng.uniform(1, 5, size=(ITEMS, 1))).astype(np.float32)
    rows = [60 * rng.permutation(ITEMS // 60)[: 3 + user % 9] + user % 60 for user in range(USERS)]
    ends = np.cumsum([0, *map(len, rows)])
    seen = csr_matrix((np.ones(ends[-1], np.float32), np.concatenate(rows), ends), shape=(USERS, ITEMS))
    users = np.asarray(seen @ items, dtype=np.float32)
    model = Factors(users, items, lambda history: np.asarray(history @ items, dtype=np.float32))
    ties = rng.permutation(ITEMS).astype(np.int32)
    unwrap = approximate.RankingRequest(model, History(seen), seen, None, 10, ties)
    return replace(unwrap, **given)


def found(one: approximate.RankingRequest, target: float = 0.9) -> tuple[Ranked, list[str]]:
    said: list[str] = []
    wanted = approximate.Approximate(target, lambda: ann.build(one.model.item_factors), said.append)  # type: ignore[attr-defined]
    parts = [ranked for _, ranked in approximate.rank_batches(one, wanted)]
    return Ranked(*(np.concatenate([getattr(p, n) for p in parts]) for n in ("items", "scores"))), said


def test_lists_are_nearly_the_exact_ones_with_the_models_scores() -> None:
    one = asked()
    lists, said = found(one)
    exact = one.exact(np.arange(USERS))
    assert approximate.recall_of(lists, exact) >= 0.88  # .9 was asked, of a sample of 200 of these 300
    (line,) = said
    assert line.startswith("approximate search: ") and "exact top 10 (200 users)" in line
    assert float(line.split("find ")[1].split()[0]) >= 0.9
    scores = one.model.score(one.history, np.arange(USERS))
    assert (lists.items >= 0).all() and lists.items.dtype == np.int32
    np.testing.assert_allclose(lists.scores, np.take_along_axis(scores, lists.items, axis=1), rtol=1e-4)
    assert (np.diff(lists.scores, axis=1) <= 0).all()
    assert not any(
        np.isin(row, one.history.values[user].indices).any() for user, row in enumerate(lists.items)
    )
    assert all(np.unique(row).size == 10 for row in lists.items)


def test_a_higher_recall_looks_into_more_lists() -> None:
    def probed(target: float) -> int:
        return int(found(asked(), target)[1][0].split(": ")[1].split()[0])

    assert probed(0.5) < probed(0.97)


def test_recall_is_the_share_of_the_exact_lists() -> None:
    none = np.zeros((2, 3), dtype=np.float32)
    exact = Ranked(np.array([[1, 2, 3], [4, 5, -1]], dtype=np.int32), none)
    lists = Ranked(np.array([[3, 9, 1], [4, 8, -1]], dtype=np.int32), none)
    assert approximate.recall_of(lists, exact) == 3 / 5  # 1 and 3; 4


def test_only_allowed_items_are_listed() -> None:
    allowed = np.arange(ITEMS) % 3 == 0
    lists, said = found(asked(allowed=allowed), 0.6)
    assert said[0].startswith("approximate search")
    assert allowed[lists.items].all()


def test_users_the_index_cannot_serve_get_exact_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    one = asked()
    empty = one.history.keep(
        np.repeat(np.arange(USERS), one.history.sizes) >= 5
    )  # nothing known of the first 5
    one = replace(one, history=empty, seen=empty.values)
    lists, _ = found(one)
    exact = one.exact(np.arange(USERS))
    assert np.array_equal(lists.items[:5], exact.items[:5])
    monkeypatch.setattr(approximate, "LONGEST", 10 + 8)  # users with more than 8 seen items
    lists, _ = found(one)
    long = one.history.sizes > 8
    assert long.sum() > 50 and np.array_equal(lists.items[long], exact.items[long])


def test_lists_are_filled_up_where_too_little_is_found() -> None:
    one = asked(k=200)  # the nearest inverted lists hold fewer
    lists, _ = found(one, 0.5)
    assert (lists.items >= 0).all()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"LEAST_ITEMS": 5000}, "exact search of 3,000 items"),
        ({"LEAST_USERS": 500}, "exact search for 300 lists"),
        ({"LONGEST": 9}, "exact search for the 10 best items"),
        ({"LEAST_SHARE": 0.5}, "exact search of 1,000 allowed items; the index is of all 3,000"),
        ({"_MAX_SHARE_OF_LISTS": 1e-9}, "exact search for all: the index does not find 0.999"),
    ],
)
def test_where_an_index_would_not_help_lists_are_exact_and_it_is_said(
    change: dict[str, float], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in change.items():
        monkeypatch.setattr(approximate, name, value)
    one = asked(allowed=np.arange(ITEMS) % 3 == 0)
    lists, lines = found(one, 0.999)
    assert np.array_equal(lists.items, one.exact(np.arange(USERS)).items)
    assert len(lines) == 1 and lines[0].startswith(said)


def test_an_index_is_the_same_after_it_was_kept(tmp_path: Path) -> None:
    one = asked()
    index = ann.build(one.model.item_factors)  # type: ignore[attr-defined]
    path = tmp_path / "cache" / "index.safetensors"
    assert cache.read_index(path, "this model") is None
    cache.save_index(path, "this model", ann.to_bytes(index))
    assert cache.read_index(path, "another model") is None
    stored = cache.read_index(path, "this model")
    assert stored is not None
    queries = one.model.user_embeddings(one.history)[0]  # type: ignore[attr-defined]
    assert np.array_equal(ann.from_bytes(stored).search(queries, 5, 8), index.search(queries, 5, 8))
    data = bytearray(path.read_bytes())
    data[-100] ^= 1
    path.write_bytes(data)
    assert cache.read_index(path, "this model") is None
    path.write_bytes(data[:50])
    assert cache.read_index(path, "this model") is None


def lists_of(out: str) -> dict[str, list[str]]:
    rows = [json.loads(line) for line in out.splitlines()]
    return {row.get("user_id", row.get("similar_to")): [i["item_id"] for i in row["items"]] for row in rows}


@pytest.fixture
def trained_run(board_run: Path, recli: Call) -> Path:
    recli("train-cf", board_run, "--factors", "8", "--threads", "1")
    return board_run


def test_the_command_keeps_the_index_and_says_what_it_found(
    trained_run: Path, recli: Call, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(approximate, "_MAX_SHARE_OF_LISTS", 1)
    command = ("recommend", trained_run, "-k", "3")
    _, exact, _ = recli(*command)
    _, out, said = recli(*command, "--approximate", "0.9")
    assert "indexing 30 items; kept in" in said and "of the exact top 3 (36 users)" in said
    (kept,) = (trained_run / "cache" / "indexes").iterdir()
    assert kept.name == "ials-items.safetensors"
    wanted, got = lists_of(exact), lists_of(out)
    shared = [len(set(wanted[user]) & set(got[user])) / 3 for user in wanted]
    assert wanted.keys() == got.keys() and np.mean(shared) >= 0.9
    assert "indexing" not in recli(*command, "--approximate", "0.9")[2]
    recli("train-cf", trained_run, "--factors", "4", "--threads", "1")
    assert "indexing" in recli(*command, "--approximate", "0.9")[2]  # it was another model's
    alone = tmp_path / "copied"
    (trained_run / "models" / "ials").rename(alone)
    assert "indexing 30 items\n" in recli("recommend", alone, "--approximate", "0.9")[2]


def test_weighted_histories_and_similar_items_are_dot_products_too(
    trained_run: Path, recli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "_MAX_SHARE_OF_LISTS", 1)
    recli("train-cf", trained_run, "--factors", "8", "--history-half-life", "2", "--name", "recent")
    items = ",".join(f"i{i:03d}" for i in range(9))
    for what in (("--model", "recent"), ("--model", "ials", "--similar-to", items)):
        command = ("recommend", trained_run, "-k", "3", *what)
        wanted, (_, out, said) = lists_of(recli(*command)[1]), recli(*command, "--approximate", "0.99")
        assert "approximate search" in said
        got = lists_of(out)
        assert np.mean([len(set(wanted[who]) & set(got[who])) / 3 for who in wanted]) >= 0.97


def test_what_cannot_be_indexed_is_refused(
    trained_run: Path, recli: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    recli("train-cf", trained_run, "--algorithm", "ease")
    _, _, said = recli("recommend", trained_run, "--model", "ease", "--approximate", "0.9", code=2)
    assert "ease (ease) is no dot product of factors" in said and "--model" in said
    recli("recommend", trained_run, "--approximate", "1.0", code=2)
    monkeypatch.setitem(sys.modules, "faiss", None)
    _, _, said = recli("recommend", trained_run, "--model", "ials", "--approximate", "0.9", code=5)
    assert "--approximate needs faiss, which is not installed" in said and "recli[ann]" in said
