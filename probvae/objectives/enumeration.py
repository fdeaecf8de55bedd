"""Exact expectations over a discrete code of few states: no draws, and no funsor."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpyro import handlers

from probvae.distributions.support import named, num_states, states
from probvae.objectives.terms import Terms, terms
from probvae.typing import Params, RngKey, Shape


class _Site(NamedTuple):
    batch_shape: Shape
    event_shape: Shape
    support: str
    discrete: bool


def enumerated(
    rng_key: RngKey, params: Params, model: Any, guide: Any, *args: Any, **kwargs: Any
) -> Terms | None:
    """Return terms that are expectations under q(z|x), summed over all states of z.

    E_q[f(x, z)] = sum_z q(z|x) f(x, z), with gradients through the weights: exact, where a draw of z
    has none. The terms have a leading axis of one particle. None where no site is discrete.

    Raises:
        ValueError: if the states are too many, the discrete site is not the only latent one, or a
            running state depends on it.
    """
    found = _latent_sites(rng_key, params, guide, args, kwargs)
    if not any(site.discrete for site in found.values()):
        return None
    name, site = _only(found)
    values = states(site.support, site.event_shape)
    if values is None:
        raise ValueError(refusal(name, site.support, site.event_shape))

    def at(value: jax.Array) -> Terms:
        z = jnp.broadcast_to(value, site.batch_shape + site.event_shape)
        here = handlers.substitute(guide, data={name: z})
        return terms(rng_key, params, model, here, *args, closed_form=False, **kwargs)

    read = jax.vmap(at)(jnp.asarray(values, jnp.zeros(()).dtype))
    check_state(read.state)
    weight = jnp.exp(read.log_guide[name])

    def expectation(term: Any) -> Any:
        return jax.tree.map(lambda a: (weight * a).sum(0, keepdims=True), term)

    return read._replace(
        log_likelihood=expectation(read.log_likelihood),
        log_prior=expectation(read.log_prior),
        log_guide=expectation(read.log_guide),
        kl=expectation(read.kl),
    )


def refusal(name: str, support: str, event_shape: Shape) -> str:
    """Say why a discrete site is not enumerated, and what to do."""
    count = num_states(support, event_shape)
    has = f"{count} states" if count else f"support {support} and event shape {event_shape}"
    return (
        "ELBO enumerates a discrete code where its states are at most 1024 (10 bits, or one of 1024), "
        f'and site "{name}" has {has}. Take numpyro.infer.TraceGraph_ELBO(), or a shorter code.'
    )


SUMS = "ELBO runs the decoder once for each state of the discrete code, so that the"


def check_state(state: Any, why: str = SUMS, how: str = "weighted by q") -> None:
    """Raise if a running state depends on the code: its update would not be weighted as the bound."""
    odd = sorted(name for name in state if not name.startswith(("encoder", "objective")))
    if odd:
        raise ValueError(
            f"{why} running state {odd} would not be {how}. Take parts without state (LayerNorm "
            "instead of BatchNorm; a learned scale instead of the optimal one)."
        )


def _latent_sites(
    rng_key: RngKey, params: Params, guide: Any, args: tuple, kwargs: dict
) -> dict[str, _Site]:
    """Trace the guide abstractly: no arithmetic is done."""
    found: dict[str, _Site] = {}

    def dry_run() -> None:
        seeded = handlers.seed(guide, rng_key)
        trace = handlers.trace(handlers.substitute(seeded, params)).get_trace(*args, **kwargs)
        for name, site in trace.items():
            if site["type"] == "sample" and not site["is_observed"]:
                fn = site["fn"]
                discrete = bool(fn.support.is_discrete)
                found[name] = _Site(fn.batch_shape, fn.event_shape, named(fn.support), discrete)

    with handlers.block():
        jax.eval_shape(dry_run)
    return found


def _only(found: dict[str, _Site]) -> tuple[str, _Site]:
    if len(found) == 1:
        return next(iter(found.items()))
    raise ValueError(
        f"ELBO enumerates one discrete site, and the guide has the latent sites {sorted(found)}. Take "
        "numpyro.infer.TraceGraph_ELBO()."
    )
