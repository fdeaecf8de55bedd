"""Missingness components of ``NotAtRandom``: the probability that an entry is observed, given x."""

import abc
import math
from dataclasses import KW_ONLY, dataclass
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import numpyro

from probvae import nets
from probvae.checks import Checked, Requirement
from probvae.interfaces import Scope

SIGN = Annotated[int, Requirement("1, -1 or 0 (unknown)", lambda sign: sign in (-1, 0, 1))]
INTERCEPT, SLOPE = "likelihood$mask_intercept", "likelihood$mask_slope"


class AbstractMissingness(Checked, abc.ABC):
    """p(s | x), where s_d is 1 if entry d of x is observed. Entries of s are independent given x."""

    @abc.abstractmethod
    def logits(self, x: jax.Array, scope: Scope) -> jax.Array:
        """Return the log odds that each entry is observed, ``(batch, *event_shape)``.

        Args:
            x: complete data ``(batch, *event_shape)``, as the encoder sees them (standardized data if
                the likelihood is ``Standardized``).
            scope: the VAE's scope.
        """

    def initial_values(self, mask: np.ndarray) -> dict[str, Any]:
        """Return initial parameters by site, from the training mask ``(n, *event_shape)``."""
        return {}


@dataclass(frozen=True)
class SelfMasking(AbstractMissingness):
    r"""An entry is missing because of its own value, with a logistic curve for each entry of a row.

    $\mathrm{logit}\, p(s_d = 1 | x) = a_d - w_d x_d$.

    Args:
        sign: of all $w_d$. 1 if large values are missing, -1 if small values are missing, 0 if that is
            unknown. The data can hardly say which it is, so give the sign if you know it.

    Reference: Ipsen, Mattei and Frellsen 2021, arXiv:2006.12871, section 3.1.
    """

    _: KW_ONLY
    sign: SIGN = 0

    def logits(self, x: jax.Array, scope: Scope) -> jax.Array:
        intercept = numpyro.param(INTERCEPT, jnp.zeros(x.shape[1:]))
        # With a known sign, the slope starts at 1. With an unknown one it starts at 0, where the model
        # is that of data missing at random, and the gradient decides.
        start = math.log(math.expm1(1.0)) if self.sign else 0.0
        slope = numpyro.param(SLOPE, jnp.full(x.shape[1:], start))
        if self.sign:
            slope = self.sign * jax.nn.softplus(slope)
        return intercept - slope * x

    def initial_values(self, mask: np.ndarray) -> dict[str, Any]:
        share = (mask.sum(0) + 0.5) / (len(mask) + 1)
        return {INTERCEPT: (np.log(share) - np.log1p(-share)).astype(jnp.zeros(()).dtype)}

    def __str__(self) -> str:
        slope = {1: "w_d > 0", -1: "w_d < 0", 0: "w_d learned"}[self.sign]
        return f"logit p(observed) = a_d - w_d x_d, {slope}"


@dataclass(frozen=True)
class MaskingNet(AbstractMissingness):
    r"""An entry is missing because of any entries of its row: $\mathrm{logit}\, p(s | x) = g(x)$.

    Args:
        net: g, with as many outputs as x has entries. ``nets.Linear()`` gives a logistic regression on
            all entries.

    Reference: Ipsen, Mattei and Frellsen 2021, arXiv:2006.12871, section 3.1.
    """

    net: nets.Recipe = nets.Linear()

    def logits(self, x: jax.Array, scope: Scope) -> jax.Array:
        shape = x.shape[1:]
        return nets.register("likelihood$mask", self.net, shape, shape, training=scope.training)(x)

    def __str__(self) -> str:
        return f"logit p(observed) = g(x), g = {self.net}"
