"""Latent sites as numbers on R^n: which can be, draws of them, and the densities there."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import compute_log_probs

from probvae.batching import ROWS, Rows, map_rows, rows_per_block
from probvae.compilation import compile_program, hold_trace_lock
from probvae.distributions.support import name_support
from probvae.evidence import Batch
from probvae.objectives.terms import in_plate, latent_sites, trace_guide
from probvae.typing import Params, RngKey

Start: TypeAlias = Callable[[Any], Callable]
Codes: TypeAlias = dict[str, jax.Array]  # latent sites, moved to R^n, each with a batch of one


def check_sites(vae: Any, values: Params, start: Start, datum: Batch) -> None:
    """Raise unless every latent site can be moved by HMC, and the start has the model's sites."""
    found = _sites(vae.model, values, datum)
    begun = _sites(start(vae), values, datum)
    if set(begun) != set(found):
        raise ValueError(
            f"annealing starts at a program with the model's latent sites {sorted(found)}; the start "
            f"given has {sorted(begun)}. Take annealing.from_prior or annealing.from_guide."
        )
    for name, site in found.items():
        _check_site(name, site)


def _check_site(name: str, site: dict) -> None:
    support = site["fn"].support
    if not in_plate(site):
        raise ValueError(
            f'annealing moves the codes of one datum, and site "{name}" belongs to no datum. Put '
            "numbers in its place (a prior of weights: a draw of the guide's)."
        )
    if support.is_discrete:
        raise ValueError(
            "annealing moves codes along gradients, which need a continuous code, and site "
            f'"{name}" is discrete ({name_support(support)}). Take fitted.log_prob; where the states are few, '
            "log p(x) is a sum over them, as objectives.ELBO() sums them in training."
        )
    try:
        whole = biject_to(support).domain is not None
    except NotImplementedError:
        whole = False
    if not whole:
        raise ValueError(
            f'annealing moves codes in R^n, and site "{name}" has the support {name_support(support)}, of '
            "which NumPyro knows no bijection (biject_to). Take fitted.log_prob."
        )


def _sites(program: Callable, values: Params, datum: Batch) -> dict[str, dict]:
    """Return the latent sites by name, in order of drawing, without arithmetic."""
    found: dict[str, dict] = {}

    def dry_run() -> None:
        trace = _trace_model(program, values, jax.random.key(0), datum)
        found.update({name: trace[name] for name in latent_sites(trace)})

    with hold_trace_lock():
        jax.eval_shape(dry_run)
    return found


def _trace_model(program: Callable, values: Params, rng_key: RngKey, datum: Batch) -> dict:
    seeded = handlers.substitute(handlers.seed(program, rng_key), data=dict(values))
    return handlers.trace(seeded).get_trace(*jax.tree.map(lambda a: a[None], datum))


def _bijections(vae: Any, values: Params, datum: Batch) -> dict[str, Any]:
    return {name: biject_to(s["fn"].support) for name, s in _sites(vae.model, values, datum).items()}


@partial(compile_program, static_argnames=("vae", "start", "num_particles"))
def draw_codes(
    vae: Any, start: Start, values: Params, keys: jax.Array, data: Batch, num_particles: int
) -> Codes:
    """Draw codes of the start for each datum: on R^n, ``(n, particles, 1, ...)``."""

    def one_datum(row: tuple[RngKey, Batch]) -> Codes:
        key, datum = row

        def one(key: RngKey) -> Codes:
            trace = _trace_model(start(vae), values, key, datum)
            z = {name: trace[name]["value"] for name in latent_sites(trace)}
            return _inverse(vae, values, z, datum)

        return jax.vmap(one)(jax.random.split(key, num_particles))

    return jax.lax.map(one_datum, (keys, data), batch_size=rows_per_block(len(keys), num_particles))


@partial(compile_program, static_argnames=("vae",))
def to_unconstrained(vae: Any, values: Params, z: Codes, data: Batch) -> Codes:
    """Return codes ``(n, ...)`` on R^n, ``(n, 1, ...)``."""

    def one(row: tuple[Codes, Batch]) -> Codes:
        return _inverse(vae, values, jax.tree.map(lambda a: a[None], row[0]), row[1])

    return jax.lax.map(one, (z, data), batch_size=rows_per_block(len(data.x)))


def _inverse(vae: Any, values: Params, z: Codes, datum: Batch) -> Codes:
    return {name: t.inv(z[name]) for name, t in _bijections(vae, values, datum).items()}


def log_densities(vae: Any, start: Start, values: Params, datum: Batch) -> Callable[[Codes], Any]:
    """Return a function of u: log p_0 and log p(x, z) of one datum as densities of u, in nats."""
    to_support = _bijections(vae, values, datum)
    told, begin = jax.tree.map(lambda a: a[None], tuple(datum)), start(vae)

    def densities(u: Codes) -> tuple[jax.Array, jax.Array]:
        z = {name: t(u[name]) for name, t in to_support.items()}
        slope = sum(t.log_abs_det_jacobian(u[name], z[name]).sum() for name, t in to_support.items())
        joint, _ = compute_log_probs(vae.model, told, {}, {**values, **z})
        begun = joint
        if begin != vae.model:
            begun, _ = compute_log_probs(begin, told, {}, {**values, **z})
        return sum(begun[name] for name in z) + slope, sum(joint.values()) + slope

    return densities


def join_sites(sites: dict[str, jax.Array], leading: int) -> jax.Array:
    """Join the values of sites, by name, on one last axis; ``leading`` axes come before the datum's."""
    flat = [sites[name].reshape(*sites[name].shape[:leading], -1) for name in sorted(sites)]
    return jnp.concatenate(flat, axis=-1)


def draw_code(key: RngKey, values: Params, guide: Any, batch: Batch) -> jax.Array:
    """Draw the code of one datum (a batch of one), ``(units,)``."""
    trace = trace_guide(key, values, guide, tuple(batch), {})
    return join_sites({name: trace[name]["value"] for name in latent_sites(trace)}, 0)


@partial(compile_program, static_argnames=("vae", "num_draws"))
def draw_posterior_codes(vae: Any, values: Params, rows: Rows, *, num_draws: int) -> jax.Array:
    """Return draws of q(z|x), ``(n, num_draws, units)``, a key for each datum."""

    def one_datum(key: RngKey, datum: Batch) -> jax.Array:
        batch = jax.tree.map(lambda a: a[None], datum)
        draw_keys = jax.random.split(key, num_draws)
        draw = lambda key: draw_code(key, values, vae.guide, batch)  # noqa: E731
        return jax.lax.map(draw, draw_keys, batch_size=min(ROWS, num_draws))

    return map_rows(one_datum, rows, rows.keys, rows.data, at_a_time=1)
