"""Tests of numbers in (0, 1): distances from uniform and from symmetric about 1/2."""

import math

import numpy as np

NUM_TERMS = 100  # of the series for symmetry


def measure_uniformity(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return D = sup_t |F(t) - t| of each column of ``(n, units)``, and its exact p-value.

    This is SciPy's Kolmogorov-Smirnov test of one sample.
    """
    from scipy import stats

    results = [stats.kstest(column, "uniform") for column in u.T]
    return np.array([r.statistic for r in results]), np.array([r.pvalue for r in results])


def measure_symmetry(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return D = sup_t |F(t) - (1 - F(1 - t))| of each column of ``(n, units)``, and its p-value.

    The p-value is that of many rows. SciPy does not have this test.

    Reference: Butler 1969, "A test for symmetry using the sample distribution function".
    """
    # n D is the largest distance from 0 of a walk of n steps. Its steps are the signs of u - 1/2, in
    # order of falling |u - 1/2|. If u is symmetric, the signs are fair coins for any shape of u, and
    # sqrt(n) D tends to the maximum of |B| for a Brownian motion B on [0, 1]. That maximum is below x
    # with probability 4/pi sum_k (-1)^k / (2k + 1) exp(-((2k + 1) pi / x)^2 / 8).
    n = len(u)
    order = np.argsort(-np.abs(u - 0.5), axis=0)
    walk = np.cumsum(np.sign(np.take_along_axis(u - 0.5, order, axis=0)), axis=0)
    distance = np.abs(walk).max(0) / n
    k = 2 * np.arange(NUM_TERMS)[:, None] + 1
    sign = (-1.0) ** np.arange(NUM_TERMS)[:, None]
    x = np.maximum(math.sqrt(n) * distance, 1e-3)
    inside = 4 / math.pi * (sign / k * np.exp(-((k * math.pi / x) ** 2) / 8)).sum(0)
    return distance, np.clip(1 - inside, 0.0, 1.0)
