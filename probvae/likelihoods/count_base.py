"""The base class of likelihoods of counts: the log mean, its initial value, and the encoder's view."""

from dataclasses import dataclass, field
from typing import Annotated

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import constraints

from probvae.checks import Requirement
from probvae.interfaces import AbstractLikelihood, InitialValues, Scope
from probvae.likelihoods.count_means import AbstractMean, FreeMean
from probvae.likelihoods.log_means import register_log_mean, start_log_mean

Mean = Annotated[AbstractMean, Requirement("a component such as FreeMean() or LibrarySize()")]


@dataclass(frozen=True)
class Log1p:
    """log(1 + x), the encoder's view of counts, whose scale may span decades."""

    def __call__(self, x: jax.Array) -> jax.Array:
        return jnp.log1p(x)

    def __str__(self) -> str:
        return "log(1 + x)"


@dataclass(frozen=True)
class AbstractCounts(AbstractLikelihood):
    r"""A likelihood of counts with mean $\mu$. The component ``mean`` maps $m + f(z)$ to $\log \mu$.

    m is a parameter with one number per entry. ``fit`` starts it at the log of the data's mean: from
    $\log \mu = 0$, counts of 500 would start with gradients that throw the weights far off.

    f is the decoder's output, softly clipped: the exponential of a very large output would exceed
    float32, and so would its gradient. ``fit`` sets the upper bound so that no rate exceeds the largest
    count of its entry by more than a factor $e^2$. The bound is stored with the parameters and not
    trained.
    """

    support = constraints.nonnegative_integer
    data_range = (0.0, float("inf"))
    mean: Mean = field(default_factory=FreeMean)

    @property
    def encoder_view(self) -> Log1p:
        return Log1p()

    def log_mean(self, f: jax.Array, scope: Scope) -> jax.Array:
        """Return log mu from the decoder's outputs f, ``(batch, *event_shape)``."""
        return self.mean(register_log_mean(f, scope), scope)

    @property
    def initial_values(self) -> InitialValues:
        return self._start_at_means

    def _start_at_means(
        self, x: np.ndarray, mask: np.ndarray, context: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Return m, the log of the mean count per exposure, and the bound on f, over observed entries.

        Half a count is added, so that an entry that is always 0 has a finite logarithm.
        """
        exposure = np.asarray(self.mean.exposure(context)).reshape(-1, *[1] * (x.ndim - 1))
        total = np.where(mask, x, 0).sum(0, dtype=np.float64) + 0.5
        exposed = np.where(mask, exposure, 0.0).sum(0)
        m = np.log(total) - np.log(np.where(exposed > 0, exposed, 1.0))
        log_largest = np.log(np.where(mask, (x + 0.5) / exposure, 0.5).max(0))
        return start_log_mean(m, log_largest)
