"""`recli evaluate` on the terminal."""

from recli.steps.evaluate.step import EvaluateConfig as EvaluateConfig
from recli.steps.evaluate.step import evaluate as evaluate
