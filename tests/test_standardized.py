"""``Standardized``: nets in standardized numbers, densities in the data's units."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro import handlers

from probvae import VAE, Batch, fit, guides, likelihoods, nets
from probvae.likelihoods import (
    Bernoulli,
    Categorical,
    Gaussian,
    Joint,
    Laplace,
    NegativeBinomial,
    OptimalScale,
    Poisson,
    Standardized,
    StudentT,
)

M = np.array([1000.0, 2000.0, -5.0, 0.1])
S = np.array([100.0, 8.0, 0.01, 5.0])
KEY = jax.random.key(0)


def standard_rows(n=200, seed=0):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=(n, 4)) @ rng.normal(size=(4, 4))
    return (y - y.mean(0)) / y.std(0)


def train(likelihood, x, **options):
    vae = VAE(
        event_shape=(4,),
        latent_dim=2,
        likelihood=likelihood,
        encoder=nets.MLP((8,)),
        decoder=nets.MLP((8,)),
        posterior=guides.FullRank(),
        **options,
    )
    return fit(vae, x, rng_key=KEY, epochs=5, progress=False)


@pytest.mark.parametrize("base", [Gaussian(), Laplace(), StudentT(), Gaussian(OptimalScale())], ids=str)
def test_log_prob_of_raw_data_differs_by_log_s(base):
    y = standard_rows()
    plain, raw = train(base, y), train(Standardized(base), M + S * y)
    bound = [
        f.log_prob(x, rng_key=KEY, num_particles=50).value for f, x in ((plain, y), (raw, M + S * y))
    ]
    np.testing.assert_allclose(bound[1], bound[0] - np.log(S).sum(), atol=5e-3)


def test_moments_are_those_of_the_observed_rows():
    y = standard_rows()
    mask = np.random.default_rng(1).random(y.shape) < 0.7
    x = np.where(mask, M + S * y, 1e9)
    values = train(Standardized(Gaussian()), Batch(x, mask=mask)).values
    observed = np.where(mask, M + S * y, np.nan)
    np.testing.assert_allclose(values["likelihood$column_mean"], np.nanmean(observed, 0), rtol=1e-5)
    np.testing.assert_allclose(values["likelihood$column_sd"], np.nanstd(observed, 0), rtol=1e-3)


def test_training_keeps_the_moments():
    x = M + S * standard_rows()
    values = train(Standardized(Gaussian()), x).values
    np.testing.assert_allclose(values["likelihood$column_mean"], x.mean(0), rtol=1e-6)
    np.testing.assert_allclose(values["likelihood$column_sd"], x.std(0), rtol=1e-3)


def test_draws_have_the_units_of_the_data():
    draws = train(Standardized(Gaussian()), M + S * standard_rows()).sample(2000, rng_key=KEY).x
    assert np.all(np.abs(np.asarray(draws).mean(0) - M) < S)
    assert np.all(np.abs(np.log(np.asarray(draws).std(0) / S)) < 1)


def test_the_filler_of_missing_entries_changes_no_bit():
    mask = np.random.default_rng(1).random((200, 4)) < 0.7
    x = M + S * standard_rows()
    joint = Joint(a=(2, Standardized(Gaussian())), b=(2, Standardized(StudentT())))
    fits = [train(joint, Batch(np.where(mask, x, f), mask=mask)) for f in (0.0, 777.0)]
    for a, b in zip(*(jax.tree.leaves(f.values) for f in fits), strict=True):
        np.testing.assert_array_equal(a, b)
    codes = [fits[0].encode(np.where(mask, x, f), mask=mask).mean for f in (0.0, 777.0)]
    np.testing.assert_array_equal(*codes)


def test_the_encoder_sees_zero_at_a_missing_entry():
    fitted = train(Standardized(Gaussian()), M + S * standard_rows())
    view = fitted.vae.likelihood.encoder_view
    with handlers.substitute(data=dict(fitted.values)):
        at_mean = view(jnp.asarray(M[None], jnp.float32))
    np.testing.assert_allclose(at_mean, 0.0, atol=0.3)
    x, mask = np.asarray(M + S * standard_rows(3)), np.zeros((3, 4), bool)
    hidden = fitted.encode(x, mask=mask).mean
    exact = fitted.encode(np.tile(fitted.values["likelihood$column_mean"], (3, 1))).mean
    np.testing.assert_allclose(hidden, exact, atol=1e-5)


def test_counts_keep_their_density():
    x = np.random.default_rng(0).poisson([1.0, 5.0, 50.0, 400.0], (200, 4))
    for base in (Poisson(), NegativeBinomial()):
        fitted = train(Standardized(base), x)
        plain = VAE(event_shape=(4,), latent_dim=2, likelihood=base, decoder=nets.MLP((8,)))
        z = jnp.zeros((3, 2))
        with handlers.substitute(data=dict(fitted.values)):
            expected = plain.p_x(z).log_prob(x[:3].astype(float))
        np.testing.assert_allclose(fitted.decode(z).log_prob(x[:3].astype(float)), expected)


def test_a_constant_column_keeps_its_unit():
    x = M + S * standard_rows()
    x[:, 1] = 7.0
    fitted = train(Standardized(Gaussian()), x)
    assert fitted.values["likelihood$column_sd"][1] == 1.0
    assert np.isfinite(fitted.history.train["elbo"]).all()


def test_raw_units_give_no_warning_about_scales():
    rows = np.array([3e4, -2.0, 5.0, 0.0]) + np.array([5e3, 1e-4, 1.0, 1e-6]) * standard_rows()
    train(Standardized(Gaussian()), rows)  # warnings are errors


@pytest.mark.parametrize("base", [Bernoulli(), Categorical(3), Standardized(Gaussian())], ids=str)
def test_levels_are_refused(base):
    with pytest.raises((TypeError, ValueError), match=r"Standardized.*numbers or counts"):
        Standardized(base)


def test_print_names_the_standardization():
    assert str(likelihoods.Standardized(Gaussian())).endswith("standardized by entry")
    joint = Joint(a=(2, Standardized(Gaussian())), b=(2, Poisson()))
    lines = str(VAE(event_shape=(4,), latent_dim=2, likelihood=joint)).splitlines()
    assert lines[1].startswith("a | z ~ Normal")
    assert lines[2].startswith("b | z ~ Poisson")
