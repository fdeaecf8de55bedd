"""``Rounded``: the mass of the numbers that round to a whole number."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from probvae import likelihoods
from probvae.distributions import RoundedLogNormal, RoundedNormal
from probvae.distributions.rounded import log_normal_mass
from probvae.likelihoods import Gaussian, Laplace, LogNormal, OptimalScale, Poisson, Rounded


@pytest.mark.parametrize("scale", [0.01, 0.3, 2.0, 15.0, 60.0])
@pytest.mark.parametrize("loc", [-3.4, 0.0, 7.5])
def test_masses_are_those_of_scipy(loc, scale):
    x = np.arange(-200, 201)
    exact = scipy.stats.norm(loc, scale)
    expected = np.log(np.maximum(exact.cdf(x + 0.5) - exact.cdf(x - 0.5), 1e-290))
    seen = expected > -30  # SciPy's difference cancels in the tails
    np.testing.assert_allclose(RoundedNormal(loc, scale).log_prob(x)[seen], expected[seen], atol=2e-3)


@pytest.mark.parametrize(
    "p", [RoundedNormal(0.3, 2.0), RoundedNormal(-5.0, 0.1), RoundedLogNormal(2.0, 0.7)]
)
def test_masses_sum_to_one(p):
    x = np.arange(1, 3000) if isinstance(p, RoundedLogNormal) else np.arange(-500, 501)
    np.testing.assert_allclose(np.exp(p.log_prob(x)).sum(), 1.0, atol=1e-4)


def test_lognormal_masses_are_those_of_scipy():
    x = np.array([1, 2, 5, 30, 60])
    exact = scipy.stats.lognorm(0.7, scale=np.exp(2.0))
    lower = np.where(x == 1, 0.0, exact.cdf(x - 0.5))
    expected = np.log(exact.cdf(x + 0.5) - lower)
    np.testing.assert_allclose(RoundedLogNormal(2.0, 0.7).log_prob(x), expected, atol=1e-3)


def test_a_wide_base_gives_its_density():
    x = np.array([100_000.0, 250_000.0])
    for kind, exact in (
        (RoundedNormal(2e5, 1e5), scipy.stats.norm(2e5, 1e5)),
        (RoundedLogNormal(12.0, 0.5), scipy.stats.lognorm(0.5, scale=np.exp(12.0))),
    ):
        np.testing.assert_allclose(kind.log_prob(x), exact.logpdf(x), atol=1e-4)


def test_the_two_forms_of_the_mass_meet():
    u = np.linspace(-30, 30, 121)
    below, above = (log_normal_mass(jnp.asarray(u), jnp.asarray(w)) for w in (0.04999, 0.05001))
    np.testing.assert_allclose(below, above, rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
def test_gradients_are_finite_far_from_the_mean(scale):
    def log_prob(loc, log_scale):
        return RoundedNormal(loc, jnp.exp(log_scale)).log_prob(jnp.array([-1e4, 0.0, 1e4])).sum()

    slopes = jax.grad(log_prob, argnums=(0, 1))(3.3, jnp.log(scale))
    assert np.isfinite(slopes).all()


def test_draws_are_whole_numbers_with_these_masses():
    draws = np.asarray(RoundedNormal(0.3, 1.0).sample(jax.random.key(0), (20_000,)))
    assert (draws == np.round(draws)).all()
    share = (draws == 1).mean()
    np.testing.assert_allclose(share, np.exp(RoundedNormal(0.3, 1.0).log_prob(1.0)), atol=0.01)
    assert RoundedLogNormal(-3.0, 0.5).sample(jax.random.key(0), (100,)).min() == 1


@pytest.mark.parametrize("base", [Laplace(), Poisson(), Gaussian(OptimalScale())], ids=str)
def test_other_bases_are_refused(base):
    with pytest.raises((TypeError, ValueError), match=r"Rounded.*Gaussian\(...\), LogNormal"):
        Rounded(base)


def test_print_says_that_numbers_are_rounded():
    assert str(likelihoods.Rounded(LogNormal())).endswith("rounded to whole numbers")
