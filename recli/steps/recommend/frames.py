"""Lists as rows: ids, titles and reasons in place of row numbers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from recli import schema
from recli.models.wrappers import POPULARITY
from recli.schema import Float32
from recli.steps.recommend.explain import sentence
from recli.steps.recommend.recommender import RecommendationBatch
from recli.storage.runs import StoredModel

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class ItemLabels:
    """What is printed for row numbers of items. `who`: ids by place in the audience."""

    who: "pl.Series"
    item_ids: "pl.Series"
    titles: "pl.Series | None"
    counts: Float32  # users of each item

    def label(self, item: int) -> str:
        title = None if self.titles is None else self.titles[item]
        return str(title or self.item_ids[item])


TITLES = ("title", "name", "headline", "label", "product_name", "product_title")


def names_of(stored: StoredModel, who: Sequence[str], titles: list[str | None] | None) -> ItemLabels:
    """What is printed for the items of the model's run."""
    import polars as pl

    shown = None if titles is None else pl.Series(titles, dtype=pl.String)
    ids = stored.interactions.items[schema.ITEM_ID]
    return ItemLabels(pl.Series(who, dtype=pl.String), ids, shown, stored.item_counts)


def title_column(columns: Sequence[str]) -> str | None:
    """The column that holds what people call an item: the first of `TITLES`, in any case of letters."""
    lower = {column.lower(): column for column in reversed(columns)}
    return next((lower[name] for name in TITLES if name in lower), None)


def frame_of(made: RecommendationBatch, names: ItemLabels, first: str, explained: bool) -> "pl.DataFrame":
    """The lists as rows: `first` (user_id, similar_to), rank, item_id, score, source [, title] [, because,
    reasons, sources].

    `because` is a sentence; `reasons` holds item_id, title and share of items of the history, `sources` name and
    share of a hybrid's sources.
    """
    import polars as pl

    there = made.ranked.items >= 0
    lengths = there.sum(axis=1)
    items = made.ranked.items[there]
    of = np.repeat(np.arange(lengths.size), lengths)  # each row's list
    ranks = np.nonzero(there)[1] + 1
    columns = {
        first: names.who.gather(made.places[of]),
        "rank": pl.Series(ranks, dtype=pl.Int32),
        "item_id": names.item_ids.gather(items),
        "score": pl.Series(made.ranked.scores[there], dtype=pl.Float32),
        "source": pl.Series(made.sources, dtype=pl.String).gather(of),
    }
    if names.titles is not None:
        columns["title"] = names.titles.gather(items)
    if explained:
        columns |= _because(made, items.tolist(), of.tolist(), names)
    return pl.DataFrame(columns)


def _because(
    made: RecommendationBatch, items: list[int], of: list[int], names: ItemLabels
) -> "dict[str, pl.Series]":
    import polars as pl

    whys = [one for listed in made.reasons for one in listed]
    parts = [one for listed in made.shares for one in listed]
    sentences = []
    for item, at, why, shares in zip(items, of, whys, parts, strict=True):
        if made.profiles[at] and made.sources[at] != POPULARITY:
            otherwise = "fits the profile"
        else:
            otherwise = f"popular: {names.counts[item]:.0f} users"
        sentences.append(sentence([(names.label(r.item), r.share) for r in why], shares, otherwise))
    reasons = {
        "item_id": pl.Series([names.item_ids[r.item] for why in whys for r in why], dtype=pl.String),
        "title": pl.Series([names.label(r.item) for why in whys for r in why], dtype=pl.String),
        "share": pl.Series([r.share for why in whys for r in why], dtype=pl.Float32),
    }
    sources = {
        "source": pl.Series([name for one in parts for name in one], dtype=pl.String),
        "share": pl.Series([share for one in parts for share in one.values()], dtype=pl.Float32),
    }
    return {
        "because": pl.Series(sentences, dtype=pl.String),
        "reasons": _nested(reasons, [len(why) for why in whys]),
        "sources": _nested(sources, [len(one) for one in parts]),
    }


def _nested(columns: "dict[str, pl.Series]", lengths: list[int]) -> "pl.Series":
    """A column of lists of structs, list i with the next lengths[i] rows of `columns`."""
    import polars as pl

    rows = pl.Series("row", np.repeat(np.arange(len(lengths)), lengths), dtype=pl.Int64)
    grouped = pl.DataFrame({"row": rows, **columns}).group_by("row", maintain_order=True)
    lists = grouped.agg(pl.struct(*columns).alias("lists"))
    every = pl.DataFrame({"row": pl.Series(range(len(lengths)), dtype=pl.Int64)})
    made = every.join(lists, on="row", how="left", maintain_order="left")
    empty = pl.lit([], dtype=lists.schema["lists"])
    return made.select(pl.col("lists").fill_null(empty))["lists"]
