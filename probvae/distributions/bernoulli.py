"""The Bernoulli distribution on logits, with a gradient that is right everywhere."""

import jax
import numpyro.distributions as dist


class BernoulliLogits(dist.BernoulliLogits):
    """log p(x) = x l - softplus(l), for x in {0, 1} and a finite logit l.

    NumPyro's own (0.22) guards infinite logits, and pays with time and with the gradient at l = 0,
    which it takes as 0 instead of x - 1/2: where a ReLU net starts, logits of exactly 0 are common.
    """

    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return log p(value), elementwise."""
        return value * self.logits - jax.nn.softplus(self.logits)
