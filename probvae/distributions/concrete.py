"""A relaxation of one of K: a point of the simplex, on the log scale."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
from numpyro.distributions import constraints

from probvae.distributions.support import check_support


class _LogSimplex(constraints.ParameterFreeConstraint):
    """Vectors y with sum_k exp(y_k) = 1."""

    event_dim = 1

    def __call__(self, x: Any) -> Any:
        return jnp.abs(logsumexp(x, axis=-1)) < 1e-4

    def feasible_like(self, prototype: Any) -> jax.Array:
        return jnp.full_like(prototype, -math.log(prototype.shape[-1]))

    def __repr__(self) -> str:
        return "log-simplex"


LOG_SIMPLEX = _LogSimplex()


class ExpConcrete(dist.Distribution):
    """y = (l + g) / t - log sum_j exp((l_j + g_j) / t), g_k standard Gumbel, l logits, t temperature.

    log p(y) = log (K - 1)! + (K - 1) log t + sum_k (l_k - t y_k) - K log sum_k exp(l_k - t y_k), a
    density with respect to dy_1 ... dy_(K-1) / exp(y_K). exp(y) is the concrete (Gumbel-softmax)
    variable; on the log scale no entry rounds to 0. ``mean`` is the centre of the composition,
    E[y] put back on the manifold: log softmax(l / t).

    Reference: Maddison, Mnih and Teh 2017, arXiv:1611.00712, appendix C.3.
    """

    arg_constraints = {"logits": constraints.real_vector, "temperature": constraints.positive}
    support = LOG_SIMPLEX
    reparametrized_params = ["logits", "temperature"]  # noqa: RUF012
    pytree_data_fields = ("logits", "temperature")

    def __init__(
        self, logits: jax.Array, temperature: Any, *, validate_args: bool | None = None
    ) -> None:
        self.logits = logits
        self.temperature = temperature
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Return draws of y."""
        g = jax.random.gumbel(key, self.shape(sample_shape), jnp.result_type(self.logits))
        return jax.nn.log_softmax((self.logits + g) / self.temperature)

    @check_support
    def log_prob(self, value: Any) -> jax.Array:
        """Return log p(value)."""
        k, t = self.event_shape[0], self.temperature
        score = self.logits - t * value
        constant = math.lgamma(k) + (k - 1) * jnp.log(t)
        return constant + score.sum(-1) - k * logsumexp(score, axis=-1)

    @property
    def mean(self) -> jax.Array:
        """Return log softmax(l / t)."""
        return jax.nn.log_softmax(self.logits / self.temperature)
