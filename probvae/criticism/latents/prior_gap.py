"""Codes of data against draws of the prior: can a classifier tell them apart?"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from probvae.batching import ROWS, Rows, map_blocks, map_rows
from probvae.compilation import compile_program
from probvae.criticism.observed import apply_noise
from probvae.criticism.samples.two_sample import two_sample_test
from probvae.criticism.short_repr import short_repr
from probvae.evidence import Batch
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.objectives.terms import latent_sites, trace_guide, trace_model
from probvae.typing import Params, RngKey


@short_repr
class PriorGap(NamedTuple):
    """How well codes z ~ q(z|x_n) and draws z ~ p(z) are told apart by a classifier.

    ``accuracy`` is on data that it has not seen, 1/2 for equal distributions. ``transported`` =
    max(2 accuracy - 1, 0) is at most the total variation between the two, the share of the prior's mass
    that would have to be moved; ``standard_error`` is that of 2 accuracy - 1,
    of ``num_data`` codes and as many draws.
    """

    accuracy: float
    transported: float
    standard_error: float
    num_data: int


def prior_gap(fitted: Fitted, x: Any, *, rng_key: RngKey) -> PriorGap:
    """Return how far the population of codes is from the prior, by a classifier's accuracy.

    One draw of q(z|x_n) for each datum, one of p(z) (under the datum's context), all sites together;
    boosted trees see half of both. Few data tell little: take several hundred.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 50, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.

    Raises:
        ValueError: for fewer than 50 data, or a part that is no density.

    Reference: Lopez-Paz and Oquab 2017, arXiv:1610.06545.
    """
    check_fitted(fitted)
    data = apply_noise(fitted, x, rng_key, least=50)
    codes = map_blocks(partial(_codes, fitted.vae.eval(), fitted.values), data, rng_key)
    found = two_sample_test(*codes, rng_key=rng_key, classifier=boosted_trees())
    transported = max(2 * found.accuracy - 1, 0.0)
    return PriorGap(found.accuracy, transported, 2 * found.standard_error, len(data.x))


def boosted_trees() -> Any:
    """Return a classifier that sees any difference of shape, in a second or so."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return HistGradientBoostingClassifier(max_iter=60, random_state=0)


@partial(compile_program, static_argnames=("vae",))
def _codes(vae: Any, params: Params, rows: Rows) -> tuple[jax.Array, jax.Array]:
    """Return a draw of q(z|x_n) and one of p(z) for each datum, sites side by side."""

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

    return map_rows(one_datum, rows, rows.keys, rows.data, at_a_time=ROWS)
