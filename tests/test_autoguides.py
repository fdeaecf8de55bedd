"""NumPyro's autoguides on a fitted model: per datum and not amortized, the reference for an encoder."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest
from numpyro.infer import SVI, Trace_ELBO
from numpyro.infer.autoguide import AutoLaplaceApproximation, AutoMultivariateNormal, AutoNormal

from probvae import Fitted, History

X = oracle.dataset()[:3]


def turned():
    """Values with W turned, so that the posterior's entries are correlated, and that posterior."""
    weights, mu, variance = oracle.optimum(oracle.dataset())
    turn = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
    values = oracle.params(weights @ turn, mu, variance)
    m = (weights @ turn).T @ (weights @ turn) + variance * np.eye(3)
    mean = (X - mu) @ weights @ turn @ np.linalg.inv(m)
    return jax.tree.map(jnp.asarray, values), mean, variance * np.linalg.inv(m)


def local(guide_class, values, steps=1500):
    """The autoguide of the local codes, the decoder held fixed."""
    model = Fitted(oracle.vae(), values, History({}, {}, {})).model
    guide = guide_class(model)
    svi = SVI(model, guide, optax.adam(optax.cosine_decay_schedule(3e-2, steps)), Trace_ELBO(20))
    params = svi.run(jax.random.key(0), steps, X, progress_bar=False).params
    assert all("auto" in name for name in params)  # nothing else can move
    return guide, params


@pytest.mark.usefixtures("float64")
def test_the_mean_field_reaches_its_closed_form_best():
    """Mean exact, 1 / variance_i the diagonal of the posterior's precision."""
    values, mean, covariance = turned()
    _, params = local(AutoNormal, values)
    np.testing.assert_allclose(params["z_auto_loc"], mean, atol=0.03)
    scale = np.sqrt(1 / np.diag(np.linalg.inv(covariance)))
    np.testing.assert_allclose(params["z_auto_scale"], np.broadcast_to(scale, (3, 3)), rtol=0.05)
    assert np.abs(scale / np.sqrt(np.diag(covariance)) - 1).max() > 0.1  # not the marginals


@pytest.mark.slow
@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("guide_class", [AutoMultivariateNormal, AutoLaplaceApproximation])
def test_full_normals_reach_the_exact_posterior(guide_class):
    values, mean, covariance = turned()
    guide, params = local(guide_class, values)
    q = guide.get_posterior(params)
    np.testing.assert_allclose(q.mean.reshape(3, 3), mean, atol=0.03)
    blocks = np.asarray(q.covariance_matrix).reshape(3, 3, 3, 3)
    for i in range(3):
        np.testing.assert_allclose(blocks[i, :, i], covariance, atol=0.05 * covariance.max())
