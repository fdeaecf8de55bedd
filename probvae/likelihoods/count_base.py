"""What all likelihoods of counts share: the log of the mean, where it starts, what the encoder sees."""

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
from numpyro.distributions import constraints

from probvae.distributions import soft_clip
from probvae.interfaces import AbstractLikelihood, InitialValues, Scope
from probvae.likelihoods.count_means import AbstractMean, FreeMean, check_mean

LEAST, MOST = -15.0, 15.0  # of f without training data: rates from e^-15 to e^15 times e^m
MARGIN = 1.0  # of log mu above the log of the largest count of the training data
LOG_MEAN, LARGEST = "likelihood$log_mean", "likelihood$largest"


@dataclass(frozen=True)
class Log1p:
    """log(1 + x): what the encoder sees of counts, whose scale may run over decades."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.log1p(x)

    def __str__(self) -> str:
        return "log(1 + x)"


@dataclass(frozen=True)
class AbstractCounts(AbstractLikelihood):
    """A likelihood of counts with mean mu, log mu as the component ``mean`` makes it of m + f(z).

    m, one number per entry, is a parameter. ``fit`` starts it at the log of the data's mean: from
    log mu = 0, counts of 500 would begin with gradients that throw the weights far off.

    f is the decoder's output, clipped softly: the exponential of a wild output would be a rate, and a
    gradient, beyond float32. ``fit`` sets the upper bound such that no rate exceeds the largest count
    of its entry by more than a factor e^2. The bound is kept with the parameters and not trained.
    """

    support = constraints.nonnegative_integer
    data_range = (0.0, float("inf"))
    mean: AbstractMean = field(default_factory=FreeMean)

    def __post_init__(self) -> None:
        check_mean(self)

    @property
    def encoder_view(self) -> Log1p:
        return Log1p()

    def log_mean(self, raw: jax.Array, scope: Scope) -> jax.Array:
        """Return log mu from the decoder's outputs f, ``(batch, *event_shape)``."""
        m = numpyro.param(LOG_MEAN, jnp.zeros(scope.event_shape))
        largest = numpyro.param(LARGEST, jnp.full(scope.event_shape, MOST))
        f = soft_clip(raw, LEAST, jax.lax.stop_gradient(largest))
        return self.mean(m + f, scope)

    @property
    def initial_values(self) -> InitialValues:
        return self._means_of_data

    def _means_of_data(
        self, x: np.ndarray, mask: np.ndarray, context: np.ndarray | None
    ) -> dict[str, Any]:
        """Return m, the log of the mean count per exposure, and the bound on f, over observed entries.

        Half a count is added, so that an entry that is always 0 has a logarithm, too.
        """
        exposure = np.asarray(self.mean.exposure(context)).reshape(-1, *[1] * (x.ndim - 1))
        total = np.where(mask, x, 0).sum(0, dtype=np.float64) + 0.5
        exposed = np.where(mask, exposure, 0.0).sum(0)
        m = np.log(total) - np.log(np.where(exposed > 0, exposed, 1.0))
        most = np.log(np.where(mask, (x + 0.5) / exposure, 0.5).max(0))
        dtype = jnp.zeros(()).dtype
        bound = np.clip(most - m, 0.0, MOST - MARGIN) + MARGIN
        return {LOG_MEAN: m.astype(dtype), LARGEST: bound.astype(dtype)}
