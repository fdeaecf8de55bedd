"""Question: does a ladder of codes model digits better than one level of the same size?

Compared are one level, and ladders of 2 and of 5 groups (`priors.Ladder`, `guides.Ladder`). All have
the same number of latent units, and the single level has at least as many parameters as either
ladder. All are trained alike, and the KL's weight rises from 0 to 1 in the first fifth of the steps
(Sonderby et al. 2016). The table shows test ELBO and log p(x) (importance weighted), in nats. The
spread is over trainings.

    python -m inference.ladder [--data digits] [--epochs 60] [--seeds 3] [--out figures] [--quick]

`--compile` measures the CPU seconds of a first epoch, most of it compilation, at 2 and at 5 groups. The
ratio should be at most 1.5.

Reference: Sonderby et al. 2016, arXiv:1602.02282. Child 2021, arXiv:2011.10650.
"""

import time
from bisect import bisect_left
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax

from inference.claims import comparison
from inference.comparison import draw_rows, options
from probvae import VAE, Fitted, fit, guides, nets, objectives, priors
from probvae.criticism import active_units
from probvae.data import load
from probvae.plots.canvas import BLUE, new_figure, tidy
from probvae.tracing import trace_structure

BASELINE = "one level"
BATCH = 100
HEADS = ("test ELBO, nats", "test log p(x), nats", "KL of the top, nats", "KL, nats")


class Size(NamedTuple):
    """Sizes of the ladders: units in all groups, hidden layers, width of state and features."""

    latents: int
    hidden: tuple[int, ...]
    width: int


SIZES = {"digits": Size(20, (64,), 32), "binarized-mnist": Size(40, (200,), 64)}


class Measures(NamedTuple):
    """Measures of a training on test data, in nats."""

    elbo: float
    log_prob: float
    kl_top: float
    kl: float


def ladder(event_shape: tuple[int, ...], size: Size, groups: int) -> VAE:
    """Return a ladder whose groups share the latent units equally."""
    inner = nets.MLP((2 * size.width,))
    return VAE(
        event_shape=event_shape,
        latent_dim=size.latents // groups,
        prior=priors.Ladder(groups, width=size.width, net=inner),
        posterior=guides.Ladder(size.width, bottom_up=inner, message=inner),
        encoder=nets.MLP(size.hidden),
        decoder=nets.MLP(size.hidden),
    )


def one_level(event_shape: tuple[int, ...], size: Size, parameters: int) -> VAE:
    """Return the plain VAE with the smallest width that has at least as many parameters."""

    def plain(wide: int) -> VAE:
        net = nets.MLP((wide, wide))
        return VAE(event_shape=event_shape, latent_dim=size.latents, encoder=net, decoder=net)

    widths = range(8, 1024)
    return plain(widths[bisect_left(widths, parameters, key=lambda wide: number(plain(wide)))])


def number(vae: VAE) -> int:
    """Return the number of parameters of a VAE."""
    return sum(leaf.size for leaf in jax.tree.leaves(trace_structure(vae).params))


def models(event_shape: tuple[int, ...], size: Size) -> dict[str, VAE]:
    """Return the models to compare, by name."""
    ladders = {f"ladder of {groups}": ladder(event_shape, size, groups) for groups in (2, 5)}
    most = max(number(vae) for vae in ladders.values())
    return {BASELINE: one_level(event_shape, size, most), **ladders}


def fit_vae(vae: VAE, data, seed: int, epochs: int) -> Fitted:
    """Train from a key. Raise if the loss is not finite at any step."""
    steps = epochs * (len(data.train) // BATCH)
    warm = objectives.ELBO(optax.linear_schedule(0.0, 1.0, max(steps // 5, 1)))
    options_of_fit = {"rng_key": jax.random.key(seed), "epochs": epochs, "batch_size": BATCH}
    return fit(vae, data.train, validation=data.valid, objective=warm, progress=False, **options_of_fit)


def measure(fitted: Fitted, x: np.ndarray, particles: int) -> Measures:
    """Measure the likelihood of test data, and the KL of each level."""
    key = jax.random.key(99)
    kl = {
        name: kl.sum(-1).mean()
        for name, kl in active_units(fitted, x, rng_key=key, num_samples=20).kl.items()
    }
    return Measures(
        fitted.elbo(x, rng_key=key, num_particles=50).mean,
        fitted.log_prob(x, rng_key=key, num_particles=particles).mean,
        float(kl[max(kl)]),
        float(sum(kl.values())),
    )


def time_compilation(vae: VAE, data) -> float:
    """Return the CPU seconds of an epoch of one step, with newly compiled programs."""
    jax.clear_caches()
    start = time.process_time()
    options_of_fit = {"rng_key": jax.random.key(0), "epochs": 1, "batch_size": BATCH, "progress": False}
    fit(vae, data.train[:BATCH], validation=data.valid[:BATCH], **options_of_fit)
    return time.process_time() - start


def compilation(event_shape: tuple[int, ...], size: Size, data) -> str:
    """Compare the compile times of two groups and of five: the minimum of three runs each."""
    vaes = {groups: ladder(event_shape, size, groups) for groups in (2, 5)}
    time_compilation(vaes[2], data)
    took = {groups: [] for groups in vaes}
    for _ in range(3):
        for groups, vae in vaes.items():
            took[groups].append(time_compilation(vae, data))
    two, five = (min(times) for times in took.values())
    holds = "yes" if five <= 1.5 * two else "NO"
    ratio = f"{five / two:.2f} (at most 1.5: {holds})"
    return f"compiled: 2 groups {two:.2f} s, 5 groups {five:.2f} s of CPU: {ratio}"


def figure(results: dict[str, list[Measures]], curves: dict[str, list[np.ndarray]]):
    """Draw the validation ELBO by epoch and the test log p(x), one line and one dot per training."""
    drawing = new_figure(height=3.6, width=10)
    left, right = drawing.subplots(1, 2)
    tidy(left, title="validation ELBO", x="epoch", y="nats")
    tidy(right, title="test log p(x)", x="nats", y="")
    for row, (name, color) in enumerate(zip(results, (BLUE, "#D55E00", "#009E73"), strict=True)):
        for i, curve in enumerate(curves[name]):
            left.plot(curve, color=color, lw=1, label=name if i == 0 else None)
        values = [each.log_prob for each in results[name]]
        right.plot(values, [row] * len(values), "o", color=color, ms=5, alpha=0.7)
    final = np.concatenate([curve[len(curve) // 5 :] for each in curves.values() for curve in each])
    left.set_ylim(final.min(), None)
    left.legend(frameon=False)
    right.set(yticks=range(len(results)), yticklabels=list(results))
    return drawing


def main() -> None:
    """Train all models, and print and draw the table."""
    parser = options(__doc__, seeds=3, quick="digits, two seeds, two epochs")
    parser.add_argument("--data", choices=list(SIZES), default="digits")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--test", type=int, default=500, help="test data asked about")
    parser.add_argument("--particles", type=int, default=500)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--out", type=Path, default=Path("figures"))
    args = parser.parse_args()
    name = "digits" if args.quick else args.data
    data, size = load(name), SIZES[name]
    if args.compile:
        print(compilation(data.event_shape, size, data))
        return
    seeds, epochs, particles = (2, 2, 20) if args.quick else (args.seeds, args.epochs, args.particles)
    compared = models(data.event_shape, size)
    print("parameters: " + ", ".join(f"{model} {number(vae):,}" for model, vae in compared.items()))
    test = draw_rows(data.test, args.test)
    results: dict[str, list[Measures]] = {}
    curves: dict[str, list[np.ndarray]] = {}
    for seed in range(seeds):
        for model, vae in compared.items():
            fitted = fit_vae(vae, data, seed, epochs)
            curves.setdefault(model, []).append(fitted.history.validation["elbo"])
            results.setdefault(model, []).append(measure(fitted, test, particles))
            print(f"{model}, key {seed}: {results[model][-1]}", flush=True)
    print("\n" + comparison(results, HEADS, baseline=BASELINE, what="model"))
    args.out.mkdir(parents=True, exist_ok=True)
    figure(results, curves).savefig(args.out / f"ladder_{name}.png", dpi=150)
    print(f"\nfigure: {args.out / f'ladder_{name}.png'}")


if __name__ == "__main__":
    main()
