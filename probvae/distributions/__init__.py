"""NumPyro distributions that NumPyro lacks, or has with a fault."""

from probvae.distributions import kl as kl  # registers closed forms
from probvae.distributions.bernoulli import BernoulliLogits
from probvae.distributions.codes import Bits, OneHotCategorical
from probvae.distributions.normal import bounded_scale, check_bound, diagonal_normal
from probvae.distributions.sphere import PowerSpherical, SphericalUniform

__all__ = [
    "BernoulliLogits",
    "Bits",
    "OneHotCategorical",
    "PowerSpherical",
    "SphericalUniform",
    "bounded_scale",
    "check_bound",
    "diagonal_normal",
]
