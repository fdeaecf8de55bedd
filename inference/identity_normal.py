"""A critic's claim ("VAEs will never work"): training destroys a perfect model of a normal.

Data N(0, I_10), ten latents, affine encoder and decoder that start at the identity: per entry z = a x +
tau e and x = w z + sigma e, w = a = 1, sigma = tau = 0.1. Reconstructions are exact, and p(x) nearly.
Training blurs the reconstructions, at a loss that is not 0. All of it has a closed form:

- The minimum of -E log p(x) is the data's entropy, 5 log(2 pi e) = 14.189385 nats, and not 0.
- beta = 1: every w^2 + sigma^2 = 1 reaches it with p(x) = N(0, I) exactly, also collapse (w = 0).
- sigma fixed: w^2 = max(1 - beta sigma^2, 0). p(x) is exact only for beta = 1 and sigma <= 1.
- sigma learned: beta > 1 collapses (w = 0, sigma = 1). beta < 1 has no optimum: the loss falls without
  limit, by 10 (1 - beta) nats for each factor e in sigma.
- Where the critic is right: KL(q(z|x) || p(z)) of a datum is -5 log sigma^2 nats at the optimum. All of
  it is mutual information, and the population of codes equals the prior. If only the population is
  penalised (MMD: InfoVAE with alpha = 1), w = a = 1 stays and nothing blurs, but p(x) has variance
  1 + sigma^2.

    python -m inference.identity_normal [--seeds 3] [--out figures] [--quick]

The measured value is the exact -ELBO of an affine VAE on 20,000 new draws. The reference is
-log N(x; 0, I) of the same draws.
"""

import math
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
import optax

from inference.affine import LEARNED, AffineProperties, D, read_affine, start_at
from inference.claims import near, publish
from inference.comparison import options
from probvae import VAE, Fitted, History, fit, likelihoods, nets, objectives
from probvae.plots.canvas import BLUE, GREY, ORANGE, new_figure, tidy

DRAWS, BATCH, EPOCHS = 20_000, 200, 30
ENTROPY = D / 2 * math.log(2 * math.pi * math.e)
AT_START = D / 2 * (math.log(2 * math.pi * 0.01) + 1 + 1 + 0.01 - 1 - math.log(0.01))  # E -ELBO, nats
WITHIN = 1e-2  # nats
ADAM = optax.adam(optax.cosine_decay_schedule(1e-2, EPOCHS * DRAWS // BATCH))


class Case(NamedTuple):
    """A training: a fixed sigma^2 or None, the objective, initial w = a and sigma = tau."""

    sigma2: float | None = None
    objective: objectives.AbstractObjective = objectives.ELBO()  # noqa: RUF009
    start: tuple[float, float] = (1.0, 0.1)


POPULATION = "MMD in place of the KL, fixed 0.1"
CASES = {
    "learned": Case(),
    "learned, from collapse": Case(start=(0.01, 1.0)),
    **{f"fixed {sigma2}": Case(sigma2) for sigma2 in (0.1, 0.5, 0.9, 2.0)},
    "fixed 0.1, beta 4": Case(0.1, objectives.ELBO(4.0)),
    "fixed 0.5, beta 0.25": Case(0.5, objectives.ELBO(0.25)),
    "learned, beta 4": Case(objective=objectives.ELBO(4.0)),
    "learned, beta 0.25": Case(objective=objectives.ELBO(0.25)),
    POPULATION: Case(0.1, objectives.InfoVAE(lam=1000.0)),
}
QUICK = ("learned", "learned, from collapse", "fixed 0.5", "fixed 0.1, beta 4", "learned, beta 0.25")
START = "the identity"
COLOURS = {0.25: BLUE, 1.0: "black", 4.0: ORANGE}  # by beta
Results = dict[str, list[AffineProperties]]


def fit_vae(what: Case, seed: int) -> Fitted:
    """Train on fresh draws of N(0, I), from a key."""
    scale = LEARNED if what.sigma2 is None else likelihoods.FixedScale(math.sqrt(what.sigma2))
    vae = VAE(
        event_shape=(D,),
        latent_dim=D,
        likelihood=likelihoods.Gaussian(scale=scale),
        encoder=nets.Linear(),
        decoder=nets.Linear(),
    )
    start = start_at(*what.start)
    if what.sigma2 is not None:
        del start["likelihood$log_scale"]
    data_key, fit_key = jax.random.split(jax.random.key(seed))
    return fit(
        vae,
        np.asarray(jax.random.normal(data_key, (DRAWS, D))),
        rng_key=fit_key,
        objective=what.objective,
        optimizer=ADAM,
        init_params=jax.tree.map(np.float32, start),
        epochs=EPOCHS,
        batch_size=BATCH,
        progress=False,
    )


def add(lines: list[str], results: Results, name: str, *claims: tuple) -> None:
    """Add a line for each claim (words, field, expected value, tolerance) of a trained case."""
    each = results.get(name, [])
    for words, field, expected, within in claims if each else ():
        expected_values = [expected(one) if callable(expected) else expected for one in each]
        values = [getattr(one, field) for one in each]
        lines.append(near(f"{name}: {words}", values, expected_values, within))


def table(results: Results, reference: float) -> list[str]:
    """Compare results with closed forms. ``reference`` is the draws' mean of -log N(x; 0, I)."""
    lines: list[str] = []
    at_floor = ("-ELBO, nats", "minus_elbo", reference, WITHIN)
    exact = ("KL(N(0, I) || p(x)), nats", "off", 0.0, WITHIN)
    sharp = ("squared error per entry", "squared_error", 0.0, 1e-3)
    begun = ("-ELBO, nats", "minus_elbo", AT_START + reference - ENTROPY, WITHIN)
    add(lines, results, START, begun, exact, sharp)
    for name in ("learned", "learned, from collapse"):
        blurred = ("squared error per entry: sigma^4", "squared_error", lambda one: one.sigma2**2, 0.02)
        add(lines, results, name, at_floor, exact, blurred)
    for name, case in CASES.items():
        if case.sigma2 is None or name == POPULATION:
            continue
        beta = case.objective.beta
        w2 = max(1 - beta * case.sigma2, 0.0)
        means = ("var of decoder's means", "var_means", w2, 0.02)
        floor = [at_floor] if beta == 1 and case.sigma2 < 1 else []
        add(lines, results, name, *floor, ("var p(x)", "var_p", w2 + case.sigma2, 0.02), means)
    flat = ("var of decoder's means", "var_means", 0.0, WITHIN)
    add(lines, results, "learned, beta 4", exact, flat)
    gained = ("bound gained per factor e in sigma, nats", "slope", 0.75 * D, 0.5)
    add(lines, results, "learned, beta 0.25", gained, ("sigma^2 at the end", "sigma2", 0.0, 1e-4))
    population = ("KL of all codes, nats", "population_kl", 0.0, WITHIN)
    for s in (0.1, 0.5, 0.9):
        datum = ("KL of a datum, nats: -5 log sigma^2", "kl", -D / 2 * math.log(s), 0.05)
        add(lines, results, f"fixed {s}", datum, population)
    add(lines, results, POPULATION, population, sharp, ("var p(x)", "var_p", 1.1, 0.02))
    return lines


def figure(results: Results, elbo: np.ndarray):
    """Draw -ELBO by epoch above its minimum, and variances and KLs at a fixed sigma^2."""
    drawing = new_figure(height=3.6, width=11)
    loss, variances, kls = drawing.subplots(1, 3)
    tidy(loss, title="beta = 1, sigma learned: the floor is H", x="epoch", y="-ELBO, nats per datum")
    loss.plot(range(1, EPOCHS + 1), -elbo, color=BLUE, label="in training")
    loss.plot([0], [AT_START], "o", color=BLUE, label="the identity (closed form)")
    loss.axhline(ENTROPY, color=ORANGE, ls="--", label=f"the data's entropy H = {ENTROPY:.3f}")
    draw_variances(variances, results)
    draw_kls(kls, results)
    for axes in (loss, variances, kls):
        axes.legend(fontsize=8, frameon=False)
    return drawing


def draw_variances(axes, results: Results) -> None:
    """Draw variances over the fixed sigma^2. Lines are closed forms, dots are trainings."""
    tidy(axes, title="sigma fixed: closed form and trainings", x="sigma^2", y="variance per entry")
    grid = np.linspace(0.02, 1, 200)
    for beta, colour in COLOURS.items():
        var_p = np.maximum(1 - beta * grid, 0) + grid
        axes.plot(grid, var_p, color=colour, label=f"of p(x), beta {beta:g}")
        for one in fixed_scale_results(results, beta):
            axes.plot(one.sigma2, one.var_p, "o", color=colour, ms=5)
    axes.plot(grid, 1 - grid, color=GREY, ls="--", label="of the decoder's means, beta 1")
    for one in fixed_scale_results(results, 1.0):
        axes.plot(one.sigma2, one.var_means, "o", color=GREY, ms=5)
    axes.set(ylim=(-0.1, 2.8))


def draw_kls(axes, results: Results) -> None:
    """Draw the KL of a datum and that of all codes over the fixed sigma^2."""
    tidy(axes, title="beta 1: a datum's KL, and all codes'", x="sigma^2", y="KL from p(z), nats")
    grid = np.linspace(0.05, 1, 200)
    axes.plot(grid, -D / 2 * np.log(grid), color=BLUE, label="of q(z|x): -5 log sigma^2")
    axes.plot(grid, 0 * grid, color=ORANGE, label="of all codes: 0")
    for one in fixed_scale_results(results, 1.0):
        axes.plot([one.sigma2] * 2, [one.kl, one.population_kl], "o", color="black", ms=4)


def fixed_scale_results(results: Results, beta: float) -> list[AffineProperties]:
    """Return the results with a fixed sigma^2 <= 1 at this beta."""
    objective = objectives.ELBO(beta)
    names = [k for k, c in CASES.items() if c.objective == objective and c.sigma2 and c.sigma2 <= 1]
    return [one for name in names for one in results.get(name, [])]


def main() -> None:
    """Train all models, print the table, and draw the figure."""
    parser = options(__doc__, seeds=3, quick="two seeds, five of the eleven cases")
    parser.add_argument("--out", type=Path, default=Path("figures"))
    args = parser.parse_args()
    seeds, names = (2, QUICK) if args.quick else (args.seeds, tuple(CASES))
    x = np.asarray(jax.random.normal(jax.random.key(1000), (DRAWS, D)))
    reference = D / 2 * math.log(2 * math.pi) + float(np.square(x, dtype=np.float64).sum(1).mean() / 2)
    print(f"the draws' mean of -log N(x; 0, I): {reference:.4f} nats (entropy: {ENTROPY:.6f})\n")
    fits = {(name, seed): fit_vae(CASES[name], seed) for name in names for seed in range(seeds)}
    results = {name: [read_affine(fits[name, seed], x) for seed in range(seeds)] for name in names}
    values = jax.tree.map(np.float32, start_at(1.0, 0.1))
    begun = Fitted(fits["learned", 0].vae, values, History({}, {}, {}))
    lines = table({START: [read_affine(begun, x)], **results}, reference)
    drawing = figure(results, fits["learned", 0].history.train["elbo"])
    publish(lines, drawing, args.out / "identity_normal.png")


if __name__ == "__main__":
    main()
