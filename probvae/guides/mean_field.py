"""The mean-field normal guide."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist

from probvae.checks import scale_bound
from probvae.distributions import check_bound, diagonal_normal
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class MeanField(AbstractDistributionGuide):
    """q(z|x) = Normal(z; m(x), diag(s(x)^2)), with log s = b tanh(r(x) / 2b).

    The encoder gives m and r for each unit. r is the log variance of Kingma and Welling wherever it
    is small against b, and a wild one can neither overflow nor reach a scale of 0.

    Args:
        log_bound: b, the bound on |log s|, in nats of the code's units.

    Reference: Kingma and Welling 2014, arXiv:1312.6114, section 3 and appendix C.2.
    """

    log_bound: float = scale_bound(10.0, looser=1.0)

    def __post_init__(self) -> None:
        check_bound(self, self.log_bound)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim, 2)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return diagonal_normal(outputs, self.log_bound)

    def __str__(self) -> str:
        return "Normal(m(x), diag(s(x)^2))"
