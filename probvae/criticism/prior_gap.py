"""Codes of data against draws of the prior: can a classifier tell them apart?"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.model_selection import cross_val_score

from probvae.criticism.units import observed
from probvae.evidence import ROWS, Batch
from probvae.objectives.terms import guide_traced, latent_sites, model_traced
from probvae.training import Fitted
from probvae.typing import Params, RngKey

FOLDS = 5


class TwoSamples(NamedTuple):
    """How well codes z ~ q(z|x_n) and draws z ~ p(z) are told apart.

    ``accuracy`` is that of a classifier on folds that it has not seen, 1/2 for equal distributions.
    ``transported`` = max(2 accuracy - 1, 0) is at most the total variation between the two, the share
    of the prior's mass that would have to be moved (but for its ``standard_error``).
    """

    accuracy: float
    transported: float
    standard_error: float
    num_data: int


def prior_against_codes(fitted: Fitted, x: Any, *, rng_key: RngKey) -> TwoSamples:
    """Return the accuracy of a classifier between the population of codes and the prior.

    One draw of q(z|x_n) for each datum, one of p(z) (under the datum's context), all sites together;
    boosted trees on five folds. Few data tell little: take several hundred.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, n >= 50, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.

    Raises:
        ValueError: for fewer than 50 data, or a part that is no density.

    Reference: Lopez-Paz and Oquab 2017, arXiv:1610.06545.
    """
    data = observed(fitted, x, rng_key, least=50)
    n = len(data.x)
    keys = jax.vmap(partial(jax.random.fold_in, rng_key))(jnp.arange(n))
    codes = jax.device_get(_codes(fitted.vae.eval(), fitted.values, keys, data))
    return told_apart(*codes, rng_key=rng_key)


def told_apart(a: np.ndarray, b: np.ndarray, *, rng_key: RngKey) -> TwoSamples:
    """Return the accuracy of boosted trees between two samples ``(n, features)`` of equal size."""
    rows, labels = np.concatenate([a, b]), np.repeat([0, 1], [len(a), len(b)])
    seed = int(np.asarray(jax.random.key_data(rng_key)).ravel()[-1] % 2**31)
    order = np.random.default_rng(seed).permutation(len(rows))
    trees = HistGradientBoostingClassifier(max_iter=100, random_state=seed)
    accuracy = float(cross_val_score(trees, rows[order], labels[order], cv=FOLDS).mean())
    error = 2 * math.sqrt(max(accuracy * (1 - accuracy), 1e-4) / len(rows))
    return TwoSamples(accuracy, max(2 * accuracy - 1, 0.0), error, len(a))


@partial(jax.jit, static_argnames=("vae",))
def _codes(vae: Any, params: Params, keys: jax.Array, data: Batch) -> tuple[jax.Array, jax.Array]:
    """Return a draw of q(z|x_n) and one of p(z) for each datum, sites side by side."""

    def one_datum(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        batch = tuple(jax.tree.map(lambda a: a[None], datum))
        guide_key, model_key = jax.random.split(key)
        guide = guide_traced(guide_key, params, vae.guide, batch, {})
        model = model_traced(model_key, params, vae.model, {}, batch, {})
        names = latent_sites(model)
        return tuple(
            jnp.concatenate([trace[name]["value"].reshape(-1) for name in names])
            for trace in (guide, model)
        )

    return jax.lax.map(lambda row: one_datum(*row), (keys, data), batch_size=ROWS)
