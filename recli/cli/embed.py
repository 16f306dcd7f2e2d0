"""`recli embed` on the terminal."""

from recli.steps.embed.step import EmbedConfig as EmbedConfig
from recli.steps.embed.step import embed as embed
