"""NumPyro distributions that NumPyro lacks, or has with a fault."""

from probvae.distributions.bernoulli import BernoulliLogits
from probvae.distributions.blocks import Blocks
from probvae.distributions.categorical import CategoricalLevels
from probvae.distributions.continuous_bernoulli import ContinuousBernoulli
from probvae.distributions.counts import NegativeBinomialLogMean, PoissonLogMean
from probvae.distributions.discretized_logistic import DiscretizedLogistic
from probvae.distributions.mixture import NormalMixture, mixture

__all__ = [
    "BernoulliLogits",
    "Blocks",
    "CategoricalLevels",
    "ContinuousBernoulli",
    "DiscretizedLogistic",
    "NegativeBinomialLogMean",
    "NormalMixture",
    "PoissonLogMean",
    "mixture",
]
