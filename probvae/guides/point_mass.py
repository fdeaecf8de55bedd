"""A guide for deterministic encoders, without a density."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist

from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class PointMass(AbstractDistributionGuide):
    r"""A deterministic encoder, $z = m(x)$. With ``ELBO(beta=0)`` the VAE is a plain autoencoder.

    The loss is then $-\log p(x|m(x))$: squared error for ``Gaussian(FixedScale())``, cross-entropy for
    ``Bernoulli()``.

    The KL from a point mass to a density is infinite. In its place objectives use $-\log p(z)$, which
    penalises codes that are unlikely under the prior. ``ELBO`` with ``beta > 0`` gives a regularised
    autoencoder, and ``InfoVAE(1.0)`` the Wasserstein autoencoder. Bounds on log p(x), and objectives
    that need a rate, raise an error. To generate data, fit a prior to the codes (``probvae.refit``).

    Reference: Ghosh et al. 2020, arXiv:1903.12436. Tolstikhin et al. 2018, arXiv:1711.01558.
    """

    is_density = False

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim,)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return dist.Delta(outputs, event_dim=1)

    def __str__(self) -> str:
        return "Delta(m(x))"
