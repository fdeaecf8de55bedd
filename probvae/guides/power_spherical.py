"""The power spherical guide."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae import distributions
from probvae.interfaces import AbstractDistributionGuide, Scope
from probvae.typing import Shape


@dataclass(frozen=True)
class PowerSpherical(AbstractDistributionGuide):
    """q(z|x), proportional to (1 + mu(x)^T z)^kappa(x) on |z| = 1; with ``priors.UniformSphere``.

    The encoder gives a direction (n outputs, put on the sphere) and r, kappa = softplus(r) + ``least``.
    The sphere in R^n has n - 1 dimensions, and one kappa for all of them.

    Args:
        least: the least concentration.

    Raises:
        ValueError: for a least concentration that is not positive.

    Reference: De Cao and Aziz 2020, arXiv:2006.04437; Davidson et al. 2018, arXiv:1804.00891.
    """

    least: float = 1e-2

    def __post_init__(self) -> None:
        if not self.least > 0:
            raise ValueError(f"PowerSpherical(least=...) expects a number > 0; got {self.least!r}.")

    def output_shape(self, latent_dim: int) -> Shape:
        if latent_dim < 2:
            raise ValueError(f"a sphere needs latent_dim >= 2; got {latent_dim}.")
        return (latent_dim + 1,)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        direction, r = outputs[..., :-1], outputs[..., -1]
        mu = _unit(_unit(direction))  # twice: a tiny direction loses digits the first time
        return distributions.PowerSpherical(mu, jax.nn.softplus(r) + self.least)

    def __str__(self) -> str:
        return "PowerSpherical(mu(x), kappa(x))"


def _unit(direction: jax.Array) -> jax.Array:
    """Return a direction of length 1; the first axis where a net gives exactly (or nearly) zero."""
    square = jnp.square(direction).sum(-1, keepdims=True)
    axis = jnp.zeros_like(direction).at[..., 0].set(1.0)
    none = square < 1e-20
    return jnp.where(none, axis, direction / jnp.sqrt(jnp.where(none, 1.0, square)))
