"""How p(x|z) answers to the code, and whether a fit was over: against closed forms."""

import dataclasses

import jax
import numpy as np
import oracle
import pytest

from probvae import VAE, Batch, Fitted, History, fit, nets
from probvae.criticism import convergence, decoder_response
from probvae.criticism.latents.decoder_response import entry_scales, select_continuous
from probvae.likelihoods import Bernoulli, Gaussian, Joint

X = oracle.dataset(500).astype(np.float32)
WEIGHTS, MU, VARIANCE = oracle.optimum(X)
KEY = jax.random.key(1)


def fitted(weights=WEIGHTS, history=None):
    values = oracle.params(weights, MU, VARIANCE)
    return Fitted(oracle.vae(), values, history or History({}, {}, {}))


def test_response_is_that_of_the_linear_decoder():
    """z over the data is N(0, I) nearly: E[x|z] = W z + mu moves by the norm of W over sqrt(d)."""
    found = decoder_response(fitted(), X, rng_key=KEY)
    assert found.sensitivity == pytest.approx(np.sqrt((WEIGHTS**2).sum() / 10), rel=0.05)
    assert found.mean_scale == pytest.approx(np.sqrt(VARIANCE), rel=1e-4)
    assert found.min_scale == pytest.approx(np.sqrt(VARIANCE), rel=1e-4)
    assert found.data_scale == pytest.approx(np.sqrt(X.var(0).mean()), rel=1e-4)


def test_only_entries_with_a_density_can_run_away():
    both = Joint({"a": (2, Gaussian()), "b": (1, Bernoulli())}).support
    entries = np.array([[1.0, 2.0, 0.0]])
    np.testing.assert_array_equal(select_continuous(both, entries), [[1.0, 2.0]])
    assert select_continuous(Bernoulli().support, entries).size == 0
    np.testing.assert_array_equal(select_continuous(Gaussian().support, entries), entries)
    vae = VAE(event_shape=(3,), latent_dim=1, encoder=nets.Linear(), decoder=nets.Linear())
    binary = np.eye(3, dtype=np.float32)
    found = fit(vae, binary, rng_key=KEY, epochs=1, batch_size=3, progress=False)
    assert np.isnan(decoder_response(found, binary, rng_key=KEY).min_scale)


def test_a_dead_decoder_does_not_answer():
    assert decoder_response(fitted(0 * WEIGHTS), X, rng_key=KEY).sensitivity < 1e-6


def test_each_column_is_compared_with_its_own_scale():
    """Column 0 is in units 1e8 times those of column 9, which alone the code moves: no dead decoder."""
    units = np.logspace(4, -4, 10)
    values = oracle.params(WEIGHTS, MU, VARIANCE)
    layer = values["decoder$params"]["layers"][0]
    layer["kernel"] = layer["kernel"] * units * (np.arange(10) == 9)
    values["encoder$params"]["layers"][0]["kernel"] /= units[:, None]
    found = decoder_response(Fitted(oracle.vae(), values, History({}, {}, {})), X * units, rng_key=KEY)
    assert found.sensitivity < 1e-6 * found.data_scale
    alone = np.sqrt((WEIGHTS[9] ** 2).sum()) / X[:, 9].std()
    assert found.sensitivity_ratio == pytest.approx(alone / np.sqrt(10), rel=0.05)
    assert found.min_ratio == pytest.approx(np.sqrt(VARIANCE) / (1e4 * X[:, 0].std()), rel=1e-3)
    images = entry_scales(Batch(np.reshape(X, (500, 5, 2))))
    np.testing.assert_allclose(images, np.sqrt(X.var(0).mean()), rtol=1e-5)  # of one unit
    whole = entry_scales(Batch(X * (np.arange(10) > 0), mask=X < X.max(0)))
    assert whole[0] == pytest.approx(
        np.sqrt((whole[1:] ** 2).sum() / 10)
    )  # of a column that is constant


def history(elbo, **train):
    return History({}, {"elbo": elbo, **train}, {"elbo": elbo})


def test_convergence_reads_the_slope_and_what_was_lost():
    rising = convergence(fitted(history=history(np.arange(100.0))))
    assert rising.gain == pytest.approx(19.0)  # of 20 epochs
    assert rising.gain_error == pytest.approx(0.0, abs=1e-9)
    assert (rising.drop, rising.num_epochs, rising.is_validation) == (0.0, 100, True)
    turned = convergence(fitted(history=history(-np.abs(np.arange(100.0) - 60))))
    assert turned.gain == pytest.approx(-19.0)
    assert turned.drop == pytest.approx(38 - 2 / 3)
    assert turned.best_epoch == 61


def test_convergence_knows_noise_from_a_trend():
    noise = np.random.default_rng(0).normal(size=(200, 100))
    found = [convergence(fitted(history=history(row))) for row in noise]
    z = np.array([each.gain / each.gain_error for each in found])
    assert z.std() == pytest.approx(1.05, abs=0.15)  # t with 18 degrees of freedom
    assert abs(z.mean()) < 0.25


def test_convergence_reads_the_weight_of_the_kl():
    parts = {"log_likelihood": np.full(9, -70.0), "kl": np.full(9, 20.0), "bound": np.full(9, -75.0)}
    assert convergence(fitted(history=history(np.zeros(9), **parts))).kl_weight == 0.25
    assert np.isnan(convergence(fitted(history=history(np.zeros(9)))).kl_weight)


def test_a_short_history_is_refused():
    with pytest.raises(ValueError, match="at least 5 epochs; got 4"):
        convergence(fitted(history=history(np.zeros(4))))
    with pytest.raises(ValueError, match="got 0"):
        convergence(dataclasses.replace(fitted(), history=History({}, {"loss": np.zeros(9)}, {})))
