"""`recli train-cf` on the terminal."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import polars as pl

from recli.cli.console import Console, run_path
from recli.models.base import algorithms
from recli.steps.train_cf.config import CommonConfig, config_of
from recli.steps.train_cf.config import TrainCfConfig as TrainCfConfig


def train_cf(config: CommonConfig, console: Console) -> None:
    """Train a collaborative-filtering model on the interactions: RUN/models/NAME.

    ials, als, bpr and lmf factorize; item-knn and user-knn use neighbors; ease is linear, in closed form, and often
    the best where the catalogue is not too large (above 20,000 items it is sparse, an approximation); gf-cf, bspm and
    rp3beta need no training and suit large, sparse logs. sequential-rules uses the order of events, and so does any
    other with --history-half-life: worth a try for predicting the next event. popularity is the baseline; bias
    predicts ratings. bpr's best learning rate, regularization and iterations differ up to tenfold from log to log, and
    with unfit ones it can fall below popularity: use --tune.

    Example: recli train-cf sample_data/run --algorithm ials --patience 3
    """
    from recli.steps.train_cf import step

    trained = step.train_cf(dataclasses.replace(config, run=str(run_path(config.run))), console)
    if trained.trials is not None:
        _show_trials(console, trained.trials, config)
    if trained.validation is not None:
        exact = trained.ndcg_float32
        in_float32 = "" if exact is None else f"; {exact:.4f} in float32"
        ndcg, users = trained.validation.ndcg, trained.validation.users
        console.say(f"validation ndcg@20 {ndcg:.4f} ({users:,} users){in_float32}")
    console.say(f"wrote {trained.path}")
    console.result(trained.run, trained.summary)


def config_for_help(arguments: Sequence[str]) -> type[CommonConfig]:
    """The config whose options the help shows: with `--algorithm X` those of X only."""
    named = {words[1] for words in pairwise(arguments) if words[0] == "--algorithm"}
    named |= {word.removeprefix("--algorithm=") for word in arguments if word.startswith("--algorithm=")}
    known = named & set(algorithms.names(lambda a: a.family == "cf"))
    return config_of(sorted(known)) if known else TrainCfConfig


def _show_trials(console: Console, trials: pl.DataFrame, config: CommonConfig) -> None:
    names = [name for name in trials.columns if name not in ("ndcg@20", "best")]
    rows = [
        [
            f"{i + 1}{' best' if trial['best'] else ''}",
            *(_digits(trial[name]) for name in names),
            f"{trial['ndcg@20']:.4f}",
        ]
        for i, trial in enumerate(trials.iter_rows(named=True))
    ]
    common = {field.name for field in dataclasses.fields(CommonConfig)}
    own = [field.name for field in dataclasses.fields(config) if field.name not in common]
    any_fixed = any(getattr(config, name) is not None for name in own)
    note = "Options that were set stayed fixed. " if any_fixed else "Trial 1 has the defaults. "
    labels = [name.replace("_", "-") for name in names]
    console.table("Trials", ["trial", *labels, "ndcg@20"], rows, note + "NDCG@20 on validation.")


def _digits(value: Any) -> str:
    if value is None:
        return "by data"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
