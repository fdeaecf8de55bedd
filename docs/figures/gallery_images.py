"""Panels of images: what a model draws, reconstructs, or shows along its code."""

from itertools import product
from typing import Any

import jax
import numpy as np
from gallery_canvas import Panel, draw_tiles
from gallery_queries import event_shape, kl_of_units, normal_code, select_test
from matplotlib.axes import Axes
from numpyro import handlers
from numpyro.infer import Predictive

from probvae.fitted import Fitted
from probvae.fitted.latent_paths import spherical
from probvae.runs import Run
from probvae.runs.evaluation import select_batch
from probvae.runs.figures import has_mean_code

COLUMNS, ROWS = 6, 4
WIDE_ROWS = 3  # of a picture with one panel


def samples(
    axes: Axes, run: Run, key: jax.Array, *, columns: int = COLUMNS, draws: bool = False
) -> None:
    """Means of p(x|z), or with ``draws`` x itself, at draws of the prior."""
    found = run.fitted.sample(ROWS * columns, rng_key=key)
    images = found.x if draws else found.mean
    title = "draws of x" if draws else "samples: E[x | z], z ~ p(z)"
    draw_tiles(axes, _grid(images, columns), title, limits=run.limits)


def drawn_samples(axes: Axes, run: Run, key: jax.Array) -> None:
    """Draws of x."""
    samples(axes, run, key, draws=True)


def conditional_samples(axes: Axes, run: Run, key: jax.Array) -> None:
    """Samples of a VAE with a context, at the context of the first test rows."""
    context = run.data.context["test"][: ROWS * COLUMNS]
    images = run.fitted.sample(1, rng_key=key, context=context).mean[0]
    draw_tiles(axes, _grid(images), "samples at beta = 1", limits=run.limits)


def reconstructions(axes: Axes, run: Run, key: jax.Array) -> None:
    """Test rows, each above its reconstruction."""
    x = select_test(run).x[: 2 * COLUMNS]
    means = run.fitted.reconstruct(x, rng_key=None if has_mean_code(run) else key)
    rows = [x[:COLUMNS], means[:COLUMNS], x[COLUMNS:], means[COLUMNS:]]
    draw_tiles(axes, rows, "test data, and E[x | z] of them", limits=run.limits)


def manifold(axes: Axes, run: Run, key: jax.Array) -> None:
    """E[x|z] on a grid of two-dimensional codes."""
    codes = np.stack(np.meshgrid(np.linspace(-2, 2, 6), np.linspace(2, -2, 4)), -1)
    images = run.fitted.decode(codes.reshape(-1, 2)).mean.reshape(*codes.shape[:2], *event_shape(run))
    draw_tiles(axes, images, "E[x | z] on a grid of z", limits=run.limits)


def _grid(images: Any, columns: int = COLUMNS) -> np.ndarray:
    images = np.asarray(images)
    return images.reshape(-1, columns, *images.shape[1:])


def pseudo_inputs(axes: Axes, run: Run, key: jax.Array) -> None:
    """The learned inputs of a VampPrior."""
    u = np.asarray(run.fitted.params["prior$pseudo_inputs"])[: ROWS * COLUMNS]
    draw_tiles(axes, _grid(u), "learned pseudo-inputs u", limits=run.limits)


def components(axes: Axes, run: Run, key: jax.Array) -> None:
    """Draws of each component of a mixture prior, in the order of their weights."""
    params = run.fitted.params
    weights = np.asarray(jax.nn.softmax(params["prior$logits"]))
    order = np.argsort(-weights)
    loc, scale = (np.asarray(params[f"prior${name}"])[order] for name in ("loc", "scale"))
    noise = np.asarray(jax.random.normal(key, (WIDE_ROWS, *loc.shape)))
    z = (loc + scale * noise).reshape(-1, loc.shape[-1])
    images = run.fitted.decode(z).mean.reshape(WIDE_ROWS, len(loc), *event_shape(run))
    labels = [f"{w:.0%}" for w in weights[order]]
    draw_tiles(
        axes, images, "draws of each component, and its weight", limits=run.limits, columns=labels
    )


def codebook(axes: Axes, run: Run, key: jax.Array) -> None:
    """E[x|z] of every code of bits, in the order of their probability."""
    n = run.fitted.vae.latent_dim
    codes = np.array(list(product((0.0, 1.0), repeat=n)), np.float32)
    logits = np.asarray(run.fitted.params["prior$logits"])
    order = np.argsort(-(codes @ logits))
    images = np.asarray(run.fitted.decode(codes[order]).mean)
    title = f"E[x | z] of all {len(codes)} codes of {n} bits, the most frequent first"
    draw_tiles(axes, _grid(images, 16), title, limits=run.limits)


def interpolations(axes: Axes, run: Run, key: jax.Array) -> None:
    """Paths between the codes of test rows."""
    x = select_test(run).x
    path = {"path": spherical} if "Spherical" in str(run.fitted.vae.posterior) else {}
    pairs = [(0, 1), (2, 5), (6, 8), (10, 4)]
    rows = [run.fitted.interpolate(x[a], x[b], num_points=COLUMNS, **path) for a, b in pairs]
    draw_tiles(axes, rows, "from one datum to another", limits=run.limits)


def denoised(axes: Axes, run: Run, key: jax.Array) -> None:
    """Test rows, the same with noise, and their reconstructions from the noisy ones."""
    x = select_test(run).x[:COLUMNS]
    y = run.fitted.vae.observe(key, x)
    means = run.fitted.reconstruct(y)
    draw_tiles(
        axes, [x, y, means], "x, noisy y, f(z) from y", limits=run.limits, labels=["x", "y", "f"]
    )


def held_out(axes: Axes, run: Run, key: jax.Array) -> None:
    """Test rows."""
    x = select_test(run).x[: ROWS * COLUMNS]
    draw_tiles(axes, _grid(x), "test data x", limits=run.limits)


def pixel_scales(axes: Axes, run: Run, key: jax.Array) -> None:
    """The scale of each pixel at draws of the prior."""
    z = run.fitted.sample(ROWS * COLUMNS, rng_key=jax.random.fold_in(key, 0)).z
    scale = np.asarray(run.fitted.decode(z).base_dist.scale)
    draw_tiles(axes, _grid(scale), "sigma of each pixel", limits=(0.0, float(scale.max())))


def traversals(axes: Axes, run: Run, key: jax.Array) -> None:
    """E[x|z] along the four units with the largest KL, the others at 0."""
    units = np.argsort(-kl_of_units(*normal_code(run)).mean(0))[:ROWS]
    codes = np.zeros((ROWS, COLUMNS + 1, run.fitted.vae.latent_dim), np.float32)
    for row, unit in enumerate(units):
        codes[row, :, unit] = np.linspace(-2.5, 2.5, COLUMNS + 1)
    images = run.fitted.decode(codes.reshape(-1, codes.shape[-1])).mean
    images = images.reshape(*codes.shape[:2], *event_shape(run))
    labels = [f"z[{u}]" for u in units]
    draw_tiles(axes, images, "one unit per row, -2.5 to 2.5", limits=run.limits, labels=labels)


def reconstructions_by_beta(axes: Axes, run: Run, key: jax.Array) -> None:
    """Test rows, reconstructed at four values of beta."""
    x = select_test(run).x[:COLUMNS]
    betas = (0.01, 1.0, 4.0)
    contexts = [np.full((len(x), 1), np.log(beta), np.float32) for beta in betas]
    rows = [x, *(run.fitted.reconstruct(x, context=context) for context in contexts)]
    labels = ["x", *(f"{beta:g}" for beta in betas)]
    draw_tiles(axes, rows, "reconstructed, by beta", limits=run.limits, labels=labels)


def same_top(site: str) -> Panel:
    """Return a panel of samples, with one top code for each row."""

    def draw(axes: Axes, run: Run, key: jax.Array) -> None:
        images = _draw_below(run.fitted, site, key)
        draw_tiles(axes, images, f"samples, one {site} per row", limits=run.limits)

    return draw


def _draw_below(fitted: Fitted, site: str, key: jax.Array) -> jax.Array:
    def top(key: jax.Array) -> jax.Array:
        return handlers.trace(handlers.seed(fitted.model, key)).get_trace()[site]["value"]

    def below(key: jax.Array, z: jax.Array) -> jax.Array:
        model = handlers.seed(handlers.condition(fitted.model, {site: z}), key)
        return handlers.trace(model).get_trace()["x"]["fn"].mean[0]

    def row(key: jax.Array) -> jax.Array:
        z, keys = top(key), jax.random.split(jax.random.fold_in(key, 1), COLUMNS)
        return jax.vmap(lambda each: below(each, z))(keys)

    return jax.jit(jax.vmap(row))(jax.random.split(key, ROWS))


def classes(axes: Axes, run: Run, key: jax.Array) -> None:
    """E[x|z, y] with a code for each row and a class for each column."""
    z = np.asarray(jax.random.normal(key, (WIDE_ROWS, run.fitted.vae.latent_dim)))
    rows = [run.fitted.decode(np.tile(code, (10, 1)), np.eye(10, dtype=np.float32)).mean for code in z]
    names = [str(k) for k in range(10)]
    draw_tiles(axes, rows, "one code per row, one class per column", limits=run.limits, columns=names)


def style_transfer(axes: Axes, run: Run, key: jax.Array) -> None:
    """Test rows, and E[x|z, y] of their style with each class."""
    x, context, _ = select_batch(run.fitted.vae, run.data, "test", slice(WIDE_ROWS))
    style = Predictive(run.fitted.guide, num_samples=1)(key, x, context)["z"][0]
    rows = []
    for datum, code in zip(x, np.asarray(style), strict=True):
        codes = np.concatenate([np.tile(code, (10, 1)), np.eye(10, dtype=np.float32)], 1)
        rows.append(np.concatenate([datum[None], np.asarray(run.fitted.decode(codes).mean)]))
    names = ["x", *(str(k) for k in range(10))]
    draw_tiles(axes, rows, "a test digit's style, in every class", limits=run.limits, columns=names)
