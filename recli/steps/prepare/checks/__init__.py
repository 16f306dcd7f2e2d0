"""Checks: look at what was read, and say what is assumed of it or warn of what may be wrong."""

from recli.steps.prepare.checks import catalogue, ids, notations, texts, times, values

__all__ = ["catalogue", "ids", "notations", "texts", "times", "values"]
