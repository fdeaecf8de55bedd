"""The Bernoulli distribution on logits, with a gradient that is right everywhere."""

import math

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.distributions.support import check_support


class BernoulliLogits(dist.BernoulliLogits):
    """log p(x) = x l - softplus(l), for x in {0, 1} and a finite logit l.

    NumPyro's own (0.22) guards infinite logits, and pays with time and with the gradient at l = 0,
    which it takes as 0 instead of x - 1/2: where a ReLU net starts, logits of exactly 0 are common.
    """

    @check_support
    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return log p(value), elementwise.

        The entries of a datum are put in one axis meanwhile: XLA's loops over short axes such as
        28 x 28 cost 5 % of a training step.
        """
        shape = jnp.broadcast_shapes(jnp.shape(value), self.batch_shape)
        x, logits = (jnp.broadcast_to(a, shape) for a in (value, self.logits))
        if len(shape) > 2:
            x, logits = (a.reshape(shape[0], math.prod(shape[1:])) for a in (x, logits))
        return (x * logits - jax.nn.softplus(logits)).reshape(shape)
