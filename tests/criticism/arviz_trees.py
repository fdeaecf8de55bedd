"""The oracle in ArviZ's form: a few rows of an exact posterior, for every function of ArviZ."""

import compiled
import jax
import numpy as np
import oracle

from probvae import Batch, Fitted, History, likelihoods

KEY = jax.random.key(0)
WEIGHTS = np.array(
    [[3.0, 0.0], [0.0, 2.0], [1.0, -1.5]]
)  # orthogonal columns: an exact guide is mean-field
MU, VARIANCE = np.array([1.0, 0.0, -1.0]), 0.04


def fitted(scale=1.0, **changes):
    """A linear VAE of three columns with the exact posterior, or one that is ``scale`` times as wide."""
    weights = WEIGHTS.copy()
    weights[:, 1] -= weights[:, 0] * (weights[:, 0] @ weights[:, 1]) / (weights[:, 0] @ weights[:, 0])
    values = oracle.params(weights, MU, VARIANCE, scale)
    values = jax.tree.map(lambda a: jax.numpy.asarray(a, float), values)
    return Fitted(oracle.vae(3, 2, **changes), values, History({}, {}, {})), weights


def rows(n, conflict=()):
    """Rows of the model; of those in ``conflict`` the code is far from what the prior expects."""
    random = np.random.default_rng(0)
    one, weights = fitted()
    z = np.clip(random.normal(size=(n, 2)), -1.5, 1.5)
    z[list(conflict)] = 12.0
    x = z @ weights.T + MU + VARIANCE**0.5 * random.normal(size=(n, 3))
    return one, x.astype(np.float32), weights


def coded(likelihood, x, context=None):
    """A VAE of a likelihood with random weights, which fits nothing but can be asked."""
    shape = () if context is None else context.shape[1:]
    vae = oracle.vae(x.shape[1], 2, likelihood=likelihood, context_shape=shape)
    return random_values(vae), Batch(x, context)


def random_values(vae):
    """A VAE with random weights."""
    return Fitted(vae, compiled.random_values(vae), History({}, {}, {}))


def images(n=4, size=5):
    """Binary images, one flat variable."""
    random = np.random.default_rng(0)
    x = (random.random((n, size, size)) < 0.4).astype(np.float32)
    from probvae import VAE, nets

    net = nets.Linear()
    parts = {"encoder": net, "decoder": net, "likelihood": likelihoods.Bernoulli()}
    return random_values(VAE(event_shape=(size, size), latent_dim=2, **parts)), x
