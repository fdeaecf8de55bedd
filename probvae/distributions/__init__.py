"""NumPyro distributions that NumPyro lacks, or has with a fault."""

from probvae.distributions.bernoulli import BernoulliLogits
from probvae.distributions.mixture import NormalMixture, mixture

__all__ = ["BernoulliLogits", "NormalMixture", "mixture"]
