"""What is asked of a fitted VAE, as compiled programs of its values."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpyro import handlers
from numpyro.distributions import Distribution, MixtureSameFamily

from probvae import inputs
from probvae.batching import (
    Rows,
    all_rows,
    data_per_block,
    is_traced,
    map_blocks,
    map_rows,
    num_rows,
    split_blocks,
)
from probvae.checks import check_function, check_kind, check_positive_integer, format_value
from probvae.compilation import compile_program, hold_trace_lock
from probvae.distributions import find_centre
from probvae.distributions.support import name_support
from probvae.evidence import Batch, BoundEstimate, average_over_noise, check_density
from probvae.fitted.guide_density_check import check_guide_draws
from probvae.fitted.row_distributions import can_return_distribution, compute_distribution
from probvae.objectives.terms import latent_sites, terms, trace_programs, unwrap_expanded
from probvae.progress import progress_bar
from probvae.typing import ArrayLike, Params, RngKey, Shape
from probvae.vae import VAE


class Samples(NamedTuple):
    """Draws from the model: ``x`` ``(n, *event)``, the mean of p(x|z) behind each, and the code z.

    Of levels without an order ``mean`` is the mode.
    """

    x: jax.Array
    mean: jax.Array
    z: Any


class Imputed(NamedTuple):
    """Draws of data whose missing entries were filled: ``x`` ``(num_samples, n, *event)``.

    ``effective_particles`` ``(n,)``: (sum_k w_k)^2 / sum_k w_k^2, of the particles that were weighed.
    """

    x: jax.Array
    effective_particles: jax.Array


def posterior_programs(program: Callable, values: Params) -> Callable:
    """Return a program whose parameters are numbers: hidden, so that no SVI finds and moves them."""
    fixed = handlers.substitute(program, data=dict(values))
    return handlers.block(fixed, hide_fn=lambda site: site["type"] in ("param", "mutable"))


def _substitute(vae: VAE, values: Params, program: str) -> Callable:
    return handlers.substitute(getattr(vae, program), data=dict(values))


def encode(vae: VAE, values: Params, data: Batch) -> Distribution:
    """Return q(z|x), from a compiled program where one can return it."""
    own = not type(vae.posterior).__module__.startswith("probvae.")
    if own and not is_traced((values, data)) and not can_return_distribution(_q_z, vae, values, data):
        with hold_trace_lock():
            return _guide_trace(vae, values, jax.random.key(0), data)["z"]["fn"]
    return compute_distribution(_q_z, vae, values, data)


def decode(vae: VAE, values: Params, z: ArrayLike, context: Any) -> Distribution:
    """Return p(x|z), from a compiled program."""
    return compute_distribution(_p_x, vae, values, (z, context))


@partial(compile_program, static_argnames=("vae",))
def _q_z(vae: VAE, values: Params, rows: Rows) -> Distribution:
    return _guide_trace(vae, values, jax.random.key(0), rows.data)["z"]["fn"]


@partial(compile_program, static_argnames=("vae",))
def _p_x(vae: VAE, values: Params, rows: Rows) -> Distribution:
    with handlers.substitute(data=dict(values)):
        return vae.p_x(*rows.data)


def _guide_trace(vae: VAE, values: Params, rng_key: RngKey, data: Batch) -> dict:
    guide = handlers.seed(_substitute(vae, values, "guide"), rng_key)
    return handlers.trace(guide).get_trace(*data)


def sample(vae: VAE, values: Params, rng_key: RngKey, num_samples: int, context: Any) -> Samples:
    """Run the model ``num_samples`` times without data, each time for all rows of the context."""
    number, told = np.arange(num_samples), context
    each = 0 if context is None else slice(num_rows(context))  # of the model's one row, or all
    if is_traced((values, rng_key, context)):
        drawn = _samples(vae, values, all_rows(number, rng_key), context)
        return jax.tree.map(lambda a: a[:, each], drawn)
    if context is not None:
        told = split_blocks(context, at_most=2 * num_rows(context))[0]().data
    drawn = map_blocks(lambda rows: _samples(vae, values, rows, told), number, rng_key)
    return jax.tree.map(lambda a: jax.device_put(a[:, each]), drawn)


@partial(compile_program, static_argnames=("vae",))
def _samples(vae: VAE, values: Params, rows: Rows, context: Any) -> Samples:
    def draw(key: RngKey, _: jax.Array) -> Samples:
        model = handlers.seed(_substitute(vae, values, "model"), key)
        trace = handlers.trace(model).get_trace(None, context)
        z = {name: trace[name]["value"] for name in trace if _latent(trace[name])}
        x = trace["x"]
        return Samples(x["value"], find_centre(x["fn"]), z["z"] if list(z) == ["z"] else z)

    return map_rows(draw, rows, batch_size=256)


def _latent(site: dict) -> bool:
    return site["type"] == "sample" and site["name"] != "x" and not site["is_observed"]


def reconstruct(
    vae: VAE, values: Params, rng_key: RngKey | None, data: Batch, read: Callable = find_centre
) -> Any:
    """Return the centre of p(x|z), at the mean of q(z|x) or, given ``rng_key``, at a draw of it.

    ``read`` says what else of p(x|z) is returned: arrays with a row for each datum.
    """
    program = _at_mean if rng_key is None else _at_draw
    return compute_rows(partial(program, vae, values, read=read), data, rng_key)


@partial(compile_program, static_argnames=("vae", "read"))
def _at_mean(vae: VAE, values: Params, rows: Rows, read: Callable) -> Any:
    z = _guide_trace(vae, values, jax.random.key(0), rows.data)["z"]["fn"].mean
    with handlers.substitute(data=dict(values)):
        return read(vae.p_x(z, rows.data.context))


@partial(compile_program, static_argnames=("vae", "read"))
def _at_draw(vae: VAE, values: Params, rows: Rows, read: Callable) -> Any:
    """Draw z for each row by a key of its own, and weights with a prior once for all rows."""
    model_key = jax.random.fold_in(rows.rng_key, 1)

    def one_datum(key: RngKey, datum: Batch) -> Any:
        data = jax.tree.map(lambda a: a[None], datum)
        drawn = _guide_trace(vae, values, key, data)
        model = handlers.seed(_substitute(vae, values, "model"), model_key)
        p = handlers.trace(handlers.replay(model, drawn)).get_trace(*data)["x"]["fn"]
        return jax.tree.map(lambda a: a[0], read(p))

    return jax.vmap(one_datum)(rows.keys, rows.data)


def interpolate(
    vae: VAE, values: Params, path: Callable, ends: jax.Array, num_points: int, context: Any
) -> jax.Array:
    """Return the centre of p(x|z) at points of a path between two codes, under one row of context."""
    at = np.linspace(0.0, 1.0, num_points, dtype=ends.dtype)
    codes = [path(ends[0], ends[1], t) for t in at]
    stack = jnp.stack if is_traced((values, codes, context)) else np.stack
    rows = stack(codes), None if context is None else stack([context] * num_points)
    return compute_rows(partial(_centres, vae, values), rows)


@partial(compile_program, static_argnames=("vae",))
def _centres(vae: VAE, values: Params, rows: Rows) -> jax.Array:
    with handlers.substitute(data=dict(values)):
        return find_centre(vae.p_x(*rows.data))


def responsibilities(
    vae: VAE, values: Params, rng_key: RngKey, data: Batch, num_particles: int
) -> jax.Array:
    """Return the mean over draws of z of p(k | z), or q of a site that is one of K."""
    program = partial(_responsibilities, vae, values, num_particles=num_particles)
    return compute_rows(program, data, rng_key)


@partial(compile_program, static_argnames=("vae", "num_particles"))
def _responsibilities(vae: VAE, values: Params, rows: Rows, num_particles: int) -> jax.Array:
    def draw(key: RngKey, datum: Batch) -> jax.Array:
        batch = jax.tree.map(lambda a: a[None], tuple(datum))
        guide, model = trace_programs(key, values, vae.model, vae.guide, batch, {})
        classes = [guide[name]["fn"] for name in guide if _of_classes(guide[name])]
        if classes:
            return classes[0].mean[0]
        name, p = _mixture(vae, model)
        return jax.nn.softmax(p.component_log_probs(guide[name]["value"]), axis=-1)[0]

    def one_datum(key: RngKey, datum: Batch) -> jax.Array:
        return jax.vmap(draw, in_axes=(0, None))(jax.random.split(key, num_particles), datum).mean(0)

    together = data_per_block(num_particles)
    return map_rows(one_datum, rows, batch_size=together)


def _of_classes(site: dict) -> bool:
    return site["type"] == "sample" and name_support(site["fn"].support) == "one-hot"


def _mixture(vae: VAE, model_trace: dict) -> tuple[str, Any]:
    """Return the site whose prior is a mixture, and that prior."""
    for name in latent_sites(model_trace):
        p = unwrap_expanded(model_trace[name]["fn"])
        if isinstance(p, MixtureSameFamily):
            return name, p
    raise TypeError(
        f"responsibilities are those of the components of a mixture, and the prior "
        f"{type(vae.prior).__name__} has none. Take priors.GaussianMixture(components=...)."
    )


def impute(
    vae: VAE, values: Params, rng_key: RngKey, data: Batch, *, num_samples: int, num_particles: int
) -> Imputed:
    """Draw (z, x) pairs of all particles, and of these ``num_samples`` in proportion to w."""
    check_guide_draws(vae, values, data)
    counts: dict[str, Any] = {"num_samples": num_samples, "num_particles": num_particles}
    x, effective = map_blocks(partial(_impute, vae, values, **counts), data, rng_key)
    return Imputed(*jax.device_put((np.moveaxis(x, 1, 0), effective)))


@partial(compile_program, static_argnames=("vae", "num_samples", "num_particles"))
def _impute(
    vae: VAE, values: Params, rows: Rows, *, num_samples: int, num_particles: int
) -> tuple[jax.Array, jax.Array]:
    def particle(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        batch = jax.tree.map(lambda a: a[None], datum)
        found = terms(key, values, vae.model, vae.guide, *batch, look=_draw_x)
        return found.log_weight[0], found.extra[0]

    def one_datum(key: RngKey, datum: Batch) -> tuple[jax.Array, jax.Array]:
        choice, particle_key = jax.random.split(key)
        log_w, x = jax.vmap(particle, in_axes=(0, None))(
            jax.random.split(particle_key, num_particles), datum
        )
        chosen = jax.random.categorical(choice, log_w, shape=(num_samples,))
        w = jax.nn.softmax(log_w)
        return jnp.where(datum.mask, datum.x, x[chosen]), 1 / jnp.square(w).sum()

    together = data_per_block(num_particles)
    return map_rows(one_datum, rows, batch_size=together)


def _draw_x(guide_trace: dict, model_trace: dict, rng_key: RngKey) -> jax.Array:
    return model_trace["x"]["fn"].sample(jax.random.fold_in(rng_key, 2))


def estimate_bound(
    kind: Callable,
    vae: VAE,
    values: Params,
    data: Batch,
    rng_key: RngKey,
    num_particles: int,
    num_draws: int,
    *,
    progress: bool,
) -> BoundEstimate:
    """Return a bound on log p(x), or its mean over draws of data whose likelihood has noise."""
    check_kind("progress", progress, bool)
    shown = partial(progress_bar, unit="block") if progress else None
    found = partial(kind, vae, values, num_particles=num_particles, progress=shown)
    check_density(vae)
    check_guide_draws(vae, values, data)
    noise = vae.likelihood.observation
    if isinstance(num_draws, bool) or not isinstance(num_draws, int) or num_draws != 0:
        check_positive_integer("num_noise_draws", num_draws)
    if noise is None or num_draws == 0:
        return found(data, rng_key=rng_key)
    return average_over_noise(found, noise, data, rng_key=rng_key, num_draws=num_draws)


def compute_rows(run: Callable[[Rows], Any], data: Any, rng_key: Any = None) -> Any:
    """Return the arrays that a compiled program gives for rows of data.

    Inside the user's own ``jit`` the program is a part of theirs.
    """
    if is_traced((run, data, rng_key)):
        return run(all_rows(data, rng_key))
    return jax.device_put(map_blocks(run, data, rng_key))


def check_sites(values: Any, like: Any) -> Any:
    """Return values by site; raise unless they are those of a fitted VAE's sites."""
    if not isinstance(values, Mapping) or values.keys() != like.keys():
        got = sorted(values) if isinstance(values, Mapping) else format_value(values)
        raise ValueError(f"values expects one for each site, {sorted(like)}; got {got}.")
    return values


def check_codes(z: Any, dim: int) -> Any:
    """Return codes ``(n, dim)``; raise for others, and where they are not finite."""
    codes = inputs.to_numbers("z", z)
    inputs.check_shape("z", codes.shape, (dim,), "latent_dim")
    _check_known("z", codes)
    return codes


def check_path_ends(vae: Any, start: Any, end: Any, path: Any, context: Any) -> tuple:
    """Return the ends of a path as arrays, and what both are told; raise where they are not one row."""
    check_function("path", path, 0, 0, 0, such_as="latent_paths.spherical")
    a, b = (_row(n, x, vae.event_shape, "event_shape") for n, x in (("start", start), ("end", end)))
    told = None if context is None else _row("context", context, vae.context_shape, "context_shape")
    return a, b, told


def _row(name: str, value: Any, shape: Shape, field: str) -> jax.Array:
    row = inputs.to_numbers(name, value)
    if row.shape != shape:
        raise ValueError(
            f"{name} has shape {row.shape}; expected one of shape {shape}, for {field}={shape}. "
            "Give one row and not a batch of them: x[0]."
        )
    return jnp.asarray(row)


def _check_known(name: str, array: Any) -> None:
    if array is not None and not isinstance(array, jax.core.Tracer):
        bad = ~np.isfinite(np.asarray(array).reshape(len(array), -1))
        if bad.any():
            raise ValueError(
                f"{name} holds {int(bad.sum())} values that are NaN or infinite, the first in row "
                f"{int(bad.any(axis=1).argmax())}; expected finite numbers. Drop those rows."
            )
