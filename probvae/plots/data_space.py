"""What a fitted VAE says in the space of the data."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from probvae.fitted import Fitted, latent_paths
from probvae.plots.canvas import Limits, side_by_side
from probvae.typing import ArrayLike, RngKey

PSEUDO_INPUTS = "prior$pseudo_inputs"


def reconstructions(
    fitted: Fitted,
    x: ArrayLike,
    *,
    context: ArrayLike | None = None,
    rng_key: RngKey | None = None,
    limits: Limits | None = None,
) -> Any:
    """Return originals beside the means of p(x|z), z the mean of q(z|x) or, given a key, a draw.

    Args:
        fitted: the fitted VAE.
        x: data ``(n, *event_shape)``.
        context: ``(n, *context_shape)``.
        rng_key: for a draw of z; a guide that is a program needs it.
        limits: lowest and highest value shown.
    """
    means = fitted.reconstruct(x, rng_key=rng_key, context=context)
    at = "the mean of q(z|x)" if rng_key is None else "a draw of q(z|x)"
    return side_by_side(
        {"x": x, "E[x|z]": means},
        title=f"Data x, and the mean of p(x|z) at {at}",
        item="one datum",
        limits=limits or _range(fitted, x),
    )


def samples(
    fitted: Fitted,
    num_samples: int = 40,
    *,
    rng_key: RngKey,
    context: ArrayLike | None = None,
    most: int = 40,
    limits: Limits | None = None,
) -> Any:
    """Return draws of the model, x ~ p(x|z), each with the mean of the p(x|z) it was drawn from.

    Args:
        fitted: the fitted VAE.
        num_samples: how many; with a context, one for each of its rows.
        rng_key: a typed key.
        context: ``(rows, *context_shape)``.
        most: how many of them are shown.
        limits: lowest and highest value shown.
    """
    drawn = fitted.sample(num_samples if context is None else 1, rng_key=rng_key, context=context)
    x, mean = ((a if context is None else a[0])[:most] for a in (drawn.x, drawn.mean))
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
) -> Any:
    """Return a path between two data: averages of their values, and E[x|z] along their codes.

    Args:
        fitted: the fitted VAE.
        start: a datum, of shape ``event_shape``.
        end: another.
        num_points: points on the path, ends included.
        path: ``latent_paths.straight`` or ``latent_paths.spherical``, or any ``(a, b, t) -> z``.
        limits: lowest and highest value shown.
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


def pseudo_inputs(fitted: Fitted, *, most: int = 50, limits: Limits | None = None) -> Any:
    """Return the learned pseudo-inputs of a VampPrior, the first ``most`` of them.

    Args:
        fitted: the fitted VAE.
        most: how many are shown.
        limits: lowest and highest value shown.

    Raises:
        ValueError: if the prior has none.
    """
    if PSEUDO_INPUTS not in fitted.params:
        raise ValueError(
            f"pseudo_inputs expects a fitted VAE with a parameter {PSEUDO_INPUTS!r}, such as one "
            f"with priors.VampPrior; got the prior {type(fitted.vae.prior).__name__}."
        )
    u = np.asarray(fitted.params[PSEUDO_INPUTS])
    some = f"{min(most, len(u))} of {len(u)}"
    return side_by_side(
        {"u": u[:most]},
        title=f"Pseudo-inputs u, {some}: p(z) is the mixture of their q(z|u)",
        item="one pseudo-input",
        limits=limits or _range(fitted, u),
    )


def _range(fitted: Fitted, x: ArrayLike) -> Limits:
    """Return the likelihood's range of data where it is finite, else that of ``x``."""
    low, high = fitted.vae.likelihood.data_range
    if np.isfinite(low) and np.isfinite(high):
        return float(low), float(high)
    return float(np.min(x)), float(np.max(x))
