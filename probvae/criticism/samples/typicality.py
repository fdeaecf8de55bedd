"""Typicality: log p(x) of each datum among that of draws from the model, to find odd data."""

import math
from typing import NamedTuple

import jax
import numpy as np

from probvae.checks import check_draw_arguments
from probvae.criticism.observed import observe
from probvae.data_checks import fill_missing
from probvae.evidence import Batch, BoundEstimate, log_prob
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.short_repr import short_repr
from probvae.typing import DataLike, RngKey


@short_repr
class Typicality(NamedTuple):
    """Bounds on log p(x) of data, in nats, and their place among those of the model's own draws.

    - ``log_prob`` ``(n,)`` is the bound of each datum, with the Monte Carlo ``standard_error`` ``(n,)``
      of ``num_particles``.
    - ``log_prob_draws`` ``(m,)`` is the bound of each draw. It is ``(n, m)`` where each datum has draws
      of its own (with a context or a mask).
    - ``lower_tail`` ``(n,)`` is the share of draws at most as probable as the datum,
      (1 + #{log_prob_draws <= log_prob}) / (m + 1). ``upper_tail`` is that of draws at least as
      probable. ``tail_share`` is twice the smaller one, at most 1.
    - ``excess`` is the mean over data of log_prob minus the mean of their draws, with
      ``excess_standard_error``. It shows how typical the whole set is, and is 0 for draws.
    """

    log_prob: np.ndarray
    standard_error: np.ndarray
    log_prob_draws: np.ndarray
    lower_tail: np.ndarray
    upper_tail: np.ndarray
    tail_share: np.ndarray
    excess: float
    excess_standard_error: float
    num_particles: int


def typicality(
    fitted: Fitted, x: DataLike, *, rng_key: RngKey, num_draws: int = 1000, num_particles: int = 100
) -> Typicality:
    """Rank log p(x) of each datum among log p(x') of draws x' ~ p: odd data are in one of the tails.

    A datum may be improbable, or more probable than nearly all draws, as a flat image under a model of
    photos. Both are atypical. Data and draws get the same bound with the same number of particles. So
    the tail shares of the model's own draws are uniform for any guide. A guide that fails only on odd
    data makes them look odder. With a context or a mask the distribution of log p(x) differs from
    datum to datum, and each has draws of its own: n x m bounds.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``. If the likelihood adds noise
            (``Spread``), the results are about one noisy draw of them.
        rng_key: a typed key.
        num_draws: m. No tail share is below 1 / (m + 1).
        num_particles: the particles of each bound.

    Raises:
        ValueError: for invalid data, or a part that has no density.

    Reference: Nalisnick, Matsukawa, Teh and Lakshminarayanan 2019, arXiv:1906.02994.
    """
    check_fitted(fitted)
    check_draw_arguments(rng_key, num_draws=num_draws, num_particles=num_particles)
    noise_key, data_key, draw_key = jax.random.split(rng_key, 3)
    data = observe(fitted, x, noise_key, fold=False)
    bound = log_prob(fitted.vae, fitted.values, data, rng_key=data_key, num_particles=num_particles)
    shared = data.context is None and data.mask is None
    rows = [data] if shared else [jax.tree.map(lambda a, i=i: a[i], data) for i in range(len(data.x))]
    keys = jax.random.split(draw_key, len(rows))
    draws = np.stack(
        [
            _bound_draws(fitted, row, key, num_draws, num_particles)
            for row, key in zip(rows, keys, strict=True)
        ]
    )
    return _rank_bounds(bound, draws, shared=shared)


def _bound_draws(
    fitted: Fitted, datum: Batch, rng_key: RngKey, num_draws: int, num_particles: int
) -> np.ndarray:
    """Return the bounds of draws of the model, with the context and the mask of one datum."""
    sample_key, bound_key = jax.random.split(rng_key)
    context = None if datum.context is None else datum.context[None]
    x = np.asarray(fitted.sample(num_draws, rng_key=sample_key, context=context, noisy=True).x)
    x = x if context is None else x[:, 0]  # (draws, *event)
    rows = [None if a is None else np.stack([a] * num_draws) for a in (datum.context, datum.mask)]
    data = Batch(fill_missing(x, rows[1], fitted.vae.likelihood.fill), *rows)
    vae, values = fitted.vae, fitted.values
    return log_prob(vae, values, data, rng_key=bound_key, num_particles=num_particles).value


def _rank_bounds(bound: BoundEstimate, draws: np.ndarray, *, shared: bool) -> Typicality:
    """Rank the bounds of data among those of draws ``(n, m)``, or ``(1, m)`` if these are shared."""
    value, m = bound.value, draws.shape[1]
    lower = (1 + (draws <= value[:, None]).sum(1)) / (m + 1)
    upper = (1 + (draws >= value[:, None]).sum(1)) / (m + 1)
    excess = value - draws.mean(1)
    variance = excess.var(ddof=1) / len(value) if len(value) > 1 else math.nan
    # Draws that the data share move all differences together, which their variance does not show.
    shared_variance = draws.var(1, ddof=1).mean() / (m * len(draws)) if shared else 0.0
    return Typicality(
        value,
        bound.standard_error,
        draws[0] if shared else draws,
        lower,
        upper,
        np.minimum(2 * np.minimum(lower, upper), 1.0),
        float(excess.mean()),
        float(math.sqrt(variance + shared_variance)),
        bound.num_particles,
    )
