"""A deterministic encoder: no density."""

from dataclasses import dataclass

import jax
import numpyro.distributions as dist

from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class PointMass(AbstractDistributionGuide):
    """z = m(x): all mass on the encoder's output. With ``ELBO(beta=0)`` a plain autoencoder.

    The loss is then -log p(x|m(x)): squared error for ``Gaussian(FixedScale())``, cross-entropy for
    ``Bernoulli()``. A KL from a point mass to a density is infinite; what is read in its place is -log
    p(z), a price on codes that the prior finds unlikely: with ``beta > 0`` a regularised autoencoder,
    with ``InfoVAE(1.0)`` the Wasserstein autoencoder. Bounds on log p(x) are refused, and so are the
    objectives that need a rate. To generate, fit a prior to the codes (``probvae.refit``).

    Reference: Ghosh et al. 2020, arXiv:1903.12436; Tolstikhin et al. 2018, arXiv:1711.01558.
    """

    is_density = False

    def output_shape(self, latent_dim: int) -> Shape:
        return (latent_dim,)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return dist.Delta(outputs, event_dim=1)

    def __str__(self) -> str:
        return "Delta(m(x))"
