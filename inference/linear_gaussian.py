"""The linear-Gaussian VAE in closed form: model, evidence, and moments of gradient estimates.

The model is probabilistic PCA at its maximum likelihood on the reference data: 1000 rows of 10
entries from three units, seed 0. The columns of W are orthogonal, so p(z|x) is N(m*, s*^2), unit by
unit. A draw z = m + s e of a normal guide has

    log w = log p(x, z) / q(z|x) = log p(x) + log N(z; m*, s*^2) - log N(z; m, s^2).

Each estimator of a bound's gradient in m and log s is a known function of e, of shape ``(nodes,
particles, n, q, 2)``. Its mean and variance are integrals over e, by Gauss-Hermite quadrature (exact
for polynomials).

Reference: Tipping and Bishop 1999. Lucas et al. 2019, arXiv:1911.02469.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from probvae import VAE, Fitted, History, likelihoods, nets

BATCH = 20  # data
LOG_BOUND, FLOOR = 10.0, -6.0  # MeanField's bound on |log s|, LearnedScale's least log sigma


class Toy(NamedTuple):
    """The model x = W z + mu + sigma e, its data, and the exact posterior N(m, s^2) of each datum."""

    x: np.ndarray  # (n, d)
    weights: np.ndarray  # (d, q), columns orthogonal
    mu: np.ndarray
    sigma2: float
    m: np.ndarray  # (n, q)
    s: np.ndarray  # (q,)
    log_prob: np.ndarray  # (n,), nats


class Guide(NamedTuple):
    """q(z|x) = N(shrunk m*, (widened s*)^2): ``(1, 1)`` is the exact posterior."""

    shrunk: float = 1.0
    widened: float = 1.0


EXACT, OFF = Guide(), Guide(0.9, 1.3)


def dataset() -> np.ndarray:
    """Return 1000 rows of x = W z + mu + e / 2 from three units (reference data, seed 0)."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(10, 3)) * [3, 2, 1]
    mu = rng.normal(size=10)
    return rng.normal(size=(1000, 3)) @ weights.T + mu + 0.5 * rng.normal(size=(1000, 10))


def toy(q: int) -> Toy:
    """Return the maximum-likelihood model with q units, and the first data."""
    x = dataset()
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    values, vectors = values[::-1], vectors[:, ::-1]
    sigma2, mu, x = values[q:].mean(), x.mean(0), x[:BATCH]
    weights = vectors[:, :q] * np.sqrt(values[:q] - sigma2)
    s2 = sigma2 / values[:q]
    square = np.square((x - mu) @ vectors) / np.where(np.arange(10) < q, values, sigma2)
    log_det = np.log(values[:q]).sum() + (10 - q) * math.log(sigma2)
    log_prob = -0.5 * (10 * math.log(2 * math.pi) + log_det + square.sum(1))
    return Toy(x, weights, mu, sigma2, (x - mu) @ weights / values[:q], np.sqrt(s2), log_prob)


def raw_scale(s: np.ndarray) -> np.ndarray:
    """Return r with log s = b tanh(r / 2b), as the guide ``MeanField`` reads it."""
    return 2 * LOG_BOUND * np.arctanh(np.log(s) / LOG_BOUND)


def model(at: Toy, guide: Guide) -> Fitted:
    """Return the VAE with these numbers as its parameters."""
    d, q = at.weights.shape
    vae = VAE(
        event_shape=(d,),
        latent_dim=q,
        likelihood=likelihoods.Gaussian(scale=likelihoods.LearnedScale(min_log=FLOOR)),
        encoder=nets.Linear(),
        decoder=nets.Linear(),
    )
    kernel, bias = np.zeros((d, q, 2)), np.zeros((q, 2))
    kernel[..., 0] = guide.shrunk * at.weights * at.s**2 / at.sigma2
    bias[:, 0], bias[:, 1] = -at.mu @ kernel[..., 0], raw_scale(guide.widened * at.s)
    above = math.log(at.sigma2) / 2 - FLOOR
    values = {
        "encoder$params": {"layers": {0: {"kernel": kernel.reshape(d, -1), "bias": bias.ravel()}}},
        "decoder$params": {"layers": {0: {"kernel": at.weights.T, "bias": at.mu}}},
        "likelihood$log_scale": FLOOR + math.log(math.expm1(above)),
    }
    return Fitted(vae, jax.tree.map(jnp.asarray, values), History({}, {}, {}))


def elbo_terms(at: Toy, m, s) -> tuple:
    """Return E log p(x|z) and -KL(q || p(z)) per datum, in closed form, in nats."""
    square = jnp.square(at.x - at.mu - m @ at.weights.T).sum(-1)
    square += (s**2 * np.square(at.weights).sum(0)).sum(-1)
    log_likelihood = -(10 * math.log(2 * math.pi * at.sigma2) + square / at.sigma2) / 2
    return log_likelihood, (1 - m**2 - s**2 + 2 * jnp.log(s)).sum(-1) / 2


def evidence(at: Toy, guide: Guide) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return E log p(x|z), KL(q || p(z)) and KL(q || p(z|x)) per datum, in closed form, nats."""
    m, s = guide.shrunk * at.m, guide.widened * at.s
    log_likelihood, minus_kl = (np.asarray(term) for term in elbo_terms(at, m, s))
    off = (s**2 + (m - at.m) ** 2) / at.s**2 - 1 - 2 * np.log(s / at.s)
    return log_likelihood, -minus_kl, off.sum(1) / 2


def log_weight(at: Toy, m: np.ndarray, s: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Return log w at z = m + s e, ``(nodes, particles, n)`` from e ``(nodes, particles, 1, q)``."""
    off = (m + s * e - at.m) / at.s
    return at.log_prob + (np.log(s / at.s) + (e**2 - off**2) / 2).sum(-1)


def path(at: Toy, m: np.ndarray, s: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Return d/dz log w, ``(nodes, particles, n, q)``."""
    return e / s - (m + s * e - at.m) / at.s**2


def both(mean_part: np.ndarray, log_scale_part: np.ndarray) -> np.ndarray:
    """Return derivatives in m and in log s, stacked, ``(nodes, particles, n, q, 2)``."""
    return np.stack(np.broadcast_arrays(mean_part, log_scale_part), axis=-1)


def score(at: Toy, m: np.ndarray, s: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Return log w times d log q(z), at fixed z."""
    return both(e / s, e**2 - 1) * log_weight(at, m, s, e)[..., None, None]


def stl(at: Toy, m: np.ndarray, s: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Return (d/dz log w) dz."""
    slope = path(at, m, s, e)
    return both(slope, slope * s * e)


def sampled_kl(at: Toy, m: np.ndarray, s: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Return d log w(m + s e): the path, minus the score of q."""
    return stl(at, m, s, e) - both(e / s, e**2 - 1)


def closed_kl(at: Toy, m: np.ndarray, s: np.ndarray, e: np.ndarray) -> np.ndarray:
    """Return d log p(x | m + s e), minus d KL(q || p(z))."""
    slope = path(at, m, s, e) - e / s + (m + s * e)  # of log p(x|z): without log q and log p(z)
    return both(slope, slope * s * e) - both(m, s**2 - 1)


def weight_by_importance(power: int, each: Callable) -> Callable:
    """Return the estimator sum_k v_k^power each_k, with the importance weights v_k."""

    def estimate(at: Toy, m: np.ndarray, s: np.ndarray, e: np.ndarray) -> np.ndarray:
        log_w = log_weight(at, m, s, e)
        v = np.exp(log_w - log_w.max(1, keepdims=True))
        v = (v / v.sum(1, keepdims=True)) ** power
        return (v[..., None, None] * each(at, m, s, e)).sum(1, keepdims=True)

    return estimate


class Moments(NamedTuple):
    """Moments of an estimate of the gradient in the encoder's parameters, averaged over the batch."""

    mean: np.ndarray  # (parameters,), those of the package, flat
    variance: float  # summed over parameters
    variance_error: float = 0.0
    mean_error: np.ndarray | float = 0.0


def expected_moments(at: Toy, guide: Guide, estimator: Callable, particles: int, nodes: int) -> Moments:
    """Return the moments by quadrature over e. The noise of each datum is independent."""
    m, s = guide.shrunk * at.m, guide.widened * at.s
    e, weight = normal_nodes(nodes, particles * m.shape[1])
    g = estimator(at, m, s, e.reshape(len(e), particles, 1, -1))[:, 0]
    scale_slope = (1 - (np.log(s) / LOG_BOUND) ** 2) / 2  # d log s / dr
    g = g * np.stack([np.ones_like(s), scale_slope], axis=-1)
    mean = np.tensordot(weight, g, 1)
    variance = np.tensordot(weight, (g - mean) ** 2, 1)
    rows, n = np.concatenate([np.ones((len(at.x), 1)), at.x], 1), len(at.x)  # of bias, of kernel
    whole = np.einsum("nd,nqk->dqk", rows, mean) / n
    total = (np.square(rows).sum(1) @ variance.sum((1, 2))) / n**2
    return Moments(whole.ravel(), float(total))


def normal_nodes(nodes: int, dims: int) -> tuple[np.ndarray, np.ndarray]:
    """Return points ``(k, dims)`` and weights for integrals over N(0, I)."""
    e, weight = np.polynomial.hermite_e.hermegauss(nodes)
    grid = np.stack(np.meshgrid(*[e] * dims, indexing="ij"), -1).reshape(-1, dims)
    each = np.stack(np.meshgrid(*[weight / weight.sum()] * dims, indexing="ij"), -1)
    return grid, each.reshape(-1, dims).prod(1)
