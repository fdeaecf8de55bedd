"""Exact sums over a discrete latent site of few states, in place of draws."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import Distribution

from probvae.compilation import trace_abstractly
from probvae.distributions.support import count_states, list_states, name_support
from probvae.objectives.terms import Terms, latent_sites, terms, trace_guide
from probvae.typing import Params, Program, RngKey, Shape


class DiscreteSite(NamedTuple):
    """The discrete site of a guide, and whether it is the guide's only latent site."""

    name: str
    values: np.ndarray  # its states
    shape: Shape  # of the site's value
    alone: bool


def find_discrete_site(
    rng_key: RngKey, params: Params, guide: Program, *args: Any, **kwargs: Any
) -> DiscreteSite | None:
    """Return the site to sum over, or None if no site is discrete.

    Raises:
        ValueError: if there are several discrete sites, or too many states.
    """
    sites = _latent_distributions(rng_key, params, guide, args, kwargs)
    discrete = [name for name, fn in sites.items() if fn.support.is_discrete]
    if not discrete:
        return None
    check_single_site(discrete)
    fn = sites[discrete[0]]
    support = name_support(fn.support)
    values = list_states(support, fn.event_shape)
    if values is None:
        raise ValueError(explain_refusal(discrete[0], support, fn.event_shape))
    return DiscreteSite(discrete[0], values, fn.batch_shape + fn.event_shape, len(sites) == 1)


def enumerate_site(
    rng_key: RngKey,
    site: DiscreteSite,
    params: Params,
    model: Program,
    guide: Program,
    *args: Any,
    closed_form: bool = True,
    look: Callable | None = None,
    **kwargs: Any,
) -> Terms:
    r"""Return terms that are expectations under q of the discrete site, summed over all its states.

    $E_q[f(x, y)] = \sum_y q(y|x) f(x, y)$. The sum is exact, and its gradient reaches the weights
    q(y|x), for which a draw of y has no gradient. Other sites are drawn given each state of y, with the
    same noise. The KL of y is summed, too.

    Raises:
        ValueError: if a running state depends on the site.
    """
    # vmap runs guide and model once per state y, with the site substituted. So every term gets a
    # leading axis of states, which the weights q(y|x) reduce. In a row where the label is known
    # (`PartlyObserved`), substitution has no effect: all states give the same terms, log q is 0 for
    # each, and the softmax gives them equal weights. So the sum is the term at the label.
    options = {"closed_form": closed_form, "look": look, **kwargs}

    def terms_at(state: jax.Array) -> Terms:
        y = jnp.broadcast_to(state, site.shape)
        substituted = handlers.substitute(guide, data={site.name: y})
        return terms(rng_key, params, model, substituted, *args, **options)

    read = jax.vmap(terms_at)(jnp.asarray(site.values, jnp.zeros(()).dtype))  # (states, batch)
    check_state(read.state)
    log_q, log_p = read.log_guide[site.name], read.log_prior[site.name]
    weight = jax.nn.softmax(log_q, axis=0)  # q itself, or uniform where the label is known
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
        extra=expectation(read.extra),
    )


def explain_refusal(name: str, support: str, event_shape: Shape) -> str:
    """Return why a discrete site has too many states to sum over, and what to do."""
    count = count_states(support, event_shape)
    got = f"{count} states" if count else f"support {support} and event shape {event_shape}"
    return (
        f'ELBO expects a discrete code of at most 1024 states (10 bits, or one of 1024); site "{name}" '
        f"has {got}. Use a shorter code, or numpyro.infer.TraceGraph_ELBO()."
    )


def check_state(state: Iterable[str], objective: str = "ELBO") -> None:
    """Raise if a running state depends on the code, so that its update would be weighted wrongly."""
    dependent = sorted(name for name in state if not name.startswith(("encoder", "objective")))
    if dependent:
        raise ValueError(
            f"{objective} expects parts without running state; got {dependent}. Use LayerNorm instead "
            "of BatchNorm, and a learned scale instead of the optimal one."
        )


def check_single_site(discrete: list[str], guide_name: str = "the guide") -> None:
    """Raise if there are several discrete sites to sum over."""
    if len(discrete) > 1:
        raise ValueError(
            f"ELBO sums over one discrete site; {guide_name} draws {discrete} without gradients. Use "
            "numpyro.infer.TraceGraph_ELBO()."
        )


def _latent_distributions(
    rng_key: RngKey, params: Params, guide: Program, args: tuple, kwargs: dict
) -> dict[str, Distribution]:
    """Return the guide's distributions by site, with shapes in place of numbers."""

    def distributions() -> tuple[dict[str, Distribution], None]:
        trace = trace_guide(rng_key, params, guide, args, kwargs)
        return {name: trace[name]["fn"] for name in latent_sites(trace)}, None

    return trace_abstractly(distributions)[0]
