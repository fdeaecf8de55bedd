"""A fitted VAE and data in ArviZ's form."""

from functools import partial
from typing import Any

import jax
import numpy as np
from numpyro import handlers

from probvae.evidence import Batch, check_density
from probvae.objectives import terms
from probvae.objectives.terms import traced
from probvae.training import Fitted, checks
from probvae.typing import RngKey


def to_datatree(fitted: Fitted, x: Any, *, rng_key: RngKey, num_samples: int = 100) -> Any:
    """Return draws of q(z|x) and what belongs to them as an ``xarray.DataTree``, ArviZ's own form.

    Dimensions have names: ``sample``, ``datum``, ``latent`` (``y_dim`` for a class ``y`` beside z) and
    the event's own (``x_dim_0``, ...).
    Groups: ``posterior`` (draws of the guide's sites), ``posterior_predictive`` (the mean of p(x|z)),
    ``prior`` (as many draws of p(z)), ``observed_data``, ``log_likelihood`` (log p(x|z) per datum, in
    nats) and ``sample_stats`` (``log_weight``, log p(x, z) - log q(z|x), in nats).

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
    try:
        from arviz_base import from_dict
    except ImportError as error:
        raise ImportError("to_datatree needs arviz-base: pip install 'probvae[arviz]'.") from error
    check_density(fitted.vae)
    checks.check_key(rng_key)
    checks.check_count("num_samples", num_samples)
    data = checks.checked_batch(fitted.vae, x, "x", checks.AS_IT_IS)
    data = data._replace(x=fitted.vae.observe(jax.random.fold_in(rng_key, num_samples), data.x))
    groups = jax.device_get(_draws(fitted.vae.eval(), fitted.values, rng_key, data, num_samples))
    groups["observed_data"] = {"x": np.asarray(data.x)}
    axes = [f"x_dim_{i}" for i in range(len(fitted.vae.event_shape))]
    units = {name: "latent" if name.startswith("z") else f"{name}_dim" for name in groups["posterior"]}
    dims = {name: ["datum", unit] for name, unit in units.items()}
    dims |= {"x": ["datum", *axes], "log_weight": ["datum"]}
    return from_dict(groups, sample_dims=["sample"], dims=dims)


@partial(jax.jit, static_argnames=("vae", "num_samples"))
def _draws(vae: Any, values: Any, rng_key: RngKey, data: Batch, num_samples: int) -> dict[str, dict]:
    def draw(key: RngKey) -> dict[str, dict]:
        posterior_key, prior_key = jax.random.split(key)
        read = terms(posterior_key, values, vae.model, vae.guide, *data)
        guide, model = traced(posterior_key, values, vae.model, vae.guide, tuple(data), {})
        prior = handlers.substitute(handlers.seed(vae.model, prior_key), values)
        drawn = handlers.trace(prior).get_trace(*data)
        return {
            "posterior": {name: guide[name]["value"] for name in read.kl},
            "posterior_predictive": {"x": model["x"]["fn"].mean},
            "prior": {name: drawn[name]["value"] for name in read.kl},
            "log_likelihood": {"x": read.log_likelihood},
            "sample_stats": {"log_weight": read.log_weight},
        }

    return jax.lax.map(draw, jax.random.split(rng_key, num_samples))
