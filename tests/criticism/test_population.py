"""The population posterior against the prior: by quadrature over a code of one unit."""

import math

import jax
import numpy as np
import oracle
import pytest
from scipy.special import logsumexp
from scipy.stats import norm

from probvae import Fitted, History
from probvae.criticism import elbo_surgery, prior_holes

N, W, S = 40, np.array([[1.5], [0.5]]), 0.6
X = (np.random.default_rng(0).normal(size=(N, 1)) @ W.T + 1.0).astype(np.float32)
KEY = jax.random.key(0)


def fitted(scale=1.0, **changes):
    vae = oracle.vae(2, 1, **changes)
    return Fitted(vae, oracle.params(W, np.zeros(2), S**2, scale), History({}, {}, {}))


def posteriors(scale=1.0):
    m = (W.T @ W + S**2).item()
    return (X @ W / m)[:, 0].astype(float), scale * S / math.sqrt(m)


def by_quadrature(scale=1.0):
    """The grid, log q(z|x_n), log q(z) and log p(z)."""
    mean, deviation = posteriors(scale)
    z = np.linspace(-8, 8, 40_001)
    each = norm.logpdf(z, mean[:, None], deviation)
    return z, each, logsumexp(each, axis=0) - math.log(N), norm.logpdf(z)


@pytest.mark.parametrize("scale", [1.0, 0.2])
def test_surgery_is_the_integrals(scale):
    z, each, population, prior = by_quadrature(scale)
    information = np.trapezoid(np.exp(each) * (each - population), z).mean()
    population_kl = np.trapezoid(np.exp(population) * (population - prior), z)
    found = elbo_surgery(fitted(scale), X, rng_key=KEY, num_samples=500)
    assert found.mutual_information == pytest.approx(information, abs=0.02)
    assert found.population_kl == pytest.approx(population_kl, abs=0.02)
    assert found.kl == pytest.approx(found.mutual_information + found.population_kl, abs=1e-4)
    assert found.mutual_information < found.limit == math.log(N)


def test_the_index_is_told_whole_by_posteriors_that_do_not_overlap():
    found = elbo_surgery(fitted(1e-3), X, rng_key=KEY)
    assert found.mutual_information == pytest.approx(math.log(N), abs=0.01)


def test_holes_are_the_priors_mass_where_no_datum_encodes_to():
    z, _, population, prior = by_quadrature(0.2)
    low = population - prior < math.log(0.01)
    found = prior_holes(fitted(0.2), X, rng_key=KEY, num_samples=4000)
    expected = np.trapezoid(np.where(low, np.exp(prior), 0.0), z)
    assert 0.02 < expected < 0.98
    assert found.share == pytest.approx(expected, abs=4 * found.share_error)
    bounded = prior_holes(fitted(1.0), X, rng_key=KEY, num_samples=4000)
    ratio = np.trapezoid(np.exp(prior) * (by_quadrature()[2] - prior), z)
    assert bounded.log_ratio.mean() == pytest.approx(ratio, abs=0.1)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="at least 2 rows"):
        elbo_surgery(fitted(), X[:1], rng_key=KEY)
    with pytest.raises(ValueError, match=r"in \(0, 1\)"):
        prior_holes(fitted(), X, rng_key=KEY, ratio=2.0)
