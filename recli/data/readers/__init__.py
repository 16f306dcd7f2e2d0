"""Reading raw event logs, catalogues and lists: any common format, every bad row reported."""

from recli.data.readers.catalogue import Catalogue, read_catalogue
from recli.data.readers.log import EventLog, read_events
from recli.data.readers.options import (
    FORMATS,
    ITEMS,
    LISTS,
    LOG,
    TIME_UNITS,
    OptionNames,
    ReadOptions,
)
from recli.data.readers.pairs import read_pairs
from recli.data.readers.values import NO_TIME

__all__ = [
    "FORMATS",
    "ITEMS",
    "LISTS",
    "LOG",
    "NO_TIME",
    "TIME_UNITS",
    "Catalogue",
    "EventLog",
    "OptionNames",
    "ReadOptions",
    "read_catalogue",
    "read_events",
    "read_pairs",
]
