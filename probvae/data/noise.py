"""Noise of a known law that is added to a datum: what `likelihoods.Spread` takes away again."""

import math
from abc import abstractmethod
from dataclasses import dataclass

import jax.numpy as jnp
import numpyro.distributions as dist
from jaxtyping import Array, Float, Shaped

from probvae.data.observations import AbstractObservation
from probvae.typing import ArrayLike, RngKey


class AbstractNoise(AbstractObservation):
    """x + e, the entries of e independent draws of one `distribution`."""

    @property
    @abstractmethod
    def distribution(self) -> dist.Distribution:
        """The law of one entry of the noise, in the data's units."""

    def __call__(self, rng_key: RngKey, x: Shaped[ArrayLike, "*shape"]) -> Float[Array, "*shape"]:
        """Return a draw of x + e."""
        return jnp.asarray(x, float) + self.distribution.sample(rng_key, jnp.shape(x))

    def bounds(self, low: float, high: float) -> tuple[float, float]:
        """Return the real line."""
        return -math.inf, math.inf


@dataclass(frozen=True)
class GaussianNoise(AbstractNoise):
    """x + e, e ~ Normal(0, scale^2): the spread noise of Zhang et al. (2020, arXiv:1811.08968)."""

    scale: float

    def __post_init__(self):
        _check_scale(self)

    @property
    def distribution(self) -> dist.Distribution:
        """Normal(0, scale^2)."""
        return dist.Normal(0.0, self.scale)


@dataclass(frozen=True)
class LaplaceNoise(AbstractNoise):
    """x + e, e ~ Laplace(0, scale), of standard deviation sqrt(2) scale (arXiv:1811.08968)."""

    scale: float

    def __post_init__(self):
        _check_scale(self)

    @property
    def distribution(self) -> dist.Distribution:
        """Laplace(0, scale)."""
        return dist.Laplace(0.0, self.scale)


def _check_scale(noise):
    if not (math.isfinite(noise.scale) and noise.scale > 0):
        raise ValueError(
            f"{type(noise).__name__} expected a positive scale in the data's units, got "
            f"{noise.scale!r}; usual fix: no noise is no observation at all"
        )
