"""Claim: maximum likelihood has no optimum for data on a line, and spread noise repairs it.

z ~ Bernoulli(1/2), a ~ Normal(2z - 1, 0.1^2), x = (a, 0): two blobs on the x-axis. A VAE with one bit
as its code and a Gaussian of learned mean and variance can shrink the second variance to 0, and the
density grows to infinity: the log-likelihood diverges, the loss jumps, the samples are bad. With the
same Gaussian noise on data and model (``likelihoods.Spread``), the noisy data have a density, and its
entropy is the minimum of the negative log-likelihood.

    python -m inference.spread_failure [--seed 0] [--out figures] [--quick]

The expected value is the entropy of the noisy data, a mixture of two normals times one normal, by
quadrature. The measured NLL sums over both states of the bit. It is exact up to the test draws (100,000
clean data, one noise draw each). The training data are 10,000 draws, with Adam 1e-2, batch 100 and 300
epochs for all.

Reference: Zhang et al. 2020, Spread divergence, arXiv:1811.08968. The example is from a post by the
first author (2021).
"""

import argparse
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.special import logsumexp

from inference.claims import publish, row
from probvae import VAE, NonFiniteLossError, fit, guides, likelihoods, nets, priors
from probvae.data import GaussianNoise
from probvae.plots.canvas import BLUE, GREY, ORANGE, new_figure, tidy

EXPECTED = {0.25: 0.83235, 0.5: 2.09839, 1.0: 3.17745}  # nats, noise scale: least spread NLL
WITHIN = 0.02
S = 0.1
ADAM = optax.adam(1e-2)


def draws(n: int, seed: int) -> np.ndarray:
    """Return n data (a, 0)."""
    key, normal = jax.random.split(jax.random.key(seed))
    z = jax.random.bernoulli(key, 0.5, (n,))
    a = 2.0 * z - 1 + S * jax.random.normal(normal, (n,))
    return np.stack([np.asarray(a), np.zeros(n)], axis=1).astype(np.float32)


def model(likelihood) -> VAE:
    """Return a VAE whose code is one bit. The decoder has a mean and a scale for each state."""
    return VAE(
        event_shape=(2,),
        latent_dim=1,
        prior=priors.Bernoulli(),
        posterior=guides.Bernoulli(),
        likelihood=likelihood,
        encoder=nets.MLP((32,)),
        decoder=nets.Linear(),
    )


def fit_vae(likelihood, train: np.ndarray, seed: int, epochs: int):
    """Return a fitted VAE, and the message of the error that ended it, if any."""
    try:
        options = {"optimizer": ADAM, "epochs": epochs, "batch_size": 100, "progress": False}
        return fit(model(likelihood), train, rng_key=jax.random.key(seed), **options), ""
    except NonFiniteLossError as error:
        return error.fitted, str(error).split(":")[0]


def states(fitted) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and variance of p(x|z), ``(2 states, 2 entries)``."""
    p = fitted.decode(jnp.array([[0.0], [1.0]]))
    return np.asarray(p.mean), np.asarray(p.variance)


def nll(fitted, y: np.ndarray) -> float:
    """Return the mean of -log p(y) = -log sum_z p(z) p(y|z), in nats."""
    p = fitted.decode(jnp.array([[0.0], [1.0]]))
    joint = p.log_prob(jnp.asarray(y)[:, None]) + jnp.log(0.5)
    return -float(np.asarray(logsumexp(joint, axis=1), np.float64).mean())


def plain_rows(plain, ended: str) -> list[str]:
    """Report the result of the plain VAE."""
    steps = plain.history.steps["loss"] / 100
    jump = float(np.diff(steps).max())
    mean, variance = states(plain)
    least = float(np.sqrt(variance[:, 1].min()))
    high = -float(steps.min())
    off = float(np.abs(np.sort(mean[:, 0]) - [-1, 1]).max())
    fate = ended or f"went on for {len(steps)} steps"
    return [
        row("plain: best mean ELBO of a batch", "no bound", f"{high:.2f} nats; {fate}", holds=high > 5),
        row("plain: the loss jumps", "> 1 nat in a step", f"by {jump:.3g} nats", holds=jump > 1),
        row("plain: scale of the second entry", "0", f"{least:.1e} at the end", holds=least < 1e-3),
        row("plain: samples are bad along x", "means not +-1", f"off by {off:.3f}", holds=off > 0.05),
    ]


def spread_rows(fitted, noise: float, test: np.ndarray) -> list[str]:
    """Compare the spread VAE with the exact optimum."""
    y = np.asarray(GaussianNoise(noise)(jax.random.key(99), test))
    measured_nll, best = nll(fitted, y), EXPECTED[noise]
    mean, variance = states(fitted)
    means = np.sort(mean[:, 0])
    total = float(variance[:, 1].mean() + mean[:, 1].var())
    words = f"spread {noise:g}"
    return [
        row(
            f"{words}: NLL",
            f"{best:.5f}",
            f"{measured_nll:.5f}",
            holds=abs(measured_nll - best) <= WITHIN,
        ),
        row(
            f"{words}: means along x",
            "-1, 1",
            ", ".join(f"{m:.3f}" for m in means),
            holds=np.abs(means - [-1, 1]).max() < 0.05,
        ),
        row(
            f"{words}: variance of the second entry, noisy",
            f"{noise**2:g} to 2 %",
            f"{total:.5f}",
            holds=abs(total / noise**2 - 1) <= 0.02,
        ),
    ]


def figure(train: np.ndarray, fits: dict, seed: int):
    """Draw data, loss and samples, a row for each VAE."""
    drawing = new_figure(height=2.3 * len(fits), width=8.5)
    panels = drawing.subplots(len(fits), 3, squeeze=False)
    for (name, fitted), (data_axes, loss_axes, sample_axes) in zip(fits.items(), panels, strict=True):
        x = fitted.sample(500, rng_key=jax.random.key(seed)).x
        for axes, points, colour, words in (
            (data_axes, train[:500], GREY, "data"),
            (sample_axes, np.asarray(x), ORANGE, f"samples of x: {name}"),
        ):
            tidy(axes, title=words, x="x_1", y="x_2").scatter(*points.T, s=5, color=colour, lw=0)
            axes.set(xlim=(-2.2, 2.2), ylim=(-1.1, 1.1))
        steps = fitted.history.steps["loss"] / 100
        tidy(loss_axes, title=f"-ELBO: {name}", x="step", y="nats per datum")
        loss_axes.plot(np.clip(steps, None, np.quantile(steps, 0.999)), color=BLUE, lw=0.6)
    return drawing


def main() -> None:
    """Train the plain VAE and three spread ones, print the table, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("figures"))
    parser.add_argument("--quick", action="store_true", help="two epochs, one noise")
    args = parser.parse_args()
    epochs = 2 if args.quick else 300
    train, test = draws(10_000, args.seed), draws(100_000, args.seed + 1)
    unbounded = likelihoods.Gaussian(scale=likelihoods.PixelScale(min_log=-40.0))
    plain, ended = fit_vae(unbounded, train, args.seed, epochs)
    fits = {"plain": plain}
    lines = plain_rows(plain, ended)
    for noise in [0.5] if args.quick else EXPECTED:
        base = likelihoods.Gaussian(scale=likelihoods.PixelScale())
        spread = likelihoods.Spread(base, noise=GaussianNoise(noise))
        fits[f"spread {noise:g}"], _ = fit_vae(spread, train, args.seed, epochs)
        lines += spread_rows(fits[f"spread {noise:g}"], noise, test)
    plotted_fits = {name: fits[name] for name in ("plain", "spread 0.5")}
    publish(lines, figure(train, plotted_fits, args.seed), args.out / "spread_failure.png")


if __name__ == "__main__":
    main()
