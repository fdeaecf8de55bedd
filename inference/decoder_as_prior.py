"""Question: is a decoder that was fitted once a prior on x for problems that it was not fitted for?

Two uses of ``fitted.as_prior()`` in ordinary NumPyro programs, NUTS over the code:

1. Digits (8 x 8, grey in [0, 1]). Of 32 test images the lower half is hidden, the rest has normal noise
   of scale 0.3; the posterior mean of the decoder's field fills in and denoises. Expected: a smaller
   error than the mean training image where nothing is seen, and than the noisy image itself where it
   is, by more than two standard errors of the paired difference.
2. A Gaussian process (squared exponential kernel, length 0.2, 50 points on a line). A VAE is trained on
   its draws and stands in for it in a regression: 8 noisy points (scale 0.1), 4 data sets. Expected: a
   posterior mean within 0.15 (root mean square) of the exact process's own, whose prior scale is 1, and
   more effective draws of the field per second than NUTS on the process's 50 whitened values.

    python -m inference.decoder_as_prior [--seed 0] [--out figures] [--quick]

Reference: Semenova et al. 2022, PriorVAE, arXiv:2110.10422 (the second use).
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist
import optax
from numpyro.diagnostics import effective_sample_size
from numpyro.infer import MCMC, NUTS

from probvae import VAE, Fitted, fit, likelihoods, nets
from probvae.data import load
from probvae.plots.canvas import BLUE, GREY, ORANGE, new_figure, tidy

INK, TAU, LENGTH, POINTS = 0.3, 0.1, 0.2, 50
GRID = np.linspace(0.0, 1.0, POINTS)
WITHIN = 0.15


def row(claim: str, expected: str, measured: str, *, holds: bool) -> str:
    """Return one line of the table."""
    return f"| {claim} | {expected} | {measured} | {'yes' if holds else 'NO'} |"


def rms(a: np.ndarray) -> float:
    """Return the root mean square."""
    return float(np.sqrt(np.square(a).mean()))


def trained(x: np.ndarray, latent_dim: int, hidden: int, epochs: int, likelihood, seed: int) -> Fitted:
    """Return a VAE fitted to the rows of x, the rate falling to 0."""
    net = nets.MLP((hidden, hidden))
    vae = VAE(
        event_shape=x.shape[1:], latent_dim=latent_dim, encoder=net, decoder=net, likelihood=likelihood
    )
    steps = epochs * (len(x) // 100)
    return fit(
        vae,
        x,
        rng_key=jax.random.key(seed),
        optimizer=optax.adam(optax.cosine_decay_schedule(2e-3, steps)),
        epochs=epochs,
        batch_size=100,
        progress=False,
    )


def compiled(program, num_samples: int):
    """Return NUTS in four chains as one compiled function ``(rng_key, *args) -> (4, draws, *x)``."""

    @jax.jit
    def run(rng_key, *args):
        mcmc = MCMC(
            NUTS(program),
            num_warmup=num_samples,
            num_samples=num_samples,
            num_chains=4,
            chain_method="vectorized",
            progress_bar=False,
        )
        mcmc.run(rng_key, *args)
        return mcmc.get_samples(group_by_chain=True)["x"]

    return run


def digits(seed: int, *, quick: bool) -> dict[str, np.ndarray]:
    """Return truth, what was seen, the answer, and the mean training image."""
    data = load("digits", binarize=None)
    grey = data.observation(jax.random.key(0), data.train)
    train, test = (np.asarray(part, np.float32) for part in (grey, data.test))
    scale = likelihoods.LearnedScale()
    fitted = trained(train, 8, 128, 5 if quick else 150, likelihoods.Gaussian(scale=scale), seed)
    field, n = fitted.as_prior(), 2 if quick else 32
    truth = test[:n]
    seen = np.zeros(truth.shape, bool)
    seen[:, :4] = True
    y = truth + INK * np.random.default_rng(seed).normal(size=truth.shape).astype(np.float32)

    def program(y):
        p = field.distribution("image", size=n)
        noisy = p.variance + INK**2  # y = x + noise, x ~ p(x|z): both are normal
        numpyro.sample("y", dist.Normal(p.mean, jnp.sqrt(noisy)).mask(seen), obs=y)
        gain = jnp.where(seen, p.variance / noisy, 0.0)
        numpyro.deterministic("x", p.mean + gain * (y - p.mean))  # E[x | z, y]

    x = compiled(program, 30 if quick else 500)(jax.random.key(seed), jnp.asarray(y))
    answer = np.asarray(x.mean((0, 1)))
    average = np.broadcast_to(train.mean(0), truth.shape)
    return {"truth": truth, "seen": seen, "noisy": y, "answer": answer, "average": average}


def digit_rows(found: dict[str, np.ndarray]) -> list[str]:
    """Say how well the hidden and the noisy halves were filled in: paired, image by image."""
    return [
        digit_row("hidden half", found, ~found["seen"], against="average", words="mean image"),
        digit_row("noisy half", found, found["seen"], against="noisy", words="as seen"),
    ]


def digit_row(
    what: str, found: dict[str, np.ndarray], where: np.ndarray, *, against: str, words: str
) -> str:
    """Compare the squared error per pixel with another answer's; holds beyond two standard errors."""
    ours, theirs = (
        np.square(found[name] - found["truth"]).mean((1, 2), where=where)
        for name in ("answer", against)
    )
    less = theirs - ours
    error = less.std(ddof=1) / np.sqrt(len(less))
    return row(
        f"digits, {what}: squared error per pixel of the posterior mean",
        f"< {theirs.mean():.4f} ({words})",
        f"{ours.mean():.4f}; less by {less.mean():.4f} +- {error:.4f}",
        holds=less.mean() > 2 * error,
    )


def kernel() -> np.ndarray:
    """Return the process's covariance on the grid."""
    off = GRID[:, None] - GRID
    return np.exp(-0.5 * np.square(off / LENGTH)) + 1e-6 * np.eye(POINTS)


def exact(seen: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the posterior mean of the process given noisy points."""
    k = kernel()
    inner = k[np.ix_(seen, seen)] + TAU**2 * np.eye(len(seen))
    return k[:, seen] @ np.linalg.solve(inner, y)


def regression(field, num_samples: int):
    """Return a regression ``(rng_key, seen, y) -> draws of the field, effective draws per second``."""

    def program(seen, y):
        x = numpyro.deterministic("x", field())
        numpyro.sample("y", dist.Normal(x[seen], TAU), obs=y)

    draw = compiled(program, num_samples)

    def run(rng_key, seen, y):
        start = time.perf_counter()
        x = np.asarray(draw(rng_key, seen, y))
        seconds = time.perf_counter() - start
        return x.reshape(-1, POINTS), float(np.median(effective_sample_size(x))) / seconds

    return run


def process(seed: int, *, quick: bool) -> dict:
    """Return, of each data set, the truths, and both samplers' means and effective draws per second."""
    rng = np.random.default_rng(seed)
    tril = np.linalg.cholesky(kernel())
    train = (rng.normal(size=(2_000 if quick else 20_000, POINTS)) @ tril.T).astype(np.float32)
    fixed = likelihoods.Gaussian(scale=likelihoods.FixedScale(0.05))
    decoder = trained(train, 10, 64 if quick else 128, 2 if quick else 60, fixed, seed).as_prior()
    whole = jnp.asarray(tril, jnp.float32)
    count = 30 if quick else 1000
    runs = {
        "vae": regression(lambda: decoder("field"), count),
        "process": regression(
            lambda: whole @ numpyro.sample("white", dist.Normal().expand([POINTS]).to_event(1)), count
        ),
    }
    sets = []
    for i in range(3 if quick else 5):
        truth = tril @ rng.normal(size=POINTS)
        seen = np.sort(rng.choice(POINTS, 8, replace=False))
        y = truth[seen] + TAU * rng.normal(size=8)
        told = (jax.random.key(seed + i), jnp.asarray(seen), jnp.asarray(y, jnp.float32))
        drawn = {name: run(*told) for name, run in runs.items()}
        sets.append({"truth": truth, "seen": seen, "y": y, "mean": exact(seen, y), **drawn})
    return {"sets": sets[1:]}  # the first one compiles


def process_rows(sets: list[dict]) -> list[str]:
    """Compare the decoder with the process that it learned."""
    off = {k: rms(np.stack([s[k][0].mean(0) - s["mean"] for s in sets])) for k in ("vae", "process")}
    prior = rms(np.stack([s["mean"] for s in sets]))
    rate = {k: float(np.median([s[k][1] for s in sets])) for k in ("vae", "process")}
    return [
        row("process: decoder's posterior mean against the exact one (rms)",
            f"< {WITHIN} (prior's mean: {prior:.2f})", f"{off['vae']:.3f}", holds=off["vae"] < WITHIN),
        row("process: NUTS on the process against the exact mean (rms)", "< 0.05",
            f"{off['process']:.3f}", holds=off["process"] < 0.05),
        row("process: effective draws per second, decoder", f"> {rate['process']:.0f} (process)",
            f"{rate['vae']:.0f}", holds=rate["vae"] > rate["process"]),
    ]  # fmt: skip


def figure(found: dict[str, np.ndarray], sets: list[dict]):
    """Return the digits above, two regressions below."""
    shown = new_figure(height=6.5, width=9)
    top, bottom = shown.subfigures(2, 1, height_ratios=[1.6, 1])
    rows = ("truth", "noisy", "answer")
    panels = top.subplots(3, min(8, len(found["truth"])), squeeze=False)
    for name, line in zip(rows, panels, strict=True):
        picture = np.where(found["seen"], found[name], np.nan) if name == "noisy" else found[name]
        for axes, image in zip(line, picture, strict=False):
            axes.imshow(image.reshape(8, 8), cmap="Greys", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[], facecolor="lightsteelblue")  # what is hidden
        line[0].set_ylabel({"noisy": "seen", "answer": "posterior\nmean"}.get(name, name))
    for axes, one in zip(bottom.subplots(1, 2), sets, strict=False):
        tidy(axes, title="regression with the decoder as prior", x="place", y="field")
        low, high = np.quantile(one["vae"][0], [0.05, 0.95], axis=0)
        axes.fill_between(GRID, low, high, color=ORANGE, alpha=0.25, lw=0, label="decoder, 90 %")
        axes.plot(GRID, one["vae"][0].mean(0), color=ORANGE, label="decoder, mean")
        axes.plot(GRID, one["mean"], color=BLUE, ls="--", label="exact process, mean")
        axes.plot(GRID[one["seen"]], one["y"], "o", color=GREY, ms=4, label="seen")
    axes.legend(fontsize=7, frameon=False)
    return shown


def main() -> None:
    """Train both decoders, solve both problems, print the table, draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("figures"))
    parser.add_argument("--quick", action="store_true", help="few epochs and draws: it says nothing")
    args = parser.parse_args()
    found = digits(args.seed, quick=args.quick)
    sets = process(args.seed, quick=args.quick)["sets"]
    print("| claim | expected | measured | holds |\n| --- | --- | --- | --- |")
    print("\n".join(digit_rows(found) + process_rows(sets)))
    args.out.mkdir(parents=True, exist_ok=True)
    figure(found, sets).savefig(args.out / "decoder_as_prior.png", dpi=150)
    print(f"\nfigure: {args.out / 'decoder_as_prior.png'}")


if __name__ == "__main__":
    main()
