"""Draw the picture of the README: samples, a latent map, and the verdict of one fitted VAE."""

import textwrap
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax
from gallery_canvas import TEXT, draw_digits, draw_tiles, limits_of, save, tidy
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from probvae import VAE, fit, likelihoods, nets, priors
from probvae.criticism import Finding, Kind, Verdict, diagnose
from probvae.data import load

FOLDER = Path(__file__).parent
COLUMNS, ROWS = 6, 5
SIZE, DPI = (5.0, 4.35), 270  # inches, dots per inch: 1350 x 1174 pixels
WIDTH = 82  # characters of a line of the verdict
# Okabe and Ito's colours. A badge also has a symbol and a word.
BADGES = {
    "fault": ("#d55e00", "\u2715"),
    "limit": ("#e69f00", "\u25b2"),
    "note": ("#a9b8c6", "\u25cf"),
    "ok": ("#009e73", "\u2713"),
}


class Pictured(NamedTuple):
    """What the picture shows: images, codes with their labels, and the verdict."""

    samples: np.ndarray
    codes: np.ndarray
    labels: np.ndarray
    verdict: Verdict


def measure() -> Pictured:
    """Fit a VAE with two units to digits, draw from it, and diagnose it."""
    data = load("digits")
    vae = VAE(
        event_shape=data.event_shape,
        latent_dim=2,
        prior=priors.VampPrior(components=50),
        likelihood=likelihoods.Bernoulli(),
        encoder=nets.GatedMLP((300, 300)),
        decoder=nets.GatedMLP((300, 300)),
    )
    fit_key, draw_key, diagnosis_key = jax.random.split(jax.random.key(0), 3)
    fitted = fit(
        vae,
        data.train,
        validation=data.valid,
        rng_key=fit_key,
        optimizer=optax.adam(1e-3),
        epochs=200,
        progress=False,
    )
    diagnosis = diagnose(fitted, data.test, train=data.train, rng_key=diagnosis_key)
    return Pictured(
        np.asarray(fitted.sample(COLUMNS * ROWS, rng_key=draw_key).mean),
        np.asarray(fitted.encode(data.test).mean),
        data.labels["test"],
        diagnosis.verdict,
    )


def draw(pictured: Pictured) -> Figure:
    """Return the picture."""
    figure = Figure(figsize=SIZE, dpi=DPI, layout="constrained", facecolor="white")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.05, wspace=0.02, hspace=0.02)
    top, bottom = figure.subfigures(2, 1, height_ratios=(2.15, 2.0))
    left, right = top.subplots(1, 2, width_ratios=(1.08, 1))
    images = pictured.samples.reshape(ROWS, COLUMNS, *pictured.samples.shape[1:])
    draw_tiles(left, images, "")
    left.set_title("New digits: z ~ p(z), E[x | z]", fontsize=9.5, loc="left", color=TEXT)
    codes = pictured.codes
    tidy(right, "")
    right.set(xlim=limits_of(codes[:, 0]), ylim=limits_of(codes[:, 1]), xticks=[], yticks=[])
    right.set_title("Codes: q(z | x) of test digits", fontsize=9.5, loc="left", color=TEXT)
    draw_digits(right, codes, pictured.labels, size=6.5)
    _draw_verdict(bottom.subplots(), pictured.verdict)
    return figure


def _draw_verdict(axes: Axes, verdict: Verdict) -> None:
    """Write the verdict: the number of findings of each kind, then each finding and its remedy."""
    axes.axis("off")
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.set_title("Verdict of diagnose(fitted, data.test)", fontsize=9.5, loc="left", color=TEXT)
    counts = {kind: len(verdict.of(kind)) for kind in Kind}
    left = 0.0
    for kind, count in counts.items():
        is_fine = kind == Kind.FAULT and not count
        if not count and not is_fine:
            continue
        words = f"{count or 'no'} {kind}{'s' * (count > 1)}"
        left = _badge(axes, (left, 0.95), "ok" if is_fine else kind, words) + 0.025
    height = 0.78
    for finding in verdict[:2]:
        height = _draw_finding(axes, finding, height)


def _draw_finding(axes: Axes, finding: Finding, height: float) -> float:
    colour, symbol = BADGES[finding.kind]
    axes.text(0.0, height, symbol, fontsize=9, color=colour, va="top", family="DejaVu Sans")
    axes.text(0.03, height, finding.name, fontsize=9, color=TEXT, va="top", weight="bold")
    evidence = _sentences(finding.evidence, tuple("0123456789"))[-1]
    remedy = " ".join(_sentences(finding.remedy, ("guides.",)))
    lines = textwrap.wrap(evidence, WIDTH) + textwrap.wrap(f"\u2192 {remedy}", WIDTH)
    axes.text(
        0.03, height - 0.095, "\n".join(lines), fontsize=7.8, color=TEXT, va="top", linespacing=1.3
    )
    return height - 0.135 - 0.076 * len(lines)


def _sentences(words: str, marks: tuple[str, ...]) -> list[str]:
    """Return the sentences up to the first one with one of these marks."""
    sentences = [f"{each}." for each in words.rstrip(".").split(". ")]
    marked = [any(mark in each for mark in marks) for each in sentences]
    return sentences[: marked.index(True) + 1 if any(marked) else 1]


def _badge(axes: Axes, place: tuple[float, float], kind: str, words: str) -> float:
    """Draw a badge, and return its right edge in the axes' units."""
    colour, symbol = BADGES[kind]
    box = {"boxstyle": "round,pad=0.3", "facecolor": colour, "edgecolor": "none", "alpha": 0.25}
    text = axes.text(
        place[0] + 0.015, place[1], f"{symbol} {words}", fontsize=9, color=TEXT, va="top", bbox=box
    )
    figure = axes.get_figure(root=True)
    figure.draw_without_rendering()
    right = text.get_window_extent().transformed(axes.transData.inverted()).x1
    return float(right) + 0.02


if __name__ == "__main__":
    save(draw(measure()), FOLDER / "readme.png", colours=128)
