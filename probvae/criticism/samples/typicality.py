"""Odd data: log p(x) of a datum against what it is for data that the model draws itself."""

import math
from typing import Any, NamedTuple

import jax
import numpy as np

from probvae.checks import check_key, check_positive_integer
from probvae.data_checks import fill_missing
from probvae.evidence import Batch, check_density, log_prob
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.typing import RngKey


class Typicality(NamedTuple):
    """Bounds on log p(x) of data, in nats, and their place among those of the model's own draws.

    ``log_prob`` ``(n,)``, with the Monte Carlo ``standard_error`` ``(n,)`` of ``num_particles``, is the
    bound of each datum; ``drawn`` that of the draws, ``(m,)``, or ``(n, m)`` where each datum has draws
    of its own (with a context or a mask). The ``lower_tail`` ``(n,)`` is the share of draws that are as
    improbable as the datum or more, (1 + #{drawn <= log_prob}) / (m + 1); the ``upper_tail`` that of
    draws as probable or more; ``tail_share`` twice the lesser, at most 1. ``excess`` is the mean over
    data of log_prob less the mean of their draws, with ``excess_standard_error``: the whole set's
    typicality (0 for draws).
    """

    log_prob: np.ndarray
    standard_error: np.ndarray
    drawn: np.ndarray
    lower_tail: np.ndarray
    upper_tail: np.ndarray
    tail_share: np.ndarray
    excess: float
    excess_standard_error: float
    num_particles: int


def typicality(
    fitted: Fitted, x: Any, *, rng_key: RngKey, num_draws: int = 1000, num_particles: int = 100
) -> Typicality:
    """Rank log p(x) of each datum among log p(x') of draws x' ~ p: odd data are in either tail.

    A datum may be improbable, or more probable than nearly all that the model draws (a flat image
    under a model of pictures): both are atypical. The same bound, with as many particles, is taken of
    data and draws, so that the tail shares of the model's own draws are uniform whatever the guide is
    worth (a guide that fails on odd data alone makes them look odder). With a context or a mask the
    distribution of log p(x) is the datum's own, and so are its draws: n x m bounds.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``; where the likelihood adds noise
            (``Spread``), all of it is about one noisy draw of them.
        rng_key: a typed key.
        num_draws: m; no tail share is below 1 / (m + 1).
        num_particles: of the bound.

    Raises:
        ValueError: for data that do not fit, or a part that is no density.

    Reference: Nalisnick, Matsukawa, Teh and Lakshminarayanan 2019, arXiv:1906.02994.
    """
    check_fitted(fitted)
    check_key(rng_key)
    for name, count in (("num_draws", num_draws), ("num_particles", num_particles)):
        check_positive_integer(name, count)
    check_density(fitted.vae)
    noise_key, data_key, draw_key = jax.random.split(rng_key, 3)
    data = fitted.check_data(x)
    data = data._replace(x=np.asarray(fitted.vae.observe(noise_key, data.x)))
    bound = log_prob(fitted.vae, fitted.values, data, rng_key=data_key, num_particles=num_particles)
    shared = data.context is None and data.mask is None
    rows = [data] if shared else [jax.tree.map(lambda a, i=i: a[i], data) for i in range(len(data.x))]
    keys = jax.random.split(draw_key, len(rows))
    drawn = np.stack(
        [
            _bound_draws(fitted, row, key, num_draws, num_particles)
            for row, key in zip(rows, keys, strict=True)
        ]
    )
    return _rank_bounds(bound.value, bound.standard_error, drawn, num_particles, shared=shared)


def _bound_draws(
    fitted: Fitted, datum: Batch, rng_key: RngKey, num_draws: int, num_particles: int
) -> np.ndarray:
    """Return the bounds of draws of the model, given one datum's context, where its mask is true."""
    sample_key, bound_key = jax.random.split(rng_key)
    context = None if datum.context is None else datum.context[None]
    drawn = fitted.sample(num_draws, rng_key=sample_key, context=context, noisy=True).x
    x = np.asarray(drawn if context is None else drawn[:, 0])
    rows = [None if a is None else np.stack([a] * num_draws) for a in (datum.context, datum.mask)]
    data = Batch(fill_missing(x, rows[1], fitted.vae.likelihood.fill), *rows)
    return log_prob(
        fitted.vae, fitted.values, data, rng_key=bound_key, num_particles=num_particles
    ).value


def _rank_bounds(
    value: np.ndarray, error: np.ndarray, drawn: np.ndarray, num_particles: int, *, shared: bool
) -> Typicality:
    m = drawn.shape[1]
    lower = (1 + (drawn <= value[:, None]).sum(1)) / (m + 1)
    upper = (1 + (drawn >= value[:, None]).sum(1)) / (m + 1)
    excess = value - drawn.mean(1)
    spread = excess.var(ddof=1) / len(value) if len(value) > 1 else math.nan
    noise = drawn.var(1, ddof=1).mean() / (m * len(drawn)) if shared else 0.0  # else within the spread
    return Typicality(
        value,
        error,
        drawn[0] if shared else drawn,
        lower,
        upper,
        np.minimum(2 * np.minimum(lower, upper), 1.0),
        float(excess.mean()),
        float(math.sqrt(spread + noise)),
        num_particles,
    )
