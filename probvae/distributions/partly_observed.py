"""A site whose value is known in some rows: labels that only some data have."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints, kl_divergence

from probvae.typing import Shape


class PartlyObserved(dist.Distribution):
    """``base_dist`` in the rows where nothing is known; else the known value, with log-probability 0.

    What is known is not drawn: it costs no KL. Its density under the model is scored at a site of its
    own (``base_dist.mask(known)``, observed). A value that is put in for a draw, such as a state that
    is summed over, is replaced where another one is known: ``filled``.

    Args:
        base_dist: the distribution of a draw.
        value: ``(*batch, *event_shape)``, looked at where it is known.
        known: ``(*batch,)``, true where the value is known.
    """

    pytree_data_fields = ("base_dist", "value", "known")

    def __init__(
        self,
        base_dist: dist.Distribution,
        value: jax.Array,
        known: jax.Array,
        *,
        validate_args: bool | None = None,
    ) -> None:
        batch = jnp.broadcast_shapes(base_dist.batch_shape, known.shape)
        same = base_dist.batch_shape == batch
        self.base_dist = base_dist if same else base_dist.expand(batch)
        self.value, self.known = value, jnp.broadcast_to(known, batch)
        super().__init__(batch, base_dist.event_shape, validate_args=validate_args)

    @property
    def support(self) -> constraints.Constraint:
        """The base's."""
        return self.base_dist.support

    @property
    def has_rsample(self) -> bool:
        """The base's."""
        return self.base_dist.has_rsample

    def filled(self, draw: jax.Array) -> jax.Array:
        """Return what is known where it is known, and the draw elsewhere."""
        known = self.known.reshape(self.known.shape + (1,) * self.event_dim)
        return jnp.where(known, self.value, draw)

    def sample(self, key: jax.Array, sample_shape: Shape = ()) -> jax.Array:
        """Return draws; where the value is known, it."""
        return self.filled(self.base_dist.sample(key, sample_shape))

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Return the base's log density; 0 where the value is known."""
        return jnp.where(self.known, 0.0, self.base_dist.log_prob(value))

    def log_prob_of_known(self) -> jax.Array:
        """Return the base's log density of what is known; 0 where nothing is."""
        return self.base_dist.mask(self.known).log_prob(self.value)

    @property
    def mean(self) -> jax.Array:
        """The base's; the value where it is known."""
        return self.filled(self.base_dist.mean)

    @property
    def variance(self) -> jax.Array:
        """The base's; 0 where the value is known."""
        known = self.known.reshape(self.known.shape + (1,) * self.event_dim)
        return jnp.where(known, 0.0, self.base_dist.variance)


def partly_observed(base_dist: dist.Distribution, label: jax.Array | None) -> PartlyObserved:
    """Return a one-hot site that is known where a row of ``label`` is one-hot, not where it is zeros.

    Args:
        base_dist: the distribution of a draw, of event shape ``(classes,)``.
        label: ``(batch, classes)``; None is nothing known.
    """
    rows = jnp.zeros((1, *base_dist.event_shape)) if label is None else label
    return PartlyObserved(base_dist, rows, rows.any(-1))


@kl_divergence.register(PartlyObserved, PartlyObserved)
def _partly_observed(q: PartlyObserved, p: PartlyObserved) -> jax.Array:
    return jnp.where(q.known, 0.0, kl_divergence(q.base_dist, p.base_dist))
