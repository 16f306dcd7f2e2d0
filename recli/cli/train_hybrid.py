"""`recli train-hybrid` on the terminal."""

from recli.steps.train_hybrid.step import TrainHybridConfig as TrainHybridConfig
from recli.steps.train_hybrid.step import train_hybrid as train_hybrid
