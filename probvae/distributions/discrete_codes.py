"""Discrete codes as float vectors, which any net accepts: `Bits` and `OneHotCategorical`."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from jax.nn import log_sigmoid
from numpyro.distributions import constraints, kl_divergence

from probvae.distributions.bernoulli import BernoulliLogits
from probvae.distributions.support import check_support
from probvae.typing import ArrayLike


class _OneHot(constraints.ParameterFreeConstraint):
    """One entry is 1, the others 0. NumPyro's multinomial support is not allowed in a mixture."""

    is_discrete = True
    event_dim = 1

    def __call__(self, x: ArrayLike) -> jax.Array:
        return ((x == 0) | (x == 1)).all(-1) & (x.sum(-1) == 1)

    def feasible_like(self, prototype: ArrayLike) -> jax.Array:
        return jnp.zeros_like(prototype).at[..., 0].set(1)

    def __repr__(self) -> str:
        return "one-hot"


ONE_HOT = _OneHot()


class Bits(BernoulliLogits):
    """Bernoulli on logits, elementwise. Draws are floats: 0.0 or 1.0."""

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Return draws in the dtype of the logits."""
        return super().sample(key, sample_shape).astype(jnp.result_type(self.logits))


class OneHotCategorical(dist.Distribution):
    r"""$\log p(e_k) = l_k - \log \sum_j \exp(l_j)$, for one-hot vectors $e_k$ and K logits $l$."""

    arg_constraints = {"logits": constraints.real_vector}
    support = ONE_HOT
    pytree_data_fields = ("logits",)

    def __init__(self, logits: jax.Array, *, validate_args: bool | None = None) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-1], logits.shape[-1:], validate_args=validate_args)

    def sample(self, key: jax.Array, sample_shape: tuple[int, ...] = ()) -> jax.Array:
        """Return one-hot floats."""
        index = jax.random.categorical(key, self.logits, shape=(*sample_shape, *self.batch_shape))
        return jax.nn.one_hot(index, self.event_shape[0], dtype=self.logits.dtype)

    @check_support
    def log_prob(self, value: ArrayLike) -> jax.Array:
        """Return log p(value)."""
        return (value * jax.nn.log_softmax(self.logits)).sum(-1)

    @property
    def mean(self) -> jax.Array:
        """The probabilities."""
        return jax.nn.softmax(self.logits)

    @property
    def variance(self) -> jax.Array:
        """The variance of each entry, p (1 - p)."""
        return self.mean * (1 - self.mean)


@kl_divergence.register(BernoulliLogits, BernoulliLogits)
def _kl_of_bits(q: BernoulliLogits, p: BernoulliLogits) -> jax.Array:
    """Return the sum over both values of q log(q / p)."""
    on = jax.nn.sigmoid(q.logits) * (log_sigmoid(q.logits) - log_sigmoid(p.logits))
    return on + jax.nn.sigmoid(-q.logits) * (log_sigmoid(-q.logits) - log_sigmoid(-p.logits))


@kl_divergence.register(OneHotCategorical, OneHotCategorical)
def _kl_of_one_hot(q: OneHotCategorical, p: OneHotCategorical) -> jax.Array:
    log_q, log_p = jax.nn.log_softmax(q.logits), jax.nn.log_softmax(p.logits)
    return (jnp.exp(log_q) * (log_q - log_p)).sum(-1)
