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


def find_averages(p: dist.Distribution) -> tuple[jax.Array, ...]:
    """Return the properties of p(x|z) that may be averaged over codes, an array by block of columns.

    It is the centre of each entry, or for unordered levels the probabilities ``(..., K)``: their modes
    have no mean. ``merge_averages`` turns the averages of these arrays into a point estimate.

    Args:
        p: any NumPyro distribution, whose batch shape is that of the entries.
    """
    if isinstance(p, dist.Independent | dist.MaskedDistribution | dist.ExpandedDistribution):
        return find_averages(p.base_dist)
    if hasattr(p, "averages"):
        return p.averages
    if hasattr(p, "parts"):
        return tuple(average for part in p.parts for average in find_averages(part))
    if isinstance(p, dist.CategoricalLogits | dist.CategoricalProbs):
        return (p.probs,)
    return (find_centre(p),)


def merge_averages(averages: tuple[jax.Array, ...], ndim: int) -> jax.Array:
    """Return the point estimate of entries: means, or the likeliest levels.

    Args:
        averages: one array per block of columns. Means are ``(..., columns)``. Probabilities of levels
            have one more axis at the end, for the levels.
        ndim: the number of axes of the result. An array with more has probabilities of levels.
    """
    values = [a.argmax(-1) if a.ndim > ndim else a for a in averages]
    return values[0] if len(values) == 1 else jnp.concatenate([v.astype(float) for v in values], -1)
