"""A likelihood of proportions strictly between 0 and 1: independent Beta entries."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist
from numpyro.distributions import constraints

from probvae.checks import scale_bound
from probvae.distributions import soft_clip
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.likelihoods.scales import bound_log_scale
from probvae.typing import Shape

MAX_LOGIT = 30.0  # of mu: beyond it, mu phi or (1 - mu) phi underflows in float32


@dataclass(frozen=True)
class Beta(AbstractLikelihood):
    r"""Independent entries strictly between 0 and 1, each with a Beta distribution.

    $p(x|z) = \prod_d \mathrm{Beta}(x_d; \mu_d \phi_d, (1 - \mu_d) \phi_d)$, with
    $\mu = \sigma(f(z))$ and $\log \phi = g(z)$.

    The mean is $\mu$, and the variance is $\mu (1 - \mu) / (1 + \phi)$. The density is 0 or infinite at
    the ends, so values of exactly 0 or 1 raise an error. For n data, $(x (n - 1) + 1/2) / n$ moves them
    inside (Smithson and Verkuilen 2006). g(z) is softly bounded on both sides, and so is f(z), beyond
    30.

    Args:
        min_log: the lower bound on $\log \phi$. The upper bound is 40.

    Reference: Ferrari and Cribari-Neto 2004, Journal of Applied Statistics 31:799, equation 4.
    """

    support = constraints.open_interval(0.0, 1.0)
    data_range = (0.0, 1.0)
    fill = 0.5
    min_log: float = scale_bound(-6.0, looser=-1.0)

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 2)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        f = soft_clip(outputs[..., 0], -MAX_LOGIT, MAX_LOGIT)
        log_phi = bound_log_scale(outputs[..., 1], self.min_log)
        # log mu and log(1 - mu) as log-sigmoids: neither underflows as mu approaches 0 or 1.
        a = jnp.exp(jax.nn.log_sigmoid(f) + log_phi)
        b = jnp.exp(jax.nn.log_sigmoid(-f) + log_phi)
        return dist.Beta(a, b)

    def __str__(self) -> str:
        return "Beta(mu phi, (1 - mu) phi), mu = sigmoid(f(z)), phi = phi(z) per entry"
