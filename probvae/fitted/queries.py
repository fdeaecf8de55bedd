"""Queries of a fitted VAE as compiled programs: encode, decode, sample and bounds."""

from collections.abc import Callable, Mapping, Sequence
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
from probvae.checks import NonNegativeInt, check_kind, check_number, format_value
from probvae.compilation import compile_program, hold_trace_lock
from probvae.distributions import find_centre
from probvae.distributions.support import name_support
from probvae.evidence import Batch, BoundEstimate, average_over_noise, check_density
from probvae.fitted.guide_density_check import check_guide_draws
from probvae.fitted.row_distributions import can_return_distribution, compute_distribution
from probvae.interfaces import AbstractDistributionGuide
from probvae.objectives.terms import latent_sites, trace_programs, unwrap_expanded
from probvae.progress import progress_bar
from probvae.short_repr import short_repr
from probvae.typing import ArrayLike, DataLike, Params, Program, PyTree, RngKey, Shape, Trace
from probvae.vae import VAE


@short_repr
class Samples(NamedTuple):
    """Draws from the model.

    Attributes:
        x: data ``(n, *event_shape)``.
        mean: the mean of p(x|z) for each draw, or its mode for unordered levels.
        z: codes. For a program prior, a dictionary by site.
    """

    x: jax.Array
    mean: jax.Array
    z: Any


def posterior_programs(program: Program, values: Params) -> Program:
    """Return a program with fixed parameters. They are hidden, so that no SVI can move them."""
    fixed = handlers.substitute(program, data=dict(values))
    return handlers.block(fixed, hide_fn=lambda site: site["type"] in ("param", "mutable"))


def _substitute(vae: VAE, values: Params, program: str) -> Program:
    return handlers.substitute(getattr(vae, program), data=dict(values))


def encode(vae: VAE, values: Params, data: Batch) -> Distribution:
    """Return q(z|x), from a compiled program if that can return it."""
    # The package's own distributions are pytrees of all their arrays. Yours may not be, and then the
    # program runs uncompiled.
    is_custom = not type(vae.posterior).__module__.startswith("probvae.")
    if (
        is_custom
        and not is_traced((values, data))
        and not can_return_distribution(_q_z, vae, values, data)
    ):
        with hold_trace_lock():
            return _guide_trace(vae, values, jax.random.key(0), data)["z"]["fn"]
    return compute_distribution(_q_z, vae, values, data)


def decode(vae: VAE, values: Params, z: ArrayLike, context: ArrayLike | None) -> Distribution:
    """Return p(x|z), from a compiled program."""
    return compute_distribution(_p_x, vae, values, (z, context))


@partial(compile_program, static_argnames=("vae",))
def _q_z(vae: VAE, values: Params, rows: Rows) -> Distribution:
    return _guide_trace(vae, values, jax.random.key(0), rows.data)["z"]["fn"]


@partial(compile_program, static_argnames=("vae",))
def _p_x(vae: VAE, values: Params, rows: Rows) -> Distribution:
    with handlers.substitute(data=dict(values)):
        return vae.p_x(*rows.data)


def _guide_trace(vae: VAE, values: Params, rng_key: RngKey, data: Batch) -> Trace:
    guide = handlers.seed(_substitute(vae, values, "guide"), rng_key)
    return handlers.trace(guide).get_trace(*data)


def sample(
    vae: VAE, values: Params, rng_key: RngKey, num_samples: int, context: ArrayLike | None
) -> Samples:
    """Run the model ``num_samples`` times without data, each time for all rows of the context."""
    indices = np.arange(num_samples)
    rows_of_model = 0 if context is None else slice(num_rows(context))  # without a context, one row
    if is_traced((values, rng_key, context)):
        draws = _samples(vae, values, all_rows(indices, rng_key), context)
        return jax.tree.map(lambda a: a[:, rows_of_model], draws)
    if context is not None:  # padded, so that few numbers of rows are compiled
        context = split_blocks(context, at_most=2 * num_rows(context))[0]().data
    draws = map_blocks(lambda rows: _samples(vae, values, rows, context), indices, rng_key)
    return jax.tree.map(lambda a: jax.device_put(a[:, rows_of_model]), draws)


@partial(compile_program, static_argnames=("vae",))
def _samples(vae: VAE, values: Params, rows: Rows, context: ArrayLike | None) -> Samples:
    def draw(key: RngKey, _: jax.Array) -> Samples:
        model = handlers.seed(_substitute(vae, values, "model"), key)
        trace = handlers.trace(model).get_trace(None, context)
        z = {name: trace[name]["value"] for name in latent_sites(trace) if name != "x"}
        x = trace["x"]
        return Samples(x["value"], find_centre(x["fn"]), z["z"] if list(z) == ["z"] else z)

    return map_rows(draw, rows, batch_size=256)


def reconstruct(
    vae: VAE, values: Params, rng_key: RngKey | None, data: Batch, read: Callable = find_centre
) -> Any:
    """Return the centre of p(x|z) at the mean of q(z|x), or with ``rng_key`` at a draw of it.

    ``read`` returns another property of p(x|z): arrays with a row for each datum.
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
    """Draw z for each row with its own key, and weights with a prior once for all rows."""
    # The model's key is the same for all rows and blocks, so that q(w) is drawn once per call. z comes
    # from the guide's trace by `replay`, with a key per row.
    model_key = jax.random.fold_in(rows.rng_key, 1)

    def one_datum(key: RngKey, datum: Batch) -> Any:
        data = jax.tree.map(lambda a: a[None], datum)
        guide_trace = _guide_trace(vae, values, key, data)
        model = handlers.seed(_substitute(vae, values, "model"), model_key)
        p = handlers.trace(handlers.replay(model, guide_trace)).get_trace(*data)["x"]["fn"]
        return jax.tree.map(lambda a: a[0], read(p))

    return jax.vmap(one_datum)(rows.keys, rows.data)


def check_one_distribution(vae: VAE) -> None:
    """Raise TypeError unless the guide is one distribution."""
    if not isinstance(vae.posterior, AbstractDistributionGuide):
        raise TypeError(
            f"the posterior {type(vae.posterior).__name__} is a program with several sites, "
            "not one distribution. Draw from it: Predictive(fitted.guide, num_samples=...)(key, x)."
        )


def check_probabilities(vae: VAE, p: Any) -> Any:
    """Return probabilities of single values. Raise TypeError if the likelihood has none."""
    if p is None or (isinstance(p, dict) and not p):
        raise TypeError(
            f"the likelihood {vae.likelihood} has no probabilities of single values. For its "
            "variance or log_prob, use p(x|z) itself: fitted.decode(fitted.encode(x).mean)."
        )
    return p


def interpolate(
    vae: VAE, values: Params, codes: Sequence[ArrayLike], context: ArrayLike | None
) -> jax.Array:
    """Return the centre of p(x|z) for the codes of a path, under one row of context."""
    stack = jnp.stack if is_traced((values, codes, context)) else np.stack
    rows = stack(codes), None if context is None else stack([context] * len(codes))
    return compute_rows(partial(_centres, vae, values), rows)


@partial(compile_program, static_argnames=("vae",))
def _centres(vae: VAE, values: Params, rows: Rows) -> jax.Array:
    with handlers.substitute(data=dict(values)):
        return find_centre(vae.p_x(*rows.data))


def responsibilities(
    vae: VAE, values: Params, rng_key: RngKey, data: Batch, num_particles: int
) -> jax.Array:
    """Return the mean over draws of z of p(k | z), or q of a site with K classes."""
    program = partial(_responsibilities, vae, values, num_particles=num_particles)
    return compute_rows(program, data, rng_key)


@partial(compile_program, static_argnames=("vae", "num_particles"))
def _responsibilities(vae: VAE, values: Params, rows: Rows, num_particles: int) -> jax.Array:
    def draw(key: RngKey, datum: Batch) -> jax.Array:
        batch = jax.tree.map(lambda a: a[None], tuple(datum))
        guide, model = trace_programs(key, values, vae.model, vae.guide, batch, {})
        classes = [guide[name]["fn"] for name in guide if _is_class_site(guide[name])]
        if classes:
            return classes[0].mean[0]
        name, p = _mixture(vae, model)
        return jax.nn.softmax(p.component_log_probs(guide[name]["value"]), axis=-1)[0]

    def one_datum(key: RngKey, datum: Batch) -> jax.Array:
        return jax.vmap(draw, in_axes=(0, None))(jax.random.split(key, num_particles), datum).mean(0)

    return map_rows(one_datum, rows, batch_size=data_per_block(num_particles))


def _is_class_site(site: dict) -> bool:
    return site["type"] == "sample" and name_support(site["fn"].support) == "one-hot"


def _mixture(vae: VAE, model_trace: Trace) -> tuple[str, MixtureSameFamily]:
    """Return the site whose prior is a mixture, and the prior."""
    for name in latent_sites(model_trace):
        p = unwrap_expanded(model_trace[name]["fn"])
        if isinstance(p, MixtureSameFamily):
            return name, p
    raise TypeError(
        "responsibilities expects a mixture prior, such as priors.GaussianMixture(components=...); got "
        f"{type(vae.prior).__name__}."
    )


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
    """Return a bound on log p(x), or its mean over draws of the likelihood's noise (``Spread``)."""
    check_kind("progress", progress, bool)
    bar = partial(progress_bar, unit="block") if progress else None
    estimate = partial(kind, vae, values, num_particles=num_particles, progress=bar)
    check_density(vae)
    check_guide_draws(vae, values, data)
    noise = vae.likelihood.observation
    check_number("num_noise_draws", num_draws, NonNegativeInt)
    if noise is None or num_draws == 0:
        return estimate(data, rng_key=rng_key)
    return average_over_noise(estimate, noise, data, rng_key=rng_key, num_draws=num_draws)


def compute_rows(run: Callable[[Rows], Any], data: PyTree, rng_key: RngKey | None = None) -> Any:
    """Return the arrays that a compiled program computes for rows of data.

    Inside your own ``jit``, the program becomes a part of yours.
    """
    if is_traced((run, data, rng_key)):
        return run(all_rows(data, rng_key))
    return jax.device_put(map_blocks(run, data, rng_key))


def check_sites(values: object, like: Params) -> Params:
    """Return values by site. Raise ValueError unless they have the sites of a fitted VAE."""
    if not isinstance(values, Mapping) or values.keys() != like.keys():
        got = sorted(values) if isinstance(values, Mapping) else format_value(values)
        raise ValueError(f"values expects a value for each site, {sorted(like)}; got {got}.")
    return values


def check_codes(z: DataLike, dim: int) -> ArrayLike:
    """Return finite codes ``(n, dim)``. Raise ValueError for others."""
    codes = inputs.to_numbers("z", z)
    inputs.check_shape("z", codes.shape, (dim,), "latent_dim")
    if not isinstance(codes, jax.core.Tracer):
        bad = ~np.isfinite(np.asarray(codes))
        if bad.any():
            raise ValueError(
                f"z expects finite numbers; {int(bad.sum())} values are NaN or infinite, the first in "
                f"row {int(bad.any(axis=1).argmax())}. Drop those rows."
            )
    return codes


def check_row(name: str, value: DataLike, shape: Shape, field: str) -> jax.Array:
    """Return one row as an array of shape ``shape``. Raise ValueError for another shape."""
    row = inputs.to_numbers(name, value)
    if row.shape != shape:
        raise ValueError(
            f"{name} expects shape {shape}, which is {field}; got {row.shape}. Give one row, such as "
            "x[0], not a batch."
        )
    return jnp.asarray(row)
