"""Counts what became of each row of the log: in = kept + merged + filtered + rejected."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class RowCounts:
    """What became of each row of the log. Reasons are the names of the options that caused them."""

    rows: int
    rejected: dict[str, int]
    filtered: dict[str, int] = field(default_factory=dict)
    merged: int = 0

    def filter(self, reason: str, count: int) -> None:
        if count:
            self.filtered[reason] = self.filtered.get(reason, 0) + count

    def check(self, kept: int) -> None:
        """Raises `RuntimeError`, a bug, if a row is counted twice or not at all."""
        accounted = kept + self.merged + sum(self.filtered.values()) + sum(self.rejected.values())
        if accounted != self.rows:
            raise RuntimeError(f"{self.rows} rows came in, but {accounted} are accounted for: {self}")

    def summary(self, kept: int) -> dict[str, Any]:
        """The counts as the manifest stores them, after `check`."""
        self.check(kept)
        return {
            "in": self.rows,
            "kept": kept,
            "merged": self.merged,
            "filtered": dict(sorted(self.filtered.items())),
            "rejected": dict(sorted(self.rejected.items())),
        }
