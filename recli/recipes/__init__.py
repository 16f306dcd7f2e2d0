"""Recipes: several of the six steps, one after the other, in folders of their own that go in the end."""
