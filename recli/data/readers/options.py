"""Options for reading raw files; those that are not set are detected."""

import codecs
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from recli.data.readers.numbers import THOUSANDS
from recli.data.readers.quoting import QUOTING
from recli.errors import UsageError

FORMATS = ("auto", "csv", "jsonl", "parquet", "netflix", "adjacency", "matrix")
TIME_UNITS = ("auto", "s", "ms", "us", "ns", "iso", "excel", "days")


@dataclass(frozen=True)
class OptionNames:
    """Names of the options that error messages mention; None, or a missing role: there is no such option."""

    roles: Mapping[str, str]
    format: str | None = None
    no_header: str | None = None
    columns: str | None = None
    separator: str | None = None
    quoting: str | None = None
    skip_lines: str | None = None
    explode: str | None = None
    join: str | None = None


_ROLES = ("user", "item", "rating", "event", "weight", "time")
LOG = OptionNames(
    {role: f"--{role}-column" for role in _ROLES},
    "--format",
    "--no-header",
    "--columns",
    "--separator",
    "--quoting",
    "--skip-lines",
    "--explode",
    "--join",
)
ITEMS = OptionNames(
    {"item": "--item-id-column"},
    None,
    "--items-no-header",
    "--items-columns",
    "--items-separator",
    "--items-quoting",
    "--items-skip-lines",
)
LISTS = OptionNames({})


@dataclass(frozen=True)
class ReadOptions:
    """The user's settings for reading files.

    A `*_column` of None is recognized by common names; the empty string switches an optional role off.
    `separator` is of any length, `\\t` is a tab. `quoting`: standard (RFC 4180), none (quotes are characters) or auto:
    standard where fields are separated by `,` or `;`, or where the data proves it. `skip_lines`: lines left out at the
    beginning. `header` None: detected; `columns` names the columns of files without one. `time_format`: as
    `%d.%m.%Y %H:%M`, or several with `|` between them; without a zone the times are UTC. `decimal_comma`: numbers are
    written 2,8 (and a point makes none). `thousands`: the separator in 1,234. `explode`: columns of lists,
    `COLUMN[:SEPARATOR]`. `join`: tables with more columns of the events, `FILE:COLUMN`.
    """

    format: str = "auto"
    separator: str | None = None
    quoting: str = "auto"
    skip_lines: int = 0
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
    thousands: str | None = None
    encoding: str = "utf-8"
    advice: OptionNames = field(default=LOG, repr=False)

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise UsageError(f"the format must be one of {', '.join(FORMATS)}, not {self.format!r}")
        if self.quoting not in QUOTING:
            raise UsageError(f"quoting must be one of {', '.join(QUOTING)}, not {self.quoting!r}")
        if self.time_unit not in TIME_UNITS:
            raise UsageError(f"the time unit must be one of {', '.join(TIME_UNITS)}, not {self.time_unit!r}")
        if self.time_format is not None:
            for one in self.time_format.split("|"):
                if one not in TIME_UNITS[1:] and not re.search(r"%[-_0]?[YyDFcsxvG+]", one):
                    raise UsageError(
                        f"--time-format {self.time_format!r} holds no year",
                        "write for example '%d.%m.%Y %H:%M'",
                    )
            if self.time_unit != "auto":
                raise UsageError("--time-format and --time-unit both say how times are written", "give one")
        if self.thousands is not None:
            self._check_thousands()
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

    def _check_thousands(self) -> None:
        if self.thousands not in THOUSANDS:
            raise UsageError(
                f"--thousands-separator must be one of {' '.join(map(repr, THOUSANDS))}, not {self.thousands!r}"
            )
        if self.thousands == "," and self.decimal_comma:
            raise UsageError(
                "--thousands-separator , and --decimal-comma both say what a comma is", "give one"
            )

    @property
    def delimiter(self) -> str | None:
        return None if self.separator is None else self.separator.replace("\\t", "\t")

    def column_of(self, role: str) -> str | None:
        """The column the user named for a role; "" where the role is switched off, None to recognize it."""
        named: str | None = getattr(self, f"{role}_column", None)
        return named
