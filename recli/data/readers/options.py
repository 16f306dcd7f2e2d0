"""Options for reading raw files; those that are not set are detected."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from recli.errors import UsageError

FORMATS = ("auto", "csv", "jsonl", "parquet", "netflix", "adjacency", "matrix")
TIME_UNITS = ("auto", "s", "ms", "us", "ns", "iso")


@dataclass(frozen=True)
class OptionNames:
    """Names of the options that error messages mention; None, or a missing role: there is no such option."""

    roles: Mapping[str, str]
    format: str | None = None
    no_header: str | None = None
    columns: str | None = None
    separator: str | None = None
    explode: str | None = None
    join: str | None = None


_ROLES = ("user", "item", "rating", "event", "weight", "time")
LOG = OptionNames(
    {role: f"--{role}-column" for role in _ROLES},
    "--format",
    "--no-header",
    "--columns",
    "--separator",
    "--explode",
    "--join",
)
ITEMS = OptionNames(
    {"item": "--item-id-column"}, None, "--items-no-header", "--items-columns", "--items-separator"
)
LISTS = OptionNames({})


@dataclass(frozen=True)
class ReadOptions:
    """The user's settings for reading files.

    A `*_column` of None is recognized by common names; the empty string switches an optional role off.
    `separator` is of any length, `\\t` is a tab. `header` None: detected; `columns` names the columns of
    files without one. `time_format`: as `%d.%m.%Y %H:%M`; without a zone the times are UTC. `decimal_comma`:
    numbers are written 2,8 (and a point makes none). `explode`: columns of lists, `COLUMN[:SEPARATOR]`.
    `join`: tables with more columns of the events, `FILE:COLUMN`.
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
    explode: tuple[str, ...] = ()
    join: tuple[str, ...] = ()
    time_unit: str = "auto"
    time_format: str | None = None
    decimal_comma: bool = False
    encoding: str = "utf-8"
    advice: OptionNames = field(default=LOG, repr=False)

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"the format must be one of {', '.join(FORMATS)}, not {self.format!r}")
        if self.time_unit not in TIME_UNITS:
            raise UsageError(f"the time unit must be one of {', '.join(TIME_UNITS)}, not {self.time_unit!r}")
        if self.time_format is not None:
            if not re.search(r"%[-_0]?[YyDFcsxvG+]", self.time_format):
                raise UsageError(
                    f"--time-format {self.time_format!r} holds no year", "write for example '%d.%m.%Y %H:%M'"
                )
            if self.time_unit != "auto":
                raise UsageError("--time-format and --time-unit both say how times are written", "give one")
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
            raise UsageError(f"{self.advice.columns} names a column twice: {','.join(self.columns)}")
        if self.separator is not None and (self.separator == "" or set(self.separator) & set('"\n\r\0')):
            raise UsageError(
                f"{self.separator!r} cannot separate fields", "use for example ',' or '\\t' or '::'"
            )

    @property
    def delimiter(self) -> str | None:
        return None if self.separator is None else self.separator.replace("\\t", "\t")

    def column_of(self, role: str) -> str | None:
        """The column the user named for a role; "" where the role is switched off, None to recognize it."""
        named: str | None = getattr(self, f"{role}_column", None)
        return named
