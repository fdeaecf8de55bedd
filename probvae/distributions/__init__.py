"""NumPyro distributions that NumPyro lacks, or has with a fault."""

from probvae.distributions import kl as kl  # registers closed forms
from probvae.distributions.bernoulli import BernoulliLogits
from probvae.distributions.normal import bounded_scale, check_bound, diagonal_normal

__all__ = ["BernoulliLogits", "bounded_scale", "check_bound", "diagonal_normal"]
