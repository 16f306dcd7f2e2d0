"""Recommends items to users, or similar items; lists are written batch by batch, so that memory stays flat."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import polars as pl

from recli import schema
from recli.config import to_dict
from recli.errors import RecliError, UsageError
from recli.models.wrappers import POPULARITY
from recli.reporting import SILENT, Advance, Reporter, StepResult, no_progress
from recli.steps.recommend import inputs
from recli.steps.recommend.approximate import approximate
from recli.steps.recommend.config import WIDE, RecommendConfig
from recli.steps.recommend.frames import ItemLabels, frame_of, labels_of, widened
from recli.steps.recommend.recommender import (
    RecommendationBatch,
    RecommendOptions,
    recommend_batches,
    similar_items,
)
from recli.steps.recommend.sinks.base import Sink, format_of, formats
from recli.steps.recommend.sinks.files import BatchSpool
from recli.storage import atomic, parts
from recli.storage.runs import StoredModel
from recli.storage.writable import check_writable


@dataclass(frozen=True)
class ListCounts:
    """How many lists were made; how many of them are shorter than k; how many users or items got none (`empty`);
    how many lists are the most popular items because the model cannot score the user (`popularity`).
    """

    lists: int = 0
    short: int = 0
    empty: int = 0
    popularity: int = 0

    def plus(self, batch: RecommendationBatch) -> ListCounts:
        return ListCounts(
            self.lists + len(batch.sources),
            self.short + batch.short,
            self.empty + batch.empty,
            self.popularity + batch.sources.count(POPULARITY),
        )


@dataclass(frozen=True)
class Recommendations(StepResult):
    """The result of `recommend`."""

    run: Path
    model: str
    queries: int  # users, or items of --similar-to, that were asked for
    counts: ListCounts
    saved: bool = False  # as the part RUN/recommendations
    kept: pl.DataFrame | None = None  # all lists, unless they were written

    @property
    def frame(self) -> pl.DataFrame:
        """A row for each recommendation: user_id (or similar_to), rank, item_id, score, source [, title] [, because,
        reasons, sources]. Raises `RecliError` where the lists were written to a file or a sink instead.
        """
        if self.saved:
            part = parts.open_part(self.run / schema.RECOMMENDATIONS, schema.RECOMMENDATIONS)
            return part.table("recommendations")
        if self.kept is None:
            raise RecliError(
                "the lists were written, not kept", "read the file, or leave `out` and `sink` out"
            )
        return self.kept

    @property
    def summary(self) -> dict[str, Any]:
        return {"part": schema.RECOMMENDATIONS, "model": self.model, **vars(self.counts)}


@dataclass
class _FrameSink:
    """Keeps all lists in memory."""

    batches: list[pl.DataFrame] = field(default_factory=list)

    def add(self, rows: pl.DataFrame) -> None:
        self.batches.append(rows)

    def finish(self) -> None: ...


@dataclass(frozen=True)
class _Lists:
    """Lists that are made as they are written. `column`: of the ids that lists are for, user_id or similar_to."""

    column: str
    labels: ItemLabels
    batches: Iterator[RecommendationBatch]
    explained: bool
    wide: int = 0  # items in one row for each list; 0: a row for each item

    def write(self, sink: Sink, advance: Advance) -> ListCounts:
        counts = ListCounts()
        for batch in self.batches:
            rows = frame_of(batch, self.labels, self.column, self.explained)
            sink.add(widened(rows, self.wide) if self.wide else rows)
            counts = counts.plus(batch)
            advance(len(batch.sources) + batch.empty, "")
        sink.finish()
        return counts


def recommend(
    config: RecommendConfig, reporter: Reporter = SILENT, sink: Sink | None = None, with_progress: bool = True
) -> Recommendations:
    """Recommend items to users of the run or new ones, or items similar to those of `similar_to`.

    Lists go into the run (`save`), to `sink` or to the file `out`, batch by batch, else they are kept in the result.
    `with_progress`: whether progress is reported.
    """
    format = None if config.file is None else config.format or format_of(config.file)
    if config.wide and format not in (None, *WIDE):
        raise UsageError(f"--wide is for rows: --format {', '.join(WIDE)}, not {format}")
    if config.device.startswith("cuda"):  # named: it must be there, even where no profile needs it
        from recli.compute.devices import choose_device

        choose_device(config.device)
    run = Path(config.run)
    check_writable(config.file, run if config.save and run.exists() else None)
    stored = inputs.open_model(run, config, reporter)
    reporter.say(f"model: {stored.name} ({stored.algorithm})")
    lists = _lists(run, stored, config, reporter)
    queries = len(lists.labels.who)
    progress = (
        reporter.progress("recommending", queries, "lists") if with_progress else nullcontext(no_progress)
    )
    frame_sink = _FrameSink()
    with progress as advance:
        if config.save:
            counts = _save(run, stored, lists, config, advance)
        elif sink is None and config.file is not None and format is not None:
            with file_sink(config.file, format) as file:
                counts = lists.write(file, advance)
        else:
            counts = lists.write(sink or frame_sink, advance)
    kept = pl.concat(frame_sink.batches) if frame_sink.batches else None
    return Recommendations(run, stored.name, queries, counts, config.save, kept)


def _lists(run: Path, stored: StoredModel, config: RecommendConfig, reporter: Reporter) -> _Lists:
    """The lists that the config asks for; nothing is ranked before they are written."""
    titles = inputs.item_titles(stored.catalogue, config.title_column)
    columns = inputs.item_columns(stored.catalogue, config.columns)
    options = RecommendOptions(
        k=config.k,
        mask=config.mask,
        allowed=inputs.allowed_items(stored, config, reporter),
        fallback=config.fallback,
        diversify=config.diversify,
        reranker=config.reranker,
        pool=config.pool,
        reasons=config.reasons if config.explain else 0,
        approximate=approximate(run, stored, config, reporter),
    )
    wide = config.k if config.wide else 0
    if config.similar_to:
        items = inputs.similar_to_rows(stored, config)
        ids = stored.interactions.items[schema.ITEM_ID].gather(items).to_list()
        batches = similar_items(stored, items, options)
        return _Lists(
            "similar_to", labels_of(stored, ids, titles, columns), batches, bool(options.reasons), wide
        )
    queries = inputs.read_users(stored, config, reporter)
    inputs.say_mask(config, reporter)
    profiles = inputs.encode_profiles(stored, queries, config.encoder, config.device, reporter)
    batches = recommend_batches(stored, queries, options, profiles)
    labels = labels_of(stored, queries.user_ids, titles, columns)
    wide = max(wide, *queries.lengths.values()) if wide and queries.lengths else wide
    return _Lists(schema.USER_ID, labels, batches, bool(options.reasons), wide)


def _save(
    run: Path, stored: StoredModel, lists: _Lists, config: RecommendConfig, advance: Advance
) -> ListCounts:
    """Write the part RUN/recommendations."""
    read = {
        f"{schema.MODELS}/{stored.name}": stored.part.sha256,
        schema.INTERACTIONS: stored.interactions.sha256,
    }
    settings = to_dict(replace(config, model=stored.name))
    with (
        atomic.scratch(run) as folder,
        parts.write_part(run / schema.RECOMMENDATIONS, schema.RECOMMENDATIONS, settings, read) as writer,
    ):
        spool = BatchSpool(folder)
        counts = lists.write(spool, advance)
        writer.table("recommendations", spool.scan())
        writer.summary.update(vars(counts))
    return counts


@contextmanager
def file_sink(file: str, format: str) -> Iterator[Sink]:
    """A sink for a file that is put in place only when all of it was written."""
    with atomic.write_file(Path(file)) as path, path.open("wb") as target:
        yield formats[format].open(target, path.parent)
