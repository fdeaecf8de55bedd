"""log p(x) by annealed importance sampling, and bracketed on data that the model drew itself."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae.checks import check_function, check_key, check_positive_integer
from probvae.criticism.observed import apply_noise
from probvae.criticism.posterior.annealer import AnnealedBound, Annealer, Options
from probvae.criticism.posterior.simulation import simulate
from probvae.criticism.posterior.unconstrained import Start, check_sites, to_unconstrained
from probvae.evidence import check_density, check_one_decoder
from probvae.fitted import Fitted
from probvae.fitted.fitted import check_fitted
from probvae.typing import ArrayLike, RngKey


class Bracket(NamedTuple):
    """log p(x) from both sides, on ``num_data`` draws from the model: ``x`` ``(n, *event)``.

    ``gap`` ``(n,)`` is upper - lower, in nats: at least 0 in expectation, and the sum of both errors.
    """

    x: np.ndarray
    lower: AnnealedBound
    upper: AnnealedBound

    @property
    def gap(self) -> np.ndarray:
        """Upper minus lower bound per datum, in nats."""
        return self.upper.value - self.lower.value


def anneal_from_prior(vae: Any) -> Callable:
    """Start at p(z): a program whose latent sites are those of the model."""
    return vae.model


def anneal_from_guide(vae: Any) -> Callable:
    """Start at q(z|x)."""
    if vae.posterior.uses_log_joint:
        raise ValueError(
            f"the guide {type(vae.posterior).__name__} climbs log p(x, z) each time that it is run, "
            "and annealing would run it at every step. Take start=annealing.from_prior."
        )
    return vae.guide


def sigmoidal_schedule(num_temperatures: int) -> np.ndarray:
    """Return b_0 = 0, ..., b_T = 1 along a sigmoid over (-4, 4): dense at both ends.

    Reference: Wu et al. 2017, arXiv:1611.04273; Grosse et al. 2015, arXiv:1511.02543.
    """
    at = np.tanh(np.linspace(-2.0, 2.0, num_temperatures + 1))  # sigmoid(u) = (1 + tanh(u / 2)) / 2
    return (at - at[0]) / (at[-1] - at[0])


def annealed_log_prob(
    fitted: Fitted,
    x: Any,
    *,
    rng_key: RngKey,
    num_particles: int = 16,
    num_temperatures: int = 300,
    num_leapfrog: int = 10,
    start: Start = anneal_from_prior,
    schedule: Callable[[int], np.ndarray] = sigmoidal_schedule,
) -> AnnealedBound:
    """Return a lower bound on log p(x), log (1/K) sum_k w_k, by annealed importance sampling.

    f_b(z) = p_0(z)^(1-b) p(x, z)^b; log w = sum_t (b_t - b_(t-1)) (log p(x, z) - log p_0(z)) at z =
    z_(t-1), where z_0 ~ p_0 and z_t is moved from there by one step of Hamiltonian Monte Carlo that
    leaves f_(b_t) as it is; E[w] = p(x). Sites with bounds are moved on the bijection of their support
    that NumPyro has. Step sizes, for each datum and temperature, come from a run of their own whose
    draws are thrown away.

    It starts at the prior unless told, for three reasons: it leans on nothing that the guide says, and
    so can tell when the guide misses a part of the posterior; its tails hold the posterior's, so that
    weights are bounded; and no encoder is run at each step. ``from_guide`` needs fewer temperatures
    where the guide is good. Costs 2 K T (leapfrog + 1) gradients of the decoder per datum.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``.
        rng_key: a typed key.
        num_particles: K chains for each datum.
        num_temperatures: T, steps from the start to the posterior.
        num_leapfrog: leapfrog steps of each transition.
        start: from a VAE to a program of ``(x, context, mask)`` with the model's latent sites, p_0.
        schedule: from T to the T + 1 temperatures b, rising from 0 to 1.

    Raises:
        ValueError: for a latent site that is discrete or on a surface, data that do not fit, or a part
            that is no density.

    Reference: Neal 2001, arXiv:physics/9803008; Wu et al. 2017, arXiv:1611.04273.
    """
    check_fitted(fitted)
    options = Options(start, num_particles, num_leapfrog, _ladder(schedule, num_temperatures))
    _check(fitted, rng_key, options)
    data = apply_noise(fitted, x, rng_key)
    check_sites(fitted.vae.eval(), fitted.values, start, jax.tree.map(lambda a: a[0], data))
    run = Annealer(fitted, data, options)
    tune_key, key = jax.random.split(rng_key)
    return run.lower(key, run.tuned(tune_key))


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
    """Return bounds on log p(x) from below and above, for data drawn from the model.

    (z*, x*) is a draw from the model, so that z* is one of p(z|x*) exactly. From there the chain is
    run backwards to p_0; with w as in ``annealed_log_prob``, E[1/w] = 1/p(x), and -log (1/K)
    sum_k 1/w_k is an upper bound in expectation. The gap tells how far to trust
    ``annealed_log_prob`` at these settings, on data like the model's; with ``Spread`` x* has
    its noise.

    Args:
        fitted: a fitted VAE.
        rng_key: a typed key.
        num_data: n draws from the model.
        num_particles: as in ``annealed_log_prob``; the K backward chains of a datum share z*.
        num_temperatures: as in ``annealed_log_prob``.
        num_leapfrog: as in ``annealed_log_prob``.
        start: as in ``annealed_log_prob``.
        schedule: as in ``annealed_log_prob``.
        context: ``(num_data, *context_shape)``, for a model that has one.

    Reference: Grosse et al. 2015, arXiv:1511.02543 (bidirectional Monte Carlo); Wu et al. 2017,
    arXiv:1611.04273.
    """
    check_fitted(fitted)
    options = Options(start, num_particles, num_leapfrog, _ladder(schedule, num_temperatures))
    _check(fitted, rng_key, options)
    check_positive_integer("num_data", num_data)
    vae, values = fitted.vae.eval(), fitted.values
    keys = jax.random.split(rng_key, 4)
    z, data = simulate(fitted, keys[0], num_data, context)
    check_sites(vae, values, start, jax.tree.map(lambda a: a[0], data))
    codes = to_unconstrained(vae, values, z, data)
    codes = jax.tree.map(lambda a: jnp.repeat(a[:, None], num_particles, axis=1), codes)
    run = Annealer(fitted, data, options)
    log_step = run.tuned(keys[1])
    lower, upper = run.lower(keys[2], log_step), run.upper(keys[3], log_step, codes)
    return Bracket(np.asarray(data.x), lower, upper)


def _check(fitted: Fitted, rng_key: Any, options: Options) -> None:
    check_key(rng_key)
    for name in ("num_particles", "num_leapfrog"):
        check_positive_integer(name, getattr(options, name))
    check_density(fitted.vae)
    check_function("start", options.start, fitted.vae, such_as="annealing.from_guide")
    check_one_decoder(fitted.vae, "annealing")


def _ladder(schedule: Callable[[int], np.ndarray], num_temperatures: int) -> np.ndarray:
    check_positive_integer("num_temperatures", num_temperatures)
    check_function("schedule", schedule, num_temperatures, such_as="annealing.sigmoidal")
    b = np.asarray(schedule(num_temperatures), float)
    fits = b.shape == (num_temperatures + 1,) and b[0] == 0 and b[-1] == 1 and (np.diff(b) > 0).all()
    if not fits:
        raise ValueError(
            f"schedule({num_temperatures}) expects {num_temperatures + 1} temperatures that rise from "
            f"0 to 1; got {b}. Take annealing.sigmoidal."
        )
    return b
