"""The options of `recli evaluate`."""

from dataclasses import dataclass

from recli import schema
from recli.config import Config, argument, option
from recli.errors import UsageError
from recli.metrics.base import metrics as registered

DEFAULT = (
    "ndcg@10,recall@10,ndcg@20,recall@20,precision@10,hit-rate@10,map@20,mrr@20,"
    "coverage@10,gini@10,novelty@10,diversity@10,popularity-bias@10"
)


@dataclass(frozen=True)
class EvaluateConfig(Config):
    run: str = argument(
        ..., "The run's directory; - reads its path from stdin.", metavar="RUN", paths="always", stored=False
    )
    models: str | None = option(
        None,
        "Models, as a,b; none: only --recommendations.",
        metavar="NAMES",
        default_text="all of the run",
    )
    recommendations: tuple[str, ...] = option(
        (),
        "A file of external recommendations: columns user_id, item_id and maybe score or rank; CSV, "
        "JSON lines or Parquet; or a TREC run (.trec, .run). Repeatable.",
        metavar="[NAME=]FILE",
        paths="named",
        stored=False,
    )
    metrics: tuple[str, ...] = option(
        (),
        f"Metrics, as ndcg@10,auc (20 without @). Known: {', '.join(registered.names())}.",
        metavar="NAMES",
        default_text="accuracy at 10 and 20, beyond-accuracy metrics",
    )
    split: str = option("test", "The split that is to be predicted.", choices=("test", "validation"))
    candidates: str = option(
        "all",
        "What is ranked: all items, or only those with a training event.",
        choices=("all", "warm"),
    )
    fallback: str = option(
        "popularity",
        "Fallback for users that a model cannot score, as in recommend: the most popular items, or no list (counts 0).",
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
        "Item vectors for the diversity metric.",
        metavar="NAME",
        default_text="the run's first; without any, who used the items",
    )
    samples: int = option(1000, "Bootstrap draws for intervals and p-values; 0: none.", min=0, max=100_000)
    confidence: float = option(0.95, "Confidence of the intervals.", min=0.5, max=0.999)
    seed: int = option(0, "Seed of the bootstrap.", min=0, max=2**31 - 1)
    seeds: int | None = option(
        None,
        "Draw the split so many times, train the models again by their stored options, and report means and their "
        "intervals. A split that is not drawn (by time, given) stays, and only the training's seed changes.",
        min=2,
        max=1000,
        default_text="off",
    )
    folds: int | None = option(
        None,
        "As --seeds, by cross-validation: the events are dealt into so many folds, and each is the test once. For "
        "random splits.",
        min=2,
        max=1000,
        default_text="off",
    )
    fail_under: tuple[str, ...] = option(
        (),
        "Exit with code 4 where a metric is below a number; all are measured first. Repeatable.",
        metavar="[NAME:]METRIC=NUMBER",
    )
    name: str = option("metrics", "Name of the part that is written: RUN/NAME.", stored=False)
    format: str | None = option(
        None,
        "Print the tables on stdout in this format; csv has a row for each metric, model and slice.",
        choices=("table", "csv", "markdown", "latex", "json"),
        default_text="tables on stderr, the run's path on stdout",
        stored=False,
    )
    report: str | None = option(
        None,
        "Write an HTML report, one file without external parts.",
        metavar="FILE",
        paths="always",
        stored=False,
    )
    plots: str | None = option(
        None,
        "Write figures as SVG files; needs the extra 'plots'.",
        metavar="DIR",
        paths="always",
        stored=False,
    )

    @property
    def repeats(self) -> str:
        """How the evaluation is repeated, as typed: `--seeds 5`; empty: it is not."""
        if self.folds is not None:
            return f"--folds {self.folds}"
        return "" if self.seeds is None else f"--seeds {self.seeds}"

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = set(schema.PART_KINDS) - {schema.METRICS}
        if not self.name or "/" in self.name or self.name.startswith(".") or self.name in parts:
            raise UsageError(f"--name {self.name!r} cannot name the metrics of a run", "use a plain word")
        _check_repeats(self)


def _check_repeats(config: EvaluateConfig) -> None:
    """Raises `UsageError` for options that do not go with `--seeds` or `--folds`."""
    if config.seeds is not None and config.folds is not None:
        raise UsageError("--seeds and --folds both say how the evaluation is repeated", "give one of them")
    if config.repeats and config.recommendations:
        raise UsageError(
            f"--recommendations does not go with {config.repeats}: a file of lists was made for one split",
            "evaluate the lists without it",
        )
    if config.folds is not None and config.split != "test":
        raise UsageError(f"--folds does not go with --split {config.split}: each fold is the test once")
