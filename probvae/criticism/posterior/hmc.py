"""Chains of codes, moved by Hamiltonian Monte Carlo along the path from a start to the posterior."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from numpyro.infer.hmc_util import euclidean_kinetic_energy, velocity_verlet

from probvae.batching import rows_per_block
from probvae.compilation import compile_program
from probvae.criticism.posterior.unconstrained import Codes, Start, log_densities
from probvae.evidence import Batch
from probvae.typing import Params, RngKey

TARGET = 0.65  # acceptance
JITTER = 0.2  # of the step size, by which no trajectory is a whole period


@partial(compile_program, static_argnames=("vae", "start", "num_leapfrog"))
def move_along_path(
    vae: Any,
    start: Start,
    values: Params,
    keys: jax.Array,
    data: Batch,
    u: Codes,
    path: tuple[jax.Array, jax.Array],
    log_step: jax.Array,
    gain: jax.Array,
    num_leapfrog: int,
) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Move codes at each temperature b of a path, then add delta_b (log p(x, z) - log p_0(z)).

    Args:
        vae: in evaluation mode.
        start: its program is p_0.
        values: parameters and running state.
        keys: one for each datum.
        data: ``n`` of them.
        u: codes to begin with, ``(n, particles, 1, ...)``.
        path: the temperatures b and the differences delta_b, ``(steps,)`` each.
        log_step: ``(n, steps)``, the log of the leapfrog step.
        gain: how far the log steps follow the acceptance; 0 holds them, as a valid estimate must.
        num_leapfrog: leapfrog steps at each temperature.

    Returns:
        the sums ``(n, particles)`` in nats; the mean acceptance and the log steps, ``(n, steps)``.
    """
    num_particles = jax.tree.leaves(u)[0].shape[1]
    together = rows_per_block(len(keys), num_particles)

    def one_datum(row: tuple) -> tuple:
        key, datum, u, log_step = row
        densities = log_densities(vae, start, values, datum)

        def at(carry: tuple, now: tuple) -> tuple[tuple, tuple]:
            u, total, drift = carry
            i, b, delta, log_step = now
            moves = jax.random.split(jax.random.fold_in(key, i), num_particles)
            step_size = jnp.exp(log_step + drift)

            def one(row: tuple) -> tuple:
                moved, accepted = _transition(densities, b, step_size, num_leapfrog, *row)
                begun, joint = densities(moved)
                return moved, accepted, joint - begun

            u, accepted, slope = jax.lax.map(one, (moves, u), batch_size=rows_per_block(num_particles))
            here = (accepted.mean(), log_step + drift)
            return (u, total + delta * slope, drift + gain * (accepted.mean() - TARGET)), here

        steps = (jnp.arange(len(path[0])), *path, log_step)
        begin = (u, jnp.zeros(num_particles), jnp.zeros(()))
        (_, total, _), (accepted, log_step) = jax.lax.scan(at, begin, steps)
        return total, accepted, log_step

    return jax.lax.map(one_datum, (keys, data, u, log_step), batch_size=together)


def _transition(
    densities: Callable, b: jax.Array, step_size: jax.Array, num_leapfrog: int, key: RngKey, u: Codes
) -> tuple[Codes, jax.Array]:
    """Take one step of HMC that leaves p_0^(1-b) p(x, .)^b as it is; return the acceptance with it."""

    def potential(u: Codes) -> jax.Array:
        begun, joint = densities(u)
        return -((1 - b) * begun + b * joint)

    momentum_key, jitter_key, key = jax.random.split(key, 3)
    flat, unravel = ravel_pytree(u)
    momentum = unravel(jax.random.normal(momentum_key, flat.shape))
    step_size = step_size * (1 + JITTER * jax.random.uniform(jitter_key, minval=-1.0))
    unit = jnp.ones_like(flat)  # the mass
    init, update = velocity_verlet(potential, euclidean_kinetic_energy)
    first = init(u, momentum)
    last = jax.lax.fori_loop(0, num_leapfrog, lambda _, s: update(step_size, unit, s), first)
    accepted = jnp.exp(jnp.minimum(_energy(unit, first) - _energy(unit, last), 0.0))
    accepted = jnp.nan_to_num(accepted, nan=0.0)
    taken = jax.random.uniform(key) < accepted
    return jax.tree.map(lambda a, b: jnp.where(taken, a, b), last.z, u), accepted


def _energy(unit: jax.Array, state: Any) -> jax.Array:
    return state.potential_energy + euclidean_kinetic_energy(unit, state.r)
