"""A learned scale per column: its twin in SciPy, and factor analysis as the law of a linear VAE."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpyro import handlers
from scipy import stats
from sklearn.decomposition import PCA, FactorAnalysis
from test_likelihoods import p_x, scope_of

from probvae import VAE, fit, guides, likelihoods, nets
from probvae.likelihoods.scales import bound_log_scale

SCALE = likelihoods.ColumnScale()
TWINS = {
    "Gaussian": (likelihoods.Gaussian(SCALE), stats.norm),
    "Laplace": (likelihoods.Laplace(SCALE), stats.laplace),
    "StudentT": (likelihoods.StudentT(4.0, scale=SCALE), lambda loc, s: stats.t(4.0, loc, s)),
}


@pytest.mark.parametrize(("likelihood", "twin"), TWINS.values(), ids=TWINS)
def test_each_column_has_its_own_scale(likelihood, twin):
    raw, loc = np.array([-1.0, 0.5, 2.0]), np.array([[0.3, -1.0, 2.0], [0.0, 1.0, 5.0]])
    scope = scope_of(likelihood, (3,), None)
    with handlers.substitute(data={"likelihood$log_scale": jnp.asarray(raw)}):
        p = likelihood.distribution(jnp.asarray(loc)[..., None], scope)
    sigma = np.exp(bound_log_scale(raw, -6.0))
    x = np.array([[1.0, -2.0, 0.0], [0.5, 0.5, 0.5]])
    np.testing.assert_allclose(p.log_prob(x), twin(loc, sigma).logpdf(x), rtol=1e-5)


def test_every_column_starts_at_the_given_scale():
    likelihood = likelihoods.Gaussian(likelihoods.ColumnScale(start=0.2))
    p = p_x(likelihood, np.zeros((2, 3, 1)), event_shape=(3,))
    np.testing.assert_allclose(p.variance, np.full((2, 3), 0.04), rtol=1e-5)
    with pytest.raises(ValueError, match=r"ColumnScale\(start=...\) expects a number above"):
        likelihoods.ColumnScale(start=1e-3)


@pytest.mark.slow
def test_linear_vae_is_factor_analysis():
    """Rubin and Thayer 1982: log p(x) of held-out rows, against scikit-learn's maximum."""
    random = np.random.default_rng(0)
    loadings, noise = random.normal(size=(2, 8)), np.geomspace(0.1, 2.0, 8)
    x = random.normal(size=(3000, 2)) @ loadings + noise * random.normal(size=(3000, 8))
    x = (x - x.mean(0)) / x.std(0)
    train, test = x[:2000], x[2000:]
    vae = VAE(event_shape=(8,), latent_dim=2, posterior=guides.FullRank(), encoder=nets.Linear(),
              decoder=nets.Linear(), likelihood=likelihoods.Gaussian(SCALE))  # fmt: skip
    steps = optax.cosine_decay_schedule(0.02, 150 * 20)
    fitted = fit(vae, train, rng_key=jax.random.key(0), optimizer=optax.adam(steps), epochs=150,
                 batch_size=100, progress=False)  # fmt: skip
    twin = FactorAnalysis(2, tol=1e-6, max_iter=5000).fit(train)
    bound = fitted.log_prob(test, rng_key=jax.random.key(1), num_particles=200)
    assert bound.mean == pytest.approx(twin.score(test), abs=0.1)
    sigma = np.exp(bound_log_scale(fitted.params["likelihood$log_scale"], -6.0))
    np.testing.assert_allclose(sigma, np.sqrt(twin.noise_variance_), rtol=0.1)
    # One sigma for all columns (probabilistic PCA) is worse by far more than the tolerance.
    assert PCA(2).fit(train).score(test) < bound.mean - 0.3
