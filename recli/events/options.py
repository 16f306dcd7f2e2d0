"""How raw files are to be read: everything that is not given is found out."""

import codecs
from dataclasses import dataclass

from recli.errors import UsageError

FORMATS = ("auto", "csv", "jsonl", "parquet")
TIME_UNITS = ("auto", "s", "ms", "us", "ns", "iso")


@dataclass(frozen=True)
class ReadOptions:
    """What the user says of the files.

    A `*_column` of None is recognised by common names; the empty string switches an optional role off.
    `separator` is of any length, `\\t` is a tab. `header` None: found out; `columns` names the columns of
    files without one.
    """

    format: str = "auto"
    separator: str | None = None
    header: bool | None = None
    columns: tuple[str, ...] = ()
    user_column: str | None = None
    item_column: str | None = None
    rating_column: str | None = None
    event_column: str | None = None
    weight_column: str | None = None
    time_column: str | None = None
    time_unit: str = "auto"
    encoding: str = "utf-8"

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"the format must be one of {', '.join(FORMATS)}, not {self.format!r}")
        if self.time_unit not in TIME_UNITS:
            raise UsageError(f"the time unit must be one of {', '.join(TIME_UNITS)}, not {self.time_unit!r}")
        try:
            codecs.lookup(self.encoding)
        except LookupError:
            raise UsageError(
                f"unknown encoding {self.encoding!r}", "use for example latin-1, cp1252, utf-16"
            ) from None
        if self.header is False and not self.columns:
            raise UsageError("--no-header needs the columns' names", "add: --columns user_id,item_id,...")
        if self.header and self.columns:
            raise UsageError("--columns is for files without a header", "leave one of the two out")
        if len({c.strip() for c in self.columns}) < len(self.columns):
            raise UsageError(f"--columns names a column twice: {','.join(self.columns)}")
        if self.separator is not None and (self.separator == "" or set(self.separator) & set('"\n\r\0')):
            raise UsageError(
                f"{self.separator!r} cannot separate fields", "use for example ',' or '\\t' or '::'"
            )

    @property
    def delimiter(self) -> str | None:
        return None if self.separator is None else self.separator.replace("\\t", "\t")

    def column_of(self, role: str) -> str | None:
        """The column the user named for a role; "" where the role is switched off, None to recognise it."""
        named: str | None = getattr(self, f"{role}_column", None)
        return named
