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

    def __post_init__(self) -> None:
        super().__post_init__()
        parts = set(schema.PART_KINDS) - {schema.METRICS}
        if not self.name or "/" in self.name or self.name.startswith(".") or self.name in parts:
            raise UsageError(f"--name {self.name!r} cannot name the metrics of a run", "use a plain word")
