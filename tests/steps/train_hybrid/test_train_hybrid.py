"""`recli train-hybrid` on a small run: what it fuses, finds, writes and refuses."""

import json
import re
import shutil
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import WORDS, checkerboard, write_board
from safetensors.numpy import load_file

from recli.data.history import History
from recli.data.interactions import Interactions
from recli.errors import ConfigError, UsageError
from recli.models.base import algorithms
from recli.models.fusion import LOG_POPULARITY, Fusion
from recli.reporting import Advance
from recli.steps.train_hybrid.config import TrainHybridConfig, default_sources
from recli.steps.train_hybrid.step import train_hybrid
from recli.steps.train_hybrid.weight_search import CandidatePool, SearchResult, search_weights
from recli.storage import parts, runs

Recli = Callable[..., tuple[int, str, str]]
RRF = ("--fusion", "rrf")  # equal weights: no source is left out
DEFAULT = (
    *("ials", "bspm", "user-knn", "content-knn", "text-factors", "cease", "sequential-rules"),
    "recent-popularity",
)


def embed(run: Path, name: str = "minilm", seed: int = 0, dim: int = 12, **config: Any) -> None:
    """Random vectors that know the block, in place of an encoder's."""
    n = runs.read_interactions(run).n_items
    rng = np.random.default_rng(seed)
    vectors = rng.normal(scale=0.2, size=(n, dim)).astype(np.float32)
    vectors[np.arange(n), np.arange(n) // 10] += 1
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    config = {"model": "random", **config}
    runs.write_embeddings(run, name, vectors, np.zeros(dim, dtype=np.float32), config, {"dimensions": dim})


@pytest.fixture
def run(board_run: Path) -> Path:
    embed(board_run)
    return board_run


def stored(run: Path, name: str = "hybrid") -> runs.StoredModel:
    return runs.read_model(run / "models" / name)


def train_ials(run: Path, name: str = "ials", splits: tuple[str, ...] = ("train",), **options: Any) -> None:
    from recli.training import fit

    algorithm = algorithms["ials"]
    config = algorithm.config(**{"factors": 8, **options})
    made = fit.train(algorithm, config, runs.read_interactions(run), splits=splits).model
    runs.write_model(
        run, name, "ials", {**vars(config)}, made, seed=0, trained_on=splits, inputs={}, summary={}
    )


def test_the_story(run: Path, recli: Recli, board: Interactions) -> None:
    _, out, err = recli("train-hybrid", run)
    assert out.strip() == str(run)
    for name in DEFAULT:
        assert name in err
    assert "ials: no such model in the run" in err
    assert "cold weight" in err
    made = stored(run)
    assert made.algorithm == "fusion"
    assert made.trained_on == ("train",)
    manifest = made.part.manifest
    assert set(manifest["inputs"]) == {"interactions", "embeddings/minilm"}
    sources = manifest["summary"]["sources"]
    assert set(sources) == {*DEFAULT, LOG_POPULARITY}
    assert sum(s["weight"] for s in sources.values()) == pytest.approx(1, abs=1e-5)
    assert sum(s.get("cold_weight", 0) for s in sources.values()) == pytest.approx(1, abs=1e-5)
    assert manifest["summary"]["validation"]["ndcg@20"] >= max(s["ndcg@20"] for s in sources.values()) - 1e-6
    assert manifest["summary"]["validation"]["users"] == 33
    assert manifest["summary"]["encoder"]["config"] == {"model": "random"}
    model = made.model
    assert isinstance(model, Fusion)
    assert model.text_dim == 12
    top = model.score(board.history()).argmax(axis=1)
    assert (top // 10 == np.arange(36) // 12).all()


def test_a_copy_of_the_model_elsewhere_scores_alike(
    run: Path, recli: Recli, tmp_path: Path, board: Interactions
) -> None:
    recli("train-hybrid", run)
    here = stored(run).model.score(board.history())
    shutil.copytree(run / "models" / "hybrid", tmp_path / "elsewhere")
    shutil.rmtree(run)
    assert np.array_equal(runs.read_model(tmp_path / "elsewhere").model.score(board.history()), here)


@pytest.mark.slow
def test_the_same_seed_gives_the_same_bytes(run: Path, recli: Recli) -> None:
    files = ("manifest.json", "model.safetensors")
    recli("train-hybrid", run)
    first = [(run / "models" / "hybrid" / f).read_bytes() for f in files]
    recli("train-hybrid", run)
    assert [(run / "models" / "hybrid" / f).read_bytes() for f in files] == first
    recli("train-hybrid", run, "--seed", 5)
    assert [(run / "models" / "hybrid" / f).read_bytes() for f in files] != first


def test_json_name_and_stdin(run: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    monkeypatch.setattr("sys.stdin", io.StringIO(f"{run}\n"))
    _, out, _ = recli(
        "train-hybrid", "-", "--json", "--quiet", "--name", "mine", "--sources", "user-knn,content-knn"
    )
    said = json.loads(out)
    assert said["run"] == str(run)
    assert said["model"] == "mine"
    assert set(said["sources"]) == {"user-knn", "content-knn", LOG_POPULARITY}
    assert stored(run, "mine").name == "mine"


def test_a_model_of_the_run_is_reused(run: Path, recli: Recli) -> None:
    train_ials(run)
    _, _, err = recli("train-hybrid", run, "--sources", "ials,content-knn", *RRF)
    assert "ials: the run's model" in err
    assert "training ials" not in err
    made = stored(run)
    assert isinstance(made.model, Fusion)
    assert "models/ials" in made.part.manifest["inputs"]
    mine = load_file(run / "models" / "ials" / "model.safetensors")["item_factors"]
    assert np.array_equal(made.model.sources["ials"].state()["item_factors"], mine)


def test_cf_names_models_of_the_run(run: Path, recli: Recli) -> None:
    train_ials(run, "small", factors=4)
    recli("train-hybrid", run, "--cf", "small", "--sources", "ials,content-knn,text-factors", *RRF)
    made = stored(run)
    assert isinstance(made.model, Fusion)
    assert list(made.model.sources) == ["small", "content-knn", "text-factors"]
    # text-factors predicts its factors, and shares them
    assert [s["base"] for s in made.model.config.sources] == [None, None, "small"]
    _, _, err = recli("train-hybrid", run, "--cf", "nothing", code=2)
    assert "there is no model 'nothing'" in err
    assert "recli train-cf" in err


def test_sources_without_a_base_still_have_text_factors(run: Path, recli: Recli) -> None:
    recli("train-hybrid", run, "--sources", "user-knn,text-factors", *RRF)
    made = stored(run)
    assert isinstance(made.model, Fusion)
    assert list(made.model.sources) == ["user-knn", "text-factors"]
    assert "source/text-factors/base/item_factors" in load_file(made.part.path / "model.safetensors")


def test_text_factors_predict_the_factors_of_the_source_that_has_some(run: Path, recli: Recli) -> None:
    command = ("train-hybrid", run, "--sources", "user-knn,als,text-factors", *RRF)
    _, _, err = recli(*command, "--save-sources")
    assert "training ials" not in err
    made = stored(run).model
    assert isinstance(made, Fusion)
    assert [s["base"] for s in made.config.sources] == [None, None, "als"]
    assert stored(run, "text-factors").part.config["options"]["base"] == "als"


def test_a_model_that_is_only_named_as_the_base_is_none(run: Path, recli: Recli) -> None:
    recli("train-cf", run, "--algorithm", "ease", "--name", "other")
    (run / "models" / "other").rename(run / "models" / "ials")
    _, _, err = recli("train-hybrid", run, "--sources", "user-knn,text-factors", code=1)
    assert "'ials' is none" in err and "use ials or als as a source beside it" in err


def test_any_cf_algorithm_and_cease_can_be_sources(run: Path, recli: Recli) -> None:
    recli("train-hybrid", run, "--sources", "ease,item-knn,cease,content-knn", *RRF)
    made = stored(run)
    assert isinstance(made.model, Fusion)
    assert set(made.model.config.cold_weights) == {"cease", "content-knn"}


def test_a_model_that_saw_validation_is_trained_again_without(run: Path, recli: Recli) -> None:
    train_ials(run, splits=("train", "validation"))
    _, _, err = recli("train-hybrid", run)
    assert "ials: the run's model has seen validation" in err
    assert "training ials" in err


def test_refit_trains_on_validation_too(run: Path, recli: Recli, board: Interactions) -> None:
    recli("train-hybrid", run, "--sources", "user-knn,content-knn")
    before = stored(run)
    recli("train-hybrid", run, "--sources", "user-knn,content-knn", "--refit")
    after = stored(run)
    assert after.trained_on == ("train", "validation")
    assert isinstance(before.model, Fusion)
    assert isinstance(after.model, Fusion)
    assert after.model.config.weights == before.model.config.weights
    counts = board.matrix("train", "validation").getnnz(axis=0)
    assert np.array_equal(after.model.popularity, counts)
    assert np.array_equal(before.model.popularity, board.matrix("train").getnnz(axis=0))


def test_a_fusion_does_not_overwrite_its_sources(run: Path, recli: Recli) -> None:
    train_ials(run, "mine")
    before = stored(run, "mine").part.sha256
    _, _, err = recli("train-hybrid", run, "--sources", "mine,content-knn", "--name", "mine", code=2)
    assert "--name mine would overwrite the model mine, which is a source of it" in err
    assert stored(run, "mine").part.sha256 == before
    _, _, err = recli("train-hybrid", run, "--sources", "user-knn,content-knn", "--name", "mine")
    assert f"warning: the model mine in {run}, which is of kind ials, will be replaced" in err
    assert stored(run, "mine").algorithm == "fusion"
    _, _, err = recli("train-hybrid", run, "--sources", "user-knn,content-knn", "--name", "mine")
    assert "warning" not in err


def test_the_prior_may_be_named_among_the_sources(run: Path, recli: Recli) -> None:
    recli("train-hybrid", run, "--sources", f"user-knn,{LOG_POPULARITY},content-knn", *RRF)
    model = stored(run).model
    assert isinstance(model, Fusion)
    assert sorted(model.config.weights) == ["content-knn", LOG_POPULARITY, "user-knn"]


def test_the_figure_of_fitted_weights_is_that_of_the_table(
    run: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(pool: CandidatePool, advance: Advance) -> SearchResult:
        found = search_weights(pool, advance)
        advance(1, "ndcg@20 0.0001")  # as from a last start that ends below the first
        return found

    monkeypatch.setattr("recli.steps.train_hybrid.weights.search_weights", search)
    _, _, err = recli("train-hybrid", run)
    said = dict(re.findall(r"^(fitting weights[a-z ]*): done in .* s, ndcg@20 (\S+)$", err, re.MULTILINE))
    (table,) = [line.split()[1:] for line in err.splitlines() if line.split()[:1] == ["fusion"]]
    assert [said["fitting weights"], said["fitting weights of cold items"]] == table


def test_it_says_how_often_cold_items_are_listed(run: Path, recli: Recli, board: Interactions) -> None:
    from recli.ranking import topk

    for boost in (-100, 100):
        _, _, err = recli("train-hybrid", run, "--sources", "user-knn,content-knn", "--cold-boost", boost)
        history = board.ordered("train")
        users = np.unique(board.splits["validation"]["user"].to_numpy()).astype(np.int64)
        ties = board.ties
        top = topk.rank(
            stored(run).model, history[users], users, k=20, ties=ties, seen=history.values[users]
        ).items
        share = float((top[top >= 0] % 10 == 9).mean())
        said = f"3 of 30 items are cold (no events to train on): {share:.1%} of the top 20 of 33 validation users"
        assert f"{said} at --cold-boost {boost}; a larger one, in standard deviations" in err
    _, _, err = recli("train-hybrid", run, "--sources", "user-knn")
    assert "items are cold" not in err


@pytest.mark.slow
def test_save_sources(run: Path, recli: Recli) -> None:
    recli("train-hybrid", run, *RRF)
    assert parts.part_names(run, "models") == ["hybrid"]
    recli("train-hybrid", run, *RRF, "--save-sources")
    assert parts.part_names(run, "models") == sorted(["hybrid", *DEFAULT])
    assert stored(run, "content-knn").algorithm == "content-knn"
    assert stored(run, "text-factors").algorithm == "text-factors"
    # and the next run takes the collaborative ones
    _, _, err = recli("train-hybrid", run)
    assert "ials: the run's model" in err


# the step as a function


def test_the_step_returns_what_it_wrote_and_says_nothing(
    run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    hybrid = train_hybrid(TrainHybridConfig(str(run), sources="user-knn,content-knn", save_sources=True))
    assert capfd.readouterr() == ("", "")
    assert (hybrid.name, hybrid.algorithm, hybrid.trained_on) == ("hybrid", "fusion", ("train",))
    assert hybrid.path == run / "models" / "hybrid"
    assert [path.name for path in hybrid.saved_sources] == ["user-knn", "content-knn"]
    summary = stored(run).part.summary
    assert summary.items() <= hybrid.summary.items()
    assert hybrid.sources is not None and hybrid.validation is not None and hybrid.pseudo_cold is not None
    rows = {row.pop("source"): row for row in hybrid.sources.to_dicts()}
    assert list(rows) == ["user-knn", "content-knn", LOG_POPULARITY, "fusion"]
    for name, stored_figures in summary["sources"].items():
        for key, value in stored_figures.items():
            assert rows[name][key] == pytest.approx(value, abs=1e-6)
    assert rows["user-knn"]["cold_weight"] is None
    assert (rows["fusion"]["ndcg@20"], hybrid.validation.users) == (hybrid.validation.ndcg, 33)
    assert hybrid.listed_cold is not None and (hybrid.listed_cold.n_cold, hybrid.listed_cold.users) == (
        3,
        33,
    )
    assert hybrid.trials is None and hybrid.cold_boost is None


def test_the_step_returns_trials_and_the_boost(run: Path) -> None:
    cease = train_hybrid(TrainHybridConfig(str(run), algorithm="cease", l2=7.0))
    assert cease.trials is not None and cease.trials["l2"].to_list() == [7.0] * 3
    assert cease.sources is None and cease.listed_cold is None
    fused = train_hybrid(TrainHybridConfig(str(run), sources="user-knn,content-knn", cold_share=0.1))
    assert fused.cold_boost is not None and fused.listed_cold is None
    assert fused.cold_boost.target == "--cold-share 0.1"
    assert fused.cold_boost.boost in [row["cold_boost"] for row in fused.cold_boost.trade_off]


def test_pseudo_cold_models_are_dropped_before_the_sources_are_trained_again(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from recli.steps.train_hybrid import step

    splits: list[weakref.ref[Any]] = []
    alive: list[list[bool]] = []
    fit_weights, train_sources = step.fit_weights, step.train_sources

    def fit(*arguments: Any) -> Any:
        weights, pseudo_cold = fit_weights(*arguments)
        splits.append(weakref.ref(pseudo_cold))
        return weights, pseudo_cold

    def train(*arguments: Any) -> Any:
        alive.append([split() is not None for split in splits])
        return train_sources(*arguments)

    monkeypatch.setattr(step, "fit_weights", fit)
    monkeypatch.setattr(step, "train_sources", train)
    train_hybrid(TrainHybridConfig(str(run), sources="user-knn,content-knn", cold_share=0.1, refit=True))
    assert alive == [[], [False]]


def test_a_config_checks_itself() -> None:
    with pytest.raises(ConfigError, match="--fusion voting is now --fusion rrf or --fusion borda"):
        TrainHybridConfig("run", fusion="voting")
    with pytest.raises(UsageError, match="--cold-share and --cold-boost both set"):
        TrainHybridConfig("run", cold_share=0.1, cold_boost=0.0)
    with pytest.raises(UsageError, match="--cf is about a fusion"):
        TrainHybridConfig("run", algorithm="cease", cf=("ials",))


# what is fused where nothing is named


@pytest.mark.parametrize("models", [[], ["als", "ials"], ["als", "popularity"]])
@pytest.mark.parametrize("texts", [True, False])
@pytest.mark.parametrize("few", [True, False])
@pytest.mark.parametrize("times", [True, False])
def test_default_sources(
    board: Interactions,
    monkeypatch: pytest.MonkeyPatch,
    models: list[str],
    texts: bool,
    few: bool,
    times: bool,
) -> None:
    monkeypatch.setattr("recli.steps.train_hybrid.config.EXACT_ITEMS", 30 if few else 29)  # the board has 30
    if not times:
        splits = {name: rows.drop("timestamp") for name, rows in board.splits.items()}
        board = Interactions(board.users, board.items, splits)
    expected = ["als" if models == ["als", "popularity"] else "ials", "bspm", "user-knn"]
    expected += ["content-knn", "text-factors"] * texts
    expected += ["cease" if texts and few else "ease"]
    expected += ["sequential-rules", "recent-popularity"] * times
    assert default_sources(board, models, texts) == tuple(expected)


def test_the_factor_model_of_the_run_is_a_default_source(run: Path, recli: Recli) -> None:
    recli("train-cf", run, "--algorithm", "als", "--factors", 4)
    _, _, err = recli("train-hybrid", run, *RRF)
    assert "als: the run's model" in err.splitlines()
    model = stored(run).model
    assert isinstance(model, Fusion)
    assert list(model.sources) == ["als", *DEFAULT[1:]]
    assert {s["name"]: s["base"] for s in model.config.sources}["text-factors"] == "als"


def test_weights_name_the_sources(run: Path, recli: Recli) -> None:
    weighted = ("train-hybrid", run, "--fusion", "weighted", "--weights")
    recli(*weighted, f"item-knn=0.5,content-knn=0.25,{LOG_POPULARITY}=0.25")
    model = stored(run).model
    assert isinstance(model, Fusion)
    assert model.config.weights == {"item-knn": 0.5, "content-knn": 0.25, LOG_POPULARITY: 0.25}
    assert list(model.sources) == ["item-knn", "content-knn"]
    _, _, err = recli(*weighted, "nothing=1", code=2)
    assert "there is no model and no algorithm 'nothing'" in err
    _, _, err = recli(*weighted, f"{LOG_POPULARITY}=1", code=2)
    assert "names no source" in err


# sources without weight


def test_sources_without_weight_are_left_out_and_change_nothing(
    run: Path, recli: Recli, board: Interactions, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = f"user-knn=0.5,content-knn=0.25,item-knn=0,bspm=0,{LOG_POPULARITY}=0.25"
    command = ("train-hybrid", run, "--fusion", "weighted", "--weights", weights, "--save-sources")
    _, _, err = recli(*command)
    assert "left out, as their weight is 0: item-knn, bspm" in err.splitlines()
    made = stored(run)
    model = made.model
    assert isinstance(model, Fusion)
    assert list(model.sources) == ["user-knn", "content-knn"]
    assert set(model.config.weights) == {"user-knn", "content-knn", LOG_POPULARITY}
    tensors = {name.split("/")[1] for name in load_file(made.part.path / "model.safetensors") if "/" in name}
    assert tensors == {"user-knn", "content-knn"}
    assert parts.part_names(run, "models") == ["content-knn", "hybrid", "user-knn"]
    assert set(made.part.summary["sources"]) == {
        "user-knn",
        "content-knn",
        "item-knn",
        "bspm",
        LOG_POPULARITY,
    }
    assert made.part.summary["sources"]["item-knn"]["weight"] == 0
    monkeypatch.setattr(
        "recli.steps.train_hybrid.step.without_weightless", lambda trained, weights, reporter: trained
    )
    recli(*command[:-1], "--name", "whole")
    whole = stored(run, "whole").model
    assert isinstance(whole, Fusion)
    assert list(whole.sources) == ["user-knn", "content-knn", "item-knn", "bspm"]
    history = board.history()
    np.testing.assert_array_equal(whole.score(history), model.score(history))


def test_what_a_search_gives_no_weight_is_left_out(
    run: Path, recli: Recli, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(pool: CandidatePool, advance: Callable[[int, str], None]) -> SearchResult:
        weights = np.zeros(len(pool.source_scores))
        weights[:2] = 0.5
        return SearchResult(weights, 0.5, (0.4,) * weights.size, 1)

    monkeypatch.setattr("recli.steps.train_hybrid.weights.search_weights", search)
    _, _, err = recli("train-hybrid", run)
    made = stored(run)
    model, figures = made.model, made.part.summary["sources"]
    assert isinstance(model, Fusion)
    weights = {n: f["weight"] or f.get("cold_weight", 0) for n, f in figures.items() if n != LOG_POPULARITY}
    silent = [name for name in DEFAULT if not weights[name] and name != "text-factors"]
    assert silent == ["user-knn", "cease", "sequential-rules", "recent-popularity"]
    assert f"left out, as their weight is 0: {', '.join(silent)}" in err.splitlines()
    assert list(model.sources) == [name for name in DEFAULT if name not in silent]


def test_a_source_of_cold_items_stays_without_weight_among_warm_ones(run: Path, recli: Recli) -> None:
    weights = ("--fusion", "weighted", "--weights", "user-knn=1,content-knn=0,cease=0")
    _, _, err = recli("train-hybrid", run, *weights)
    model = stored(run).model
    assert isinstance(model, Fusion)
    assert list(model.sources) == ["user-knn", "content-knn", "cease"]
    assert model.config.cold_weights == {"content-knn": 0.5, "cease": 0.5}
    assert "left out" not in err


def test_text_factors_stay_for_texts_about_users(run: Path, recli: Recli) -> None:
    weights = ("--fusion", "weighted", "--weights", "user-knn=1,content-knn=1,ials=0,text-factors=0")
    _, _, err = recli("train-hybrid", run, *weights)
    assert "left out, as their weight is 0: ials" in err.splitlines()
    model = stored(run).model
    assert isinstance(model, Fusion)
    assert list(model.sources) == ["user-knn", "content-knn", "text-factors"]
    assert model.config.sources[2]["base"] is None, "it keeps the factors of ials itself"
    assert model.text_dim == 12
    vectors = np.eye(12, dtype=np.float32)[:3]  # a text about a block, see embed
    top = np.argsort(-model.score_text(vectors), axis=1)[:, :5]
    assert (top // 10 == np.arange(3)[:, None]).all()


@pytest.mark.parametrize("refit", [(), ("--refit",)])
def test_one_source_stays_where_popularity_is_all(
    run: Path, recli: Recli, board: Interactions, refit: tuple[str, ...]
) -> None:
    weights = ("--fusion", "weighted", "--weights", f"user-knn=0,item-knn=0,{LOG_POPULARITY}=1")
    _, _, err = recli("train-hybrid", run, *weights, *refit)
    assert "left out, as their weight is 0: item-knn" in err.splitlines()
    model = stored(run).model
    assert isinstance(model, Fusion)
    assert list(model.sources) == ["user-knn"]
    empty = model.score(History(board.history().values[:1] * 0))
    warm = ~model.cold
    assert (
        np.argsort(-empty[0, warm], kind="stable") == np.argsort(-model.popularity[warm], kind="stable")
    ).all()


# users without a history


def test_weights_are_found_on_users_without_a_history_too(tmp_path: Path, recli: Recli) -> None:
    # validation rows of 3 more users, who have no training events: 33 + 3 are asked
    board = checkerboard()
    new = pl.DataFrame({"user": [11, 23, 35], "item": [0, 10, 20]})
    rows = board.splits["validation"]
    more = rows.head(3).with_columns(new["user"].cast(pl.Int32), new["item"].cast(pl.Int32))
    splits = {
        **board.splits,
        "validation": pl.concat([rows, more]).sort("user", "timestamp", "item"),
        "history": board.splits["history"].clear(),
    }
    run = write_board(tmp_path / "run", Interactions(board.users, board.items, splits))
    recli("train-hybrid", run, "--sources", "user-knn,recent-popularity")
    assert stored(run).part.summary["validation"]["users"] == 36


# features


def test_tfidf_is_joined_unless_told_otherwise(run: Path, recli: Recli) -> None:
    _, _, err = recli("train-hybrid", run, "--sources", "content-knn")
    assert "features: minilm + TF-IDF" in err
    first = stored(run).model.state()["source/content-knn/similarity.data"]
    _, _, err = recli("train-hybrid", run, "--sources", "content-knn", "--no-tfidf")
    assert "features: minilm, 12 dimensions" in err
    second = stored(run).model.state()["source/content-knn/similarity.data"]
    assert not np.array_equal(first, second)


def test_tfidf_embeddings_are_not_joined_twice(board_run: Path, recli: Recli) -> None:
    embed(board_run, "words", model="tfidf")
    _, _, err = recli("train-hybrid", board_run, "--sources", "content-knn")
    assert "features: words, 12 dimensions" in err


def test_several_embeddings(run: Path, recli: Recli) -> None:
    embed(run, "other", seed=1, dim=5)
    _, _, err = recli("train-hybrid", run, code=2)
    assert "--embeddings minilm --embeddings other" in err
    command = ("train-hybrid", run, "--sources", "content-knn", "--no-tfidf")
    _, _, err = recli(*command, "--embeddings", "minilm", "--embeddings", "other")
    assert "features: minilm + other, 17 dimensions" in err
    assert {"embeddings/minilm", "embeddings/other"} <= set(stored(run).part.manifest["inputs"])
    _, _, err = recli(*command, "--embeddings", "other")
    assert "features: other, 5 dimensions" in err


def test_no_embeddings(board_run: Path, recli: Recli) -> None:
    _, _, err = recli("train-hybrid", board_run, code=1)
    assert f"recli embed {board_run}" in err
    recli("train-hybrid", board_run, "--sources", "ials,user-knn")
    made = stored(board_run)
    assert isinstance(made.model, Fusion)
    assert made.model.text_dim == 0
    assert "encoder" not in made.part.summary


def test_no_texts(tmp_path: Path, recli: Recli) -> None:
    board = checkerboard()
    bare = Interactions(
        board.users, board.items.with_columns(text=pl.lit(None, dtype=pl.String)), board.splits
    )
    run = write_board(tmp_path / "run", bare)
    zeros = np.zeros((30, 4), dtype=np.float32)
    runs.write_embeddings(run, "minilm", zeros, zeros[0], {"model": "random"}, {})
    for asked in (("--embeddings", "minilm"), ("--sources", "ials,content-knn")):
        _, _, err = recli("train-hybrid", run, *asked, code=1)
        assert "no item" in err
        assert "--sources ials,user-knn" in err
    recli("train-hybrid", run)  # embeddings of nothing are no texts
    without = {"ials", "bspm", "user-knn", "ease", "sequential-rules", "recent-popularity"}
    assert set(stored(run).part.summary["sources"]) == {*without, LOG_POPULARITY}


# weights


def test_weighted(run: Path, recli: Recli) -> None:
    command = ("train-hybrid", run, "--sources", "user-knn,content-knn", "--fusion", "weighted")
    recli(*command, "--weights", f"user-knn=0.5,{LOG_POPULARITY}=0.25")
    model = stored(run).model
    assert isinstance(model, Fusion)
    assert model.config.weights == {"user-knn": 0.5, "content-knn": 0.0, LOG_POPULARITY: 0.25}
    assert model.config.cold_weights == {"content-knn": 1.0}  # the only one that knows cold items
    recli(*command, "--weights", "user-knn=0.5,content-knn=2")
    model = stored(run).model
    assert isinstance(model, Fusion)
    assert model.config.cold_weights == {"content-knn": 2.0}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--fusion", "weighted"), "needs --weights"),
        (("--weights", "ials=1"), "--weights needs --fusion weighted"),
        (("--sources", "ials", "--fusion", "weighted", "--weights", "bpr=1"), "'bpr' is no source"),
        (("--algorithm", "content-knn", "--history-half-life", "2"), "--history-half-life is about a fusion"),
        (("--history-half-life", "-1"), "history-half-life"),
        (("--fusion", "weighted", "--weights", "ials=-1"), "negative"),
        (("--fusion", "weighted", "--weights", "ials=0"), "all are 0"),
        (("--fusion", "weighted", "--weights", "ials"), "NAME=NUMBER"),
        (("--sources", ","), "names no source"),
        (("--sources", "ials,ials"), "named twice"),
        (("--sources", "ials,fusion"), "cannot be a source"),
        (("--sources", LOG_POPULARITY), "names no source"),
        (("--fusion", "weighted", "--weights", "ials=1,ials=2"), "--weights names 'ials' twice"),
        (
            ("--algorithm", "cease", "--fusion", "rrf"),
            "--fusion is about a fusion: it does not go with --algorithm cease",
        ),
        (("--algorithm", "cease", "--rrf-k", "5"), "--rrf-k is about a fusion"),
        (("--algorithm", "content-knn", "--sources", "ials"), "--sources is about a fusion"),
        (("--algorithm", "text-factors", "--weights", "ials=1"), "--weights is about a fusion"),
        (("--name", "none"), "--name none: the word has a meaning"),
        (("--name", "ials"), "what recli train-hybrid calls a source of another kind, and this is fusion"),
        (("--name", LOG_POPULARITY), "calls a source of another kind"),
        (("--name", ""), "--name must be"),
        (("--model", "cease"), "no such option --model: it is --algorithm"),
        (("--voting", "borda"), "no such option --voting: it is --fusion"),
        (("--fusion", "voting"), "--fusion voting is now --fusion rrf or --fusion borda"),
        (("--fusion=voting", "--voting", "rrf"), "--fusion voting is now --fusion rrf or --fusion borda"),
        (("--fusion", "best"), "--fusion"),
        (("--rrf-k", "5"), "--rrf-k is about --fusion rrf, which is not asked for"),
        (("--fusion", "borda", "--rrf-k", "5"), "--rrf-k is about --fusion rrf"),
        (("--sources", "ials", "--neighbors", "5"), "--neighbors is about the source content-knn"),
        (("--sources", "ials", "--ridge", "5"), "--ridge is about the source text-factors"),
        (
            ("--sources", "ials,ease", "--l2", "5"),
            "cease, which is not asked for; the sources are ials, ease",
        ),
        (("--sources", "ials", "--no-tfidf"), "--tfidf is about texts"),
        (("--sources", "ials", "--embeddings", "x"), "--embeddings is about texts"),
        (("--fusion", "weighted", "--weights", f"{LOG_POPULARITY}=1"), "--weights names no source"),
        (("--name", "../up"), "--name must be"),
        (("--neighbors", "0"), "neighbors"),
        (("--rrf-k", "0"), "rrf-k"),
    ],
)
def test_usage(run: Path, recli: Recli, arguments: tuple[str, ...], said: str) -> None:
    _, _, err = recli("train-hybrid", run, *arguments, code=2)
    assert said in err
    assert parts.part_names(run, "models") == []


def test_fusion_of_ranks(run: Path, recli: Recli, board: Interactions) -> None:
    command = ("train-hybrid", run, "--sources", "user-knn,content-knn")
    made: list[Any] = []
    for more in (RRF, (*RRF, "--rrf-k", 1), ("--fusion", "borda")):
        recli(*command, *more)
        model = stored(run).model
        assert isinstance(model, Fusion)
        assert model.config.weights == {"user-knn": 0.5, "content-knn": 0.5, LOG_POPULARITY: 0.0}
        made.append(model)
    assert [m.config.fusion for m in made] == ["rrf", "rrf", "borda"]
    assert [m.config.rrf_k for m in made] == [60, 1, 60]
    scores = [m.score(board.history()) for m in made]
    assert not np.allclose(scores[0], scores[1])
    assert not np.allclose(scores[0], scores[2])
    for one in scores:
        assert (one.argmax(axis=1) // 10 == np.arange(36) // 12).all()


def test_weights_are_searched_on_a_sample_of_users(run: Path, recli: Recli) -> None:
    recli("train-hybrid", run, "--sources", "user-knn,content-knn", "--weight-users", 7)
    assert stored(run).part.summary["validation"]["users"] == 7


def test_cold_boost_raises_cold_items(run: Path, recli: Recli, board: Interactions) -> None:
    from recli.ranking import topk

    shares = []
    for boost in (-5, 0, 5):
        recli("train-hybrid", run, "--sources", "user-knn,content-knn", "--cold-boost", boost)
        history = board.history()
        users, ties = np.full(board.n_users, -1), board.ties
        top = topk.rank(stored(run).model, history, users, k=3, ties=ties, seen=history.values).items
        shares.append(float((top % 10 == 9).mean()))
    assert shares == sorted(shares)
    assert shares[0] == 0
    assert shares[2] == 1


def test_the_weak_source_gets_the_small_weight(run: Path, recli: Recli) -> None:
    noise = np.random.default_rng(0).normal(size=(30, 12)).astype(np.float32)
    runs.write_embeddings(run, "noise", noise, noise[0] * 0, {"model": "random"}, {})
    recli("train-hybrid", run, "--sources", "user-knn,content-knn", "--embeddings", "noise", "--no-tfidf")
    sources = stored(run).part.summary["sources"]
    assert sources["content-knn"]["weight"] < sources["user-knn"]["weight"]
    assert sources["content-knn"]["ndcg@20"] < sources["user-knn"]["ndcg@20"]


def test_no_validation(tmp_path: Path, recli: Recli) -> None:
    board = checkerboard()
    splits = {**board.splits, "validation": board.splits["validation"].clear()}
    run = write_board(tmp_path / "run", Interactions(board.users, board.items, splits))
    embed(run)
    _, _, err = recli("train-hybrid", run, code=1)
    assert "--validation-size" in err
    recli("train-hybrid", run, "--fusion", "weighted", "--weights", "ials=0.5,content-knn=0.5")
    recli("train-hybrid", run, *RRF, "--name", "ranks")
    recli("train-hybrid", run, "--algorithm", "cease", "--name", "closed")
    assert "validation" not in stored(run).part.summary
    assert stored(run, "closed").part.config["options"]["l2"] == 200.0


# one content model


def test_cease_is_searched_on_validation(run: Path, recli: Recli) -> None:
    _, _, err = recli("train-hybrid", run, "--algorithm", "cease")
    assert "Collective EASE on validation" in err
    made = stored(run, "cease")
    trials = made.part.summary["trials"]
    assert len(trials) == 5
    best = max(trials, key=lambda t: t["ndcg@20"])
    assert made.part.config["options"]["l2"] == best["l2"]
    assert made.part.config["options"]["text_weight"] == best["text_weight"]
    recli("train-hybrid", run, "--algorithm", "cease", "--l2", 7)
    assert {t["l2"] for t in stored(run, "cease").part.summary["trials"]} == {7.0}
    recli("train-hybrid", run, "--algorithm", "cease", "--l2", 7, "--text-weight", 3, "--refit")
    made = stored(run, "cease")
    assert "trials" not in made.part.summary
    assert made.trained_on == ("train", "validation")
    assert made.part.config["options"] == {"l2": 7.0, "max_items": 40_000, "text_weight": 3.0}
    _, _, err = recli("train-hybrid", run, "--algorithm", "cease", "--max-items", 29, code=1)
    assert "--max-items 30" in err


def test_content_models_by_themselves(run: Path, recli: Recli) -> None:
    recli("train-hybrid", run, "--algorithm", "content-knn", "--neighbors", 3)
    made = stored(run, "content-knn")
    assert made.part.config["options"]["neighbors"] == 3
    rows = np.diff(made.model.state()["similarity.indptr"])
    assert rows.max() <= 6  # 3 warm and 3 cold ones
    recli("train-hybrid", run, "--algorithm", "text-factors", "--ridge", 4, "--name", "ridge")
    assert stored(run, "ridge").part.config["options"]["ridge"] == 4.0
    assert "validation" in stored(run, "ridge").part.summary


def test_neighbors_and_ridge_reach_the_fusion(run: Path, recli: Recli) -> None:
    recli("train-hybrid", run, "--neighbors", 2, "--ridge", 9, *RRF)
    model = stored(run).model
    assert isinstance(model, Fusion)
    options = {s["name"]: s["options"] for s in model.config.sources}
    assert options["content-knn"]["neighbors"] == 2
    assert options["text-factors"]["ridge"] == 9.0


# parts that do not belong together


def test_foreign_parts_are_refused(run: Path, recli: Recli) -> None:
    train_ials(run)
    write_board(run, checkerboard(seed=8))  # prepared again: other interactions
    _, _, err = recli("train-hybrid", run, code=1)
    assert "made from other interactions" in err
    assert f"recli embed {run} --name minilm" in err
    _, _, err = recli("train-hybrid", run, "--sources", "ials", code=1)
    assert "made from other interactions" in err
    assert f"recli train-cf {run} --algorithm ials --name ials" in err


def test_a_hybrid_is_no_source(run: Path, recli: Recli) -> None:
    recli("train-hybrid", run, "--sources", "user-knn", "--name", "first")
    _, _, err = recli("train-hybrid", run, "--sources", "first,user-knn", code=1)
    assert "cannot be a source" in err


def test_no_such_run(tmp_path: Path, recli: Recli) -> None:
    _, _, err = recli("train-hybrid", tmp_path / "none", code=1)
    assert "recli prepare" in err


def test_help_warns_of_rrf(recli: Recli) -> None:
    _, out, _ = recli("train-hybrid", "--help")
    text = " ".join(out.replace("│", " ").split())
    assert "Safe only between equally strong sources" in text
    assert "Example: recli train-hybrid sample_data/run" in text


def test_board_texts_find_the_block_by_tfidf_alone(
    board_run: Path, recli: Recli, board: Interactions
) -> None:
    assert len(WORDS) == 3
    recli("embed", board_run, "--model", "tfidf")
    recli("train-hybrid", board_run, "--sources", "content-knn")
    top = stored(board_run).model.score(board.history()).argmax(axis=1)
    assert (top // 10 == np.arange(36) // 12).all()


def test_a_text_about_a_user_is_encoded_like_the_items_and_scored(
    board_run: Path, recli: Recli, board: Interactions
) -> None:
    from recli.encoders.reencode import encode_like

    recli("embed", board_run, "--model", "tfidf")
    recli("train-hybrid", board_run)
    made = stored(board_run)
    model = made.model
    assert isinstance(model, Fusion)
    corpus = made.interactions.items["text"].to_list()
    vectors = encode_like(made.encoder, model.text_space, WORDS, corpus)
    assert vectors.shape == (3, model.text_dim)
    top = np.argsort(-model.score_text(vectors), axis=1)[:, :5]
    assert (top // 10 == np.arange(3)[:, None]).all()
