"""Reading raw event logs, catalogues and lists: any common format, every bad row reported."""

from recli.events.catalogue import Catalogue, read_catalogue
from recli.events.log import EventLog, read_events
from recli.events.options import FORMATS, ITEMS, LISTS, LOG, TIME_UNITS, Advice, ReadOptions
from recli.events.pairs import read_pairs
from recli.events.values import OTHER_TIME

__all__ = [
    "FORMATS",
    "ITEMS",
    "LISTS",
    "LOG",
    "OTHER_TIME",
    "TIME_UNITS",
    "Advice",
    "Catalogue",
    "EventLog",
    "ReadOptions",
    "read_catalogue",
    "read_events",
    "read_pairs",
]
