"""Bounds on log p(x): the ELBO and the importance-weighted bound, with standard errors."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp

from probvae import html
from probvae.batching import Progress, Rows, fold_particles, map_blocks, power_of_two
from probvae.compilation import compile_program
from probvae.faq import cite
from probvae.interfaces import AbstractVAE
from probvae.nets import BayesianNet
from probvae.objectives.terms import Terms, terms
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, Observation, Params, RngKey

BLOCK = 400_000  # decoder rows between two reports of progress


@short_repr
class Batch(NamedTuple):
    """Data with their context and mask: ``x`` ``(n, *event)``, ``context``, ``mask``.

    Examples:
        >>> import numpy as np
        >>> from probvae import Batch
        >>> x = np.array([[1.0, 2.0], [3.0, 0.0]])
        >>> batch = Batch(x, mask=np.array([[True, True], [True, False]]))  # the last entry is missing
        >>> batch.context is None
        True
    """

    x: Any
    context: Any = None
    mask: Any = None


@short_repr
class BoundEstimate(NamedTuple):
    """A lower bound on log p(x) per datum, in nats, with its Monte Carlo standard error.

    ``value`` and ``standard_error`` are ``(n,)``. ``num_particles`` is the number of draws of z for
    each datum. The importance-weighted bound (``log_prob``) rises with it. For the ELBO only the noise
    falls. ``num_noise_draws`` is 0 for a bound on log p(x). With ``Spread`` the value is a bound on
    E[log p(y)]: the mean over so many draws y of the datum under the likelihood's own noise.
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
        """The standard error of the mean, with the data as draws from a population."""
        n = len(self.value)
        return float(self.value.std(ddof=1) / math.sqrt(n)) if n > 1 else math.nan

    def __str__(self) -> str:
        noise = f", {self.num_noise_draws} noise draws" if self.num_noise_draws else ""
        return (
            f"{self.mean:.3f} nats +- {self.mean_standard_error:.3f} "
            f"({len(self.value)} data, {self.num_particles} particles{noise})"
        )

    def _repr_html_(self) -> str:
        monte_carlo = f"{self.standard_error.mean():.3g} nats per datum, on average"
        levels = [0.05, 0.5, 0.95]
        low, middle, high = np.quantile(self.value, levels) if len(self.value) else [np.nan] * 3
        rows = {
            "mean over data": f"{self.mean:.3f} \u00b1 {self.mean_standard_error:.3f} nats",
            "data": f"{len(self.value):,}",
            "particles": f"{self.num_particles:,}",
            **({"noise draws": f"{self.num_noise_draws:,}"} if self.num_noise_draws else {}),
            "Monte Carlo error": monte_carlo,
            "spread over data": f"5 %: {low:.2f}, median {middle:.2f}, 95 %: {high:.2f} nats",
        }
        return html.block(html.lines(["Lower bound on log p(x)"]), html.table(rows))


def datum_terms(
    vae: AbstractVAE, params: Params, rng_key: RngKey, datum: Batch, look: Callable | None = None
) -> Terms:
    """Return the terms of one datum, whose arrays have no batch axis. Use ``vmap`` for more data."""
    batch = jax.tree.map(lambda a: a[None], datum)
    return terms(rng_key, params, vae.model, vae.guide, *batch, look=look)


def check_density(vae: AbstractVAE, purpose: str = "log p(x)", *, guide: bool = True) -> None:
    """Raise unless the likelihood is a density, and with ``guide`` the guide too.

    Raises:
        ValueError: for a likelihood that only scores reconstructions, or a guide that is a point mass.
    """
    reason = explain_no_density(vae, purpose, guide=guide)
    if reason:
        raise ValueError(reason)


def explain_no_density(
    vae: AbstractVAE, purpose: str = "log p(x)", *, guide: bool = True
) -> str | None:
    """Return which part of a VAE has no density, and what to do. None if all parts have one."""
    if not vae.likelihood.is_density:
        return (
            f"{purpose} needs a density p(x|z), and the likelihood {type(vae.likelihood).__name__} has "
            "none: it only scores reconstructions. Use a likelihood such as Gaussian or Bernoulli. "
            f"{cite('no-density')}"
        )
    if guide and not vae.posterior.is_density:
        return (
            f"{purpose} needs a density q(z|x), and the guide {type(vae.posterior).__name__} has none: "
            "it puts all mass on one code. Use a guide such as guides.MeanField(). To train it with "
            'your decoder, use fit(..., freeze=("decoder",)). '
            f"{cite('no-density')}"
        )
    return None


def check_one_decoder(vae: AbstractVAE, purpose: str) -> None:
    """Raise if the decoder's weights are random, so that p(x|z) is not one function of z."""
    if isinstance(vae.decoder, BayesianNet):
        raise ValueError(
            f"{purpose} needs fixed decoder weights, and those of {vae.decoder} are random. Replace "
            "them by the mean of q(w) or by a draw: point_weights(fitted)."
        )


def check_exact_density(vae: AbstractVAE, purpose: str) -> None:
    """Raise if a program only estimates p(x|z), by a draw of missing entries (``NotAtRandom``)."""
    if vae.likelihood.models_mask:
        raise ValueError(
            f"{purpose} needs log p(x|z) itself, and {type(vae.likelihood).__name__} draws missing "
            "entries to estimate p(x|z). Use fitted.log_prob, whose bound averages over these draws."
        )


def log_prob(
    vae: AbstractVAE,
    params: Params,
    data: Batch,
    *,
    rng_key: RngKey,
    num_particles: int,
    progress: Progress | None = None,
) -> BoundEstimate:
    r"""Return $\log \frac1K \sum_k p(x, z_k) / q(z_k | x)$ with $z_k \sim q$, per datum.

    In expectation this is at most log p(x). Each datum has a key of its own, so its value does not
    depend on the other data. The encoder runs once per datum and chunk of particles. Memory is bounded
    by ``batching.ROWS`` decoder rows.

    Reference: Burda, Grosse and Salakhutdinov 2016, arXiv:1509.00519, equation 8.
    """
    check_density(vae)
    # The delta method: the error of log mean w is that of mean w over mean w. So the weights count in
    # units of their mean, and exp(log mean w^2 - 2 log mean w) - 1 is their variance in that unit.
    run = partial(_average_weights, vae.eval(), params, num_particles=num_particles)
    value, square = _run_blocks(run, data, rng_key, num_particles, progress)
    error = mean_error(np.exp(square - 2 * value) - 1.0, num_particles)
    return BoundEstimate(value, error, num_particles)


def elbo(
    vae: AbstractVAE,
    params: Params,
    data: Batch,
    *,
    rng_key: RngKey,
    num_particles: int,
    progress: Progress | None = None,
) -> BoundEstimate:
    """Return E_q[log p(x|z)] - KL(q(z|x) || p(z)) per datum, as a mean over particles."""
    check_density(vae)
    run = partial(_average_elbo, vae.eval(), params, num_particles=num_particles)
    mean, variance = _run_blocks(run, data, rng_key, num_particles, progress)
    return BoundEstimate(mean, mean_error(variance, num_particles), num_particles)


def _run_blocks(
    run: Callable, data: Batch, rng_key: RngKey, num_particles: int, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray]:
    """Run a program of ``num_particles`` per datum on blocks. Return its two results in float64."""
    at_most = power_of_two(BLOCK // num_particles)
    first, second = map_blocks(run, data, rng_key, at_most=at_most, progress=progress)
    return first.astype(np.float64), second.astype(np.float64)


def mean_error(variance: np.ndarray, num_particles: int) -> np.ndarray:
    """Return the standard error of a mean over particles from their variance, which divides by K."""
    if num_particles == 1:
        return np.full_like(variance, np.nan)
    return np.sqrt(np.maximum(variance, 0.0) / (num_particles - 1))


def log_mean_exp(log_weights: ArrayLike) -> tuple[Any, Any]:
    r"""Return $\log \frac1K \sum_k w_k$ over the last axis, and the relative weights.

    A relative weight is $w_k / \bar w$. Their mean is 1, and by the delta method the standard error of
    their mean is that of the logarithm. NumPy's arrays stay NumPy's, and JAX's stay JAX's.
    """
    if isinstance(log_weights, np.ndarray):
        value = np.logaddexp.reduce(log_weights, axis=-1) - math.log(log_weights.shape[-1])
        return value, np.exp(log_weights - value[..., None])
    value = logsumexp(log_weights, axis=-1) - jnp.log(log_weights.shape[-1])
    return value, jnp.exp(log_weights - value[..., None])


def average_over_noise(
    bound: Callable[..., BoundEstimate],
    noise: Observation,
    data: Batch,
    *,
    rng_key: RngKey,
    num_draws: int,
) -> BoundEstimate:
    """Return the mean of ``bound(data, rng_key=...)`` over draws of the data under ``noise``.

    Each datum and draw has a key of its own. With one draw, the standard error is that of the
    particles. With more draws, it is that of the mean over draws.
    """
    bounds = []
    for draw in range(num_draws):
        noise_key, key = jax.random.split(jax.random.fold_in(rng_key, draw))
        noisy = map_blocks(partial(_add_noise, noise), data.x, noise_key)
        bounds.append(bound(data._replace(x=noisy), rng_key=key))
    values = np.stack([each.value for each in bounds])
    error = bounds[0].standard_error
    if num_draws > 1:
        error = values.std(axis=0, ddof=1) / math.sqrt(num_draws)
    return BoundEstimate(values.mean(axis=0), error, bounds[0].num_particles, num_draws)


@partial(compile_program, static_argnames=("noise",))
def _add_noise(noise: Observation, rows: Rows) -> ArrayLike:
    return jax.vmap(noise)(rows.keys, rows.data)


@partial(compile_program, static_argnames=("vae", "num_particles"))
def _average_weights(
    vae: AbstractVAE, params: Params, rows: Rows, num_particles: int
) -> tuple[jax.Array, jax.Array]:
    """Return log mean w and log mean w^2 per datum, by running sums over chunks of particles."""

    def weigh_particle(key: RngKey, datum: Batch) -> jax.Array:
        return datum_terms(vae, params, key, datum).log_weight[0]

    # Log weights near -1e5 would all underflow as weights, so the sums stay logarithms. A padded
    # particle has the weight 0.
    def update(total: tuple, log_w: jax.Array, counts: jax.Array) -> tuple:
        log_w = jnp.where(counts, log_w, -jnp.inf)  # (chunk,)
        first = jnp.logaddexp(total[0], logsumexp(log_w))
        return first, jnp.logaddexp(total[1], logsumexp(2 * log_w))

    start = (jnp.full((), -jnp.inf), jnp.full((), -jnp.inf))
    first, second = fold_particles(weigh_particle, update, start, rows, num_particles)
    return first - math.log(num_particles), second - math.log(num_particles)


@partial(compile_program, static_argnames=("vae", "num_particles"))
def _average_elbo(
    vae: AbstractVAE, params: Params, rows: Rows, num_particles: int
) -> tuple[jax.Array, jax.Array]:
    """Return the mean and the variance of the particles' ELBO, per datum."""

    def score_particle(key: RngKey, datum: Batch) -> jax.Array:
        particle = datum_terms(vae, params, key, datum)
        return (particle.log_likelihood - particle.total_kl)[0]

    # The sums are of differences from the first finite value. Squares of values near -1e5 would round
    # away a variance of 100 in float32. The shift is nan until the first chunk has set it.
    def update(total: tuple, value: jax.Array, counts: jax.Array) -> tuple:
        shift, first, second = total
        reference = jnp.where(jnp.isfinite(value[0]), value[0], 0.0)
        shift = jnp.where(jnp.isnan(shift), reference, shift)
        difference = jnp.where(counts, value - shift, 0.0)  # (chunk,)
        return shift, first + difference.sum(), second + (difference**2).sum()

    start = (jnp.full((), jnp.nan), jnp.zeros(()), jnp.zeros(()))
    shift, first, second = fold_particles(score_particle, update, start, rows, num_particles)
    first, second = first / num_particles, second / num_particles
    return shift + first, second - first**2
