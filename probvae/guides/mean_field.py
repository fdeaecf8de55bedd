"""A normal guide with independent units (mean field)."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist

from probvae.checks import PositiveFloat, scale_bound
from probvae.distributions import diagonal_normal
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class MeanField(AbstractDistributionGuide):
    r"""A normal with independent units (mean field), the default guide of ``VAE``.

    $q(z|x) = \mathrm{Normal}(z; m(x), \mathrm{diag}(s(x)^2))$, with $\log s = b \tanh(r(x) / 2b)$.

    For each unit the encoder returns m and r. Where r is small against b, r is the log variance of
    Kingma and Welling. A very large r neither overflows nor gives a scale of 0.

    Args:
        log_bound: b, the bound on $|\log s|$, in nats.

    Reference: Kingma and Welling 2014, arXiv:1312.6114, section 3 and appendix C.2.

    Examples:
        >>> from probvae import guides
        >>> guides.MeanField().output_shape(2)  # what the encoder returns for one datum
        (2, 2)
    """

    log_bound: PositiveFloat = scale_bound(10.0, looser=1.0)

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim, 2)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return diagonal_normal(outputs, self.log_bound)

    def __str__(self) -> str:
        return "Normal(m(x), diag(s(x)^2))"
