"""A fitted VAE and data in ArviZ's form."""

from functools import partial
from typing import Any

import jax
import numpy as np
from numpyro import handlers

from probvae.criticism.pareto import LEAST_PARTICLES, from_log_weights
from probvae.evidence import Batch, check_density
from probvae.objectives import terms
from probvae.objectives.terms import traced
from probvae.tracing import compiled
from probvae.training import Fitted, checks
from probvae.typing import RngKey


def to_datatree(fitted: Fitted, x: Any, *, rng_key: RngKey, num_samples: int = 100) -> Any:
    """Return draws of q(z|x) and what belongs to them as an ``xarray.DataTree``, ArviZ's own form.

    Dimensions have names: ``sample``, ``datum``, ``latent`` (``y_dim`` for a class ``y`` beside z) and
    the event's own (``x_dim_0``, ...).
    Groups: ``posterior`` (draws of the guide's sites), ``posterior_predictive`` (x ~ p(x|z) at each),
    ``prior`` and ``prior_predictive`` (as many draws of the model), ``observed_data``,
    ``log_likelihood`` (log p(x|z) per datum, in nats) and ``sample_stats``, in nats: ``log_weight``,
    log p(x, z) - log q(z|x); ``kl``, of which the sampled one varies; ``elbo``, log p(x|z) - kl; and
    from 100 draws on ``k_hat`` per datum.

    Args:
        fitted: a fitted VAE.
        x: data ``(n, *event_shape)``, or a ``Batch(x, context, mask)``; where the likelihood adds noise
            (``Spread``), all groups are about one noisy draw of them.
        rng_key: a typed key.
        num_samples: draws of z per datum.

    Raises:
        ImportError: without ``arviz-base``: ``pip install 'probvae[arviz]'``.
        ValueError: where a part is no density: there are no log weights.
    """
    checks.check_fitted(fitted)
    try:
        import xarray as xr
        from arviz_base import from_dict
    except ImportError as error:
        raise ImportError("to_datatree needs arviz-base: pip install 'probvae[arviz]'.") from error
    check_density(fitted.vae)
    checks.check_key(rng_key)
    checks.check_count("num_samples", num_samples)
    data = fitted.check_data(x)
    data = data._replace(x=fitted.vae.observe(jax.random.fold_in(rng_key, num_samples), data.x))
    groups = jax.device_get(_draws(fitted.vae.eval(), fitted.values, rng_key, data, num_samples))
    groups["observed_data"] = {"x": np.asarray(data.x)}
    axes = [f"x_dim_{i}" for i in range(len(fitted.vae.event_shape))]
    units = {name: "latent" if name.startswith("z") else f"{name}_dim" for name in groups["posterior"]}
    dims = {name: ["datum", unit] for name, unit in units.items()}
    dims |= {"x": ["datum", *axes], **dict.fromkeys(groups["sample_stats"], ["datum"])}
    tree = from_dict(groups, sample_dims=["sample"], dims=dims)
    if num_samples >= LEAST_PARTICLES:
        found = from_log_weights(groups["sample_stats"]["log_weight"])
        tree["sample_stats"]["k_hat"] = xr.DataArray(found.k_hat, dims=["datum"])
    return tree


@partial(compiled, static_argnames=("vae", "num_samples"))
def _draws(vae: Any, values: Any, rng_key: RngKey, data: Batch, num_samples: int) -> dict[str, dict]:
    def draw(key: RngKey) -> dict[str, dict]:
        posterior_key, prior_key, *x_keys = jax.random.split(key, 4)
        read = terms(posterior_key, values, vae.model, vae.guide, *data)
        guide, model = traced(posterior_key, values, vae.model, vae.guide, tuple(data), {})
        prior = handlers.substitute(handlers.seed(vae.model, prior_key), values)
        drawn = handlers.trace(prior).get_trace(*data)
        return {
            "posterior": {name: guide[name]["value"] for name in read.kl},
            "posterior_predictive": {"x": model["x"]["fn"].sample(x_keys[0])},
            "prior": {name: drawn[name]["value"] for name in read.kl},
            "prior_predictive": {"x": drawn["x"]["fn"].sample(x_keys[1])},
            "log_likelihood": {"x": read.log_likelihood},
            "sample_stats": {
                "log_weight": read.log_weight,
                "elbo": read.log_likelihood - read.total_kl,
                "kl": read.total_kl,
            },
        }

    return jax.lax.map(draw, jax.random.split(rng_key, num_samples))
