"""`BernoulliLogits`: the Bernoulli distribution on logits, with an exact gradient everywhere."""

import math

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.distributions.support import check_support


class BernoulliLogits(dist.BernoulliLogits):
    r"""$\log p(x) = x l - \mathrm{softplus}(l)$, for x in {0, 1} and a finite logit l.

    NumPyro's version (0.22) guards against infinite logits. That takes time, and its gradient at l = 0
    is 0 instead of x - 1/2. Logits of exactly 0 are common at the start of a ReLU net.
    """

    @check_support
    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return log p(value), elementwise."""
        # XLA's loops over short axes such as 28 x 28 cost 5 % of a training step, so that the entries
        # of a datum are merged into one axis meanwhile.
        shape = jnp.broadcast_shapes(jnp.shape(value), self.batch_shape)
        x, logits = (jnp.broadcast_to(a, shape) for a in (value, self.logits))
        if len(shape) > 2:
            x, logits = (a.reshape(shape[0], math.prod(shape[1:])) for a in (x, logits))
        return (x * logits - jax.nn.softplus(logits)).reshape(shape)
