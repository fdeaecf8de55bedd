"""Exact expectations over a discrete site of few states: no draws of it, and no funsor."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import Distribution

from probvae.compilation import hold_trace_lock
from probvae.distributions.support import name_support, num_states, states
from probvae.objectives.terms import Terms, latent_sites, terms, trace_guide
from probvae.typing import Params, RngKey, Shape


class EnumeratedTerms(NamedTuple):
    """The discrete site of a guide, and whether other latent sites are drawn beside it."""

    name: str
    values: np.ndarray  # its states
    shape: Shape  # of the site's value
    alone: bool


def find_discrete_site(
    rng_key: RngKey, params: Params, guide: Any, *args: Any, **kwargs: Any
) -> EnumeratedTerms | None:
    """Return the site that is summed over; None where no site is discrete.

    Raises:
        ValueError: if its states are too many, or there are several.
    """
    found = _latent_sites(rng_key, params, guide, args, kwargs)
    discrete = [name for name, fn in found.items() if fn.support.is_discrete]
    if not discrete:
        return None
    check_one(discrete)
    fn = found[discrete[0]]
    support = name_support(fn.support)
    values = states(support, fn.event_shape)
    if values is None:
        raise ValueError(refusal(discrete[0], support, fn.event_shape))
    return EnumeratedTerms(discrete[0], values, fn.batch_shape + fn.event_shape, len(found) == 1)


def enumerate_site(
    rng_key: RngKey,
    site: EnumeratedTerms,
    params: Params,
    model: Any,
    guide: Any,
    *args: Any,
    closed_form: bool = True,
    look: Any = None,
    **kwargs: Any,
) -> Terms:
    """Return terms that are expectations under q of the discrete site, summed over all its states.

    E_q[f(x, y)] = sum_y q(y|x) f(x, y), with gradients through the weights: exact, where a draw of y
    has none. Other sites are drawn, given each state of y, with the same noise; y's own KL is summed.
    In rows where y is known (``PartlyObserved``) all states are the same, and weigh the same.

    Raises:
        ValueError: if a running state depends on the site.
    """
    options = {"closed_form": closed_form, "look": look, **kwargs}

    def at(value: jax.Array) -> Terms:
        y = jnp.broadcast_to(value, site.shape)
        here = handlers.substitute(guide, data={site.name: y})
        return terms(rng_key, params, model, here, *args, **options)

    read = jax.vmap(at)(jnp.asarray(site.values, jnp.zeros(()).dtype))
    check_state(read.state)
    log_q, log_p = read.log_guide[site.name], read.log_prior[site.name]
    weight = jax.nn.softmax(log_q, axis=0)  # q itself, and uniform where it is masked
    read = read._replace(kl={**read.kl, site.name: log_q - log_p})

    def expectation(term: Any) -> Any:
        return jax.tree.map(
            lambda a: (jnp.expand_dims(weight, range(weight.ndim, a.ndim)) * a).sum(0), term
        )

    return Terms(
        log_likelihood=expectation(read.log_likelihood),
        log_prior=expectation(read.log_prior),
        log_guide=expectation(read.log_guide),
        kl=expectation(read.kl),
        log_global=read.log_global.mean(0),
        scale_x=read.scale_x.mean(0),
        scale_z=read.scale_z.mean(0),
        plate_scale=read.plate_scale[0],
        state=jax.tree.map(lambda a: a[0], read.state),  # the same for all states
        seen=expectation(read.seen),
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


def check_one(discrete: list[str], whose: str = "the guide") -> None:
    """Raise unless one site alone is to be summed over."""
    if len(discrete) > 1:
        raise ValueError(
            f"ELBO enumerates one discrete site, and {whose} draws {discrete} without gradients. Take "
            "numpyro.infer.TraceGraph_ELBO()."
        )


def _latent_sites(
    rng_key: RngKey, params: Params, guide: Any, args: tuple, kwargs: dict
) -> dict[str, Distribution]:
    """Trace the guide abstractly: no arithmetic is done."""
    found: dict[str, Distribution] = {}

    def dry_run() -> None:
        trace = trace_guide(rng_key, params, guide, args, kwargs)
        found.update({name: trace[name]["fn"] for name in latent_sites(trace)})

    with hold_trace_lock():
        jax.eval_shape(dry_run)
    return found
