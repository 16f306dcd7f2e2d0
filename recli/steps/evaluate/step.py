"""Measures models and external recommendations on the test split: the part RUN/metrics, a report, figures."""

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from recli import schema
from recli.data.interactions import Interactions
from recli.errors import DeviceError, RecliError, UsageError, did_you_mean
from recli.metrics.base import MetricSpec, TestSet, parse_metrics
from recli.reporting import SILENT, Reporter
from recli.steps.evaluate.bootstrap import resample
from recli.steps.evaluate.config import DEFAULT, EvaluateConfig
from recli.steps.evaluate.evaluator import Evaluator
from recli.steps.evaluate.gates import Gate, check_gates, parse_gates
from recli.steps.evaluate.inputs import check_files, chosen_models, diversity_vectors, labeled
from recli.steps.evaluate.protocol import evaluation_protocol
from recli.steps.evaluate.results import (
    EvaluatedSystem,
    Evaluation,
    EvaluationSummary,
    comparisons_frame,
    metrics_frame,
    per_user_frame,
    scorecard,
)
from recli.steps.evaluate.test_set import make_test_set, rated_pairs
from recli.storage import atomic, parts, runs
from recli.storage.writable import check_writable


def evaluate(config: EvaluateConfig, reporter: Reporter = SILENT) -> Evaluation:
    """Measure models of a run and external recommendations on a split, and write RUN/metrics.

    Writes the report and the figures too where they are asked for. Quality gates are checked, not enforced: see
    `Evaluation.gates`. Raises `RecliError` where nothing can be measured.
    """
    gates = parse_gates(config.fail_under)
    specs = specs_of(config, gates)
    files = labeled(config.recommendations)
    check_outputs(config)
    run = Path(config.run)
    interactions = runs.read_interactions(run)
    models = chosen_models(run, config.models, bool(files), config.split, interactions, reporter.warn)
    check_names(config, gates, [*models, *files])
    check_files(files)
    inputs = {schema.INTERACTIONS: interactions.sha256}
    inputs |= {f"{schema.MODELS}/{name}": part.sha256 for name, part in models.items()}

    test_set, counts = make_test_set(interactions, config.split, config.candidates == "warm")
    _check_test_set(test_set, config)
    specs = _cut_to_catalogue(specs, _named_labels(config, gates), test_set.n_items, reporter)
    vectors_are = ""
    if any(s.metric.name == "diversity" for s in specs):
        vectors, vectors_are, read = diversity_vectors(run, config.embeddings, interactions)
        test_set, inputs = replace(test_set, vectors=vectors), inputs | read
    rated = rated_pairs(interactions, config.split, test_set)
    evaluator = Evaluator(interactions, test_set, specs, rated, reporter, config.fallback)
    systems = [evaluator.model(part) for part in models.values()]
    by_fallback = {s.name: count for s in systems for count in s.notes.values()}
    for name, path in files.items():
        system, inputs[f"lists/{name}"] = evaluator.lists(name, path)
        systems.append(system)
    _check_measured(specs, systems)

    with (reporter if config.samples else SILENT).progress("bootstrap", config.samples, "draws") as advance:
        resampled = resample([s.values for s in systems], config.samples, config.seed, advance)
    card = scorecard(systems, specs, resampled, config.confidence, config.compare)
    protocol = evaluation_protocol(config, test_set, counts, specs, vectors_are, by_fallback)
    data = _data(interactions, test_set)
    summary = EvaluationSummary(config, card, list(models), data, protocol, check_gates(gates, card))
    user_ids = interactions.users[schema.USER_ID].gather(test_set.users)
    frames = metrics_frame(card), per_user_frame(card, user_ids), comparisons_frame(card)
    evaluation = Evaluation(run, run / config.name, summary, *frames)
    write(evaluation, inputs)
    return evaluation


def specs_of(config: EvaluateConfig, gates: Sequence[Gate]) -> tuple[MetricSpec, ...]:
    """The metrics of `--metrics`, and those that only a gate names."""
    specs = parse_metrics(config.metrics or (DEFAULT,))
    if not specs:
        raise UsageError("--metrics names no metric", "write for example --metrics ndcg@10,recall@20")
    return tuple({s.label: s for s in (*specs, *(g.spec for g in gates))}.values())


def _named_labels(config: EvaluateConfig, gates: Sequence[Gate]) -> set[str]:
    """Metrics that the user named, by label."""
    return {s.label for s in (*parse_metrics(config.metrics), *(g.spec for g in gates))}


def check_outputs(config: EvaluateConfig) -> None:
    check_writable(config.run if Path(config.run).exists() else None, config.report, config.plots)
    if config.report is not None and Path(config.report).is_dir():
        raise UsageError(f"--report {config.report} is a directory", "name a file, e.g. report.html")
    if config.plots is not None and importlib.util.find_spec("matplotlib") is None:
        raise DeviceError("--plots needs matplotlib", "install it: pip install 'recli[plots]'")


def check_names(config: EvaluateConfig, gates: Sequence[Gate], names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        double = next(n for n in names if names.count(n) > 1)
        raise UsageError(
            f"{double!r} is both a model and a list", f"name the list: --recommendations my-{double}=FILE"
        )
    if not names:
        raise RecliError("nothing is left to evaluate", "name models with --models, or use --split test")
    for option, name in [("--compare", config.compare), *(("--fail-under", g.model) for g in gates)]:
        if name is not None and name not in names:
            raise UsageError(
                f"{option} names {name!r}, which is not evaluated; there are: {', '.join(names)}",
                did_you_mean(name, names),
            )


def _check_test_set(test_set: TestSet, config: EvaluateConfig) -> None:
    if not test_set.n_users:
        raise RecliError(
            f"no user has an item to predict in the {config.split} split",
            "prepare the run with a split that holds some out: recli prepare --split ...",
        )


def _cut_to_catalogue(
    specs: tuple[MetricSpec, ...], named: set[str], n_items: int, reporter: Reporter
) -> tuple[MetricSpec, ...]:
    """The metrics whose cut the catalogue is large enough for.

    Default ones with a larger cut are left out; if none is left, they are cut at the number of items. Raises
    `UsageError` for one that the user named.
    """
    too_long = [s for s in specs if s.k is not None and s.k > n_items]
    for spec in too_long:
        if spec.label in named:
            raise UsageError(f"{spec.label}: the catalogue has only {n_items} items", "use a smaller cut")
    if not too_long:
        return specs
    labels = ", ".join(s.label for s in too_long)
    kept = tuple(s for s in specs if s not in too_long)
    if any(s.k is not None for s in kept):
        reporter.say(f"the catalogue has only {n_items} items: left out: {labels}")
        return kept
    reporter.say(f"the catalogue has only {n_items} items: cut at {n_items} instead: {labels}")
    cut = (s if s in kept else replace(s, k=n_items) for s in specs)
    return tuple({s.label: s for s in cut}.values())


def _check_measured(specs: Sequence[MetricSpec], systems: Sequence[EvaluatedSystem]) -> None:
    """Refuse a rating metric that no system can be measured by (it is never among the default ones)."""
    for spec in specs:
        if spec.metric.family == "ratings" and not any(s.overall(spec.label) for s in systems):
            raise RecliError(
                f"{spec.label} needs ratings in the log, and a model that predicts ratings or lists with scores",
                "leave it out of --metrics",
            )


def _data(interactions: Interactions, test_set: TestSet) -> dict[str, int]:
    return {
        "users": interactions.n_users,
        "users evaluated": test_set.n_users,
        "items": interactions.n_items,
        "cold items": int(test_set.cold.sum()),
        "events to train on": interactions.splits["train"].height,
        "events to predict": int(test_set.relevant.nnz),
    }


def write(evaluation: Evaluation, inputs: dict[str, str]) -> None:
    """Write the part, and the report and figures that are asked for. `inputs`: sha256 of what was read, by name."""
    summary = evaluation.summary.to_json()
    with parts.write_part(evaluation.path, schema.METRICS, summary["settings"], inputs) as writer:
        writer.table("metrics", evaluation.metrics)
        writer.table("per_user", evaluation.per_user)
        writer.table("comparisons", evaluation.comparisons)
        if evaluation.repeats is not None:
            writer.table("repeats", evaluation.repeats)
        stored = ("data", "protocol", "primary", "baseline", "systems", "gates")
        writer.summary.update({key: summary[key] for key in stored})
    _illustrate(evaluation)


def _illustrate(evaluation: Evaluation) -> None:
    """Write the report and the figures, where they are asked for."""
    config = evaluation.summary.config
    if config.report is not None:
        from recli.steps.evaluate.report.html import html

        with atomic.write_file(Path(config.report)) as path:
            title = f"Evaluation of {evaluation.run.resolve().name}"
            path.write_text(html(evaluation.summary, title), encoding="utf-8")
    if config.plots is not None:
        from recli.steps.evaluate.report.plots import figures

        for name, svg in figures(evaluation.summary.card).items():
            with atomic.write_file(Path(config.plots) / f"{name}.svg") as path:
                path.write_text(svg, encoding="utf-8")
