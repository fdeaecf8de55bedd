"""The terms of an objective, read from the traces of guide and model. All bounds use them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import Distribution, ExpandedDistribution, Independent, kl_divergence

from probvae.typing import Params, Program, RngKey

NUM_SCALES = 8  # data whose scales are recorded: all of them, at every step, would cost time


class Terms(NamedTuple):
    """The terms of one run of guide and model, per datum, unscaled, in nats.

    - ``log_likelihood`` ``(batch,)``: log p(x|z).
    - ``log_prior`` and ``log_guide``: log p and log q of the draw, by latent site.
    - ``kl``: E_q[log q - log p] by latent site. It is ``(batch, units)`` for an elementwise closed
      form, and ``(batch,)`` for another closed form or the sampled log q - log p.
    - ``log_global``: log p - log q of sites that all data share (weights with priors), or minus their
      KL in closed form.
    - ``scale_x`` and ``scale_z``: mean standard deviations of p(x|z) and q(z|x), over the first
      ``NUM_SCALES`` data.
    - ``plate_scale``: the size of the data plate divided by the batch size.
    - ``state``: running state by site.
    - ``extra``: what the objective's own ``look`` returns.
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
    extra: Any = None

    @property
    def total_kl(self) -> jax.Array:
        """The KL summed over sites and units, in the shape of ``log_likelihood``."""
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
    model: Program,
    guide: Program,
    *args: Any,
    closed_form: bool = True,
    traces: Callable | None = None,
    look: Callable | None = None,
    **kwargs: Any,
) -> Terms:
    """Run guide and model once, and return the terms of one particle.

    Args:
        rng_key: split as NumPyro's own objectives split it.
        params: values of parameters and running state, by site.
        model: the model program.
        guide: the guide program.
        args: the programs' arguments.
        closed_form: use the closed form of a KL where it is exact.
        traces: how to run the two programs, ``trace_programs`` by default. Estimators replace it.
        look: reads more from the traces, ``(guide_trace, model_trace, rng_key) -> pytree``. The result
            is ``Terms.extra``.
        kwargs: the programs' keyword arguments.
    """
    # A closed form is exact only if NumPyro knows the pair *and* the guide draws z_i after every site
    # that precedes z_i in the model. Then all that p(z_i) depends on is fixed while q(z_i) is
    # integrated over. For a guide with another order, the KL of z_i is sampled.
    guide_trace, model_trace = (traces or trace_programs)(rng_key, params, model, guide, args, kwargs)
    latents, order = latent_sites(model_trace), latent_sites(guide_trace)
    local = [name for name in latents if in_plate(model_trace[name])]
    log_prior = {name: site_log_prob(model_trace[name]) for name in latents}
    log_guide = {name: site_log_prob(guide_trace[name]) for name in latents}
    kl = {name: log_guide[name] - log_prior[name] for name in latents}
    if closed_form:
        exact = [name for name in latents if has_exact_closed_form(name, latents, order)]
        kl |= _compute_closed_forms(exact, guide_trace, model_trace)
    sample_sites = [site for site in model_trace.values() if site["type"] == "sample"]
    observed = [site for site in sample_sites if site["is_observed"]]
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
        state=running_state(guide_trace) | running_state(model_trace),
        extra=None if look is None else look(guide_trace, model_trace, rng_key),
    )


def trace_programs(
    rng_key: RngKey, params: Params, model: Program, guide: Program, args: tuple, kwargs: dict
) -> tuple[dict, dict]:
    """Return the traces of the guide, and of the model replayed against it."""
    model_key, guide_key = jax.random.split(rng_key)
    guide_trace = trace_guide(guide_key, params, guide, args, kwargs)
    return guide_trace, trace_model(model_key, params, model, guide_trace, args, kwargs)


def trace_guide(rng_key: RngKey, values: Params, guide: Program, args: tuple, kwargs: dict) -> dict:
    """Run the guide with the values substituted, by site, and return its trace."""
    seeded = handlers.seed(guide, rng_key)
    return handlers.trace(handlers.substitute(seeded, values)).get_trace(*args, **kwargs)


def trace_model(
    rng_key: RngKey, params: Params, model: Program, guide_trace: dict, args: tuple, kwargs: dict
) -> dict:
    """Run the model with the guide's draws, and return its trace."""
    params = {**params, **running_state(guide_trace)}
    replayed = handlers.replay(handlers.seed(model, rng_key), guide_trace)
    return handlers.trace(handlers.substitute(replayed, params)).get_trace(*args, **kwargs)


def has_exact_closed_form(name: str, model_order: list[str], guide_order: list[str]) -> bool:
    """Return whether all latent sites before ``name`` in the model precede it in the guide, too."""
    earlier = model_order[: model_order.index(name)]
    return set(earlier) <= set(guide_order[: guide_order.index(name)])


def compute_closed_form_kl(q: Distribution, p: Distribution) -> jax.Array | None:
    """Return KL(q || p), per unit if it is elementwise. Return None if NumPyro has no closed form."""
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
    forms = {
        name: compute_closed_form_kl(guide_trace[name]["fn"], model_trace[name]["fn"]) for name in names
    }
    batch = {name: guide_trace[name]["fn"].batch_shape for name in names}
    return {
        name: jnp.broadcast_to(kl, batch[name] + kl.shape[len(batch[name]) :])
        for name, kl in forms.items()
        if kl is not None
    }


def unwrap_expanded(d: Distribution) -> Distribution:
    """Return the distribution inside a plate's expansion."""
    return d.base_dist if isinstance(d, ExpandedDistribution) else d


def site_log_prob(site: dict) -> jax.Array:
    """Return the log density of a site's value: per datum inside the plate, one number outside it."""
    intermediates = (site["intermediates"],) if site["intermediates"] else ()
    log_prob = site["fn"].log_prob(site["value"], *intermediates)
    return _per_datum(log_prob) if in_plate(site) else log_prob.sum()


def _per_datum(value: jax.Array) -> jax.Array:
    """Sum over all axes but the last, which is that of the data."""
    return value.reshape(-1, value.shape[-1]).sum(0) if value.ndim > 1 else value


def in_plate(site: dict) -> bool:
    """Return whether a site is inside the data plate, so that each datum has its own value."""
    return any(frame.name == "data" for frame in site["cond_indep_stack"])


def latent_sites(trace: dict) -> list[str]:
    """Return the names of the latent sites, in the order of their draws."""
    return [
        name for name, site in trace.items() if site["type"] == "sample" and not site["is_observed"]
    ]


def _mean_scale(d: Distribution) -> jax.Array:
    """Return the mean standard deviation, or nan if the distribution has no variance."""
    try:
        return jnp.sqrt(d.variance[:NUM_SCALES]).mean()
    except NotImplementedError:
        return jnp.array(jnp.nan)


def _plate_scale(trace: dict) -> jax.Array:
    size, batch = trace["data"]["args"]
    return jnp.asarray(size / batch)


def running_state(trace: dict) -> dict[str, Any]:
    """Return the running state, by site."""
    return {name: site["value"] for name, site in trace.items() if site["type"] == "mutable"}
