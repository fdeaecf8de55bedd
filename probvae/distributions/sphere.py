"""Distributions on the unit sphere: `SphericalUniform` and `PowerSpherical`."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import digamma, gammaln
from jax.typing import ArrayLike
from numpyro.distributions import constraints, kl_divergence

from probvae.distributions.support import check_support


def log_area(n: int) -> float:
    r"""Return the log of the area of $S^{n-1}$, $2 \pi^{n/2} / \Gamma(n/2)$."""
    return math.log(2) + n / 2 * math.log(math.pi) - math.lgamma(n / 2)


class SphericalUniform(dist.Distribution):
    r"""$p(z) = \Gamma(n/2) / (2 \pi^{n/2})$ for $|z| = 1$ in $R^n$, $n \ge 2$: 1 / area."""

    arg_constraints: dict[str, Any] = {}
    support = constraints.sphere
    reparametrized_params: list[str] = []

    def __init__(self, n: int, *, validate_args: bool | None = None) -> None:
        super().__init__((), (n,), validate_args=validate_args)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Return normal draws, divided by their lengths."""
        return _normalize(jax.random.normal(key, (*sample_shape, *self.event_shape)))

    @check_support
    def log_prob(self, value: jax.Array) -> jax.Array:
        """Return -log area."""
        return jnp.full(value.shape[:-1], -log_area(self.event_shape[0]), value.dtype)

    @property
    def mean(self) -> jax.Array:
        """The centre of the sphere."""
        return jnp.zeros(self.event_shape)

    @property
    def variance(self) -> jax.Array:
        """The variance of each entry, 1 / n."""
        return jnp.full(self.event_shape, 1 / self.event_shape[0])

    def tree_flatten(self) -> Any:
        return (), self.event_shape[0]

    @classmethod
    def tree_unflatten(cls, aux_data: int, params: Any) -> "SphericalUniform":
        return cls(aux_data)


class PowerSpherical(dist.Distribution):
    r"""$p(z) = (1 + \mu^T z)^\kappa / N$ for $|z| = |\mu| = 1$ in $R^n$, $\kappa > 0$.

    $N = 2^{a + b} \pi^b \, \Gamma(a) / \Gamma(a + b)$, with $b = (n - 1) / 2$ and $a = b + \kappa$.
    Draws need no rejection and have gradients in $\mu$ and $\kappa$, unlike those of the von
    Mises-Fisher distribution.

    Args:
        mu: mean directions ``(..., n)``, of length 1.
        kappa: concentrations ``(...)``.

    Reference: De Cao and Aziz 2020, arXiv:2006.04437, algorithm 1 and table 1.
    """

    arg_constraints = {"mu": constraints.sphere, "kappa": constraints.positive}
    support = constraints.sphere
    reparametrized_params = ["mu", "kappa"]
    pytree_data_fields = ("mu", "kappa")

    def __init__(self, mu: ArrayLike, kappa: ArrayLike, *, validate_args: bool | None = None) -> None:
        mu = jnp.asarray(mu)
        batch_shape = jnp.broadcast_shapes(mu.shape[:-1], jnp.shape(kappa))
        self.mu = jnp.broadcast_to(mu, (*batch_shape, mu.shape[-1]))
        self.kappa = jnp.broadcast_to(kappa, batch_shape)
        super().__init__(batch_shape, mu.shape[-1:], validate_args=validate_args)

    @property
    def _a_b(self) -> tuple[jax.Array, float]:
        b = (self.event_shape[0] - 1) / 2
        return b + self.kappa, b

    @property
    def log_normalizer(self) -> jax.Array:
        """The log of N."""
        a, b = self._a_b
        return (a + b) * math.log(2) + b * math.log(math.pi) + gammaln(a) - gammaln(a + b)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Return draws with gradients in mu and kappa."""
        # A point of the sphere is (t, sqrt(1 - t^2) v): its height t along the first axis, and v on
        # S^(n-2). Around the first axis p depends on t alone: t = 2 share - 1, share ~ Beta(a, b), and
        # v is uniform. A reflection then maps the first axis to mu. In terms of share the radius is
        # sqrt(1 - t^2) = 2 sqrt(share (1 - share)), and it stays above 0 so that its gradient is
        # finite.
        shape = (*sample_shape, *self.batch_shape)
        beta_key, key = jax.random.split(key)
        a, b = self._a_b
        share = dist.Beta(a, jnp.full_like(a, b)).sample(beta_key, sample_shape)
        v = _normalize(jax.random.normal(key, (*shape, self.event_shape[0] - 1)))
        least = jnp.finfo(v.dtype).tiny
        radius = 2 * jnp.sqrt(jnp.maximum(share * (1 - share), least))
        y = jnp.concatenate([(2 * share - 1)[..., None], radius[..., None] * v], axis=-1)
        return _normalize(_reflect(y, self.mu))

    @check_support
    def log_prob(self, value: jax.Array) -> jax.Array:
        """Return log p(value), a density with respect to the area of the sphere."""
        cosine = (self.mu * value).sum(-1)
        least = jnp.finfo(value.dtype).eps
        return self.kappa * jnp.log(jnp.maximum(1 + cosine, least)) - self.log_normalizer

    @property
    def mean(self) -> jax.Array:
        """The vector mu (a - b) / (a + b)."""
        a, b = self._a_b
        return self.mu * ((a - b) / (a + b))[..., None]

    @property
    def variance(self) -> jax.Array:
        """The variance of each entry."""
        # E[t^2] along mu. As |z| = 1, the n - 1 directions across share 1 - E[t^2] equally.
        a, b = self._a_b
        total = a + b
        along = (4 * a * b / (total**2 * (total + 1)) + ((a - b) / total) ** 2)[..., None]
        across = (1 - along) / (self.event_shape[0] - 1)
        square = self.mu**2
        return square * along + (1 - square) * across - self.mean**2

    def entropy(self) -> jax.Array:
        """Return log N - kappa (log 2 + psi(a) - psi(a + b))."""
        a, b = self._a_b
        return self.log_normalizer - self.kappa * (math.log(2) + digamma(a) - digamma(a + b))


@kl_divergence.register(PowerSpherical, SphericalUniform)
def _kl_to_uniform(q: PowerSpherical, p: SphericalUniform) -> jax.Array:
    return log_area(p.event_shape[0]) - q.entropy()


def _normalize(x: jax.Array) -> jax.Array:
    least = jnp.finfo(x.dtype).tiny
    return x / jnp.sqrt(jnp.maximum(jnp.square(x).sum(-1, keepdims=True), least))


def _reflect(y: jax.Array, mu: jax.Array) -> jax.Array:
    """Apply Householder's reflection of the first axis to mu. It is the identity if they are equal."""
    u = jnp.zeros_like(mu).at[..., 0].set(1.0) - mu
    square = jnp.square(u).sum(-1, keepdims=True)
    square = jnp.where(square > jnp.finfo(mu.dtype).eps ** 2, square, 1.0)
    # Not (u * y).sum(-1, keepdims=True): with jax 0.10 on a CPU, XLA compiles that expression wrongly
    # if mu is one vector and y has about 10,000 rows. The draws were then off by up to 9.
    return y - 2 * u * jnp.vecdot(u, y)[..., None] / square
