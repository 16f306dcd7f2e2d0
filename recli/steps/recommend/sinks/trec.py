"""TREC runs: `user Q0 item rank score tag`, as trec_eval, ir_measures and ranx read them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import IO

import polars as pl

from recli.errors import InvalidDataError
from recli.steps.recommend.sinks.base import sink


@sink("trec", suffixes=(".trec", ".run"))
@dataclass
class Trec:
    """One line for each recommendation; the tag is the model's name, or popularity for the fallback."""

    target: IO[bytes]
    folder: Path

    def add(self, rows: pl.DataFrame) -> None:
        who = rows.columns[0]
        for ids in (rows[who], rows["item_id"], rows["source"]):
            blank = ids.filter(ids.str.contains(r"\s") | (ids == ""))
            if blank.len():
                raise InvalidDataError(
                    f"{ids.name} {blank[0]!r} has a blank, which separates the fields of a TREC run",
                    "choose another --format",
                )
        fields = rows.select(who, pl.lit("Q0"), "item_id", "rank", "score", "source")
        self.target.write(fields.write_csv(include_header=False, separator=" ", quote_style="never").encode())

    def finish(self) -> None:
        self.target.flush()
