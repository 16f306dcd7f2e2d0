"""Recommendation algorithms: each module registers its own with `recli.models.base.algorithm`."""
