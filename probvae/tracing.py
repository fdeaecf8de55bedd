"""The structure of a VAE's programs: latent sites, supports, and shapes of the parameters."""

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

from probvae.compilation import trace_abstractly
from probvae.distributions.support import name_support
from probvae.interfaces import AbstractVAE
from probvae.typing import Shape, Trace


class Site(NamedTuple):
    """A latent site of a program.

    Attributes:
        event_shape: shape of one value.
        discrete: whether the support is discrete.
        reparametrised: whether draws have gradients.
        support: the name of the support.
        scaled: whether ``handlers.scale`` applies to the site.
        point: whether all mass is on one value, which is not a density.
        shared: whether the site is outside of the data's plate, as weights are.
    """

    event_shape: Shape
    discrete: bool
    reparametrised: bool
    support: str
    scaled: bool
    point: bool = False
    shared: bool = False


class Structure(NamedTuple):
    """Sites and shapes of a VAE's programs.

    Attributes:
        model: latent sites of the model, in order of drawing.
        guide: latent sites of the guide, in order of drawing.
        params: shapes and dtypes of the parameters, by site.
        state: shapes and dtypes of the running state, by site.
    """

    model: dict[str, Site]
    guide: dict[str, Site]
    params: dict[str, Any]
    state: dict[str, Any]


@lru_cache(maxsize=64)
def trace_structure(vae: AbstractVAE) -> Structure:
    """Return the structure of a VAE's programs, from an abstract trace on two data."""

    # The values are zeros, but no arithmetic runs: the trace gives shapes, supports and plates alone.
    # Both programs run here, as a guide may register parameters that the model lacks.
    def trace_programs() -> tuple[tuple[dict, dict], tuple[dict, dict]]:
        x = jnp.zeros((2, *vae.event_shape))
        context = jnp.zeros((2, *vae.context_shape)) if vae.context_shape else None
        model, guide = (
            handlers.trace(handlers.seed(program, jax.random.key(0))).get_trace(x, context)
            for program in (vae.model, vae.guide)
        )
        _check_density(vae, model["x"]["fn"])
        traces = {**model, **guide}
        values = _values(traces, "param"), _values(traces, "mutable")
        return (_latents(model), _latents(guide)), values

    sites, shapes = trace_abstractly(trace_programs)
    return Structure(*sites, *shapes)


def has_shared_latents(vae: AbstractVAE) -> bool:
    """Tell whether all data share a latent site, so that the programs need ``num_data``."""
    return any(site.shared for site in trace_structure(vae).model.values())


def _check_density(vae: AbstractVAE, p: Distribution) -> None:
    if isinstance(_base(p), Delta):
        raise ValueError(
            f"the likelihood {type(vae.likelihood).__name__} puts all mass on one point, so it has no "
            "density. Add noise to data and model: likelihoods.Spread(likelihoods.Delta(), "
            "noise=data.GaussianNoise(...))."
        )


def _base(p: Distribution) -> Distribution:
    """Return the base distribution, without event dimensions, expansions, masks and transforms."""
    while isinstance(p, Independent | ExpandedDistribution | MaskedDistribution | Transformed):
        p = p.base_dist
    return p


def _values(trace: Trace, kind: str) -> dict[str, Any]:
    return {name: site["value"] for name, site in trace.items() if site["type"] == kind}


def _latents(trace: Trace) -> dict[str, Site]:
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
        point=isinstance(_base(site["fn"]), Delta),
        shared=all(frame.name != "data" for frame in site["cond_indep_stack"]),
    )
