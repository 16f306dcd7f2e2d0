"""`recli prepare` on the terminal."""

from recli.steps.prepare.step import PrepareConfig as PrepareConfig
from recli.steps.prepare.step import prepare as prepare
