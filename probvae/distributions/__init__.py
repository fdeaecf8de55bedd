"""NumPyro distributions that NumPyro lacks, or has with a fault."""

from probvae.distributions.bernoulli import BernoulliLogits

__all__ = ["BernoulliLogits"]
