"""Noise of a known distribution that is added to a datum. `likelihoods.Spread` removes it again."""

import math
from abc import abstractmethod
from dataclasses import dataclass

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float, Shaped

from probvae.checks import PositiveFloat
from probvae.data.observations import AbstractObservation
from probvae.typing import ArrayLike, RngKey


class AbstractNoise(AbstractObservation):
    """$x + e$, where the entries of $e$ are independent draws of one `distribution`."""

    @property
    @abstractmethod
    def distribution(self) -> dist.Distribution:
        """The distribution of one entry of the noise, in the data's units."""

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return a draw of x + e."""
        return jnp.asarray(x, float) + self.distribution.sample(rng_key, jnp.shape(x))

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return the real line."""
        return -math.inf, math.inf


@dataclass(frozen=True)
class GaussianNoise(AbstractNoise):
    r"""$x + e$, $e \sim \mathrm{Normal}(0, \mathrm{scale}^2)$, in the data's units.

    Reference: the spread noise of Zhang et al. 2020, arXiv:1811.08968.
    """

    scale: PositiveFloat

    @property
    def distribution(self) -> dist.Distribution:
        """Normal(0, scale^2)."""
        return dist.Normal(0.0, self.scale)


@dataclass(frozen=True)
class LaplaceNoise(AbstractNoise):
    r"""$x + e$, $e \sim \mathrm{Laplace}(0, \mathrm{scale})$, of standard deviation $\sqrt 2$ scale.

    Reference: the spread noise of Zhang et al. 2020, arXiv:1811.08968.
    """

    scale: PositiveFloat

    @property
    def distribution(self) -> dist.Distribution:
        """Laplace(0, scale)."""
        return dist.Laplace(0.0, self.scale)
