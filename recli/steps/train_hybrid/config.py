"""The options of `recli train-hybrid`, their checks, and the names of the sources that they ask for."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from recli import schema
from recli.config import Config, argument, option, option_name, parse_pairs, spec_of, to_dict
from recli.data.interactions import Interactions
from recli.errors import RecliError, UsageError
from recli.models.base import algorithms
from recli.models.cease import CeaseConfig
from recli.models.content_knn import ContentKnnConfig
from recli.models.fusion import LOG_POPULARITY, FusionConfig
from recli.models.popularity import RECENT_POPULARITY
from recli.models.text_factors import TextFactorsConfig

FUSION, SOURCES, CEASE = "Fusion", "Sources", "Collective EASE"  # panels of the help
RANK_FUSIONS = ("rrf", "borda")
FACTOR_MODELS = ("ials", "als")  # text-factors predicts the factors of one of these; by default of the first
# Up to so many items, cease is a default source: its time grows with their cube, 20 s for 12,000.
EXACT_ITEMS = 15_000


@dataclass(frozen=True)
class TrainHybridConfig(Config):
    run: str = argument(
        ..., "The run's directory; - reads its path from stdin.", metavar="RUN", paths="always", stored=False
    )
    name: str | None = option(
        None, "Name of the model: RUN/models/NAME.", default_text="hybrid, or --algorithm's", stored=False
    )
    algorithm: str = option(
        "fusion",
        "Late fusion of several sources, or one content model: collective EASE, content-kNN, text factors.",
        choices=("fusion", "cease", "content-knn", "text-factors"),
        formerly=("model",),
    )
    embeddings: tuple[str, ...] = option(
        (),
        "Vectors of the texts, RUN/embeddings/NAME; repeat to join several.",
        default_text="those the run has, if it has one",
        metavar="NAME",
    )
    tfidf: bool = option(True, "Join TF-IDF vectors (SVD, 200 dimensions) of the texts to the embeddings.")
    sources: str | None = option(
        None,
        "Sources of the fusion: algorithms, or models of the run by name. A model that the run has under the "
        f"algorithm's name is used, the others are trained with their defaults. {RECENT_POPULARITY} is popularity with "
        "a half-life that is fitted on validation. Sources whose weight is 0 are left out of the model.",
        default_text="ials, bspm, user-knn, ease; with texts content-knn, text-factors, and up to "
        f"{EXACT_ITEMS:,} items cease for ease; with an order of events sequential-rules, with times "
        f"{RECENT_POPULARITY}",
        metavar="A,B,...",
        panel=SOURCES,
    )
    cf: tuple[str, ...] = option(
        (),
        "Models of the run to fuse instead of the collaborative ones among --sources; repeatable.",
        default_text="those of --sources",
        metavar="MODEL",
        panel=SOURCES,
    )
    neighbors: int = option(
        ContentKnnConfig.neighbors,
        "content-knn: number of neighbors kept per item.",
        min=1,
        max=100_000,
        panel=SOURCES,
        formerly=("neighbours",),
    )
    ridge: float = option(
        TextFactorsConfig.ridge,
        "text-factors: L2 regularization strength of the map from texts to factors.",
        min=1e-6,
        max=1e6,
        panel=SOURCES,
    )
    history_half_life: float | None = option(
        None,
        "Half-life of the events in a history, counted in later events of the same user: older ones weigh less; for "
        "all sources that do not use the order themselves. 0: no decay.",
        min=0,
        max=1e6,
        default_text="fitted on validation for each source, where the order of events is known",
        metavar="EVENTS",
        panel=SOURCES,
    )
    save_sources: bool = option(
        False, "Write the trained sources as models of the run, too.", panel=SOURCES, stored=False
    )
    fusion: str = option(
        "linear",
        "linear: weights fitted on validation; weighted: those of --weights. By ranks in the lists, with equal "
        "weights: rrf (sum of 1/(k + rank)), borda (mean rank). Safe only between equally strong sources: a weak one "
        "cost rrf 34%.",
        choices=("linear", "weighted", *RANK_FUSIONS),
        panel=FUSION,
        formerly=("voting",),
        former_values=(("voting", "--fusion rrf or --fusion borda"),),
    )
    weights: str | None = option(
        None,
        f"Weights of the sources for --fusion weighted, e.g. ials=0.5,bspm=0.2; others, and {LOG_POPULARITY}, get 0.",
        metavar="A=W,B=W,...",
        panel=FUSION,
    )
    rrf_k: int = option(
        60, "k of rrf: the higher, the less the first ranks count.", min=1, max=100_000, panel=FUSION
    )
    cold_boost: float | None = option(
        None,
        "Added to the scores of cold items, which are standardized separately; in standard deviations.",
        min=-100,
        max=100,
        default_text=f"{FusionConfig.cold_boost:g}",
        panel=FUSION,
    )
    cold_share: float | None = option(
        None,
        "Choose the boost at which cold items are this share of the top 20 of validation users, e.g. 0.1.",
        min=0,
        max=1,
        panel=FUSION,
    )
    max_warm_loss: float | None = option(
        None,
        "Choose the largest boost, or the smallest penalty, at which warm items lose at most this share of their "
        "NDCG@20 on validation to cold ones in the lists, e.g. 0.05.",
        min=0,
        max=1,
        panel=FUSION,
    )
    weight_users: int = option(
        5000,
        "Validation users (a random sample) on which weights and the boost of cold items are fitted.",
        min=1,
        max=10_000_000,
        panel=FUSION,
    )
    l2: float | None = option(
        None,
        "cease: L2 regularization strength.",
        min=1e-3,
        max=1e9,
        default_text="searched on validation",
        panel=CEASE,
    )
    text_weight: float | None = option(
        None,
        "cease: weight of the texts beside the interactions.",
        min=0,
        max=1e6,
        default_text="searched on validation",
        panel=CEASE,
    )
    max_items: int = option(
        CeaseConfig.max_items, "cease: refuse larger catalogues.", min=1, max=1_000_000, panel=CEASE
    )
    storage_dtype: str = option(
        "float32",
        "Number format on disk of what the sources have for each user or item: float16 halves it, int8, with a scale "
        "for each row, quarters it. Values of sparse matrices get float16 in either.",
        choices=("float32", "float16", "int8"),
    )
    refit: bool = option(False, "Refit the sources on train + validation in the end, keeping the weights.")
    seed: int = option(0, "Seed of all randomness.", min=0, max=2**31 - 2)

    def __post_init__(self) -> None:
        """Raises `UsageError` for options that do not go together."""
        super().__post_init__()
        if self.algorithm != "fusion":
            _check_no_fusion(self)
        finding = {"--cold-share": self.cold_share, "--max-warm-loss": self.max_warm_loss}
        boosts = finding | {"--cold-boost": self.cold_boost}
        named = [name for name, value in boosts.items() if value is not None]
        if len(named) > 1:
            raise UsageError(
                f"{named[0]} and {named[1]} both set the boost of cold items", "give one of them"
            )
        if self.weights is not None and self.fusion != "weighted":
            raise UsageError("--weights needs --fusion weighted")

    @property
    def boost_target(self) -> str | None:
        """The option by which the boost of cold items is to be found, as typed; None: there is none."""
        if self.cold_share is not None:
            return f"--cold-share {self.cold_share:g}"
        return None if self.max_warm_loss is None else f"--max-warm-loss {self.max_warm_loss:g}"

    @property
    def fusion_options(self) -> FusionConfig:
        """The fusion's config, without sources and weights yet."""
        boost = FusionConfig.cold_boost if self.cold_boost is None else self.cold_boost
        return FusionConfig(self.fusion, self.rrf_k, boost)

    @property
    def trained_on(self) -> tuple[str, ...]:
        """The splits that the model has learned from in the end."""
        return ("train", "validation") if self.refit else ("train",)


def given_options(config: TrainHybridConfig) -> dict[str, Any]:
    """The options that are not the defaults, as plain JSON values: with them and the seed the model is made again."""
    stored, defaults = to_dict(config), to_dict(TrainHybridConfig(run=config.run))
    return {name: value for name, value in stored.items() if value != defaults[name] and name != "seed"}


def _check_no_fusion(config: TrainHybridConfig) -> None:
    """Raises `UsageError` for options of the fusion."""
    for field in fields(config):
        of_fusion = spec_of(field).panel == FUSION or field.name in ("sources", "cf", "history_half_life")
        if of_fusion and getattr(config, field.name) != field.default:
            raise UsageError(
                f"{option_name(field)} is about a fusion: it does not go with --algorithm {config.algorithm}"
            )


def content_algorithms() -> tuple[str, ...]:
    return algorithms.names(lambda a: a.family == "content")


def needs_texts(config: TrainHybridConfig, sources: tuple[str, ...]) -> bool:
    return config.algorithm != "fusion" or any(name in content_algorithms() for name in sources)


def source_names(
    config: TrainHybridConfig, interactions: "Interactions", models: list[str]
) -> tuple[str, ...]:
    """Names of the sources in order; `models`: those that the run has.

    Raises `UsageError` for none, one named twice, or one that cannot be.
    """
    if config.algorithm != "fusion":
        return (config.algorithm,)
    in_every_fusion = ("", LOG_POPULARITY)
    names = [n for n in _requested_names(config, interactions, models) if n not in in_every_fusion]
    if config.cf:
        names = [*config.cf, *(name for name in names if name in content_algorithms())]
    if not names:
        option = "--sources" if config.sources is not None else "--weights"
        raise UsageError(
            f"{option} names no source ({LOG_POPULARITY} is in every fusion)",
            "name some, such as ials,user-knn",
        )
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the source {name!r} is named twice")
        if name == LOG_POPULARITY:
            raise UsageError(f"{LOG_POPULARITY} is in every fusion already")
        if name in algorithms.names(lambda a: a.family == "hybrid"):
            raise UsageError(f"{name!r} cannot be a source")
    return tuple(names)


def _requested_names(config: TrainHybridConfig, interactions: "Interactions", models: list[str]) -> list[str]:
    """What --sources names, or else --weights, or else what the interactions allow."""
    if config.sources is not None:
        return [name.strip() for name in config.sources.split(",")]
    if config.weights is not None and not config.cf:
        return list(parse_pairs(config.weights, "--weights"))
    has_texts = interactions.items[schema.TEXT].null_count() < interactions.n_items
    texts = bool(config.embeddings) or has_texts or _has_own_vectors(Path(config.run))
    return list(default_sources(interactions, models, texts))


def _has_own_vectors(run: Path) -> bool:
    """Whether the run has embeddings that came from a file: they need no texts."""
    from recli.storage import parts

    names = parts.part_names(run, schema.EMBEDDINGS)
    folder = run / schema.EMBEDDINGS
    return any(parts.open_part(folder / name, schema.EMBEDDINGS).config.get("vectors") for name in names)


def default_sources(interactions: "Interactions", models: list[str], with_texts: bool) -> tuple[str, ...]:
    """Default sources: as many different kinds of models as the interactions allow.

    Of the factor models the one that the run has among its `models`.
    """
    names = [next((base for base in FACTOR_MODELS if base in models), FACTOR_MODELS[0]), "bspm", "user-knn"]
    if with_texts:
        names += ["content-knn", "text-factors"]
    names.append("cease" if with_texts and interactions.n_items <= EXACT_ITEMS else "ease")
    if interactions.has_order:
        names.append("sequential-rules")
    if interactions.has_times:
        names.append(RECENT_POPULARITY)
    return tuple(names)


def check_used(config: TrainHybridConfig, sources: tuple[str, ...]) -> None:
    """Raises `UsageError` for options of sources that are not trained."""
    needed = {
        "rrf_k": ("--fusion rrf", config.fusion == "rrf"),
        "neighbors": ("the source content-knn", "content-knn" in sources),
        "ridge": ("the source text-factors", "text-factors" in sources),
        **{
            f.name: ("the source cease", "cease" in sources)
            for f in fields(config)
            if spec_of(f).panel == CEASE
        },
        **dict.fromkeys(("embeddings", "tfidf"), ("texts", needs_texts(config, sources))),
    }
    for field in fields(config):
        what, present = needed.get(field.name, ("", True))
        if not present and getattr(config, field.name) != field.default:
            among = "" if what.startswith("--") else f"; the sources are {', '.join(sources)}"
            raise UsageError(
                f"{option_name(field)} is about {what}, which is not asked for{among}", "leave it out"
            )


def check_times(sources: tuple[str, ...], interactions: "Interactions") -> None:
    """Raises `RecliError` for recent popularity where events have no times."""
    if RECENT_POPULARITY in sources and not interactions.has_times:
        raise RecliError(
            f"the source {RECENT_POPULARITY} needs the time of events, and these interactions have no timestamps",
            "prepare the run from a log with a time column (recli prepare --time-column), or leave it out",
        )


def fixed_weights(config: TrainHybridConfig, sources: tuple[str, ...]) -> dict[str, float] | None:
    """Weights by source: those of --weights, or equal ones for ranks; None: they are fitted. Raises `UsageError`."""
    if config.fusion in RANK_FUSIONS:
        return dict.fromkeys(sources, 1 / len(sources))
    if config.fusion != "weighted":
        return None
    if config.weights is None:
        raise UsageError(f"--fusion weighted needs --weights, such as {sources[0]}=0.6,{LOG_POPULARITY}=0.1")
    weights = parse_pairs(config.weights, "--weights")
    for name, weight in weights.items():
        if name not in (*sources, LOG_POPULARITY):
            raise UsageError(
                f"--weights: {name!r} is no source; they are {', '.join((*sources, LOG_POPULARITY))}"
            )
        if weight < 0:
            raise UsageError(f"--weights: {name}={weight:g} is negative")
    if not any(weights.values()):
        raise UsageError("--weights: all are 0")
    return weights
