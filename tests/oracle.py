"""The linear-Gaussian VAE, whose log p(x), posterior and optimum have closed forms (pPCA).

Tipping and Bishop 1999; Lucas et al. 2019, arXiv:1911.02469. Numbers in NumPy, float64.
"""

import math

import jax
import numpy as np

from probvae import VAE, likelihoods, nets

BOUND = 10.0  # of the guide's log scale
FLOOR = -6.0  # of the likelihood's


def dataset(n: int = 1000, d: int = 10, q: int = 3) -> np.ndarray:
    """Rows of x = W z + mu + s e, in the draw order that the reference values were computed with."""
    rng = np.random.default_rng(0)
    weights = rng.normal(size=(d, q)) * [3, 2, 1]
    mu = rng.normal(size=d)
    return rng.normal(size=(n, q)) @ weights.T + mu + 0.5 * rng.normal(size=(n, d))


def eigen(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Eigenvalues (largest first) and eigenvectors of the covariance of the rows, over n."""
    values, vectors = np.linalg.eigh(np.cov(x.T, bias=True))
    return values[::-1], vectors[:, ::-1]


def optimum(x: np.ndarray, q: int = 3) -> tuple[np.ndarray, np.ndarray, float]:
    """The maximum-likelihood W (d, q), mu and sigma^2."""
    values, vectors = eigen(x)
    variance = values[q:].mean()
    return vectors[:, :q] * np.sqrt(values[:q] - variance), x.mean(0), variance


def log_prob(x: np.ndarray, weights: np.ndarray, mu: np.ndarray, variance: float) -> np.ndarray:
    """log Normal(x; mu, W W^T + sigma^2 I), per row."""
    d = len(mu)
    covariance = weights @ weights.T + variance * np.eye(d)
    _, log_det = np.linalg.slogdet(covariance)
    square = np.einsum("ni,ij,nj->n", x - mu, np.linalg.inv(covariance), x - mu)
    return -0.5 * (d * math.log(2 * math.pi) + log_det + square)


def vae(d: int = 10, q: int = 3, **changes) -> VAE:
    """A VAE with linear nets."""
    parts = {"likelihood": likelihoods.Gaussian(scale=likelihoods.LearnedScale()), **changes}
    return VAE(event_shape=(d,), latent_dim=q, encoder=nets.Linear(), decoder=nets.Linear(), **parts)


def softplus_inverse(y):
    return np.log(np.expm1(y))


def params(weights: np.ndarray, mu: np.ndarray, variance: float, scale: float = 1.0) -> dict:
    """Parameters of :func:`vae` at given W, mu, sigma^2, its guide the exact posterior.

    The posterior is N(M^-1 W^T (x - mu), sigma^2 M^-1), M = W^T W + sigma^2 I: mean-field where the
    columns of W are orthogonal. ``scale`` widens or narrows the guide.
    """
    d, q = weights.shape
    m = weights.T @ weights + variance * np.eye(q)
    to_code = np.linalg.solve(m, weights.T).T
    deviation = scale * np.sqrt(variance * np.diag(np.linalg.inv(m)))
    kernel, bias = np.zeros((d, q, 2)), np.zeros((q, 2))
    kernel[..., 0], bias[:, 0] = to_code, -mu @ to_code
    bias[:, 1] = 2 * BOUND * np.arctanh(np.log(deviation) / BOUND)
    log_scale = FLOOR + softplus_inverse(0.5 * math.log(variance) - FLOOR)
    return {
        "encoder$params": {"layers": {0: {"kernel": kernel.reshape(d, 2 * q), "bias": bias.ravel()}}},
        "decoder$params": {"layers": {0: {"kernel": weights.T, "bias": mu}}},
        "likelihood$log_scale": np.asarray(log_scale),
    }


def decoded(values: dict) -> tuple[np.ndarray, np.ndarray, float]:
    """W, mu and sigma^2 of a fitted :func:`vae`."""
    layer = values["decoder$params"]["layers"][0]
    raw = float(values["likelihood$log_scale"])
    log_scale = FLOOR + math.log1p(math.exp(raw - FLOOR))
    weights, mu = (np.asarray(layer[k], np.float64) for k in ("kernel", "bias"))
    return weights.T, mu, math.exp(2 * log_scale)


def close(got, want, **tolerance) -> None:
    """Assert that two trees of arrays agree, leaf by leaf."""
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        np.testing.assert_allclose(a, b, **tolerance)
