"""Names that a shell offers for an option's value: models, embeddings, metrics, sources, columns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import typer

from recli.errors import RecliError

Words = Mapping[str, Any]  # what the command line has so far, by parameter


def _parts(kind: str) -> Callable[[Words], Iterable[str]]:
    def names(words: Words) -> Iterable[str]:
        from pathlib import Path

        from recli.storage.parts import part_names

        return part_names(Path(words.get("run") or ""), kind)

    return names


def _metrics(words: Words) -> list[str]:
    from recli.metrics.base import metrics

    return [f"{metric.name}@{k}" for metric in metrics if metric.at for k in (10, 20)] + [
        metric.name for metric in metrics if not metric.at
    ]


def _sources(words: Words) -> list[str]:
    from recli.models.base import algorithms
    from recli.models.popularity import RECENT_POPULARITY

    return [*algorithms.names(lambda a: a.family != "hybrid"), RECENT_POPULARITY, *_parts("models")(words)]


def _columns(option: str) -> Callable[[Words], Iterable[str]]:
    def names(words: Words) -> Iterable[str]:
        from recli.data.readers.column_roles import EVENT_ROLES
        from recli.data.readers.log import open_table
        from recli.data.readers.options import ReadOptions
        from recli.data.readers.streams import expand

        files = [file for file in words.get(option) or () if file != "-"]
        table = open_table(expand(files[:1])[0], ReadOptions(), EVENT_ROLES, ("id",)) if files else None
        return table.names if table else ()

    return names


def _catalogue_columns(words: Words) -> Iterable[str]:
    from pathlib import Path

    from recli.storage.runs import read_catalogue

    catalogue = read_catalogue(Path(words.get("run") or ""))
    return () if catalogue is None else catalogue.columns


_FINDERS: dict[str, Callable[[Words], Iterable[str]]] = {
    **dict.fromkeys(("models", "cf", "compare"), _parts("models")),
    "embeddings": _parts("embeddings"),
    "metrics": _metrics,
    "fail_under": _metrics,
    "sources": _sources,
    **{f"{role}_column": _columns("log") for role in ("user", "item", "rating", "event", "weight", "time")},
    "item_id_column": _columns("items"),
    "title_column": _catalogue_columns,
}


def completer(command: str, field: str) -> Callable[..., list[str]] | None:
    """What offers the names for an option's value; of `a,b` those of the last one. None: nothing does."""
    find = _parts("models") if (command, field) == ("recommend", "model") else _FINDERS.get(field)
    if find is None:
        return None

    def offered(ctx: typer.Context, incomplete: str) -> list[str]:
        head, comma, last = incomplete.rpartition(",")
        with suppress(RecliError, OSError):  # a file that is not there has no columns to offer
            return [f"{head}{comma}{name}" for name in find(ctx.params) if name.startswith(last)]
        return []

    return offered
