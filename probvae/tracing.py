"""What a VAE's programs are made of, by a traced dry run: sites, shapes and supports, no numbers."""

from functools import lru_cache
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import (
    Delta,
    Distribution,
    ExpandedDistribution,
    Independent,
    MaskedDistribution,
)
from numpyro.distributions import TransformedDistribution as Transformed

from probvae.compilation import hold_trace_lock
from probvae.distributions.support import name_support
from probvae.interfaces import AbstractVAE
from probvae.typing import Shape


class Site(NamedTuple):
    """A latent site of a program."""

    event_shape: Shape
    discrete: bool
    reparametrised: bool
    support: str
    scaled: bool
    point: bool = False  # all mass on one value, which is no density
    shared: bool = False  # by all data: outside their plate


class Structure(NamedTuple):
    """What a VAE's programs are made of, found by a traced dry run: no numbers."""

    model: dict[str, Site]  # latent sites, in order of drawing
    guide: dict[str, Site]
    params: dict[str, Any]  # shapes and dtypes, by site
    state: dict[str, Any]


@lru_cache(maxsize=64)
def trace_structure(vae: AbstractVAE) -> Structure:
    """Trace a VAE's programs abstractly, on two data of zeros: no arithmetic is done."""
    found: list[tuple[dict, dict]] = []

    def dry_run() -> tuple[Any, Any]:
        x = jnp.zeros((2, *vae.event_shape))
        context = jnp.zeros((2, *vae.context_shape)) if vae.context_shape else None
        model, guide = (
            handlers.trace(handlers.seed(program, jax.random.key(0))).get_trace(x, context)
            for program in (vae.model, vae.guide)
        )
        _check_density(vae, model["x"]["fn"])
        found.append((_latents(model), _latents(guide)))
        traces = {**model, **guide}
        return _values(traces, "param"), _values(traces, "mutable")

    with hold_trace_lock():  # a VAE may be built inside a program: its sites are not to be seen there
        params, state = jax.eval_shape(dry_run)
    return Structure(*found[-1], params, state)


def has_shared_latents(vae: AbstractVAE) -> bool:
    """Tell whether a latent site belongs to all data, whose number then counts."""
    return any(site.shared for site in trace_structure(vae).model.values())


def _check_density(vae: Any, p: Distribution) -> None:
    if isinstance(_below(p), Delta):
        raise ValueError(
            f"the likelihood {type(vae.likelihood).__name__} puts all mass on one point and has no "
            "density. Add noise to data and model: likelihoods.Spread(likelihoods.Delta(), "
            "noise=data.GaussianNoise(...))."
        )


def _below(p: Distribution) -> Distribution:
    """Return the distribution below plates' expansions, event dimensions, masks and transforms."""
    while isinstance(p, Independent | ExpandedDistribution | MaskedDistribution | Transformed):
        p = p.base_dist
    return p


def _values(trace: dict, kind: str) -> dict[str, Any]:
    return {name: site["value"] for name, site in trace.items() if site["type"] == kind}


def _latents(trace: dict) -> dict[str, Site]:
    return {
        name: _site(site)
        for name, site in trace.items()
        if site["type"] == "sample" and not site["is_observed"]
    }


def _site(site: dict) -> Site:
    support = site["fn"].support
    return Site(
        event_shape=tuple(site["fn"].event_shape),
        discrete=bool(support.is_discrete),
        reparametrised=site["fn"].has_rsample,
        support=name_support(support),
        scaled=site["scale"] is not None,
        point=isinstance(_below(site["fn"]), Delta),
        shared=all(frame.name != "data" for frame in site["cond_indep_stack"]),
    )
