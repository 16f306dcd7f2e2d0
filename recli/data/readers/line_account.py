"""Reconciles the physical lines of text files with the rows that were made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace

from recli.data.readers.streams import Source
from recli.data.readers.table import Batch, Table


class LineAccount:
    """Counts of lines over files: read = rows + before + blank + continued + comments."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._longest: tuple[int, str] = (1, "")

    @property
    def counts(self) -> dict[str, int]:
        """Lines by what they are; empty where no file is text."""
        return {name: self._counts[name] for name in _KINDS} if self._counts["read"] else {}

    def follow(self, table: Table, source: Source) -> Table:
        """The same table, whose batches are counted as they are read."""

        def batches(numbers_by_name: Mapping[str, int]) -> Iterator[Batch]:
            if table.before is not None:
                self._counts.update(read=table.before.taken, before=table.before.taken)
            for batch in table.batches(numbers_by_name):
                self._add(batch, source)
                yield batch

        return replace(table, batches=batches)

    def _add(self, batch: Batch, source: Source) -> None:
        """Raises `RuntimeError`, a bug, where a line is counted twice or not at all."""
        lines = batch.lines
        if lines is None:
            return
        rows = batch.frame.height if batch.exploded is None else batch.exploded.rows
        rows += len(batch.rejects)
        accounted = rows + lines.blank + lines.continued + lines.comments
        if accounted != lines.taken:
            raise RuntimeError(f"{source}: {lines.taken} lines, but {accounted} are accounted for: {lines}")
        parts = {"blank": lines.blank, "continued": lines.continued, "comments": lines.comments}
        self._counts.update(read=lines.taken, rows=rows, **parts)
        if lines.longest is not None and lines.longest[0] > self._longest[0]:
            self._longest = (lines.longest[0], f"{source.name}:{lines.longest[1]}")

    def notes(self) -> list[str]:
        """What is said of records over several lines."""
        longest, where = self._longest
        if longest == 1:
            return []
        return [
            f"{self._counts['continued']:,} lines continue the record of the line before (a quoted field goes on); "
            f"the longest record has {longest} lines, from {where}"
        ]


_KINDS = ("read", "rows", "before", "blank", "continued", "comments")
