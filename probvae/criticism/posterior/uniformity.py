"""How far numbers in (0, 1) are from uniform, and from symmetric about 1/2."""

import math

import numpy as np

TERMS = 100  # of each series


def uniformity(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return D = sup_t |F(t) - t| of each column of ``(n, units)``, and its p-value.

    The p-value is the Kolmogorov distribution's at (sqrt n + 0.12 + 0.11 / sqrt n) D.

    Reference: Stephens 1970, "Use of the Kolmogorov-Smirnov, Cramer-von Mises and related statistics
    without extensive tables".
    """
    n = len(u)
    ordered, at = np.sort(u, axis=0), np.arange(n)[:, None]
    distance = np.maximum((at + 1) / n - ordered, ordered - at / n).max(0)
    k = np.arange(1, TERMS + 1)[:, None]
    x = (math.sqrt(n) + 0.12 + 0.11 / math.sqrt(n)) * distance
    tail = 2 * ((-1.0) ** (k - 1) * np.exp(-2 * (k * x) ** 2)).sum(0)
    return distance, np.where(x < 0.2, 1.0, np.clip(tail, 0.0, 1.0))


def symmetry(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return D = sup_t |F(t) - (1 - F(1 - t))| of each column of ``(n, units)``, and its p-value.

    n D is the furthest that a walk of n steps is from 0, its steps the signs of u - 1/2 in order of
    falling |u - 1/2|. If u is symmetric, whatever its shape, the signs are coins, and sqrt(n) D goes to
    the furthest of a Brownian motion on [0, 1].

    Reference: Butler 1969, "A test for symmetry using the sample distribution function".
    """
    n = len(u)
    order = np.argsort(-np.abs(u - 0.5), axis=0)
    walk = np.cumsum(np.sign(np.take_along_axis(u - 0.5, order, axis=0)), axis=0)
    distance = np.abs(walk).max(0) / n
    k = 2 * np.arange(TERMS)[:, None] + 1
    sign = (-1.0) ** np.arange(TERMS)[:, None]
    x = np.maximum(math.sqrt(n) * distance, 1e-3)
    inside = 4 / math.pi * (sign / k * np.exp(-((k * math.pi / x) ** 2) / 8)).sum(0)
    return distance, np.clip(1 - inside, 0.0, 1.0)
