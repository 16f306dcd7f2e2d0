"""How strongly values and dislikes count: what there is to choose from, what is chosen on validation and stored."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from conftest import write_board

from recli.data.history import History
from recli.data.interactions import Interactions
from recli.models.base import algorithms
from recli.models.fusion import Fusion
from recli.models.wrappers import UNSCALED, Rescaled, ValueScale, scale_of, unwrap
from recli.storage import runs
from recli.training.fit import FitResult, train
from recli.training.validation import validator_of
from recli.training.value_choices import ValueChoices, fit_best, safe_strength, value_choices, value_scale

Recli = Callable[..., tuple[int, str, str]]
KNN, EASE, BPR = (algorithms[name] for name in ("item-knn", "ease", "bpr"))


def weighted(board: Interactions, seed: int = 0, harmful: bool = False) -> Interactions:
    """The board with weights of 1 to 5 in training; harmful: each user's events in other blocks count 1,000."""
    random = np.random.default_rng(seed)
    splits = dict(board.splits)
    for name in ("train", "history"):
        rows = splits[name]
        values = random.integers(1, 6, rows.height).astype(np.float32)
        splits[name] = rows.with_columns(pl.Series("value", values))
    if harmful:
        train = splits["train"]
        users = np.unique(train["user"].to_numpy())
        alien = pl.DataFrame(
            {"user": users, "item": ((users // 12 + 1) % 3 * 10 + users % 9).astype(np.int32)},
            schema_overrides={"user": pl.Int32, "item": pl.Int32},
        ).with_columns(pl.lit(1000.0, pl.Float32).alias("value"))
        alien = alien.with_columns(
            pl.lit(3.0, pl.Float32).alias("rating"), pl.lit(0, pl.Int64).alias("timestamp")
        )
        splits["train"] = pl.concat([train, alien.select(train.columns)]).sort("user", "timestamp", "item")
    return replace(board, splits=splits)


def disliking(board: Interactions) -> Interactions:
    """The board where all users dislike an item of the next block."""
    users = np.unique(board.splits["train"]["user"].to_numpy()).astype(np.int32)
    seen = pl.DataFrame({"user": users, "item": ((users // 12 + 1) % 3 * 10 + users % 9).astype(np.int32)})
    seen = seen.with_columns(pl.lit(2.0, pl.Float32).alias("negative"), pl.lit("train").alias("split"))
    return replace(board, seen_events=seen)


# --- what there is to choose from


def test_without_weights_and_dislikes_there_is_nothing_to_choose(board: Interactions) -> None:
    for algorithm in (KNN, EASE, BPR):
        assert value_choices(algorithm, board).fits == 1
        assert value_scale(algorithm, board.matrix("train"), None) == UNSCALED


def test_weights_are_tried_as_far_as_is_safe_whole_and_not_at_all(board: Interactions) -> None:
    data = weighted(board)
    safe = safe_strength(data.matrix("train"))
    assert 0.3 < safe < 1
    assert value_choices(KNN, data).strengths == (safe, 1.0, 0.0)
    assert value_choices(BPR, data).strengths == (None,)
    assert value_choices(KNN, data, strength=0.5).strengths == (0.5,)
    assert value_choices(KNN, data, validated=False).strengths == (None,)


def test_the_safe_strength_limits_the_spread(board: Interactions) -> None:
    matrix = weighted(board).matrix("train")
    scaled = value_scale(KNN, matrix, None)(matrix)
    assert scaled.data.mean() == pytest.approx(1) and scaled.data.std() == pytest.approx(0.3, abs=1e-3)


def test_dislikes_are_tried_where_an_algorithm_can_use_them(board: Interactions) -> None:
    data = disliking(board)
    assert value_choices(EASE, data).negative_weights == (0.0, 0.2, 1.0)
    assert value_choices(KNN, data).negative_weights == (0.0,)
    assert value_choices(EASE, data, negative_weight=3.0).negative_weights == (3.0,)
    assert value_choices(EASE, data, validated=False).negative_weights == (0.0,)


# --- training


def test_values_are_scaled_to_mean_1_in_training_and_in_histories(board: Interactions) -> None:
    data = weighted(board)
    double = replace(
        data, splits={name: rows.with_columns(pl.col("value") * 8) for name, rows in data.splits.items()}
    )
    for name in ("als", "ease", "item-knn", "lmf"):  # those whose options mean another thing at another scale
        config = algorithms[name].config()
        models = [train(algorithms[name], config, d, weight_strength=1.0).model for d in (data, double)]
        scores = [m.score(d.history()) for m, d in zip(models, (data, double), strict=True)]
        np.testing.assert_allclose(*scores, rtol=1e-3, atol=1e-4)


def test_no_strength_at_all_is_a_log_without_weights(board: Interactions) -> None:
    plain = train(KNN, KNN.config(), board).model
    ignored = train(KNN, KNN.config(), weighted(board), weight_strength=0.0).model
    assert isinstance(ignored, Rescaled) and not isinstance(plain, Rescaled)
    scores = ignored.score(weighted(board).history())
    np.testing.assert_array_equal(scores, plain.score(board.history()))


def test_a_log_without_weights_is_trained_as_ever(board: Interactions) -> None:
    for strength in (None, 0.0, 1.0):
        fitted = train(KNN, KNN.config(), board, weight_strength=strength)
        assert fitted.scale == UNSCALED and unwrap(fitted.model) is fitted.model


def test_weights_that_hurt_are_ignored(board: Interactions) -> None:
    data = weighted(board, harmful=True)

    def with_values(**options: float) -> FitResult:
        return train(KNN, KNN.config(), data, **options)

    best = fit_best(with_values, value_choices(KNN, data), validator_of(data))
    assert best.trained.scale.strength == 0.0
    assert best.by_strength[0.0] == max(best.by_strength.values()) > best.by_strength[1.0]
    assert best.sentences()[0].startswith("strength of weights 0, of validation ndcg@20 by it: ")


class _Fixed:
    """A validator of models whose NDCG@20 is told by their scale."""

    def __init__(self, gain: float, spread: float) -> None:
        noise = np.random.default_rng(0).normal(size=400)
        self.noise = gain + spread * (noise - noise.mean()) / noise.std()

    def per_user(self, model: Any) -> Any:
        return np.full(400, 0.5) + (self.noise if scale_of(model).negatives else 0)


@pytest.mark.parametrize(
    ("gain", "spread", "chosen"), [(0.01, 0.02, 0.2), (0.01, 0.2, 0.0), (-0.01, 0.01, 0.0), (0.0, 0.0, 0.0)]
)
def test_dislikes_are_used_only_where_they_surely_help(gain: float, spread: float, chosen: float) -> None:
    def with_values(weight_strength: float | None, negative_weight: float) -> FitResult:
        scale = ValueScale(negatives=negative_weight)
        return FitResult(Rescaled(train_nothing(), scale), None, (), scale)

    best = fit_best(with_values, ValueChoices((1.0,), (0.0, 0.2, 1.0)), _Fixed(gain, spread))  # type: ignore[arg-type]
    assert best.trained.scale.negatives == chosen
    assert list(best.by_negative_weight) == [0.0, 0.2, 1.0]


def train_nothing() -> Any:
    return algorithms["popularity"].load(None, {"counts": np.ones(3, dtype=np.float32)})


# --- from the shell


def written(run: Path, data: Interactions) -> Path:
    runs.write_interactions(run, data, {}, {})
    return run


def manifest_of(run: Path, name: str) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((run / "models" / name / "manifest.json").read_text())
    return manifest


def test_the_choice_is_said_stored_and_read_back(tmp_path: Path, board: Interactions, recli: Recli) -> None:
    run = written(tmp_path / "run", weighted(board, harmful=True))
    _, _, err = recli("train-cf", run, "--algorithm", "item-knn")
    assert "strength of weights 0, of validation ndcg@20 by it" in " ".join(err.split())
    manifest = manifest_of(run, "item-knn")
    assert len(manifest["summary"]["weight_strengths"]) == 3
    stored = runs.read_model(run / "models" / "item-knn")
    assert isinstance(stored.model, Rescaled) and stored.model.scale.strength == 0.0
    expected = train(KNN, KNN.config(), stored.interactions, weight_strength=0.0).model
    history = stored.interactions.history()
    np.testing.assert_allclose(stored.model.score(history), expected.score(history), rtol=1e-6)


def test_a_given_strength_is_used(tmp_path: Path, board: Interactions, recli: Recli) -> None:
    run = written(tmp_path / "run", weighted(board))
    recli("train-cf", run, "--algorithm", "item-knn", "--weight-strength", 0.25, "--refit")
    stored = runs.read_model(run / "models" / "item-knn")
    assert stored.meta.scale.strength == 0.25
    both = stored.interactions.matrix("train", "validation").data
    assert stored.meta.scale.mean == pytest.approx(float(both.mean()))


def test_tune_searches_the_strength_too(tmp_path: Path, board: Interactions, recli: Recli) -> None:
    run = written(tmp_path / "run", weighted(board, harmful=True))
    recli("train-cf", run, "--algorithm", "item-knn", "--tune", 12)
    trials = manifest_of(run, "item-knn")["summary"]["trials"]
    assert {trial["options"]["weight_strength"] for trial in trials} == {
        0.0, 1.0, safe_strength(runs.read_interactions(run).matrix("train")),
    }  # fmt: skip
    best = max(trials, key=lambda trial: trial["ndcg@20"])
    assert (
        runs.read_model(run / "models" / "item-knn").meta.scale.strength == best["options"]["weight_strength"]
    )


def test_tune_of_a_log_without_weights_searches_what_it_did(board_run: Path, recli: Recli) -> None:
    recli("train-cf", board_run, "--algorithm", "item-knn", "--tune", 3)
    for trial in manifest_of(board_run, "item-knn")["summary"]["trials"]:
        assert set(trial["options"]) == {"neighbors", "weighting", "shrinkage"}


def test_a_given_weight_of_dislikes_is_used_and_read_back(
    tmp_path: Path, board: Interactions, recli: Recli
) -> None:
    run = written(tmp_path / "run", disliking(board))
    recli("train-cf", run, "--algorithm", "ease", "--negative-weight", 0.5, "--weight-strength", 1)
    stored = runs.read_model(run / "models" / "ease")
    assert stored.meta.scale == ValueScale(1.0, 1.0, 0.5, 2.0)
    history = stored.interactions.history()
    assert history.negatives is not None
    scores = stored.model.score(history)
    np.testing.assert_allclose(scores, unwrap(stored.model).score(History(_signed(history))), rtol=1e-6)
    assert not np.allclose(scores, unwrap(stored.model).score(history))


def _signed(history: History) -> Any:
    assert history.negatives is not None
    return (history.values - history.negatives * np.float32(0.25)).tocsr()


def test_where_dislikes_do_not_help_they_are_only_masked(
    tmp_path: Path, board: Interactions, recli: Recli
) -> None:
    with_dislikes, plain = (written(tmp_path / n, d) for n, d in (("a", disliking(board)), ("b", board)))
    _, _, err = recli("train-cf", with_dislikes, "--algorithm", "ease")
    recli("train-cf", plain, "--algorithm", "ease")
    assert "weight of dislikes 0" in err
    states = [(run / "models" / "ease" / "model.safetensors").read_bytes() for run in (with_dislikes, plain)]
    assert states[0] == states[1]


@pytest.mark.parametrize(
    ("algorithm", "option", "said"),
    [("bpr", "--weight-strength", "does not learn from the weights"), ("item-knn", "--negative-weight", "dislikes")],
)  # fmt: skip
def test_options_of_what_an_algorithm_does_not_use(
    algorithm: str, option: str, said: str, board_run: Path, recli: Recli
) -> None:
    _, _, err = recli("train-cf", board_run, "--algorithm", algorithm, option, 0.5, code=2)
    assert said in err


# --- the hybrid


def test_every_source_of_a_hybrid_chooses(tmp_path: Path, board: Interactions, recli: Recli) -> None:
    run = write_board(tmp_path / "run", weighted(board, harmful=True))
    recli("embed", run, "--model", "tfidf")
    _, _, err = recli("train-hybrid", run, "--sources", "ials,ease,text-factors,cease,item-knn")
    said = " ".join(err.split())
    assert all(f"{name}: strength of weights" in said for name in ("ials", "ease", "item-knn", "cease"))
    stored = runs.read_model(run / "models" / "hybrid")
    assert isinstance(stored.model, Fusion)
    scales = {name: scale_of(model) for name, model in stored.model.sources.items()}
    assert scales["item-knn"].strength == 0.0 and scales["text-factors"] == scales["ials"]
    described = {s["name"]: s for s in manifest_of(run, "hybrid")["config"]["options"]["sources"]}
    assert described["item-knn"]["value_scale"] == list(scales["item-knn"].numbers())


def test_a_hybrid_keeps_its_choices_when_it_is_trained_again(
    tmp_path: Path, board: Interactions, recli: Recli
) -> None:
    run = written(tmp_path / "run", weighted(board, harmful=True))
    recli(
        "train-hybrid", run, "--sources", "item-knn,user-knn", "--fusion", "rrf", "--refit", "--save-sources"
    )
    stored = runs.read_model(run / "models" / "hybrid")
    assert isinstance(stored.model, Fusion)
    alone = runs.read_model(run / "models" / "item-knn")
    assert alone.meta.scale == scale_of(stored.model.sources["item-knn"]) and alone.meta.scale.strength == 0.0
    history = stored.interactions.history(("train", "validation"))
    source = stored.model.sources["item-knn"]
    np.testing.assert_allclose(source.score(history), alone.model.score(history), rtol=1e-6)
