"""The options of `recli recommend`, and which of them go together."""

from dataclasses import dataclass

from recli.config import Config, argument, option
from recli.errors import UsageError
from recli.steps.recommend.sinks.base import formats

WHO, WHAT, HOW, OUT = "For whom", "Which items", "How", "Output"

WIDE = ("csv", "parquet", "arrow")  # formats of one row for each list


def _rerankers() -> tuple[str, ...]:
    from recli.ranking.rerankers.base import rerankers

    return rerankers.names()


@dataclass(frozen=True)
class RecommendConfig(Config):
    run: str = argument(
        ...,
        "The run, or the folder of one model, wherever it was copied to; -: the run's path comes on stdin.",
        metavar="RUN",
        paths="always",
        stored=False,
    )
    model: str | None = option(
        None,
        "The model of the run.",
        metavar="NAME",
        default_text="the best on validation",
        panel=HOW,
    )
    k: int = option(10, "Length of the lists.", min=1, max=1_000_000, names=("-k",), panel=HOW)
    users: tuple[str, ...] = option(
        (),
        "Ids (a,b), a file with one on each line, or - for stdin; default: all users of the run. A line may be JSON: "
        '{"user_id": "n", "history": ["item", ...]} or {"user_id": "n", "profile": "text"} for new users; '
        "a history is in order, the latest last.",
        metavar="IDS|FILE|-",
        paths="maybe",
        panel=WHO,
        stored=False,
    )
    histories: str | None = option(
        None,
        'JSON lines, each with a "history": item ids, or {"item_id": ..., "value": ...}, the latest last (a value of 0 '
        "or less: not liked, and not listed), or a table of events (.csv, .tsv, .parquet) with columns as in prepare.",
        metavar="FILE|-",
        paths="always",
        panel=WHO,
        stored=False,
    )
    profiles: str | None = option(
        None,
        'JSON lines, each with a "profile": a text about the user.',
        metavar="FILE|-",
        paths="always",
        panel=WHO,
        stored=False,
    )
    skip_unknown: bool = option(False, "Leave unknown users out instead of stopping.", panel=WHO)
    similar_to: tuple[str, ...] = option(
        (), "Instead: items similar to these (ids a,b).", metavar="IDS", panel=WHO, stored=False
    )
    mask: str = option(
        "seen",
        "Mask a user's own items: seen (all that the user did before the test split, also what prepare filtered out), "
        "all (test events too), or none.",
        choices=("seen", "all", "none"),
        panel=WHAT,
    )
    allow: tuple[str, ...] = option(
        (),
        "Only these items (ids a,b, or a file).",
        metavar="IDS|FILE",
        paths="maybe",
        panel=WHAT,
        stored=False,
    )
    deny: tuple[str, ...] = option(
        (),
        "Never these items (ids a,b, or a file).",
        metavar="IDS|FILE",
        paths="maybe",
        panel=WHAT,
        stored=False,
    )
    where: tuple[str, ...] = option(
        (),
        "Only items for which this holds, as in SQL: \"year >= 2000 AND genres LIKE '%Comedy%'\". Repeatable.",
        metavar="CONDITION",
        panel=WHAT,
    )
    fallback: str = option(
        "popularity",
        "Fallback for users that the model cannot score: the most popular items (see `source`), or no list.",
        choices=("popularity", "none"),
        panel=HOW,
    )
    diversify: float | None = option(
        None,
        "Diversify by MMR: 1 is relevance alone (no change), 0.8 is mild, 0 is diversity alone.",
        min=0,
        max=1,
        panel=HOW,
    )
    reranker: str = option(
        "mmr",
        "How --diversify changes the lists: mmr, or what an installed package adds.",
        choices=_rerankers,
        panel=HOW,
    )
    pool: int = option(100, "Best items that --diversify chooses from.", min=1, max=10_000, panel=HOW)
    approximate: float | None = option(
        None,
        "Approximate search for catalogues of a million items: target recall of the exact lists, e.g. 0.95, with a "
        "faiss index (the extra ann). For models that are dot products: ials, als, bpr, lmf. Recall is measured on "
        "some users and reported; where an index is no faster, lists are exact.",
        min=0.5,
        max=0.999,
        metavar="RECALL",
        default_text="exact lists",
        panel=HOW,
    )
    explain: bool = option(
        False, "Explain each item: shares of the history items and of the sources in its score.", panel=HOW
    )
    reasons: int = option(3, "Items of the history that --explain names.", min=1, max=100, panel=HOW)
    title_column: str | None = option(
        None,
        "Column of the catalogue that names items to people, in `title` and in the reasons of --explain.",
        metavar="NAME",
        default_text="title, name, headline, label, product_name or product_title, if there is one",
        panel=OUT,
    )
    columns: tuple[str, ...] = option(
        (), "Columns of the catalogue to print beside each item: price,image.", metavar="NAMES", panel=OUT
    )
    wide: bool = option(
        False,
        "One row for each list: user_id, source, item_1, ..., item_k (csv, parquet or arrow).",
        panel=OUT,
        stored=False,
    )
    encoder: str | None = option(
        None,
        "Folder of the text encoder for profiles, where the embeddings were made from a folder.",
        metavar="PATH",
        paths="always",
        panel=HOW,
        stored=False,
    )
    device: str = option(
        "auto", "auto, cpu or cuda[:n]: where profiles are encoded.", panel=HOW, stored=False
    )
    format: str | None = option(
        None,
        "Default: by the extension of --out; table on a terminal, else jsonl.",
        choices=formats.names,
        panel=OUT,
        stored=False,
    )
    out: str | None = option(
        None,
        "Write the lists to this file; -: stdout.",
        metavar="FILE|-",
        paths="always",
        panel=OUT,
        stored=False,
    )
    save: bool = option(
        False, "Write RUN/recommendations instead, and print the run's path.", panel=OUT, stored=False
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        files = [f for f in (self.histories, self.profiles) if f]
        if [self.run, *self.users, *self.allow, *self.deny, *files].count("-") > 1:
            raise UsageError("stdin (-) can be read only once", "name a file, or the run, for the others")
        users = {"--users": self.users, "--histories": self.histories, "--profiles": self.profiles}
        named = [name for name, value in users.items() if value]
        if self.similar_to and named:
            raise UsageError(f"--similar-to asks for items, {named[0]} for users: choose one")
        if len(named) > 1:
            raise UsageError(
                f"{' and '.join(named)} do not go together", "--users takes lines of all kinds in one file"
            )
        if self.similar_to and self.explain:
            raise UsageError("--explain is for lists of users; it does not apply to similar items")
        if self.reranker != "mmr" and self.diversify is None:
            raise UsageError(
                f"--reranker {self.reranker} needs its weight", "say it with --diversify, from 0 to 1"
            )
        if self.wide and (self.explain or self.columns or self.save):
            raise UsageError("--wide has ids alone: leave --explain, --columns and --save out")
        if self.wide and self.format not in (None, *WIDE):
            raise UsageError(f"--wide is for rows: --format {', '.join(WIDE)}, not {self.format}")
        if self.save and (self.out or self.format):
            raise UsageError("--save writes RUN/recommendations: leave --out and --format out")
        if self.save and self.similar_to:
            raise UsageError("--save is for lists of users; name a file with --out")

    @property
    def file(self) -> str | None:
        """The file that lists are written to; None: they go to stdout, or into the run."""
        return None if self.out == "-" else self.out
