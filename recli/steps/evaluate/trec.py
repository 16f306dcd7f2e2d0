"""Reads TREC runs: lines of `user Q0 item rank score tag`."""

from __future__ import annotations

import math
from pathlib import Path

import polars as pl

from recli import schema
from recli.errors import InvalidDataError

SUFFIXES = (".trec", ".run")


def read_run(path: str) -> pl.DataFrame:
    """Rows of user_id, item_id, score; the rank is not used, as in trec_eval, which ranks by score.

    Raises `InvalidDataError` for a line of other fields.
    """
    rows: list[tuple[str, str, float]] = []
    with Path(path).open(encoding="utf-8-sig") as file:
        try:
            for number, line in enumerate(file, start=1):
                fields = line.split()
                score = _score(fields[4]) if len(fields) == 6 else math.nan
                if fields and math.isnan(score):
                    raise InvalidDataError(
                        f"{path} line {number}: not the six fields of a TREC run, user Q0 item rank score tag"
                    )
                if fields:
                    rows.append((fields[0], fields[2], score))
        except UnicodeDecodeError as error:
            raise InvalidDataError(f"{path} is not UTF-8: {error.reason}") from None
    columns = {schema.USER_ID: pl.String, schema.ITEM_ID: pl.String, "score": pl.Float64}
    return pl.DataFrame(rows, schema=columns, orient="row")


def _score(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
