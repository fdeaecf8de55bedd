"""Figures in the space of the data: reconstructions, samples, interpolations, pseudo-inputs."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from probvae.fitted import Fitted, latent_paths
from probvae.plots.canvas import Figure, Limits, side_by_side
from probvae.typing import ArrayLike, RngKey

PSEUDO_INPUTS = "prior$pseudo_inputs"


def reconstructions(
    fitted: Fitted,
    x: ArrayLike,
    *,
    context: ArrayLike | None = None,
    rng_key: RngKey | None = None,
    limits: Limits | None = None,
) -> Figure:
    """Draw data beside the means of p(x|z), at the mean of q(z|x) or, with a key, at a draw.

    Args:
        fitted: the fitted VAE.
        x: data ``(n, *event_shape)``.
        context: ``(n, *context_shape)``.
        rng_key: a typed key to draw z. Guides that are programs need it.
        limits: the lowest and highest value of the color scale.
    """
    means = fitted.reconstruct(x, rng_key=rng_key, context=context)
    code = "the mean of q(z|x)" if rng_key is None else "a draw of q(z|x)"
    return side_by_side(
        {"x": x, "E[x|z]": means},
        title=f"Data x, and the mean of p(x|z) at {code}",
        item="one datum",
        limits=limits or _range(fitted, x),
    )


def samples(
    fitted: Fitted,
    num_samples: int = 40,
    *,
    rng_key: RngKey,
    context: ArrayLike | None = None,
    max_items: int = 40,
    limits: Limits | None = None,
) -> Figure:
    """Draw samples of the model, x ~ p(x|z), each with the mean of its p(x|z).

    Args:
        fitted: the fitted VAE.
        num_samples: the number of samples. With a context, one sample per row of it.
        rng_key: a typed key.
        context: ``(rows, *context_shape)``.
        max_items: the largest number of samples in the figure.
        limits: the lowest and highest value of the color scale.
    """
    draws = fitted.sample(num_samples if context is None else 1, rng_key=rng_key, context=context)
    x, mean = ((a if context is None else a[0])[:max_items] for a in (draws.x, draws.mean))
    return side_by_side(
        {"x ~ p(x|z)": x, "E[x|z]": mean},
        title="Samples: z ~ p(z), then x ~ p(x|z), and the mean of that p(x|z)",
        item="one sample",
        limits=limits or _range(fitted, mean),
    )


def interpolation(
    fitted: Fitted,
    start: ArrayLike,
    end: ArrayLike,
    *,
    num_points: int = 10,
    path: Callable = latent_paths.straight,
    limits: Limits | None = None,
) -> Figure:
    """Draw a path between two rows: averages of their values, and E[x|z] along their codes.

    Args:
        fitted: the fitted VAE.
        start: a row of shape ``event_shape``.
        end: another row.
        num_points: the number of points on the path, with both ends.
        path: ``latent_paths.straight``, ``latent_paths.spherical`` or another ``(a, b, t) -> z``.
        limits: the lowest and highest value of the color scale.
    """
    a, b = jnp.asarray(start, float), jnp.asarray(end, float)
    pixels = jax.vmap(lambda t: (1 - t) * a + t * b)(jnp.linspace(0.0, 1.0, num_points))
    codes = fitted.interpolate(a, b, num_points=num_points, path=path)
    return side_by_side(
        {"data space": pixels, "latent space": codes},
        title="From one datum to another: averages of the data, and E[x|z] along the codes",
        item="one point, t from 0 to 1",
        limits=limits or _range(fitted, pixels),
        columns=num_points,
    )


def pseudo_inputs(fitted: Fitted, *, max_items: int = 50, limits: Limits | None = None) -> Figure:
    """Draw the first ``max_items`` learned pseudo-inputs of a VampPrior.

    Args:
        fitted: the fitted VAE.
        max_items: the largest number of pseudo-inputs in the figure.
        limits: the lowest and highest value of the color scale.

    Raises:
        ValueError: if the prior has no pseudo-inputs.
    """
    if PSEUDO_INPUTS not in fitted.params:
        raise ValueError(
            "pseudo_inputs expects a fitted VAE with pseudo-inputs, such as one with priors.VampPrior; "
            f"got the prior {type(fitted.vae.prior).__name__}."
        )
    u = np.asarray(fitted.params[PSEUDO_INPUTS])
    count = f"{min(max_items, len(u))} of {len(u)}"
    return side_by_side(
        {"u": u[:max_items]},
        title=f"Pseudo-inputs u, {count}: p(z) is the mixture of their q(z|u)",
        item="one pseudo-input",
        limits=limits or _range(fitted, u),
    )


def _range(fitted: Fitted, x: ArrayLike) -> Limits:
    """Return the likelihood's data range if it is finite, or else the range of ``x``."""
    low, high = fitted.vae.likelihood.data_range
    if np.isfinite(low) and np.isfinite(high):
        return float(low), float(high)
    return float(np.min(x)), float(np.max(x))
