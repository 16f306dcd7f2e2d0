"""`--where`: which items the conditions on the catalogue's columns hold for."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import polars as pl

from recli.errors import UsageError, did_you_mean
from recli.schema import Bool
from recli.steps.recommend.where import advice, grammar
from recli.steps.recommend.where.evaluate import Evaluator, TypesError, kind_of
from recli.steps.recommend.where.grammar import Column, Node

Warn = Callable[[str], None]


def where(frame: pl.DataFrame, conditions: Sequence[str], warn: Warn = lambda _: None) -> Bool:
    """The rows of `frame` for which all `conditions` hold, bool (n,); a null is no match.

    `warn` gets a line about values that a CAST cannot read, and about comparisons that cannot be meant so. Raises
    `UsageError` for what is no condition, names columns that are not there, or compares what is not alike.
    """
    keep = np.ones(frame.height, dtype=bool)
    for condition in conditions:
        keep &= _where(frame, condition, warn)
    return keep


def _where(frame: pl.DataFrame, condition: str, warn: Warn) -> Bool:
    tree = grammar.parse(condition)
    _check_columns(frame, condition, tree)
    evaluator = Evaluator(frame)
    try:
        holds = evaluator.condition(tree)
    except TypesError as error:
        what, fix = advice.wrong_types(frame, condition, error)
        raise UsageError(f"--where {grammar.shown(condition)}: {what}", fix) from None
    for failed in evaluator.failed:
        warn(advice.failed_cast(condition, failed))
    for line in dict.fromkeys(advice.doubts(frame, condition, tree)):
        warn(line)
    kept = holds.fill_null(False).to_numpy()
    return np.broadcast_to(kept, frame.height)  # a constant is one value


def _check_columns(frame: pl.DataFrame, condition: str, tree: Node) -> None:
    columns = (node for node in grammar.nodes_of(tree) if isinstance(node, Column))
    unknown = next((column for column in columns if column.name not in frame.columns), None)
    if unknown is None:
        return
    types = ", ".join(f"{column.name} ({kind_of(column)})" for column in frame)
    quoted = condition[unknown.start] == '"'
    raise UsageError(
        f"--where {grammar.shown(condition)}: there is no column {unknown.name!r}; columns: {types}",
        did_you_mean(unknown.name, frame.columns)
        or (f"text goes into single quotes: '{unknown.name}'" if quoted else None),
    )


def why_none(frame: pl.DataFrame, conditions: Sequence[str]) -> str | None:
    """What the columns hold that the first condition without any match is about; None: each has matches."""
    for condition in conditions:
        if not where(frame, [condition]).any():
            return f"--where {grammar.shown(condition)} holds for none; {advice.nothing_matches(frame, condition)}"
    return None
