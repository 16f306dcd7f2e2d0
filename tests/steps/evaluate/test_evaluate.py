"""`recli evaluate` from the outside: what it prints, writes, refuses, and exits with."""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import checkerboard, edit_manifest, write_board

from recli.config import to_dict
from recli.data.history import History
from recli.models.base import Model, Training, algorithms
from recli.schema import Float32, Int64, State
from recli.steps.evaluate.bootstrap import holm
from recli.steps.evaluate.config import EvaluateConfig
from recli.steps.evaluate.step import evaluate
from recli.storage import parts, runs

Recli = Callable[..., tuple[int, str, str]]


@dataclass(frozen=True)
class Perfect(Model):
    """Knows the test split: a model whose figures can be told without a computer."""

    scores: Float32  # (n_users, n_items)
    histories: Float32  # (n_users, n_items): cold users are known by what they did

    def score(self, history: History, users: Int64 | None = None) -> Float32:
        assert users is not None
        rows = (history.values.toarray()[:, None, :] == self.histories[None]).all(axis=2).argmax(axis=1)
        # users without a training event, the last ones of the board's three blocks, have no row number here
        np.testing.assert_array_equal(users < 0, np.isin(rows, [11, 23, 35]))
        return self.scores[np.where(users >= 0, users, rows)]

    def state(self) -> State:
        return {"scores": self.scores, "histories": self.histories}

    def predict_ratings(self, users: Int64, items: Int64) -> Float32:
        return np.full(len(items), 3, dtype=np.float32)


@dataclass(frozen=True)
class PerfectConfig:
    pass


@pytest.fixture
def perfect() -> Any:
    """An algorithm `perfect` in the registry, for the time of a test."""
    from recli.models.base import Algorithm

    tuple(algorithms)  # loads the others first

    def load(config: PerfectConfig, state: State) -> Perfect:
        return Perfect(state["scores"], state["histories"])

    made = Algorithm("perfect", "for tests", PerfectConfig, lambda c, t: load(c, {}), load)
    algorithms.add("perfect", made)
    yield made
    del algorithms._things["perfect"]


@pytest.fixture
def run(board_run: Path) -> Path:
    """The board with a popularity model."""
    train(board_run, "popularity", "popularity")
    return board_run


def train(run: Path, algorithm: str, name: str, splits: tuple[str, ...] = ("train",), **options: Any) -> None:
    found = algorithms[algorithm]
    config = found.config(**options)
    model = found.fit(config, Training(matrix=runs.read_interactions(run).matrix(*splits)))
    runs.write_model(run, name, algorithm, to_dict(config), model, seed=0, trained_on=splits)


def cheat(run: Path, name: str = "perfect", scores: Float32 | None = None) -> None:
    """A model that scores the test items 1 and all others 0, or as given."""
    made = runs.read_interactions(run)
    truth = made.matrix("test").toarray() if scores is None else scores
    runs.write_model(run, name, "perfect", {}, Perfect(truth, made.history().values.toarray()), seed=0)


def lists(path: Path, rows: list[tuple[str, str]]) -> Path:
    path.write_text("user_id,item_id\n" + "".join(f"{u},{i}\n" for u, i in rows), encoding="utf-8")
    return path


def digest(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def test_the_story(run: Path, recli: Recli, perfect: Any) -> None:
    cheat(run)
    _, out, err = recli("evaluate", run)
    assert out == f"{run}\n"
    for words in (
        "Accuracy",
        "Beyond accuracy",
        "ndcg@10: uncertainty",
        "against perfect",
        "ndcg@10 by slice",
    ):
        assert words in err
    for words in ("warm in all", "cold in all", "cold items only", "history: 5-9", "popularity: head"):
        assert words in err
    for words in ("Full ranking of the 30 items", "36 users with items", "min(k, test items)", "bootstrap"):
        assert words in err
    part = parts.open_part(run / "metrics", "metrics")
    metrics = part.table("metrics")
    assert metrics.columns == ["model", "metric", "k", "slice_kind", "slice", "value", "low", "high", "users"]
    whole = metrics.filter(pl.col("slice_kind") == "all")
    best = whole.filter(model="perfect", metric="ndcg", k=10).row(0, named=True)
    assert (best["value"], best["low"], best["high"], best["users"]) == (1.0, 1.0, 1.0, 36)
    # a third of the users has two test items, the others one: (12 * 2 + 24 * 1) / 36 places of ten
    assert whole.filter(model="perfect", metric="precision", k=10)["value"][0] == pytest.approx(48 / 360)
    per_user = part.table("per_user")
    assert per_user.columns == ["model", "user_id", "metric", "k", "value"]
    mine = per_user.filter(model="popularity", metric="recall", k=20)
    assert mine.height == 36 and mine["user_id"][0] == "u000"
    assert mine["value"].mean() == pytest.approx(
        whole.filter(model="popularity", metric="recall", k=20)["value"][0]
    )
    comparisons = part.table("comparisons")
    row = comparisons.filter(metric="ndcg", k=10).row(0, named=True)
    assert (
        (row["model"], row["baseline"]) == ("popularity", "perfect") and row["high"] < 0 and row["p"] < 0.01
    )
    assert set(part.manifest["inputs"]) == {"interactions", "models/perfect", "models/popularity"}
    assert part.summary["protocol"][0].startswith("Full ranking")


def test_json_is_one_document_with_everything(run: Path, recli: Recli) -> None:
    _, out, _ = recli("evaluate", run, "--json", "--metrics", "ndcg@5,coverage", "--samples", 50)
    found = json.loads(out)
    assert found["run"] == str(run) and list(found["models"]["popularity"]) == ["ndcg@5", "coverage@20"]
    figure = found["models"]["popularity"]["ndcg@5"]
    assert figure["low"] <= figure["value"] <= figure["high"] and figure["users"] == 36
    assert found["models"]["popularity"]["coverage@20"]["low"] is None
    assert found["data"]["users evaluated"] == 36 and found["data"]["cold items"] == 3
    assert found["slices"] and found["protocol"] and found["gates"] == []


def test_metrics_that_are_asked_are_the_ones_that_are_stored(run: Path, recli: Recli) -> None:
    recli("evaluate", run, "--metrics", "mrr@3", "--metrics", "recall@2,serendipity@2")
    found = parts.open_part(run / "metrics", "metrics").table("metrics").filter(slice_kind="all")
    assert list(zip(found["metric"], found["k"], strict=True)) == [
        ("mrr", 3),
        ("recall", 2),
        ("serendipity", 2),
    ]


def test_models_can_be_chosen(run: Path, recli: Recli, perfect: Any) -> None:
    cheat(run)
    _, out, _ = recli("evaluate", run, "--models", "perfect", "--json")
    assert list(json.loads(out)["models"]) == ["perfect"]
    _, _, err = recli("evaluate", run, "--models", "perfect,nothing", code=2)
    assert "there is no model 'nothing'" in err and "popularity" in err


def test_compare_names_the_baseline(run: Path, recli: Recli, perfect: Any) -> None:
    cheat(run)
    _, out, _ = recli("evaluate", run, "--compare", "popularity", "--json")
    assert {c["baseline"] for c in json.loads(out)["comparisons"]} == {"popularity"}
    _, _, err = recli("evaluate", run, "--compare", "ghost", code=2)
    assert "'ghost', which is not evaluated" in err


def test_equal_models_do_not_differ(run: Path, recli: Recli) -> None:
    train(run, "popularity", "twin")
    _, out, _ = recli("evaluate", run, "--json")
    for row in json.loads(out)["comparisons"]:
        assert (row["difference"], row["p"]) == (0, 1.0) and row["low"] <= 0 <= row["high"]


def test_validation_split(run: Path, recli: Recli) -> None:
    _, out, err = recli("evaluate", run, "--split", "validation", "--json")
    found = json.loads(out)
    assert (
        found["data"]["users evaluated"] == 33 and "train, history" in err
    )  # three cold users have no validation
    train(run, "popularity", "refit", splits=("train", "validation"))
    _, out, err = recli("evaluate", run, "--split", "validation", "--json")
    assert (
        list(json.loads(out)["models"]) == ["popularity"]
        and "refit was trained on the validation split and cannot be evaluated on it: it is left out" in err
    )
    _, _, err = recli("evaluate", run, "--split", "validation", "--models", "refit", code=1)
    assert "cannot be evaluated on it" in err
    recli("evaluate", run, "--models", "refit")  # by the test split it can


def test_warm_candidates(run: Path, recli: Recli, perfect: Any) -> None:
    cheat(run)
    _, out, _ = recli("evaluate", run, "--candidates", "warm", "--metrics", "recall@10,coverage@10", "--json")
    found = json.loads(out)
    assert found["data"]["events to predict"] == 36 and any(
        "27 items with a training" in p for p in found["protocol"]
    )
    assert any("12 test events on cold items" in p for p in found["protocol"])
    assert not [s for s in found["slices"] if "cold" in s["slice"]]


def test_samples_confidence_and_seed(run: Path, recli: Recli) -> None:
    def figure(*options: object) -> Any:
        _, out, _ = recli("evaluate", run, "--metrics", "ndcg@10", "--json", *options)
        return json.loads(out)["models"]["popularity"]["ndcg@10"]

    base, narrow, none, seeded = (
        figure(*options) for options in ((), ("--confidence", 0.5), ("--samples", 0), ("--seed", 5))
    )
    assert base["high"] - base["low"] > narrow["high"] - narrow["low"] > 0
    assert none["low"] is None and none["value"] == base["value"]
    assert (seeded["low"], seeded["high"]) != (base["low"], base["high"])
    recli("evaluate", run, "--confidence", 1, code=2)


def test_quality_gates(run: Path, recli: Recli, perfect: Any) -> None:
    cheat(run)
    recli(
        "evaluate", run, "--fail-under", "perfect:ndcg@10=1", "--fail-under", "recall@10=0.0001,hit-rate@3=0"
    )
    _, out, err = recli("evaluate", run, "--fail-under", "ndcg@10=0.999", "--json", code=4)
    assert "1 of 2 quality gates not met: popularity: ndcg@10 is 0." in err and "below 0.999" in err
    assert "perfect: ndcg@10" not in err.split("error:")[1]
    found = json.loads(out)  # printed and written all the same
    assert [(g["model"], g["met"]) for g in found["gates"]] == [("perfect", True), ("popularity", False)]
    stored = parts.open_part(run / "metrics", "metrics")
    assert stored.summary["gates"] == found["gates"]


def test_a_gates_metric_is_measured_though_not_asked(run: Path, recli: Recli) -> None:
    _, out, _ = recli("evaluate", run, "--metrics", "auc", "--fail-under", "recall@7=0", "--json")
    assert "recall@7" in json.loads(out)["models"]["popularity"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--metrics", "ndgc@10"), "unknown metric 'ndgc'"),
        (("--metrics", "ndcg@0"), "ndcg@K"),
        (("--metrics", " , "), "names no metric"),
        (("--metrics", "ndcg@31"), "the catalogue has only 30 items"),
        (("--fail-under", "ndcg@10"), "[NAME:]METRIC=NUMBER"),
        (("--fail-under", "rmse=1"), "less is better"),
        (("--fail-under", "ghost:ndcg@10=0"), "'ghost', which is not evaluated"),
        (("--models", ","), "names no model"),
        (("--models", "none"), "there is no model 'none'"),
        (("--name", "models"), "cannot name the metrics"),
        (("--name", "../x"), "cannot name the metrics"),
        (("--embeddings", "ghost"), "there are no vectors 'ghost'"),
        (("--recommendations", "=x.csv"), "FILE or NAME=FILE"),
        (("--recommendations", "popularity=x.csv"), "both a model and a list"),
        (("--recommendations", "a/x.csv", "--recommendations", "b/x.csv"), "two lists are called 'x'"),
        (("--report", "."), "is a directory"),
    ],
)
def test_usage_errors(run: Path, recli: Recli, options: tuple[str, ...], words: str) -> None:
    _, out, err = recli("evaluate", run, *options, code=2)
    assert words in " ".join(err.split()) and out == "" and not (run / "metrics").exists()


def test_what_is_missing_is_said(board_run: Path, tmp_path: Path, recli: Recli) -> None:
    _, _, err = recli("evaluate", board_run, code=1)
    assert "no model to evaluate" in err and "recli train-cf" in err
    _, _, err = recli("evaluate", tmp_path / "nowhere", code=1)
    assert "recli prepare" in err
    recli("evaluate", code=2)


def test_a_run_without_a_test_split(tmp_path: Path, recli: Recli) -> None:
    board = checkerboard()
    board.splits["test"] = board.splits["test"].clear()
    run = write_board(tmp_path / "run", board)
    train(run, "popularity", "popularity")
    _, _, err = recli("evaluate", run, code=1)
    assert "no user has an item to predict in the test split" in err


def test_models_of_other_interactions_are_refused(run: Path, tmp_path: Path, recli: Recli) -> None:
    write_board(run, checkerboard(seed=8))
    _, _, err = recli("evaluate", run, code=1)
    assert "made from other interactions" in err and "train popularity again" in err
    assert "no model of" in err


def test_a_stale_model_is_left_out_with_the_command_that_makes_it_again(run: Path, recli: Recli) -> None:
    write_board(run, checkerboard(seed=8))
    train(run, "popularity", "fresh")
    _, out, err = recli("evaluate", run, "--json")
    assert list(json.loads(out)["models"]) == ["fresh"]
    assert "the model popularity was made from other interactions than the run has now: it is left out" in err
    assert f"recli train-cf {run} --algorithm popularity --name popularity" in err
    _, _, err = recli("evaluate", run, "--models", "popularity", code=1)
    assert "made from other interactions" in err


def test_only_a_model_that_is_not_installed(run: Path, recli: Recli) -> None:
    for model in (run / "models").iterdir():
        edit_manifest(model, lambda manifest: manifest["config"].update(algorithm="gone"))
    _, _, err = recli("evaluate", run, "--models", "popularity", code=1)
    assert "'gone'" in err
    for model in list((run / "models").iterdir()):
        if model.name != "popularity":
            shutil.rmtree(model)
    _, _, err = recli("evaluate", run, code=1)
    assert "no model of" in err and "install their packages, or train one" in err and "--split" not in err


def test_holm_multiplies_the_smallest_p_most() -> None:
    assert holm([0.03, None, 0.01, 0.04]) == pytest.approx([0.06, None, 0.03, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.02]) == [0.02] and holm([]) == []


def test_p_values_are_corrected_for_the_number_of_comparisons(run: Path, recli: Recli) -> None:
    train(run, "item-knn", "knn")
    train(run, "ease", "ease")
    _, out, err = recli("evaluate", run, "--models", "popularity,knn,ease", "--json")
    rows = [row for row in json.loads(out)["comparisons"] if row["metric"] == "ndcg" and row["k"] == 10]
    p = sorted(row["p"] for row in rows)
    assert len(rows) == 2
    assert sorted(row["p_holm"] for row in rows) == [min(1, 2 * p[0]), max(min(1, 2 * p[0]), p[1])]
    assert "p (Holm)" in err
    _, _, err = recli("evaluate", run, "--models", "popularity,knn")
    assert "p (Holm) " not in err.split("uncertainty")[1].split("by slice")[0], "one comparison needs none"


@pytest.mark.parametrize(
    ("gate", "what", "fix"),
    [
        ("foo", "'foo' is not [NAME:]METRIC=NUMBER", "--fail-under ndcg@10=0.1, or hybrid:ndcg@10=0.1"),
        ("recall@20", "'recall@20' is not", "--fail-under recall@20=0.1"),
        ("recall@20=high", "is not", "--fail-under recall@20=0.1"),
        ("ndgc@10=0.1", "unknown metric 'ndgc'", "did you mean ndcg?"),
        ("hr@10=0.1", "unknown metric 'hr'", "did you mean hit-rate?"),
    ],
)
def test_a_gate_that_is_none_names_one(run: Path, recli: Recli, gate: str, what: str, fix: str) -> None:
    _, _, err = recli("evaluate", run, "--fail-under", gate, code=2)
    assert what in err and fix in err


@pytest.mark.parametrize(
    ("name", "meant"), [("NDCG@10", "ndcg"), ("ndcg10", "ndcg@10"), ("hit_rate", "hit-rate"), ("mrrr", "mrr")]
)
def test_a_mistyped_metric_is_recognized(run: Path, recli: Recli, name: str, meant: str) -> None:
    _, _, err = recli("evaluate", run, "--metrics", name, code=2)
    assert f"did you mean {meant}?" in err


def test_a_damaged_model_leaves_the_figures_of_before(run: Path, recli: Recli) -> None:
    recli("evaluate", run)
    before = digest(run / "metrics")
    path = run / "models" / "popularity" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    _, _, err = recli("evaluate", run, code=1)
    assert "is damaged: model.safetensors" in err and digest(run / "metrics") == before


def test_scores_that_are_not_numbers_stop_the_command(run: Path, recli: Recli, perfect: Any) -> None:
    cheat(run, "broken", np.full((36, 30), np.nan, dtype=np.float32))
    _, _, err = recli("evaluate", run, code=1)
    assert "not numbers (NaN)" in err and not (run / "metrics").exists()


def test_the_same_bytes_twice(run: Path, tmp_path: Path, recli: Recli) -> None:
    first = recli("evaluate", run, "--report", tmp_path / "a.html", "--json")[1]
    before = digest(run / "metrics")
    second = recli("evaluate", run, "--report", tmp_path / "b.html", "--json")[1]
    assert digest(run / "metrics") == before and first == second
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_a_name_of_its_own(run: Path, recli: Recli) -> None:
    recli("evaluate", run, "--name", "metrics-warm", "--candidates", "warm")
    assert parts.open_part(run / "metrics-warm", "metrics").config["candidates"] == "warm"
    assert not (run / "metrics").exists()


def test_quiet_says_nothing(run: Path, recli: Recli) -> None:
    assert recli("evaluate", run, "--quiet") == (0, f"{run}\n", "")


def test_the_run_from_stdin(run: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{run}\n"))
    assert recli("evaluate", "-", "--quiet")[1] == f"{run}\n"
    _, _, err = recli("evaluate", "-", "--recommendations", "-", code=2)
    assert "from stdin" in err


def test_external_recommendations_beside_the_models(run: Path, tmp_path: Path, recli: Recli) -> None:
    test = runs.read_interactions(run).splits["test"]
    rows = [(f"u{u:03d}", f"i{i:03d}") for u, i in test.select("user", "item").iter_rows()]
    known = runs.read_interactions(run).splits["train"].row(0, named=True)
    rows += [
        ("ghost", "i001"),
        ("u000", "i999"),
        ("u000", rows[0][1]),
        (f"u{known['user']:03d}", f"i{known['item']:03d}"),
    ]
    path = lists(tmp_path / "theirs.csv", [row for row in rows if row[0] != "u001"])
    metrics = ("--metrics", "ndcg@10,recall@10,auc")
    _, out, err = recli("evaluate", run, "--recommendations", path, *metrics, "--json")
    found = json.loads(out)
    assert list(found["models"]) == ["popularity", "theirs"] and found["baseline"] == "theirs"
    assert found["models"]["theirs"]["recall@10"]["value"] == pytest.approx(35 / 36)  # u001 has no list: 0
    assert found["models"]["theirs"]["recall@10"]["users"] == 36
    assert "auc" not in found["models"]["theirs"] and "auc" in found["models"]["popularity"]
    for words in (
        "1 user that the run does not know",
        "1 item that the catalogue does not have",
        "1 item listed twice",
        "1 listed item that the user already had",
        "1 evaluated user without a list",
    ):
        assert f"warning: theirs: {words}" in err
    part = parts.open_part(run / "metrics", "metrics")
    assert part.manifest["inputs"]["lists/theirs"] == hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_lists(board_run: Path, tmp_path: Path, recli: Recli) -> None:
    path = lists(tmp_path / "a.b.csv", [("u000", "i001")])
    _, out, _ = recli("evaluate", board_run, "--recommendations", path, "--json")
    assert list(json.loads(out)["models"]) == ["a"]
    train(board_run, "popularity", "popularity")
    _, out, _ = recli(
        "evaluate", board_run, "--models", "none", "--recommendations", f"mine={path}", "--json"
    )
    assert list(json.loads(out)["models"]) == ["mine"]


def test_lists_that_are_no_lists(run: Path, tmp_path: Path, recli: Recli) -> None:
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("a,b\n1,2\n", encoding="utf-8")
    code, _, err = recli("evaluate", run, "--recommendations", wrong, code=None)
    assert code in (1, 3) and "error:" in err and not (run / "metrics").exists()
    code, _, err = recli("evaluate", run, "--recommendations", tmp_path / "absent.csv", code=None)
    assert code == 1 and "absent.csv" in err


def test_bad_rows_of_lists_are_counted_and_said(run: Path, tmp_path: Path, recli: Recli) -> None:
    path = tmp_path / "theirs.csv"
    path.write_text("user_id,item_id,score\nu000,i001,0.5\nu000,,0.4\nu001,i002,high\n", encoding="utf-8")
    _, _, err = recli("evaluate", run, "--recommendations", path)
    assert f"{path}: 2 bad rows, the first in line 3" in " ".join(err.split())
    path.write_text("user_id,item_id,score\nu000,,0.4\n", encoding="utf-8")
    _, _, err = recli("evaluate", run, "--recommendations", path, code=3)
    assert "holds no recommendation" in err


def test_lists_from_a_pipe(run: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    text = "user_id,item_id\nu000,i001\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    _, out, _ = recli("evaluate", run, "--recommendations", "-", "--json")
    assert list(json.loads(out)["models"]) == ["popularity", "stdin"]


def test_what_recommend_writes_is_what_evaluate_measures(run: Path, tmp_path: Path, recli: Recli) -> None:
    """The model's own lists, exported and read back, get the model's own figures."""
    path = tmp_path / "exported.csv"
    recli("recommend", run, "--model", "popularity", "-k", 20, "--out", path)
    _, out, _ = recli("evaluate", run, "--recommendations", path, "--json")
    models = json.loads(out)["models"]
    for label in ("ndcg@10", "recall@20", "map@20", "coverage@10", "novelty@10"):
        assert models["exported"][label]["value"] == pytest.approx(
            models["popularity"][label]["value"], abs=1e-12
        )


def test_ratings_are_measured_when_asked(run: Path, recli: Recli, perfect: Any) -> None:
    _, _, err = recli("evaluate", run, "--metrics", "rmse", code=1)
    assert "rmse needs ratings in the log" in err
    cheat(run)
    _, out, _ = recli("evaluate", run, "--metrics", "rmse,mae", "--json")
    ratings = runs.read_interactions(run).splits["test"]["rating"].to_numpy()
    found = json.loads(out)["models"]
    assert found["perfect"]["rmse"]["value"] == pytest.approx(np.sqrt(((ratings - 3) ** 2).mean()))
    assert found["perfect"]["mae"]["value"] == pytest.approx(np.abs(ratings - 3).mean())
    assert found["popularity"] == {}


def test_diversity_is_measured_on_embeddings_where_there_are_some(run: Path, recli: Recli) -> None:
    _, out, _ = recli("evaluate", run, "--json")
    unwrap = json.loads(out)
    assert any("sets of training users" in p for p in unwrap["protocol"])
    same = np.tile(np.array([[3.0, 4.0]], dtype=np.float32), (30, 1))
    for name, vectors in (("flat", same), ("round", np.random.default_rng(0).normal(size=(30, 2)))):
        runs.write_embeddings(run, name, vectors.astype(np.float32), np.zeros(2, dtype=np.float32), {}, {})
    _, out, _ = recli("evaluate", run, "--json")
    flat = json.loads(out)
    assert any("embeddings/flat" in p for p in flat["protocol"])
    assert flat["models"]["popularity"]["diversity@10"]["value"] == pytest.approx(0, abs=1e-6)
    _, out, _ = recli("evaluate", run, "--embeddings", "round", "--json")
    assert json.loads(out)["models"]["popularity"]["diversity@10"]["value"] > 0.1
    assert "embeddings/round" in parts.open_part(run / "metrics", "metrics").manifest["inputs"]


def test_a_report_and_figures(run: Path, tmp_path: Path, recli: Recli, perfect: Any) -> None:
    cheat(run, "<b>bold")
    recli("evaluate", run, "--report", tmp_path / "new" / "report.html", "--plots", tmp_path / "plots")
    page = (tmp_path / "new" / "report.html").read_text(encoding="utf-8")
    assert "&lt;b&gt;bold" in page and "<b>bold" not in page and page.startswith("<!doctype html>")
    assert sorted(p.name for p in (tmp_path / "plots").iterdir()) == [
        "differences.svg",
        "metrics.svg",
        "slices.svg",
    ]


def test_figures_need_matplotlib(
    run: Path, tmp_path: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    _, _, err = recli("evaluate", run, "--plots", tmp_path / "plots", code=5)
    assert "pip install 'recli[plots]'" in err


def test_names_with_brackets_are_printed_as_they_are(run: Path, tmp_path: Path, recli: Recli) -> None:
    path = lists(tmp_path / "x.csv", [("u000", "i001")])
    _, _, err = recli("evaluate", run, "--recommendations", f"[red]x={path}")
    assert "[red]x" in err


def test_help_names_every_metric(recli: Recli) -> None:
    from recli.metrics.base import metrics

    _, out, _ = recli("evaluate", "--help")
    words = " ".join(out.replace("│", " ").split())
    assert "ndcg" in words and "Example: recli evaluate sample_data/run" in words
    assert all(name in words for name in metrics.names())


def test_default_metrics_fit_a_small_catalogue(tmp_path: Path, recli: Recli) -> None:
    run = write_board(tmp_path / "run", checkerboard(n_blocks=1, items_per_block=12))
    train(run, "popularity", "popularity")
    _, out, err = recli("evaluate", run, "--json", "--samples", 0)
    labels = json.loads(out)["settings"]["metrics"]
    assert "ndcg@10" in labels and not [one for one in labels if one.endswith("@20")]
    assert err.count("the catalogue has only 12 items: left out: ndcg@20, recall@20, map@20, mrr@20") == 1
    recli("evaluate", run, "--metrics", "ndcg@20", code=2)
    _, _, err = recli("evaluate", run, "--fail-under", "ndcg@20=0", code=2)
    assert "ndcg@20: the catalogue has only 12 items" in err
    tiny = write_board(tmp_path / "tiny", checkerboard(n_blocks=1, items_per_block=9))
    train(tiny, "popularity", "popularity")
    _, out, err = recli("evaluate", tiny, "--json", "--samples", 0)
    assert json.loads(out)["settings"]["metrics"][:3] == ["ndcg@9", "recall@9", "precision@9"]
    assert "cut at 9 instead" in err


@pytest.mark.parametrize(
    ("pair", "words"), [(("x", "i001"), "none of its users"), (("u000", "y"), "none of its items")]
)
def test_lists_that_do_not_fit_the_run_at_all(
    run: Path, tmp_path: Path, recli: Recli, pair: tuple[str, str], words: str
) -> None:
    path = lists(tmp_path / "x.csv", [pair])
    _, _, err = recli("evaluate", run, "--recommendations", path, code=3)
    example = ("'x'", "'u000'") if pair[0] == "x" else ("'y'", "'i000'")
    assert words in err and all(one in err for one in example)


def test_one_is_not_several(run: Path, tmp_path: Path, recli: Recli) -> None:
    path = lists(tmp_path / "x.csv", [("u000", "i001"), ("ghost", "i002"), ("u001", "zzz")])
    _, _, err = recli("evaluate", run, "--recommendations", path)
    assert "1 user that the run does not know" in err
    assert "1 item that the catalogue does not have: it keeps its rank" in err
    assert "34 evaluated users without a list: they count 0" in err


def test_settings_are_lists_and_users_without_history_are_a_rule(run: Path, recli: Recli) -> None:
    _, out, _ = recli("evaluate", run, "--json", "--metrics", "ndcg,recall@2", "--models", "popularity")
    found = json.loads(out)
    assert found["settings"]["metrics"] == ["ndcg@20", "recall@2"]
    assert found["settings"]["models"] == ["popularity"]
    assert parts.open_part(run / "metrics", "metrics").config["metrics"] == ["ndcg@20", "recall@2"]
    assert not [
        rule for rule in found["protocol"] if "--fallback" in rule
    ]  # the board's cold users have a history
    made = runs.read_interactions(run)
    made.splits["history"] = made.splits["history"].clear()
    runs.write_interactions(run, made, {"split": "given"}, {})
    train(run, "popularity", "popularity")
    _, out, _ = recli("evaluate", run, "--json")
    found = json.loads(out)
    assert "3 of the 36 users have no history." in found["protocol"]
    assert not [rule for rule in found["protocol"] if "--fallback" in rule]  # popularity needs none


def test_rules_break_at_spaces_on_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console as RichConsole

    from recli.cli.console import Console

    console = Console()
    for terminal, lines in ((True, ["Denominators: the user's", "test items; map min(k)."]), (False, None)):
        console._rich = RichConsole(
            stderr=True, force_terminal=terminal, width=24, soft_wrap=True, color_system=None
        )
        console.paragraph("Denominators: the user's test items; map min(k).")
        whole = ["Denominators: the user's test items; map min(k)."]
        assert capsys.readouterr().err.splitlines() == (lines or whole)


def test_from_python_it_returns_frames_and_says_nothing(
    run: Path, perfect: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    cheat(run)
    config = EvaluateConfig(
        str(run), metrics=("ndcg@10,coverage@10",), fail_under=("ndcg@10=0.5",), samples=20
    )
    evaluation = evaluate(config)
    assert capfd.readouterr() == ("", "")
    part = parts.open_part(evaluation.path, "metrics")
    for name in ("metrics", "per_user", "comparisons"):
        assert getattr(evaluation, name).equals(part.table(name)), name
    ndcg = evaluation.metrics.filter(metric="ndcg", slice_kind="all")
    assert dict(ndcg.select("model", "value").iter_rows())["perfect"] == 1.0
    assert {g.model: g.met for g in evaluation.gates} == {"perfect": True, "popularity": False}
    assert evaluation.protocol == part.summary["protocol"]
    assert evaluation.summary.card.overall["perfect"]["coverage@10"].value is not None
    assert json.loads(json.dumps(evaluation.summary.to_json()))["baseline"] == "perfect"


@pytest.mark.parametrize(
    ("format", "lines"),
    [
        ("table", ["model", "ndcg@10", "popularity"]),
        ("markdown", ["**Accuracy**", "| model | ndcg@10 |", "| :-- | --: |", "| popularity | 0."]),
        ("latex", [r"\begin{tabular}{lr}", r"model & ndcg@10 \\", r"my\_model & 0.", r"\bottomrule"]),
        ("csv", ["model,metric,k,slice_kind,slice,value,low,high,users", "popularity,ndcg,10,all,all,0."]),
    ],
)
def test_formats_on_stdout(run: Path, recli: Recli, format: str, lines: list[str]) -> None:
    train(run, "popularity", "my_model")
    options = ("--metrics", "ndcg@10", "--samples", 10, "--format", format)
    _, out, err = recli("evaluate", run, *options)
    for line in lines:
        assert line in out
    assert "Full ranking" in err and "by slice" not in err
    assert str(run) not in out.splitlines()
    recli("evaluate", run, *options, "--json", code=2)


def test_json_as_a_format(run: Path, recli: Recli) -> None:
    options = ("--metrics", "ndcg@10", "--samples", 0)
    assert (
        recli("evaluate", run, *options, "--format", "json")[1]
        == recli("evaluate", run, *options, "--json")[1]
    )
