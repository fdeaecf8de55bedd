"""Laws of counts with a known total: enumeration, twins, the product with a Poisson total, draws."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from compiled import log_prob, moments, run, sample
from numpyro import handlers
from scipy import special, stats
from test_likelihoods import check_moments, p_x

from probvae import VAE, Batch, criticism, fit, likelihoods, nets
from probvae.distributions import MultinomialLogShares
from probvae.training.initial_values import initial_values

RAW = np.array([[0.3, -1.0, 2.0], [0.0, 4.0, -3.0]])
LINEAR = {"encoder": nets.Linear(), "decoder": nets.Linear()}
OPTIONS = {"rng_key": jax.random.key(0), "batch_size": 50, "progress": False}


def shares(raw=RAW):
    return special.softmax(raw, -1)


def test_masses_of_all_counts_with_one_total_sum_to_one(float64):
    rows = np.array([x for x in itertools.product(range(6), repeat=3) if sum(x) == 5], float)
    p = p_x(likelihoods.Multinomial(total=5), RAW, event_shape=(3,))
    masses = np.exp(log_prob(p, rows[:, None]))  # (counts, batch)
    np.testing.assert_allclose(masses.sum(0), 1.0, rtol=1e-9)
    mean = (masses[..., None] * rows[:, None]).sum(0)
    np.testing.assert_allclose(moments(p)[0], mean, rtol=1e-9)


def test_multinomial_against_scipy(float64):
    random = np.random.default_rng(0)
    for total in (0, 1, 7, 300, 20_000):
        x = random.multinomial(total, shares()).astype(float)
        p = p_x(likelihoods.Multinomial(total=max(total, 1)), RAW, event_shape=(3,))
        truth = [stats.multinomial(total, s).logpmf(row) for s, row in zip(shares(), x, strict=True)]
        np.testing.assert_allclose(log_prob(p, x), truth, rtol=1e-9, atol=1e-9)
        exact = np.diagonal([stats.multinomial(total or 1, s).cov() for s in shares()], 0, 1, 2)
        np.testing.assert_allclose(moments(p)[1], exact, rtol=1e-9)


def product_law(total, dtype):
    """Both sides of Multinomial(x | N) Poisson(N; sum mu) = prod Poisson(x_d; mu_d)."""
    log_size = np.log([[total], [total / 3]]).astype(dtype)
    random = np.random.default_rng(0)
    x = random.poisson(total * shares()).astype(dtype)
    kwargs = {"event_shape": (3,), "context": log_size}
    rates = p_x(likelihoods.Poisson(likelihoods.LibrarySize()), RAW.astype(dtype), **kwargs)
    given = p_x(likelihoods.Multinomial(), RAW.astype(dtype), **kwargs)
    total_mean = np.exp(log_size[:, 0].astype(np.float64))
    of_total = stats.poisson(total_mean).logpmf(x.sum(-1))
    return np.asarray(log_prob(given, x), np.float64) + of_total, log_prob(rates, x).sum(-1)


@pytest.mark.parametrize("total", [9.0, 300.0, 1e6])
def test_times_a_poisson_total_it_is_the_product_of_poissons(total, float64):
    left, right = product_law(total, np.float64)
    np.testing.assert_allclose(left, right, rtol=1e-9)


@pytest.mark.parametrize("total", [9.0, 300.0])
def test_times_a_poisson_total_it_is_that_product_in_single_precision(total):
    left, right = product_law(total, np.float32)
    np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-4)


def test_large_counts_keep_their_digits_in_single_precision():
    """NumPyro's version is wrong by several nats."""
    x = np.round(1e6 * shares()) + np.array([300.0, -500.0, 200.0])
    p = p_x(likelihoods.Multinomial(total=1), RAW.astype(np.float32), event_shape=(3,))
    exact = [stats.multinomial(row.sum(), s).logpmf(row) for s, row in zip(shares(), x, strict=True)]
    np.testing.assert_allclose(log_prob(p, x.astype(np.float32)), exact, rtol=5e-3, atol=0.05)


def test_it_is_one_distribution_of_all_entries_of_an_array():
    raw = np.random.default_rng(0).normal(size=(4, 2, 3)).astype(np.float32)
    x = np.random.default_rng(1).poisson(3.0, size=(4, 2, 3)).astype(np.float32)
    wide = p_x(likelihoods.Multinomial(total=9), raw, event_shape=(2, 3))
    flat = p_x(likelihoods.Multinomial(total=9), raw.reshape(4, 6), event_shape=(6,))
    assert wide.event_shape == (2, 3)
    np.testing.assert_allclose(log_prob(wide, x), log_prob(flat, x.reshape(4, 6)), rtol=1e-5)
    np.testing.assert_allclose(sample(wide, jax.random.key(0), (7,)).sum((-1, -2)), np.full((7, 4), 9))


def test_draws_have_their_moments_and_sum_to_the_total():
    log_size = np.log([[12.0], [5_000.0]]).astype(np.float32)
    p = p_x(likelihoods.Multinomial(), RAW.astype(np.float32), event_shape=(3,), context=log_size)
    draws = np.asarray(sample(p, jax.random.key(0), (500,)))
    np.testing.assert_array_equal(draws.sum(-1), np.broadcast_to([12.0, 5_000.0], (500, 2)))
    check_moments(p)


@pytest.mark.parametrize("size", [1e4, -1e4])
def test_extreme_outputs_have_finite_densities_and_gradients(size):
    likelihood = likelihoods.Multinomial(total=9)
    x = jnp.array([[0.0, 3.0, 1e6]])

    def total(outputs):
        return p_x(likelihood, outputs, event_shape=(3,)).log_prob(x).sum()

    for outputs in ([[size, 0.0, 0.0]], [[size, -size, 0.0]], [[size, size, size]]):
        value, slope = jax.value_and_grad(total)(jnp.array(outputs))
        assert np.isfinite(value)
        assert np.isfinite(slope).all()


def test_it_starts_at_the_shares_of_the_data():
    x = np.array([[3.0, 0.0, 1.0], [5.0, 0.0, 2.0]], np.float32)
    vae = VAE(event_shape=(3,), latent_dim=1, likelihood=likelihoods.Multinomial(total=9), **LINEAR)
    start = initial_values(vae, Batch(x), lambda key, x: x)
    with handlers.substitute(data=start):
        p = vae.likelihood.distribution(jnp.zeros((1, 3)), vae._scope(None, None, None))
    np.testing.assert_allclose(np.exp(p.log_shares[0]), np.array([8.5, 0.5, 3.5]) / 12.5, rtol=1e-5)


def documents(n=400):
    """Counts of five words by one latent topic, and the log of each row's total."""
    random = np.random.default_rng(0)
    p = special.softmax(random.normal(size=(n, 1)) * np.array([[2.0, 1.0, 0.0, -1.0, -2.0]]), -1)
    x = random.multinomial(random.integers(20, 200, n), p)
    return x, np.log(x.sum(-1, keepdims=True))


@pytest.mark.slow
def test_documents_are_fitted_drawn_and_diagnosed_with_their_totals():
    x, log_total = documents()
    vae = VAE(event_shape=(5,), latent_dim=1, context_shape=(1,), likelihood=likelihoods.Multinomial(),
              **LINEAR)  # fmt: skip
    fitted = fit(vae, Batch(x, log_total), epochs=100, optimizer=optax.adam(0.02), **OPTIONS)
    assert fitted.history.train["elbo"][-1] > fitted.history.train["elbo"][0] + 1
    means = fitted.reconstruct(x[:9], context=log_total[:9])
    np.testing.assert_allclose(means.sum(-1), x[:9].sum(-1), rtol=1e-4)
    data = Batch(x, log_total)
    checks = criticism.predictive_checks(fitted, data, rng_key=jax.random.key(1))
    assert checks.posterior.marginal.distance < 0.1
    diagnosis = criticism.diagnose(fitted, data, rng_key=jax.random.key(2))
    assert diagnosis.verdict.of("fault") == [], str(diagnosis)


def test_what_it_cannot_do_is_refused_with_advice():
    with pytest.raises(ValueError, match=r"context; got context_shape=\(\).*context_shape=\(1,\)"):
        VAE(event_shape=(3,), latent_dim=1, likelihood=likelihoods.Multinomial())
    with pytest.raises(
        ValueError, match=r"Multinomial\(total=...\) expects a positive integer, or Lib"
    ):
        likelihoods.Multinomial(total=0)
    with pytest.raises(ValueError, match=r"expects a density that factorises.*For counts, use Poisson"):
        likelihoods.Joint(words=(3, likelihoods.Multinomial(total=9)))
    vae = VAE(event_shape=(3,), latent_dim=1, likelihood=likelihoods.Multinomial(total=9), **LINEAR)
    x = np.ones((60, 3))
    with pytest.raises(ValueError, match="a likelihood that factorises"):
        fit(vae, Batch(x, mask=x > 2), **OPTIONS)


def test_wild_shares_are_scored_as_at_the_bound():
    p = MultinomialLogShares(jnp.array([0.0, -1e6]), 3)
    assert np.isfinite(run(p.log_prob, jnp.array([2.0, 1.0])))
