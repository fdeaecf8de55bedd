"""Question: which remedies keep the code of a VAE whose decoder can do without it?

The decoder sees the pixels before each pixel, within a distance of four (`inference/window.py`). It
models digits well without a code. Six remedies are compared at equal nets and steps: the KL's weight
rises from 0 to 1 once or in cycles, free bits, a committed rate, a capacity, and a decoder that sees
no pixels. The table shows active units (Burda et al. 2016), KL and mutual information in nats (ELBO
surgery on 300 test images, where the maximum is log 300 = 5.7), and test log p(x), importance
weighted. The spread is over trainings.

    python -m inference.collapse [--seeds 3] [--epochs 2] [--out figures] [--quick] [--diagnose]

``--diagnose`` trains only the plain ELBO, from key 0, and prints the findings of ``diagnose``.

Reference: Bowman et al. 2016, arXiv:1511.06349 (the fault, and the rising weight). Fu et al. 2019,
arXiv:1903.10145 (cycles). Kingma et al. 2016, arXiv:1606.04934 (free bits). Razavi et al. 2019,
arXiv:1901.03416 (committed rate). Burgess et al. 2018, arXiv:1804.03599 (capacity).
"""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax

from inference.claims import comparison
from inference.comparison import draw_rows, options
from inference.window import Window
from probvae import VAE, Fitted, fit, likelihoods, nets, objectives, priors
from probvae.criticism import active_units, diagnose, elbo_surgery
from probvae.criticism.diagnosis import budgets
from probvae.data import load
from probvae.plots.canvas import BLUE, new_figure, tidy

BASELINE = "plain ELBO"
BATCH = 128
QUICK = (BASELINE, "free bits, 8 nats in all", "decoder sees no pixels")


class Recipe(NamedTuple):
    """A VAE and its objective."""

    vae: VAE
    objective: objectives.AbstractObjective = objectives.ELBO()  # noqa: RUF009


class Measures(NamedTuple):
    """Measures of a training on test data, in nats except ``active``."""

    active: float
    kl: float
    mutual_information: float
    log_prob: float


HEADS = ("active units", "KL, nats", "mutual information, nats", "test log p(x), nats")


def recipes(
    event_shape: tuple[int, ...], net: nets.MLP, latent_dim: int, steps: int
) -> dict[str, Recipe]:
    """Return the remedies to compare, by name. ``steps`` is the number of training steps."""
    half = steps // 2
    sees_near = likelihoods.Autoregressive(Window((64, 32), 4), features=1)
    plain = VAE(
        event_shape=event_shape,
        latent_dim=latent_dim,
        encoder=net,
        decoder=net,
        likelihood=sees_near,
    )
    return {
        BASELINE: Recipe(plain),
        "KL weight 0 to 1 in half the steps": Recipe(
            plain, objectives.ELBO(optax.linear_schedule(0.0, 1.0, half))
        ),
        "the same in 4 cycles": Recipe(plain, objectives.ELBO(objectives.CyclicalSchedule(half, 4))),
        "free bits, 8 nats in all": Recipe(plain, objectives.FreeBits(8.0 / latent_dim)),
        "committed rate, 5 nats": Recipe(replace(plain, prior=priors.AutoregressiveNormal(5.0))),
        "capacity, 8 nats": Recipe(plain, objectives.Capacity(8.0, gamma=2.0)),
        "decoder sees no pixels": Recipe(replace(plain, likelihood=likelihoods.Bernoulli())),
    }


def fit_vae(recipe: Recipe, data, seed: int, epochs: int) -> Fitted:
    """Train from a key."""
    return fit(
        recipe.vae,
        data.train,
        rng_key=jax.random.key(seed),
        objective=recipe.objective,
        epochs=epochs,
        batch_size=BATCH,
        progress=False,
    )


def measure(fitted: Fitted, x: np.ndarray, particles: int) -> Measures:
    """Measure the information in the codes of test data, and the likelihood of the data."""
    keys = jax.random.split(jax.random.key(99), 3)
    units = active_units(fitted, x, rng_key=keys[0])
    return Measures(
        float(sum(active.sum() for active in units.active_mask().values())),
        float(sum(kl.sum(1).mean() for kl in units.kl.values())),
        elbo_surgery(fitted, x, rng_key=keys[1], num_samples=1).mutual_information,
        fitted.log_prob(x, rng_key=keys[2], num_particles=particles).mean,
    )


def figure(results: dict[str, list[Measures]]):
    """Draw the table: one panel for each quantity, one dot for each training."""
    names = list(results)[::-1]
    drawing = new_figure(height=3.6, width=12)
    for i, (axes, head) in enumerate(
        zip(drawing.subplots(1, len(HEADS), sharey=True), HEADS, strict=True)
    ):
        quantity, _, unit = head.partition(", ")
        tidy(axes, title=quantity, x=unit or "number", y="")
        for row, name in enumerate(names):
            values = [each[i] for each in results[name]]
            axes.plot(values, [row] * len(values), "o", color=BLUE, ms=5, alpha=0.7)
        axes.set(yticks=range(len(names)), yticklabels=names)
    drawing.suptitle("A decoder that can do without its code; a dot is a training")
    return drawing


def main() -> None:
    """Train all models, and print and draw the table."""
    parser = options(__doc__, seeds=3, quick="digits, two seeds, two epochs, two remedies")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("figures"))
    parser.add_argument("--diagnose", action="store_true", help="the plain ELBO alone, diagnosed")
    args = parser.parse_args()
    data = load("digits" if args.quick else "binarized-mnist")
    seeds, epochs, particles = (2, 2, 20) if args.quick else (args.seeds, args.epochs, 100)
    steps = epochs * (len(data.train) // BATCH)
    sizes = (nets.MLP((32,)), 8) if args.quick else (nets.MLP((200, 200)), 40)
    compared = recipes(data.event_shape, *sizes, steps)
    if args.quick:
        compared = {name: compared[name] for name in QUICK}
    test = draw_rows(data.test, 300)
    if args.diagnose:
        fitted = fit_vae(compared[BASELINE], data, 0, epochs)
        print(diagnose(fitted, test, rng_key=jax.random.key(99), budget=budgets.QUICK))
        return
    results: dict[str, list[Measures]] = {}
    for seed in range(seeds):
        for name, recipe in compared.items():
            fitted = fit_vae(recipe, data, seed, epochs)
            results.setdefault(name, []).append(measure(fitted, test, particles))
            print(f"{name}, key {seed}: {results[name][-1]}", flush=True)
    print("\n" + comparison(results, HEADS, baseline=BASELINE, what="remedy"))
    args.out.mkdir(parents=True, exist_ok=True)
    figure(results).savefig(args.out / "collapse.png", dpi=150)
    print(f"\nfigure: {args.out / 'collapse.png'}")


if __name__ == "__main__":
    main()
