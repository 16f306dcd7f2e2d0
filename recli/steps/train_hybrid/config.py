"""The options of `recli train-hybrid`."""

from dataclasses import dataclass

from recli.config import Config, argument, option
from recli.models.cease import CeaseConfig
from recli.models.content_knn import ContentKnnConfig
from recli.models.fusion import LOG_POPULARITY, FusionConfig
from recli.models.popularity import RECENT_POPULARITY
from recli.models.text_factors import TextFactorsConfig

FUSION, SOURCES, CEASE = "Fusion", "Sources", "Collective EASE"  # panels of the help
CONTENT = ("content-knn", "text-factors")
# Up to so many, cease is a usual source: its time grows with their cube, 20 s for 12,000.
EXACT_ITEMS = 15_000


@dataclass(frozen=True)
class TrainHybridConfig(Config):
    run: str = argument(..., "The run's directory; - reads its path from stdin.", metavar="RUN", stored=False)
    name: str | None = option(
        None, "Name of the model: RUN/models/NAME.", default_text="hybrid, or --model's", stored=False
    )
    model: str = option(
        "fusion",
        "Late fusion of several sources, or one content model: collective EASE, content-kNN, text factors.",
        choices=("fusion", "cease", *CONTENT),
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
        "What is fused: algorithms, or models of the run by name. A model that the run has under the algorithm's "
        f"name is taken, the others are trained with their defaults. {RECENT_POPULARITY} is popularity with a "
        "half-life that is found on validation. Sources whose weight is found to be 0 are left out of the model.",
        default_text="ials,bspm,user-knn,ease; with texts content-knn,text-factors, and up to "
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
        "content-knn: nearest items kept per item.",
        min=1,
        max=100_000,
        panel=SOURCES,
        formerly=("neighbours",),
    )
    ridge: float = option(
        TextFactorsConfig.ridge,
        "text-factors: regularization of the map from texts to factors.",
        min=1e-6,
        max=1e6,
        panel=SOURCES,
    )
    history_half_life: float | None = option(
        None,
        "Older events of a history count less: half as much for each so many events that came later; for all "
        "sources that know no order themselves. 0: all alike.",
        min=0,
        max=1e6,
        default_text="found on validation for each source, where the order of events is known",
        metavar="EVENTS",
        panel=SOURCES,
    )
    save_sources: bool = option(
        False, "Write the trained sources as models of the run, too.", panel=SOURCES, stored=False
    )
    fusion: str = option(
        "linear",
        "linear: weights found on validation; weighted: those of --weights; voting: by places in the lists.",
        choices=("linear", "weighted", "voting"),
        panel=FUSION,
    )
    weights: str | None = option(
        None,
        f"Weights of the sources for --fusion weighted, e.g. ials=0.5,user-knn=0.2,{LOG_POPULARITY}=0.1; others get 0.",
        metavar="A=W,B=W,...",
        panel=FUSION,
    )
    voting: str = option(
        "rrf",
        "rrf: sum of 1/(k + place). Safe only between equally strong sources: one weak one was measured to cost "
        "34%. borda: mean place.",
        choices=("rrf", "borda"),
        panel=FUSION,
    )
    rrf_k: int = option(
        60, "k of rrf: the higher, the less the first places count.", min=1, max=100_000, panel=FUSION
    )
    cold_boost: float | None = option(
        None,
        "Added to items without training events, whose scores are standardized apart; in standard deviations.",
        min=-100,
        max=100,
        default_text=f"{FusionConfig.cold_boost:g}",
        panel=FUSION,
    )
    cold_share: float | None = option(
        None,
        "Find the boost at which cold items are this share of the top 20 of validation users, e.g. 0.1.",
        min=0,
        max=1,
        panel=FUSION,
    )
    max_warm_loss: float | None = option(
        None,
        "Find the largest boost, or the least malus, at which warm items lose at most this share of their "
        "NDCG@20 on validation to cold ones in the lists, e.g. 0.05.",
        min=0,
        max=1,
        panel=FUSION,
    )
    weight_users: int = option(
        5000,
        "Validation users that weights, and the boost of cold items, are searched on, a random sample.",
        min=1,
        max=10_000_000,
        panel=FUSION,
    )
    l2: float | None = option(
        None,
        "cease: regularization.",
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
    refit: bool = option(
        False, "At last train the sources again on train and validation together, keeping the weights."
    )
    seed: int = option(0, "Seed of all randomness.", min=0, max=2**31 - 2)
