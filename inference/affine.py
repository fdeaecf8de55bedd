"""An affine VAE, z = a x + tau e, x = w z + sigma e: its initial values, and its exact properties."""

import math
from typing import NamedTuple

import numpy as np

from probvae import Fitted, likelihoods

D = 10
LEARNED = likelihoods.LearnedScale(start=0.1, min_log=-20.0)


class AffineProperties(NamedTuple):
    """Exact properties of an affine VAE on new draws, in nats. Variances and errors are per entry."""

    minus_elbo: float
    off: float  # KL(N(0, I) || p(x))
    sigma2: float
    var_means: float  # of the decoder's means
    var_p: float
    squared_error: float  # of reconstructions
    kl: float  # of q(z|x) from p(z), mean over data
    population_kl: float  # of all codes from p(z)
    slope: float  # of the bound in -log sigma, over the training


def start_at(w: float, sigma: float) -> dict:
    """Return parameters with w = a and sigma = tau, as the parts store them."""
    r = 20 * math.atanh(math.log(sigma) / 10)  # MeanField's log s = 10 tanh(r / 20)
    kernel, bias = np.zeros((D, D, 2)), np.zeros((D, 2))
    kernel[..., 0], bias[:, 1] = w * np.eye(D), r
    above = math.log(sigma) - LEARNED.min_log
    layers = {
        "encoder$params": {"kernel": kernel.reshape(D, -1), "bias": bias.ravel()},
        "decoder$params": {"kernel": w * np.eye(D), "bias": np.zeros(D)},
    }
    start = {name: {"layers": {0: layer}} for name, layer in layers.items()}
    return {**start, "likelihood$log_scale": np.array(LEARNED.min_log + math.log(math.expm1(above)))}


def read_affine(fitted: Fitted, x: np.ndarray) -> AffineProperties:
    """Recover an affine VAE's parameters from its encodings and decodings, in double precision."""
    q, p = fitted.encode(x), fitted.decode(np.concatenate([np.zeros((1, D)), np.eye(D)]))
    m, s2, at = (np.asarray(a, np.float64) for a in (q.mean, q.variance, p.mean))
    sigma2 = float(np.asarray(p.variance).mean())
    b, w = at[0], at[1:] - at[0]  # x = z w + b + sigma e
    square = np.square(x - m @ w - b).sum(1)
    error_term = (square + s2 @ np.square(w).sum(1)) / sigma2
    kl = 0.5 * (m**2 + s2 - 1 - np.log(s2)).sum(1)
    c = w.T @ w + sigma2 * np.eye(D)
    return AffineProperties(
        float((D / 2 * math.log(2 * math.pi * sigma2) + error_term / 2 + kl).mean()),
        normal_kl(np.zeros(D), np.eye(D), b, c),
        sigma2,
        float(np.square(w).sum() / D),
        float(np.trace(c) / D),
        float(square.mean() / D),
        float(kl.mean()),
        normal_kl(m.mean(0), np.cov(m.T) + np.diag(s2.mean(0)), np.zeros(D), np.eye(D)),
        slope(fitted),
    )


def slope(fitted: Fitted) -> float:
    """Return the gain of the bound, in nats, per unit decrease of log sigma (a line fit)."""
    train = fitted.history.train
    moved = train and np.ptp(train["scale_x"]) > 0
    return -float(np.polyfit(np.log(train["scale_x"]), train["bound"], 1)[0]) if moved else math.nan


def normal_kl(m: np.ndarray, s: np.ndarray, n: np.ndarray, t: np.ndarray) -> float:
    """Return KL(N(m, s) || N(n, t)), in nats."""
    inverse, off = np.linalg.inv(t), n - m
    log_det = np.linalg.slogdet(t)[1] - np.linalg.slogdet(s)[1]
    return float(np.trace(inverse @ s) + off @ inverse @ off - len(m) + log_det) / 2
