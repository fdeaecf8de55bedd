"""Panels of codes, densities and curves: what a model's idea measures on its own fit."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
from gallery_canvas import BLUE, GREEN, GREY, ORANGE, Panel, draw_digits, limits_of, tidy
from gallery_queries import defaults, kl_of_units, normal_code, select_test
from matplotlib.axes import Axes
from scipy import stats
from scipy.ndimage import gaussian_filter

from probvae import guides
from probvae.criticism import active_units
from probvae.evidence import Batch
from probvae.runs import Run

ON_SPHERE = 500  # test rows


def latent_map(axes: Axes, run: Run, key: jax.Array) -> None:
    """The means of q(z|x) of the test rows, in two dimensions."""
    codes = np.asarray(run.fitted.encode(select_test(run).x).mean)
    _digit_axes(axes, codes, "means of q(z | x)")
    draw_digits(axes, codes, run.data.labels["test"])


def _digit_axes(axes: Axes, points: np.ndarray, title: str) -> None:
    tidy(axes, title, "z[0]", "z[1]")
    axes.set(xlim=limits_of(points[:, 0]), ylim=limits_of(points[:, 1]))


def prior_and_codes(axes: Axes, run: Run, key: jax.Array) -> None:
    """Draws of q(z|x) as digits, over the density of the prior."""
    prior_key, code_key = jax.random.split(key)
    draws = np.asarray(run.fitted.sample(20_000, rng_key=prior_key).z)
    draws = draws.reshape(20_000, 2)
    codes = np.asarray(run.fitted.encode(select_test(run).x).sample(code_key))
    _digit_axes(axes, codes, "draws of q(z | x) over p(z)")
    box = [axes.get_xlim(), axes.get_ylim()]
    density, xs, ys = np.histogram2d(*draws.T, bins=90, range=box)
    density = gaussian_filter(density, 2.0).T
    levels = density.max() * np.array([0.02, 0.08, 0.2, 0.4, 0.7, 1.01])
    middle = (xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2
    axes.contourf(*middle, density, levels, cmap="Greys", vmin=-density.max(), vmax=2.5 * density.max())
    draw_digits(axes, codes, run.data.labels["test"])


def rate_of_each_datum(axes: Axes, run: Run, key: jax.Array) -> None:
    """The KL of each test datum, beside the least that the prior allows."""
    loc, scale = normal_code(run)
    n, prior = loc.shape[1], run.fitted.vae.prior
    lag = np.abs(np.arange(n)[:, None] - np.arange(n))
    covariance = prior.alpha(n) ** lag
    precision = np.linalg.inv(covariance)
    quadratic = np.einsum("ri,ij,rj->r", loc, precision, loc)
    trace = (scale**2 * np.diag(precision)).sum(1)
    log_det = np.linalg.slogdet(covariance)[1] - 2 * np.log(scale).sum(1)
    kl = 0.5 * (quadratic + trace - n + log_det)
    axes.hist(kl, bins=24, color=BLUE, alpha=0.8)
    axes.axvline(prior.delta, color=ORANGE, lw=2)
    axes.text(prior.delta, axes.get_ylim()[1], " delta", color=ORANGE, va="top", fontsize=8.5)
    axes.set_xlim(0, None)
    tidy(axes, "KL(q(z | x) || p(z)) of each datum", "nats", "test data")


def tails(axes: Axes, run: Run, key: jax.Array) -> None:
    """The entries of draws of q(z|x), beside the t prior and a normal."""
    codes = np.asarray(run.fitted.encode(select_test(run).x).sample(key, (20,))).ravel()
    grid = np.linspace(-6, 6, 200)
    axes.hist(codes, bins=60, density=True, color=BLUE, alpha=0.35, label="codes")
    nu = run.fitted.vae.prior.nu
    axes.plot(grid, stats.t(nu).pdf(grid), color=ORANGE, lw=1.8, label=f"t, nu = {nu:g}")
    axes.plot(grid, stats.norm.pdf(grid), color=GREY, lw=1.5, ls="--", label="normal")
    axes.set_yscale("log")
    axes.set(ylim=(1e-4, 1), xlim=(-6, 6))
    axes.legend(fontsize=7, frameon=False, loc="lower center")
    tidy(axes, "entries of z, log density", "z", "")


def hemisphere(side: str) -> Panel:
    """Return a panel of the codes on one half of the sphere, in Lambert's equal-area projection."""

    def draw(axes: Axes, run: Run, key: jax.Array) -> None:
        codes = np.asarray(run.fitted.encode(select_test(run).x[:ON_SPHERE]).mean)
        codes = codes / np.linalg.norm(codes, axis=1, keepdims=True)
        sign = 1.0 if side == "front" else -1.0
        chosen = codes[:, 2] * sign >= 0
        a, b, c = codes[chosen].T
        points = np.stack([a, b], 1) * np.sqrt(2 / (1 + c * sign))[:, None]
        axes.set_aspect("equal")
        axes.axis("off")
        radius, turn = np.sqrt(2), np.linspace(0, 2 * np.pi, 200)
        for angle in (30, 60, 90):
            ring = radius * np.sqrt(1 - np.cos(np.radians(angle)))
            axes.plot(ring * np.cos(turn), ring * np.sin(turn), color="#d5dae2", lw=1, zorder=0)
        for angle in range(0, 180, 30):
            spoke = np.array([np.cos(np.radians(angle)), np.sin(np.radians(angle))]) * radius
            axes.plot(*np.stack([-spoke, spoke]).T, color="#e8ebf0", lw=0.8, zorder=0)
        axes.set(xlim=(-1.45, 1.45), ylim=(-1.45, 1.45))
        draw_digits(axes, points, run.data.labels["test"][:ON_SPHERE][chosen])
        axes.set_title(f"codes, {side} of the sphere", fontsize=9, loc="left")

    return draw


def exact_posterior(rows: tuple[int, ...]) -> tuple[Panel, ...]:
    """Return panels of the exact posterior of test rows, and draws of q(z|x)."""
    return tuple(_posterior_panel(row) for row in rows)


def _posterior_panel(row: int) -> Panel:
    def draw(axes: Axes, run: Run, key: jax.Array) -> None:
        x = select_test(run).x[row]
        draws = np.asarray(run.fitted.encode(x[None]).sample(key, (400,)))[:, 0]
        boxes = [limits_of(draws[:, i], 0.25) for i in range(2)]
        grid = np.stack(np.meshgrid(*(np.linspace(*box, 90) for box in boxes)), -1)
        log_p = run.fitted.decode(grid.reshape(-1, 2)).log_prob(x) - 0.5 * (grid**2).sum(-1).ravel()
        density = np.exp(np.asarray(log_p - log_p.max())).reshape(90, 90)
        levels = (0.02, 0.1, 0.3, 0.6, 1.01)
        axes.contourf(grid[..., 0], grid[..., 1], density, levels, cmap="Blues", vmin=-0.2, vmax=1.4)
        axes.plot(*draws.T, ".", color=ORANGE, ms=1.6, alpha=0.7)
        tidy(axes, f"a {run.data.labels['test'][row]}: p(z | x), q", "z[0]", "")
        axes.tick_params(labelleft=False)

    return draw


def relaxed_bits(axes: Axes, run: Run, key: jax.Array) -> None:
    """What the decoder receives for draws of q(z|x): nearly bits."""
    z = run.fitted.encode(select_test(run).x).sample(key, (5,))
    codes = np.asarray(run.fitted.vae.prior.code(z)).ravel()
    axes.hist(codes, bins=50, range=(0, 1), color=BLUE, alpha=0.85, density=True)
    tidy(axes, "entries of the code", "", "density")


def inner_steps(axes: Axes, run: Run, key: jax.Array) -> None:
    """The test ELBO after so many inner steps from the encoder's q(z|x)."""
    fitted, x = run.fitted, select_test(run).x
    counts, values = (0, 1, 2, 5), []
    for count in counts:
        guide = guides.SemiAmortized(steps=count) if count else guides.MeanField()
        changed = replace(fitted, vae=replace(fitted.vae, posterior=guide))
        values.append(changed.elbo(x, rng_key=key, num_particles=20).mean)
    axes.plot(counts, values, "-o", color=BLUE, ms=4)
    axes.axvline(fitted.vae.posterior.steps, color=GREY, ls=":", lw=1.2)
    tidy(axes, "test ELBO by inner steps", "inner steps", "nats")


def pixel_densities(axes: Axes, run: Run, key: jax.Array) -> None:
    """p(x|z) of single pixels, one code."""
    p = run.fitted.decode(run.fitted.encode(select_test(run).x[:1]).mean).base_dist
    grid = np.linspace(0.001, 0.999, 200)
    density = np.exp(p.log_prob(grid.reshape(-1, 1, 1, 1) + jnp.zeros((1, 8, 8)))).reshape(200, -1)
    means = np.asarray(p.mean).ravel()
    for wanted, colour in zip(
        (0.05, 0.3, 0.5, 0.7, 0.95), (BLUE, GREEN, GREY, ORANGE, "#20242c"), strict=True
    ):
        pixel = np.abs(means - wanted).argmin()
        axes.plot(grid, density[:, pixel], color=colour, lw=1.6, label=f"{means[pixel]:.2f}")
    axes.set(ylim=(0, 5), xlim=(0, 1))
    axes.legend(title="E[x | z]", fontsize=6.5, title_fontsize=7, frameon=False, loc="upper center")
    tidy(axes, "p(x | z) of five pixels", "x", "density")


def residuals(axes: Axes, run: Run, key: jax.Array) -> None:
    """What is left of test data after reconstruction, beside the noise that p(x|z) assumes."""
    x = select_test(run).x
    p = run.fitted.decode(run.fitted.encode(x).sample(key)).base_dist
    left, scale = np.asarray(x - p.loc).ravel(), float(np.mean(p.scale))
    grid = np.linspace(-0.8, 0.8, 300)
    laplace = type(p).__name__ == "Laplace"
    density = (stats.laplace if laplace else stats.norm)(0, scale).pdf(grid)
    axes.hist(left, bins=80, range=(-0.8, 0.8), density=True, color=BLUE, alpha=0.4, label="residuals")
    label = f"Laplace, b = {scale:.2f}" if laplace else f"normal, sigma = {scale:.2f}"
    axes.plot(grid, density, color=ORANGE, lw=1.8, label=label)
    axes.legend(fontsize=7, frameon=False, loc="upper left")
    axes.set(ylim=(0, 1.35 * axes.get_ylim()[1]), xlim=(-0.8, 0.8))
    tidy(axes, "x - E[x | z] on test data", "", "density")


def scale_by_epoch(axes: Axes, run: Run, key: jax.Array) -> None:
    """The scale of p(x|z) during training."""
    for name, series, colour in (
        ("training", run.fitted.history.train, BLUE),
        ("validation", run.fitted.history.validation, ORANGE),
    ):
        axes.plot(
            1 + np.arange(len(series["scale_x"])), series["scale_x"], color=colour, label=name, lw=1.6
        )
    axes.set_ylim(0, None)
    axes.legend(fontsize=7, frameon=False)
    tidy(axes, "sigma of p(x | z)", "epoch", "")


def mean_and_variance(axes: Axes, run: Run, key: jax.Array) -> None:
    """The variance of each gene beside its mean, in test data and in draws."""
    x = np.asarray(select_test(run).x)
    draws = np.asarray(run.fitted.sample(len(x), rng_key=key).x).reshape(x.shape)
    for values, colour, name in ((x, GREY, "data"), (draws, ORANGE, "draws")):
        axes.loglog(values.mean(0), values.var(0), ".", ms=2.2, color=colour, alpha=0.5, label=name)
    line = np.array([2e-3, 300.0])
    axes.plot(line, line, color=BLUE, lw=1.2, label="Poisson")
    axes.legend(fontsize=7, frameon=False, markerscale=3)
    tidy(axes, "each gene: mean and variance", "mean count", "variance")


def cells(axes: Axes, run: Run, key: jax.Array) -> None:
    """The first two principal components of the codes of cells, coloured by their library size."""
    x = np.asarray(run.data.observation(key, run.data.train))
    codes = np.asarray(run.fitted.encode(x).mean)
    centred = codes - codes.mean(0)
    points = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T
    size = np.log10(x.sum(1))
    axes.scatter(*points.T, c=size, s=7, cmap="cividis", lw=0)
    tidy(axes, "cells: q(z | x), two PCs", "PC 1, colour: total count", "PC 2")
    axes.set(xticks=[], yticks=[])


def kl_by_epoch(axes: Axes, run: Run, key: jax.Array) -> None:
    """The KL during training, and what the objective does with it."""
    history, config = run.fitted.history, run.config
    epochs = 1 + np.arange(history.num_epochs)
    axes.plot(epochs, history.train["kl"], color=BLUE, lw=1.6, label="KL")
    per_epoch = len(history.steps["loss"]) / history.num_epochs
    arguments = {**defaults(run), **config["model"]["arguments"]}
    rising = np.minimum(epochs * per_epoch / arguments["steps"], 1.0)
    target = arguments.get("capacity")
    if target is None:
        other = axes.twinx()
        other.plot(epochs, rising, color=ORANGE, lw=1.5, ls="--")
        other.set(ylim=(0, 1.6), yticks=[0, 1])
        other.spines[:].set_visible(False)
        other.tick_params(labelsize=7.5, length=0, colors=ORANGE)
        axes.plot([], [], color=ORANGE, ls="--", label="weight of the KL")
    else:
        axes.plot(epochs, target * rising, color=ORANGE, lw=1.5, ls="--", label="C")
    axes.set_ylim(0, None)
    axes.legend(fontsize=7, frameon=False, loc="upper right" if target is None else "lower right")
    tidy(axes, "KL in training", "epoch", "nats")


def unit_kl(axes: Axes, run: Run, key: jax.Array) -> None:
    """The mean KL of each unit, sorted."""
    kl = np.sort(kl_of_units(*normal_code(run)).mean(0))[::-1]
    axes.bar(np.arange(1, len(kl) + 1), kl, color=BLUE)
    free = getattr(run.fitted.vae, "free", None) or defaults(run).get("lam")
    if free is not None and "lam" in defaults(run):
        axes.axhline(free, color=ORANGE, lw=1.6)
        axes.text(
            len(kl), free + 0.06 * kl[0], "lambda", color=ORANGE, ha="right", va="bottom", fontsize=8.5
        )
    tidy(axes, "KL of each unit, sorted", "unit", "nats")


def bound_by_particles(axes: Axes, run: Run, key: jax.Array) -> None:
    """The bound on log p(x) by the number of particles."""
    counts = (1, 3, 10, 100, 1000)
    x = select_test(run).x
    values = [run.fitted.log_prob(x, rng_key=key, num_particles=k).mean for k in counts]
    axes.semilogx(counts, values, "-o", color=BLUE, ms=3.5)
    axes.axvline(10, color=GREY, ls=":", lw=1.2)
    axes.text(11, min(values), "K in training", fontsize=7.5, color=GREY)
    tidy(axes, "bound on log p(x)", "particles K", "nats")


def rate_distortion(axes: Axes, run: Run, key: jax.Array) -> None:
    """Rate and distortion at each beta, from one fit."""
    x = select_test(run).x
    betas = np.geomspace(0.01, 10, 16)
    points = []
    for beta in betas:
        context = np.full((len(x), 1), np.log(beta), np.float32)
        q = run.fitted.encode(x, context).base_dist
        rate = kl_of_units(np.asarray(q.loc), np.asarray(q.scale)).sum(1).mean()
        elbo = run.fitted.elbo(Batch(x, context), rng_key=key, num_particles=10).mean
        points.append((rate, -(elbo + rate)))
    axes.plot(*np.transpose(points), "-o", color=BLUE, ms=3)
    for beta in (0.01, 1.0, 10.0):
        rate, distortion = points[int(np.abs(np.log(betas / beta)).argmin())]
        axes.annotate(
            f"beta = {beta:g}", (rate, distortion), (4, 4), textcoords="offset points", fontsize=7.5
        )
    axes.margins(x=0.18, y=0.12)
    tidy(axes, "one fit, every beta", "rate: KL (nats)", "distortion (nats)")


def kl_of_levels(axes: Axes, run: Run, key: jax.Array) -> None:
    """The mean KL of each level of a hierarchy, the top first."""
    kl = active_units(run.fitted, select_test(run), rng_key=key).kl
    sites = sorted(kl, reverse=True)
    axes.bar(sites, [kl[site].mean(0).sum() for site in sites], color=BLUE, width=0.6)
    tidy(axes, "KL of each level, top first", "", "nats")
