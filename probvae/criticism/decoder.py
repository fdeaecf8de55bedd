"""What the decoder makes of the code: how far p(x|z) moves with z, and how wide it is."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro.distributions import Distribution

from probvae.chunks import ROWS
from probvae.criticism.observed import observed
from probvae.evidence import Batch
from probvae.objectives.terms import guide_traced, model_traced
from probvae.tracing import compiled
from probvae.training import Fitted, checks
from probvae.typing import Params, RngKey


class Response(NamedTuple):
    """In units of the data: ``mean_scale`` and ``least_scale`` of p(x|z), and what moves with z.

    ``moved`` is the standard deviation over codes of E[x|z], root mean square over entries, all under
    the first datum's context: small where the decoder ignores the code, 0 to rounding where the code
    cannot reach x at all, as behind dead ReLUs. ``least_scale`` is the smallest standard deviation of
    an entry that has a density, its root mean square over data; nan where none has, or the likelihood
    knows none: a probability cannot run away. ``data_scale`` is that of the data, root mean square over
    entries.
    """

    moved: float
    mean_scale: float
    least_scale: float
    data_scale: float


def response(fitted: Fitted, x: Any, *, rng_key: RngKey) -> Response:
    """Return how p(x|z) answers to codes drawn from q(z|x), one for each datum.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 2, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.

    Raises:
        ValueError: for fewer than two data, or a part that is no density.
    """
    checks.check_fitted(fitted)
    data = observed(fitted, x, rng_key, least=2)
    keys = jax.vmap(partial(jax.random.fold_in, rng_key))(jnp.arange(len(data.x)))
    mean, variance = jax.device_get(_answers(fitted.vae.eval(), fitted.values, keys, data))
    entries = np.sqrt(variance.mean(0))
    return Response(
        float(np.sqrt(mean.astype(float).var(0).mean())),
        float(entries.mean()),
        _least(with_density(fitted.vae.likelihood.support, entries)),
        float(np.sqrt(np.asarray(data.x, float).var(0).mean())),
    )


def with_density(support: Any, entries: np.ndarray) -> np.ndarray:
    """Return the entries that are continuous, of each block of columns where there are blocks."""
    parts = getattr(support, "parts", (support,))
    sizes = getattr(support, "sizes", (entries.shape[-1],))
    return entries[..., np.repeat([not part.is_discrete for part in parts], sizes)]


def _least(scales: np.ndarray) -> float:
    return float(scales.min()) if scales.size else float("nan")


@partial(compiled, static_argnames=("vae",))
def _answers(vae: Any, params: Params, keys: jax.Array, data: Batch) -> tuple[jax.Array, jax.Array]:
    """Return the mean and the variance of p(x|z) at a draw of q(z|x), for each datum."""
    first = None if data.context is None else data.context[0]

    def one_datum(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        guide_key, model_key = jax.random.split(key)
        batch = jax.tree.map(lambda a: a[None], datum)
        drawn = guide_traced(guide_key, params, vae.guide, tuple(batch), {})
        told = batch._replace(context=None if first is None else first[None])
        p = model_traced(model_key, params, vae.model, drawn, tuple(told), {})["x"]["fn"]
        return p.mean[0], _variance(p, datum.x)

    return jax.lax.map(lambda row: one_datum(*row), (keys, data), batch_size=ROWS)


def _variance(p: Distribution, x: jax.Array) -> jax.Array:
    try:
        return p.variance[0]
    except NotImplementedError:
        return jnp.full(x.shape, jnp.nan)
