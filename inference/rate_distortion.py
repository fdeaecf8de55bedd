"""Question: does one model for all betas reach the trade-off of one model for each beta?

Rate R = E_x KL(q(z|x) || p(z)), distortion D = -E_x E_q log p(x|z), both in nats. Training with
D + beta R for several beta traces a curve of slope -beta, above the line R + D = H, the entropy of the
data (Alemi et al. 2018, arXiv:1711.00464).

*Normal data*: the reference is Shannon's rate-distortion function (``inference/normal_source.py``).

*Binarised MNIST*: the reference are the figures that the authors of MR-VAE (Bae et al. 2022,
arXiv:2212.03905) publish in their repository for 8 epochs, at the same epochs, batch and learning
rate. They use a residual convolutional net whose layers are gated by beta. Here two dense layers have
log beta as one more input. H is unknown, and -log p(x) of a model is an upper bound.

    python -m inference.rate_distortion [--seeds 3] [--out figures] [--quick]
"""

from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from inference import normal_source
from inference.claims import HEAD, format_values, row
from inference.comparison import error, options
from inference.normal_source import NORMAL_BETAS, Point, law, measure
from models.multi_rate import multi_rate
from probvae import VAE, fit, objectives
from probvae.data import load
from probvae.plots.canvas import BLUE, GREY, ORANGE, new_figure, tidy

BETAS = (0.01, 0.1, 1.0, 10.0)
LOW, HIGH = 0.01, 10.0
BEST_KNOWN = 79.03  # nats: -log p(x) of static MNIST under VLAE (published), an upper bound of H

# (beta: multi-rate, separate) of the repository's README; 0.464 and 2.15 have no separate training
PUBLISHED = {
    0.01: (Point(112.2, 47.5), Point(129.1, 42.2)),
    0.1: (Point(76.1, 48.9), Point(81.7, 45.2)),
    1.0: (Point(30.2, 65.3), Point(25.6, 68.7)),
    10.0: (Point(4.7, 141.6), Point(3.5, 148.4)),
}

BEHIND = {"fc": "white", "ec": "none", "pad": 0.5, "alpha": 0.8}  # of words in the figure


class Sizes(NamedTuple):
    """Sizes of the part on images."""

    data: str
    hidden: tuple[int, ...]
    latent_dim: int
    epochs: int
    betas: tuple[float, ...]
    curve: tuple[float, ...]  # betas asked of the multi-rate model
    particles: int


CURVE = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
FULL = Sizes("binarized-mnist", (300, 300), 32, 8, BETAS, CURVE, 200)
QUICK = Sizes("digits", (32,), 8, 4, (1.0,), (1.0,), 20)


class Images(NamedTuple):
    """Results of one seed: points by beta, and -log p(x) at beta = 1 (importance weighted, nats)."""

    separate: dict[float, Point]
    short: dict[float, Point]  # the multi-rate model after as many epochs as one separate one
    long: dict[float, Point]  # after twice as many
    nll: float


def image_part(seed: int, sizes: Sizes) -> Images:
    """Train a model for each beta, and the multi-rate model twice."""
    data = load(sizes.data)
    options = {"rng_key": jax.random.key(seed), "batch_size": 64, "progress": False}
    joint = multi_rate(data.event_shape, latent_dim=sizes.latent_dim, hidden=sizes.hidden)
    parts = {name: getattr(joint.vae, name) for name in ("likelihood", "encoder", "decoder")}
    alone = VAE(event_shape=data.event_shape, latent_dim=sizes.latent_dim, **parts)
    separate, nll = {}, float("nan")
    for beta in sizes.betas:
        goal = objectives.ELBO(beta)
        fitted = fit(alone, data.train, objective=goal, epochs=sizes.epochs, **options)
        separate[beta], _ = measure(fitted, data.test)
        if beta == 1.0:
            subset = np.random.default_rng(0).permutation(len(data.test))[:1000]
            settings = {"rng_key": jax.random.key(98), "num_particles": sizes.particles}
            nll = -fitted.log_prob(data.test[subset], **settings).mean
        print(f"key {seed}, beta {beta:g}: {separate[beta]}", flush=True)
    curves = []
    for epochs in (sizes.epochs, 2 * sizes.epochs):
        goal = objectives.MultiRate(LOW, HIGH)
        fitted = fit(joint.vae, data.train, objective=goal, epochs=epochs, **options)
        curves.append({beta: measure(fitted, data.test, beta)[0] for beta in sizes.curve})
        print(f"key {seed}, multi-rate, {epochs} epochs: {curves[-1]}", flush=True)
    return Images(separate, *curves, nll)


def both(points: list[Point]) -> str:
    """Return rate and distortion, with their standard errors."""
    return " / ".join(format_values(each, 1) for each in zip(*points, strict=True))


def image_table(results: list[Images], betas: tuple[float, ...], *, full: bool) -> str:
    """Return a table of rates and distortions, with the published ones."""
    heads = ("published", "ours", "published multi-rate", "ours", "ours, twice the epochs")
    lines = ["| beta | " + " | ".join(heads) + " |", "| --- |" + " --- |" * len(heads)]
    for beta in betas:
        theirs = ["-", "-"]
        if full:
            theirs = [f"{point.rate} / {point.distortion}" for point in PUBLISHED[beta]]
        ours = [both([getattr(r, kind)[beta] for r in results]) for kind in Images._fields[:3]]
        cells = (theirs[1], ours[0], theirs[0], *ours[1:])
        lines.append(f"| {beta:g} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def image_rows(results: list[Images]) -> list[str]:
    """Check the claims on MNIST's points. Differences hold beyond two standard errors."""
    sums = {beta: [r.separate[beta].cost(1.0) for r in results] for beta in BETAS}
    least = min(sums, key=lambda beta: np.mean(sums[beta]))
    every = [p.cost(1.0) for r in results for p in (*r.separate.values(), *r.long.values())]
    nll = format_values([r.nll for r in results])
    joint, alone = (
        np.array([getattr(r, kind)[LOW].rate - getattr(r, kind)[HIGH].rate for r in results])
        for kind in ("short", "separate")
    )
    fewer = alone - joint
    return [
        row("MNIST: R + D is least at beta", "1", f"{least:g}", holds=least == 1.0),
        row("MNIST: least R + D of any model", f">= H; H <= {BEST_KNOWN} (VLAE)",
              f"{min(every):.2f}; H <= {nll} (ours)", holds=min(every) >= BEST_KNOWN),
        *(cost_row(results, beta, "short") for beta in BETAS),
        *(cost_row(results, beta, "long") for beta in BETAS),
        row("MNIST: multi-rate spans fewer nats of R", "107.5, not 125.6",
              f"{format_values(joint, 1)}, not {format_values(alone, 1)}",
              holds=bool(fewer.mean() > 2 * error(fewer))),
    ]  # fmt: skip


def cost_row(results: list[Images], beta: float, kind: str) -> str:
    """Report the excess of D + beta R of the multi-rate model over a training at that beta."""
    gains = np.array([getattr(r, kind)[beta].cost(beta) - r.separate[beta].cost(beta) for r in results])
    theirs = PUBLISHED[beta][0].cost(beta) - PUBLISHED[beta][1].cost(beta)
    words, want = (
        (", twice the epochs", "> 0") if kind == "long" else ("", f"{theirs:+.1f} (published)")
    )
    holds = bool(gains.mean() > 2 * error(gains))
    return row(
        f"MNIST, beta {beta:g}: multi-rate costs{words}", want, format_values(gains), holds=holds
    )


def figure(normal: list, images: list[Images], sizes: Sizes):
    """Draw both planes: normal data with the exact curve, images with the bound on H."""
    drawing = new_figure(height=4.2, width=10.5)
    left, right = drawing.subplots(1, 2)
    _draw_normal(tidy(left, title="Normal data", x="rate R, nats", y="distortion D, nats"), normal)
    words = {"title": f"{sizes.data}, test data", "x": "rate R, nats", "y": "distortion D, nats"}
    _draw_images(tidy(right, **words), images, sizes)
    for axes in (left, right):
        axes.legend(fontsize=8, frameon=False)
    return drawing


def _draw_normal(axes, results: list) -> None:
    curve = np.array([law(beta) for beta in np.geomspace(0.1, 40, 200)])
    h = normal_source.entropy()
    ends = np.array([0.0, h - curve[:, 1].min()])
    axes.plot(*curve.T, color=GREY, lw=2, label="least D + beta R (closed form)")
    axes.plot(ends, h - ends, "--", color=GREY, lw=1, label=f"R + D = H = {h:.2f} nats")
    for kind, colour, mark, words in (
        (0, BLUE, "o", "one beta each"),
        (2, ORANGE, "x", "multi-rate"),
    ):
        points = np.array([point for result in results for point in result[kind].values()])
        axes.plot(*points.T, mark, color=colour, ms=6, label=words, alpha=0.8)
    for beta in results[0][0]:
        axes.annotate(f"  beta {beta:g}", law(beta), fontsize=8, va="bottom", bbox=BEHIND)


def _draw_images(axes, results: list[Images], sizes: Sizes) -> None:
    h = BEST_KNOWN if sizes is FULL else float(np.mean([r.nll for r in results]))
    words = "VLAE's" if sizes is FULL else "ours, beta 1"
    for kind, line, name in (("short", ":", "as many epochs"), ("long", "-", "twice the epochs")):
        curve = np.mean([list(getattr(r, kind).values()) for r in results], axis=0)
        axes.plot(*curve.T, line, color=ORANGE, marker=".", label=f"multi-rate, {name}")
    points = np.array([point for r in results for point in r.separate.values()])
    axes.plot(*points.T, "o", color=BLUE, ms=6, label="one beta each", alpha=0.8)
    if sizes is FULL:
        for at, mark, name in ((1, "^", "one beta each"), (0, "v", "multi-rate")):
            published = np.array([pair[at] for pair in PUBLISHED.values()])
            axes.plot(*published.T, mark, color=GREY, ms=6, mfc="none", label=f"published: {name}")
    rates = np.array([0.0, h])
    axes.plot(
        rates, h - rates, "--", color=GREY, lw=1, label=f"R + D = {h:.1f} nats, -log p(x): {words}"
    )
    for beta, point in results[0].separate.items():
        axes.annotate(f"  beta {beta:g}", point, fontsize=8, va="bottom", bbox=BEHIND)


def main() -> None:
    """Train all models, print the tables, and draw the figure."""
    parser = options(__doc__, seeds=3, quick="normal data shortly, then digits in place of MNIST")
    parser.add_argument("--out", type=Path, default=Path("figures"))
    args = parser.parse_args()
    sizes, seeds = (QUICK, 1) if args.quick else (FULL, args.seeds)
    betas, epochs = ((3.0,), 20) if args.quick else (NORMAL_BETAS, 60)
    normal = [normal_source.fit_betas(seed, betas, epochs) for seed in range(seeds)]
    print(HEAD + "\n" + "\n".join(normal_source.rows(normal)), flush=True)
    images = [image_part(seed, sizes) for seed in range(seeds)]
    print("\n" + image_table(images, sizes.betas, full=not args.quick))
    if not args.quick:
        print("\n" + HEAD + "\n" + "\n".join(image_rows(images)))
    args.out.mkdir(parents=True, exist_ok=True)
    figure(normal, images, sizes).savefig(args.out / "rate_distortion.png", dpi=150)
    print(f"\nfigure: {args.out / 'rate_distortion.png'}")


if __name__ == "__main__":
    main()
