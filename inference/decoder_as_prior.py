"""Question: is a fitted decoder a useful prior on x for problems that it was not fitted for?

``fitted.as_prior()`` is part of an ordinary NumPyro program, and NUTS samples the code. Digits (8 x
8, grey in [0, 1]): of 32 test images the lower half is hidden, and the rest has normal noise of scale
0.3. The posterior mean of the decoder's output fills in and denoises. Expected: a smaller squared
error than the mean training image in the hidden half, and than the noisy image in the other. The
difference exceeds two standard errors, paired over images, in every training. (`process_prior.py`
shows the other use: a process that the decoder learned from draws.)

    python -m inference.decoder_as_prior [--seeds 3] [--out figures] [--quick]
"""

from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import numpyro.distributions as dist

from inference.claims import publish, row
from inference.comparison import options
from inference.decoders import fit_decoder, nuts
from probvae import likelihoods
from probvae.data import load
from probvae.plots.canvas import new_figure

INK = 0.3


def digits(seed: int, *, quick: bool) -> dict[str, np.ndarray]:
    """Return the true images, the observed pixels, the answers, and the mean training image."""
    data = load("digits", binarize=None)
    grey = data.observation(jax.random.key(0), data.train)
    train, test = (np.asarray(part, np.float32) for part in (grey, data.test))
    scale = likelihoods.LearnedScale()
    fitted = fit_decoder(train, 8, 128, 5 if quick else 150, likelihoods.Gaussian(scale=scale), seed)
    field, n = fitted.as_prior(), 2 if quick else 32
    truth = test[:n]
    observed = np.zeros(truth.shape, bool)
    observed[:, :4] = True
    y = truth + INK * np.random.default_rng(seed).normal(size=truth.shape).astype(np.float32)

    def program(y):
        p = field.distribution("image", size=n)
        noisy = p.variance + INK**2  # y = x + noise, x ~ p(x|z): both are normal
        numpyro.sample("y", dist.Normal(p.mean, jnp.sqrt(noisy)).mask(observed), obs=y)
        gain = jnp.where(observed, p.variance / noisy, 0.0)
        numpyro.deterministic("x", p.mean + gain * (y - p.mean))  # E[x | z, y]

    x = nuts(program, 30 if quick else 500, "x")(jax.random.key(seed), jnp.asarray(y))["x"]
    answer = np.asarray(x.mean((0, 1)))
    average = np.broadcast_to(train.mean(0), truth.shape)
    return {"truth": truth, "seen": observed, "noisy": y, "answer": answer, "average": average}


def rows(results: list[dict[str, np.ndarray]]) -> list[str]:
    """Report how accurate the hidden and the noisy halves are."""
    return [
        _row("hidden half", [_errors(f, ~f["seen"], "average") for f in results], "mean image"),
        _row("noisy half", [_errors(f, f["seen"], "noisy") for f in results], "as seen"),
    ]


def _errors(results: dict[str, np.ndarray], where: np.ndarray, against: str) -> np.ndarray:
    """Return squared errors per pixel of the answer and of the alternative, ``(2, images)``."""
    off = (np.square(results[name] - results["truth"]) for name in ("answer", against))
    return np.stack([each.mean((1, 2), where=where) for each in off])


def _row(what: str, errors: list[np.ndarray], words: str) -> str:
    """Compare image by image. The row holds beyond two standard errors in every training."""
    less = [theirs - ours for ours, theirs in errors]
    sure = [d.mean() / (d.std(ddof=1) / np.sqrt(len(d))) for d in less]
    ours, theirs = np.mean([each.mean(1) for each in errors], axis=0)
    each = ", ".join(f"{d.mean():.4f} ({s:.1f})" for d, s in zip(less, sure, strict=True))
    return row(
        f"{what}: squared error per pixel of the posterior mean",
        f"< {theirs:.4f} ({words})",
        f"{ours:.4f}; less by (in standard errors): {each}",
        holds=min(sure) > 2,
    )


def figure(results: dict[str, np.ndarray]):
    """Draw the true image, the observed pixels and the answer, a column for each image."""
    drawing = new_figure(height=3.6, width=9)
    panels = drawing.subplots(3, min(8, len(results["truth"])), squeeze=False)
    for name, line in zip(("truth", "noisy", "answer"), panels, strict=True):
        picture = np.where(results["seen"], results[name], np.nan) if name == "noisy" else results[name]
        for axes, image in zip(line, picture, strict=False):
            axes.imshow(image.reshape(8, 8), cmap="Greys", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[], facecolor="lightsteelblue")  # what is hidden
        line[0].set_ylabel({"noisy": "seen", "answer": "posterior\nmean"}.get(name, name))
    drawing.suptitle("Digits: lower half hidden (blue), upper half noisy; filled in by the decoder")
    return drawing


def main() -> None:
    """Train, fill in and denoise, print the table, and draw the figure."""
    parser = options(__doc__, seeds=3, quick="few epochs and draws: it says nothing")
    parser.add_argument("--out", type=Path, default=Path("figures"))
    args = parser.parse_args()
    results = [digits(seed, quick=args.quick) for seed in range(1 if args.quick else args.seeds)]
    publish(rows(results), figure(results[0]), args.out / "decoder_as_prior.png")


if __name__ == "__main__":
    main()
