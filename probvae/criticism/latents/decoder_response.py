"""What the decoder makes of the code: how far p(x|z) moves with z, and how wide it is."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution

from probvae.batching import ROWS, Rows, map_blocks, map_rows
from probvae.compilation import compile_program
from probvae.criticism.observed import apply_noise
from probvae.criticism.short_repr import short_repr
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.objectives.terms import trace_guide, trace_model
from probvae.typing import Params, RngKey


@short_repr
class DecoderResponse(NamedTuple):
    """In units of the data: ``mean_scale`` and ``least_scale`` of p(x|z), and what moves with z.

    ``moved`` is the standard deviation over codes of E[x|z], root mean square over entries, all under
    the first datum's context: small where the decoder ignores the code, 0 to rounding where the code
    cannot reach x at all, as behind dead ReLUs. ``least_scale`` is the smallest standard deviation of
    an entry that has a density, its root mean square over data; nan where none has, or the likelihood
    knows none: a probability cannot run away. ``data_scale`` is that of the data, root mean square over
    entries. ``moved_ratio`` and ``least_ratio`` are free of units: the same, each entry relative to
    ``entry_scales`` of the data. ``least_scale`` is that of the entry with the least ratio.
    """

    moved: float
    mean_scale: float
    least_scale: float
    data_scale: float
    moved_ratio: float
    least_ratio: float


def decoder_response(fitted: Fitted, x: Any, *, rng_key: RngKey) -> DecoderResponse:
    """Return how p(x|z) answers to codes drawn from q(z|x), one for each datum.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 2, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.

    Raises:
        ValueError: for fewer than two data, or a part that is no density.
    """
    check_fitted(fitted)
    data = apply_noise(fitted, x, rng_key, least=2)
    mean, entries = estimate_outputs(fitted.vae, fitted.values, data, rng_key=rng_key)
    own, moved = entry_scales(data), mean.var(0)
    support = fitted.vae.likelihood.support
    scales, ratios = (with_density(support, each).ravel() for each in (entries, entries / own))
    least = int(np.argmin(ratios)) if ratios.size else None
    return DecoderResponse(
        float(np.sqrt(moved.mean())),
        float(entries.mean()),
        math.nan if least is None else float(scales[least]),
        float(np.sqrt(_mask_observed(data).var(0).mean())),
        float(np.sqrt((moved / own**2).mean())),
        math.nan if least is None else float(ratios[least]),
    )


def estimate_outputs(
    vae: Any, params: Params, data: Batch, *, rng_key: RngKey
) -> tuple[np.ndarray, np.ndarray]:
    """Return E[x|z] at a draw of q(z|x) for each datum, and the scale of each entry given z.

    The scale is the standard deviation, root mean square over data, nan where it is not known.
    """
    context = None if data.context is None else np.asarray(data.context[:1])
    mean, variance = map_blocks(partial(_estimate_outputs, vae.eval(), params, context), data, rng_key)
    return mean.astype(float), np.sqrt(variance.mean(0))


def entry_scales(data: Batch) -> np.ndarray:
    """Return what the scale of each entry of x is compared with, of the event's shape, positive.

    Columns of a vector may have units of their own: the standard deviation of each that varies. Else,
    and for the entries of images and arrays, it is that of all entries, root mean square.
    """
    own = np.ma.filled(_mask_observed(data).std(0), 0.0)
    pooled = np.sqrt((own**2).mean()) or 1.0
    return np.where(own > 0, own, pooled) if own.ndim == 1 else np.full(own.shape, pooled)


def _mask_observed(data: Batch) -> np.ma.MaskedArray:
    missing = np.ma.nomask if data.mask is None else ~np.asarray(data.mask)
    return np.ma.MaskedArray(np.asarray(data.x, float), missing)


def with_density(support: Any, entries: np.ndarray) -> np.ndarray:
    """Return the entries that are continuous, of each block of columns where there are blocks."""
    parts = getattr(support, "parts", (support,))
    sizes = getattr(support, "sizes", (entries.shape[-1],))
    return entries[..., np.repeat([not part.is_discrete for part in parts], sizes)]


@partial(compile_program, static_argnames=("vae",))
def _estimate_outputs(
    vae: Any, params: Params, context: Any, rows: Rows
) -> tuple[jax.Array, jax.Array]:
    """Return the mean and the variance of p(x|z) at a draw of q(z|x), all under one row of context."""

    def one_datum(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        guide_key, model_key = jax.random.split(key)
        batch = jax.tree.map(lambda a: a[None], datum)
        drawn = trace_guide(guide_key, params, vae.guide, tuple(batch), {})
        told = batch._replace(context=context)
        p = trace_model(model_key, params, vae.model, drawn, tuple(told), {})["x"]["fn"]
        return p.mean[0], _variance(p, datum.x)

    return map_rows(one_datum, rows, rows.keys, rows.data, at_a_time=ROWS)


def _variance(p: Distribution, x: jax.Array) -> jax.Array:
    try:
        return p.variance[0]
    except NotImplementedError:
        return jnp.full(x.shape, jnp.nan)
