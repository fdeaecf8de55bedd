"""Bounds on log p(x) from the programs alone: the ELBO and the importance-weighted bound."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from probvae.batching import Rows, map_blocks, map_particles, run_in_blocks
from probvae.compilation import compile_program
from probvae.nets import BayesianNet
from probvae.objectives.terms import Terms, terms
from probvae.typing import Params, RngKey


class Batch(NamedTuple):
    """Data, and what is known about them: ``x`` ``(n, *event)``, ``context``, ``mask``."""

    x: Any
    context: Any = None
    mask: Any = None


class BoundEstimate(NamedTuple):
    """A lower bound on log p(x) per datum, in nats, with its Monte Carlo standard error.

    ``value`` and ``standard_error`` ``(n,)``. ``num_particles`` is what was asked for and taken: for
    importance weighting (``log_prob``) the bound rises with it, for the ELBO only the noise falls.
    ``num_noise_draws`` is 0 for a bound on log p(x); else the value is the mean over so many draws y of
    the datum under the likelihood's own noise (``Spread``), a bound on E[log p(y)].
    """

    value: np.ndarray
    standard_error: np.ndarray
    num_particles: int
    num_noise_draws: int = 0

    @property
    def mean(self) -> float:
        """The mean over data."""
        return float(self.value.mean())

    @property
    def mean_standard_error(self) -> float:
        """The standard error of the mean over data, as draws from a population."""
        return (
            float(self.value.std(ddof=1) / math.sqrt(len(self.value)))
            if len(self.value) > 1
            else math.nan
        )

    def __str__(self) -> str:
        noise = f", {self.num_noise_draws} noise draws" if self.num_noise_draws else ""
        return (
            f"{self.mean:.3f} nats +- {self.mean_standard_error:.3f} "
            f"({len(self.value)} data, {self.num_particles} particles{noise})"
        )


def datum_terms(
    vae: Any, params: Params, rng_key: RngKey, datum: Batch, look: Callable | None = None
) -> Terms:
    """Return the terms of one datum, its arrays without a batch axis (vmap over keys and data)."""
    batch = jax.tree.map(lambda a: a[None], datum)
    return terms(rng_key, params, vae.model, vae.guide, *batch, look=look)


def check_density(vae: Any) -> None:
    """Raise, by its name, where a part of a VAE is no density: there is nothing to bound.

    Raises:
        ValueError: for a likelihood that scores reconstructions only, or a guide that is a point mass.
    """
    reason = explain_no_density(vae)
    if reason:
        raise ValueError(reason)


def explain_no_density(vae: Any) -> str | None:
    """Return why a VAE has no bound on log p(x): the part that is no density, and the remedy."""
    if not vae.likelihood.is_density:
        return (
            f"log p(x) needs a density p(x|z), and {type(vae.likelihood).__name__} is none: it scores "
            "reconstructions only. Compare models by a likelihood such as Gaussian or Bernoulli."
        )
    if not vae.posterior.is_density:
        return (
            f"a bound on log p(x) needs a density q(z|x), and {type(vae.posterior).__name__} is none: "
            "it puts all mass on one code. Take a guide such as guides.MeanField(), and fit it to the "
            'decoder that is there already: fit(..., freeze=("decoder",)).'
        )
    return None


def check_one_decoder(vae: Any, name: str) -> None:
    """Raise where p(x|z) is no one function of z, which ``name`` needs: the weights are random."""
    if isinstance(vae.decoder, BayesianNet):
        raise ValueError(
            f"{name} needs p(x|z) as one function of z, and the weights of the decoder {vae.decoder} "
            "are random. Put numbers in their place, the mean of q(w) or a draw: point_weights(fitted)."
        )


def log_prob(
    vae: Any,
    params: Params,
    data: Batch,
    *,
    rng_key: RngKey,
    num_particles: int,
    progress: Any = None,
) -> BoundEstimate:
    """Log (1/K) sum_k p(x, z_k) / q(z_k | x), z_k ~ q: at most log p(x) in expectation.

    Each datum has a key of its own, so that its value does not depend on its company. The encoder
    runs once per datum and chunk of particles, and memory is bounded by ``ROWS`` decoder rows.

    Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, equation 8. The standard error
    is the delta method's: sqrt(sum w^2 / (sum w)^2 - 1/K), times sqrt(K / (K - 1)).
    """
    check_density(vae)
    run = partial(_importance, vae.eval(), params, num_particles=num_particles)
    value, second = run_in_blocks(run, data, rng_key, num_particles, progress)
    spread = np.maximum(np.exp(second - 2 * value) - 1.0, 0.0) / max(num_particles - 1, 1)
    error = np.sqrt(spread) if num_particles > 1 else np.full_like(value, np.nan)
    return BoundEstimate(value, error, num_particles)


def elbo(
    vae: Any,
    params: Params,
    data: Batch,
    *,
    rng_key: RngKey,
    num_particles: int,
    progress: Any = None,
) -> BoundEstimate:
    """E_q[log p(x|z)] - KL(q(z|x) || p(z)) per datum, as a mean over particles."""
    check_density(vae)
    run = partial(_elbo, vae.eval(), params, num_particles=num_particles)
    mean, variance = run_in_blocks(run, data, rng_key, num_particles, progress)
    spread = np.maximum(variance, 0.0) / max(num_particles - 1, 1)
    error = np.sqrt(spread) if num_particles > 1 else np.full_like(mean, np.nan)
    return BoundEstimate(mean, error, num_particles)


def average_over_noise(
    bound: Any, noise: Any, data: Batch, *, rng_key: RngKey, num_draws: int
) -> BoundEstimate:
    """Return the mean of ``bound(data, rng_key=...)`` over draws of the data under ``noise``.

    Each datum and draw has a key of its own. With one draw, the standard error is that of the
    particles alone; with more, it is that of the mean over draws.
    """
    found = []
    for draw in range(num_draws):
        noise_key, key = jax.random.split(jax.random.fold_in(rng_key, draw))
        noisy = map_blocks(partial(_with_noise, noise), data.x, noise_key)
        found.append(bound(data._replace(x=noisy), rng_key=key))
    values = np.stack([each.value for each in found])
    error = found[0].standard_error
    if num_draws > 1:
        error = values.std(axis=0, ddof=1) / math.sqrt(num_draws)
    return BoundEstimate(values.mean(axis=0), error, found[0].num_particles, num_draws)


@partial(compile_program, static_argnames=("noise",))
def _with_noise(noise: Callable, rows: Rows) -> jax.Array:
    return jax.vmap(noise)(rows.keys, rows.data)


@partial(compile_program, static_argnames=("vae", "num_particles"))
def _importance(vae: Any, params: Params, rows: Rows, num_particles: int) -> Any:
    """Return log mean w and log mean w^2 per datum, by running sums over chunks of particles."""

    def weights(key: jax.Array, datum: Batch) -> jax.Array:
        return datum_terms(vae, params, key, datum).log_weight[0]

    def update(total: tuple, log_w: jax.Array, counts: jax.Array) -> tuple:
        log_w = jnp.where(counts, log_w, -jnp.inf)
        first = jnp.logaddexp(total[0], logsumexp(log_w))
        return first, jnp.logaddexp(total[1], logsumexp(2 * log_w))

    start = (jnp.full((), -jnp.inf), jnp.full((), -jnp.inf))
    first, second = map_particles(weights, update, start, rows, num_particles)
    return first - math.log(num_particles), second - math.log(num_particles)


@partial(compile_program, static_argnames=("vae", "num_particles"))
def _elbo(vae: Any, params: Params, rows: Rows, num_particles: int) -> Any:
    """Return the mean and the variance of the particles' ELBO, per datum.

    The sums are of differences from the first particle. Squares of values near -1e5 would round away a
    variance of 100 in float32.
    """

    def bound(key: jax.Array, datum: Batch) -> jax.Array:
        read = datum_terms(vae, params, key, datum)
        return (read.log_likelihood - read.total_kl)[0]

    def update(total: tuple, value: jax.Array, counts: jax.Array) -> tuple:
        shift, first, second = total
        reference = jnp.where(jnp.isfinite(value[0]), value[0], 0.0)
        shift = jnp.where(jnp.isnan(shift), reference, shift)
        difference = jnp.where(counts, value - shift, 0.0)
        return shift, first + difference.sum(), second + (difference**2).sum()

    start = (jnp.full((), jnp.nan), jnp.zeros(()), jnp.zeros(()))
    shift, first, second = map_particles(bound, update, start, rows, num_particles)
    first, second = first / num_particles, second / num_particles
    return shift + first, second - first**2
