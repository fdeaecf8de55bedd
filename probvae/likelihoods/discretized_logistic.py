"""Likelihoods of 8-bit images: one discretized logistic per entry, or a mixture of them."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpyro.distributions as dist

from probvae import distributions
from probvae.checks import IntAboveOne, PositiveInt, scale_bound
from probvae.distributions.discretized_logistic import levels
from probvae.interfaces import AbstractLikelihood, Scope
from probvae.likelihoods.scales import bound_log_scale
from probvae.typing import Shape

MIN_LOG = -7.0  # the bound on log(2 s), as in arXiv:1701.05517


@dataclass(frozen=True)
class DiscretizedLogistic(AbstractLikelihood):
    r"""Independent entries with ``num_levels`` levels in [0, 1], such as the bytes of an image.

    $P(x|z) = \prod_d P(|y - x_d| < 1 / (2 (n - 1)))$ for $y \sim \mathrm{Logistic}(m_d, s_d)$: the mass
    within half a level of $x_d = k / (n - 1)$. The end levels receive the tails.

    This is a probability of levels, so log P(x) is in nats of the bytes themselves, without
    dequantisation. Divide by $\log(2) D$ for bits per dimension. Bytes enter as k / 255
    (``data.Rescale(255)``). $m = (1 + f(z)) / 2$ and $\log(2 s) = g(z)$, softly bounded on both sides.

    Args:
        num_levels: n.
        min_log: the lower bound on $\log(2 s)$, the scale in units of half the range.

    Reference: Kingma et al. 2016, arXiv:1606.04934. Salimans et al. 2017, arXiv:1701.05517.
    """

    data_range = (0.0, 1.0)
    num_levels: IntAboveOne = 256
    min_log: float = scale_bound(MIN_LOG, looser=-1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "support", levels(self.num_levels))

    def output_shape(self, event_shape: Shape) -> Shape:
        return (*event_shape, 2)

    def distribution(self, outputs: jax.Array, scope: Scope) -> dist.Distribution:
        return logistic(self, outputs[..., 0], outputs[..., 1])

    def __str__(self) -> str:
        return f"DiscretizedLogistic(m(z), s(z)), {self.num_levels} levels in [0, 1]"


@dataclass(frozen=True)
class DiscretizedLogisticMixture(AbstractLikelihood):
    r"""Independent entries, each a mixture of K discretized logistics.

    $P(x|z) = \prod_d \sum_k w_{dk}(z) P_{dk}(x_d)$, where $P_{dk}$ is the mass within half a level, as
    in ``DiscretizedLogistic``. The weights are a softmax over k. Channels are independent given z, and
    not coupled as in the paper.

    Args:
        components: K.
        num_levels: n.
        min_log: the lower bound on $\log(2 s)$, as in ``DiscretizedLogistic``.

    Reference: Salimans et al. 2017, arXiv:1701.05517, equations 1 and 2.
    """

    data_range = (0.0, 1.0)
    components: PositiveInt = 5
    num_levels: IntAboveOne = 256
    min_log: float = scale_bound(MIN_LOG, looser=-1.0)

    def __post_init__(self) -> None:
        object.__setattr__(self, "support", levels(self.num_levels))

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
    """Return the distribution with m = (1 + f) / 2 and log(2 s) = g, softly bounded on both sides."""
    # g is bounded in units of half the range, log(2 s), and then converted to log s.
    log_scale = bound_log_scale(g, likelihood.min_log) - jnp.log(2.0)
    return distributions.DiscretizedLogistic((1 + f) / 2, log_scale, num_levels=likelihood.num_levels)
