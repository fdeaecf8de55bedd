"""Claim: gradient estimators differ by orders of magnitude in variance, and the bound's gap is a KL.

On the linear-Gaussian VAE (`linear_gaussian.py`) each estimator is a known function of the e in z = m +
s e, so that its mean and its variance have exact values:

- score function: log w (d log q), at fixed z;
- pathwise: d log w(m + s e), with the KL sampled or in closed form;
- STL: the path alone, (d/dz log w) dz, which is 0 at the exact posterior for every draw;
- IWAE of K particles: sum_k v_k d log w_k, and DReG: sum_k v_k^2 (d/dz log w_k) dz, with the weights
  v_k. As K grows, the signal-to-noise ratio of the first falls as K^-1/2, and that of the second rises
  as K^1/2.

And log p(x) = E log p(x|z) - KL(q || p(z)) + KL(q || p(z|x)), term by term.

    python -m inference.reparameterization [--draws 20000] [--out figures] [--quick]

Expected values: the ELBO's gradient by automatic differentiation of its closed form, and all other
means and variances by quadrature over e, in double precision. Measured values: the package's
objectives over many keys, in the encoder's parameters, for the bound averaged over 20 data. A row
holds if the variance, summed over parameters, and every parameter's mean are within 4 standard
errors.

Reference: Roeder, Wu and Duvenaud 2017, arXiv:1703.09194. Tucker et al. 2019, arXiv:1810.04152.
Rainforth et al. 2018, arXiv:1802.04537 (signal and noise).
"""

import argparse
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from inference import linear_gaussian as exact
from inference.claims import HEAD, row
from inference.linear_gaussian import OFF, Guide, Moments, Toy, expected_moments, model, toy
from inference.score_function import ScoreFunction
from probvae import objectives
from probvae.plots.canvas import BLUE, GREY, ORANGE, new_figure, tidy

CHUNK, ERRORS = 100, 4.0  # keys at a time; standard errors
COUNTS = (4, 16, 64, 256)  # particles
GUIDES = {"exact posterior": exact.EXACT, "guide off": OFF}


class Method(NamedTuple):
    """An estimator: its function of e, and the package's objective."""

    words: str
    estimator: Callable
    objective: objectives.AbstractObjective
    q: int = 3
    particles: int = 1
    nodes: int = 6


ELBO, DREG = (
    partial(objectives.ELBO, closed_form=False),
    partial(objectives.IWAE, estimator=objectives.DReG()),
)
METHODS = (
    Method("score function", exact.score, ELBO(estimator=ScoreFunction())),
    Method("pathwise, KL sampled", exact.sampled_kl, ELBO()),
    Method("pathwise, KL in closed form", exact.closed_kl, objectives.ELBO()),
    Method("STL", exact.stl, ELBO(estimator=objectives.STL())),
    Method(
        "IWAE of 3, autodiff",
        exact.weight_by_importance(1, exact.sampled_kl),
        objectives.IWAE(3),
        1,
        3,
        24,
    ),
    Method("IWAE of 3, DReG", exact.weight_by_importance(2, exact.stl), DREG(3), 1, 3, 24),
)


def gradients(at: Toy, guide: Guide, objective, draws: int) -> np.ndarray:
    """Return the package's gradients in the encoder's parameters, ``(draws, parameters)``."""
    fitted = model(at, guide)
    keys = jax.random.split(jax.random.key(0), draws).reshape(-1, min(draws, CHUNK))
    return np.asarray(slopes(keys, fitted.values, at.x, fitted.vae, objective)).reshape(draws, -1)


@partial(jax.jit, static_argnames=("vae", "objective"))
def slopes(keys: jax.Array, values: dict, x: jax.Array, vae, objective) -> jax.Array:
    """Return the gradient of the bound per datum for each key, as one vector of parameters."""

    def bound(encoder: dict, key: jax.Array) -> jax.Array:
        params = {**values, "encoder$params": encoder}
        return -objective.loss(key, params, vae.model, vae.guide, x) / len(x)

    def slope(key: jax.Array) -> jax.Array:
        return ravel_pytree(jax.grad(bound)(values["encoder$params"], key))[0]

    return jax.lax.map(jax.vmap(slope), keys)


def measure(g: np.ndarray) -> Moments:
    """Return the moments of gradients, with standard errors."""
    square = np.square(g - g.mean(0)).sum(1)
    scale = 1 / math.sqrt(len(g))
    return Moments(g.mean(0), square.mean(), square.std() * scale, g.std(0) * scale)


def elbo_gradient(at: Toy, guide: Guide) -> np.ndarray:
    """Return the exact gradient by autodiff of the ELBO's closed form."""
    encoder, back = ravel_pytree(model(at, guide).values["encoder$params"])

    def bound(flat: jax.Array) -> jax.Array:
        layer = back(flat)["layers"][0]
        out = (at.x @ layer["kernel"] + layer["bias"]).reshape(exact.BATCH, -1, 2)
        s = jnp.exp(exact.LOG_BOUND * jnp.tanh(out[..., 1] / (2 * exact.LOG_BOUND)))
        return sum(exact.elbo_terms(at, out[..., 0], s)).mean()

    return np.asarray(jax.grad(bound)(encoder))


def method_lines(methods: tuple, draws: int) -> list[str]:
    """Compare each estimator's moments with the exact ones, at two guides."""
    lines = []
    for words, guide in GUIDES.items():
        for method in methods:
            at = toy(method.q)
            want = expected_moments(at, guide, method.estimator, method.particles, method.nodes)
            got = measure(gradients(at, guide, method.objective, draws))
            worst = (np.abs(got.mean - want.mean) / (got.mean_error + 1e-9)).max()
            off = abs(got.variance - want.variance) / (got.variance_error + 1e-9)
            found = f"{got.variance:.4g} +- {got.variance_error:.2g}; means within {worst:.1f} s.e."
            claim, holds = f"{words}: variance, {method.words}", max(worst, off) < ERRORS
            lines.append(row(claim, f"{want.variance:.4g}", found, holds=holds))
    return lines


def law_lines() -> list[str]:
    """Check that the expected means are the exact gradient, and that the bound's gap is the KL."""
    at, lines = toy(3), []
    for words, guide in GUIDES.items():
        slope = elbo_gradient(at, guide)
        means = [expected_moments(at, guide, m.estimator, 1, m.nodes).mean for m in METHODS if m.q == 3]
        off = max(np.abs(mean - slope).max() for mean in means)
        claim = f"{words}: mean of the first four, by quadrature, against the ELBO's gradient"
        norm = f"off by {off:.1e} of {np.linalg.norm(slope):.4g}"
        lines.append(row(claim, "equal", norm, holds=off < 1e-6))
        lines += evidence_lines(at, guide, words)
    return lines


def evidence_lines(at: Toy, guide: Guide, words: str) -> list[str]:
    """Compare the package's terms of log p(x) (1000 draws of z) with the closed forms."""
    log_likelihood, kl, gap = exact.evidence(at, guide)
    sums = np.abs(log_likelihood - kl + gap - at.log_prob).max()
    fitted, key = model(at, guide), jax.random.key(1)
    read = objectives.ELBO(num_particles=1000).read(
        key, fitted.values, fitted.vae.model, fitted.vae.guide, at.x
    )
    log_likelihoods, its_kl = np.asarray(read.log_likelihood), np.asarray(read.total_kl).mean(0)
    error = log_likelihoods.std(0) / math.sqrt(1000)
    found = log_likelihoods.mean(0)
    short = at.log_prob - (found - its_kl)
    terms = (
        ("E log p(x|z)", log_likelihood, found, error),
        ("KL(q || p(z))", kl, its_kl, np.full(exact.BATCH, 1e-9)),
        ("log p(x) - ELBO = KL(q || p(z|x))", gap, short, error),
    )
    lines = [row(f"{words}: log p(x) = the three terms", "0", f"off by {sums:.1e}", holds=sums < 1e-8)]
    for name, want, got, each in terms:
        off = (np.abs(got - want) / each).max()
        values = f"{want.mean():.4f}", f"{got.mean():.4f} +- {np.linalg.norm(each) / exact.BATCH:.4f}"
        lines.append(row(f"{words}: {name}, nats", *values, holds=off < ERRORS))
    return lines


def signal_to_noise(draws: int) -> dict[str, np.ndarray]:
    """Return |mean| / sqrt(variance) of IWAE's gradient by particles, with autodiff and with DReG."""
    at, found = toy(1), {"autodiff": [], "DReG": []}
    for count in COUNTS:
        g = [measure(gradients(at, OFF, bound(count), draws)) for bound in (objectives.IWAE, DREG)]
        signal = np.linalg.norm(g[1].mean)  # one mean for both: the one with less noise
        for name, one in zip(found, g, strict=True):
            found[name].append(signal / math.sqrt(one.variance))
    return {name: np.array(values) for name, values in found.items()}


def ratio_lines(ratios: dict[str, np.ndarray]) -> list[str]:
    """Compare the slopes in log K with their limits for many particles."""
    lines = []
    for name, limit in (("autodiff", -0.5), ("DReG", 0.5)):
        slope = np.polyfit(np.log(COUNTS[1:]), np.log(ratios[name][1:]), 1)[0]
        claim = f"IWAE, {name}: signal to noise goes as K to the power, K = 16 to 256"
        lines.append(row(claim, f"{limit} to 0.1", f"{slope:.3f}", holds=abs(slope - limit) < 0.1))
    return lines


def figure(ratios: dict[str, np.ndarray], draws: int):
    """Draw the variance as the guide widens (lines exact, dots measured), and signal to noise."""
    drawing = new_figure(height=3.8, width=9)
    a, b = drawing.subplots(1, 2)
    tidy(
        a,
        title="lines exact, dots measured",
        x="guide's scale / posterior's",
        y="variance of the gradient",
    )
    at, widths = toy(3), np.linspace(0.4, 2.0, 81)
    for method, colour in zip(METHODS[:4], (GREY, ORANGE, "black", BLUE), strict=True):
        want = [
            expected_moments(at, Guide(1.0, w), method.estimator, 1, method.nodes).variance
            for w in widths
        ]
        a.semilogy(
            widths, want, color=colour, label=method.words, ls="--" if colour == "black" else "-"
        )
        for width in (0.5, 0.9, 1.6):
            got = measure(gradients(at, Guide(1.0, width), method.objective, draws))
            a.semilogy(width, got.variance, "o", color=colour, ms=4)
    tidy(b, title="IWAE, guide off", x="particles K", y="signal to noise of the gradient")
    for (name, values), limit, colour in zip(ratios.items(), (-0.5, 0.5), (ORANGE, BLUE), strict=True):
        b.loglog(COUNTS, values, "o", color=colour, label=name)
        line = values[-1] * (np.array(COUNTS) / COUNTS[-1]) ** limit
        b.loglog(COUNTS, line, color=colour, ls="--", label=f"K to the power {limit}")
    a.set(ylim=(1, 1e8))
    b.set_xticks(COUNTS, [str(count) for count in COUNTS])
    b.minorticks_off()
    for axes in (a, b):
        axes.legend(fontsize=8, frameon=False)
    return drawing


def main() -> None:
    """Run all comparisons, print the table, and draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=20_000, help="a multiple of 100")
    parser.add_argument("--out", type=Path, default=Path("figures"))
    parser.add_argument("--quick", action="store_true", help="1000 draws of three estimators")
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", val=True)
    print(HEAD)
    print("\n".join(law_lines()), flush=True)
    if args.quick:
        print("\n".join(method_lines((*METHODS[2:4], METHODS[5]), 1000)))
        return
    print("\n".join(method_lines(METHODS, args.draws)), flush=True)
    ratios = signal_to_noise(min(args.draws, 5000))
    print("\n".join(ratio_lines(ratios)))
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "reparameterization.png"
    figure(ratios, 2000).savefig(path, dpi=150)
    print(f"\nfigure: {path}")


if __name__ == "__main__":
    main()
