"""Question: does a price on total correlation give each factor of the data its own unit?

The data are dSprites, regenerated (``probvae.data.dsprites``: the published five factors and their
values, with our own outlines). Images are reduced to 32 x 32: a pixel is white if at least two of its
2 x 2 pixels are. VAE, beta-VAE, beta-TCVAE and FactorVAE have the same nets (256-128), steps (20,000
images, batch 100, Adam 1e-3) and seeds, and the weights of a public comparison
(YannDubs/disentangling-vae: beta 4, beta-TC 6, gamma 6). MIG (20 bins, means of q(z|x)) and the
FactorVAE score use 10,000 held-out images.

    python -m inference.disentangle [--seeds 3] [--epochs 30] [--out figures] [--quick]

Expected is an order, not the numbers. The published means over seeds are from a table of a third
party (in InfoGAN-CR's form): MIG 0.10, 0.21, 0.45, 0.43, and FactorVAE score 0.63, 0.63, 0.62, 0.82.
They used 64 x 64 images, convolutions or dense layers of 1200, all 737,280 images, and 50 epochs or
300,000 steps. A smaller image has fewer nats, so the same weights count more here.

Reference: Higgins et al. 2017 (ICLR). Chen et al. 2018, arXiv:1802.04942. Kim and Mnih 2018,
arXiv:1802.05983. Locatello et al. 2019, arXiv:1811.12359 (how much depends on the seed).
"""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from inference.claims import HEAD, format_values, row
from inference.comparison import Results, error, options
from models.beta_tc import beta_tc
from models.beta_vae import beta_vae
from models.factor_vae import factor_vae
from models.vae import vae
from probvae import Fitted, Variant, fit
from probvae.criticism import active_units, factor_vae_score, mutual_information_gap
from probvae.data import dsprites
from probvae.plots.canvas import new_figure

SHAPE = (32, 32)
NAMES = ("VAE", "beta-VAE", "beta-TCVAE", "FactorVAE")
PUBLISHED = {"MIG": (0.10, 0.21, 0.45, 0.43), "FactorVAE score": (0.63, 0.63, 0.62, 0.82)}
ORDERS = (  # quantity, the better one, the other
    ("MIG", "beta-VAE", "VAE"),
    ("MIG", "beta-TCVAE", "VAE"),
    ("MIG", "beta-TCVAE", "beta-VAE"),
    ("MIG", "FactorVAE", "VAE"),
    ("MIG", "FactorVAE", "beta-VAE"),
    ("FactorVAE score", "FactorVAE", "VAE"),
    ("FactorVAE score", "FactorVAE", "beta-VAE"),
    ("FactorVAE score", "FactorVAE", "beta-TCVAE"),
)


class Scores(NamedTuple):
    """Measures of a training on held-out images, KL and log-likelihood in nats."""

    mig: float
    factor_score: float
    kl: float
    log_likelihood: float
    active: float


HEADS = ("MIG", "FactorVAE score", "KL, nats", "E log p(x given z), nats", "active units")


class Sprites(NamedTuple):
    """Images ``(n, 32, 32)``, 0 and 1, and the levels of their factors ``(n, 5)``."""

    x: np.ndarray
    factors: np.ndarray


def draw_images(n: int, held_out: int) -> tuple[Sprites, Sprites]:
    """Return two random, disjoint parts of the data."""
    chosen = np.random.default_rng(0).choice(dsprites.NUM_IMAGES, n + held_out, replace=False)
    parts = []
    for index in (chosen[:n], chosen[n:]):
        levels = dsprites.factors(index)
        fine = dsprites.render(levels).reshape(len(index), SHAPE[0], 2, SHAPE[1], 2)
        parts.append(Sprites((fine.sum(axis=(2, 4)) >= 2).astype(np.uint8), levels))
    return parts[0], parts[1]


def variants(hidden: tuple[int, ...], latent_dim: int) -> dict[str, Variant]:
    """Return the four models of the gallery."""
    sizes = {"hidden": hidden, "latent_dim": latent_dim}
    judge = (hidden[-1],) * 3
    return {
        "VAE": vae(SHAPE, **sizes),
        "beta-VAE": beta_vae(SHAPE, beta=4.0, **sizes),
        "beta-TCVAE": beta_tc(SHAPE, beta=6.0, **sizes),
        "FactorVAE": factor_vae(SHAPE, gamma=6.0, discriminator=judge, **sizes),
    }


def fit_vae(variant: Variant, x: np.ndarray, seed: int, epochs: int) -> Fitted:
    """Train from a key."""
    return fit(
        variant.vae,
        x,
        rng_key=jax.random.key(seed),
        objective=variant.objective,
        optimizer=variant.optimizer,
        epochs=epochs,
        batch_size=100,
        progress=False,
    )


def scores(fitted: Fitted, held_out: Sprites) -> Scores:
    """Measure a fitted VAE."""
    keys = jax.random.split(jax.random.key(99), 3)
    q = fitted.encode(held_out.x)
    units = active_units(fitted, held_out.x[:2000], rng_key=keys[2])
    fit_of = fitted.decode(q.sample(keys[1])).log_prob(held_out.x).mean()
    return Scores(
        mutual_information_gap(q.mean, held_out.factors).score,
        factor_vae_score(q.mean, held_out.factors, rng_key=keys[0]).score,
        float(units.kl["z"].sum(1).mean()),
        float(fit_of),
        float(units.active_mask()["z"].sum()),
    )


def table(results: dict[str, list[Scores]]) -> str:
    """Return means and standard errors over trainings, with the published means."""
    heads = ("published MIG", "published score", *HEADS)
    lines = ["| objective | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)]
    for name, values in results.items():
        published = [f"{means[NAMES.index(name)]:.2f}" for means in PUBLISHED.values()]
        cells = [format_values(each, 2) for each in zip(*values, strict=True)]
        lines.append(f"| {name} | " + " | ".join(published + cells) + " |")
    return "\n".join(lines)


def verdicts(results: dict[str, list[Scores]]) -> str:
    """Report for each published order whether it exceeds two standard errors here."""
    lines = [HEAD]
    for what, better, other in (o for o in ORDERS if {*o[1:]} <= {*results}):
        at = HEADS.index(what)
        pair: Results = {name: np.array([s[at] for s in results[name]]) for name in (better, other)}
        gain = pair[better].mean() - pair[other].mean()
        both = float(np.hypot(error(pair[better]), error(pair[other])))
        want = PUBLISHED[what][NAMES.index(better)] - PUBLISHED[what][NAMES.index(other)]
        words = f"{gain:+.2f}, s.e. {both:.2f}"
        name = f"{what}: {better} above {other}"
        lines.append(row(name, f"{want:+.2f}", words, holds=bool(gain > 2 * both)))
    return "\n".join(lines)


def traversals(fits: dict[str, Fitted], held_out: Sprites, rows: int = 6):
    """Draw E[x|z] while one unit moves from -2 to 2, a row for each of the units with the most KL."""
    drawing = new_figure(height=6.8, width=8.5)
    values, x = np.linspace(-2, 2, 8), held_out.x[:1]
    panels = drawing.subplots(-(-len(fits) // 2), 2).ravel()
    for axes, (name, fitted) in zip(panels, fits.items(), strict=True):
        kl = (
            active_units(fitted, held_out.x[:1000], rng_key=jax.random.key(0), num_samples=2)
            .kl["z"]
            .mean(0)
        )
        order = np.argsort(kl)[::-1][:rows]
        means = np.asarray(fitted.encode(held_out.x).mean)
        information = mutual_information_gap(means, held_out.factors).information
        codes = np.tile(np.asarray(fitted.encode(x).mean), (len(order), len(values), 1))
        for i, unit in enumerate(order):
            codes[i, :, unit] = values
        flat = codes.reshape(-1, codes.shape[-1])
        images = np.asarray(fitted.decode(flat).mean).reshape(len(order), len(values), *SHAPE)
        images = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=0.5)
        axes.imshow(np.block([list(line) for line in images]), cmap="gray", vmin=0, vmax=1)
        best = [dsprites.FACTORS[information[unit].argmax()] for unit in order]
        labels = [
            f"{b.replace('position_', '')}, {kl[u]:.1f}" for b, u in zip(best, order, strict=True)
        ]
        side = SHAPE[0] + 2
        axes.set_yticks(side * (np.arange(len(order)) + 0.5), labels, fontsize=7)
        axes.set_xticks(side * (np.arange(len(values)) + 0.5), [f"{v:.1f}" for v in values], fontsize=7)
        axes.set_title(name, fontsize=10, loc="left")
        axes.set_xlabel("value of the unit", fontsize=8)
        axes.set_ylabel("factor it says most of; its KL, nats", fontsize=8)
    words = "E[x|z] as one unit moves, the others those of a held-out image: the six units of most KL"
    drawing.suptitle(words, fontsize=10, x=0.01, ha="left")
    return drawing


def main() -> None:
    """Train all models, print the tables, and draw the traversals of the last seed."""
    parser = options(__doc__, seeds=3, quick="2,000 images, two of the four, two seeds")
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--out", type=Path, default=Path("figures"))
    args = parser.parse_args()
    seeds, epochs = (2, 2) if args.quick else (args.seeds, args.epochs)
    train, held_out = draw_images(2_000, 2_000) if args.quick else draw_images(20_000, 10_000)
    compared = variants((32,) if args.quick else (256, 128), 10)
    if args.quick:
        compared = {name: compared[name] for name in ("VAE", "beta-TCVAE")}
    results: dict[str, list[Scores]] = {name: [] for name in compared}
    fits = {}
    for seed in range(seeds):
        for name, variant in compared.items():
            fits[name] = fit_vae(variant, train.x, seed, epochs)
            results[name].append(scores(fits[name], held_out))
            print(f"{name}, key {seed}: {results[name][-1]}", flush=True)
    print(table(results) + "\n\n" + verdicts(results))
    args.out.mkdir(parents=True, exist_ok=True)
    traversals(fits, held_out).savefig(args.out / "disentangle.png", dpi=150)
    print(f"\nfigure: {args.out / 'disentangle.png'}")


if __name__ == "__main__":
    main()
