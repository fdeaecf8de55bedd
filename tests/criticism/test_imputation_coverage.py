"""Coverage of imputed entries: nominal for a right model, low for a guide in the wrong place."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from compiled import random_values

from probvae import VAE, Batch, likelihoods, nets
from probvae.criticism import Budget, imputation_coverage
from probvae.criticism.diagnosis.measurements import Measurements, _measures
from probvae.criticism.diagnosis.rules import find_narrow_imputations
from probvae.fitted import Fitted, History

KEY = jax.random.key(0)


WEIGHTS, VARIANCE = np.array([[1.0], [0.8], [-0.5], [0.3]]), 0.25


def exact(**changes):
    """A linear-Gaussian VAE whose guide is the prior, which finds the posterior with many particles."""
    values = oracle.params(WEIGHTS, np.zeros(4), VARIANCE)
    encoder = {"encoder$params": jax.tree.map(np.zeros_like, values["encoder$params"])}
    values = jax.tree.map(lambda a: jnp.asarray(a, jnp.float32), values | encoder)
    return Fitted(oracle.vae(d=4, q=1, **changes), values, History({}, {}, {}))


def rows_of_the_model(n):
    random = np.random.default_rng(0)
    return random.normal(size=(n, 1)) @ WEIGHTS.T + np.sqrt(VARIANCE) * random.normal(size=(n, 4))


def assert_nominal(coverage):
    assert (np.abs(coverage.share - coverage.levels) < 4 * coverage.standard_error + 0.01).all()


def test_intervals_of_the_right_model_have_their_level():
    found = imputation_coverage(exact(), rows_of_the_model(1_000), rng_key=KEY, num_particles=2_000)
    assert_nominal(found.coverage)
    assert 0.08 < found.num_hidden / 4_000 < 0.12
    assert find_narrow_imputations(Measurements(1_000, None, None, imputation=found)) is None


def test_a_guide_in_the_wrong_place_is_a_finding():
    """The encoder of complete rows takes a gap for a 0. The width of its guide is a fiftieth."""
    values = oracle.params(*oracle.optimum(oracle.dataset()), scale=0.02)
    fitted = Fitted(oracle.vae(), jax.tree.map(jnp.asarray, values), History({}, {}, {}))
    found = imputation_coverage(fitted, oracle.dataset()[:300], rng_key=KEY, num_particles=50)
    finding = find_narrow_imputations(Measurements(300, None, None, imputation=found))
    assert finding.value < 0.8
    assert finding.name == "imputation intervals too narrow"
    assert f"{found.num_hidden} observed entries of {found.num_rows} rows" in finding.evidence


def test_entries_of_zeros_and_ones_have_their_level():
    """Ties between an entry and its draws are broken at random."""
    vae = VAE(event_shape=(6,), latent_dim=1, encoder=nets.Linear(), decoder=nets.Linear())
    values = random_values(vae, 1.0)
    encoder = {"encoder$params": jax.tree.map(np.zeros_like, values["encoder$params"])}
    fitted = Fitted(vae, values | encoder, History({}, {}, {}))
    x = fitted.sample(1_000, rng_key=KEY).x
    assert_nominal(imputation_coverage(fitted, x, rng_key=KEY, share=0.3).coverage)


def test_entries_that_are_missing_are_not_counted():
    x = rows_of_the_model(200)
    mask = np.ones(x.shape, bool)
    mask[:, 3] = False
    data = Batch(np.where(mask, x, 1e6), mask=mask)
    found = imputation_coverage(exact(), data, rng_key=KEY, share=0.3, num_particles=500)
    assert np.isnan(found.coverage.by_entry[:, 3]).all()
    assert_nominal(found.coverage)


def test_only_a_vae_for_missing_entries_is_measured():
    budget, x = Budget(), rows_of_the_model(60)
    some = np.ones(x.shape, bool)
    some[0, 0] = False
    for fitted, mask, is_measured in (
        (exact(), None, False),
        (exact(), np.ones(x.shape, bool), False),
        (exact(), some, True),
    ):
        names = list(_measures(fitted, Batch(x, mask=mask), None, budget))
        assert ("imputation" in names) == is_measured
    vae = VAE(event_shape=(4,), latent_dim=1, encode_mask=True)
    fitted = Fitted(vae, random_values(vae), History({}, {}, {}))
    assert "imputation" in _measures(fitted, Batch(x > 0), None, budget)


def test_what_cannot_be_hidden_is_refused():
    likelihood = likelihoods.NotAtRandom(likelihoods.Gaussian(), missingness=likelihoods.SelfMasking())
    vae = oracle.vae(d=4, q=1, likelihood=likelihood)
    fitted = Fitted(vae, random_values(vae), History({}, {}, {}))
    with pytest.raises(ValueError, match="NotAtRandom models why entries are missing"):
        imputation_coverage(fitted, rows_of_the_model(9), rng_key=KEY)
    with pytest.raises(ValueError, match="none of 4 was hidden at share=1e-06"):
        imputation_coverage(exact(), rows_of_the_model(1), rng_key=KEY, share=1e-6)
    with pytest.raises(ValueError, match=r"share expects a number in \(0, 1\); got 10"):
        imputation_coverage(exact(), rows_of_the_model(1), rng_key=KEY, share=10)
