"""k-hat per datum: whether an importance-weighted log p(x) can be relied on."""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.batching import Rows, data_per_block, map_rows, power_of_two, rows_per_block, split_blocks
from probvae.checks import check_positive_integer
from probvae.compilation import compile_program
from probvae.criticism.observed import apply_noise
from probvae.evidence import Batch, datum_terms
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.typing import ArrayLike, Params, RngKey

LEAST_PARTICLES = 100  # the fit is of the largest fifth: 20 points
ROUNDING = 64  # log weights that differ by so many units in the last place of their terms are equal
EFFECT = 0.1  # nats that the weights move log p(x) by: below, a heavy tail does not matter
VANISHING = -600.0  # a log weight so far below the largest is no weight
BLOCK = 2_000_000  # log weights held at a time


class ParetoShape(NamedTuple):
    """The tail of each datum's importance weights w = p(x, z) / q(z|x), z ~ q(z|x).

    ``k_hat`` ``(n,)``: the shape of a generalised Pareto fitted to the largest weights, about which
    moments above 1/k are infinite. It is -inf where the largest weights are equal, which is the best
    case: q is the posterior, to the rounding of log p(x, z) - log q(z|x), or the weights have a largest
    value that many draws attain, as with few states of z. It is inf where a few weights are all there
    is, and nan where no fit can be made (weights that are nan or all zero, or a tail in which most are
    tied and some are larger).
    ``threshold``: min(1 - 1/log10 S, 0.7); above it, log p(x) by S particles is a bound of unknown
    slack. ``effective_sample_size`` ``(n,)``: (sum w)^2 / sum w^2, between 1 and S, which looks good
    where q misses a part of the posterior altogether. ``gain`` ``(n,)``: by how many nats the bound of
    these S weights exceeds their ELBO, log mean w - mean log w. ``num_particles``: S.
    """

    k_hat: np.ndarray
    threshold: float
    effective_sample_size: np.ndarray
    gain: np.ndarray
    num_particles: int

    @property
    def above(self) -> np.ndarray:
        """Which data have a k-hat above the threshold, or none at all, ``(n,)``."""
        return ~(self.k_hat <= self.threshold)

    @property
    def share_above(self) -> float:
        """The share of data whose k-hat is above the threshold, or for which there is none."""
        return float(self.above.mean())

    @property
    def effect(self) -> np.ndarray:
        """How far the spread of the weights moves log p(x), in nats, ``(n,)``.

        It is the larger of ``gain`` and log(S / ``effective_sample_size``) / 2. Both are sigma^2 / 2
        where log w is normal with variance sigma^2. The second sees a single large weight earlier.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            spread = 0.5 * np.log(self.num_particles / self.effective_sample_size)
        return np.maximum(self.gain, spread)

    @property
    def doubtful(self) -> np.ndarray:
        """Which data are ``above`` with an ``effect`` of 0.1 nats or more, by convention, ``(n,)``."""
        return self.above & ~(self.effect < EFFECT)


def threshold(num_particles: int) -> float:
    """Return min(1 - 1/log10 S, 0.7), the largest k-hat at which S particles are enough.

    Reference: Vehtari et al. 2024, arXiv:1507.02646.
    """
    return min(1.0 - 1.0 / math.log10(num_particles), 0.7)


def pareto_shape(fitted: Fitted, x: Any, *, rng_key: RngKey, num_particles: int = 2000) -> ParetoShape:
    """Return k-hat of p(x, z) / q(z|x) for each datum.

    These are the very weights that ``fitted.log_prob`` averages, given the same key and particles
    (except with ``Spread``, whose noise is drawn here once, from the same key).

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_particles: S, for each datum; at least 100.

    Raises:
        ImportError: without ``arviz-stats``: ``pip install 'probvae[arviz]'``.
        ValueError: for too few particles, data that do not fit, or a part that is no density.

    Reference: Vehtari et al. 2024, arXiv:1507.02646; for q(z|x), Yao et al. 2018, arXiv:1802.02538.
    """
    check_fitted(fitted)
    check_positive_integer("num_particles", num_particles)
    _check_particles(num_particles)
    psislw = _psislw()
    data = apply_noise(fitted, x, rng_key)
    measures = []
    for block in split_blocks(data, rng_key, power_of_two(BLOCK // num_particles)):
        rows = block()
        found = _log_weights(fitted.vae.eval(), fitted.values, rows, num_particles)
        log_w, size = (np.asarray(each)[: rows.count] for each in found)
        measures.append(_shapes(psislw, log_w, size))
    k_hat, effective, gain = (np.concatenate(parts) for parts in zip(*measures, strict=True))
    return ParetoShape(k_hat, threshold(num_particles), effective, gain, num_particles)


def from_log_weights(log_weights: ArrayLike) -> ParetoShape:
    """Return k-hat of given log weights ``(particles, n)``, log p(x, z) - log q(z|x) in nats.

    The fit is ArviZ's. Weights that differ by no more than rounding are equal. Here the rounding is
    that of the log weights themselves, in the precision that they are given in. ``pareto_shape`` knows
    the terms that they are the differences of, which are larger. Raises as ``pareto_shape``.
    """
    log_w = np.asarray(log_weights)
    if log_w.ndim != 2 or log_w.dtype.kind != "f":
        raise ValueError(
            f"log_weights expects real numbers (particles, n); got {log_w.dtype} of shape "
            f"{log_w.shape}."
        )
    _check_particles(len(log_w))
    size = np.abs(np.where(np.isfinite(log_w), log_w, 0.0)).T
    k_hat, effective, gain = _shapes(_psislw(), log_w.T, size.max(1))
    return ParetoShape(k_hat, threshold(len(log_w)), effective, gain, len(log_w))


def _check_particles(num_particles: int) -> None:
    if num_particles < LEAST_PARTICLES:
        raise ValueError(
            f"k-hat expects at least {LEAST_PARTICLES} particles, for a tail to fit; got "
            f"{num_particles}. Take num_particles=2000 or so."
        )


def _psislw() -> Any:
    try:
        from arviz_stats.base import array_stats
    except ImportError as error:
        raise ImportError("k-hat needs arviz-stats: pip install 'probvae[arviz]'.") from error
    return array_stats.psislw


def _shapes(
    psislw: Any, log_w: np.ndarray, size: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return k-hat, effective sample size and gain of log weights ``(n, particles)``.

    ``size`` ``(n,)`` is that of the terms that a log weight is made of, which sets its rounding.
    """
    rounding = ROUNDING * np.finfo(log_w.dtype).eps * np.maximum(size, 1.0)
    log_w = log_w.astype(np.float64)
    usable = ~np.isnan(log_w).any(1) & np.isfinite(log_w.max(1))
    log_w = np.where(usable[:, None], log_w, 0.0)
    log_w -= log_w.max(1, keepdims=True)
    quartile, cutoff, least = _tail(log_w)
    k_hat = np.full(len(log_w), np.nan)
    equal = least >= -rounding  # all of the tail is one weight: nothing can be heavier
    few = quartile < VANISHING
    tied = np.exp(quartile) <= np.exp(cutoff)  # ArviZ's fit would divide by 0
    k_hat[usable & few] = np.inf
    k_hat[usable & equal] = -np.inf
    tailed = usable & ~equal & ~few & ~tied
    if tailed.any():  # ArviZ takes minus the log weights, and no batch of none
        k_hat[tailed] = psislw(-log_w[tailed])[1]
    log_sum = np.logaddexp.reduce(log_w, axis=1)
    effective = np.exp(2 * log_sum - np.logaddexp.reduce(2 * log_w, axis=1))
    gain = log_sum - np.log(log_w.shape[1]) - log_w.mean(1)
    return k_hat, np.where(usable, effective, np.nan), np.where(usable, gain, np.nan)


def _tail(log_w: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the lower quartile of ArviZ's tail, the largest log weight below it, its least one."""
    size = log_w.shape[1]
    tail = int(3 * size**0.5) if size > 225 else size // 5
    ordered = np.sort(log_w, axis=1)
    first = size - tail
    return ordered[:, first + int(tail / 4 + 0.5) - 1], ordered[:, first - 1], ordered[:, first]


@partial(compile_program, static_argnames=("vae", "num_particles"))
def _log_weights(
    vae: Any, params: Params, rows: Rows, num_particles: int
) -> tuple[jax.Array, jax.Array]:
    """Return log weights ``(n, particles)``, and the size of the terms of each datum ``(n,)``.

    The keys are those of ``evidence.log_prob``. A term of the likelihood is a sum over entries that may
    cancel, so that each entry counts as one nat at least.
    """

    def one_datum(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        keys = jax.vmap(partial(jax.random.fold_in, key))(jnp.arange(num_particles))

        def one(key: RngKey) -> tuple[jax.Array, jax.Array]:
            read = datum_terms(vae, params, key, datum)
            densities = [read.log_likelihood, *read.log_prior.values(), *read.log_guide.values()]
            return read.log_weight[0], jnp.abs(jnp.stack([each[0] for each in densities])).sum()

        log_w, size = jax.lax.map(one, keys, batch_size=rows_per_block(num_particles))
        finite = jnp.where(jnp.isfinite(size), size, 0.0)
        return log_w, finite.max() + math.prod(datum.x.shape)

    together = data_per_block(num_particles)
    return map_rows(one_datum, rows, rows.keys, rows.data, at_a_time=together)
