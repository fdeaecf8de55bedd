"""Annealed importance sampling: a lower bound on log p(x), and a bracket on simulated data."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.checks import check_draw_arguments, check_function, check_positive_integer
from probvae.criticism.observed import observe
from probvae.criticism.posterior.annealer import AnnealedBound, Annealer, Options
from probvae.criticism.posterior.simulation import simulate
from probvae.criticism.posterior.unconstrained import Start, check_sites, to_unconstrained
from probvae.evidence import check_density, check_exact_density, check_one_decoder
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, DataLike, Program, RngKey
from probvae.vae import VAE


@short_repr
class Bracket(NamedTuple):
    """log p(x) from both sides, on ``num_data`` draws from the model: ``x`` ``(n, *event)``.

    ``gap`` ``(n,)`` is upper - lower, in nats. It is at least 0 in expectation, and the sum of both
    errors.
    """

    x: np.ndarray
    lower: AnnealedBound
    upper: AnnealedBound

    @property
    def gap(self) -> np.ndarray:
        """Upper minus lower bound per datum, in nats."""
        return self.upper.value - self.lower.value


def anneal_from_prior(vae: VAE) -> Program:
    """Start at p(z): return a program with the model's latent sites."""
    return vae.model


def anneal_from_guide(vae: VAE) -> Program:
    """Start at q(z|x)."""
    if getattr(vae.posterior, "uses_log_joint", False):
        raise ValueError(
            f"the guide {type(vae.posterior).__name__} climbs log p(x, z) in each run, and annealing "
            "would run it at every step. Use start=annealing.anneal_from_prior."
        )
    return vae.guide


def sigmoidal_schedule(num_temperatures: int) -> np.ndarray:
    """Return b_0 = 0, ..., b_T = 1 along a sigmoid over (-4, 4), which is dense at both ends.

    Reference: Wu et al. 2017, arXiv:1611.04273; Grosse et al. 2015, arXiv:1511.02543.
    """
    at = np.tanh(np.linspace(-2.0, 2.0, num_temperatures + 1))  # sigmoid(u) = (1 + tanh(u / 2)) / 2
    return (at - at[0]) / (at[-1] - at[0])


def annealed_log_prob(
    fitted: Fitted,
    x: DataLike,
    *,
    rng_key: RngKey,
    num_particles: int = 16,
    num_temperatures: int = 300,
    num_leapfrog: int = 10,
    start: Start = anneal_from_prior,
    schedule: Callable[[int], np.ndarray] = sigmoidal_schedule,
) -> AnnealedBound:
    r"""Return a lower bound on log p(x) by annealed importance sampling, per datum.

    The bound is $\log \frac1K \sum_k w_k$ with $E[w] = p(x)$. The densities
    $f_b(z) = p_0(z)^{1-b} p(x, z)^b$ lead from the start to the posterior, and
    $\log w = \sum_t (b_t - b_{t-1}) (\log p(x, z_{t-1}) - \log p_0(z_{t-1}))$. Here $z_0 \sim p_0$, and
    one transition of Hamiltonian Monte Carlo, which leaves $f_{b_t}$ invariant, moves $z_{t-1}$ to
    $z_t$. Sites with a bounded support move on NumPyro's bijection of that support. A first run tunes
    the step sizes, for each datum and temperature. Its draws are discarded.

    The default start is the prior, for three reasons. The estimate does not depend on the guide, so it
    can show that the guide misses a part of the posterior. The prior has wider tails than the
    posterior, so that weights are bounded. No step runs the encoder. ``anneal_from_guide`` needs fewer
    temperatures where the guide is good. The cost is 2 K T (``num_leapfrog`` + 1) gradients of the
    decoder per datum.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_particles: K chains for each datum.
        num_temperatures: T steps from the start to the posterior.
        num_leapfrog: leapfrog steps of each transition.
        start: from a VAE to p_0, a program of ``(x, context, mask)`` with the model's latent sites.
        schedule: from T to the T + 1 temperatures b, rising from 0 to 1.

    Raises:
        ValueError: for a latent site that is discrete or on a surface, invalid data, or a part that
            has no density.

    Reference: Neal 2001, arXiv:physics/9803008; Wu et al. 2017, arXiv:1611.04273.
    """
    check_fitted(fitted)
    options = Options(start, num_particles, num_leapfrog, _temperatures(schedule, num_temperatures))
    _check(fitted, rng_key, options)
    data = observe(fitted, x, rng_key)
    check_sites(fitted.vae.eval(), fitted.values, start, jax.tree.map(lambda a: a[0], data))
    annealer = Annealer(fitted, data, options)
    tune_key, key = jax.random.split(rng_key)
    return annealer.estimate_lower(key, annealer.tune_steps(tune_key))


def bracket(
    fitted: Fitted,
    *,
    rng_key: RngKey,
    num_data: int = 50,
    num_particles: int = 16,
    num_temperatures: int = 300,
    num_leapfrog: int = 10,
    start: Start = anneal_from_prior,
    schedule: Callable[[int], np.ndarray] = sigmoidal_schedule,
    context: ArrayLike | None = None,
) -> Bracket:
    r"""Return bounds on log p(x) from below and above, for data drawn from the model.

    (z*, x*) is a draw from the model, so z* is an exact draw of p(z|x*). From there the chain runs
    backwards to p_0. With w as in ``annealed_log_prob``, $E[1/w] = 1/p(x)$, and
    $-\log \frac1K \sum_k 1/w_k$ is an upper bound in expectation. The gap tells you how far to trust
    ``annealed_log_prob`` at these settings, on data like the model's. With ``Spread``, x* includes its
    noise.

    Args:
        fitted: a fitted VAE.
        rng_key: a typed key.
        num_data: n draws from the model.
        num_particles: as in ``annealed_log_prob``. The K backward chains of a datum share z*.
        num_temperatures: as in ``annealed_log_prob``.
        num_leapfrog: as in ``annealed_log_prob``.
        start: as in ``annealed_log_prob``.
        schedule: as in ``annealed_log_prob``.
        context: ``(num_data, *context_shape)``, for a model that has one.

    Reference: Grosse et al. 2015, arXiv:1511.02543 (bidirectional Monte Carlo); Wu et al. 2017,
    arXiv:1611.04273.
    """
    check_fitted(fitted)
    options = Options(start, num_particles, num_leapfrog, _temperatures(schedule, num_temperatures))
    _check(fitted, rng_key, options)
    check_positive_integer("num_data", num_data)
    vae, values = fitted.vae.eval(), fitted.values
    keys = jax.random.split(rng_key, 4)
    z, data = simulate(fitted, keys[0], num_data, context)
    check_sites(vae, values, start, jax.tree.map(lambda a: a[0], data))
    codes = to_unconstrained(vae, values, z, data)
    codes = jax.tree.map(lambda a: jnp.repeat(a[:, None], num_particles, axis=1), codes)
    annealer = Annealer(fitted, data, options)
    log_step = annealer.tune_steps(keys[1])
    lower = annealer.estimate_lower(keys[2], log_step)
    upper = annealer.estimate_upper(keys[3], log_step, codes)
    return Bracket(np.asarray(data.x), lower, upper)


def _temperatures(schedule: Callable[[int], np.ndarray], num_temperatures: int) -> np.ndarray:
    check_positive_integer("num_temperatures", num_temperatures)
    check_function("schedule", schedule, num_temperatures, such_as="annealing.sigmoidal_schedule")
    b = np.asarray(schedule(num_temperatures), float)
    if b.shape != (num_temperatures + 1,) or (b[0], b[-1]) != (0, 1) or not (np.diff(b) > 0).all():
        raise ValueError(
            f"schedule({num_temperatures}) expects {num_temperatures + 1} temperatures that rise from "
            f"0 to 1; got {b}. Use annealing.sigmoidal_schedule."
        )
    return b


def _check(fitted: Fitted, rng_key: RngKey, options: Options) -> None:
    counts = {name: getattr(options, name) for name in ("num_particles", "num_leapfrog")}
    check_draw_arguments(rng_key, **counts)
    check_density(fitted.vae)
    check_function("start", options.start, fitted.vae, such_as="annealing.anneal_from_guide")
    check_one_decoder(fitted.vae, "annealing")
    check_exact_density(fitted.vae, "annealing")
