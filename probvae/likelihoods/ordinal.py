"""A likelihood of entries that take one of K ordered levels: the cumulative logit model."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.distributions import constraints
from scipy import special

from probvae.checks import IntAboveOne
from probvae.distributions import CategoricalLevels, soft_clip
from probvae.interfaces import AbstractLikelihood, InitialValues, Scope
from probvae.typing import Shape

CUTPOINTS = "likelihood$cutpoints"
MIN_LOG_GAP, MAX_LOG_GAP = -20.0, 5.0  # between cutpoints: a rare level, and nearly all data in one
SMOOTHING = 0.5  # of a row, added to each level: a level without data has a finite cutpoint


@dataclass(frozen=True)
class Ordinal(AbstractLikelihood):
    r"""Independent entries with K ordered levels, $x_d \in \{0, \ldots, K - 1\}$.

    $P(x_d \le k | z) = \sigma(c_{d,k} - f_d(z))$: proportional odds. A larger f moves mass to higher
    levels, and multiplies the odds of "above k" by the same factor for every k.

    Each entry has one decoder output f and K - 1 learned, increasing cutpoints c. ``Categorical`` has K
    outputs per entry. The parameter ``"likelihood$cutpoints"``, ``(*event_shape, K - 1)``, holds $c_1$
    and the logarithms of the gaps $c_{k+1} - c_k$. ``fit`` starts the cutpoints at the logits of the
    data's cumulative frequencies. With K = 2, it is ``Bernoulli`` with logits $f - c_1$.

    The nets see the level as a number. ``reconstruct`` returns the most probable level,
    ``fitted.probabilities(x)`` the probability of each, and ``fitted.decode(z).mean`` the mean level.

    Args:
        levels: K.

    Reference: McCullagh 1980, Regression models for ordinal data, JRSS B 42:109.

    Examples:
        >>> from probvae import likelihoods
        >>> print(likelihoods.Ordinal(5))
        Ordinal(logits = c_k - f(z)), 5 levels, c_k learned per entry
    """

    levels: IntAboveOne

    def __post_init__(self) -> None:
        # They depend on K, so they cannot be class attributes as in other likelihoods.
        object.__setattr__(self, "support", constraints.integer_interval(0, self.levels - 1))
        object.__setattr__(self, "data_range", (0.0, float(self.levels - 1)))

    def output_shape(self, event_shape: Shape) -> Shape:
        return event_shape

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        even = _to_parameter(special.logit(np.arange(1, self.levels) / self.levels))
        start = jnp.broadcast_to(even, (*scope.event_shape, self.levels - 1))
        parameter = numpyro.param(CUTPOINTS, start)
        gaps = jnp.exp(soft_clip(parameter[..., 1:], MIN_LOG_GAP, MAX_LOG_GAP))
        return CategoricalLevels(log_masses(outputs, parameter[..., 0], gaps))

    @property
    def initial_values(self) -> InitialValues:
        return self._start_at_frequencies

    def _start_at_frequencies(
        self, x: np.ndarray, mask: np.ndarray, context: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Return the cutpoints at which f = 0 has the smoothed frequencies of the observed levels."""
        counts = [((x == k) & mask).sum(0) + SMOOTHING for k in range(self.levels)]
        at_most = np.cumsum(counts, axis=0)[:-1]  # (K - 1, *event_shape)
        above = np.cumsum(counts[::-1], axis=0)[::-1][1:]
        cutpoints = np.moveaxis(np.log(at_most) - np.log(above), 0, -1)
        return {CUTPOINTS: _to_parameter(cutpoints)}

    def __str__(self) -> str:
        return f"Ordinal(logits = c_k - f(z)), {self.levels} levels, c_k learned per entry"


def log_masses(f: jax.Array, first: jax.Array, gaps: jax.Array) -> jax.Array:
    r"""Return the log probability of each level, ``(batch, *event_shape, K)``.

    Args:
        f: location on the logit scale, ``(batch, *event_shape)``.
        first: the first cutpoint, ``(*event_shape,)``.
        gaps: between successive cutpoints, ``(*event_shape, K - 2)``, positive.
    """
    # With a < b, sigmoid(b) - sigmoid(a) = sigmoid(b) sigmoid(-a) (1 - exp(a - b)). The difference on
    # the left is 0 in floating point if both are close to 1, and its logarithm is -inf. On the right,
    # b - a is a gap. It does not depend on f, so no digit is lost at any f.
    ends = jnp.cumsum(jnp.concatenate([first[..., None], gaps], -1), -1)
    logits = ends - f[..., None]  # of P(x <= k), (batch, *event_shape, K - 1)
    below = jax.nn.log_sigmoid(logits)
    above = jax.nn.log_sigmoid(-logits)
    between = below[..., 1:] + above[..., :-1] + jnp.log(-jnp.expm1(-gaps))
    return jnp.concatenate([below[..., :1], between, above[..., -1:]], -1)


def _to_parameter(cutpoints: np.ndarray) -> np.ndarray:
    """Return the first cutpoint and the logarithms of the gaps, along the last axis."""
    log_gaps = np.log(np.diff(cutpoints))
    return np.concatenate([cutpoints[..., :1], log_gaps], -1).astype(jnp.zeros(()).dtype)
