"""Pretrained language models in collaborative-filtering recommendation, from the shell."""

__version__ = "0.1.0"
