"""The one reader of traces: every objective and every bound is made of these terms."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import Distribution, ExpandedDistribution, Independent, kl_divergence

from probvae.typing import Params, RngKey

SHOWN = 8  # data whose scales are reported: all of them at every step would cost time


class Terms(NamedTuple):
    """What one run of guide and model says, per datum, unscaled, in nats.

    ``log_likelihood`` ``(batch,)`` is log p(x|z); ``log_prior`` and ``log_guide`` are log p and log q
    of the draw, and ``kl`` E_q[log q - log p], per latent site: in closed form, of shape ``(batch,
    units)`` where it is elementwise, or else the sampled log q - log p of shape ``(batch,)``.
    ``log_global`` is log p - log q of what belongs to no datum (weights with priors), or minus its KL
    in closed form. ``scale_x`` and ``scale_z`` are the mean standard deviations of p(x|z) and q(z|x),
    of the first ``SHOWN`` data; ``plate_scale`` is the plate's size over the batch. ``state`` is
    running state by site; ``seen`` what else an objective looked up in the traces.
    """

    log_likelihood: jax.Array
    log_prior: dict[str, jax.Array]
    log_guide: dict[str, jax.Array]
    kl: dict[str, jax.Array]
    log_global: jax.Array
    scale_x: jax.Array
    scale_z: jax.Array
    plate_scale: jax.Array
    state: dict[str, Any]
    seen: Any = None

    @property
    def total_kl(self) -> jax.Array:
        """The KL summed over sites and units, of the shape of ``log_likelihood``."""
        shape = self.log_likelihood.shape
        return sum((kl.reshape(*shape, -1).sum(-1) for kl in self.kl.values()), jnp.zeros(shape))

    @property
    def log_weight(self) -> jax.Array:
        """Log p(x, z) - log q(z|x), ``(batch,)``."""
        prior, guide = sum(self.log_prior.values()), sum(self.log_guide.values())
        return self.log_likelihood + prior - guide


def terms(
    rng_key: RngKey,
    params: Params,
    model: Any,
    guide: Any,
    *args: Any,
    closed_form: bool = True,
    traces: Callable | None = None,
    look: Callable | None = None,
    **kwargs: Any,
) -> Terms:
    """Run guide and model once and read their terms (one particle; vmap over keys for more).

    A KL is taken in closed form only where that is exact: NumPyro knows the pair, *and* every latent
    site drawn before it in the model is drawn before it in the guide too, so that all that p(z_i) is
    conditioned on is fixed when q(z_i) is integrated over.

    Args:
        rng_key: split as NumPyro's own objectives split it.
        params: values of parameters and running state, by site.
        model: the model program.
        guide: the guide program.
        args: the programs' arguments.
        closed_form: whether to use closed forms at all.
        traces: how the two programs are run; by default ``traced``. Gradient estimators differ.
        look: what else to read, ``(guide_trace, model_trace, rng_key) -> pytree``, kept as ``seen``.
        kwargs: the programs' keyword arguments.
    """
    guide_trace, model_trace = (traces or trace_programs)(rng_key, params, model, guide, args, kwargs)
    latents, order = latent_sites(model_trace), latent_sites(guide_trace)
    local = [name for name in latents if in_plate(model_trace[name])]
    log_prior = {name: site_log_prob(model_trace[name]) for name in latents}
    log_guide = {name: site_log_prob(guide_trace[name]) for name in latents}
    kl = {name: log_guide[name] - log_prior[name] for name in latents}
    if closed_form:
        exact = [name for name in latents if has_exact_closed_form(name, latents, order)]
        kl |= _compute_closed_forms(exact, guide_trace, model_trace)
    observed = [site for site in model_trace.values() if site["type"] == "sample"]
    observed = [site for site in observed if site["is_observed"]]
    log_global = [-kl[name].sum() for name in latents if name not in local]
    return Terms(
        log_likelihood=sum((site_log_prob(s) for s in observed if in_plate(s)), jnp.zeros(())),
        log_prior={name: log_prior[name] for name in local},
        log_guide={name: log_guide[name] for name in local},
        kl={name: kl[name] for name in local},
        log_global=sum(log_global, jnp.zeros(())),
        scale_x=_mean_scale(model_trace["x"]["fn"]),
        scale_z=jnp.stack([_mean_scale(guide_trace[name]["fn"]) for name in local]).mean(),
        plate_scale=_plate_scale(model_trace),
        state=state_of(guide_trace) | state_of(model_trace),
        seen=None if look is None else look(guide_trace, model_trace, rng_key),
    )


def trace_programs(
    rng_key: RngKey, params: Params, model: Any, guide: Any, args: tuple, kwargs: dict
) -> tuple[dict, dict]:
    """Return the traces of the guide, and of the model replayed against it."""
    model_key, guide_key = jax.random.split(rng_key)
    guide_trace = trace_guide(guide_key, params, guide, args, kwargs)
    return guide_trace, trace_model(model_key, params, model, guide_trace, args, kwargs)


def trace_guide(rng_key: RngKey, values: Params, guide: Any, args: tuple, kwargs: dict) -> dict:
    """Run the guide with values put in, by site."""
    seeded = handlers.seed(guide, rng_key)
    return handlers.trace(handlers.substitute(seeded, values)).get_trace(*args, **kwargs)


def trace_model(
    rng_key: RngKey, params: Params, model: Any, guide_trace: dict, args: tuple, kwargs: dict
) -> dict:
    """Run the model with the guide's draws."""
    params = {**params, **state_of(guide_trace)}
    replayed = handlers.replay(handlers.seed(model, rng_key), guide_trace)
    return handlers.trace(handlers.substitute(replayed, params)).get_trace(*args, **kwargs)


def has_exact_closed_form(name: str, model_order: list[str], guide_order: list[str]) -> bool:
    """Tell whether all latent sites before ``name`` in the model come before it in the guide."""
    above = model_order[: model_order.index(name)]
    return set(above) <= set(guide_order[: guide_order.index(name)])


def compute_closed_form_kl(q: Distribution, p: Distribution) -> jax.Array | None:
    """Return KL(q || p), per unit where it is elementwise; None where NumPyro knows no form."""
    q, p = unwrap_expanded(q), unwrap_expanded(p)
    if isinstance(q, Independent) and isinstance(p, Independent):
        if q.reinterpreted_batch_ndims == p.reinterpreted_batch_ndims:
            q, p = q.base_dist, p.base_dist
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return None


def _compute_closed_forms(
    names: list[str], guide_trace: dict, model_trace: dict
) -> dict[str, jax.Array]:
    found = {
        name: compute_closed_form_kl(guide_trace[name]["fn"], model_trace[name]["fn"]) for name in names
    }
    batch = {name: guide_trace[name]["fn"].batch_shape for name in names}
    return {
        name: jnp.broadcast_to(kl, batch[name] + kl.shape[len(batch[name]) :])
        for name, kl in found.items()
        if kl is not None
    }


def unwrap_expanded(d: Distribution) -> Distribution:
    """Return the distribution below a plate's expansion."""
    return d.base_dist if isinstance(d, ExpandedDistribution) else d


def site_log_prob(site: dict) -> jax.Array:
    """Log density of a site's value: per datum inside the plate, one number outside it."""
    told = (site["intermediates"],) if site["intermediates"] else ()
    log_prob = site["fn"].log_prob(site["value"], *told)
    return _per_datum(log_prob) if in_plate(site) else log_prob.sum()


def _per_datum(value: jax.Array) -> jax.Array:
    """Sum over all axes but the last, the data's."""
    return value.reshape(-1, value.shape[-1]).sum(0) if value.ndim > 1 else value


def in_plate(site: dict) -> bool:
    """Tell whether a site belongs to the data, one by one."""
    return any(frame.name == "data" for frame in site["cond_indep_stack"])


def latent_sites(trace: dict) -> list[str]:
    """Return the names of the latent sites, in order of drawing."""
    return [
        name for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]
    ]


def _mean_scale(d: Distribution) -> jax.Array:
    """Mean standard deviation; nan where the distribution knows none."""
    try:
        return jnp.sqrt(d.variance[:SHOWN]).mean()
    except NotImplementedError:
        return jnp.array(jnp.nan)


def _plate_scale(trace: dict) -> jax.Array:
    size, batch = trace["data"]["args"]
    return jnp.asarray(size / batch)


def state_of(trace: dict) -> dict[str, Any]:
    """Return the running state, by site."""
    return {name: site["value"] for name, site in trace.items() if site["type"] == "mutable"}
