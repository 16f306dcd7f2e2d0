"""`recli evaluate`: measure models, or anybody's lists, on the test split."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recli import schema
from recli.cli.console import Console, run_path
from recli.config import Config, argument, option, to_dict
from recli.errors import DeviceError, QualityGateError, RecliError, UsageError
from recli.metrics.base import metrics as registered
from recli.metrics.base import parse_metrics

if TYPE_CHECKING:
    import polars as pl

    from recli.data.interactions import Interactions
    from recli.metrics.base import MetricSpec, TestSet
    from recli.steps.evaluate.gates import Gate
    from recli.steps.evaluate.results import EvaluatedSystem, Row, Scorecard

DEFAULT = (
    "ndcg@10,recall@10,ndcg@20,recall@20,precision@10,hit-rate@10,map@20,mrr@20,"
    "coverage@10,gini@10,novelty@10,diversity@10,popularity-bias@10"
)


@dataclass(frozen=True)
class EvaluateConfig(Config):
    run: str = argument(..., "The run's directory; - reads its path from stdin.", metavar="RUN", stored=False)
    models: str | None = option(
        None,
        "Models, as a,b; none: only the lists of --recommendations.",
        metavar="NAMES",
        default_text="all of the run",
    )
    recommendations: tuple[str, ...] = option(
        (),
        "A file of somebody's lists: user_id,item_id[,score|rank], CSV, JSON lines or Parquet. Repeatable.",
        metavar="[NAME=]FILE",
        stored=False,
    )
    metrics: tuple[str, ...] = option(
        (),
        f"Metrics, as ndcg@10,auc (20 without @). Known: {', '.join(registered.names())}.",
        metavar="NAMES",
        default_text="accuracy at 10 and 20, and what the lists are made of",
    )
    split: str = option("test", "The split that is to be predicted.", choices=("test", "validation"))
    candidates: str = option(
        "all",
        "What is ranked: all items, or only those with a training event.",
        choices=("all", "warm"),
    )
    fallback: str = option(
        "popularity",
        "For users of whom a model knows nothing, as in recommend: the most popular items, or no list (counts 0).",
        choices=("popularity", "none"),
    )
    compare: str | None = option(
        None,
        "Model or list that the others are compared with.",
        metavar="NAME",
        default_text="the best one",
    )
    embeddings: str | None = option(
        None,
        "Vectors that diversity is measured on.",
        metavar="NAME",
        default_text="the run's first; without any, who used the items",
    )
    samples: int = option(1000, "Bootstrap draws for intervals and p-values; 0: none.", min=0, max=100_000)
    confidence: float = option(0.95, "Confidence of the intervals.", min=0.5, max=0.999)
    seed: int = option(0, "Seed of the bootstrap.", min=0, max=2**31 - 1)
    fail_under: tuple[str, ...] = option(
        (),
        "Exit with code 4 where a metric is below a number; all are measured first. Repeatable.",
        metavar="[NAME:]METRIC=NUMBER",
    )
    name: str = option("metrics", "Name of the part that is written: RUN/NAME.", stored=False)
    report: str | None = option(
        None, "Write an HTML report, one file without external parts.", metavar="FILE", stored=False
    )
    plots: str | None = option(
        None, "Write figures as SVG files; needs the extra 'plots'.", metavar="DIR", stored=False
    )


def evaluate(config: EvaluateConfig, console: Console) -> None:
    """Measure models, or anybody's lists, on the test split: RUN/metrics.

    Prints accuracy, what the lists are made of, differences with paired bootstrap intervals, and slices: users by
    history length, warm and cold items apart, items by popularity. Writes metrics.parquet, per_user.parquet and
    comparisons.parquet.

    Example: recli evaluate sample_data/run --metrics ndcg@10,recall@20 --fail-under ndcg@10=0.01
    """
    from recli.steps.evaluate.bootstrap import resample
    from recli.steps.evaluate.evaluator import Evaluator, chosen_models, diversity_vectors, labeled
    from recli.steps.evaluate.gates import check_gates, parse_gates
    from recli.steps.evaluate.protocol import policy
    from recli.steps.evaluate.results import scorecard
    from recli.steps.evaluate.test_set import make_test_set, rated_pairs
    from recli.storage import runs

    gates = parse_gates(config.fail_under)
    asked = _asked(config, gates)
    named = {a.label for a in (*parse_metrics(config.metrics), *(g.asked for g in gates))}
    files = labeled(config.recommendations)
    _check_outputs(config, files)
    run = run_path(config.run)
    interactions = runs.read_interactions(run)
    parts = chosen_models(run, config.models, bool(files), config.split, interactions, console.warn)
    _check_names(config, gates, [*parts, *files])
    inputs = {schema.INTERACTIONS: interactions.sha256}
    inputs |= {f"{schema.MODELS}/{name}": part.sha256 for name, part in parts.items()}

    test_set, facts = make_test_set(interactions, config.split, config.candidates == "warm")
    _check_exam(test_set, config)
    asked = _that_fit(asked, named, test_set.n_items, console)
    similarity = ""
    if any(a.metric.name == "diversity" for a in asked):
        vectors, similarity, read = diversity_vectors(run, config.embeddings, interactions)
        test_set, inputs = replace(test_set, vectors=vectors), inputs | read
    rated = rated_pairs(interactions, config.split, test_set)
    bench = Evaluator(interactions, test_set, asked, rated, console.progress, console.warn, config.fallback)
    systems = [bench.model(part) for part in parts.values()]
    unknown = {s.name: count for s in systems for count in s.notes.values()}
    for name, path in files.items():
        system, inputs[f"lists/{name}"] = bench.lists(name, path)
        systems.append(system)
    _check_measured(asked, systems)

    with console.progress("bootstrap", config.samples, "draws") as advance:
        drawn = resample([s.figures for s in systems], config.samples, config.seed, advance)
    card = scorecard(systems, asked, drawn, config.confidence, config.compare)
    rules = policy(config, test_set, facts, asked, similarity, unknown)
    outcome = check_gates(gates, card)
    summary = _summary(config, card, rules, outcome, _data(interactions, test_set), list(parts))
    user_ids = interactions.users[schema.USER_ID].gather(test_set.users)
    _write(run / config.name, card, summary, inputs, user_ids)
    _illustrate(config, run, summary)
    _say(config, console, card, rules)
    console.result(run, summary)
    _raise_for(outcome)


def _asked(config: EvaluateConfig, gates: "Sequence[Gate]") -> "tuple[MetricSpec, ...]":
    """The metrics of `--metrics`, and those that only a gate names."""
    asked = parse_metrics(config.metrics or (DEFAULT,))
    if not asked:
        raise UsageError("--metrics names no metric", "write for example --metrics ndcg@10,recall@20")
    return tuple({a.label: a for a in (*asked, *(g.asked for g in gates))}.values())


def _check_outputs(config: EvaluateConfig, files: dict[str, str]) -> None:
    parts = set(schema.PART_KINDS) - {schema.METRICS}
    if not config.name or "/" in config.name or config.name.startswith(".") or config.name in parts:
        raise UsageError(f"--name {config.name!r} cannot name the metrics of a run", "use a plain word")
    if config.report is not None and Path(config.report).is_dir():
        raise UsageError(f"--report {config.report} is a directory", "name a file, e.g. report.html")
    if config.plots is not None and importlib.util.find_spec("matplotlib") is None:
        raise DeviceError("--plots needs matplotlib", "install it: pip install 'recli[plots]'")
    if config.run == "-" and "-" in files.values():
        raise UsageError("both the run and --recommendations are to come from stdin", "name one of them")


def _check_names(config: EvaluateConfig, gates: "Sequence[Gate]", names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        double = next(n for n in names if names.count(n) > 1)
        raise UsageError(
            f"{double!r} is both a model and a list", f"name the list: --recommendations my-{double}=FILE"
        )
    if not names:
        raise RecliError("nothing is left to evaluate", "name models with --models, or use --split test")
    for what, name in [("--compare", config.compare), *(("--fail-under", g.model) for g in gates)]:
        if name is not None and name not in names:
            raise UsageError(
                f"{what} names {name!r}, which is not evaluated", f"there are: {', '.join(names)}"
            )


def _check_exam(test_set: "TestSet", config: EvaluateConfig) -> None:
    if not test_set.n_users:
        raise RecliError(
            f"no user has an item to predict in the {config.split} split",
            "prepare the run with a split that holds some out: recli prepare --split ...",
        )


def _that_fit(
    asked: "tuple[MetricSpec, ...]", named: set[str], n_items: int, console: Console
) -> "tuple[MetricSpec, ...]":
    """The metrics whose cut the catalogue is large enough for.

    Of the default ones those are left out that are cut further down; where none is left, they are cut at the
    number of items. Raises `UsageError` for one that the user named.
    """
    beyond = [a for a in asked if a.k is not None and a.k > n_items]
    for one in beyond:
        if one.label in named:
            raise UsageError(f"{one.label}: the catalogue has only {n_items} items", "use a smaller cut")
    if not beyond:
        return asked
    fit = [a for a in asked if a not in beyond]
    labels = ", ".join(a.label for a in beyond)
    if any(a.k is not None for a in fit):
        console.say(f"the catalogue has only {n_items} items: left out: {labels}")
        return tuple(fit)
    console.say(f"the catalogue has only {n_items} items: cut at {n_items} instead: {labels}")
    cut = (a if a in fit else replace(a, k=n_items) for a in asked)
    return tuple({a.label: a for a in cut}.values())


def _check_measured(asked: "Sequence[MetricSpec]", systems: "Sequence[EvaluatedSystem]") -> None:
    """Refuse a rating metric that nothing here can be measured by (it is never asked by default)."""
    for one in asked:
        if one.metric.family == "ratings" and not any(s.overall(one.label) for s in systems):
            raise RecliError(
                f"{one.label} needs ratings in the log, and a model that predicts ratings or lists with scores",
                "leave it out of --metrics",
            )


def _data(interactions: "Interactions", test_set: "TestSet") -> dict[str, int]:
    return {
        "users": interactions.n_users,
        "users judged": test_set.n_users,
        "items": interactions.n_items,
        "cold items": int(test_set.cold.sum()),
        "events to train on": interactions.splits["train"].height,
        "events to predict": int(test_set.relevant.nnz),
    }


def _summary(
    config: EvaluateConfig,
    card: "Scorecard",
    rules: list[str],
    gates: "list[Row]",
    data: dict[str, int],
    judged: list[str],
) -> dict[str, Any]:
    """Everything as plain JSON values: what `--json` prints and the report shows.

    `judged`: the run's models, without the lists.
    """
    from recli.steps.evaluate.results import label_of

    models: dict[str, dict[str, Any]] = {s.name: {} for s in card.systems}
    for row in card.rows:
        if row["slice_kind"] == "all":
            models[row["model"]][label_of(row)] = {k: row[k] for k in ("value", "low", "high", "users")}
    return {
        "settings": to_dict(config) | {"metrics": [a.label for a in card.asked], "models": judged},
        "data": data,
        "policy": rules,
        "primary": card.primary,
        "baseline": card.baseline,
        "definitions": {a.metric.name: a.metric.help for a in card.asked},
        "better": {a.label: a.metric.better for a in card.asked},
        "systems": [{"name": s.name, "source": s.source, "notes": s.notes} for s in card.systems],
        "models": models,
        "slices": [row for row in card.rows if row["slice_kind"] != "all"],
        "comparisons": card.comparisons,
        "gates": gates,
    }


def _write(
    path: Path, card: "Scorecard", summary: dict[str, Any], inputs: dict[str, str], user_ids: "pl.Series"
) -> None:
    from recli.steps.evaluate.results import comparisons_frame, metrics_frame, per_user_frame
    from recli.storage import parts

    with parts.write_part(path, schema.METRICS, summary["settings"], inputs) as draft:
        draft.table("metrics", metrics_frame(card))
        draft.table("per_user", per_user_frame(card, user_ids))
        draft.table("comparisons", comparisons_frame(card))
        kept = ("data", "policy", "primary", "baseline", "systems", "gates")
        draft.summary.update({key: summary[key] for key in kept})


def _illustrate(config: EvaluateConfig, run: Path, summary: dict[str, Any]) -> None:
    """The report and the figures, where they are asked for."""
    from recli.storage import atomic

    if config.report is not None:
        from recli.steps.evaluate.report.html import html

        with atomic.write_file(Path(config.report)) as path:
            path.write_text(html(summary, f"Evaluation of {run.resolve().name}"), encoding="utf-8")
    if config.plots is not None:
        from recli.steps.evaluate.report.plots import figures

        for name, svg in figures(summary).items():
            with atomic.write_file(Path(config.plots) / f"{name}.svg") as path:
                path.write_text(svg, encoding="utf-8")


def _say(config: EvaluateConfig, console: Console, card: "Scorecard", rules: list[str]) -> None:
    from recli.steps.evaluate.results import tables

    for table in tables(card, config.confidence, console.width):
        console.table(table.title, table.columns, table.rows)
    for rule in rules:
        console.paragraph(rule)


def _raise_for(gates: "list[Row]") -> None:
    missed = [g for g in gates if not g["met"]]
    if missed:
        told = [
            f"{g['model']}: {g['metric']} is {'not measured' if g['value'] is None else format(g['value'], '.4f')}, "
            f"below {g['least']:g}"
            for g in missed
        ]
        raise QualityGateError(
            f"{len(missed)} of {len(gates)} quality gates not met: {'; '.join(told)}",
            "the figures are written all the same",
        )
