"""`recli evaluate` with `--seeds` or `--folds`: the models are trained again on other splits, and measured on each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from recli import schema
from recli.errors import RecliError, quoted
from recli.recipes import splits, training
from recli.reporting import SILENT, Advance, Reporter, counted
from recli.steps.evaluate import step
from recli.steps.evaluate.config import EvaluateConfig
from recli.steps.evaluate.gates import check_gates, parse_gates
from recli.steps.evaluate.inputs import chosen_models
from recli.steps.evaluate.repeats import combined, repeats_frame, without_users
from recli.steps.evaluate.results import (
    Evaluation,
    EvaluationSummary,
    comparisons_frame,
    metrics_frame,
    per_user_frame,
)
from recli.storage import atomic, parts, runs
from recli.storage.parts import Part

if TYPE_CHECKING:
    from recli.data.interactions import Interactions


def evaluate(config: EvaluateConfig, reporter: Reporter = SILENT) -> Evaluation:
    """Measure models as `recli.steps.evaluate.step.evaluate` does, once or as often as `--seeds`, `--folds` say.

    Of the run only the part with the metrics changes. What is trained lies in a hidden folder of the run, which goes
    in the end, also after an error or Ctrl-C.
    """
    if not config.repeats:
        return step.evaluate(config, reporter)
    gates = parse_gates(config.fail_under)
    step.specs_of(config, gates)
    step.check_outputs(config)
    run = Path(config.run)
    interactions = runs.read_interactions(run)
    models = chosen_models(run, config.models, False, config.split, interactions, reporter.warn)
    step.check_names(config, gates, list(models))
    recipe = _recipe(config, run, interactions, models)
    reporter.say(recipe.cost())
    if (config.seed, config.samples) != (EvaluateConfig.seed, EvaluateConfig.samples):
        reporter.warn(
            f"--seed and --samples are about the bootstrap, which is not drawn with {config.repeats}"
        )
    summaries = list(recipe.summaries(config, reporter))

    cards = [summary.card for summary in summaries]
    card = combined(cards, config.confidence, config.compare)
    protocol = [*recipe.rules(config), *_of_first(summaries[0].protocol)]
    gates_met = check_gates(gates, card)
    summary = EvaluationSummary(config, card, list(models), recipe.data(), protocol, gates_met)
    no_users = interactions.users[schema.USER_ID].clear()
    frames = metrics_frame(card), per_user_frame(card, no_users), comparisons_frame(card)
    evaluation = Evaluation(run, run / config.name, summary, *frames, repeats_frame(cards))
    inputs = {schema.INTERACTIONS: interactions.sha256}
    step.write(evaluation, inputs | {f"{schema.MODELS}/{name}": part.sha256 for name, part in models.items()})
    return evaluation


@dataclass(frozen=True)
class _Recipe:
    """What is repeated: the split of a repeat by its number from 0, and the models that are trained on it."""

    run: Path
    source: Part  # the interactions of the run
    interactions: Interactions
    models: list[str]  # that are evaluated
    trained: dict[str, Part]  # those, and what they are made from
    word: str  # seed, fold
    n: int
    split: Callable[[int], Interactions]
    seed_step: int  # by how much the training's seed grows from one repeat to the next

    def cost(self) -> str:
        """How much there is to train."""
        return (
            f"{counted(self.n, self.word)}, {counted(len(self.trained), 'model')} ({', '.join(self.trained)}): "
            f"{counted(self.n * len(self.trained), 'training')}"
        )

    def summaries(self, config: EvaluateConfig, reporter: Reporter) -> Iterator[EvaluationSummary]:
        """The evaluation of each repeat, in a temporary run that goes before the next is made."""
        once = replace(
            config,
            models=",".join(self.models),
            seeds=None,
            folds=None,
            samples=0,
            name=schema.METRICS,
            seed=EvaluateConfig.seed,
            report=None,
            plots=None,
        )
        warned: set[str] = set()
        with atomic.scratch(self.run) as scratch:
            for number in range(self.n):
                label = f"{self.word} {number + 1} of {self.n}"
                folder, labeled = scratch / "run", _Labeled(reporter, label, warned)
                with self._named(label, folder):
                    self._make(folder, number, labeled)
                    summary = step.evaluate(replace(once, run=str(folder)), labeled).summary
                yield replace(summary, card=without_users(summary.card))
                shutil.rmtree(folder)

    @contextmanager
    def _named(self, label: str, folder: Path) -> Iterator[None]:
        """Have errors say in which repeat they were, and name the run instead of its temporary copy."""
        try:
            yield
        except RecliError as error:
            texts = [
                None if text is None else text.replace(str(folder), str(self.run))
                for text in (error.what, error.fix)
            ]
            raise type(error)(f"{label}: {texts[0]}", texts[1]) from error

    def _make(self, folder: Path, number: int, reporter: Reporter) -> None:
        """Make the run of one repeat: split, embeddings, models."""
        weights = self.source.summary.get("weight_transform")
        summary = {} if weights is None else {"weight_transform": weights}
        catalogue = runs.read_catalogue(self.run)
        runs.write_interactions(folder, self.split(number), self.source.config, summary, catalogue)
        sha256 = parts.open_part(folder / schema.INTERACTIONS, schema.INTERACTIONS).sha256
        for name in parts.part_names(self.run, schema.EMBEDDINGS):
            self._take_embeddings(name, folder, sha256)
        for part in self.trained.values():
            training.train_again(part, folder, number * self.seed_step, reporter)

    def _take_embeddings(self, name: str, folder: Path, sha256: str) -> None:
        """The vectors of the items, which do not depend on the split."""
        part = parts.open_part(self.run / schema.EMBEDDINGS / name, schema.EMBEDDINGS)
        remedy = f"recli embed {quoted(self.run)} --name {quoted(name)}"
        parts.check_same_input(part, schema.INTERACTIONS, self.interactions.sha256, remedy)
        inputs = part.inputs | {schema.INTERACTIONS: sha256}
        with parts.write_part(
            folder / schema.EMBEDDINGS / name, schema.EMBEDDINGS, part.config, inputs
        ) as writer:
            for file in part.manifest["files"]:
                training.link(part.file(file), writer.path / file)
            writer.format = part.manifest["format"]
            writer.summary.update(part.summary)

    def data(self) -> dict[str, int]:
        events = sum(rows.height for rows in self.interactions.splits.values())
        sizes = {"users": self.interactions.n_users, "items": self.interactions.n_items, "events": events}
        return sizes | {f"{self.word}s": self.n, "trainings": self.n * len(self.trained)}

    def rules(self, config: EvaluateConfig) -> list[str]:
        """How it was repeated, one sentence for each rule."""
        options = self.source.config
        if self.word == "fold":
            how = f"{self.n} folds: each of a user's events is in the test of one of them, seed {options['seed']}"
        elif options["split"] == splits.DRAWN:
            seeds = f"{options['seed']} to {options['seed'] + self.n - 1}"
            how = (
                f"{self.n} seeds: the split is drawn with the seeds {seeds}, and models are trained with their "
                f"seeds + 0 to {self.n - 1}"
            )
        else:
            how = (
                f"{self.n} seeds: the split stays (--split {options['split']}), models are trained with their "
                f"seeds + 0 to {self.n - 1}"
            )
        overlap = (
            "The folds have training events in common"
            if self.word == "fold"
            else "The repeats have events in common"
        )
        return [
            f"{how}.",
            "Models are trained again by their stored options; options that a search (--tune, --patience) found in the "
            "run are not searched again. Cleaning, the scale of weights, and embeddings (with the center that is taken "
            "off them) are those of the run.",
            f"Intervals: {100 * config.confidence:g}% t intervals of the mean over {self.n} {self.word}s; p two-sided, "
            "paired t test, none where all differences are the same; p (Holm) corrected for the number of models that "
            f"are compared in a metric. {overlap}, so intervals are somewhat too narrow, and p too small.",
        ]


def _recipe(
    config: EvaluateConfig, run: Path, interactions: Interactions, models: Mapping[str, Part]
) -> _Recipe:
    source = parts.open_part(run / schema.INTERACTIONS, schema.INTERACTIONS)
    options = source.config
    trained = training.needed_models(run, list(models.values()))
    recipe = partial(_Recipe, run, source, interactions, list(models), trained)
    if config.folds is not None:
        n = config.folds
        splits.check_folds(options)
        return recipe("fold", n, lambda number: splits.fold(interactions, options, number, n), 0)

    def drawn(number: int) -> Interactions:
        if options["split"] != splits.DRAWN:
            return interactions
        return splits.redrawn(interactions, options, options["seed"] + number)

    return recipe("seed", config.seeds or 0, drawn, 1)


def _of_first(protocol: Sequence[str]) -> list[str]:
    """The protocol of the first repeat, which the others differ from in numbers only."""
    return [f"In the first: {protocol[0]}", *protocol[1:]]


@dataclass(frozen=True)
class _Labeled:
    """A reporter that says which repeat it is. What is said of each is left out, and the same warning comes once."""

    reporter: Reporter
    label: str
    warned: set[str] = field(default_factory=set)

    def say(self, text: str) -> None: ...

    def warn(self, text: str) -> None:
        if text not in self.warned:
            self.warned.add(text)
            self.reporter.warn(f"{self.label}: {text}")

    def progress(self, what: str, total: int | None, unit: str = "") -> AbstractContextManager[Advance]:
        return self.reporter.progress(f"{self.label}, {what}", total, unit)
