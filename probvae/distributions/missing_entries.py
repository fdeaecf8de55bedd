"""`MissingEntries`: p(x|z), and the probability that each entry is observed given its value."""

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.distributions.point_estimates import find_centre
from probvae.typing import Shape


class MissingEntries(dist.Distribution):
    """Independent entries of which some are missing for a reason that depends on their values.

    The log density of an entry is log p(x_d | z) if it is observed, plus log p(s_d | x) of whether it
    is observed, s_d. Missing entries of x were drawn once, from p(x|z). Draws return them again.

    Args:
        base_dist: p(x|z), elementwise.
        mask: true where x is observed, in the shape of the batch.
        hidden: draws of ``base_dist``. Only missing entries are used.
        log_selection: log p(s_d | x) with these draws, in the shape of the batch.
    """

    pytree_data_fields = ("base_dist", "mask", "hidden", "log_selection")

    def __init__(
        self,
        base_dist: dist.Distribution,
        mask: jax.Array,
        hidden: jax.Array,
        log_selection: jax.Array,
        *,
        validate_args: bool | None = None,
    ) -> None:
        self.base_dist, self.mask, self.hidden = base_dist, mask, hidden
        self.log_selection = log_selection
        super().__init__(base_dist.batch_shape, validate_args=validate_args)

    @constraints.dependent_property(event_dim=0)
    def support(self) -> constraints.Constraint:
        """The support of the base."""
        return self.base_dist.support

    def log_prob(self, value: jax.typing.ArrayLike) -> jax.Array:
        """Return log p(x_d | z) of observed entries, plus log p(s_d | x) of all, in nats."""
        observed = dist.MaskedDistribution(self.base_dist, self.mask).log_prob(value)
        return observed + self.log_selection

    def sample(self, key: jax.Array, sample_shape: Shape = ()) -> jax.Array:
        """Return new draws of observed entries, and the known draws of missing ones."""
        return jnp.where(self.mask, self.base_dist.sample(key, sample_shape), self.hidden)

    @property
    def averages(self) -> tuple[jax.Array, ...]:
        """What an average over weighted codes may use: the draws that the weights depend on."""
        return (jnp.broadcast_to(self.hidden, self.batch_shape).astype(float),)

    @property
    def centre(self) -> jax.Array:
        """The centre of p(x|z)."""
        return find_centre(self.base_dist)

    @property
    def mean(self) -> jax.Array:
        """The mean of p(x|z)."""
        return self.base_dist.mean

    @property
    def variance(self) -> jax.Array:
        """The variance of p(x|z)."""
        return self.base_dist.variance


def is_reparametrised(p: dist.Distribution) -> bool:
    """Tell whether draws of a distribution, or of all its blocks of columns, have gradients.

    Args:
        p: a NumPyro distribution. One with ``parts``, such as that of ``Joint``, needs gradients in
            each of them.
    """
    if isinstance(p, dist.Independent | dist.ExpandedDistribution | dist.MaskedDistribution):
        return is_reparametrised(p.base_dist)
    if hasattr(p, "parts"):
        return all(is_reparametrised(part) for part in p.parts)
    return bool(p.has_rsample)
