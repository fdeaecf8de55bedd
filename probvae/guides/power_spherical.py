"""A guide on the unit sphere: the power spherical distribution."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae import distributions
from probvae.checks import PositiveFloat
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class PowerSpherical(AbstractDistributionGuide):
    r"""A power spherical distribution on $|z| = 1$. The matching prior is ``priors.UniformSphere``.

    $q(z|x) \propto (1 + \mu(x)^T z)^{\kappa(x)}$.

    The encoder returns a direction (n outputs, scaled to length 1) and r, with
    $\kappa = \mathrm{softplus}(r)$ + ``least``. The sphere in $R^n$ has n - 1 dimensions, which share
    one concentration.

    Args:
        least: the smallest concentration.

    Reference: De Cao and Aziz 2020, arXiv:2006.04437. Davidson et al. 2018, arXiv:1804.00891.
    """

    least: PositiveFloat = 1e-2

    def output_shape(self, latent_dim: int) -> Shape:
        if latent_dim < 2:
            raise ValueError(f"PowerSpherical expects latent_dim >= 2; got {latent_dim}.")
        return (latent_dim + 1,)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        direction, r = outputs[..., :-1], outputs[..., -1]
        mu = _unit(_unit(direction))  # twice: the first time a tiny direction loses digits
        return distributions.PowerSpherical(mu, jax.nn.softplus(r) + self.least)

    def __str__(self) -> str:
        return "PowerSpherical(mu(x), kappa(x))"


def _unit(direction: jax.Array) -> jax.Array:
    """Scale a direction to length 1. Where it is (nearly) zero, return the first axis."""
    square = jnp.square(direction).sum(-1, keepdims=True)
    axis = jnp.zeros_like(direction).at[..., 0].set(1.0)
    # The second `where` keeps the gradient finite: the branch that is not used must not divide by 0.
    is_zero = square < 1e-20
    return jnp.where(is_zero, axis, direction / jnp.sqrt(jnp.where(is_zero, 1.0, square)))
