"""Latent codes as vectors in R^n: checks, draws, and the densities there."""

from collections.abc import Callable
from functools import partial
from typing import TypeAlias

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.distributions.transforms import Transform
from numpyro.infer.util import compute_log_probs

from probvae.batching import ROWS, Rows, map_arrays, map_rows
from probvae.compilation import compile_program, trace_abstractly
from probvae.distributions.support import name_support
from probvae.evidence import Batch
from probvae.objectives.terms import in_plate, latent_sites, trace_guide
from probvae.typing import Params, Program, RngKey
from probvae.vae import VAE

Start: TypeAlias = Callable[[VAE], Program]
Codes: TypeAlias = dict[str, jax.Array]  # latent sites, moved to R^n, each with a batch of one


def check_sites(vae: VAE, values: Params, start: Start, datum: Batch) -> None:
    """Raise unless HMC can move every latent site, and the start has the sites of the model."""
    sites = _latent_sites(vae.model, values, datum)
    start_sites = _latent_sites(start(vae), values, datum)
    if set(start_sites) != set(sites):
        raise ValueError(
            f"annealing expects a start with the model's latent sites {sorted(sites)}; got "
            f"{sorted(start_sites)}. Use annealing.anneal_from_prior or annealing.anneal_from_guide."
        )
    for name, site in sites.items():
        reason = _explain_immovable(site)
        if reason:
            raise ValueError(f'annealing cannot move the site "{name}", {reason}')


def _explain_immovable(site: dict) -> str | None:
    """Return why HMC cannot move a site, with what to do; None if it can."""
    support = site["fn"].support
    if not in_plate(site):
        return "which no single row owns. Fix such weights first: point_weights(fitted)."
    if support.is_discrete:
        return (
            f"which is discrete ({name_support(support)}), so log p(x, z) has no gradient there. Use "
            "fitted.log_prob. With few states, sum over them, as objectives.ELBO() does in training."
        )
    try:
        known = biject_to(support).domain is not None
    except NotImplementedError:
        known = False
    if not known:
        return (
            f"because NumPyro has no bijection (biject_to) from R^n to its support "
            f"{name_support(support)}. Use fitted.log_prob."
        )
    return None


def _latent_sites(program: Program, values: Params, datum: Batch) -> dict[str, dict]:
    """Return the latent sites by name, in order of drawing, with shapes in place of numbers."""

    def sites() -> tuple[dict[str, dict], None]:
        trace = _trace_program(program, values, jax.random.key(0), datum)
        return {name: trace[name] for name in latent_sites(trace)}, None

    return trace_abstractly(sites)[0]


def _trace_program(program: Program, values: Params, rng_key: RngKey, datum: Batch) -> dict:
    seeded = handlers.substitute(handlers.seed(program, rng_key), data=dict(values))
    return handlers.trace(seeded).get_trace(*jax.tree.map(lambda a: a[None], datum))


def _bijections(vae: VAE, values: Params, datum: Batch) -> dict[str, Transform]:
    """Return the bijection of each latent site, from R^n to its support."""
    sites = _latent_sites(vae.model, values, datum)
    return {name: biject_to(site["fn"].support) for name, site in sites.items()}


@partial(compile_program, static_argnames=("vae", "start", "num_particles"))
def draw_codes(
    vae: VAE, start: Start, values: Params, keys: jax.Array, data: Batch, num_particles: int
) -> Codes:
    """Draw codes of the start for each datum, in R^n: ``(n, particles, 1, ...)``."""

    def draw_particles(key: RngKey, datum: Batch) -> Codes:
        def draw_particle(key: RngKey) -> Codes:
            trace = _trace_program(start(vae), values, key, datum)
            z = {name: trace[name]["value"] for name in latent_sites(trace)}
            return _invert(vae, values, z, datum)

        return jax.vmap(draw_particle)(jax.random.split(key, num_particles))

    return map_arrays(draw_particles, keys, data, rows_each=num_particles)


@partial(compile_program, static_argnames=("vae",))
def to_unconstrained(vae: VAE, values: Params, z: Codes, data: Batch) -> Codes:
    """Move codes ``(n, ...)`` to R^n, ``(n, 1, ...)``."""

    def move_datum(z: Codes, datum: Batch) -> Codes:
        return _invert(vae, values, jax.tree.map(lambda a: a[None], z), datum)

    return map_arrays(move_datum, z, data)


def _invert(vae: VAE, values: Params, z: Codes, datum: Batch) -> Codes:
    return {name: t.inv(z[name]) for name, t in _bijections(vae, values, datum).items()}


def log_densities(
    vae: VAE, start: Start, values: Params, datum: Batch
) -> Callable[[Codes], tuple[jax.Array, jax.Array]]:
    """Return a function of u: log p_0 and log p(x, z) of one datum as densities of u, in nats."""
    bijections = _bijections(vae, values, datum)
    batch, start_program = jax.tree.map(lambda a: a[None], tuple(datum)), start(vae)

    def densities(u: Codes) -> tuple[jax.Array, jax.Array]:
        z = {name: t(u[name]) for name, t in bijections.items()}
        # A density of u has the volume that the bijection changes: log |dz / du|, of all sites.
        log_det = sum(t.log_abs_det_jacobian(u[name], z[name]).sum() for name, t in bijections.items())
        joint, _ = compute_log_probs(vae.model, batch, {}, {**values, **z})
        start_terms = joint
        if start_program != vae.model:  # p(z) is among the terms of the model already
            start_terms, _ = compute_log_probs(start_program, batch, {}, {**values, **z})
        return sum(start_terms[name] for name in z) + log_det, sum(joint.values()) + log_det

    return densities


def join_sites(sites: dict[str, jax.Array], leading: int) -> jax.Array:
    """Join the values of sites, by name, along one last axis.

    Args:
        sites: values ``(*leading axes, 1, ...)`` by name.
        leading: the number of axes before that of the datum.
    """
    flat = [sites[name].reshape(*sites[name].shape[:leading], -1) for name in sorted(sites)]
    return jnp.concatenate(flat, axis=-1)


def draw_code(key: RngKey, values: Params, guide: Program, batch: Batch) -> jax.Array:
    """Draw the code of one datum (a batch of one), ``(units,)``."""
    trace = trace_guide(key, values, guide, tuple(batch), {})
    return join_sites({name: trace[name]["value"] for name in latent_sites(trace)}, 0)


@partial(compile_program, static_argnames=("vae", "num_draws"))
def draw_posterior_codes(vae: VAE, values: Params, rows: Rows, *, num_draws: int) -> jax.Array:
    """Return draws of q(z|x), ``(n, num_draws, units)``, with a key for each datum."""

    def draw_datum(key: RngKey, datum: Batch) -> jax.Array:
        batch = jax.tree.map(lambda a: a[None], datum)
        draw = partial(draw_code, values=values, guide=vae.guide, batch=batch)
        return jax.lax.map(draw, jax.random.split(key, num_draws), batch_size=min(ROWS, num_draws))

    return map_rows(draw_datum, rows, batch_size=1)
