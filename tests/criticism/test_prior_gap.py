"""Two samples told apart: against the best accuracy there is, Phi(mu / 2)."""

import jax
import numpy as np
import oracle
import pytest
from scipy.stats import norm

from probvae import Fitted, History
from probvae.criticism import prior_gap, two_sample_test
from probvae.criticism.latents.prior_gap import make_boosted_trees

KEY = jax.random.key(0)


@pytest.mark.parametrize("mu", [0.0, 1.0, 3.0])
def test_accuracy_is_near_the_best_and_not_above_it(mu):
    a, b = np.random.default_rng(1).normal(size=(2, 1000, 2))
    found = two_sample_test(a, b + [mu, 0], rng_key=KEY, classifier=make_boosted_trees())
    best = norm.cdf(mu / 2)
    noise = 3 * found.standard_error
    assert best - 0.06 - noise < found.accuracy < best + noise


def test_the_oracle_fills_its_prior_and_a_shrunk_population_does_not():
    x = oracle.dataset(400).astype(np.float32)
    values = oracle.params(*oracle.optimum(x))
    fitted = Fitted(oracle.vae(), values, History({}, {}, {}))
    assert prior_gap(fitted, x, rng_key=KEY).total_variation < 0.1
    near = x.mean(0) + 0.2 * (x - x.mean(0))
    assert prior_gap(fitted, near, rng_key=KEY).total_variation > 0.5


def test_few_data_are_refused():
    fitted = Fitted(oracle.vae(), {}, History({}, {}, {}))
    with pytest.raises(ValueError, match="at least 50 rows"):
        prior_gap(fitted, np.zeros((49, 10), np.float32), rng_key=KEY)
