"""`recli train-cf` from the command line, on a small run."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from conftest import write_board

from recli.compute import devices
from recli.config import from_dict
from recli.data.interactions import Interactions
from recli.metrics import ndcg_at
from recli.models.base import Model, Training, algorithms
from recli.models.item_knn import ItemKnnConfig
from recli.ranking import topk
from recli.steps.train_cf.config import CommonConfig, TrainCfConfig
from recli.steps.train_cf.step import train_cf
from recli.storage import runs
from recli.training import fit, validation

DEFAULT = CommonConfig.algorithm
Recli = Callable[..., tuple[int, str, str]]
NAMES = algorithms.names(lambda a: a.family == "cf")


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    for problem in ("gpu_problem", "torch_problem"):
        monkeypatch.setattr(devices, problem, lambda: ("there is none in this test", "do without"))


def without(board: Interactions, split: str) -> Interactions:
    return replace(board, splits=board.splits | {split: board.splits[split].clear()})


def written(run: Path, interactions: Interactions) -> Path:
    runs.write_interactions(run, interactions, {}, {})
    return run


def bytes_of(run: Path, name: str) -> tuple[bytes, bytes]:
    folder = run / "models" / name
    return (folder / "model.safetensors").read_bytes(), (folder / "manifest.json").read_bytes()


# --- the story


@pytest.mark.parametrize("name", NAMES)
def test_every_algorithm_trains_and_is_read_back(name: str, board_run: Path, recli: Recli) -> None:
    _, out, err = recli("train-cf", board_run, "--algorithm", name, "--threads", 1)
    assert out == f"{board_run}\n"
    assert "validation ndcg@20" in err
    stored = runs.read_model(board_run / "models" / name)
    assert (stored.name, stored.algorithm, stored.trained_on) == (name, name, ("train",))
    assert stored.part.config["options"] == vars(algorithms[name].config())
    validator = validation.validator_of(stored.interactions)
    assert stored.part.summary["validation"] == {"ndcg@20": round(validator(stored.model), 6), "users": 33}
    assert ("iterations" in stored.part.summary) == (name in ("als", "ials", "bpr", "lmf"))


def test_options_reach_the_model_and_the_manifest(board_run: Path, recli: Recli) -> None:
    options = ("--factors", 5, "--iterations", 3, "--alpha", 4, "--regularization", 0.5, "--seed", 9)
    recli("train-cf", board_run, "--algorithm", "als", *options, "--name", "small")
    stored = runs.read_model(board_run / "models" / "small")
    assert stored.part.config == {
        "algorithm": "als",
        "options": {"factors": 5, "iterations": 3, "alpha": 4.0, "regularization": 0.5},
        "seed": 9,
        "trained_on": ["train"],
    }
    config = from_dict(algorithms["als"].config, stored.part.config["options"])
    again = fit.train(algorithms["als"], config, stored.interactions, seed=9)
    assert np.array_equal(again.model.state()["item_factors"], stored.model.state()["item_factors"])


@pytest.mark.parametrize("name", ["als", "bpr", "lmf", "ease"])
def test_the_same_seed_gives_the_same_bytes(name: str, board_run: Path, recli: Recli) -> None:
    made = []
    for seed in (1, 1, 2):
        recli("train-cf", board_run, "--algorithm", name, "--seed", seed)
        made.append(bytes_of(board_run, name))
    assert made[0] == made[1]
    assert name == "ease" or made[0][0] != made[2][0]


def test_json_tells_what_was_built(board_run: Path, recli: Recli) -> None:
    _, out, err = recli(
        "train-cf", board_run, "--json", "--quiet", "--algorithm", "item-knn", "--neighbors", 3
    )
    told = json.loads(out)
    assert err == ""
    assert told["run"] == str(board_run) and told["model"] == told["algorithm"] == "item-knn"
    assert told["options"] == {"neighbors": 3, "weighting": "damped", "shrinkage": None}
    assert told["validation"]["users"] == 33


def test_a_dash_reads_the_run_from_stdin(
    board_run: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", __import__("io").StringIO(f"{board_run}\n"))
    _, out, _ = recli("train-cf", "-", "--algorithm", "popularity")
    assert out == f"{board_run}\n"
    assert (board_run / "models" / "popularity" / "manifest.json").exists()


def test_auto_says_why_it_is_the_cpu_only_where_a_gpu_would_be_used(board_run: Path, recli: Recli) -> None:
    assert "training on the CPU: there is none in this test" in recli("train-cf", board_run)[2]
    assert "CPU" not in recli("train-cf", board_run, "--device", "cpu")[2]
    assert "CPU" not in recli("train-cf", board_run, "--algorithm", "ease")[2]


def test_threads_warn_where_they_cost_reproducibility(board_run: Path, recli: Recli) -> None:
    short = ("train-cf", board_run, "--iterations", 2)
    assert "same seed" in recli(*short, "--algorithm", "bpr", "--threads", 2)[2]
    assert "same seed" not in recli(*short, "--algorithm", "bpr")[2]
    assert "same seed" not in recli(*short, "--threads", 2)[2]


def test_lmf_depends_on_the_number_of_threads_and_is_reproducible_for_each(
    board_run: Path, recli: Recli
) -> None:
    made = []
    for threads in (1, 2, 2):
        recli("train-cf", board_run, "--algorithm", "lmf", "--iterations", 3, "--threads", threads)
        made.append(bytes_of(board_run, "lmf")[0])
    assert made[1] == made[2] != made[0]


# --- patience, tune, refit


def test_patience_keeps_the_best_iteration(board_run: Path, recli: Recli) -> None:
    common = ("--algorithm", "als", "--factors", 4, "--regularization", 1)
    _, _, err = recli("train-cf", board_run, *common, "--iterations", 30, "--patience", 2)
    stopped = runs.read_model(board_run / "models" / "als")
    best = stopped.part.summary["iterations"]
    assert 1 <= best < 30 and stopped.part.config["options"]["iterations"] == best
    while_training, at_the_end = re.findall(r"validation ndcg@20 (\S+)", err)
    assert while_training == at_the_end and f"{at_the_end} at iteration {best}" in err
    recli("train-cf", board_run, *common, "--iterations", best, "--name", "again")
    again = runs.read_model(board_run / "models" / "again")
    for key, array in stopped.model.state().items():
        assert np.array_equal(array, again.model.state()[key])
    assert stopped.part.summary["validation"] == again.part.summary["validation"]
    scores = []
    for iterations in range(1, best + 3):
        recli("train-cf", board_run, *common, "--iterations", iterations, "--name", "one")
        scores.append(runs.read_model(board_run / "models" / "one").part.summary["validation"]["ndcg@20"])
    assert scores.index(max(scores)) + 1 == best  # of those up to where it stopped, the first best


def test_tune_prints_its_trials_and_trains_with_the_best(board_run: Path, recli: Recli) -> None:
    options = ("--algorithm", "item-knn", "--tune", 5, "--weighting", "cosine")
    _, _, err = recli("train-cf", board_run, *options)
    stored = runs.read_model(board_run / "models" / "item-knn")
    trials = stored.part.summary["trials"]
    assert len(trials) == 5
    first = {"neighbors": ItemKnnConfig.neighbors, "shrinkage": None}
    assert trials[0]["options"] == first  # the defaults
    best = max(trials, key=lambda t: t["ndcg@20"])
    assert stored.part.config["options"] == {**best["options"], "weighting": "cosine"}
    assert stored.part.summary["validation"]["ndcg@20"] == best["ndcg@20"]
    assert "Trials" in err and "best" in err and "by data" in err
    assert all(f"{t['ndcg@20']:.4f}" in err for t in trials)
    first = bytes_of(board_run, "item-knn")
    recli("train-cf", board_run, *options)
    assert bytes_of(board_run, "item-knn") == first
    recli("train-cf", board_run, *options, "--seed", 5)
    other = runs.read_model(board_run / "models" / "item-knn").part.summary["trials"]
    assert other[1:] != trials[1:]


def test_tune_with_patience_searches_iterations_as_well(board_run: Path, recli: Recli) -> None:
    recli("train-cf", board_run, "--tune", 2, "--patience", 1, "--factors", 4, "--iterations", 20)
    stored = runs.read_model(board_run / "models" / DEFAULT)
    assert stored.part.config["options"]["iterations"] < 20
    assert stored.part.config["options"]["factors"] == 4


@pytest.mark.parametrize("more", [(), ("--patience", "1"), ("--tune", "2")])
def test_refit_trains_on_train_and_validation(more: tuple[str, ...], board_run: Path, recli: Recli) -> None:
    recli("train-cf", board_run, "--refit", "--factors", 4, *more)
    stored = runs.read_model(board_run / "models" / DEFAULT)
    assert stored.trained_on == ("train", "validation")
    config = from_dict(algorithms[DEFAULT].config, stored.part.config["options"])
    matrix = stored.interactions.matrix("train", "validation")
    again = fit.train(algorithms[DEFAULT], config, stored.interactions, splits=("train", "validation"))
    trained = stored.interactions.having("train", "validation")  # others are stored as they are served
    first, second = (m.state()["user_factors"][trained] for m in (again.model, stored.model))
    assert np.array_equal(first, second)
    assert matrix.nnz == stored.interactions.matrix("train").nnz + 33
    assert stored.part.summary["validation"]["users"] == 33  # measured before validation was learned from


def test_without_validation_rows_it_trains_but_does_not_choose(
    tmp_path: Path, board: Interactions, recli: Recli
) -> None:
    run = written(tmp_path / "bare", without(board, "validation"))
    recli("train-cf", run)
    assert "validation" not in runs.read_model(run / "models" / DEFAULT).part.summary
    for option in (("--tune", 2), ("--patience", 2), ("--refit",)):
        _, _, err = recli("train-cf", run, *option, code=1)
        assert "there are no validation rows" in err and "--validation-size" in err


# --- the step as a function


def test_the_step_returns_what_it_wrote_and_says_nothing(
    board_run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    trained = train_cf(TrainCfConfig(run=str(board_run), algorithm="item-knn", tune=3, storage_dtype="int8"))
    assert capfd.readouterr() == ("", "")
    assert (trained.name, trained.algorithm, trained.trained_on) == ("item-knn", "item-knn", ("train",))
    stored = runs.read_model(trained.path)
    assert trained.path == board_run / "models" / "item-knn"
    assert stored.part.summary.items() <= trained.summary.items()
    assert trained.validation is not None and trained.ndcg_float32 is not None
    assert trained.summary["validation"] == {"ndcg@20": trained.validation.ndcg, "users": 33}
    trials = trained.trials
    assert trials is not None
    assert trials.columns == ["neighbors", "weighting", "shrinkage", "ndcg@20", "best"]
    assert trials["ndcg@20"].to_list() == [t["ndcg@20"] for t in stored.part.summary["trials"]]
    (best,) = trials.filter("best").to_dicts()
    assert (
        best["ndcg@20"] == trials["ndcg@20"].max()
        and best["neighbors"] == trained.summary["options"]["neighbors"]
    )


def test_a_step_without_a_search_has_no_trials(board_run: Path) -> None:
    trained = train_cf(TrainCfConfig(run=str(board_run), algorithm="popularity", name="counts"))
    assert trained.trials is None and trained.ndcg_float32 is None
    assert trained.path == board_run / "models" / "counts"


# --- what goes wrong


def test_an_option_of_another_algorithm_is_refused_with_those_it_has(board_run: Path, recli: Recli) -> None:
    _, _, err = recli("train-cf", board_run, "--algorithm", "ease", "--alpha", 3, code=2)
    assert "--alpha is not an option of ease; it has --l2, --neighbors, --max-items" in err
    assert not (board_run / "models").exists()


def test_each_algorithm_checks_its_own_choices_and_bounds(board_run: Path, recli: Recli) -> None:
    _, _, err = recli("train-cf", board_run, "--algorithm", "user-knn", "--weighting", "bm25", code=2)
    assert "--weighting must be one of idf, cosine, not 'bm25'" in err
    recli("train-cf", board_run, "--factors", 0, code=2)
    recli("train-cf", board_run, "--algorithm", "deep", code=2)
    recli("train-cf", board_run, "--regularization", "nan", code=2)


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "-x"])
def test_a_name_that_is_no_directory_name_is_refused(name: str, board_run: Path, recli: Recli) -> None:
    _, _, err = recli("train-cf", board_run, f"--name={name}", code=2)
    assert "--name must be made of" in err


@pytest.mark.parametrize("name", ["none", "all"])
def test_a_name_that_evaluate_reads_otherwise_is_refused(name: str, board_run: Path, recli: Recli) -> None:
    _, _, err = recli("train-cf", board_run, "--name", name, code=2)
    assert f"--name {name}: the word has a meaning in recli evaluate --models" in err


@pytest.mark.parametrize("name", ["user-knn", "recent-popularity", "log-popularity"])
def test_a_name_that_fusion_reads_otherwise_is_refused(name: str, board_run: Path, recli: Recli) -> None:
    _, _, err = recli("train-cf", board_run, "--algorithm", "popularity", "--name", name, code=2)
    assert f"--name {name}: that is what recli train-hybrid calls a source of another kind" in err
    recli("train-cf", board_run, "--algorithm", "popularity", "--name", "popularity")


def test_a_trial_that_cannot_be_says_why_and_no_more(board_run: Path, recli: Recli) -> None:
    data = runs.read_interactions(board_run)
    bare = replace(data, splits={name: rows.drop("timestamp") for name, rows in data.splits.items()})
    run = write_board(board_run.parent / "bare", bare)
    for algorithm in ("popularity", "sequential-rules"):
        _, _, err = recli("train-cf", run, "--algorithm", algorithm, "--tune", 5, code=1)
        assert "Trial" not in err and "Traceback" not in err
        assert "--tune" in err if algorithm == "popularity" else "needs the order of events" in err


def test_patience_needs_iterations(board_run: Path, recli: Recli) -> None:
    _, _, err = recli("train-cf", board_run, "--algorithm", "ease", "--patience", 2, code=2)
    assert "ease has no iterations to stop" in err


def test_tune_needs_something_to_search(board_run: Path, recli: Recli) -> None:
    _, _, err = recli(
        "train-cf", board_run, "--algorithm", "popularity", "--popularity-half-life", 3, "--tune", 2, code=2
    )
    assert "all options that it could search are set: --popularity-half-life" in err


def test_a_missing_gpu_exits_5_and_says_what_is_missing(board_run: Path, recli: Recli) -> None:
    _, _, err = recli("train-cf", board_run, "--device", "cuda", code=5)
    assert "--device cuda: there is none in this test" in err and "do without" in err
    recli("train-cf", board_run, "--device", "cuda", "--algorithm", "bpr", code=2)
    recli("train-cf", board_run, "--device", "tpu", code=2)


def test_bias_without_ratings_says_what_to_do(tmp_path: Path, board: Interactions, recli: Recli) -> None:
    bare = replace(board, splits={name: rows.drop("rating") for name, rows in board.splits.items()})
    _, _, err = recli("train-cf", written(tmp_path / "bare", bare), "--algorithm", "bias", code=1)
    assert "needs ratings" in err and "rating column" in err


def test_no_training_rows_is_an_error(tmp_path: Path, board: Interactions, recli: Recli) -> None:
    _, _, err = recli("train-cf", written(tmp_path / "bare", without(board, "train")), code=1)
    assert "train.parquet is empty" in err


def test_a_run_that_is_not_there(tmp_path: Path, recli: Recli) -> None:
    _, _, err = recli("train-cf", tmp_path / "nowhere", code=1)
    assert "there is no interactions part" in err and "recli prepare" in err


def test_a_catalogue_above_max_items_gets_a_sparse_ease_and_a_line_that_says_so(
    board_run: Path, recli: Recli
) -> None:
    _, _, err = recli("train-cf", board_run, "--algorithm", "ease", "--max-items", 5)
    assert "30 items are more than --max-items 5" in err and "--neighbors" in err
    assert "similar.data" in runs.read_model(board_run / "models" / "ease").model.state()
    _, _, err = recli("train-cf", board_run, "--algorithm", "ease", "--max-items", 5, "--tune", 2, "--quiet")
    assert "--max-items" not in err
    _, _, err = recli("train-cf", board_run, "--algorithm", "ease", "--neighbors", -1, code=2)
    assert "--neighbors" in err


def test_a_failed_training_leaves_the_model_that_was_there(
    board_run: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch
) -> None:
    recli("train-cf", board_run, "--algorithm", "ease", "--name", "mine")
    before = bytes_of(board_run, "mine")
    monkeypatch.setattr("recli.models.ease.available_memory", lambda: 1000)
    _, _, err = recli("train-cf", board_run, "--algorithm", "ease", "--name", "mine", code=1)
    assert "30 items need 0.0 GiB of memory; 0.0 GiB are free" in err and "use --neighbors 200" in err
    assert bytes_of(board_run, "mine") == before


def test_the_help_shows_each_algorithms_defaults(recli: Recli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    _, out, _ = recli("train-cf", "--help")
    assert "als 128, bpr 64, ials 256, lmf 32" in out
    assert "item-knn damped, user-knn idf" in out
    assert "mean events per user" in out  # where a default goes by the data
    assert "Example: recli train-cf sample_data/run" in out


# --- the validator


def test_the_validator_is_mean_ndcg_over_users_with_validation_rows(board: Interactions) -> None:
    class Oracle(Model):
        def score(self, history: object, users: np.ndarray | None = None) -> np.ndarray:
            assert users is not None
            return (board.matrix("validation")[users].toarray() * 9).astype(np.float32)

        def state(self) -> dict[str, np.ndarray]:
            return {}

    validator = validation.validator_of(board)
    assert validator.users.tolist() == [u for u in range(36) if u not in (11, 23, 35)]  # not the cold ones
    assert validator(Oracle()) == 1.0
    popular = algorithms["popularity"].fit(algorithms["popularity"].config(), Training(board.matrix("train")))
    train, ties = board.ordered("train")[validator.users], board.ties
    ranked = topk.rank(popular, train, validator.users, k=20, ties=ties, seen=train.values)
    expected = ndcg_at(ranked.items, board.matrix("validation")[validator.users]).mean()
    assert validator(popular) == pytest.approx(expected) and 0 < expected < 1


def test_the_validator_samples_users_by_seed_where_there_are_many(board: Interactions) -> None:
    one, same, other = (validation.validator_of(board, seed, max_users=10) for seed in (1, 1, 2))
    assert one.users.size == 10 and np.array_equal(one.users, same.users)
    assert not np.array_equal(one.users, other.users)
    assert np.array_equal(np.sort(one.users), one.users)


def test_users_without_training_rows_are_folded_in(board: Interactions) -> None:
    rows = board.splits["train"].filter(pl.col("user") != 0)
    validator = validation.validator_of(replace(board, splits=board.splits | {"train": rows}))
    asked: list[np.ndarray] = []

    class Spy(Model):
        def score(self, history: np.ndarray, users: np.ndarray | None = None) -> np.ndarray:
            assert users is not None
            asked.append(users)
            return np.zeros((len(users), board.n_items), dtype=np.float32)

        def state(self) -> dict[str, np.ndarray]:
            return {}

    validator(Spy())
    assert asked[0][0] == -1 and asked[0][1] == 1


def test_a_training_that_diverges_is_one_line(board_run: Path, recli: Recli) -> None:
    short = ("--algorithm", "bpr", "--learning-rate", 100, "--regularization", 1000, "--iterations", 30)
    _, _, err = recli("train-cf", board_run, *short, code=1)
    assert "error: the training diverged" in err
    assert "--learning-rate" in err
