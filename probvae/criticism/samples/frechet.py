"""The Frechet distance: two samples compared by the normal distributions fitted to them."""

import numpy as np

from probvae.criticism.samples.features import check_features, check_pair
from probvae.typing import ArrayLike


def frechet_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Return |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), in squared units of the features.

    This is the squared 2-Wasserstein distance of two normal distributions with the samples' moments. It
    does not see any other difference. It is biased upwards, by about k / n times the scale of the
    features. So compare only samples of the same size, and compare the distance with that of random
    splits (``SampleQuality.frechet_permuted``).

    Args:
        a: features ``(n, k)``.
        b: features ``(m, k)``.

    Raises:
        ValueError: for different numbers of features, or no more rows than columns, because their
            covariance has no inverse.

    Reference: Dowson and Landau 1982, Journal of Multivariate Analysis 12:450; Heusel et al. 2017,
    arXiv:1706.08500.
    """
    a, b = check_features(a, "a"), check_features(b, "b")
    check_pair("frechet_distance", a, b, a.shape[1] + 1)
    (m_a, s_a), (m_b, s_b) = (_moments(f) for f in (a, b))
    # tr (S_a S_b)^(1/2) needs the eigenvalues of S_a S_b, which is not symmetric. The product
    # S_a^(1/2) S_b S_a^(1/2) has the same ones and is symmetric, so that they are real and stable.
    values, vectors = np.linalg.eigh(s_a)
    root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    inner = np.linalg.eigvalsh(root @ s_b @ root)
    cross = np.sqrt(np.maximum(inner, 0.0)).sum()
    return max(float(((m_a - m_b) ** 2).sum() + np.trace(s_a) + np.trace(s_b) - 2 * cross), 0.0)


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features.mean(0), np.atleast_2d(np.cov(features.T))
