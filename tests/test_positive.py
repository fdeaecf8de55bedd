"""Laws of likelihoods of positive numbers: twins in SciPy, limits, starts, and extreme outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compiled import log_prob, moments, run, sample
from numpyro import handlers
from scipy import integrate, stats
from test_likelihoods import check_moments, p_x, scope_of

from probvae import VAE, Batch, criticism, fit, likelihoods, nets
from probvae.distributions import GammaLogMean
from probvae.training.initial_values import initial_values

FIXED = likelihoods.FixedScale(0.7)
X = np.geomspace(1e-4, 1e4, 41)
LINEAR = {"encoder": nets.Linear(), "decoder": nets.Linear()}
QUICK = {"rng_key": jax.random.key(0), "batch_size": 20, "progress": False}


def test_log_normal_against_scipy(float64):
    p = p_x(likelihoods.LogNormal(scale=FIXED), [[[0.3]]])
    twin = stats.lognorm(0.7, scale=np.exp(0.3))
    np.testing.assert_allclose(log_prob(p, X[:, None, None])[:, 0, 0], twin.logpdf(X), rtol=1e-10)
    center, variance = moments(p)
    np.testing.assert_allclose([center.item(), variance.item()], twin.stats(), rtol=1e-10)


SHAPES = np.array([0.05, 1.0, 19.0, 21.0, 1e3])


def test_gamma_against_scipy(float64):
    p = GammaLogMean(np.log(3.0), np.log(SHAPES))
    twin = stats.gamma(SHAPES, scale=3.0 / SHAPES)
    np.testing.assert_allclose(log_prob(p, X[:, None]), twin.logpdf(X[:, None]), rtol=1e-9)
    np.testing.assert_allclose(moments(p), twin.stats(), rtol=1e-9)


def test_gamma_keeps_its_digits_in_single_precision():
    """NumPyro's version is wrong by whole nats at these shapes."""
    shape, x = np.array([1e3, 1e5, 1e7]), 2e4 * (1 + np.array([1e-2, 1e-3, 1e-4]))
    got = log_prob(GammaLogMean(np.float32(np.log(2e4)), np.log(shape)), x)
    truth = stats.gamma(shape, scale=2e4 / shape).logpdf(x)
    np.testing.assert_allclose(got, truth, atol=0.02)


@pytest.mark.parametrize("p", [
    p_x(likelihoods.LogNormal(scale=likelihoods.PixelScale()), [[[0.4, -0.5]], [[-2.0, -1.0]]]),
    GammaLogMean(jnp.array([[0.5], [-2.0]]), jnp.array([[0.3], [2.0]])),
], ids=["LogNormal", "Gamma"])  # fmt: skip
def test_positive_families_integrate_to_one_and_are_drawn_as_scored(p):
    for row in range(2):  # over log x, in which both are smooth
        total, _ = integrate.quad(
            lambda t, row=row: np.exp(float(log_prob(p, np.exp(t))[row, 0]) + t), -30, 10, epsabs=1e-7
        )
        assert total == pytest.approx(1.0, abs=1e-5)
    check_moments(p)


def test_log_normal_is_the_gaussian_of_log_x_with_its_jacobian():
    outputs = np.random.default_rng(0).normal(size=(5, 3, 1)).astype(np.float32)
    x = np.exp(np.random.default_rng(1).normal(size=(5, 3)).astype(np.float32))
    positive, real = (
        p_x(family(scale=FIXED), outputs, event_shape=(3,))
        for family in (likelihoods.LogNormal, likelihoods.Gaussian)
    )
    truth = log_prob(real, np.log(x)) - np.log(x)
    np.testing.assert_allclose(log_prob(positive, x), truth, rtol=1e-5, atol=1e-5)


def test_log_normal_of_a_small_sigma_tends_to_the_gaussian(float64):
    sigma = 1e-4
    p = p_x(likelihoods.LogNormal(scale=likelihoods.FixedScale(sigma)), [[[np.log(5.0)]]])
    x = 5 + 5 * sigma * np.linspace(-3, 3, 7)
    truth = stats.norm(5, 5 * sigma).logpdf(x)
    np.testing.assert_allclose(log_prob(p, x[:, None, None]).ravel(), truth, atol=2e-3)


def test_gamma_of_shape_one_is_the_exponential(float64):
    p = GammaLogMean(np.log(3.0), 0.0)
    np.testing.assert_allclose(log_prob(p, X), stats.expon(scale=3.0).logpdf(X), rtol=1e-9)


def test_gamma_of_a_large_shape_tends_to_the_gaussian(float64):
    sd = 3 * 1e-4
    x = 3 + sd * np.linspace(-3, 3, 7)
    got = log_prob(GammaLogMean(np.log(3.0), np.log(1e8)), x)
    np.testing.assert_allclose(got, stats.norm(3, sd).logpdf(x), atol=2e-3)


def gamma_x(outputs, raw, **fields):
    """p(x|z) of `Gamma` where the decoder gives ``outputs``, with ``raw`` for its log shape."""
    likelihood = likelihoods.Gamma(**fields)
    values = {"likelihood$log_shape": jnp.asarray(raw)}
    scope = scope_of(likelihood, outputs.shape[1:], None)
    with handlers.seed(rng_seed=0), handlers.substitute(data=values):
        return likelihood.distribution(jnp.asarray(outputs), scope)


def test_gammas_shape_is_bounded_from_above_and_is_the_parameter_below():
    p = gamma_x(np.zeros((1, 4)), [-3.0, 1.0, 12.0, 1e6])
    np.testing.assert_allclose(p.log_shape[0], [-3, 1, 12 - np.log(2), 12], atol=2e-5)


def test_gamma_starts_at_the_datas_moments():
    random = np.random.default_rng(0)
    x = random.gamma([0.5, 4.0, 50.0, 3.0], [20.0, 1.0, 1e-3, 1.0], size=(4000, 4))
    mask = random.random(x.shape) < 0.7
    mask[:, 3] = False
    vae = VAE(event_shape=(4,), latent_dim=1, likelihood=likelihoods.Gamma(), **LINEAR)
    start = initial_values(vae, Batch(np.where(mask, x, -7.0), mask=mask), lambda key, x: x)
    p = gamma_x(np.zeros((1, 4)), start["likelihood$log_shape"])
    for column in range(3):
        seen = x[mask[:, column], column]
        m, a = np.log(seen.mean()), seen.mean() ** 2 / seen.var()
        assert start["likelihood$log_mean"][column] == pytest.approx(m, abs=1e-5)
        assert p.log_shape[0, column] == pytest.approx(np.log(a), abs=1e-4)
        top = np.log(seen.max()) - m + 1
        assert start["likelihood$largest"][column] == pytest.approx(top, rel=1e-5)
    assert start["likelihood$log_mean"][3] == 0
    assert all(np.isfinite(value).all() for value in start.values())


def test_a_constant_column_starts_below_gammas_bound():
    start = likelihoods.Gamma(max_log=5.0).initial_values(
        np.full((9, 1), 2.0), np.ones((9, 1), bool), None
    )
    p = gamma_x(np.zeros((1, 1)), start["likelihood$log_shape"], max_log=5.0)
    np.testing.assert_allclose(p.log_shape, 4.0, rtol=1e-5)


EXTREME = np.array([-1e4, -100.0, 0.0, 100.0, 1e4], np.float32)


@pytest.mark.parametrize("likelihood", [likelihoods.Gamma(), likelihoods.LogNormal()], ids=str)
def test_extreme_outputs_have_finite_densities_gradients_and_draws(likelihood):
    shape = likelihood.output_shape((5,))
    outputs = jnp.asarray(EXTREME).reshape(1, *shape)

    def total(outputs, x):
        p = p_x(likelihood, outputs, event_shape=(5,))
        return p.log_prob(x).sum()

    for x in (1e-30, 1.0, 1e18):
        value, slope = jax.value_and_grad(total)(outputs, jnp.float32(x))
        assert np.isfinite(value)
        assert np.isfinite(slope).all()
    p = p_x(likelihood, outputs, event_shape=(5,))
    draws = sample(p, jax.random.key(0), (50,))
    assert np.isfinite(draws).all()
    assert (draws > 0).all()
    assert np.isfinite(moments(p)).all()


def test_wild_means_and_shapes_of_gamma_are_finite():
    wild = (-1e6, -100.0, -30.0, 0.0, 30.0, 100.0, 1e6)
    log_mean, log_shape = (jnp.asarray(a.ravel()) for a in np.meshgrid(wild, wild))

    def density(log_mean, log_shape, x):
        return GammaLogMean(log_mean, log_shape).log_prob(x)

    slopes = jax.vmap(jax.grad(density, (0, 1)), (0, 0, None))
    for x in (1e-37, 3.0, 1e19):
        assert np.isfinite(run(density, log_mean, log_shape, x)).all()
        assert np.isfinite(run(slopes, log_mean, log_shape, x)).all()


def test_encoder_sees_log_x_and_a_missing_entry_as_zero():
    vae = VAE(event_shape=(2,), latent_dim=1, likelihood=likelihoods.LogNormal(), **LINEAR)
    view = vae.likelihood.encoder_view
    np.testing.assert_allclose(view(jnp.array([1.0, np.e, 0.0])), [0.0, 1.0, -87.3], atol=0.1)
    assert view(jnp.asarray(vae.likelihood.fill)) == 0
    assert " of log x" in str(vae)


@pytest.mark.slow
def test_diagnose_and_predictive_checks_run_on_positive_families():
    random = np.random.default_rng(0)
    z = random.normal(size=(600, 1))
    x = random.gamma(5.0, np.exp(z @ [[1.0, -0.5, 0.3]]) / 5.0)
    for likelihood in (likelihoods.Gamma(), likelihoods.LogNormal(scale=likelihoods.ColumnScale())):
        vae = VAE(event_shape=(3,), latent_dim=1, likelihood=likelihood, **LINEAR)
        fitted = fit(vae, x, rng_key=jax.random.key(0), epochs=60, batch_size=50, progress=False)
        checks = criticism.predictive_checks(fitted, x, rng_key=jax.random.key(1))
        assert checks.posterior.marginal.distance < 0.1
        diagnosis = criticism.diagnose(fitted, x, rng_key=jax.random.key(2))
        assert diagnosis.verdict.of("fault") == [], str(diagnosis)


def test_joint_takes_positive_blocks():
    table = likelihoods.Joint(income=(2, likelihoods.LogNormal()), wait=(1, likelihoods.Gamma()))
    x = np.random.default_rng(0).gamma(2.0, size=(60, 3))
    mask = np.random.default_rng(1).random(x.shape) < 0.8
    vae = VAE(event_shape=(3,), latent_dim=1, likelihood=table, **LINEAR)
    fitted = fit(vae, Batch(np.where(mask, x, np.nan), mask=mask), epochs=3, **QUICK)
    assert np.isfinite(fitted.history.train["elbo"]).all()
    np.testing.assert_allclose(table.fill, np.ones(3))
