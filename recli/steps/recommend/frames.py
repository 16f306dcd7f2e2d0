"""Converts lists to data frames: ids, titles and reasons in place of row numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recli import schema
from recli.models.wrappers import POPULARITY
from recli.schema import Float32
from recli.steps.recommend.explain import sentence
from recli.steps.recommend.recommender import RecommendationBatch
from recli.storage.runs import StoredModel


@dataclass(frozen=True)
class ItemLabels:
    """What is printed for row numbers of items. `who`: ids of the queries, by position."""

    who: pl.Series
    item_ids: pl.Series
    titles: pl.Series | None
    counts: Float32  # users of each item
    columns: tuple[pl.Series, ...] = ()  # of the catalogue, to print beside each item

    def label(self, item: int) -> str:
        title = None if self.titles is None else self.titles[item]
        return str(title or self.item_ids[item])


OWN = ("user_id", "similar_to", "rank", "item_id", "score", "source", "because", "reasons", "sources")
TITLES = ("title", "name", "headline", "label", "product_name", "product_title")


def labels_of(
    stored: StoredModel, who: Sequence[str], titles: pl.Series | None, columns: Sequence[pl.Series] = ()
) -> ItemLabels:
    """What is printed for the items of the model's run."""
    ids = stored.interactions.items[schema.ITEM_ID]
    return ItemLabels(pl.Series(who, dtype=pl.String), ids, titles, stored.item_counts, tuple(columns))


def title_column(columns: Sequence[str]) -> str | None:
    """The column that holds titles: the first of `TITLES`, in any case of letters."""
    lower = {column.lower(): column for column in reversed(columns)}
    return next((lower[name] for name in TITLES if name in lower), None)


def frame_of(batch: RecommendationBatch, labels: ItemLabels, first: str, explained: bool) -> pl.DataFrame:
    """The lists as rows: `first` (user_id, similar_to), rank, item_id, score, source [, title] [, columns of
    the catalogue] [, because, reasons, sources].

    `because` is a sentence; `reasons` holds item_id, title and share of items of the history, `sources` name and
    share of a hybrid's sources.
    """
    there = batch.ranked.items >= 0
    lengths = there.sum(axis=1)
    items = batch.ranked.items[there]
    list_rows = np.repeat(np.arange(lengths.size), lengths)  # each row's list
    ranks = np.nonzero(there)[1] + 1
    columns = {
        first: labels.who[batch.positions[list_rows]],
        "rank": pl.Series(ranks, dtype=pl.Int32),
        "item_id": labels.item_ids[items],
        "score": pl.Series(batch.ranked.scores[there], dtype=pl.Float32),
        "source": pl.Series([batch.sources[row] for row in list_rows.tolist()], dtype=pl.String),
    }
    if labels.titles is not None:
        columns["title"] = labels.titles[items]
    columns |= {column.name: column[items] for column in labels.columns}
    if explained:
        columns |= _because(batch, items.tolist(), list_rows.tolist(), labels)
    return pl.DataFrame(columns)


def widened(rows: pl.DataFrame, k: int) -> pl.DataFrame:
    """The lists in one row each: the first column, source, item_1, ..., item_k (null where a list is shorter)."""
    first = rows.columns[0]
    lists = rows.group_by((pl.col("rank") == 1).cum_sum().alias("list"), maintain_order=True).agg(
        pl.col(first, "source").first(), pl.col("item_id")
    )
    items = (pl.col("item_id").list.get(i, null_on_oob=True).alias(f"item_{i + 1}") for i in range(k))
    return lists.select(first, "source", *items)


def _because(
    batch: RecommendationBatch, items: list[int], list_rows: list[int], labels: ItemLabels
) -> dict[str, pl.Series]:
    explanations = [reasons for listed in batch.reasons for reasons in listed]
    source_shares = [shares for listed in batch.shares for shares in listed]
    sentences = []
    for item, list_row, explanation, shares in zip(
        items, list_rows, explanations, source_shares, strict=True
    ):
        if batch.profiles[list_row] and batch.sources[list_row] != POPULARITY:
            otherwise = "fits the profile"
        else:
            otherwise = f"popular: {labels.counts[item]:.0f} users"
        named = [(labels.label(reason.item), reason.share) for reason in explanation]
        sentences.append(sentence(named, shares, otherwise))
    because = [reason for explanation in explanations for reason in explanation]
    reasons = {
        "item_id": pl.Series([labels.item_ids[r.item] for r in because], dtype=pl.String),
        "title": pl.Series([labels.label(r.item) for r in because], dtype=pl.String),
        "share": pl.Series([r.share for r in because], dtype=pl.Float32),
    }
    sources = {
        "source": pl.Series([name for shares in source_shares for name in shares], dtype=pl.String),
        "share": pl.Series(
            [share for shares in source_shares for share in shares.values()], dtype=pl.Float32
        ),
    }
    return {
        "because": pl.Series(sentences, dtype=pl.String),
        "reasons": _nested(reasons, [len(explanation) for explanation in explanations]),
        "sources": _nested(sources, [len(shares) for shares in source_shares]),
    }


def _nested(columns: dict[str, pl.Series], lengths: list[int]) -> pl.Series:
    """A column of lists of structs, list i with the next lengths[i] rows of `columns`."""
    rows = pl.Series("row", np.repeat(np.arange(len(lengths)), lengths), dtype=pl.Int64)
    grouped = pl.DataFrame({"row": rows, **columns}).group_by("row", maintain_order=True)
    lists = grouped.agg(pl.struct(*columns).alias("lists"))
    every = pl.DataFrame({"row": pl.Series(range(len(lengths)), dtype=pl.Int64)})
    joined = every.join(lists, on="row", how="left", maintain_order="left")
    empty = pl.lit([], dtype=lists.schema["lists"])
    return joined.select(pl.col("lists").fill_null(empty))["lists"]
