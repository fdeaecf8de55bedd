"""Draw the picture of the README: digits, reconstructions, samples and codes of a fitted VAE."""

from pathlib import Path

import jax
import numpy as np
import optax
from matplotlib.figure import Figure

from probvae import VAE, fit, likelihoods, nets, priors
from probvae.data import load

FOLDER = Path(__file__).parent
SHOWN = 10


def draw() -> Figure:
    """Return the picture."""
    data = load("digits")
    vae = VAE(
        event_shape=data.event_shape,
        latent_dim=2,
        prior=priors.VampPrior(components=50),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.GatedMLP((300, 300)),
        decoder=nets.GatedMLP((300, 300)),
    )
    key_fit, key_draw = jax.random.split(jax.random.key(0))
    fitted = fit(
        vae,
        data.train,
        validation=data.valid,
        rng_key=key_fit,
        optimizer=optax.adam(1e-3),
        epochs=100,
        progress=False,
    )
    x = data.test[:SHOWN]
    rows = [
        ("data x", x),
        ("reconstruction E[x | z]", fitted.reconstruct(x)),
        ("sample E[x | z], z ~ p(z)", fitted.sample(SHOWN, rng_key=key_draw).mean),
    ]
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(2, 1.1))
    for axes, (title, images) in zip(left.subplots(3, 1), rows, strict=True):
        axes.imshow(
            np.hstack([np.pad(i, 1, constant_values=0.5) for i in np.asarray(images, float)]),
            cmap="Greys",
        )
        axes.set_title(title, fontsize=9, loc="left")
        axes.axis("off")
    axes = right.subplots()
    codes, labels = np.asarray(fitted.encode(data.test).mean), data.labels["test"]
    axes.set(xlim=_limits(codes[:, 0]), ylim=_limits(codes[:, 1]), xlabel="z[0]", ylabel="z[1]")
    for (a, b), label in zip(codes, labels, strict=True):
        axes.text(
            a, b, str(label), fontsize=7, color=f"C{label}", ha="center", va="center", clip_on=True
        )
    axes.set_title("mean of q(z | x), one digit per datum", fontsize=9, loc="left")
    return figure


def _limits(values: np.ndarray) -> tuple[float, float]:
    margin = 0.05 * float(np.ptp(values))
    return float(values.min()) - margin, float(values.max()) + margin


if __name__ == "__main__":
    draw().savefig(FOLDER / "readme.png", dpi=110)
