"""`recli train-cf` on the terminal."""

from recli.steps.train_cf.step import TrainCfConfig as TrainCfConfig
from recli.steps.train_cf.step import train_cf as train_cf
