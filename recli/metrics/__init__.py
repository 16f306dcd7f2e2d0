"""Metrics of ranked lists, their slices and their uncertainty; arrays in, arrays out."""

from recli.metrics.accuracy import ndcg_at

__all__ = ["ndcg_at"]
