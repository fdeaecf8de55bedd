"""k-hat per datum: a check of the importance weights behind log p(x), by a generalized Pareto fit."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.batching import (
    Rows,
    data_per_block,
    fold_keys,
    map_arrays,
    map_rows,
    power_of_two,
    split_blocks,
)
from probvae.checks import check_positive_integer
from probvae.compilation import compile_program
from probvae.criticism.observed import observe
from probvae.evidence import Batch, datum_terms
from probvae.faq import cite
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, DataLike, Params, RngKey
from probvae.vae import VAE

LEAST_PARTICLES = 100  # the fit is of the largest fifth: 20 points
ROUNDING = 64  # log weights count as equal within so many units in the last place of their terms
EFFECT = 0.1  # nats that the weights move log p(x) by. Below it, a heavy tail does not matter.
VANISHING = -600.0  # a weight is 0 if its logarithm is so far below the largest
BLOCK = 2_000_000  # log weights in memory at a time


@short_repr
class ParetoShape(NamedTuple):
    """The tail of each datum's importance weights w = p(x, z) / q(z|x), z ~ q(z|x).

    ``k_hat`` ``(n,)`` is the shape of a generalized Pareto distribution fitted to the largest weights.
    Moments above about 1/k are infinite. It has three special values:

    - -inf, the best case, where the largest weights are equal. Then q is the posterior, to the rounding
      of log p(x, z) - log q(z|x). Or many draws attain the largest weight, as with few states of z.
    - inf where a few weights hold all the mass.
    - nan where no fit is possible: weights that are nan or all zero, or a tail with mostly ties.

    ``threshold`` is min(1 - 1/log10 S, 0.7). Above it, log p(x) by S particles is a bound of unknown
    slack. ``effective_sample_size`` ``(n,)`` is (sum w)^2 / sum w^2, between 1 and S. It looks good
    where q misses a part of the posterior altogether. ``gain`` ``(n,)`` is the difference in nats
    between the bound of these S weights and their ELBO, log mean w - mean log w. ``num_particles`` is
    S.
    """

    k_hat: np.ndarray
    threshold: float
    effective_sample_size: np.ndarray
    gain: np.ndarray
    num_particles: int

    @property
    def above(self) -> np.ndarray:
        """Whether the k-hat of each datum is above the threshold, or nan, ``(n,)``."""
        return ~(self.k_hat <= self.threshold)

    @property
    def share_above(self) -> float:
        """The share of data whose k-hat is above the threshold, or nan."""
        return float(self.above.mean())

    @property
    def effect(self) -> np.ndarray:
        """How far the spread of the weights moves log p(x), in nats, ``(n,)``.

        It is the larger of ``gain`` and log(S / ``effective_sample_size``) / 2. If log w is normal with
        variance sigma^2, both are sigma^2 / 2. The second detects a single large weight earlier.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = 0.5 * np.log(self.num_particles / self.effective_sample_size)
        return np.maximum(self.gain, spread)

    @property
    def doubtful(self) -> np.ndarray:
        """Whether each datum is ``above`` with an ``effect`` of at least 0.1 nats, ``(n,)``."""
        return self.above & ~(self.effect < EFFECT)


def threshold(num_particles: int) -> float:
    """Return min(1 - 1/log10 S, 0.7), the largest k-hat at which S particles are enough.

    Reference: Vehtari et al. 2024, arXiv:1507.02646.
    """
    return min(1.0 - 1.0 / math.log10(num_particles), 0.7)


def pareto_shape(
    fitted: Fitted, x: DataLike, *, rng_key: RngKey, num_particles: int = 2000
) -> ParetoShape:
    """Return k-hat of p(x, z) / q(z|x) for each datum.

    With the same key and particles, these are the weights that ``fitted.log_prob`` averages. ``Spread``
    is the exception: its noise is drawn once here.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_particles: S, for each datum, at least 100.

    Raises:
        ImportError: without ``arviz-stats``. Run ``pip install 'probvae[arviz]'``.
        ValueError: for too few particles, invalid data, or a part that has no density.

    Reference: Vehtari et al. 2024, arXiv:1507.02646; for q(z|x), Yao et al. 2018, arXiv:1802.02538.
    """
    check_fitted(fitted)
    check_positive_integer("num_particles", num_particles)
    _check_particles(num_particles)
    psislw = import_array_stats("pareto_shape").psislw
    data = observe(fitted, x, rng_key)
    tails = []
    for cut_block in split_blocks(data, rng_key, power_of_two(BLOCK // num_particles)):
        rows = cut_block()
        arrays = _weigh_particles(fitted.vae.eval(), fitted.values, rows, num_particles)
        log_w, size = (np.asarray(a)[: rows.count] for a in arrays)
        tails.append(_measure_tails(psislw, log_w, size))
    k_hat, effective, gain = (np.concatenate(parts) for parts in zip(*tails, strict=True))
    return ParetoShape(k_hat, threshold(num_particles), effective, gain, num_particles)


def from_log_weights(log_weights: ArrayLike) -> ParetoShape:
    """Return k-hat of log weights ``(particles, n)``, log p(x, z) - log q(z|x) in nats.

    ArviZ makes the fit. Weights that differ by rounding only count as equal. Here the rounding is that
    of the log weights, in their own precision. ``pareto_shape`` knows the terms that they are the
    differences of, which are larger. It raises the errors of ``pareto_shape``.
    """
    log_w = np.asarray(log_weights)
    if log_w.ndim != 2 or log_w.dtype.kind != "f":
        raise ValueError(
            f"log_weights expects real numbers (particles, n); got {log_w.dtype} of shape "
            f"{log_w.shape}."
        )
    _check_particles(len(log_w))
    size = np.abs(np.where(np.isfinite(log_w), log_w, 0.0)).T
    psislw = import_array_stats("from_log_weights").psislw
    k_hat, effective, gain = _measure_tails(psislw, log_w.T, size.max(1))
    return ParetoShape(k_hat, threshold(len(log_w)), effective, gain, len(log_w))


def _check_particles(num_particles: int) -> None:
    if num_particles < LEAST_PARTICLES:
        raise ValueError(
            f"k-hat expects at least {LEAST_PARTICLES} particles, for a tail to fit; got "
            f"{num_particles}. Use num_particles=2000."
        )


def import_array_stats(caller: str) -> Any:
    """Return ArviZ's ``array_stats``, or raise ImportError with the command that installs it."""
    try:
        from arviz_stats.base import array_stats
    except ImportError as error:
        raise ImportError(
            f"{caller} needs arviz-stats: pip install 'probvae[arviz]'. {cite('missing-extra')}"
        ) from error
    return array_stats


def _measure_tails(
    psislw: Callable, log_w: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return k-hat, effective sample size and gain of log weights ``(n, particles)``.

    ``size`` ``(n,)`` is that of the terms that a log weight is made of, which sets its rounding.
    """
    rounding = ROUNDING * np.finfo(log_w.dtype).eps * np.maximum(size, 1.0)
    log_w = log_w.astype(np.float64)
    usable = ~np.isnan(log_w).any(1) & np.isfinite(log_w.max(1))
    log_w = np.where(usable[:, None], log_w, 0.0)
    log_w -= log_w.max(1, keepdims=True)

    # The fit is of the excesses exp(log w) - exp(cutoff) of the tail, scaled by their lower quartile.
    # It has no answer in three cases, which need one of their own. A tail of equal weights cannot be
    # heavy (-inf). A tail whose quartile underflows is a few weights that hold all the mass (inf). If
    # the quartile ties with the cutoff, ArviZ would divide by 0 (nan).
    quartile, cutoff, least = _tail_edges(log_w)
    k_hat = np.full(len(log_w), np.nan)
    equal = least >= -rounding
    few = quartile < VANISHING
    tied = np.exp(quartile) <= np.exp(cutoff)
    k_hat[usable & few] = np.inf
    k_hat[usable & equal] = -np.inf
    regular = usable & ~equal & ~few & ~tied
    if regular.any():  # ArviZ expects minus the log weights, and no empty batch
        k_hat[regular] = psislw(-log_w[regular])[1]

    log_sum = np.logaddexp.reduce(log_w, axis=1)
    effective = np.exp(2 * log_sum - np.logaddexp.reduce(2 * log_w, axis=1))
    gain = log_sum - np.log(log_w.shape[1]) - log_w.mean(1)
    return k_hat, np.where(usable, effective, np.nan), np.where(usable, gain, np.nan)


def _tail_edges(log_w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lower quartile of ArviZ's tail, the largest log weight below it, and its least one.

    The tail has 3 sqrt(S) weights, or a fifth of S up to 225.
    """
    size = log_w.shape[1]
    tail = int(3 * size**0.5) if size > 225 else size // 5
    ordered = np.sort(log_w, axis=1)
    first = size - tail
    return ordered[:, first + int(tail / 4 + 0.5) - 1], ordered[:, first - 1], ordered[:, first]


@partial(compile_program, static_argnames=("vae", "num_particles"))
def _weigh_particles(
    vae: VAE, params: Params, rows: Rows, num_particles: int
) -> tuple[jax.Array, jax.Array]:
    """Return log weights ``(n, particles)``, and the size of the terms of each datum ``(n,)``.

    The keys are those of ``evidence.log_prob``. A likelihood term is a sum over entries that may
    cancel, so each entry counts as at least one nat.
    """

    def weigh_datum(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        def weigh_particle(key: RngKey) -> tuple[jax.Array, jax.Array]:
            terms = datum_terms(vae, params, key, datum)
            densities = [terms.log_likelihood, *terms.log_prior.values(), *terms.log_guide.values()]
            return terms.log_weight[0], jnp.abs(jnp.stack([each[0] for each in densities])).sum()

        log_w, size = map_arrays(weigh_particle, fold_keys(key, jnp.arange(num_particles)))
        finite = jnp.where(jnp.isfinite(size), size, 0.0)
        return log_w, finite.max() + math.prod(datum.x.shape)

    return map_rows(weigh_datum, rows, batch_size=data_per_block(num_particles))
