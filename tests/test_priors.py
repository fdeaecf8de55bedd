"""The priors' families, against their formulas and twins."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import log_prob, run
from numpyro import handlers
from numpyro.distributions import MultivariateNormal, Normal, kl_divergence
from scipy import stats

from probvae import VAE, nets, priors
from probvae.objectives.terms import compute_closed_form_kl


def scope(n, **changes):
    return VAE(event_shape=(2,), latent_dim=n)._scope(None, None, None)._replace(**changes)


@pytest.mark.usefixtures("float64")
def test_student_t_against_scipy():
    p = priors.StudentT(3.0).distribution(scope(4))
    z = np.array([[0.0, -1.0, 30.0, 2.0]])
    np.testing.assert_allclose(log_prob(p, z), stats.t(3.0).logpdf(z).sum(-1), rtol=1e-5)
    far = priors.StudentT(1e6).distribution(scope(4))
    np.testing.assert_allclose(log_prob(far, z / 10), stats.norm.logpdf(z / 10).sum(-1), rtol=1e-3)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize("delta", [0.1, 1.0, 12.0])
@pytest.mark.parametrize("n", [2, 3, 16])
def test_autoregressive_normal_commits_its_rate_against_every_mean_field(n, delta):
    prior = priors.AutoregressiveNormal(delta)
    p, alpha = run(lambda: prior.distribution(scope(n))), prior.alpha(n)
    lag = np.abs(np.arange(n)[:, None] - np.arange(n))
    np.testing.assert_allclose(p.covariance_matrix, alpha**lag, atol=1e-12)
    best = np.full(n, (1 - alpha**2) / (1 + alpha**2))
    best[[0, -1]] = 1 - alpha**2
    kl = jax.jit(lambda loc, scale: compute_closed_form_kl(Normal(loc, scale).to_event(1), p))
    assert float(kl(np.zeros(n), np.sqrt(best))) == pytest.approx(delta, rel=1e-6)
    rng = np.random.default_rng(0)
    for size in (1e-3, 0.1, 1.0):
        loc = size * rng.normal(size=(50, n))
        scale = np.sqrt(best) * np.exp(size * rng.normal(size=(50, n)))
        assert np.min(kl(loc, scale)) > delta * (1 - 1e-6)


@pytest.mark.usefixtures("float64")
def test_closed_form_kl_from_a_diagonal_to_a_full_normal_is_numpyros_of_two_full_ones():
    p = priors.AutoregressiveNormal(2.0).distribution(scope(5))
    loc, scale = np.random.default_rng(0).normal(size=(2, 7, 5))

    def both(loc, scale):
        full = MultivariateNormal(loc, scale_tril=jnp.exp(scale)[..., None] * jnp.eye(5))
        diagonal = Normal(loc, jnp.exp(scale)).to_event(1)
        return compute_closed_form_kl(diagonal, p), kl_divergence(full, p)

    got, want = run(both, loc, scale)
    np.testing.assert_allclose(got, want, rtol=1e-10)
    assert got.shape == (7,)


def test_conditional_prior_is_a_normal_of_the_nets_outputs():
    prior, c = priors.ConditionalNormal(nets.Linear()), jnp.array([[1.0, 2.0], [0.0, -1.0]])
    make = handlers.seed(lambda: prior.distribution(scope(3, context_shape=(2,), context=c)), 0)

    def params_and_prior():
        return handlers.trace(make).get_trace()["prior$net$params"]["value"], make()

    params, p = run(params_and_prior)
    layer = jax.tree.map(np.asarray, params["layers"][0])
    out = (np.asarray(c) @ layer["kernel"] + layer["bias"]).reshape(2, 3, 2)
    z = jax.random.normal(jax.random.key(0), (2, 3))
    truth = stats.norm.logpdf(z, out[..., 0], np.exp(10 * np.tanh(out[..., 1] / 20))).sum(-1)
    np.testing.assert_allclose(log_prob(p, z), truth, rtol=1e-4)


def test_conditional_prior_generates_by_context():
    """Drawn per row of the context, and two contexts give two densities."""
    vae = VAE(event_shape=(2,), latent_dim=3, prior=priors.ConditionalNormal(), context_shape=(2,))
    c = np.array([[3.0, -3.0], [-3.0, 3.0]], np.float32)
    p = run(lambda: handlers.trace(handlers.seed(vae.model, 0)).get_trace(None, c)["z"]["fn"])
    assert p.batch_shape == (2,)
    assert float(np.abs(np.subtract(*np.asarray(p.mean))).max()) > 0.01
