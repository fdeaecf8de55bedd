"""Latent sites as numbers on R^n: which can be, draws of them, and the densities there."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import jax
from numpyro import handlers
from numpyro.distributions import biject_to
from numpyro.infer.util import compute_log_probs

from probvae.chunks import at_a_time
from probvae.distributions.support import named
from probvae.evidence import Batch
from probvae.objectives.terms import in_plate, latent_sites
from probvae.tracing import alone, compiled
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
            f'"{name}" is discrete ({named(support)}). Take fitted.log_prob; where the states are few, '
            "log p(x) is a sum over them, as objectives.ELBO() sums them in training."
        )
    try:
        whole = biject_to(support).domain is not None
    except NotImplementedError:
        whole = False
    if not whole:
        raise ValueError(
            f'annealing moves codes in R^n, and site "{name}" has the support {named(support)}, of '
            "which NumPyro knows no bijection (biject_to). Take fitted.log_prob."
        )


def _sites(program: Callable, values: Params, datum: Batch) -> dict[str, dict]:
    """Return the latent sites by name, in order of drawing, without arithmetic."""
    found: dict[str, dict] = {}

    def dry_run() -> None:
        trace = _traced(program, values, jax.random.key(0), datum)
        found.update({name: trace[name] for name in latent_sites(trace)})

    with alone():
        jax.eval_shape(dry_run)
    return found


def _traced(program: Callable, values: Params, rng_key: RngKey, datum: Batch) -> dict:
    seeded = handlers.substitute(handlers.seed(program, rng_key), data=dict(values))
    return handlers.trace(seeded).get_trace(*jax.tree.map(lambda a: a[None], datum))


def _bijections(vae: Any, values: Params, datum: Batch) -> dict[str, Any]:
    return {name: biject_to(s["fn"].support) for name, s in _sites(vae.model, values, datum).items()}


@partial(compiled, static_argnames=("vae", "start", "num_particles"))
def drawn(
    vae: Any, start: Start, values: Params, keys: jax.Array, data: Batch, num_particles: int
) -> Codes:
    """Draw codes of the start for each datum: on R^n, ``(n, particles, 1, ...)``."""

    def one_datum(row: tuple[RngKey, Batch]) -> Codes:
        key, datum = row

        def one(key: RngKey) -> Codes:
            trace = _traced(start(vae), values, key, datum)
            z = {name: trace[name]["value"] for name in latent_sites(trace)}
            return _inverse(vae, values, z, datum)

        return jax.vmap(one)(jax.random.split(key, num_particles))

    return jax.lax.map(one_datum, (keys, data), batch_size=at_a_time(len(keys), num_particles))


@partial(compiled, static_argnames=("vae",))
def unconstrained(vae: Any, values: Params, z: Codes, data: Batch) -> Codes:
    """Return codes ``(n, ...)`` on R^n, ``(n, 1, ...)``."""

    def one(row: tuple[Codes, Batch]) -> Codes:
        return _inverse(vae, values, jax.tree.map(lambda a: a[None], row[0]), row[1])

    return jax.lax.map(one, (z, data), batch_size=at_a_time(len(data.x)))


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
