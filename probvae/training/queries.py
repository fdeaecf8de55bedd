"""What is asked of a fitted VAE, as compiled programs of its values."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from numpyro import handlers
from numpyro.distributions import Distribution, MixtureSameFamily

from probvae.chunks import data_at_a_time
from probvae.distributions.support import named
from probvae.evidence import Batch, Evidence, over_noise
from probvae.fields import check_kind
from probvae.objectives.terms import latent_sites, terms, traced, unexpanded
from probvae.tracing import alone, compiled
from probvae.training import checks
from probvae.training.progress import bar
from probvae.typing import Params, RngKey
from probvae.vae import VAE


class Samples(NamedTuple):
    """Draws from the model: ``x`` ``(n, *event)``, the mean of p(x|z) behind each, and the code z."""

    x: jax.Array
    mean: jax.Array
    z: Any


class Imputed(NamedTuple):
    """Draws of data whose missing entries were filled: ``x`` ``(num_samples, n, *event)``.

    ``effective_particles`` ``(n,)``: (sum_k w_k)^2 / sum_k w_k^2, of the particles that were weighed.
    """

    x: jax.Array
    effective_particles: jax.Array


def numbers_in(program: Callable, values: Params) -> Callable:
    """Return a program whose parameters are numbers: hidden, so that no SVI finds and moves them."""
    fixed = handlers.substitute(program, data=dict(values))
    return handlers.block(fixed, hide_fn=lambda site: site["type"] in ("param", "mutable"))


def _substituted(vae: VAE, values: Params, program: str) -> Callable:
    return handlers.substitute(getattr(vae, program), data=dict(values))


def encode(vae: VAE, values: Params, x: Any, context: Any, mask: Any) -> Distribution:
    """Return q(z|x). Not compiled: a flow's layers hold nets, which no compiled program returns."""
    with alone():
        guide = handlers.seed(_substituted(vae, values, "guide"), jax.random.key(0))
        return handlers.trace(guide).get_trace(x, context, mask)["z"]["fn"]


@partial(compiled, static_argnames=("vae",))
def decode(vae: VAE, values: Params, z: jax.Array, context: Any) -> Distribution:
    """Return p(x|z)."""
    with handlers.substitute(data=dict(values)):
        return vae.p_x(z, context)


@partial(compiled, static_argnames=("vae",))
def sample(vae: VAE, values: Params, keys: jax.Array, context: Any) -> Samples:
    """Run the model once for each key, without data."""

    def draw(key: RngKey) -> Samples:
        model = handlers.seed(_substituted(vae, values, "model"), key)
        trace = handlers.trace(model).get_trace(None, context)
        z = {name: trace[name]["value"] for name in trace if _latent(trace[name])}
        return Samples(trace["x"]["value"], trace["x"]["fn"].mean, z["z"] if list(z) == ["z"] else z)

    return jax.lax.map(draw, keys, batch_size=min(len(keys), 256))


def _latent(site: dict) -> bool:
    return site["type"] == "sample" and site["name"] != "x" and not site["is_observed"]


@partial(compiled, static_argnames=("vae",))
def reconstruct(vae: VAE, values: Params, rng_key: RngKey, *data: Any) -> jax.Array:
    """Return the mean of p(x|z) at a draw of q(z|x)."""
    guide = handlers.seed(_substituted(vae, values, "guide"), rng_key)
    drawn = handlers.trace(guide).get_trace(*data)
    model = handlers.seed(_substituted(vae, values, "model"), jax.random.fold_in(rng_key, 1))
    model = handlers.replay(model, drawn)
    return handlers.trace(model).get_trace(*data)["x"]["fn"].mean


@partial(compiled, static_argnames=("vae",))
def responsibilities(vae: VAE, values: Params, keys: jax.Array, data: Batch) -> jax.Array:
    """Return the mean over draws of z of p(k | z), or q of a site that is one of K."""

    def draw(key: RngKey) -> jax.Array:
        guide, model = traced(key, values, vae.model, vae.guide, tuple(data), {})
        classes = [guide[name]["fn"] for name in guide if _of_classes(guide[name])]
        if classes:
            return classes[0].mean
        name, p = _mixture(vae, model)
        return jax.nn.softmax(p.component_log_probs(guide[name]["value"]), axis=-1)

    return jax.lax.map(draw, keys).mean(0)


def _of_classes(site: dict) -> bool:
    return site["type"] == "sample" and named(site["fn"].support) == "one-hot"


def _mixture(vae: VAE, model_trace: dict) -> tuple[str, Any]:
    """Return the site whose prior is a mixture, and that prior."""
    for name in latent_sites(model_trace):
        p = unexpanded(model_trace[name]["fn"])
        if isinstance(p, MixtureSameFamily):
            return name, p
    raise TypeError(
        f"responsibilities are those of the components of a mixture, and the prior "
        f"{type(vae.prior).__name__} has none. Take priors.GaussianMixture(components=...)."
    )


@partial(compiled, static_argnames=("vae", "num_samples", "num_particles"))
def impute(
    vae: VAE, values: Params, keys: jax.Array, data: Batch, *, num_samples: int, num_particles: int
) -> Imputed:
    """Draw (z, x) pairs of all particles, and of these ``num_samples`` in proportion to w."""

    def particle(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        batch = jax.tree.map(lambda a: a[None], datum)
        found = terms(key, values, vae.model, vae.guide, *batch, look=_drawn_x)
        return found.log_weight[0], found.seen[0]

    def one_datum(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        choice, particle_key = jax.random.split(key)
        log_w, x = jax.vmap(particle, in_axes=(0, None))(
            jax.random.split(particle_key, num_particles), datum
        )
        chosen = jax.random.categorical(choice, log_w, shape=(num_samples,))
        w = jax.nn.softmax(log_w)
        return jnp.where(datum.mask, datum.x, x[chosen]), 1 / jnp.square(w).sum()

    at_a_time = data_at_a_time(num_particles)
    x, effective = jax.lax.map(lambda row: one_datum(*row), (keys, data), batch_size=at_a_time)
    return Imputed(jnp.moveaxis(x, 1, 0), effective)


def _drawn_x(guide_trace: dict, model_trace: dict, rng_key: RngKey) -> jax.Array:
    return model_trace["x"]["fn"].sample(jax.random.fold_in(rng_key, 2))


def bound(
    kind: Callable,
    vae: VAE,
    values: Params,
    data: Batch,
    rng_key: RngKey,
    num_particles: int,
    num_draws: int,
    *,
    progress: bool,
) -> Evidence:
    """Return a bound on log p(x), or its mean over draws of data whose likelihood has noise."""
    check_kind("progress", progress, bool)
    shown = partial(bar, unit="block") if progress else None
    found = partial(kind, vae, values, num_particles=num_particles, progress=shown)
    noise = vae.likelihood.observation
    if isinstance(num_draws, bool) or not isinstance(num_draws, int) or num_draws != 0:
        checks.check_count("num_noise_draws", num_draws)
    if noise is None or num_draws == 0:
        return found(data, rng_key=rng_key)
    return over_noise(found, noise, data, rng_key=rng_key, num_draws=num_draws)


def repeated(row: Any, times: int) -> jax.Array | None:
    """Return a context's row as often as asked; None without one."""
    return None if row is None else jnp.stack([jnp.asarray(row)] * times)
