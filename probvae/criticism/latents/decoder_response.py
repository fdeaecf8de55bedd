"""Response of the decoder to the code: how much p(x|z) varies with z, and its scale."""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution
from numpyro.distributions.constraints import Constraint

from probvae.batching import ROWS, Rows, map_blocks, map_rows
from probvae.compilation import compile_program
from probvae.criticism.observed import observe
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.objectives.terms import trace_guide, trace_model
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, DataLike, Params, RngKey
from probvae.vae import VAE


@short_repr
class DecoderResponse(NamedTuple):
    """The variation of E[x|z] over codes and the scales of p(x|z), in units of the data.

    ``sensitivity`` is the standard deviation over codes of E[x|z], root mean square over entries, with
    the context of the first row. It is small if the decoder ignores the code, and 0 up to rounding if
    the code does not reach x at all, for example behind dead ReLUs.

    ``mean_scale`` is the mean standard deviation of p(x|z) over entries. ``min_scale`` is that of the
    entry with the smallest ratio to the data's scale. It is NaN if no entry has a density with a known
    variance. ``data_scale`` is the standard deviation of the data, root mean square over entries.

    ``sensitivity_ratio`` and ``min_ratio`` have no unit: each entry is divided by ``entry_scales``.
    """

    sensitivity: float
    mean_scale: float
    min_scale: float
    data_scale: float
    sensitivity_ratio: float
    min_ratio: float


def decoder_response(fitted: Fitted, x: DataLike, *, rng_key: RngKey) -> DecoderResponse:
    """Measure how p(x|z) responds to codes drawn from q(z|x), one per row.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 2, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.

    Raises:
        ValueError: for fewer than two rows, or a part that is not a density.
    """
    check_fitted(fitted)
    data = observe(fitted, x, rng_key, least=2)
    mean, output_scales = estimate_outputs(fitted.vae, fitted.values, data, rng_key=rng_key)
    data_scales, variance = entry_scales(data), mean.var(0)
    support = fitted.vae.likelihood.support
    scales = select_continuous(support, output_scales).ravel()
    ratios = select_continuous(support, output_scales / data_scales).ravel()
    smallest = int(np.argmin(ratios)) if ratios.size else None
    return DecoderResponse(
        float(np.sqrt(variance.mean())),
        float(output_scales.mean()),
        math.nan if smallest is None else float(scales[smallest]),
        float(np.sqrt(_mask_missing(data).var(0).mean())),
        float(np.sqrt((variance / data_scales**2).mean())),
        math.nan if smallest is None else float(ratios[smallest]),
    )


def estimate_outputs(
    vae: VAE, params: Params, data: Batch, *, rng_key: RngKey
) -> tuple[np.ndarray, np.ndarray]:
    """Return E[x|z] at a draw of q(z|x) for each row, and the scale of each entry given z.

    The scale is the standard deviation, root mean square over rows. It is NaN if it is not known.
    """
    context = None if data.context is None else np.asarray(data.context[:1])
    mean, variance = map_blocks(partial(_estimate_outputs, vae.eval(), params, context), data, rng_key)
    return mean.astype(float), np.sqrt(variance.mean(0))


def entry_scales(data: Batch) -> np.ndarray:
    """Return the data's scale for each entry of x: positive, of the shape of a row.

    Columns of a vector may have different units, so each has its own standard deviation. Constant
    columns, and the entries of images and other arrays, have the root mean square over all entries.
    """
    deviations = np.ma.filled(_mask_missing(data).std(0), 0.0)
    pooled = np.sqrt((deviations**2).mean()) or 1.0
    return np.where((deviations > 0) & (deviations.ndim == 1), deviations, pooled)


def _mask_missing(data: Batch) -> np.ma.MaskedArray:
    missing = np.ma.nomask if data.mask is None else ~np.asarray(data.mask)
    return np.ma.MaskedArray(np.asarray(data.x, float), missing)


def select_continuous(support: Constraint, entries: np.ndarray) -> np.ndarray:
    """Return the entries with a continuous support, from every block of a ``Joint``."""
    parts = getattr(support, "parts", (support,))
    sizes = getattr(support, "sizes", (entries.shape[-1],))
    return entries[..., np.repeat([not part.is_discrete for part in parts], sizes)]


@partial(compile_program, static_argnames=("vae",))
def _estimate_outputs(
    vae: VAE, params: Params, context: ArrayLike | None, rows: Rows
) -> tuple[jax.Array, jax.Array]:
    """Return the mean and variance of p(x|z) at a draw of q(z|x) per row, all with one context."""

    def one_datum(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        guide_key, model_key = jax.random.split(key)
        batch = jax.tree.map(lambda a: a[None], datum)
        guide_trace = trace_guide(guide_key, params, vae.guide, tuple(batch), {})
        model_batch = tuple(batch._replace(context=context))
        p = trace_model(model_key, params, vae.model, guide_trace, model_batch, {})["x"]["fn"]
        return p.mean[0], _variance(p, datum.x)

    return map_rows(one_datum, rows, batch_size=ROWS)


def _variance(p: Distribution, x: jax.Array) -> jax.Array:
    try:
        return p.variance[0]
    except NotImplementedError:
        return jnp.full(x.shape, jnp.nan)
