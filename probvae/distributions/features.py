"""`FeatureDistance`: a score of x by its distance in feature space, which is not a density."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.distributions.support import check_support


class FeatureDistance(dist.Distribution):
    r"""$\log p(x) = -|\phi(x) - \phi(loc)|^2 / (2 \, scale^2)$, without a constant. Draws are ``loc``.

    Args:
        loc: ``(batch, *event_shape)``.
        features: phi, from ``(batch, *event_shape)`` to an array or a tree of arrays, one row per
            datum.
        scale: a positive number.
    """

    arg_constraints = {"loc": constraints.real}
    pytree_data_fields = ("loc",)
    pytree_aux_fields = ("features", "scale")

    def __init__(self, loc: jax.Array, features: Callable, scale: float) -> None:
        self.loc, self.features, self.scale = loc, features, scale
        super().__init__(loc.shape[:1], loc.shape[1:])

    @property
    def support(self) -> constraints.Constraint:
        return constraints.independent(constraints.real, len(self.event_shape))

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        return jnp.broadcast_to(self.loc, sample_shape + self.loc.shape)

    @check_support
    def log_prob(self, value: jax.Array) -> jax.Array:
        if value.ndim > self.loc.ndim:
            return jax.vmap(self.log_prob)(value)
        distances = jax.tree.map(_square, self.features(value), self.features(self.loc))
        distance = sum(jax.tree.leaves(distances), jnp.zeros(()))
        return -distance / (2 * self.scale**2)

    @property
    def mean(self) -> jax.Array:
        return self.loc

    @property
    def variance(self) -> jax.Array:
        return jnp.zeros_like(self.loc)


def _square(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.square(a - b).sum(tuple(range(1, a.ndim)))
