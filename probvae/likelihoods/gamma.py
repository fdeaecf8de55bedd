"""A likelihood of positive numbers whose standard deviation is proportional to their mean."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from probvae.checks import scale_bound
from probvae.distributions import GammaLogMean
from probvae.interfaces import InitialValues, Scope
from probvae.likelihoods.log_means import register_log_mean, start_log_mean
from probvae.likelihoods.positive_base import AbstractPositive
from probvae.likelihoods.scales import bound_log_scale
from probvae.typing import Shape

LOG_SHAPE = "likelihood$log_shape"
MIN_SHAPE = 0.01  # of the initial shape: a standard deviation of ten times the mean


@dataclass(frozen=True)
class Gamma(AbstractPositive):
    r"""Independent positive entries with mean $\mu$ and standard deviation $\mu / \sqrt{a}$.

    $p(x|z) = \prod_d \mathrm{Gamma}(x_d; a_d, a_d / \mu_d)$, with $\log \mu_d = m_d + f_d(z)$ and
    $\mathrm{Gamma}(x; a, b) = b^a x^{a - 1} \exp(-b x) / \Gamma(a)$.

    m and the shape a are learned, with one number per entry (``"likelihood$log_mean"``,
    ``"likelihood$log_shape"``). ``fit`` starts them at the data's moments. a = 1 is the exponential
    distribution, and the limit of a large a is the Gaussian. The encoder sees log x, unless it is
    ``nets.InputTransform``. For data far from 1, such as amounts in the thousands, use
    ``Standardized(Gamma())``: its encoder sees log x with mean 0 and standard deviation 1, and training
    takes far fewer steps. f is softly clipped to at least -15, and to at most 1 above the largest value
    of the training data, on the log scale of $\mu$.

    Args:
        max_log: the upper bound on log a, softly. At 12 the standard deviation is e^-6 of the mean.

    Reference: McCullagh and Nelder 1989, Generalized Linear Models, chapter 8.
    """

    max_log: float = scale_bound(12.0, looser=1.0)

    def output_shape(self, event_shape: Shape) -> Shape:
        return event_shape

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        raw = numpyro.param(LOG_SHAPE, jnp.zeros(scope.event_shape))
        return GammaLogMean(register_log_mean(outputs, scope), -bound_log_scale(-raw, -self.max_log))

    @property
    def initial_values(self) -> InitialValues:
        return self._start_at_moments

    def _start_at_moments(
        self, x: np.ndarray, mask: np.ndarray, context: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Return m and the bound on f from the mean and the largest value, and log a from both moments.

        The marginal variance exceeds that given z, so training starts from a shape that is too small,
        with gradients that are small, too. An entry that is never observed starts at a mean of 1.
        """
        count = np.maximum(mask.sum(0), 1)
        values = np.where(mask, x, 0.0).astype(np.float64)
        mean = np.where(mask.any(0), values.sum(0) / count, 1.0)
        variance = (np.where(mask, values - mean, 0.0) ** 2).sum(0) / count
        largest = np.where(mask.any(0), values.max(0), 1.0)
        # Nearly constant entries would start at the bound, where the gradient of log a vanishes.
        top = self.max_log - 1.0
        shape = np.clip(mean**2 / np.maximum(variance, 1e-300), MIN_SHAPE, math.exp(top))
        excess = self.max_log - np.log(shape)
        raw = self.max_log - np.log(np.expm1(excess))  # the inverse of the bound's softplus
        start = {LOG_SHAPE: raw.astype(jnp.zeros(()).dtype)}
        return start | start_log_mean(np.log(mean), np.log(largest))

    def __str__(self) -> str:
        return "Gamma(mean mu, shape a), log mu = m + f(z), a learned per entry"
