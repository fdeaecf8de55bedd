"""A prior fitted to the codes: the maximum-likelihood one, and nothing else moves."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest

from probvae import fit, guides, likelihoods, priors, refit
from probvae.objectives import ELBO

KEY = jax.random.key(3)
ROWS = np.random.default_rng(0)
X = (ROWS.normal(size=(200, 4)) * 0.3 + np.array([[2.0], [-2.0]])[ROWS.integers(2, size=200)]).astype(
    np.float32
)
FIXED = likelihoods.Gaussian(scale=likelihoods.FixedScale(0.3))
QUICK = {"rng_key": KEY, "batch_size": 200, "optimizer": optax.adam(0.1), "progress": False}


@pytest.fixture(scope="module", params=["MeanField", "PointMass"])
def fitted(request):
    """Two clusters, with a weak pull of the codes towards the prior."""
    vae = oracle.vae(4, 2, likelihood=FIXED, posterior=getattr(guides, request.param)())
    return fit(vae, X, objective=ELBO(beta=0.05), epochs=150, **QUICK)


def untouched(fitted, again):
    assert again.data == fitted.data is not None
    for name, value in fitted.values.items():
        for a, b in zip(jax.tree.leaves(value), jax.tree.leaves(again.values[name]), strict=True):
            np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(fitted.reconstruct(X), again.reconstruct(X))


def test_a_normal_prior_gets_the_moments_of_the_codes(fitted):
    """The maximum-likelihood normal: E[m], and Var[m] + E[s^2], over data (closed-form KL: no noise)."""
    again = refit(fitted, priors.LearnedNormal(), X, epochs=400, **QUICK)
    q = fitted.encode(X)
    np.testing.assert_allclose(again.values["prior$loc"], q.mean.mean(0), atol=0.02)
    scale = jnp.sqrt(q.mean.var(0) + q.variance.mean(0))
    np.testing.assert_allclose(again.values["prior$scale"], scale, rtol=0.02)
    untouched(fitted, again)


def share(fitted):
    """Of what is generated, how much lies near a cluster's centre."""
    away = np.abs(np.abs(fitted.sample(400, rng_key=KEY).mean) - 2.0)
    return float(np.mean(away.mean(1) < 0.5))


@pytest.mark.slow
def test_a_mixture_raises_the_elbo_and_leaves_reconstructions_alone(fitted):
    again = refit(fitted, priors.GaussianMixture(4), X, epochs=200, **QUICK)
    untouched(fitted, again)
    if fitted.vae.posterior.is_density:
        before, after = (each.elbo(X, rng_key=KEY, num_particles=10).mean for each in (fitted, again))
        assert after > before + 1.0
    else:
        assert again.history.train["kl"][-1] < again.history.train["kl"][0] - 1.0
    assert share(again) > share(fitted) + 0.15


def test_a_prior_of_other_sites_is_refused_and_starts_are_taken(fitted):
    with pytest.raises(ValueError, match="TwoLevel and the posterior .* are incompatible"):
        refit(fitted, priors.TwoLevel(), X, epochs=1, **QUICK)
    start = {"prior$loc": np.array([5.0, 6.0], np.float32)}
    still = {**QUICK, "optimizer": optax.sgd(0.0)}
    again = refit(fitted, priors.LearnedNormal(), X, epochs=1, init_params=start, **still)
    np.testing.assert_array_equal(again.values["prior$loc"], start["prior$loc"])
