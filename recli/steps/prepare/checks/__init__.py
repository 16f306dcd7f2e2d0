"""Checks: look at what was read, and say what is assumed of it or warn of what may be wrong."""

from recli.steps.prepare.checks import ids, notations, times

__all__ = ["ids", "notations", "times"]
