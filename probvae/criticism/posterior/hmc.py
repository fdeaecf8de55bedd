"""Hamiltonian Monte Carlo along the annealing path, for many chains of codes at once."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from numpyro.infer.hmc_util import euclidean_kinetic_energy, velocity_verlet

from probvae.batching import map_arrays
from probvae.compilation import compile_program
from probvae.criticism.posterior.unconstrained import Codes, Start, log_densities
from probvae.evidence import Batch
from probvae.typing import Params, RngKey
from probvae.vae import VAE

TARGET = 0.65  # acceptance
JITTER = 0.2  # of the step size, so that no trajectory is exactly one period


class PathRun(NamedTuple):
    """Chains along a path: log weights ``(n, particles)``, and ``(n, steps)`` of each temperature."""

    log_weights: jax.Array
    acceptance: jax.Array
    log_step: jax.Array


@partial(compile_program, static_argnames=("vae", "start", "num_leapfrog"))
def move_along_path(
    vae: VAE,
    start: Start,
    values: Params,
    keys: jax.Array,
    data: Batch,
    u: Codes,
    path: tuple[jax.Array, jax.Array],
    log_step: jax.Array,
    gain: jax.Array,
    num_leapfrog: int,
) -> PathRun:
    """Move codes at each temperature b of a path, then add delta_b (log p(x, z) - log p_0(z)).

    Args:
        vae: in evaluation mode.
        start: its program is p_0.
        values: parameters and running state.
        keys: one for each datum.
        data: ``n`` of them.
        u: the first codes, ``(n, particles, 1, ...)``.
        path: the temperatures b and the differences delta_b, ``(steps,)`` each.
        log_step: ``(n, steps)``, the log of the leapfrog step.
        gain: how far the log steps follow the acceptance. A valid estimate needs 0, which fixes them.
        num_leapfrog: leapfrog steps at each temperature.

    Returns:
        the log weights in nats, the mean acceptance and the log steps.
    """
    num_particles = jax.tree.leaves(u)[0].shape[1]

    def run_datum(key: RngKey, datum: Batch, u: Codes, log_step: jax.Array) -> PathRun:
        densities = log_densities(vae, start, values, datum)

        def move_chains(carry: tuple, temperature: tuple) -> tuple[tuple, tuple]:
            u, log_weights, drift = carry  # u (particles, 1, ...), log_weights (particles,)
            i, b, delta, log_step = temperature
            move_keys = jax.random.split(jax.random.fold_in(key, i), num_particles)
            step_size = jnp.exp(log_step + drift)

            def move_chain(key: RngKey, u: Codes) -> tuple[Codes, jax.Array, jax.Array]:
                u, accepted = _transition(densities, b, step_size, num_leapfrog, key, u)
                log_start, log_joint = densities(u)
                return u, accepted, log_joint - log_start

            u, accepted, slope = map_arrays(move_chain, move_keys, u)
            # A Robbins-Monro step: a step size that is accepted too often grows, for this temperature
            # and, through the drift, for all that follow. Neighbours on the path need similar steps.
            next_drift = drift + gain * (accepted.mean() - TARGET)
            return (u, log_weights + delta * slope, next_drift), (accepted.mean(), log_step + drift)

        steps = (jnp.arange(len(path[0])), *path, log_step)
        begin = (u, jnp.zeros(num_particles), jnp.zeros(()))
        (_, log_weights, _), of_steps = jax.lax.scan(move_chains, begin, steps)
        return PathRun(log_weights, *of_steps)

    return map_arrays(run_datum, keys, data, u, log_step, rows_each=num_particles)


def _transition(
    densities: Callable, b: jax.Array, step_size: jax.Array, num_leapfrog: int, key: RngKey, u: Codes
) -> tuple[Codes, jax.Array]:
    """Make one transition of HMC, which leaves p_0^(1-b) p(x, .)^b invariant. Return its acceptance."""

    def potential(u: Codes) -> jax.Array:
        log_start, log_joint = densities(u)
        return -((1 - b) * log_start + b * log_joint)

    momentum_key, jitter_key, key = jax.random.split(key, 3)
    flat, unravel = ravel_pytree(u)
    momentum = unravel(jax.random.normal(momentum_key, flat.shape))
    step_size = step_size * (1 + JITTER * jax.random.uniform(jitter_key, minval=-1.0))
    unit_mass = jnp.ones_like(flat)
    init, update = velocity_verlet(potential, euclidean_kinetic_energy)
    first = init(u, momentum)
    last = jax.lax.fori_loop(0, num_leapfrog, lambda _, s: update(step_size, unit_mass, s), first)
    # Leapfrog is reversible and keeps volume, so accepting with probability min(1, exp(-error of the
    # energy)) leaves the density invariant for any step size. A trajectory that diverges has an energy
    # of nan or infinity: it is rejected, and the chain stays at u.
    accepted = jnp.exp(jnp.minimum(_energy(unit_mass, first) - _energy(unit_mass, last), 0.0))
    accepted = jnp.nan_to_num(accepted, nan=0.0)
    accept = jax.random.uniform(key) < accepted
    return jax.tree.map(lambda new, old: jnp.where(accept, new, old), last.z, u), accepted


def _energy(unit_mass: jax.Array, state: Any) -> jax.Array:
    return state.potential_energy + euclidean_kinetic_energy(unit_mass, state.r)
