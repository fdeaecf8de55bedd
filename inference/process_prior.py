"""Question: can a decoder that was trained on draws of a process replace the process?

The process is Gaussian (squared exponential kernel, 50 points on a line) with an unknown length
scale, log-uniform from 0.1 to 0.4. A VAE is trained on its draws. Then ``fitted.as_prior()`` replaces
it in a regression by NUTS: 8 noisy points (scale 0.1), 8 data sets. The alternative is NUTS on the
process itself: 50 whitened values and the length, with a Cholesky factor at each gradient. Expected:
a posterior mean within 0.15 (root mean square, where the prior's scale is 1) of the exact one, which
is a quadrature over 60 lengths of closed forms. 90 % intervals have that coverage, and NUTS gives
more effective draws of the field per second.

    python -m inference.process_prior [--seeds 3] [--out figures] [--quick]

Reference: Semenova et al. 2022, PriorVAE, arXiv:2110.10422.
"""

import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
from numpyro.diagnostics import effective_sample_size
from scipy import stats

from inference.claims import format_values, publish, row
from inference.comparison import error, options
from inference.decoders import fit_decoder, nuts
from probvae import likelihoods
from probvae.plots.canvas import BLUE, GREY, ORANGE, new_figure, tidy

TAU, POINTS, SEEN = 0.1, 50, 8
LENGTHS = np.geomspace(0.1, 0.4, 60)
GRID = np.linspace(0.0, 1.0, POINTS)
WITHIN = 0.15
JITTER = 1e-4  # single precision: below it the Cholesky factor fails


def kernel(length, xp=np):
    """Return the covariance of the process on the grid."""
    off = GRID[:, None] - GRID
    return xp.exp(-0.5 * xp.square(off / length)) + JITTER * xp.eye(POINTS)


def draws(n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n draws of the process, ``(n, points)``, each with its own length."""
    factors = np.stack([np.linalg.cholesky(kernel(length)) for length in LENGTHS])
    which = rng.integers(0, len(LENGTHS), n)
    white = rng.normal(size=(n, POINTS))
    x = np.empty((n, POINTS), np.float32)
    for i, factor in enumerate(factors):
        x[which == i] = white[which == i] @ factor.T
    return x


def exact(indices: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return E[x | y] = sum_l p(l|y) E[x | y, l], over the lengths."""
    means, evidence = [], []
    for length in LENGTHS:
        k = kernel(length)
        inner = k[np.ix_(indices, indices)] + TAU**2 * np.eye(len(indices))
        means.append(k[:, indices] @ np.linalg.solve(inner, y))
        evidence.append(stats.multivariate_normal.logpdf(y, cov=inner))
    weights = np.exp(np.array(evidence) - max(evidence))
    return weights @ np.array(means) / weights.sum()


def process() -> jax.Array:
    """Draw the process from a length and whitened values."""
    length = numpyro.sample("length", dist.LogUniform(float(LENGTHS[0]), float(LENGTHS[-1])))
    white = numpyro.sample("white", dist.Normal().expand([POINTS]).to_event(1))
    return jnp.linalg.cholesky(kernel(length, jnp)) @ white


def regression(field, num_samples: int):
    """Return a regression ``(rng_key, indices, y) -> draws, effective draws per second``."""

    def program(indices, y):
        x = numpyro.deterministic("x", field())
        numpyro.sample("y", dist.Normal(x[indices], TAU), obs=y)

    draw = nuts(program, num_samples, "x")

    def run(rng_key, indices, y):
        start = time.perf_counter()
        x = np.asarray(draw(rng_key, indices, y)["x"])
        seconds = time.perf_counter() - start
        return x.reshape(-1, POINTS), float(np.median(effective_sample_size(x))) / seconds

    return run


def compare_samplers(seed: int, *, quick: bool) -> list[dict]:
    """Return the truth, both samplers' draws and effective draws per second for each data set."""
    rng = np.random.default_rng(seed)
    fixed = likelihoods.Gaussian(scale=likelihoods.FixedScale(0.05))
    hidden, epochs, count = (64, 2, 30) if quick else (128, 60, 500)
    decoder = fit_decoder(
        draws(2_000 if quick else 20_000, rng), 12, hidden, epochs, fixed, seed
    ).as_prior()
    runs = {"vae": regression(lambda: decoder("field"), count), "process": regression(process, count)}
    sets = []
    for i in range(2 if quick else 9):
        truth = draws(1, rng)[0]
        indices = np.sort(rng.choice(POINTS, SEEN, replace=False))
        y = truth[indices] + TAU * rng.normal(size=SEEN)
        inputs = (jax.random.key(seed + i), jnp.asarray(indices), jnp.asarray(y, jnp.float32))
        draws_by_sampler = {name: run(*inputs) for name, run in runs.items()}
        sets.append(
            {"truth": truth, "seen": indices, "y": y, "mean": exact(indices, y), **draws_by_sampler}
        )
    return sets[1:]  # the first one compiles


def rms(a: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.square(a).mean()))


def coverage(one: dict, name: str) -> float:
    """Return the fraction of the field's points within the central 90 % of the draws."""
    low, high = np.quantile(one[name][0], [0.05, 0.95], axis=0)
    return float(((low <= one["truth"]) & (one["truth"] <= high)).mean())


def rows(results: list[list[dict]]) -> list[str]:
    """Compare the decoder with the process that it learned. The spread is over trainings."""
    both = ("vae", "process")
    off = {
        k: [rms(np.stack([s[k][0].mean(0) - s["mean"] for s in sets])) for sets in results]
        for k in both
    }
    rate = {k: [np.median([s[k][1] for s in sets]) for sets in results] for k in both}
    cover = {k: [np.mean([coverage(s, k) for s in sets]) for sets in results] for k in both}
    ratio = np.array(rate["vae"]) / np.array(rate["process"])
    low = np.mean(cover["process"]) - 2 * np.hypot(*(error(np.array(cover[k])) for k in both))
    return [
        row("decoder's posterior mean against the exact one (rms)", f"< {WITHIN}",
            format_values(off["vae"], 3), holds=np.mean(off["vae"]) < WITHIN),
        row("NUTS on the process against the exact mean (rms)", "< 0.05",
            format_values(off["process"], 3), holds=np.mean(off["process"]) < 0.05),
        row("decoder's 90 % intervals hold the truth",
            f"{format_values(cover['process'], 2)} (process)", format_values(cover["vae"], 2),
            holds=np.mean(cover["vae"]) >= low),
        row("effective draws per second, decoder", f"> {format_values(rate['process'], 0)} (process)",
            f"{format_values(rate['vae'], 0)}; ratio {format_values(ratio, 1)}", holds=ratio.min() > 1),
    ]  # fmt: skip


def figure(sets: list[dict]):
    """Draw two regressions."""
    drawing = new_figure(height=3, width=9)
    for axes, one in zip(drawing.subplots(1, 2), sets, strict=False):
        tidy(axes, title="regression with the decoder as prior", x="place", y="field")
        low, high = np.quantile(one["vae"][0], [0.05, 0.95], axis=0)
        axes.fill_between(GRID, low, high, color=ORANGE, alpha=0.25, lw=0, label="decoder, 90 %")
        axes.plot(GRID, one["vae"][0].mean(0), color=ORANGE, label="decoder, mean")
        axes.plot(GRID, one["mean"], color=BLUE, ls="--", label="exact process, mean")
        axes.plot(GRID[one["seen"]], one["y"], "o", color=GREY, ms=4, label="seen")
    axes.legend(fontsize=7, frameon=False)
    return drawing


def main() -> None:
    """Train decoders, run the regressions, print the table, and draw the figure."""
    parser = options(__doc__, seeds=3, quick="few epochs and draws: it says nothing")
    parser.add_argument("--out", type=Path, default=Path("figures"))
    args = parser.parse_args()
    results = [
        compare_samplers(seed, quick=args.quick) for seed in range(2 if args.quick else args.seeds)
    ]
    publish(rows(results), figure(results[0]), args.out / "process_prior.png")


if __name__ == "__main__":
    main()
