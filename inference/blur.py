"""Question: what blurs the pictures of a VAE?

The script compares likelihoods and objectives at equal nets, codes and epochs. (The autoregressive one,
whose steps and draws are slow, has a fifth of the epochs.) If the entries of p(x|z) are independent and
you show its mean, pictures are blurred: a mean of all plausible images is smooth, and the rest is white
noise. A scale that is too large (variance 1, so the KL weighs too much) makes it worse. A scale per
pixel gains likelihood where the decoder is uncertain. The table shows for each:

- sharpness: variance of the Laplacian (4 neighbours) within a picture, mean over pictures, relative to
  test data. It is measured for E[x|z] of reconstructions, for E[x|z] at z ~ p(z), and for draws
  x ~ p(x|z) at z ~ p(z). The autoregressive p(x|z) has no such mean, so all are draws there.
  Reconstructions are at draws of q(z|x). Its mean is near 0 in unused units, and the decoder was not
  trained there;
- squared error per pixel of these reconstructions, on test data;
- bits per dimension, if p(x|z) is a density and was trained as one (importance weighted, 50 particles,
  data dequantised from 256 levels);
- Frechet distance to test data of E[x|z] and of x at z ~ p(z), in the features of a classifier of
  digits (MNIST) or in 32 principal components (faces).

    python -m inference.blur [--data mnist] [--seeds 2] [--epochs 30] [--out figures] [--quick]

Faces (all eight models): the centre 48 x 48 of LFW, grey, halved in size, with mirrored copies. MNIST
(scales only): 10,000 images. The expected order is that of Rybkin, Daniilidis and Levine 2021,
arXiv:2006.13202. On MNIST they report -log p / FID: unit variance 740.5 / 59.9, shared sigma -896.1 /
32.18, per pixel -2895 / 132.5 (convolutions, no noise on the data, another feature space). So the scale
per pixel wins the bound and loses the samples.
"""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from inference.claims import HEAD, format_values, row
from inference.comparison import error, options
from inference.pictures import Images, images, sharpness
from models.perceptual import perceptual
from models.vae_gan import vae_gan
from probvae import VAE, Fitted, Variant, fit, likelihoods, nets
from probvae.criticism import bits_per_dimension, frechet_distance
from probvae.data import Dequantize
from probvae.plots.canvas import side_by_side
from probvae.typing import ArrayLike

UNIT, SHARED, PIXEL, OPTIMAL = "unit variance", "shared sigma", "sigma per pixel", "optimal sigma"
SCALES = (UNIT, SHARED, PIXEL, OPTIMAL)
L1, EDGES, GAN, AUTO = "L1 (Laplace)", "perceptual", "VAE-GAN", "autoregressive"
PICTURES = 150  # of each kind that are measured
HEADS = ("sharp: reconstructions", "sharp: at z ~ p(z)", "sharp: draws of x", "squared error x 1000",
         "bits per dimension", "Frechet: means", "Frechet: draws")  # fmt: skip


class Measures(NamedTuple):
    """Measures of a training, in the order of ``HEADS``."""

    reconstructed: float
    generated: float
    draws: float
    squared_error: float
    bits: float
    frechet: float
    frechet_draws: float


def recipes(event_shape: tuple[int, ...], size: int, latent_dim: int) -> dict[str, Variant]:
    """Return the models to compare."""
    sizes = {"latent_dim": latent_dim, "hidden": (size, size)}

    def vae(likelihood) -> Variant:
        net = nets.MLP(sizes["hidden"])
        parts = {"likelihood": likelihood, "encoder": net, "decoder": net}
        return Variant(VAE(event_shape=event_shape, latent_dim=latent_dim, **parts))

    def normal(scale) -> Variant:
        return vae(likelihoods.Gaussian(scale=scale))

    one_by_one = likelihoods.Gaussian(scale=likelihoods.PixelScale())
    return {
        UNIT: normal(likelihoods.FixedScale(1.0)),
        SHARED: normal(likelihoods.LearnedScale(start=0.3)),
        PIXEL: normal(likelihoods.PixelScale()),
        OPTIMAL: normal(likelihoods.OptimalScale()),
        L1: vae(likelihoods.Laplace(scale=likelihoods.LearnedScale(start=0.3))),
        EDGES: perceptual(event_shape, **sizes),
        GAN: vae_gan(event_shape, **sizes),
        AUTO: vae(likelihoods.Autoregressive(nets.MaskedConv((8,), 5), one_by_one, features=4)),
    }


def fit_vae(variant: Variant, data: Images, seed: int, epochs: int) -> Fitted:
    """Train from a key."""
    return fit(
        variant.vae,
        data.train,
        rng_key=jax.random.key(seed),
        observation=Dequantize(float(data.levels)),
        objective=variant.objective,
        optimizer=variant.optimizer,
        epochs=epochs,
        batch_size=50,
        progress=False,
    )


def render(fitted: Fitted, z: ArrayLike, name: str) -> np.ndarray:
    """Return the pictures at codes: E[x|z], or a draw if the mean has no closed form."""
    p = fitted.decode(z)
    return np.asarray(p.sample(jax.random.key(5)) if name == AUTO else p.mean)


def measure(
    fitted: Fitted, name: str, data: Images, particles: int
) -> tuple[Measures, dict[str, np.ndarray]]:
    """Measure the pictures of a fitted VAE, and return the first ten of each kind, too."""
    clean = (data.test / np.float32(data.levels))[:PICTURES]
    codes = jax.random.normal(jax.random.key(6), (len(clean), fitted.vae.latent_dim))
    again = render(fitted, fitted.encode(clean).sample(jax.random.key(4)), name)
    new = render(fitted, codes, name)
    draws = new if name == AUTO else np.asarray(fitted.decode(codes).sample(jax.random.key(8)))
    sharp = [sharpness(x) / sharpness(clean) for x in (again, new, draws)]
    square = 1000 * float(((again - clean) ** 2).mean())
    far = [frechet_distance(data.features(x), data.features(clean)) for x in (new, draws)]
    pictures = {
        "reconstructions": again,
        "generated, E[x|z], z ~ p(z)": new,
        "draws of x, z ~ p(z)": draws,
    }
    bits = float("nan") if name in (EDGES, GAN) else test_bits(fitted, data, particles)
    return Measures(*sharp, square, bits, *far), {kind: x[:10] for kind, x in pictures.items()}


def test_bits(fitted: Fitted, data: Images, particles: int) -> float:
    """Return bits per dimension of test data."""
    noisy = Dequantize(float(data.levels))(jax.random.key(9), data.test)
    estimate = fitted.log_prob(noisy, rng_key=jax.random.key(10), num_particles=particles)
    return float(bits_per_dimension(estimate.mean, data.test.shape[1:], levels=data.levels))


def table(results: dict[str, list[Measures]]) -> str:
    """Return means and standard errors over trainings."""
    lines = ["| model | " + " | ".join(HEADS) + " |", "| --- |" + " --- |" * len(HEADS)]
    for name, values in results.items():
        cells = [
            format_values(each, 3) if np.isfinite(each).all() else "-"
            for each in zip(*values, strict=True)
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def verdicts(results: dict[str, list[Measures]]) -> str:
    """Compare pairs, and report which orders exceed two standard errors."""
    lines = [HEAD]
    for what, quantity, less, more, words in (
        ("sigma per pixel wins the bound", "bits", PIXEL, SHARED, "-2895 below -896"),
        ("unit variance loses the bound", "bits", SHARED, UNIT, "-896 below 741"),
        ("sigma per pixel loses the samples", "frechet", SHARED, PIXEL, "32 below 133"),
        ("the same, of draws", "frechet_draws", SHARED, PIXEL, "32 below 133"),
        ("sigma per pixel loses to unit variance", "frechet", UNIT, PIXEL, "60 below 133"),
        ("unit variance loses the samples", "frechet", SHARED, UNIT, "32 below 60"),
        ("unit variance blurs what it shows", "reconstructed", UNIT, SHARED, "less sharp"),
        ("VAE-GAN is sharper", "generated", SHARED, GAN, "sharper"),
        ("autoregressive is sharper", "generated", SHARED, AUTO, "sharper"),
        ("autoregressive wins the bound", "bits", AUTO, PIXEL, "fewer bits"),
    ):
        if less in results and more in results:
            a, b = (np.array([getattr(m, quantity) for m in results[name]]) for name in (less, more))
            gain, both = b.mean() - a.mean(), float(np.hypot(error(a), error(b)))
            result = (
                f"{quantity}: {less} {a.mean():.3f}, {more} {b.mean():.3f} (s.e. of both {both:.3f})"
            )
            lines.append(row(what, words, result, holds=bool(gain > 2 * both)))
    if OPTIMAL in results:
        a, b = (np.mean([m.bits for m in results[name]]) for name in (SHARED, OPTIMAL))
        near = bool(abs(a - b) < 0.05)
        lines.append(row("optimal sigma is the shared one", "equal bits", f"{b - a:+.3f}", holds=near))
    return "\n".join(lines)


def draw(rows: dict[str, dict[str, np.ndarray]], name: str, out: Path) -> None:
    """Write a figure for each kind of picture: a row for each model."""
    out.mkdir(parents=True, exist_ok=True)
    for kind, groups in rows.items():
        path = out / f"blur_{name}_{kind.split()[0].strip(',')}.png"
        title = f"{name}: {kind}; one training"
        side_by_side(groups, title=title, item="one picture", limits=(0.0, 1.0)).savefig(
            path, dpi=150, bbox_inches="tight"
        )
        print(f"figure: {path}", flush=True)


def main() -> None:
    """Train all models, print the tables, and draw the pictures of the first seed."""
    parser = options(__doc__, seeds=2, quick="digits, two of the models")
    parser.add_argument("--data", choices=("lfw64", "mnist"), default="mnist")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("figures"))
    args = parser.parse_args()
    name = "digits" if args.quick else args.data
    data = images(name)
    seeds, epochs, particles = (2, 20, 20) if args.quick else (args.seeds, args.epochs, 50)
    compared = recipes(data.train.shape[1:], *((64, 8) if args.quick else (256, 32)))
    if name != "lfw64":
        chosen = (SHARED, PIXEL) if args.quick else SCALES
        compared = {model: compared[model] for model in chosen}
    results: dict[str, list[Measures]] = {model: [] for model in compared}
    for seed in range(seeds):
        rows: dict[str, dict[str, np.ndarray]] = {}
        for model, variant in compared.items():
            fitted = fit_vae(variant, data, seed, epochs // 5 if model == AUTO else epochs)
            measures, pictures = measure(fitted, model, data, particles)
            results[model].append(measures)
            for kind, examples in pictures.items():
                rows.setdefault(kind, {"data": data.test[:10] / data.levels})[model] = examples
            print(f"{model}, key {seed}: {measures}", flush=True)
        if seed == 0:
            draw(rows, name, args.out)
    print(table(results) + "\n\n" + verdicts(results))


if __name__ == "__main__":
    main()
