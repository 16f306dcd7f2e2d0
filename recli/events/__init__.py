"""Reading raw event logs, catalogues and lists: any common format, every bad row reported."""

from recli.events.catalogue import Catalogue, read_catalogue
from recli.events.log import EventLog, read_events
from recli.events.options import FORMATS, TIME_UNITS, ReadOptions
from recli.events.pairs import read_pairs

__all__ = [
    "FORMATS",
    "TIME_UNITS",
    "Catalogue",
    "EventLog",
    "ReadOptions",
    "read_catalogue",
    "read_events",
    "read_pairs",
]
