"""Images of 8 bits, as levels."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae import distributions
from probvae.checks import scale_bound
from probvae.distributions.discretized_logistic import levels
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.likelihoods.scales import bound_log_scale
from probvae.typing import Shape

MIN_LOG = -7.0  # the bound on log(2 s), as in arXiv:1701.05517


@dataclass(frozen=True)
class DiscretizedLogistic(AbstractLikelihood):
    """P(x|z) = prod_d mass of Logistic(m_d, s_d) within half a level of x_d = k / (n - 1).

    A probability of levels, so log P(x) is in nats of the bytes themselves (/ (log 2 D) for bits per
    dimension), with no dequantisation. Bytes are given as k / 255: ``data.Rescale(255)``. The end
    levels take the tails. m = (1 + f(z)) / 2, log(2 s) = g(z), softly bounded on both sides.

    Args:
        num_levels: n.
        min_log: the bound on log(2 s), the scale in units of half the range.

    Reference: Kingma et al. 2016, arXiv:1606.04934; Salimans et al. 2017, arXiv:1701.05517.
    """

    data_range = (0.0, 1.0)
    num_levels: int = 256
    min_log: float = scale_bound(MIN_LOG, looser=-1.0)

    def __post_init__(self) -> None:
        check_levels(self)

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 2)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return logistic(self, outputs[..., 0], outputs[..., 1])

    def __str__(self) -> str:
        return f"DiscretizedLogistic(m(z), s(z)), {self.num_levels} levels in [0, 1]"


@dataclass(frozen=True)
class DiscretizedLogisticMixture(AbstractLikelihood):
    """P(x|z) = prod_d sum_k w_dk(z) (mass of Logistic(m_dk, s_dk) within half a level of x_d).

    As ``DiscretizedLogistic``, with K components per entry, of weights softmax over k. Entries are
    independent given z: channels are not coupled as in the paper.

    Args:
        components: K.
        num_levels: n.
        min_log: the bound on log(2 s), as there.

    Raises:
        ValueError: for fewer than one component or two levels.

    Reference: Salimans et al. 2017, arXiv:1701.05517, equations 1 and 2.
    """

    data_range = (0.0, 1.0)
    components: int = 5
    num_levels: int = 256
    min_log: float = scale_bound(MIN_LOG, looser=-1.0)

    def __post_init__(self) -> None:
        check_levels(self)
        if not isinstance(self.components, int) or self.components < 1:
            raise ValueError(
                f"DiscretizedLogisticMixture expects components >= 1; got {self.components!r}."
            )

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 3, self.components)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        weights, loc, log_scale = (outputs[..., i, :] for i in range(3))
        parts = logistic(self, loc, log_scale)
        return dist.MixtureSameFamily(dist.Categorical(logits=weights), parts)

    def __str__(self) -> str:
        return (
            f"mixture of {self.components} DiscretizedLogistic(m(z), s(z)), "
            f"{self.num_levels} levels in [0, 1]"
        )


def logistic(
    likelihood: DiscretizedLogistic | DiscretizedLogisticMixture, f: jax.Array, g: jax.Array
) -> dist.Distribution:
    """Return the distribution of m = (1 + f) / 2, log(2 s) = g, softly bounded on both sides."""
    log_scale = bound_log_scale(g, likelihood.min_log) - jnp.log(2.0)
    return distributions.DiscretizedLogistic((1 + f) / 2, log_scale, num_levels=likelihood.num_levels)


def check_levels(likelihood: DiscretizedLogistic | DiscretizedLogisticMixture) -> None:
    """Raise unless there are two levels or more; set the support, which depends on their number."""
    if not isinstance(likelihood.num_levels, int) or likelihood.num_levels < 2:
        raise ValueError(
            f"{type(likelihood).__name__}(num_levels=...) expects at least 2; got "
            f"{likelihood.num_levels!r}."
        )
    object.__setattr__(likelihood, "support", levels(likelihood.num_levels))
