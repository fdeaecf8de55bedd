"""Normal data, whose rate-distortion function is known, as a reference for the trade-off of a VAE.

x ~ N(0, S), where S has eigenvalues l_i, and the decoder is Normal(f(z), s^2 I). Rate R = E_x
KL(q(z|x) || p(z)) and distortion D = -E_x E_q log p(x|z), in nats. In each direction the minimum of D
+ beta R has a rate of max(0, log(l_i / v)) / 2 and a squared error of min(v, l_i), v = beta s^2. This
is Shannon's rate-distortion function of the normal (Cover and Thomas, reverse water-filling). No
encoder and decoder, linear or not, does better. At beta = 1 and s^2 <= min l_i it touches R + D = H,
the entropy of the data.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from inference.claims import format_values, row
from probvae import VAE, Fitted, fit, likelihoods, nets, objectives

EIGENVALUES = np.array([8.0, 4.0, 2.0, 1.0, 0.5])
VARIANCE = 0.25  # s^2 of the decoder
NORMAL_BETAS = (0.25, 1.0, 3.0, 10.0)


class Point(NamedTuple):
    """Rate and distortion, in nats per datum."""

    rate: float
    distortion: float

    def cost(self, beta: float) -> float:
        """Return D + beta R."""
        return self.distortion + beta * self.rate


def law(beta: float) -> Point:
    """Return the least D + beta R of N(0, S) under a normal decoder of variance s^2."""
    v = beta * VARIANCE
    rate = 0.5 * np.log(np.maximum(EIGENVALUES / v, 1.0)).sum()
    error = np.minimum(EIGENVALUES, v) / VARIANCE + np.log(2 * np.pi * VARIANCE)
    return Point(float(rate), float(0.5 * error.sum()))


def entropy() -> float:
    """Return H of N(0, S), in nats."""
    return float(0.5 * np.log(2 * np.pi * np.e * EIGENVALUES).sum())


def draws(n: int, seed: int) -> np.ndarray:
    """Return n draws of N(0, S), shifted and scaled to have exactly its moments. S is not diagonal."""
    e = np.random.default_rng(seed).normal(size=(n, len(EIGENVALUES)))
    e = (e - e.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(e.T, bias=True))).T
    turn, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(len(EIGENVALUES),) * 2))
    return (e * np.sqrt(EIGENVALUES) @ turn).astype(np.float32)


def normal_vae(net: nets.Recipe, context_shape: tuple[int, ...] = ()) -> VAE:
    """Return a VAE with as many units as entries, and a fixed variance of the decoder."""
    return VAE(
        event_shape=EIGENVALUES.shape,
        latent_dim=len(EIGENVALUES),
        context_shape=context_shape,
        likelihood=likelihoods.Gaussian(scale=likelihoods.FixedScale(VARIANCE**0.5)),
        encoder=net,
        decoder=net,
    )


def measure(
    fitted: Fitted, x: np.ndarray, beta: float | None = None, num_draws: int = 1
) -> tuple[Point, np.ndarray]:
    """Return R and D of test data, and R by unit. ``beta`` is the input of a multi-rate model."""
    context = None if beta is None else np.full((len(x), 1), np.log(beta), np.float32)
    q = fitted.encode(x, context)
    units = 0.5 * (q.mean**2 + q.variance - jnp.log(q.variance) - 1).mean(0)
    scores = [
        fitted.decode(q.sample(key), context).log_prob(x).mean()
        for key in jax.random.split(jax.random.key(99), num_draws)
    ]
    return Point(float(units.sum()), -float(np.mean(scores))), np.asarray(units)


def falling_adam(rate: float, steps: int) -> optax.GradientTransformation:
    """Return Adam with a learning rate that decays to 0, so that its noise vanishes."""
    return optax.adam(optax.cosine_decay_schedule(rate, steps))


def fit_betas(seed: int, betas: tuple[float, ...], epochs: int) -> tuple[dict, dict, dict]:
    """Return the separate trainings' points and active units by beta, and the multi-rate model's.

    All have the same nets and steps; these are not linear, since the best f(z) is not in log beta.
    """
    train, test = draws(20_000, 10 + seed), draws(20_000, 1_000 + seed)
    net = nets.MLP((64, 64), jax.nn.silu)
    options = {"optimizer": falling_adam(5e-3, 100 * epochs), "rng_key": jax.random.key(seed)}
    options |= {"epochs": epochs, "batch_size": 200, "progress": False}
    separate, active = {}, {}
    for beta in betas:
        fitted = fit(normal_vae(net), train, objective=objectives.ELBO(beta), **options)
        separate[beta], units = measure(fitted, test, num_draws=10)
        active[beta] = int((units > 0.01).sum())
    goal = objectives.MultiRate(betas[0] / 2, betas[-1] * 2)
    fitted = fit(normal_vae(net, (1,)), train, objective=goal, **options)
    return separate, active, {beta: measure(fitted, test, beta, num_draws=10)[0] for beta in betas}


def rows(results: list[tuple[dict, dict, dict]]) -> list[str]:
    """Compare the points of normal data with the rate-distortion function."""
    lines = []
    for beta in results[0][0]:
        want, words = law(beta), f"normal, beta {beta:g}"
        points = [separate[beta] for separate, _, _ in results]
        off = np.abs(np.mean(points, axis=0) - want)
        lines.append(
            row(
                f"{words}: R, D",
                f"{want.rate:.3f}, {want.distortion:.3f}",
                ", ".join(format_values(each, 3) for each in zip(*points, strict=True)),
                holds=bool((off < 0.06).all()),
            )
        )
        units, numbers = int((EIGENVALUES > beta * VARIANCE).sum()), [r[1][beta] for r in results]
        text = ", ".join(map(str, numbers))
        lines.append(row(f"{words}: active units", str(units), text, holds={units} == set(numbers)))
        above = np.array([r[2][beta].cost(beta) - want.cost(beta) for r in results])
        lines.append(
            row(
                f"{words}: D + beta R of multi-rate, above the law",
                "0 to 0.1",
                format_values(above, 3),
                holds=-0.01 < above.mean() < 0.1,
            )
        )
    if 1.0 in results[0][0]:
        sums = [separate[1.0].cost(1.0) for separate, _, _ in results]
        good = abs(np.mean(sums) - entropy()) < 0.03
        lines.append(
            row("normal, beta 1: R + D = H", f"{entropy():.3f}", format_values(sums, 3), holds=good)
        )
    return lines
