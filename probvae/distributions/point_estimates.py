"""Point estimates of a distribution: its centre (mean or mode), and its probabilities."""

from typing import Any

import jax
import jax.numpy as jnp
import numpyro.distributions as dist


def find_centre(p: dist.Distribution) -> jax.Array:
    """Return the mean of each entry, or the mode for unordered levels and ``StudentT``.

    The mean of levels 0 and 2 is 1, a level that may never occur. A Student t has no mean for few
    degrees of freedom, and otherwise its mean is the mode. A distribution can define its own centre
    with a property ``centre``.

    Args:
        p: any NumPyro distribution.
    """
    if isinstance(p, dist.Independent):
        return find_centre(p.base_dist)
    if isinstance(p, dist.ExpandedDistribution | dist.MaskedDistribution):
        return jnp.broadcast_to(find_centre(p.base_dist), p.batch_shape + p.event_shape)
    if hasattr(p, "centre"):
        return p.centre
    if isinstance(p, dist.CategoricalLogits):
        return p.logits.argmax(-1)
    if isinstance(p, dist.CategoricalProbs):
        return p.probs.argmax(-1)
    if isinstance(p, dist.StudentT):
        return jnp.broadcast_to(p.loc, p.batch_shape)
    return p.mean


def probabilities(p: dist.Distribution) -> Any:
    """Return the probabilities of the values of an entry with few values.

    They are ``(..., K)`` for K levels, P(x = 1) for zeros and ones, a tuple of these for blocks of
    columns, and None for other distributions.

    Args:
        p: any NumPyro distribution.
    """
    if isinstance(p, dist.Independent | dist.MaskedDistribution):
        return probabilities(p.base_dist)
    if hasattr(p, "parts"):
        return tuple(probabilities(part) for part in p.parts)
    few = dist.CategoricalLogits, dist.CategoricalProbs, dist.BernoulliLogits, dist.BernoulliProbs
    return p.probs if isinstance(p, few) else None
