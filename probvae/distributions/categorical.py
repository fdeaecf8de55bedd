"""`CategoricalLevels`: the categorical distribution over levels 0..K-1."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae.distributions.support import check_support


class CategoricalLevels(dist.CategoricalLogits):
    """The categorical distribution on logits, for levels of any dtype, with mean and variance."""

    @check_support
    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return the log probability of each level."""
        return super().log_prob(jnp.asarray(value).astype(int))

    @property
    def mean(self) -> jax.Array:
        """The mean level. It is meaningful only for ordered levels."""
        return self.probs @ jnp.arange(self.probs.shape[-1], dtype=self.probs.dtype)

    @property
    def centre(self) -> jax.Array:
        """The most probable level, as a float. It is meaningful for levels without an order, too."""
        return self.logits.argmax(-1).astype(self.logits.dtype)

    @property
    def variance(self) -> jax.Array:
        """The variance of the level."""
        k = jnp.arange(self.probs.shape[-1], dtype=self.probs.dtype)
        return (self.probs * (k - self.mean[..., None]) ** 2).sum(-1)
