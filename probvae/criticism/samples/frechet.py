"""The distance of two samples by the normal distributions fitted to them."""

import numpy as np

from probvae.criticism.samples.features import check_features
from probvae.typing import ArrayLike


def frechet_distance(a: ArrayLike, b: ArrayLike) -> float:
    """Return |m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), in squared units of the features.

    The squared 2-Wasserstein distance of two normal distributions of the samples' moments; blind to
    all else. It is biased upwards, by about the features' number over the data's (times their scale):
    compare samples of one size only, and with a split of equals (``SampleQuality.frechet_permuted``).

    Args:
        a: features ``(n, k)``.
        b: features ``(m, k)``.

    Raises:
        ValueError: for features that do not fit each other, or no more rows than columns: their
            covariance has no inverse.

    Reference: Dowson and Landau 1982, Journal of Multivariate Analysis 12:450; Heusel et al. 2017,
    arXiv:1706.08500.
    """
    a, b = (check_features(f, name) for name, f in (("a", a), ("b", b)))
    _check_enough(a, b)
    (m_a, s_a), (m_b, s_b) = (_moments(f) for f in (a, b))
    root = _root(s_a)
    inner = np.linalg.eigvalsh(root @ s_b @ root)
    cross = np.sqrt(np.maximum(inner, 0.0)).sum()  # tr (S_a S_b)^(1/2): the same eigenvalues
    return max(float(((m_a - m_b) ** 2).sum() + np.trace(s_a) + np.trace(s_b) - 2 * cross), 0.0)


def _moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return features.mean(0), np.atleast_2d(np.cov(features.T))


def _root(s: np.ndarray) -> np.ndarray:
    """Return the symmetric root of a covariance."""
    values, vectors = np.linalg.eigh(s)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _check_enough(a: np.ndarray, b: np.ndarray) -> None:
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"a has {a.shape[1]} features and b {b.shape[1]}; expected the same features of both."
        )
    if min(len(a), len(b)) <= a.shape[1]:
        raise ValueError(
            f"a Frechet distance of {a.shape[1]} features expects more rows than that in both samples; "
            f"got {len(a)} and {len(b)}. Take more data, or fewer features."
        )
