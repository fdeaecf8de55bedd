"""Gap between the prior and the codes of the data, by the accuracy of a classifier."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from probvae.batching import ROWS, Rows, map_blocks, map_rows
from probvae.compilation import compile_program
from probvae.criticism.observed import observe
from probvae.criticism.samples.two_sample import two_sample_test
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.objectives.terms import latent_sites, trace_guide, trace_model
from probvae.short_repr import short_repr
from probvae.typing import DataLike, Params, RngKey
from probvae.vae import VAE


@short_repr
class PriorGap(NamedTuple):
    """How well a classifier distinguishes codes z ~ q(z|x_n) from draws z ~ p(z).

    ``accuracy`` is measured on held-out codes and draws. It is 1/2 for equal distributions.
    ``total_variation`` = max(2 accuracy - 1, 0) is a lower bound on the total variation between the
    two: the share of the prior's mass that lies elsewhere. ``standard_error`` is that of
    2 accuracy - 1. ``num_data`` is the number of codes, and that of draws.
    """

    accuracy: float
    total_variation: float
    standard_error: float
    num_data: int


def prior_gap(fitted: Fitted, x: DataLike, *, rng_key: RngKey) -> PriorGap:
    """Measure how far the population of codes is from the prior, by a classifier's accuracy.

    Each row gives one draw of q(z|x_n) and one of p(z), with the row's context and all sites together.
    Boosted trees are trained on half of both. You need several hundred rows for a precise result.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 50, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.

    Raises:
        ValueError: for fewer than 50 rows, or a part that is not a density.

    Reference: Lopez-Paz and Oquab 2017, arXiv:1610.06545.
    """
    check_fitted(fitted)
    data = observe(fitted, x, rng_key, least=50)
    samples = map_blocks(partial(_draw_codes, fitted.vae.eval(), fitted.values), data, rng_key)
    test = two_sample_test(*samples, rng_key=rng_key, classifier=make_boosted_trees())
    total_variation = max(2 * test.accuracy - 1, 0.0)
    return PriorGap(test.accuracy, total_variation, 2 * test.standard_error, len(data.x))


def make_boosted_trees() -> Any:
    """Return a classifier that detects differences of any shape, and trains in about a second."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=60, random_state=0)


@partial(compile_program, static_argnames=("vae",))
def _draw_codes(vae: VAE, params: Params, rows: Rows) -> tuple[jax.Array, jax.Array]:
    """Return one draw of q(z|x_n) and one of p(z) per row, with all sites in one vector."""

    def one_datum(key: RngKey, datum: Batch) -> tuple[jax.Array, ...]:
        batch = tuple(jax.tree.map(lambda a: a[None], datum))
        guide_key, model_key = jax.random.split(key)
        guide = trace_guide(guide_key, params, vae.guide, batch, {})
        model = trace_model(model_key, params, vae.model, {}, batch, {})
        names = latent_sites(model)
        return tuple(
            jnp.concatenate([trace[name]["value"].reshape(-1) for name in names])
            for trace in (guide, model)
        )

    return map_rows(one_datum, rows, batch_size=ROWS)
