"""Every metric by hand, against second implementations, and by its properties."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from recli.errors import UsageError
from recli.metrics import ndcg_at
from recli.metrics.accuracy import auc_of, hits_of
from recli.metrics.base import EvaluatedLists, TestSet, metrics, parse_metric, parse_metrics
from recli.metrics.positions import by_compiled_code, by_numpy, counter
from recli.metrics.ratings import errors_of
from recli.schema import CSR, Float32
from recli.steps.evaluate.slices import ALL, MetricValue, measure, slices_of, thirds
from recli.steps.evaluate.test_set import evaluate_lists


def sparse(rows: list[list[int]], n_items: int) -> CSR:
    made = np.zeros((len(rows), n_items), dtype=np.float32)
    for row, items in enumerate(rows):
        made[row, items] = 1
    return csr_matrix(made)


def make_set(
    relevant: list[list[int]],
    n_items: int = 8,
    seen: list[list[int]] | None = None,
    counts: list[int] | None = None,
    n_training_users: int = 16,
    allowed: list[bool] | None = None,
    vectors: "Float32 | CSR | None" = None,
) -> TestSet:
    popular = np.array(counts if counts is not None else [1] * n_items, dtype=np.int64)
    return TestSet(
        users=np.arange(len(relevant), dtype=np.int64),
        relevant=sparse(relevant, n_items),
        seen=sparse(seen if seen is not None else [[] for _ in relevant], n_items),
        counts=popular,
        n_training_users=n_training_users,
        cold=popular == 0,
        ties=np.arange(n_items, dtype=np.int32),
        allowed=None if allowed is None else np.array(allowed),
        vectors=vectors,
    )


def evaluated(ranked: list[list[int]], on: TestSet) -> EvaluatedLists:
    return evaluate_lists(on, np.array(ranked, dtype=np.int32))


def value(name: str, of: EvaluatedLists) -> list[float]:
    found = metrics[name].function(of)
    assert isinstance(found, np.ndarray) and found.dtype == np.float64
    return [round(float(v), 12) for v in found]


def whole(name: str, of: EvaluatedLists) -> float:
    found = metrics[name].function(of)
    assert isinstance(found, float)
    return found


def the(label: str, figures: list[MetricValue], name: str = "all") -> MetricValue:
    return next(f for f in figures if f.spec.label == label and f.part.name == name)


# Three users, lists of four. User 0: hits at places 1 and 3 of 3 test items. User 1: none of 1.
# User 2: a hit at place 2 of 6 test items, the list has two items only.
RELEVANT = [[0, 2, 7], [5], [1, 2, 3, 4, 5, 6]]
RANKED = [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1, -1, -1]]


@pytest.fixture
def three() -> EvaluatedLists:
    return evaluated(RANKED, make_set(RELEVANT))


def rounded(*values: float) -> list[float]:
    return [round(v, 12) for v in values]


def test_hits(three: EvaluatedLists) -> None:
    assert three.hits.tolist() == [
        [True, False, True, False],
        [False, False, False, False],
        [False, True, False, False],
    ]
    assert three.relevant.tolist() == [3, 1, 6]


def test_ndcg(three: EvaluatedLists) -> None:
    ideal_3 = 1 / math.log2(2) + 1 / math.log2(3) + 1 / math.log2(4)
    ideal_4 = ideal_3 + 1 / math.log2(5)  # six test items, but only four places
    expected = rounded((1 / math.log2(2) + 1 / math.log2(4)) / ideal_3, 0, (1 / math.log2(3)) / ideal_4)
    assert value("ndcg", three) == expected
    assert [round(v, 12) for v in ndcg_at(three.ranked, three.test_set.relevant)] == expected


def test_ndcg_of_a_row_without_relevant_items_is_0() -> None:
    assert ndcg_at(np.array([[0, 1]], dtype=np.int32), sparse([[]], 3)).tolist() == [0.0]
    assert ndcg_at(np.empty((0, 2), dtype=np.int32), sparse([], 3).reshape(0, 3)).shape == (0,)


def test_precision_counts_empty_places(three: EvaluatedLists) -> None:
    assert value("precision", three) == [2 / 4, 0, 1 / 4]


def test_recall(three: EvaluatedLists) -> None:
    assert value("recall", three) == rounded(2 / 3, 0, 1 / 6)


def test_hit_rate(three: EvaluatedLists) -> None:
    assert value("hit-rate", three) == [1, 0, 1]


def test_mrr(three: EvaluatedLists) -> None:
    assert value("mrr", three) == [1 / 1, 0, 1 / 2]


def test_map_divides_by_what_fits_into_the_list(three: EvaluatedLists) -> None:
    # user 0: precision 1/1 at place 1 and 2/3 at place 3, over min(4, 3); user 2: 1/2, over min(4, 6)
    assert value("map", three) == rounded((1 / 1 + 2 / 3) / 3, 0, (1 / 2) / 4)


def test_cutting_lists_is_measuring_shorter_ones(three: EvaluatedLists) -> None:
    assert value("precision", three.cut(2)) == [1 / 2, 0, 1 / 2]
    assert value("ndcg", three.cut(1)) == [1, 0, 0]


def test_auc_by_hand() -> None:
    # candidates .9 .8 .5 .5 .1 (item 5 is masked); positives .8 and .5: of 3 negatives .9 .5 .1,
    # .8 beats 2; .5 beats 1 and ties with 1: (2 + 1 + 1/2) / (2 * 3)
    scores = np.array([[0.9, 0.8, 0.5, 0.5, 0.1, -np.inf]], dtype=np.float32)
    assert auc_of(scores, sparse([[1, 2]], 6)).tolist() == [pytest.approx(3.5 / 6)]


def test_auc_edges() -> None:
    scores = np.array([[1, 2, 3]] * 4, dtype=np.float32)
    scores[3, 0] = -np.inf  # a positive that cannot be listed outranks nothing
    found = auc_of(scores, sparse([[], [0, 1, 2], [2], [0, 2]], 3))
    assert np.isnan(found[:2]).all()  # no positive; no negative
    assert found[2] == 1.0
    assert found[3] == pytest.approx((0 + 1) / 2)


@pytest.mark.parametrize("positives", [3, 40])  # few are counted, many are found in the sorted row
def test_auc_agrees_with_sklearn(positives: int) -> None:
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(3)
    scores = rng.integers(0, 30, (20, 200)).astype(np.float32)
    relevant = [sorted(rng.choice(200, positives, replace=False).tolist()) for _ in range(20)]
    for row, mine in enumerate(relevant):
        masked = rng.permutation(np.setdiff1d(np.arange(200), mine))[:50]
        scores[row, masked] = -np.inf
    found = auc_of(scores, sparse(relevant, 200))
    for row, mine in enumerate(relevant):
        candidates = np.isfinite(scores[row])
        truth = np.isin(np.arange(200), mine)[candidates]
        assert found[row] == pytest.approx(roc_auc_score(truth, scores[row, candidates]), abs=1e-9)


@pytest.mark.parametrize(
    "positives", [3, 60]
)  # few are counted by machine code, many are found in the sorted row
def test_machine_code_counts_as_numpy_does(positives: int) -> None:
    rng = np.random.default_rng(4)
    scores = rng.integers(0, 30, (9, 200)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.2] = -np.inf
    relevant = [sorted(rng.choice(200, n, replace=False).tolist()) for n in (positives, 0, 1) * 3]
    made = sparse(relevant, 200)
    np.testing.assert_array_equal(auc_of(scores, made, by_compiled_code), auc_of(scores, made, by_numpy))
    # 100,000 users of 4.5 test items among 20,000 items are worth compiling for, a sample's are not
    assert counter(450_000, 20_000) is by_compiled_code and counter(1_000, 400) is by_numpy


def test_coverage_and_gini_of_all_lists_together() -> None:
    of = evaluated([[0, 1], [0, -1]], make_set([[0], [0]], n_items=4))
    assert whole("coverage", of) == 2 / 4
    # listed 0, 0, 1, 2 times: sum of (2i - n - 1) x = (2*3-5)*1 + (2*4-5)*2 = 7, over n * total = 4 * 3
    assert whole("gini", of) == pytest.approx(7 / 12)
    even = evaluated([[0, 1], [2, 3]], make_set([[0], [0]], n_items=4))
    assert (whole("coverage", even), whole("gini", even)) == (1.0, 0.0)
    assert metrics["gini"].function(evaluated([[-1]], make_set([[0]]))) is None


def test_coverage_is_of_what_may_be_recommended() -> None:
    of = evaluated([[0, 1]], make_set([[0]], n_items=4, allowed=[True, True, False, False]))
    assert whole("coverage", of) == 2 / 2


def test_novelty_in_bits() -> None:
    of = evaluated(
        [[0, 1], [2, -1], [-1, -1]], make_set([[0]] * 3, n_items=3, counts=[16, 4, 0], n_training_users=16)
    )
    found = value("novelty", of)
    assert found[0] == (0 + 2) / 2  # -log2(16/16) and -log2(4/16)
    assert found[1] == 4  # nobody had it: as if one of 16 had
    assert math.isnan(found[2])


def test_serendipity_leaves_out_what_popularity_lists() -> None:
    counts = [9, 8, 7, 6, 5, 4, 3, 2]
    # k = 2. User 0 has seen nothing: popularity lists 0, 1; the hit on 1 is obvious, that on 5 is not.
    # User 1 has seen 0: popularity lists 1, 2; both hits are obvious. User 2 has seen 0, 1: 2, 3.
    on = make_set([[1, 5], [1, 2], [4]], seen=[[], [0], [0, 1]], counts=counts)
    assert value("serendipity", evaluated([[5, 1], [2, 1], [4, 3]], on)) == [1 / 2, 0, 1 / 2]


def test_serendipity_where_only_some_items_may_be_recommended() -> None:
    on = make_set([[1, 3]], n_items=4, counts=[9, 8, 7, 6], allowed=[False, True, False, True])
    assert value("serendipity", evaluated([[1, 3]], on)) == [
        0
    ]  # 1 and 3 are the two most popular ones allowed
    assert value("serendipity", evaluated([[3]], on)) == [1]


def test_popularity_bias_is_a_ratio_of_mean_popularities() -> None:
    on = make_set([[0], [0], [0]], counts=[8, 2, 1, 1, 1, 1, 1, 1], seen=[[1, 2], [0], []])
    of = evaluated([[0, 1], [1, -1], [0, -1]], on)
    found = value("popularity-bias", of)
    assert found[:2] == rounded(((8 + 2) / 2) / ((2 + 1) / 2), 2 / 8)
    assert math.isnan(found[2])  # no history
    figure = the("popularity-bias@2", measure(of, parse_metrics(["popularity-bias@2"]), [ALL]))
    assert figure.value == pytest.approx((5 + 2) / (1.5 + 8)) and figure.users == 2


def test_diversity_of_dense_and_sparse_vectors() -> None:
    half = math.sqrt(0.5)
    vectors = np.array([[1, 0], [0, 1], [half, half], [0, 0]], dtype=np.float32)
    ranked = [[0, 1, 2], [0, 1, 3], [0, 3, -1]]
    # pairs 0-1: 1 - 0; 0-2 and 1-2: 1 - .7071; item 3 has no vector: one pair is left, then none
    for given_vectors in (vectors, csr_matrix(vectors)):
        of = evaluated(ranked, make_set([[0]] * 3, n_items=4, vectors=given_vectors))
        found = value("diversity", of)
        assert found[0] == pytest.approx((1 + 2 * (1 - half)) / 3, abs=1e-6)
        assert found[1] == pytest.approx(1)
        assert math.isnan(found[2])
    assert metrics["diversity"].function(evaluated(ranked, make_set([[0]] * 3))) is None


def test_diversity_is_the_same_by_both_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((30, 5)).astype(np.float32)
    vectors[7] = 0
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
    ranked = np.stack([rng.permutation(30)[:6] for _ in range(700)]).astype(np.int32)
    ranked[3, 4:] = -1
    of = evaluate_lists(make_set([[0]] * 700, n_items=30, vectors=vectors), ranked)
    by_pairs = value("diversity", of)
    monkeypatch.setattr("recli.metrics.beyond_accuracy._MAX_ITEMS", 1)
    np.testing.assert_allclose(value("diversity", of), by_pairs, atol=1e-5)


def test_rmse_and_mae_over_pairs() -> None:
    from sklearn.metrics import mean_absolute_error, root_mean_squared_error

    rng = np.random.default_rng(0)
    users, predicted, rated = rng.integers(0, 3, 50), rng.normal(3, 1, 50), rng.integers(1, 6, 50) * 1.0
    of = evaluated([[0]] * 4, make_set([[0]] * 4))
    of = EvaluatedLists(
        of.test_set, of.ranked, of.hits, of.relevant, errors=errors_of(4, users, predicted, rated)
    )
    figures = measure(of, parse_metrics(["rmse,mae"]), [ALL])
    assert the("rmse", figures).value == pytest.approx(root_mean_squared_error(rated, predicted), abs=1e-9)
    assert the("mae", figures).value == pytest.approx(mean_absolute_error(rated, predicted), abs=1e-9)
    assert the("rmse", figures).users == 3  # the fourth user has no pair
    assert not measure(evaluated([[0]], make_set([[0]])), parse_metrics(["rmse"]), [ALL])


def random_lists(seed: int, n: int = 60, n_items: int = 40, k: int = 10) -> EvaluatedLists:
    rng = np.random.default_rng(seed)
    relevant = [sorted(rng.choice(n_items, rng.integers(1, 16), replace=False).tolist()) for _ in range(n)]
    ranked = np.stack([rng.permutation(n_items)[:k] for _ in range(n)]).astype(np.int32)
    for row in range(0, n, 7):
        ranked[row, rng.integers(0, k) :] = -1
    return evaluate_lists(make_set(relevant, n_items, counts=rng.integers(0, 9, n_items).tolist()), ranked)


def as_dicts(of: EvaluatedLists) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """Test items and lists as trec_eval wants them."""
    qrels = {
        f"u{u}": {f"i{i}": 1 for i in of.test_set.relevant[u].indices} for u in range(of.test_set.n_users)
    }
    run = {
        f"u{u}": {f"i{i}": float(100 - place) for place, i in enumerate(row) if i >= 0}
        for u, row in enumerate(of.ranked)
    }
    return qrels, run


def over_all_relevant(of: EvaluatedLists, k: int) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    """What turns our average precision, over min(k, test items), into theirs, over all test items."""
    return np.minimum(of.relevant, k) / of.relevant


@pytest.mark.parametrize("k", [3, 10])
def test_agrees_with_ir_measures(k: int) -> None:
    import ir_measures
    from ir_measures import AP, RR, P, R, Success, nDCG

    of = random_lists(k).cut(k)
    theirs = {
        nDCG @ k: "ndcg",
        P @ k: "precision",
        R @ k: "recall",
        RR @ k: "mrr",
        Success @ k: "hit-rate",
        AP @ k: "map",
    }
    qrels, run = as_dicts(of)
    found = {name: np.zeros(of.test_set.n_users) for name in theirs.values()}
    for row in ir_measures.iter_calc(list(theirs), qrels, run):
        found[theirs[row.measure]][int(row.query_id[1:])] = row.value
    for name, values in found.items():
        mine = np.array(value(name, of))
        mine = mine * over_all_relevant(of, k) if name == "map" else mine
        np.testing.assert_allclose(mine, values, atol=1e-6, err_msg=name)


@pytest.mark.slow  # ranx compiles its metrics with numba
def test_agrees_with_ranx() -> None:
    from ranx import Qrels, Run, evaluate

    of = random_lists(1)
    qrels, run = as_dicts(of)
    run = {user: items or {"none": 0.0} for user, items in run.items()}  # ranx refuses empty lists
    names = {"ndcg@10": "ndcg", "precision@10": "precision", "recall@10": "recall", "mrr@10": "mrr"}
    names |= {"hit_rate@10": "hit-rate", "map@10": "map"}
    found = evaluate(Qrels(qrels), Run(run), list(names), return_mean=False, make_comparable=True)
    users = sorted(qrels)  # as ranx orders them
    for theirs, name in names.items():
        mine = np.array(value(name, of))
        mine = mine * over_all_relevant(of, 10) if name == "map" else mine
        by_user = {f"u{u}": v for u, v in enumerate(mine)}
        np.testing.assert_allclose([by_user[u] for u in users], found[theirs], atol=1e-6, err_msg=name)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6), k=st.integers(1, 10))
def test_bounds_and_order_of_users(seed: int, k: int) -> None:
    of = random_lists(seed, n=12).cut(k)
    turned = evaluate_lists(
        TestSet(
            of.test_set.users,
            of.test_set.relevant[::-1].tocsr(),
            of.test_set.seen,
            of.test_set.counts,
            16,
            of.test_set.cold,
            of.test_set.ties,
        ),
        of.ranked[::-1].copy(),
    )
    for name in ("ndcg", "precision", "recall", "hit-rate", "mrr", "map"):
        mine = np.array(value(name, of))
        assert ((mine >= 0) & (mine <= 1)).all()
        np.testing.assert_array_equal(mine[::-1], value(name, turned))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_the_best_list_gets_1_and_moving_a_hit_up_never_hurts(seed: int) -> None:
    rng = np.random.default_rng(seed)
    relevant = sorted(rng.choice(20, 4, replace=False).tolist())
    others = [i for i in range(20) if i not in relevant]
    on = make_set([relevant], n_items=20)
    best = evaluated([relevant + others[:2]], on)
    for name in ("ndcg", "recall", "hit-rate", "mrr", "map"):
        assert value(name, best) == [1.0]
    row = rng.permutation(20)[:6].tolist()
    place = next((p for p in range(1, 6) if row[p] in relevant and row[p - 1] not in relevant), None)
    if place is not None:
        better = list(row)
        better[place - 1], better[place] = row[place], row[place - 1]
        for name in ("ndcg", "map", "mrr", "precision"):
            assert value(name, evaluated([better], on)) >= value(name, evaluated([row], on))


def test_hits_ignore_padding_of_item_minus_1() -> None:
    # -1 of user 1 must not be taken for the last item of user 0
    assert not hits_of(np.array([[0], [-1]], dtype=np.int32), sparse([[2], [0]], 3)).any()


def test_slices_share_out_users_and_items() -> None:
    on = make_set(
        [[0, 7], [1], [6], [7]],
        seen=[[], [0, 2, 3, 4, 5], [0], [1, 2]],
        counts=[6, 3, 2, 1, 0, 0, 0, 0],
    )
    parts = slices_of(on)
    assert [p.name for p in parts] == [
        "all",
        "0",
        "1-4",
        "5-9",
        "warm in all",
        "cold in all",
        "cold items only",
        "head",
        "mid",
    ]
    users = [p.users for p in parts if p.users is not None]
    assert sum(u.astype(int) for u in users).tolist() == [1, 1, 1, 1]
    of = evaluated([[0, 1], [1, 2], [0, 6], [2, 3]], on)
    figures = measure(of, parse_metrics(["recall@2"]), parts)
    by_name = {f.part.name: (f.value, f.users) for f in figures}
    # users 0..3 have recall 1/2, 1, 1, 0
    assert by_name["all"] == (2.5 / 4, 4)
    assert by_name["0"] == (0.5, 1) and by_name["1-4"] == ((1 + 0) / 2, 2) and by_name["5-9"] == (1, 1)
    weighted = sum(by_name[s][0] * by_name[s][1] for s in ("0", "1-4", "5-9"))
    assert weighted / 4 == by_name["all"][0]
    # warm: user 0 finds item 0, user 1 finds item 1; cold: user 0 misses 7, user 2 finds 6, user 3 misses 7
    assert by_name["warm in all"] == (1.0, 2) and by_name["cold in all"] == (pytest.approx(1 / 3), 3)
    assert "cold items only" not in by_name  # lists alone do not tell how cold items rank among themselves
    assert by_name["head"] == (1.0, 1) and by_name["mid"] == (1.0, 1)


def test_thirds_of_events() -> None:
    # 12 events: item 0 has 4 (the first third), 1 and 2 have 2 each, 3..6 one each, 7 is cold
    found = thirds(make_set([[0]], counts=[4, 2, 2, 1, 1, 1, 1, 0]))
    assert {name: np.flatnonzero(mask).tolist() for name, mask in found.items()} == {
        "head": [0],
        "mid": [1, 2],
        "tail": [3, 4, 5, 6],
    }


def test_slices_of_items_leave_out_what_is_not_about_test_items() -> None:
    of = evaluated([[0, 1]], make_set([[0]], counts=[3, 2, 1, 1, 1, 1, 1, 1]))
    figures = measure(of, parse_metrics(["novelty@2", "coverage@2", "auc", "ndcg@2"]), slices_of(of.test_set))
    assert {f.spec.label for f in figures if f.part.items is not None} == {"ndcg@2"}
    assert [f.spec.label for f in figures if f.part is ALL] == [
        "novelty@2",
        "coverage@2",
        "ndcg@2",
    ]  # no auc


def test_metric_names() -> None:
    assert [a.label for a in parse_metrics(["ndcg@10, auc", "ndcg@10,map"])] == ["ndcg@10", "auc", "map@20"]
    for wrong in ("ndgc@10", "ndcg@", "ndcg@0", "ndcg@x", "ndcg@1001", "auc@10", "ndcg@-1", "@10"):
        with pytest.raises(UsageError):
            parse_metric(wrong)
    assert all(m.help and m.family in ("accuracy", "beyond accuracy", "ratings") for m in metrics)
