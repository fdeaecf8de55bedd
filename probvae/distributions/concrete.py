"""`ExpConcrete`: the concrete (Gumbel-softmax) distribution, on the log scale."""

import math

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.scipy.special import logsumexp
from numpyro.distributions import constraints

from probvae.distributions.support import check_support
from probvae.typing import ArrayLike


class _LogSimplex(constraints.ParameterFreeConstraint):
    """Vectors y with sum_k exp(y_k) = 1."""

    event_dim = 1

    def __call__(self, x: ArrayLike) -> jax.Array:
        return jnp.abs(logsumexp(x, axis=-1)) < 1e-4

    def feasible_like(self, prototype: ArrayLike) -> jax.Array:
        return jnp.full_like(prototype, -math.log(prototype.shape[-1]))

    def __repr__(self) -> str:
        return "log-simplex"


LOG_SIMPLEX = _LogSimplex()


class ExpConcrete(dist.Distribution):
    r"""The logarithm of a point of the simplex: a relaxation of one of K levels.

    With logits $l$, temperature $t$ and standard Gumbel noise $g$,

    $$y_k = (l_k + g_k) / t - \log \sum_j \exp((l_j + g_j) / t),$$

    $$\log p(y) = \log (K - 1)! + (K - 1) \log t + \sum_k (l_k - t y_k)
    - K \log \sum_k \exp(l_k - t y_k),$$

    a density with respect to $dy_1 \cdots dy_{K-1} / \exp(y_K)$. ``mean`` is the projection of E[y] to
    the manifold, $\log \mathrm{softmax}(l / t)$.

    Args:
        logits: l, ``(..., K)``.
        temperature: t > 0. Draws are close to one-hot for a small t, and close to uniform for a large
            t.

    Reference: Maddison, Mnih and Teh 2017, arXiv:1611.00712, appendix C.3.
    """

    arg_constraints = {"logits": constraints.real_vector, "temperature": constraints.positive}
    support = LOG_SIMPLEX
    reparametrized_params = ["logits", "temperature"]  # noqa: RUF012
    pytree_data_fields = ("logits", "temperature")

    def __init__(
        self,
        logits: jax.Array,
        temperature: float | jax.typing.ArrayLike,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.logits = logits
        self.temperature = temperature
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Return draws of y."""
        # exp(y), the concrete variable, sums to 1. At low temperature its small entries round to 0, and
        # log p is -inf or NaN there. So draws and density stay on the log scale, where y_k is finite.
        g = jax.random.gumbel(key, self.shape(sample_shape), jnp.result_type(self.logits))
        return jax.nn.log_softmax((self.logits + g) / self.temperature)

    @check_support
    def log_prob(self, value: ArrayLike) -> jax.Array:
        """Return log p(value)."""
        k, t = self.event_shape[0], self.temperature
        score = self.logits - t * value
        constant = math.lgamma(k) + (k - 1) * jnp.log(t)
        return constant + score.sum(-1) - k * logsumexp(score, axis=-1)

    @property
    def mean(self) -> jax.Array:
        """Return log softmax(l / t)."""
        return jax.nn.log_softmax(self.logits / self.temperature)
