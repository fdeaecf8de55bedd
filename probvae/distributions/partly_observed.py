"""`PartlyObserved`: a site whose value is known in some rows, such as labels of some data."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints, kl_divergence

from probvae.typing import Shape


class PartlyObserved(dist.Distribution):
    """The known value in rows with one, with log-probability 0, and ``base_dist`` in other rows.

    Known values are not drawn and have no KL. Their density under the model has a separate observed
    site, ``base_dist.mask(known)``. A value that is substituted for a draw, such as a state in a sum,
    is replaced by the known one: see ``fill_known``.

    Args:
        base_dist: the distribution of a draw.
        value: ``(*batch, *event_shape)``. Only known rows are used.
        known: ``(*batch,)``, true if the value is known.
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
        """The support of the base."""
        return self.base_dist.support

    @property
    def has_rsample(self) -> bool:
        """Whether draws of the base have gradients."""
        return self.base_dist.has_rsample

    def fill_known(self, draw: jax.Array) -> jax.Array:
        """Return the known value in rows with one, and the draw in other rows."""
        known = self.known.reshape(self.known.shape + (1,) * self.event_dim)
        return jnp.where(known, self.value, draw)

    def sample(self, key: jax.Array, sample_shape: Shape = ()) -> jax.Array:
        """Return draws, or the value in rows where it is known."""
        return self.fill_known(self.base_dist.sample(key, sample_shape))

    def log_prob(self, value: jax.Array) -> jax.Array:
        """Return the log density of the base, or 0 in rows where the value is known."""
        return jnp.where(self.known, 0.0, self.base_dist.log_prob(value))

    def log_prob_of_known(self) -> jax.Array:
        """Return the log density of the known values under the base, or 0 in rows without one."""
        return self.base_dist.mask(self.known).log_prob(self.value)

    @property
    def mean(self) -> jax.Array:
        """The mean of the base, or the value in rows where it is known."""
        return self.fill_known(self.base_dist.mean)

    @property
    def variance(self) -> jax.Array:
        """The variance of the base, or 0 in rows where the value is known."""
        known = self.known.reshape(self.known.shape + (1,) * self.event_dim)
        return jnp.where(known, 0.0, self.base_dist.variance)


def partly_observed(base_dist: dist.Distribution, label: jax.Array | None) -> PartlyObserved:
    """Return a one-hot site. It is known in rows with a one-hot ``label``, and unknown for zeros.

    Args:
        base_dist: the distribution of a draw, of event shape ``(classes,)``.
        label: ``(batch, classes)``. None means that no row is known.
    """
    rows = jnp.zeros((1, *base_dist.event_shape)) if label is None else label
    return PartlyObserved(base_dist, rows, rows.any(-1))


@kl_divergence.register(PartlyObserved, PartlyObserved)
def _kl_of_unknown(q: PartlyObserved, p: PartlyObserved) -> jax.Array:
    return jnp.where(q.known, 0.0, kl_divergence(q.base_dist, p.base_dist))
