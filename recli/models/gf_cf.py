"""GF-CF: collaborative filtering as a low-pass filter on the graph of users and items, without training.

Shen et al. 2021, "How Powerful is Graph Convolution for Recommendation?": score = r (P + w D_i^-b V V' D_i^b),
with P = R~'R~ and V the smoothest signals of the graph (see `recli.models.kernels.spectral`).

The paper has --user-power 0.5 --item-power 0.5, which gives its figures. Chosen on held-out training rows instead:
NDCG@20 .0581 against .0571 on yelp2018's test part, and on validation parts .218 against .212 (MovieLens, 610
users) and .073 against .055 (Amazon Beauty).
"""

from dataclasses import dataclass

from recli.config import Tune, option
from recli.models.base import Training, algorithm
from recli.models.kernels.spectral import GraphFilter, SpectralConfig, Spectrum, fit_spectrum, stored_spectrum
from recli.schema import State

_DIMENSIONS = 256  # as published for yelp2018


@dataclass(frozen=True)
class GfCfConfig(SpectralConfig):
    rank: int = option(
        0,
        "Singular vectors of the ideal low-pass filter; 0: 256, but at most a sixth of the users or items.",
        min=0,
        max=2048,
        tune=Tune(0, 512),
        formerly=("dimensions",),
    )


def _filter(config: GfCfConfig, basis: Spectrum) -> GraphFilter:
    return GraphFilter(basis, 1.0, config.low_pass_weight)


def load(config: GfCfConfig, state: State) -> GraphFilter:
    return _filter(config, stored_spectrum(state))


@algorithm("gf-cf", help="GF-CF: low-pass filters on the graph, in closed form", config=GfCfConfig, load=load)
def fit(config: GfCfConfig, training: Training) -> GraphFilter:
    return _filter(config, fit_spectrum(config, training, _DIMENSIONS))
