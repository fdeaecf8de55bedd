"""Coverage of imputed entries: observed entries are hidden, and compared with their draws."""

import warnings
from typing import NamedTuple

import jax
import numpy as np

from probvae.checks import OpenUnitInterval, check_draw_arguments, check_number
from probvae.criticism.observed import observe
from probvae.criticism.samples.coverage import Coverage, Ranks, measure_coverage
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.fitted.imputation import FEW_PARTICLES
from probvae.short_repr import short_repr
from probvae.typing import DataLike, RngKey

LEVELS = (0.5, 0.8, 0.9)


@short_repr
class ImputationCoverage(NamedTuple):
    """How often imputed intervals hold entries that were observed, and hidden on purpose.

    ``coverage`` has the shares for several levels, in all and by entry of a row. ``num_hidden`` entries
    of ``num_rows`` rows were hidden. ``share_few`` is the share of these rows with fewer than ten
    effective particles, whose draws are copies of a few.
    """

    coverage: Coverage
    num_hidden: int
    num_rows: int
    share_few: float


def imputation_coverage(
    fitted: Fitted,
    x: DataLike,
    *,
    rng_key: RngKey,
    share: float = 0.1,
    num_samples: int = 50,
    num_particles: int = 1000,
) -> ImputationCoverage:
    """Hide observed entries at random, impute them, and count how many lie inside their intervals.

    The intervals are those of the ranks among the draws, with ties broken at random. So the share is
    that of the level for entries of any kind, if the model is right. The standard error is over rows.

    Args:
        fitted: a fitted VAE whose likelihood factorises.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        share: of observed entries that are hidden.
        num_samples: draws of each entry.
        num_particles: draws of z per row, from which these are chosen.

    Raises:
        ValueError: for a likelihood that does not factorise or that models the mask
            (``NotAtRandom``), and for data of which nothing was hidden.
    """
    check_fitted(fitted)
    check_draw_arguments(rng_key, num_samples=num_samples, num_particles=num_particles)
    check_number("share", share, OpenUnitInterval)
    likelihood = fitted.vae.likelihood
    if not likelihood.factorises or likelihood.models_mask:
        reason = "models why entries are missing" if likelihood.factorises else "does not factorise"
        raise ValueError(
            "imputation_coverage hides entries at random, which needs a likelihood that factorises "
            f"over entries and ignores the mask. {type(likelihood).__name__} {reason}, so intervals of "
            "such entries mean nothing. Compare it with values that you find out later."
        )
    hide_key, noise_key, impute_key = jax.random.split(rng_key, 3)
    data = observe(fitted, x, noise_key)
    observed = np.ones(data.x.shape, bool) if data.mask is None else np.asarray(data.mask)
    hidden = observed & np.asarray(jax.random.bernoulli(hide_key, share, observed.shape))
    rows = np.flatnonzero(hidden.reshape(len(hidden), -1).any(1))
    if len(rows) == 0:
        raise ValueError(
            f"imputation_coverage expects observed entries to hide; none of {observed.sum()} was "
            f"hidden at share={share:g}. Use more rows, or a larger share."
        )
    data, hidden = jax.tree.map(lambda a: a[rows], data), hidden[rows]
    mask = observed[rows] & ~hidden
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # few effective particles are part of the result
        imputed = fitted.impute(
            data.x, mask, context=data.context, rng_key=impute_key, num_samples=num_samples,
            num_particles=num_particles,
        )  # fmt: skip
    ranks = Ranks(np.asarray(data.x))
    for draw in np.asarray(imputed.x):
        ranks.add(draw)
    random = np.random.default_rng(np.asarray(jax.random.key_data(impute_key)))
    few = ~(np.asarray(imputed.effective_particles) >= FEW_PARTICLES)
    coverage = measure_coverage(ranks.randomize(random), hidden, LEVELS)
    return ImputationCoverage(coverage, int(hidden.sum()), len(rows), float(few.mean()))
