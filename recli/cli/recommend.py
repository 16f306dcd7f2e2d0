"""`recli recommend` on the terminal."""

from recli.steps.recommend.step import RecommendConfig as RecommendConfig
from recli.steps.recommend.step import recommend as recommend
