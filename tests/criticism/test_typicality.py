"""Typicality: uniform tail shares for the model's own draws, chi-square ones for odd data."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from scipy import stats

from probvae import VAE, Batch, Fitted, History, guides, likelihoods, nets
from probvae.criticism import typicality

KEY = jax.random.key(0)
W, MU, VARIANCE = oracle.optimum(oracle.dataset())
ROOT = np.linalg.cholesky(W @ W.T + VARIANCE * np.eye(10))
ENTROPY_LESS = -0.5 * (10 * np.log(2 * np.pi * np.e)) - np.log(np.diag(ROOT)).sum()


@functools.lru_cache
def pca(scale=1.0):
    values = oracle.params(W, MU, VARIANCE, scale)
    return Fitted(
        oracle.vae(), jax.tree.map(lambda a: jnp.asarray(a, float), values), History({}, {}, {})
    )


def drawn(n, seed):
    return MU + np.random.default_rng(seed).normal(size=(n, 10)) @ ROOT.T


def ranked(x, **changes):
    options = {"rng_key": KEY, "num_draws": 800, "num_particles": 3, **changes}
    return typicality(pca(), np.asarray(x), **options)


def test_tail_shares_of_the_models_own_draws_are_uniform():
    found = ranked(drawn(400, 0), num_draws=4000)
    for tail in (found.lower_tail, found.upper_tail, found.tail_share):
        assert stats.kstest(tail, stats.uniform.cdf).pvalue > 1e-3
    assert abs(found.excess) < 4 * found.excess_standard_error
    assert found.excess_standard_error == pytest.approx(np.sqrt(5 * (1 / 400 + 1 / 4000)), rel=0.25)
    assert found.log_prob_draws.mean() == pytest.approx(ENTROPY_LESS, abs=4 * np.sqrt(5 / 4000))
    np.testing.assert_allclose(
        found.log_prob, oracle.log_prob(drawn(400, 0), W, MU, VARIANCE), atol=2e-2
    )


def test_they_stay_uniform_under_a_guide_that_is_too_narrow():
    narrow = pca(0.5)
    found = typicality(narrow, drawn(400, 1), rng_key=KEY, num_draws=800, num_particles=3)
    assert found.log_prob_draws.mean() < ENTROPY_LESS - 0.3
    assert stats.ks_2samp(found.log_prob, found.log_prob_draws).pvalue > 1e-3
    assert abs(found.excess) < 4 * found.excess_standard_error


def test_tail_shares_are_those_of_the_chi_square():
    """log p(x) falls by s / 2 at Mahalanobis distance sqrt(s); draws have s ~ chi2(10)."""
    s = np.array([0.0, 2.0, 5.0, 10.0, 15.0, 25.0])
    direction = ROOT @ np.ones(10) / np.sqrt(10)
    found = ranked(MU + np.sqrt(s)[:, None] * direction, num_draws=4000)
    exact = stats.chi2(10).sf(s)
    np.testing.assert_allclose(found.lower_tail, exact, atol=4 * np.sqrt(0.25 / 4000) + 1e-3)
    np.testing.assert_allclose(found.lower_tail + found.upper_tail, 1 + 1 / 4001, atol=2e-3)
    assert found.upper_tail[0] == pytest.approx(1 / 4001)
    assert found.tail_share[0] == pytest.approx(2 / 4001)
    assert found.tail_share[-1] < 0.03


def test_data_scaled_by_three_are_odd():
    """Nine times the Mahalanobis distance: most have a lower tail share of next to nothing."""
    found = ranked(MU + 3 * (drawn(200, 2) - MU))
    assert (found.lower_tail < 0.01).mean() > 0.95
    assert found.lower_tail.min() == pytest.approx(1 / 801)  # no draw is as improbable
    assert found.excess == pytest.approx(-0.5 * 80, abs=4 * np.sqrt(81 * 5 / 200))


def test_with_a_mask_each_datum_is_ranked_among_draws_as_incomplete():
    """Of one entry in a datum and nine in another: uniform for draws, though bounds lie far apart."""
    random = np.random.default_rng(0)
    mask = np.zeros((60, 10), bool)
    for row in mask:
        row[random.permutation(10)[: random.integers(1, 10)]] = True
    vae = VAE(event_shape=(10,), latent_dim=1, posterior=guides.MeanField(), encoder=nets.Linear(),
              decoder=nets.Linear(), likelihood=likelihoods.Gaussian(scale=likelihoods.FixedScale(1.0)))  # fmt: skip
    layers = {"decoder$params": (1, 10), "encoder$params": (10, 2)}
    values = {
        k: {"layers": {0: {"kernel": jnp.zeros(s), "bias": jnp.zeros(s[1])}}} for k, s in layers.items()
    }
    fitted = Fitted(vae, values, History({}, {}, {}))
    x = np.where(mask, random.normal(size=mask.shape), np.nan)
    found = typicality(
        fitted, Batch(np.nan_to_num(x), mask=mask), rng_key=KEY, num_draws=200, num_particles=2
    )
    assert found.log_prob_draws.shape == (60, 200)
    assert stats.kstest(found.lower_tail, stats.uniform.cdf).pvalue > 1e-3
    square = np.nansum(x**2, axis=1)
    exact = stats.chi2(mask.sum(1)).sf(square)
    np.testing.assert_allclose(found.lower_tail, exact, atol=4.5 * np.sqrt(0.25 / 200))


def test_with_a_context_the_draws_are_the_datums_own():
    vae = VAE(event_shape=(2,), latent_dim=1, context_shape=(1,), encoder=nets.Linear(), decoder=nets.Linear(),
              likelihood=likelihoods.Gaussian(scale=likelihoods.FixedScale(1.0)))  # fmt: skip
    kernel = jnp.array([[0.0, 0.0], [5.0, 5.0]])
    values = {
        "decoder$params": {"layers": {0: {"kernel": kernel, "bias": jnp.zeros(2)}}},
        "encoder$params": {"layers": {0: {"kernel": jnp.zeros((3, 2)), "bias": jnp.zeros(2)}}},
    }
    fitted = Fitted(vae, values, History({}, {}, {}))
    context = np.array([[-1.0], [1.0], [1.0]])
    x = np.array([[-5.0, -5.0], [5.0, 7.0], [-5.0, -5.0]])
    found = typicality(fitted, Batch(x, context), rng_key=KEY, num_draws=500, num_particles=2)
    exact = stats.chi2(2).sf([0.0, 4.0, 200.0])
    np.testing.assert_allclose(found.lower_tail, exact, atol=4 * np.sqrt(0.1 / 500) + 0.002)


def test_one_datum_has_tail_shares_and_no_spread():
    found = ranked(drawn(1, 0))
    assert found.tail_share.shape == (1,)
    assert np.isnan(found.excess_standard_error)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_draws": 0}, "num_draws expects a positive"),
        ({"num_particles": 0}, "num_particles expects"),
    ],
)
def test_errors(changes, message):
    with pytest.raises(ValueError, match=message):
        ranked(drawn(2, 0), **changes)


def test_a_point_mass_has_no_log_prob():
    vae = oracle.vae(posterior=guides.PointMass())
    with pytest.raises(ValueError, match="PointMass has none"):
        typicality(Fitted(vae, {}, History({}, {}, {})), drawn(2, 0), rng_key=KEY)
